//! One node as a tester: what it probes becomes votes, votes become verdicts.

use crate::{Ballots, Judgement, Offer, Outcome, Pace, Prober, Sign, VotesRefusal};
use rand::Rng;
use skep_primitives::{
    BlockHash, BlockNumber, NodeState, Reason, Reasons, ServiceNodeId, Subject, TestingRound, Verdict, Vote,
};

/// Everything one tester knows. Times are milliseconds of a clock that does not jump.
#[derive(Clone, Debug)]
pub struct Tester {
    me: ServiceNodeId,
    pace: Pace,
    prober: Prober,
    ballots: Ballots,
}

impl Tester {
    /// Begins at `now`, knowing nobody.
    pub fn new(me: ServiceNodeId, genesis: BlockHash, pace: Pace, now: u64) -> Self {
        Self { me, pace, prober: Prober::new(pace, now), ballots: Ballots::new(me, genesis, pace) }
    }

    /// The durations it works by.
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes how every registered node stands at the newest finalized block.
    pub fn handle_roster(
        &mut self,
        now: u64,
        height: BlockNumber,
        states: impl IntoIterator<Item = (ServiceNodeId, NodeState)>,
    ) {
        let tested: Vec<_> = states.into_iter().filter(|(_, state)| state.is_tested()).collect();
        let others = tested.iter().map(|(node, _)| *node).filter(|node| *node != self.me);
        self.prober.handle_roster(others);
        self.ballots.handle_roster(now, height, tested);
    }

    /// Takes a round of the finalized chain. If this node is a tester of it, all its targets are probed within half a round.
    pub fn handle_round(&mut self, now: u64, round: TestingRound) {
        let targets = round.targets.clone();
        if self.ballots.handle_round(round) {
            let pause = self.pace.round() / (2 * targets.len().max(1) as u64);
            for (number, target) in (0..).zip(targets) {
                self.prober.handle_wish(target, now.saturating_add(pause.saturating_mul(number)));
            }
        }
    }

    /// A node to probe now. Each one given out must come back to [`Self::handle_outcome`].
    pub fn poll_probe(&mut self, now: u64, rng: &mut impl Rng) -> Option<ServiceNodeId> {
        self.prober.poll_probe(now, rng)
    }

    /// Takes what the probe of `node` found, which ended at `now`. Tells what was voted on the node, if that led to new votes.
    pub fn handle_outcome(
        &mut self,
        now: u64,
        node: ServiceNodeId,
        outcome: Outcome,
        sign: Sign<'_>,
    ) -> Option<Judgement> {
        let judgement = self.prober.handle_outcome(now, node, outcome)?;
        (self.ballots.cast(now, node, judgement, sign) > 0).then_some(judgement)
    }

    /// Takes another tester's votes: those it lacks. See [`Ballots::handle_votes`].
    pub fn handle_votes(
        &mut self,
        now: u64,
        from: &ServiceNodeId,
        subject: &Subject,
        votes: &[Vote],
    ) -> Result<Vec<Vote>, VotesRefusal> {
        self.ballots.handle_votes(now, from, subject, votes)
    }

    /// Votes to send to another tester now.
    pub fn poll_offer(&mut self, now: u64) -> Option<Offer> {
        self.ballots.poll_offer(now)
    }

    /// Takes that an offer arrived, with the votes this node lacked.
    pub fn handle_answer(&mut self, now: u64, offer: &Offer, votes: &[Vote]) -> Result<(), VotesRefusal> {
        self.ballots.handle_answer(now, offer, votes)
    }

    /// A verdict to submit now.
    pub fn poll_verdict(&mut self, now: u64) -> Option<Verdict> {
        self.ballots.poll_verdict(now)
    }

    /// When there is something to do next, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.prober.poll_timeout().into_iter().chain(self.ballots.poll_timeout()).min()
    }

    /// What nearly everyone seems to fail in, so that it is the own fault. Of that nobody is accused.
    pub fn distrusted(&self) -> Reasons {
        self.prober.distrusted()
    }

    /// How many nodes failed for this reason when they were last probed.
    pub fn failing(&self, reason: Reason) -> usize {
        self.prober.failing(reason)
    }

    /// Whether `node` answered over QUIC when it was last probed.
    pub fn answers(&self, node: &ServiceNodeId) -> bool {
        self.prober.answers(node)
    }

    /// Whether this node is to judge `node` in some round.
    pub fn judges(&self, node: &ServiceNodeId) -> bool {
        self.ballots.judges(node)
    }

    /// Rounds in which this node is a tester now.
    pub fn rounds(&self) -> usize {
        self.ballots.rounds()
    }
}

#[cfg(test)]
mod tests;
