//! What votes decide.

use ed25519_zebra::{Signature, VerificationKey};
use skep_primitives::{BlockHash, Findings, Reasons, ServiceNodeId, Subject, Vote, signing};

/// Votes of so many testers change a state: seven of ten, rounded up where there are fewer.
pub const fn votes_needed(testers: u32) -> u32 {
    testers.saturating_mul(7).div_ceil(10)
}

/// What the testers agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node passes.
    Passes,
    /// The node fails.
    Fails(Findings),
}

/// These votes decide nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// Not enough of them.
    #[error("{given} votes, but {needed} are needed")]
    TooFew {
        /// Votes given.
        given: u32,
        /// Votes needed.
        needed: u32,
    },
    /// Somebody votes twice, out of order, or from a seat the quorum does not have.
    #[error("votes must come from seats of the quorum, each once, in their order")]
    Seats,
    /// Some say it passes and some that it fails.
    #[error("votes that the node passes and that it fails cannot be counted together")]
    Mixed,
}

/// What these votes of a quorum of `testers` decide. Looks at everything but the signatures, so that a bad verdict is
/// refused before the first of them is verified.
pub fn outcome(testers: u32, votes: &[Vote]) -> Result<Outcome, OutcomeError> {
    let in_order = votes.is_sorted_by(|one, next| one.seat < next.seat);
    if !in_order || votes.last().is_some_and(|vote| u32::from(vote.seat) >= testers) {
        return Err(OutcomeError::Seats);
    }
    let (given, needed) = (u32::try_from(votes.len()).unwrap_or(u32::MAX), votes_needed(testers));
    let Some(first) = votes.first().filter(|_| given >= needed) else {
        return Err(OutcomeError::TooFew { given, needed });
    };
    if votes.iter().any(|vote| vote.reasons.is_empty() != first.reasons.is_empty()) {
        return Err(OutcomeError::Mixed);
    }
    if first.reasons.is_empty() {
        return Ok(Outcome::Passes);
    }
    let all = votes.iter().fold(first.reasons, |all, vote| all.intersection(vote.reasons));
    let any = votes.iter().fold(Reasons::NONE, |any, vote| any.union(vote.reasons));
    Ok(Outcome::Fails(Findings { all, any }))
}

/// Whether the tester signed this vote, by the rule of the chain (ZIP 215, as Substrate's `ed25519_verify`): what is
/// accepted here is accepted there, and the other way round.
pub fn is_signed(genesis: &BlockHash, subject: &Subject, tester: &ServiceNodeId, vote: &Vote) -> bool {
    let message = signing::vote(genesis, subject, vote.reasons);
    VerificationKey::try_from(tester.0).is_ok_and(|key| key.verify(&Signature::from(vote.signature), &message).is_ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec::Vec;
    use ed25519_zebra::{SigningKey, VerificationKeyBytes};
    use proptest::{collection::vec, prelude::*};
    use skep_primitives::Reason;

    pub(crate) const GENESIS: BlockHash = [1; 32];

    pub(crate) const FAILS: Reasons = Reasons::NONE.with(Reason::HttpsUnreachable);

    pub(crate) fn subject() -> Subject {
        Subject { round: 7, block: [2; 32], node: ServiceNodeId([3; 32]) }
    }

    pub(crate) fn tester(seat: u8) -> ServiceNodeId {
        ServiceNodeId(VerificationKeyBytes::from(&key(seat)).into())
    }

    fn key(seat: u8) -> SigningKey {
        SigningKey::from([seat; 32])
    }

    pub(crate) fn vote(seat: u8, reasons: Reasons) -> Vote {
        let signature = key(seat).sign(&signing::vote(&GENESIS, &subject(), reasons)).into();
        Vote { seat, reasons, signature }
    }

    fn votes(seats: impl IntoIterator<Item = u8>, reasons: Reasons) -> Vec<Vote> {
        seats.into_iter().map(|seat| Vote { seat, reasons, signature: [0; 64] }).collect()
    }

    #[test]
    fn seven_of_ten_decide_and_as_large_a_part_of_fewer() {
        assert_eq!([4, 5, 6, 7, 8, 9, 10].map(votes_needed), [3, 4, 5, 5, 6, 7, 7]);
    }

    #[test]
    fn both_sets_of_reasons_are_kept() {
        let mut failing = votes(0..7, FAILS.with(Reason::Clock));
        failing[3].reasons = FAILS.with(Reason::StorageAudit);
        let findings = Findings { all: FAILS, any: FAILS.with(Reason::Clock).with(Reason::StorageAudit) };
        assert_eq!(outcome(10, &failing), Ok(Outcome::Fails(findings)));
        // They need not agree on any reason to agree that it fails.
        failing[3].reasons = Reasons::NONE.with(Reason::Version);
        let Ok(Outcome::Fails(Findings { all, .. })) = outcome(10, &failing) else { panic!("it fails") };
        assert_eq!(all, Reasons::NONE);
        assert_eq!(outcome(10, &votes(3..10, Reasons::NONE)), Ok(Outcome::Passes));
    }

    #[test]
    fn what_decides_nothing_is_named() {
        let too_few = OutcomeError::TooFew { given: 6, needed: 7 };
        assert_eq!(outcome(10, &votes(0..6, FAILS)), Err(too_few));
        assert_eq!(outcome(0, &[]), Err(OutcomeError::TooFew { given: 0, needed: 0 }));
        let seats = [vec![0, 1, 2, 3, 4, 5, 5], vec![1, 0, 2, 3, 4, 5, 6], vec![0, 1, 2, 3, 4, 5, 10]];
        for wrong in seats {
            assert_eq!(outcome(10, &votes(wrong, FAILS)), Err(OutcomeError::Seats));
        }
        assert_eq!(outcome(10, &votes(0..11, FAILS)), Err(OutcomeError::Seats));
        let mut mixed = votes(0..8, FAILS);
        mixed[2].reasons = Reasons::NONE;
        assert_eq!(outcome(10, &mixed), Err(OutcomeError::Mixed));
    }

    #[test]
    fn a_signature_binds_all_a_vote_says() {
        let good = vote(4, FAILS);
        assert!(is_signed(&GENESIS, &subject(), &tester(4), &good));
        assert!(!is_signed(&[9; 32], &subject(), &tester(4), &good));
        assert!(!is_signed(&GENESIS, &subject(), &tester(5), &good));
        assert!(!is_signed(&GENESIS, &subject(), &tester(4), &Vote { reasons: Reasons::NONE, ..good }));
        for other in [
            Subject { round: 8, ..subject() },
            Subject { block: [9; 32], ..subject() },
            Subject { node: tester(1), ..subject() },
        ] {
            assert!(!is_signed(&GENESIS, &other, &tester(4), &good));
        }
        assert!(!is_signed(&GENESIS, &subject(), &ServiceNodeId([0xff; 32]), &good));
    }

    proptest! {
        #[test]
        fn no_votes_break_the_count(
            testers in 0u32..12,
            votes in vec((any::<u8>(), 0u16..128), 0..14),
        ) {
            let votes: Vec<_> = votes
                .into_iter()
                .map(|(seat, bits)| {
                    Vote { seat, reasons: Reasons::from_bits(bits).expect("known"), signature: [0; 64] }
                })
                .collect();
            if let Ok(decided) = outcome(testers, &votes) {
                prop_assert!(votes.len() as u32 >= votes_needed(testers) && votes.len() as u32 <= testers);
                match decided {
                    Outcome::Passes => prop_assert!(votes.iter().all(|vote| vote.reasons.is_empty())),
                    Outcome::Fails(Findings { all, any }) => {
                        prop_assert!(!any.is_empty());
                        for vote in &votes {
                            prop_assert!(!vote.reasons.is_empty());
                            prop_assert_eq!(vote.reasons.union(any), any);
                            prop_assert_eq!(vote.reasons.intersection(all), all);
                        }
                    }
                }
            }
        }
    }
}
