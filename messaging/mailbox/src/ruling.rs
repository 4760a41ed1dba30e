//! What owners' orders say of a message, whatever the order in which members learn of them.
//!
//! A member keeps one deposit of a message, and the orders. Whether the message is there and when it expires is a function of
//! both ([`is_deleted`], [`settled_expiry`]), so members with equal sets show the same, though they got them in another order.
//!
//! A request names no time at which it was given (but for `delete_all`), so the member that takes it from a client stamps it:
//! with its clock, or with the newest timestamp among the messages concerned if that is ahead. An order is about deposits up
//! to its stamp: what is stored again later is not concerned. Nobody can prove a stamp, and nobody gains by a false one: who
//! has a signed request may hand it in again at any time, as a client.
//!
//! Each word stands by itself: what it amounts to does not depend on words before it that it overrides. So these need not be
//! kept ([`Ruling::covers`]), and a message whose owner says every day that it is to last goes on lasting when the first of
//! those words is forgotten (decision 70).

use crate::{Change, Record};
use skep_proto::storage::{ExpiryMode, MessageHash, Scope};
use std::cmp::Reverse;

/// One order's word on messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ruling {
    /// When it was given (ms). Deposits with later timestamps are not concerned.
    pub(crate) at: u64,
    pub(crate) sentence: Sentence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sentence {
    /// It is gone, if its timestamp is this or earlier.
    Delete(u64),
    /// It expires then.
    Set(u64),
    /// It expires then, if it would earlier.
    Extend(u64),
    /// It expires then, if it would later.
    Shorten(u64),
}

impl Ruling {
    /// Bytes on disk.
    pub(crate) const LEN: usize = 17;

    /// A word on when a message expires.
    pub(crate) const fn on_expiry(at: u64, expiry: u64, mode: ExpiryMode) -> Self {
        let sentence = match mode {
            ExpiryMode::Set => Sentence::Set(expiry),
            ExpiryMode::Extend => Sentence::Extend(expiry),
            ExpiryMode::Shorten => Sentence::Shorten(expiry),
        };
        Self { at, sentence }
    }

    /// Until when a message may last by this word, if it says so (ms).
    pub(crate) const fn lasting(&self) -> Option<u64> {
        match self.sentence {
            Sentence::Set(time) | Sentence::Extend(time) => Some(time),
            Sentence::Delete(_) | Sentence::Shorten(_) => None,
        }
    }

    /// Whether `other`, a word on the same, makes no difference any more beside this one: not to any deposit, and whatever
    /// else is said.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self.sentence, other.sentence) {
            (Sentence::Delete(until), Sentence::Delete(before)) => before < until,
            (Sentence::Delete(until), _) => other.at <= until,
            (_, Sentence::Delete(_)) => false,
            (Sentence::Set(_), _) => other < self,
            (Sentence::Extend(time), Sentence::Extend(earlier)) => earlier <= time && other < self,
            (Sentence::Shorten(time), Sentence::Shorten(later)) => time <= later && other < self,
            (Sentence::Extend(_), _) | (Sentence::Shorten(_), _) => false,
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (kind, time) = match self.sentence {
            Sentence::Delete(time) => (0, time),
            Sentence::Set(time) => (1, time),
            Sentence::Extend(time) => (2, time),
            Sentence::Shorten(time) => (3, time),
        };
        [&self.at.to_be_bytes()[..], &[kind], &time.to_be_bytes()].concat()
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (kind, time) = rest.split_first()?;
        let time = u64::from_be_bytes(time.try_into().ok()?);
        let sentence = match kind {
            0 => Sentence::Delete(time),
            1 => Sentence::Set(time),
            2 => Sentence::Extend(time),
            3 => Sentence::Shorten(time),
            _ => return None,
        };
        Some(Self { at: u64::from_be_bytes(*at), sentence })
    }
}

/// Most words on the expiry of the same that are kept although none covers another: all are read whenever one is needed.
const MAX_WORDS: usize = 16;

/// Of words on the same message, or on the same scope, those that need not be kept: what others cover, and the oldest on its
/// expiry beyond [`MAX_WORDS`].
pub(crate) fn superfluous<K: Copy + Ord>(words: &[(Ruling, K)]) -> Vec<K> {
    // Of equal words one is enough, the same at every member.
    let is_covered =
        |word: &Ruling, key: &K| words.iter().any(|(other, by)| other.covers(word) || (other == word && by < key));
    let (mut needed, mut gone): (Vec<_>, Vec<_>) =
        words.iter().copied().partition(|(word, key)| !is_covered(word, key));
    needed.retain(|(word, _)| !matches!(word.sentence, Sentence::Delete(_)));
    needed.sort_unstable();
    needed.truncate(needed.len().saturating_sub(MAX_WORDS));
    gone.append(&mut needed);
    gone.into_iter().map(|(_, key)| key).collect()
}

/// What a change says of which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rulings {
    /// Of each of these.
    Named(Vec<(MessageHash, Ruling)>),
    /// Of all in a scope.
    Scoped(Scope, Ruling),
    /// Of none.
    Silent,
}

impl Rulings {
    pub(crate) fn of(change: &Change) -> Self {
        match change {
            Change::Delete { messages, until, .. } => {
                let ruling = Ruling { at: *until, sentence: Sentence::Delete(*until) };
                Self::Named(messages.iter().map(|hash| (*hash, ruling)).collect())
            }
            Change::DeleteSent { scope, until, .. } => {
                Self::Scoped(*scope, Ruling { at: *until, sentence: Sentence::Delete(*until) })
            }
            Change::SetExpiry { messages, expiry, mode, at, .. } => {
                let ruling = |(number, hash): (usize, &MessageHash)| {
                    let expiry = crate::store::nth_expiry(expiry, number)?;
                    Some((*hash, Ruling::on_expiry(*at, expiry, *mode)))
                };
                Self::Named(messages.iter().enumerate().filter_map(ruling).collect())
            }
            Change::LimitExpiry { scope, expiry, at, .. } => {
                Self::Scoped(*scope, Ruling::on_expiry(*at, *expiry, ExpiryMode::Shorten))
            }
            Change::Forget { .. } | Change::Revoke { .. } | Change::Unrevoke { .. } => Self::Silent,
        }
    }
}

/// By which of these words, of whoever said it, a message lasts until then (ms): of those by which it may last as long, the one
/// that says least, and of equal ones the newest.
pub(crate) fn extension<K: Copy>(words: &[(Ruling, K)], expiry: u64) -> Option<K> {
    let lasting =
        words.iter().filter_map(|(word, by)| Some((word.lasting().filter(|time| *time >= expiry)?, word.at, by)));
    lasting.min_by_key(|(time, at, _)| (*time, Reverse(*at))).map(|(.., by)| *by)
}

/// Until when (ms) a deposit that arrives at `now` lasts by what has been said; `None` if by that it is gone. Whoever brings it,
/// the words on it are the same: what was deleted does not come back because somebody still has the bytes (decision 53).
pub(crate) fn admitted_until(record: &Record, rulings: &[Ruling], now: u64) -> Option<u64> {
    let deposit = record.deposit();
    let expiry = settled_expiry(deposit.timestamp, deposit.expiry, rulings);
    // What a client brings may have ended a moment ago by its own word: that is for the clock's tolerance to say.
    let is_over = expiry <= now && (record.is_replica() || expiry < deposit.expiry);
    (!is_over && !is_deleted(deposit.timestamp, rulings)).then_some(expiry)
}

/// Whether the owner has deleted what was deposited with this timestamp.
pub(crate) fn is_deleted(timestamp: u64, rulings: &[Ruling]) -> bool {
    rulings.iter().any(|ruling| matches!(ruling.sentence, Sentence::Delete(until) if timestamp <= until))
}

/// When a deposit expires by what was said of its expiry, from the first word to the last. It need not have lasted until a word
/// was given: its owner names what is to last, and until when.
pub(crate) fn settled_expiry(timestamp: u64, expiry: u64, rulings: &[Ruling]) -> u64 {
    let mut concerned: Vec<_> = rulings.iter().filter(|ruling| timestamp <= ruling.at).collect();
    concerned.sort_unstable();
    concerned.into_iter().fold(expiry, |expiry, ruling| match ruling.sentence {
        Sentence::Delete(_) => expiry,
        Sentence::Set(time) => time,
        Sentence::Extend(time) => expiry.max(time),
        Sentence::Shorten(time) => expiry.min(time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settle(timestamp: u64, expiry: u64, rulings: &[Ruling]) -> Option<u64> {
        (!is_deleted(timestamp, rulings)).then(|| settled_expiry(timestamp, expiry, rulings))
    }

    fn ruling() -> impl Strategy<Value = Ruling> {
        (0..100_u64, 0..4_u8, 0..200_u64).prop_map(|(at, kind, time)| {
            let sentence = match kind {
                0 => Sentence::Delete(at.min(time)),
                1 => Sentence::Set(time),
                2 => Sentence::Extend(time),
                _ => Sentence::Shorten(time),
            };
            // As orders have it, what is sent later is not deleted.
            let at = if let Sentence::Delete(until) = sentence { until } else { at };
            Ruling { at, sentence }
        })
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            rulings in proptest::collection::vec(ruling(), 0..8).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            timestamp in 0..100_u64,
            life in 1..100_u64,
        ) {
            let (one, other) = rulings;
            prop_assert_eq!(settle(timestamp, timestamp + life, &one), settle(timestamp, timestamp + life, &other));
        }

        #[test]
        fn what_is_covered_makes_no_difference(
            rulings in proptest::collection::vec(ruling(), 0..12),
            timestamp in 0..100_u64,
            life in 1..100_u64,
        ) {
            let needed: Vec<_> =
                rulings.iter().filter(|one| !rulings.iter().any(|other| other.covers(one))).copied().collect();
            prop_assert_eq!(settle(timestamp, timestamp + life, &needed), settle(timestamp, timestamp + life, &rulings));
        }

        #[test]
        fn covering_is_an_order(one in ruling(), other in ruling(), third in ruling()) {
            prop_assert!(!(one.covers(&other) && other.covers(&one)));
            prop_assert!(!(one.covers(&other) && other.covers(&third)) || one.covers(&third));
        }

        #[test]
        fn rulings_survive_the_disk(ruling in ruling()) {
            let bytes = ruling.to_bytes();
            prop_assert_eq!(bytes.len(), Ruling::LEN);
            prop_assert_eq!(Ruling::read(&bytes), Some(ruling));
            prop_assert_eq!(Ruling::read(&bytes[1..]), None);
        }
    }

    #[test]
    fn the_last_word_counts_and_only_on_what_was_there() {
        let at = |at, sentence| Ruling { at, sentence };
        let (set, extend, shorten) =
            (at(10, Sentence::Set(50)), at(20, Sentence::Extend(90)), at(30, Sentence::Shorten(70)));
        assert_eq!(settle(5, 60, &[set]), Some(50));
        assert_eq!(settle(5, 60, &[shorten, set, extend]), Some(70));
        assert_eq!(settle(15, 60, &[shorten, set, extend]), Some(70));
        assert_eq!(settle(25, 60, &[set, extend]), Some(60), "stored again after both");
        assert_eq!(settle(5, 15, &[extend]), Some(90), "it had ended, but it is to last");
        assert_eq!(settle(5, 60, &[set, at(55, Sentence::Set(99))]), Some(99), "likewise");
        assert_eq!(settle(5, 60, &[set, at(7, Sentence::Delete(7))]), None);
        assert_eq!(settle(8, 60, &[set, at(7, Sentence::Delete(7))]), Some(50), "stored again after it was deleted");
    }
    #[test]
    fn a_message_lasts_by_the_latest_word_alone() {
        let daily: Vec<_> =
            (0..70).map(|day| Ruling { at: day * 10, sentence: Sentence::Set(day * 10 + 300) }).collect();
        for day in 1..=70 {
            assert_eq!(settled_expiry(0, 300, &daily[..day]), settled_expiry(0, 300, &daily[day - 1..day]));
            let kept: Vec<_> = daily[..day].iter().map(|word| (*word, word.at)).collect();
            assert_eq!(superfluous(&kept).len(), day - 1);
        }
    }

    #[test]
    fn words_that_cover_nothing_are_kept_up_to_a_number() {
        let falling = |at| Ruling { at, sentence: Sentence::Extend(1_000 - at) };
        let mut words: Vec<_> = (0..20).map(|at| (falling(at), at)).collect();
        assert_eq!(superfluous(&words), [0, 1, 2, 3]);
        words.push((falling(19), 98));
        assert_eq!(superfluous(&words), [98, 0, 1, 2, 3], "said twice");
        words.pop();
        words.push((Ruling { at: 0, sentence: Sentence::Delete(0) }, 99));
        assert_eq!(superfluous(&words), [0, 1, 2, 3], "a deletion is kept, and covers what was said by then");
        words.push((Ruling { at: 19, sentence: Sentence::Delete(19) }, 100));
        assert_eq!(superfluous(&words).len(), 21);
    }
}
