//! Votes of testers as they travel between service nodes.

use skep_primitives::{Reasons, ServiceNodeId, Subject, Vote};
use skep_proto::peer;
use skep_reachability::MAX_VOTES;

/// Another node's votes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadVotesError {
    /// No subject, or hashes and keys of the wrong length.
    #[error("what the votes are about cannot be read")]
    Subject,
    /// More than can be held on one subject.
    #[error("{0} votes are more than a quorum can give")]
    TooMany(usize),
    /// Seat, reasons or signature out of range.
    #[error("a vote cannot be read")]
    Vote,
}

/// The wire form of votes on `subject`.
pub fn write_votes(subject: &Subject, votes: &[Vote]) -> peer::Votes {
    let Subject { round, block, node } = subject;
    let subject = peer::Subject { round: *round, block: block.to_vec().into(), node: node.0.to_vec().into() };
    peer::Votes { subject: Some(subject), votes: votes.iter().map(write_vote).collect() }
}

/// Votes and what they are about, from their wire form.
pub fn read_votes(wire: &peer::Votes) -> Result<(Subject, Vec<Vote>), ReadVotesError> {
    let peer::Subject { round, block, node } = wire.subject.as_ref().ok_or(ReadVotesError::Subject)?;
    let block = block.as_ref().try_into().map_err(|_| ReadVotesError::Subject)?;
    let node = node.as_ref().try_into().map_err(|_| ReadVotesError::Subject)?;
    Ok((Subject { round: *round, block, node: ServiceNodeId(node) }, read_list(&wire.votes)?))
}

/// The wire form of votes that were asked for.
pub fn write_held(votes: &[Vote]) -> peer::VotesHeld {
    peer::VotesHeld { votes: votes.iter().map(write_vote).collect() }
}

/// Votes that were asked for, from their wire form.
pub fn read_held(wire: &peer::VotesHeld) -> Result<Vec<Vote>, ReadVotesError> {
    read_list(&wire.votes)
}

fn write_vote(vote: &Vote) -> peer::Vote {
    let Vote { seat, reasons, signature } = vote;
    peer::Vote { seat: (*seat).into(), reasons: reasons.bits().into(), signature: signature.to_vec().into() }
}

fn read_list(votes: &[peer::Vote]) -> Result<Vec<Vote>, ReadVotesError> {
    if votes.len() > MAX_VOTES {
        return Err(ReadVotesError::TooMany(votes.len()));
    }
    votes.iter().map(|vote| read_vote(vote).ok_or(ReadVotesError::Vote)).collect()
}

fn read_vote(vote: &peer::Vote) -> Option<Vote> {
    Some(Vote {
        seat: vote.seat.try_into().ok()?,
        reasons: Reasons::from_bits(vote.reasons.try_into().ok()?)?,
        signature: vote.signature.as_ref().try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> peer::Votes {
        let subject = Subject { round: 1, block: [2; 32], node: ServiceNodeId([3; 32]) };
        write_votes(&subject, &[Vote { seat: 4, reasons: Reasons::NONE, signature: [5; 64] }])
    }

    proptest! {
        #[test]
        fn votes_survive_the_wire(
            round: u32,
            block: [u8; 32],
            node: [u8; 32],
            votes in proptest::collection::vec((any::<u8>(), 0_u16..128, any::<u8>()), 0..=MAX_VOTES),
        ) {
            let subject = Subject { round, block, node: ServiceNodeId(node) };
            let vote = |(seat, reasons, byte)| {
                Vote { seat, reasons: Reasons::from_bits(reasons).expect("known"), signature: [byte; 64] }
            };
            let votes: Vec<_> = votes.into_iter().map(vote).collect();
            prop_assert_eq!(read_held(&write_held(&votes)), Ok(votes.clone()));
            prop_assert_eq!(read_votes(&write_votes(&subject, &votes)), Ok((subject, votes)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |change: fn(&mut peer::Votes)| {
            let mut wire = good();
            change(&mut wire);
            read_votes(&wire).expect_err("should be refused")
        };
        assert!(read_votes(&good()).is_ok());
        assert_eq!(refused(|wire| wire.subject = None), ReadVotesError::Subject);
        assert_eq!(refused(|wire| wire.subject.as_mut().unwrap().block = vec![0; 31].into()), ReadVotesError::Subject);
        assert_eq!(refused(|wire| wire.subject.as_mut().unwrap().node = vec![0; 33].into()), ReadVotesError::Subject);
        assert_eq!(refused(|wire| wire.votes[0].seat = 256), ReadVotesError::Vote);
        assert_eq!(refused(|wire| wire.votes[0].reasons = 128), ReadVotesError::Vote);
        assert_eq!(refused(|wire| wire.votes[0].reasons = 1 << 16), ReadVotesError::Vote);
        assert_eq!(refused(|wire| wire.votes[0].signature = vec![0; 63].into()), ReadVotesError::Vote);
        let many = |wire: &mut peer::Votes| wire.votes = vec![wire.votes[0].clone(); MAX_VOTES + 1];
        assert_eq!(refused(many), ReadVotesError::TooMany(21));
    }
}
