//! Which deposit is kept of a message that is deposited again; pure (decision 36).

use crate::{Record, Standing};
use skep_proto::{peer::Work, storage::Namespace, storage::limits::max_ttl};

/// What a store tells of the deposit it keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Until when (ms), by all that has been ordered.
    pub(crate) expiry: u64,
    /// When it was made.
    pub(crate) timestamp: u64,
    /// Until when it was made.
    pub(crate) deposited: u64,
    pub(crate) standing: Standing,
}

/// The last moment (ms) at which a deposit may have been made that `work` pays for: work pays for a message, and so for whatever
/// deposits of it come while the life it was done for lasts.
pub(crate) fn pays_until(work: &Work, namespace: Namespace) -> u64 {
    work.timestamp.saturating_add(work.ttl.min(max_ttl(namespace)))
}

/// What is kept instead of `known` when `new` comes, which lasts until `expiry`, and until when; `None` if `known` stays. The
/// longer life is kept, of equal ones the later, and with it the work of either where that pays for it. Members that hear of
/// deposits in another sequence come to keep the same. `read` reads the known record, where its work is needed.
pub(crate) fn choose<E>(
    new: &Record,
    expiry: u64,
    known: &Known,
    read: impl FnOnce() -> Result<Record, E>,
) -> Result<Option<(Record, u64)>, E> {
    let deposit = new.deposit();
    let lasts = (expiry, deposit.timestamp) > (known.expiry, known.timestamp);
    Ok(match (lasts, new.standing(), known.standing) {
        (true, Standing::Unproven, Standing::Proven) => {
            let lent = read()?.lend(deposit.timestamp, deposit.expiry);
            Some((lent.unwrap_or_else(|| new.clone()), expiry))
        }
        (true, _, _) => Some((new.clone(), expiry)),
        (false, Standing::Proven, Standing::Unproven) => {
            new.lend(known.timestamp, known.deposited).map(|lent| (lent, known.expiry))
        }
        (false, _, _) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_proto::{account::AccountAddress, storage::StoreRequest};
    use std::convert::Infallible;

    const DAY: u64 = 86_400_000;

    /// A deposit of the one message, made and expiring so many days after the beginning.
    fn deposit((made, life, is_proven): (u64, u64, bool)) -> Record {
        let (timestamp, ttl) = (made * DAY, life * DAY);
        Record::new(StoreRequest {
            account: AccountAddress::from_x25519([1; 32]),
            namespace: Namespace::DEFAULT,
            timestamp,
            expiry: timestamp + ttl,
            data: b"hello".to_vec(),
            auth: None,
            work: is_proven.then(|| Work { timestamp, ttl, ..Work::default() }),
        })
    }

    fn kept(deposits: &[(u64, u64, bool)]) -> Record {
        let mut deposits = deposits.iter().copied().map(deposit);
        let first = deposits.next().expect("one at least");
        deposits.fold(first, |kept, new| {
            let StoreRequest { timestamp, expiry, .. } = *kept.deposit();
            let known = Known { expiry, timestamp, deposited: expiry, standing: kept.standing() };
            let chosen = choose(&new, new.deposit().expiry, &known, || Ok::<_, Infallible>(kept.clone()));
            match chosen {
                Ok(chosen) => chosen.map_or(kept, |(record, _)| record),
            }
        })
    }

    fn told(deposits: &[(u64, u64, bool)]) -> (u64, u64, Standing) {
        let kept = kept(deposits);
        (kept.deposit().timestamp / DAY, kept.deposit().expiry / DAY, kept.standing())
    }

    #[test]
    fn what_was_paid_for_stays_paid_for() {
        let (short, long, late) = ((0, 3, true), (1, 14, false), (4, 14, false));
        assert_eq!(told(&[short, long]), (1, 15, Standing::Proven));
        assert_eq!(told(&[long, short]), (1, 15, Standing::Proven), "and work takes nothing from its life");
        assert_eq!(told(&[short, late]), (4, 18, Standing::Unproven), "the life that was paid for is over by then");
        assert_eq!(told(&[late, short]), (4, 18, Standing::Unproven));
        assert_eq!(
            told(&[short, long, late]),
            (4, 18, Standing::Unproven),
            "work that was lent lasts no longer for it"
        );
        assert_eq!(told(&[late, (5, 1, true)]), (4, 18, Standing::Proven));
    }

    #[test]
    fn nobody_pays_for_ever() {
        let work = Work { timestamp: DAY, ttl: u64::MAX, ..Work::default() };
        assert_eq!(pays_until(&work, Namespace::DEFAULT), 15 * DAY);
    }

    proptest! {
        // What is made earlier may expire later, but nobody has made deposits of one message with more than one proof here.
        #[test]
        fn members_keep_the_same_whatever_they_hear_first(
            proven in (0..4_u64, 10..15_u64),
            orders in proptest::collection::vec((0..10_u64, 1..15_u64), 0..5)
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            places in (0..6_usize, 0..6_usize),
        ) {
            let sequence = |others: &[(u64, u64)], place: usize| {
                let mut all: Vec<_> = others.iter().map(|(made, life)| (*made, *life, false)).collect();
                all.insert(place.min(all.len()), (proven.0, proven.1, true));
                all
            };
            let (one, other) = (sequence(&orders.0, places.0), sequence(&orders.1, places.1));
            prop_assert_eq!(kept(&one), kept(&other));
        }
    }
}
