//! What verdicts and rounds weigh at worst.

use super::*;
use alloc::format;
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;
use pallet_network::{NodeFactory, ProposalFactory};
use skep_obligations::{LEAST_TARGETS, MAX_TARGETS, votes_needed};
use skep_primitives::{Reason, Reasons};
use sp_core::crypto::KeyTypeId;

/// Where the keystore of whoever runs benchmarks keeps testers' keys.
const TESTER_KEYS: KeyTypeId = KeyTypeId(*b"test");

/// Verdicts that are forgotten together in a network that fares very badly.
const MANY_VERDICTS: u32 = 100;

/// A node that only the roll knows.
fn stranger(number: u32) -> ServiceNodeId {
    ServiceNodeId(sp_io::hashing::blake2_256(&number.encode()))
}

/// Puts so many nodes on the roll that may test.
fn enroll<T: Config>(count: u32) {
    for number in 0..count {
        Roll::<T>::put(stranger(number), Class::Seasoned);
        Tenures::<T>::insert(stranger(number), Tenure { since: 0, credit: 0 });
    }
}

/// A round under way that tests `node`, which failed for longer than its credit lasts, and what so many testers say.
fn verdict<T: Config>(
    node: ServiceNodeId,
    count: u32,
) -> Result<(Subject, BoundedVec<Vote, ConstU32<MAX_TESTERS>>), BenchmarkError> {
    let terms = Pallet::<T>::terms();
    let begins_at = Pallet::<T>::blocks_of_a_round(&terms);
    let (round, block) = (Pallet::<T>::number_of(&terms, begins_at), [1; 32]);
    frame_system::Pallet::<T>::set_block_number(begins_at.saturating_add(1).into());
    let subject = Subject { round, block, node };
    let key = |seat: u32| sp_io::crypto::ed25519_generate(TESTER_KEYS, Some(format!("//{seat}").into_bytes()));
    let testers = BoundedVec::truncate_from((0..MAX_TESTERS).map(|seat| ServiceNodeId(key(seat).0)).collect());
    let strangers = (1..LEAST_TARGETS).map(stranger);
    let targets = BoundedVec::truncate_from(strangers.chain([node]).collect());
    Rounds::<T>::insert(round, DrawnRound { block, begins_at, testers, targets });
    enroll::<T>(LEAST_TARGETS);
    Roll::<T>::put(node, Class::Seasoned);
    Tenures::<T>::insert(node, Tenure { since: 0, credit: 0 });

    let reasons = Reasons::NONE.with(Reason::HttpsUnreachable);
    let message = signing::vote(&pallet_network::Pallet::<T>::genesis_hash(), &subject, reasons);
    let votes = (0..count).map(|seat| {
        let signature = sp_io::crypto::ed25519_sign(TESTER_KEYS, &key(seat), &message);
        let signature = signature.ok_or(BenchmarkError::Stop("the keystore has the tester's key"))?;
        Ok(Vote { seat: seat.saturated_into(), reasons, signature: signature.0 })
    });
    Ok((subject, BoundedVec::truncate_from(votes.collect::<Result<_, BenchmarkError>>()?)))
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn authorize_verdict(v: Linear<{ votes_needed(MAX_TESTERS) }, MAX_TESTERS>) -> Result<(), BenchmarkError> {
        let (subject, votes) = verdict::<T>(stranger(u32::MAX), v)?;
        #[block]
        {
            Pallet::<T>::authorize_verdict(&subject, &votes)?;
        }
        Ok(())
    }

    /// A deregistration, without which no open proposal is carried.
    #[benchmark]
    fn submit_verdict() -> Result<(), BenchmarkError> {
        let node = T::BenchmarkHelper::serving(0);
        T::BenchmarkHelper::open(&[node]);
        let (subject, votes) = verdict::<T>(node, MAX_TESTERS)?;
        for round in 0..MAX_HISTORY {
            Pallet::<T>::note(
                node,
                StandingChange::Recommissioned,
                Cause::Verdict { round, findings: Findings::default() },
            );
        }
        #[extrinsic_call]
        _(RawOrigin::Authorized, subject, votes);
        assert!(Tenures::<T>::get(node).is_none());
        Ok(())
    }

    #[benchmark]
    fn within_a_round() {
        #[block]
        {
            Pallet::<T>::begin_round(1);
        }
        assert_eq!(Rounds::<T>::iter().count(), 0);
    }

    /// All that are on the roll are drawn.
    #[benchmark]
    fn begin_round(d: Linear<{ MAX_TESTERS + 1 }, { MAX_TESTERS + LEAST_TARGETS }>) {
        enroll::<T>(d);
        let first = Pallet::<T>::blocks_of_a_round(&Pallet::<T>::terms());
        #[block]
        {
            Pallet::<T>::begin_round(first);
        }
        assert_eq!(Rounds::<T>::get(1).map(|round| round.testers.len() + round.targets.len()), Some(d as usize));
    }

    /// Those who wait have others of their class behind them, and decommissioned ones.
    #[benchmark]
    fn season(n: Linear<0, MAX_SEASONED_A_ROUND>) {
        for number in 0..MAX_SEASONED_A_ROUND {
            Pallet::<T>::begin_tenure(stranger(number), 0);
        }
        (1_000..1_010).for_each(|number| Roll::<T>::put(stranger(number), Class::Decommissioned));
        NewcomersSpan::<T>::put((0, u64::from(n)));
        let terms = Pallet::<T>::terms();
        let now = pallet_network::Pallet::<T>::blocks(terms.tester_wait).saturating_mul(2);
        #[block]
        {
            Pallet::<T>::season(&terms, now);
        }
        assert_eq!(Counts::<T>::get().seasoned, n);
    }

    #[benchmark]
    fn forget_round(f: Linear<0, MANY_VERDICTS>) {
        let targets = BoundedVec::truncate_from((0..MAX_TARGETS).map(stranger).collect());
        let round = DrawnRound { block: [1; 32], begins_at: 0, testers: BoundedVec::new(), targets };
        Rounds::<T>::insert(0, round);
        (0..f).for_each(|number| Decided::<T>::insert(0, stranger(number), ()));
        #[block]
        {
            Pallet::<T>::forget_round(0);
        }
        assert_eq!(Decided::<T>::iter().count(), 0);
    }
}
