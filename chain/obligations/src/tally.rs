//! Votes as they come in, off chain, until they decide.

use crate::{is_signed, votes_needed};
use alloc::{collections::BTreeMap, vec::Vec};
use skep_primitives::{BlockHash, ServiceNodeId, Subject, Verdict, Vote};

/// The votes on one subject. It holds at most two a seat, so strangers cannot fill it.
#[derive(Clone, Debug)]
pub struct Tally {
    genesis: BlockHash,
    subject: Subject,
    testers: Vec<ServiceNodeId>,
    passing: BTreeMap<u8, Vote>,
    failing: BTreeMap<u8, Vote>,
}

/// A vote does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    /// The quorum has no such seat.
    #[error("the quorum has no seat {0}")]
    NoSeat(u8),
    /// The tester of that seat did not sign it.
    #[error("the tester of seat {0} did not sign this vote")]
    NotSigned(u8),
}

impl Tally {
    /// No votes yet on `subject`, to be given by these testers (see [`skep_primitives::TestingRound`]).
    pub const fn new(genesis: BlockHash, subject: Subject, testers: Vec<ServiceNodeId>) -> Self {
        Self { genesis, subject, testers, passing: BTreeMap::new(), failing: BTreeMap::new() }
    }

    /// What is voted on.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Counts a vote. True if it is new; of several of one tester that say alike whether the node passes, the first stays.
    pub fn count(&mut self, vote: Vote) -> Result<bool, TallyError> {
        let tester = self.testers.get(usize::from(vote.seat)).ok_or(TallyError::NoSeat(vote.seat))?;
        let votes = if vote.reasons.is_empty() { &mut self.passing } else { &mut self.failing };
        if votes.contains_key(&vote.seat) {
            return Ok(false);
        }
        if !is_signed(&self.genesis, &self.subject, tester, &vote) {
            return Err(TallyError::NotSigned(vote.seat));
        }
        votes.insert(vote.seat, vote);
        Ok(true)
    }

    /// Every vote counted so far.
    pub fn votes(&self) -> impl Iterator<Item = &Vote> {
        self.passing.values().chain(self.failing.values())
    }

    /// The verdict, once enough agree: just as many votes as it needs, those of the lowest seats.
    pub fn verdict(&self) -> Option<Verdict> {
        let needed = votes_needed(u32::try_from(self.testers.len()).ok()?) as usize;
        let enough = [&self.failing, &self.passing].into_iter().find(|votes| needed > 0 && votes.len() >= needed)?;
        Some(Verdict { subject: self.subject, votes: enough.values().take(needed).copied().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Outcome, outcome,
        vote::tests::{FAILS, GENESIS, subject, tester, vote},
    };
    use skep_primitives::{Reason, Reasons};

    fn tally() -> Tally {
        Tally::new(GENESIS, subject(), (0..10).map(tester).collect())
    }

    #[test]
    fn the_seventh_vote_decides() {
        let mut tally = tally();
        for seat in [9, 2, 4, 0, 7, 1] {
            assert_eq!(tally.count(vote(seat, FAILS)), Ok(true));
            assert_eq!(tally.verdict(), None);
        }
        // Who says the opposite does not help.
        assert_eq!(tally.count(vote(3, Reasons::NONE)), Ok(true));
        assert_eq!(tally.verdict(), None);
        assert_eq!(tally.count(vote(8, FAILS.with(Reason::Clock))), Ok(true));
        let verdict = tally.verdict().expect("seven agree");
        assert_eq!(verdict.votes.iter().map(|vote| vote.seat).collect::<Vec<_>>(), [0, 1, 2, 4, 7, 8, 9]);
        assert!(matches!(outcome(10, &verdict.votes), Ok(Outcome::Fails(_))));
        assert_eq!(tally.votes().count(), 8);
    }

    #[test]
    fn strangers_and_forgers_are_not_counted() {
        let mut tally = tally();
        assert_eq!(tally.count(vote(10, FAILS)), Err(TallyError::NoSeat(10)));
        assert_eq!(tally.count(Vote { seat: 2, ..vote(1, FAILS) }), Err(TallyError::NotSigned(2)));
        assert_eq!(tally.count(vote(2, FAILS)), Ok(true));
        assert_eq!(tally.count(vote(2, FAILS.with(Reason::Clock))), Ok(false));
        assert_eq!(tally.count(Vote { signature: [0; 64], ..vote(2, FAILS) }), Ok(false));
        assert_eq!(tally.votes().count(), 1);
    }

    #[test]
    fn nobody_decides_nothing() {
        assert_eq!(Tally::new(GENESIS, subject(), Vec::new()).verdict(), None);
    }
}
