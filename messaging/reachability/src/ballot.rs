//! From a tester's judgement to a verdict on the chain.
//!
//! | event | effect |
//! |---|---|
//! | [`Ballots::cast`]: the own probes say something of a node | the vote is signed for each round that has this node as target |
//! | [`Ballots::poll_offer`] | the own votes go to every other tester of the round, again and again until it took them |
//! | [`Ballots::handle_votes`] | another tester's votes are counted; it is told those it lacks |
//! | enough votes agree, and would change how the node stands | each tester waits for its turn |
//! | [`Ballots::poll_verdict`] | the first in turn submits; the next one only if that changed nothing |
//! | the roster shows the change, or the round ends | the ballot is closed |

use crate::{Judgement, Pace};
use skep_obligations::{Tally, TallyError, votes_needed};
use skep_primitives::{
    BlockHash, BlockNumber, MAX_TESTERS, NodeState, Reasons, ServiceNodeId, Subject, TestingRound, TestingTerms,
    Verdict, Vote, signing,
};
use std::collections::{BTreeMap, BTreeSet};

/// Most votes that can be held on one subject: each tester may say that a node fails, and later that it passes.
pub const MAX_VOTES: usize = 2 * MAX_TESTERS as usize;
/// Most rounds that are kept: what the longest life of votes needs, and a few whose ends lie in the past.
const MAX_ROUNDS: usize = TestingTerms::MAX_VOTE_ROUNDS as usize + 16;

/// Signs with the tester's node key.
pub type Sign<'a> = &'a dyn Fn(&[u8]) -> [u8; 64];

/// The votes of the rounds in which one node is a tester. Times are milliseconds of a clock that does not jump.
#[derive(Clone, Debug)]
pub struct Ballots {
    me: ServiceNodeId,
    genesis: BlockHash,
    pace: Pace,
    height: BlockNumber,
    states: BTreeMap<ServiceNodeId, NodeState>,
    rounds: BTreeMap<u32, Round>,
}

/// Votes for another tester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whom to send them to.
    pub to: ServiceNodeId,
    /// What they are about.
    pub subject: Subject,
    /// The own votes.
    pub votes: Vec<Vote>,
}

/// Another node's votes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VotesRefusal {
    /// It may be known here soon.
    #[error("this node is no tester of round {0}, or does not know it yet")]
    Round(u32),
    /// Another history, or another network.
    #[error("round {0} began after another block")]
    Block(u32),
    /// The round does not test that node.
    #[error("round {0} does not test that node")]
    Node(u32),
    /// Not a tester's.
    #[error("you are no tester of round {0}")]
    Stranger(u32),
    /// More than there can be.
    #[error("{0} votes are more than a quorum can give")]
    TooMany(usize),
    /// One of them does not count.
    #[error(transparent)]
    Vote(#[from] TallyError),
}

#[derive(Clone, Debug)]
struct Round {
    about: TestingRound,
    targets: BTreeSet<ServiceNodeId>,
    seat: u8,
    ballots: BTreeMap<ServiceNodeId, Ballot>,
}

#[derive(Clone, Debug)]
struct Ballot {
    tally: Tally,
    /// Testers, by their seats, that have not taken the own votes.
    owed: BTreeMap<u8, Owed>,
    /// When a verdict that the node passes, or fails, is submitted from here.
    passing: Turn,
    failing: Turn,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    due: u64,
    pause: u64,
}

/// When it is this tester's turn to submit, and whether it has done so in vain.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    due: Option<u64>,
    tried: bool,
}

/// Which verdicts on one node have their turn in older rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    in_vain: u64,
    by_untried: bool,
}

impl Ballots {
    /// No rounds yet, for the node `me`.
    pub const fn new(me: ServiceNodeId, genesis: BlockHash, pace: Pace) -> Self {
        Self { me, genesis, pace, height: 0, states: BTreeMap::new(), rounds: BTreeMap::new() }
    }

    /// Takes how every node stands at the newest finalized block.
    pub fn handle_roster(
        &mut self,
        now: u64,
        height: BlockNumber,
        states: impl IntoIterator<Item = (ServiceNodeId, NodeState)>,
    ) {
        self.height = height;
        self.states = states.into_iter().collect();
        self.rounds.retain(|_, round| round.about.ends_at >= height);
        self.take_turns(now);
    }

    /// Takes a round of the finalized chain. True if this node is a tester of it and did not know it.
    pub fn handle_round(&mut self, round: TestingRound) -> bool {
        let seat = round.testers.iter().position(|tester| *tester == self.me);
        let Some(seat) = seat.and_then(|seat| u8::try_from(seat).ok()) else { return false };
        let is_known = self.rounds.get(&round.round).is_some_and(|known| known.about.block == round.block);
        if is_known || round.ends_at < self.height {
            return false;
        }
        let targets = round.targets.iter().copied().collect();
        self.rounds.insert(round.round, Round { about: round, targets, seat, ballots: BTreeMap::new() });
        while self.rounds.len() > MAX_ROUNDS {
            self.rounds.pop_first();
        }
        true
    }

    /// Votes on `node` in every round that tests it, once in each: how many votes that are.
    pub fn cast(&mut self, now: u64, node: ServiceNodeId, judgement: Judgement, sign: Sign<'_>) -> usize {
        let Some(state) = self.states.get(&node).copied() else { return 0 };
        let mut votes = 0;
        let reasons = match judgement {
            Judgement::Failing(reasons) => reasons,
            Judgement::Passing => Reasons::NONE,
        };
        for round in self.rounds.values_mut() {
            if round.targets.contains(&node) && round.is_worth_voting(&state, reasons.is_empty()) {
                votes += usize::from(round.cast(now, &self.genesis, node, reasons, sign));
            }
        }
        self.take_turns(now);
        votes
    }

    /// Takes another tester's votes: those it lacks.
    pub fn handle_votes(
        &mut self,
        now: u64,
        from: &ServiceNodeId,
        subject: &Subject,
        votes: &[Vote],
    ) -> Result<Vec<Vote>, VotesRefusal> {
        let number = subject.round;
        let round = self.rounds.get_mut(&number).ok_or(VotesRefusal::Round(number))?;
        if round.about.block != subject.block {
            return Err(VotesRefusal::Block(number));
        }
        if !round.targets.contains(&subject.node) {
            return Err(VotesRefusal::Node(number));
        }
        if !round.about.testers.contains(from) {
            return Err(VotesRefusal::Stranger(number));
        }
        if votes.len() > MAX_VOTES {
            return Err(VotesRefusal::TooMany(votes.len()));
        }
        let held = round.count(&self.genesis, subject.node, votes);
        self.take_turns(now);
        let mut held = held?;
        held.retain(|vote| !votes.contains(vote));
        Ok(held)
    }

    /// Votes to send to another tester now.
    pub fn poll_offer(&mut self, now: u64) -> Option<Offer> {
        let pace = self.pace;
        self.rounds.values_mut().find_map(|round| round.poll_offer(now, pace))
    }

    /// Takes that an offer arrived, with the votes this node lacked.
    pub fn handle_answer(&mut self, now: u64, offer: &Offer, votes: &[Vote]) -> Result<(), VotesRefusal> {
        let number = offer.subject.round;
        let round = self.rounds.get_mut(&number).ok_or(VotesRefusal::Round(number))?;
        if votes.len() > MAX_VOTES {
            return Err(VotesRefusal::TooMany(votes.len()));
        }
        round.settle(offer);
        let counted = round.count(&self.genesis, offer.subject.node, votes);
        self.take_turns(now);
        counted.map(drop).map_err(VotesRefusal::from)
    }

    /// A verdict to submit now.
    pub fn poll_verdict(&mut self, now: u64) -> Option<Verdict> {
        let pace = self.pace;
        self.rounds.values_mut().find_map(|round| round.poll_verdict(now, pace))
    }

    /// When [`Self::poll_offer`] or [`Self::poll_verdict`] has something next, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<u64> {
        let ballots = self.rounds.values().flat_map(|round| round.ballots.values());
        ballots.flat_map(Ballot::due).min()
    }

    /// Whether this node is to judge `node` in some round.
    pub fn judges(&self, node: &ServiceNodeId) -> bool {
        self.rounds.values().any(|round| round.targets.contains(node))
    }

    /// Rounds in which this node is a tester now.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// Begins to wait for the own turn where a verdict would change something, and stops where it no longer would.
    fn take_turns(&mut self, now: u64) {
        let (height, pace) = (self.height, self.pace);
        let mut taken = BTreeMap::new();
        for round in self.rounds.values_mut() {
            round.take_turns(now, height, pace, &self.states, &mut taken);
        }
    }
}

impl Round {
    /// Whether a vote of this round that a node passes (or fails) can change how it stands: now, or once its credit ends.
    /// The chain takes nothing from a round that began before the node came to stand so.
    fn is_worth_voting(&self, state: &NodeState, passing: bool) -> bool {
        let began_after = |since: BlockNumber| self.about.begins_at > since;
        match *state {
            NodeState::Gathering { .. } => false,
            NodeState::Active { since } => !passing && began_after(since),
            NodeState::Leaving { .. } => !passing,
            NodeState::Decommissioned { since, .. } => began_after(since),
        }
    }

    /// Whether a verdict that a node passes (or fails) changes how it stands now.
    fn changes(&self, state: &NodeState, height: BlockNumber, passing: bool) -> bool {
        let is_due = match *state {
            NodeState::Decommissioned { credit_ends_at, .. } => passing || height >= credit_ends_at,
            NodeState::Gathering { .. } | NodeState::Active { .. } | NodeState::Leaving { .. } => true,
        };
        is_due && self.is_worth_voting(state, passing)
    }

    fn empty(&self, genesis: &BlockHash, node: ServiceNodeId) -> Ballot {
        let subject = Subject { round: self.about.round, block: self.about.block, node };
        let tally = Tally::new(*genesis, subject, self.about.testers.clone());
        Ballot { tally, owed: BTreeMap::new(), passing: Turn::default(), failing: Turn::default() }
    }

    /// Votes on a node; false if that was done before.
    fn cast(&mut self, now: u64, genesis: &BlockHash, node: ServiceNodeId, reasons: Reasons, sign: Sign<'_>) -> bool {
        let seat = self.seat;
        let empty = self.empty(genesis, node);
        let ballot = self.ballots.entry(node).or_insert(empty);
        let is_mine = |vote: &&Vote| vote.seat == seat && vote.reasons.is_empty() == reasons.is_empty();
        if ballot.tally.votes().any(|vote| is_mine(&vote)) {
            return false;
        }
        let signature = sign(&signing::vote(genesis, ballot.tally.subject(), reasons));
        let is_cast = ballot.tally.count(Vote { seat, reasons, signature }).is_ok();
        if is_cast {
            let others = (0..).take(self.about.testers.len()).filter(|other| *other != seat);
            ballot.owed = others.map(|other| (other, Owed { due: now, pause: 0 })).collect();
        }
        is_cast
    }

    /// Counts votes: all that are held afterwards. What comes before a vote that does not count stays counted.
    fn count(&mut self, genesis: &BlockHash, node: ServiceNodeId, votes: &[Vote]) -> Result<Vec<Vote>, TallyError> {
        let mut ballot = self.ballots.remove(&node).unwrap_or_else(|| self.empty(genesis, node));
        let counted = votes.iter().try_for_each(|vote| ballot.tally.count(*vote).map(drop));
        let held: Vec<_> = ballot.tally.votes().copied().collect();
        if !held.is_empty() {
            self.ballots.insert(node, ballot);
        }
        counted.map(|()| held)
    }

    fn poll_offer(&mut self, now: u64, pace: Pace) -> Option<Offer> {
        let Self { about, seat, ballots, .. } = self;
        for ballot in ballots.values_mut() {
            let Some((to, owed)) = ballot.owed.iter_mut().find(|(_, owed)| owed.due <= now) else { continue };
            owed.pause =
                owed.pause.saturating_mul(2).clamp(pace.exchange_pause(), pace.round().max(pace.exchange_pause()));
            owed.due = now.saturating_add(owed.pause);
            let to = *about.testers.get(usize::from(*to))?;
            let votes = ballot.tally.votes().filter(|vote| vote.seat == *seat).copied().collect();
            return Some(Offer { to, subject: *ballot.tally.subject(), votes });
        }
        None
    }

    /// A tester has taken what was offered: it is owed nothing, unless there is a newer vote.
    fn settle(&mut self, offer: &Offer) {
        let Some(ballot) = self.ballots.get_mut(&offer.subject.node) else { return };
        let own = ballot.tally.votes().filter(|vote| vote.seat == self.seat).count();
        if own == offer.votes.len() {
            let testers = &self.about.testers;
            ballot.owed.retain(|seat, _| testers.get(usize::from(*seat)) != Some(&offer.to));
        }
    }

    fn take_turns(
        &mut self,
        now: u64,
        height: BlockNumber,
        pace: Pace,
        states: &BTreeMap<ServiceNodeId, NodeState>,
        taken: &mut BTreeMap<(ServiceNodeId, bool), Taken>,
    ) {
        // Otherwise the ballots could not be changed while the round is asked.
        let mut ballots = std::mem::take(&mut self.ballots);
        ballots.retain(|node, _| states.contains_key(node));
        for (node, ballot) in &mut ballots {
            let Some(state) = states.get(node) else { continue };
            for passing in [false, true] {
                let is_ready = self.verdict(ballot, passing).is_some() && self.changes(state, height, passing);
                let turn = if passing { &mut ballot.passing } else { &mut ballot.failing };
                if !is_ready {
                    *turn = Turn::default();
                    continue;
                }
                // One verdict is enough: that of the oldest round. The next one's is for when that was in vain.
                let taken = taken.entry((*node, passing)).or_default();
                let turns =
                    taken.in_vain.saturating_mul(self.about.testers.len() as u64).saturating_add(self.place(node));
                let due = now.saturating_add(turns.saturating_mul(pace.submission_pause()));
                turn.due = (turn.tried || !taken.by_untried).then(|| turn.due.unwrap_or(due));
                taken.in_vain = taken.in_vain.saturating_add(turn.tried.into());
                taken.by_untried |= !turn.tried;
            }
        }
        self.ballots = ballots;
    }

    /// How many testers submit before this one: those whose ids are nearer to the node's, so that others have the first
    /// turn for another node, and mostly the same ones in another round.
    fn place(&self, node: &ServiceNodeId) -> u64 {
        let distance = |tester: &ServiceNodeId| -> [u8; 32] {
            let mut bytes = tester.0;
            bytes.iter_mut().zip(node.0).for_each(|(byte, other)| *byte ^= other);
            bytes
        };
        let own = self.about.testers.get(usize::from(self.seat)).map(distance);
        self.about.testers.iter().filter(|tester| Some(distance(tester)) < own).count() as u64
    }

    fn verdict(&self, ballot: &Ballot, passing: bool) -> Option<Verdict> {
        let needed = votes_needed(u32::try_from(self.about.testers.len()).ok()?) as usize;
        let agreeing = ballot.tally.votes().filter(|vote| vote.reasons.is_empty() == passing);
        // Each list comes in the order of seats; just as many as decide.
        let votes: Vec<_> = agreeing.take(needed).copied().collect();
        (needed > 0 && votes.len() == needed).then(|| Verdict { subject: *ballot.tally.subject(), votes })
    }

    fn poll_verdict(&mut self, now: u64, pace: Pace) -> Option<Verdict> {
        let testers = self.about.testers.len() as u64;
        let again = now.saturating_add(testers.saturating_mul(pace.submission_pause()));
        let due = |turn: &Turn| turn.due.is_some_and(|due| due <= now);
        let (node, passing) = self.ballots.iter().find_map(|(node, ballot)| {
            let passing = due(&ballot.passing);
            (passing || due(&ballot.failing)).then_some((*node, passing))
        })?;
        let ballot = self.ballots.get_mut(&node)?;
        // If that changes nothing, everybody has a turn before the next attempt.
        let turn = if passing { &mut ballot.passing } else { &mut ballot.failing };
        *turn = Turn { due: Some(again), tried: true };
        self.verdict(self.ballots.get(&node)?, passing)
    }
}

impl Ballot {
    fn due(&self) -> impl Iterator<Item = u64> {
        let owed = self.owed.values().map(|owed| owed.due);
        owed.chain(self.passing.due).chain(self.failing.due)
    }
}

#[cfg(test)]
mod tests;
