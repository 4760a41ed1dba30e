//! Testing other nodes: probes, votes and verdicts, as [`skep_reachability`] says.

mod metrics;
mod told;

pub(crate) use metrics::TestingMetrics;

use super::{
    audit::{ask_members, audit},
    defences::peer_rates,
    node::Node,
    probe::probe,
    rate::RateLimits,
};
use crate::core::{own_swarm, read_held, write_votes};
use futures::{
    StreamExt,
    future::{BoxFuture, FusedFuture, FutureExt},
    stream::FuturesUnordered,
};
use rand::{RngCore, seq::IteratorRandom};
use skep_chain_client::{RosterReceiver, RosterView};
use skep_primitives::{
    BlockHash, Reason, RosterEntry, ServiceNodeId, Subject, TestingRound, TestingTerms, Verdict, Vote,
};
use skep_proto::peer::{self, request::Request, response::Response};
use skep_reachability::{
    Audited, Audits, Heard, Hearing, Judgement, Offer, Outcome, Pace, Report, Tester, VotesRefusal, testee,
};
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use told::Told;

/// The oldest version that is still spoken with.
pub(crate) const OLDEST_VERSION: [u16; 3] = [0, 1, 0];
/// How long another tester may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// With nothing to do, there may be something after this long.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Nodes probed at once because they asked for it.
const PROBES_FOR_OTHERS: usize = 4;

/// Where rounds come from and verdicts go: the chain.
pub trait Court: Debug + Send + Sync + 'static {
    /// The rounds whose votes count now, according to the finalized chain.
    fn rounds(&self) -> BoxFuture<'_, Result<Vec<TestingRound>, CourtError>>;

    /// Submits a verdict. Returns once it is known whether it was taken.
    fn submit(&self, verdict: Verdict) -> BoxFuture<'_, Result<(), CourtError>>;
}

/// The chain did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CourtError {
    /// It says no: most often because somebody else's verdict was first.
    #[error("the chain refused: {0}")]
    Refused(String),
    /// Nobody answers.
    #[error("no chain node answers: {0}")]
    Unreachable(String),
}

/// What a node needs to test others.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The network's first block.
    pub genesis: BlockHash,
    /// The network's durations.
    pub testing: TestingTerms,
    /// The chain.
    pub court: Arc<dyn Court>,
}

/// What one node has for testing and being tested.
#[derive(Debug)]
pub(crate) struct Testing {
    /// Names this run of the software.
    pub(crate) instance: [u8; 16],
    began: Instant,
    heard: Mutex<Heard>,
    tester: OnceLock<Mutex<Tester>>,
    audits: Mutex<Audits>,
    votes_came: Notify,
    pub(crate) asked_for: RateLimits<ServiceNodeId>,
    pub(crate) probes_for_others: Semaphore,
}

impl Testing {
    pub(crate) fn new() -> Self {
        let mut instance = [0; 16];
        rand::rng().fill_bytes(&mut instance);
        Self {
            instance,
            began: Instant::now(),
            heard: Mutex::new(Heard::new(0)),
            tester: OnceLock::new(),
            audits: Mutex::default(),
            votes_came: Notify::new(),
            asked_for: peer_rates(1),
            probes_for_others: Semaphore::new(PROBES_FOR_OTHERS),
        }
    }

    /// Milliseconds by a clock that does not jump.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the tester, if this node tests.
    fn with<T>(&self, act: impl FnOnce(&mut Tester, u64) -> T) -> Option<T> {
        let tester = self.tester.get()?;
        Some(act(&mut tester.lock().unwrap_or_else(PoisonError::into_inner), self.now()))
    }

    fn audits(&self) -> MutexGuard<'_, Audits> {
        self.audits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node's audits say of a member of its swarm.
    pub(crate) fn report(&self, member: &ServiceNodeId) -> Report {
        let pace = self.with(|tester, _| tester.pace());
        pace.map_or(Report::Unknown, |pace| self.audits().report(member, pace))
    }

    /// Takes that another node pinged this one.
    pub(crate) fn handle_ping(&self) {
        if let Some(Hearing::Again(silence)) = self.heard().handle_probe(self.now()) {
            tracing::info!(seconds = silence / 1000, "other nodes reach this one again");
        }
    }

    /// Takes another tester's votes: those it lacks, or why they are not taken.
    pub(crate) fn handle_votes(
        &self,
        from: &ServiceNodeId,
        subject: &Subject,
        votes: &[Vote],
    ) -> Option<Result<Vec<Vote>, VotesRefusal>> {
        let taken = self.with(|tester, now| tester.handle_votes(now, from, subject, votes));
        self.votes_came.notify_one();
        taken
    }
}

/// Tests others until the roster is no longer followed.
pub(super) async fn run(node: Arc<Node>, terms: Terms, mut roster: RosterReceiver) {
    let testing = &node.testing;
    let pace = Pace::of(&terms.testing);
    let tester = Tester::new(node.id, terms.genesis, pace, testing.now());
    if testing.tester.set(Mutex::new(tester)).is_err() {
        tracing::error!("this node tests others already");
        return;
    }
    testing.heard().handle_solitude(testing.now());
    let mut told = Told::default();
    let mut probes = FuturesUnordered::new();
    let mut offers = FuturesUnordered::new();
    let mut submissions = FuturesUnordered::new();
    let mut audits = FuturesUnordered::new();
    let mut newest_audited = None;
    let mut rounds = terms.court.rounds().fuse();
    let rounds_pause = Duration::from_millis(pace.round() / 4).max(Duration::from_secs(1));
    let mut ask_rounds_at = Instant::now();
    take_roster(&node, &roster.borrow_and_update().clone());

    loop {
        while let Some(id) = testing.with(|tester, now| tester.poll_probe(now, &mut rand::rng())).flatten() {
            probes.push(look(&node, id));
        }
        while let Some(offer) = testing.with(|tester, now| tester.poll_offer(now)).flatten() {
            offers.push(send(&node, offer));
        }
        while let Some(verdict) = testing.with(|tester, now| tester.poll_verdict(now)).flatten() {
            submissions.push(submit(&node, &terms, verdict));
        }
        told.tell(&node, pace);
        let due = testing.with(|tester, now| tester.poll_timeout().map(|due| due.saturating_sub(now))).flatten();
        let wait = due.map_or(LONGEST_WAIT, Duration::from_millis).min(Duration::from_millis(pace.unheard()));
        tokio::select! {
            changed = roster.changed() => {
                if changed.is_err() {
                    return;
                }
                take_roster(&node, &roster.borrow_and_update().clone());
            }
            answer = &mut rounds => {
                let newest = take_rounds(&node, answer);
                if let Some(round) = newest.filter(|round| newest_audited < Some(round.round)) {
                    newest_audited = Some(round.round);
                    audits.extend(whom_to_audit(&node, &round).map(|entry| show(&node, entry, pace)));
                }
                ask_rounds_at = Instant::now() + rounds_pause;
            }
            () = sleep(ask_rounds_at.saturating_duration_since(Instant::now())), if rounds.is_terminated() => {
                rounds = terms.court.rounds().fuse();
            }
            Some((id, outcome)) = probes.next() => take_outcome(&node, id, outcome),
            Some((offer, answer)) = offers.next() => take_answer(&node, &offer, answer),
            Some(()) = submissions.next() => {}
            Some((id, audited)) = audits.next() => take_audit(&node, id, audited),
            () = testing.votes_came.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

fn take_roster(node: &Node, view: &RosterView) {
    let is_tested = view.node(&node.id).is_some_and(|entry| entry.state.is_tested());
    // Nobody talks to a node that is not on the roster.
    let states = view.nodes().filter(|_| is_tested).map(|entry| (entry.id, entry.state));
    node.testing.with(|tester, now| tester.handle_roster(now, view.height(), states));
    if !is_tested || !view.serving().any(|entry| entry.id != node.id) {
        node.testing.heard().handle_solitude(node.testing.now());
    }
}

/// Takes the rounds of the chain: the newest of them.
fn take_rounds(node: &Node, answer: Result<Vec<TestingRound>, CourtError>) -> Option<TestingRound> {
    match answer {
        Ok(rounds) => {
            let newest = rounds.iter().max_by_key(|round| round.round).cloned();
            node.testing.with(|tester, now| rounds.into_iter().for_each(|round| tester.handle_round(now, round)));
            newest
        }
        Err(error) => {
            tracing::warn!(%error, "cannot ask for the testing rounds; asking again");
            None
        }
    }
}

/// The member of the own swarm that this node audits in a round.
fn whom_to_audit(node: &Node, round: &TestingRound) -> Option<RosterEntry> {
    let view = node.view();
    let members: Vec<_> = view.members(own_swarm(&view, &node.id)?).map(|entry| entry.id).collect();
    node.testing.audits().retain(|audited| members.contains(audited));
    view.node(&testee(round, &members, &node.id)?).cloned()
}

async fn show(node: &Node, testee: RosterEntry, pace: Pace) -> (ServiceNodeId, Option<Audited>) {
    (testee.id, audit(node, &testee, pace.settled()).await)
}

fn take_audit(node: &Node, id: ServiceNodeId, audited: Option<Audited>) {
    let Some(audited) = audited else { return };
    node.metrics.testing.count_audit(audited == Audited::Shown);
    if audited == Audited::Lacking {
        tracing::info!(member = %id, "a member of the swarm lacked a message it should keep; it was handed over");
    }
    node.testing.audits().handle(node.testing.now(), id, audited);
}

/// Probes a node of the roster.
async fn look(node: &Node, id: ServiceNodeId) -> (ServiceNodeId, Outcome) {
    let view = node.view();
    let Some(target) = view.node(&id) else { return (id, Outcome::default()) };
    let witnesses = node.witnesses(&view, &id);
    let judges = node.testing.with(|tester, _| tester.judges(&id)).unwrap_or_default();
    let storage = async { if judges { ask_members(node, &view, target).await } else { None } };
    let (seen, storage) = tokio::join!(probe(&node.peers, target, &witnesses), storage);
    let outcome = seen.sighting.judge(OLDEST_VERSION);
    (id, storage.map_or(outcome, |passed| outcome.with(Reason::StorageAudit, passed)))
}

impl Node {
    /// To whom an onion request goes through a probed node: to some node that answers, so that the probed one cannot tell it
    /// from any other; if that fails, to this one.
    pub(super) fn witnesses(&self, view: &RosterView, probed: &ServiceNodeId) -> Vec<RosterEntry> {
        let is_other = |entry: &&RosterEntry| entry.id != self.id && entry.id != *probed;
        let other = self.testing.with(|tester, _| {
            let answering = view.serving().filter(is_other).filter(|entry| tester.answers(&entry.id));
            answering.choose(&mut rand::rng())
        });
        let own = view.node(&self.id).filter(|entry| entry.state.is_serving());
        other.flatten().into_iter().chain(own).cloned().collect()
    }
}

fn take_outcome(node: &Node, id: ServiceNodeId, outcome: Outcome) {
    node.metrics.testing.count_probe(outcome.failed().is_empty());
    let sign = |message: &[u8]| node.key.sign(message);
    let said = node.testing.with(|tester, now| tester.handle_outcome(now, id, outcome, &sign)).flatten();
    match said {
        Some(Judgement::Failing(reasons)) => {
            tracing::info!(node = %id, %reasons, "voted against a node that has failed for too long");
        }
        Some(Judgement::Passing) => tracing::info!(node = %id, "voted for a node that passes again"),
        None => {}
    }
}

/// Sends votes to another tester: what it answers, if it took them.
async fn send(node: &Node, offer: Offer) -> (Offer, Option<Vec<Vote>>) {
    let view = node.view();
    let Some(tester) = view.node(&offer.to) else { return (offer, None) };
    let request = peer::Request { request: Some(Request::Votes(write_votes(&offer.subject, &offer.votes))) };
    let answer = match node.peers.ask(tester, &request, PATIENCE).await {
        Ok((peer::Response { response: Some(Response::Votes(held)) }, _lease)) => read_held(&held).ok(),
        Ok((peer::Response { response: Some(Response::Refusal(refusal)) }, _lease)) => {
            tracing::debug!(tester = %offer.to, reason = refusal.reason, "a tester does not take votes yet");
            None
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(tester = %offer.to, %error, "a tester was not reached");
            None
        }
    };
    (offer, answer)
}

fn take_answer(node: &Node, offer: &Offer, answer: Option<Vec<Vote>>) {
    let Some(votes) = answer else { return };
    node.metrics.testing.votes.inc_by(offer.votes.len() as u64);
    if let Some(Err(error)) = node.testing.with(|tester, now| tester.handle_answer(now, offer, &votes)) {
        tracing::debug!(tester = %offer.to, %error, "a tester's votes do not count");
    }
}

async fn submit(node: &Node, terms: &Terms, verdict: Verdict) {
    let (id, round) = (verdict.subject.node, verdict.subject.round);
    let fails = verdict.votes.iter().any(|vote| !vote.reasons.is_empty());
    match terms.court.submit(verdict).await {
        Ok(()) => {
            tracing::info!(node = %id, round, fails, "submitted a verdict");
            node.metrics.testing.count_verdict(true);
        }
        Err(error @ CourtError::Refused(_)) => {
            tracing::debug!(node = %id, round, fails, %error, "a verdict was not taken");
            node.metrics.testing.count_verdict(false);
        }
        Err(error @ CourtError::Unreachable(_)) => {
            tracing::warn!(node = %id, round, fails, %error, "a verdict was not submitted; trying again later");
            node.metrics.testing.count_verdict(false);
        }
    }
}

#[cfg(test)]
mod tests;
