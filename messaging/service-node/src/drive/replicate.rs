//! Makes the members of the swarm equal, and hands over what is another swarm's.
//!
//! One round: with each other member of the own swarm what is kept is compared, and what it lacks is handed to it. The same
//! with the members of other swarms that own something kept here; what enough of those confirm is then let go of. Rounds
//! follow each other at an interval, and at once where the roster has changed. What `skep-replication` decides is done here.

use super::{node::Node, now_ms, quic::PeerError};
use crate::{config::Replication, core::own_swarm};
use futures::{StreamExt, future::join_all, stream};
use rand::{Rng, seq::SliceRandom};
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::{Change, Changed, NameRange};
use skep_primitives::{RosterEntry, ServiceNodeId, SwarmId};
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::limits::PEER_TIMEOUT,
};
use skep_replication::{BringUp, Release, Step, enough, kept_by_swarm};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch::error::RecvError,
    time::{Instant, sleep},
};

/// How long the roster may change on before a round begins: swarms move in several steps.
const SETTLE: Duration = Duration::from_secs(1);
/// Members compared with at once.
const AT_ONCE: usize = 3;
/// How long to wait where a member says that it has too much to do, and how often.
const PAUSE: Duration = Duration::from_millis(250);
const ATTEMPTS: usize = 20;
/// Longest comparison with one member, handing over included; the next round goes on with it.
const LONGEST_COMPARISON: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_millis(PEER_TIMEOUT);

/// Why a member could not be made equal in this round.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Replication(#[from] skep_replication::Failure),
    #[error("it has too much to do")]
    Busy,
    #[error("the own message store failed")]
    Store,
}

/// Comparisons that rest: they have spent their budget, or their time.
type Resting = Mutex<HashMap<(SwarmId, ServiceNodeId), BringUp>>;

/// Runs until the roster is no longer followed.
pub(super) async fn run(node: Arc<Node>, mut roster: RosterReceiver, config: Replication) {
    let interval = Duration::from_secs(config.interval_seconds.into());
    let budget = u64::from(config.member_mib) * 1024 * 1024;
    let resting = Resting::default();
    loop {
        let placed = Placed::of(&roster.borrow_and_update());
        round(&node, &resting, budget).await;
        let jitter = rand::rng().random_range(0.75..1.25);
        tokio::select! {
            moved = placed.change(&mut roster) => {
                if moved.is_err() {
                    return;
                }
                // What was compared belongs elsewhere now, perhaps.
                locked(&resting).clear();
                sleep(SETTLE.min(interval)).await;
            }
            () = sleep(interval.mul_f64(jitter)) => {}
        }
    }
}

/// Who is in which swarm.
#[derive(Debug, PartialEq, Eq)]
struct Placed(Vec<(ServiceNodeId, SwarmId)>);

impl Placed {
    fn of(view: &RosterView) -> Self {
        Self(view.serving().map(|entry| (entry.id, entry.swarm)).collect())
    }

    /// Returns once it is otherwise. Every block brings a new view, few of them another roster.
    async fn change(&self, roster: &mut RosterReceiver) -> Result<(), RecvError> {
        loop {
            roster.changed().await?;
            if Self::of(&roster.borrow_and_update()) != *self {
                return Ok(());
            }
        }
    }
}

fn locked(resting: &Resting) -> std::sync::MutexGuard<'_, HashMap<(SwarmId, ServiceNodeId), BringUp>> {
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn round(node: &Arc<Node>, resting: &Resting, budget: u64) {
    let view = node.view();
    let swarms = view.swarm_ids().to_vec();
    let Ok(kept) = node.read_store(move |store| kept_by_swarm(store, &swarms)).await else { return };
    let own = own_swarm(&view, &node.id);
    for (swarm, ranges) in kept {
        let mut members: Vec<_> = view.members(swarm).filter(|entry| entry.id != node.id).collect();
        members.shuffle(&mut rand::rng());
        let compared = members.iter().map(async |member| {
            let begun = locked(resting).remove(&(swarm, member.id));
            let mut bring_up = begun.unwrap_or_else(|| BringUp::new(ranges.clone(), budget));
            bring_up.resume();
            match drive(node, member, bring_up).await {
                Ok(Driven::Done { refused }) => {
                    if refused > 0 {
                        tracing::debug!(member = %member.id, refused, "a member did not take everything");
                    }
                    Some(*member)
                }
                Ok(Driven::Rests(bring_up)) => {
                    locked(resting).insert((swarm, member.id), bring_up);
                    None
                }
                Err(error) => {
                    tracing::debug!(member = %member.id, %error, "a member was not made equal");
                    None
                }
            }
        });
        let compared: Vec<_> = stream::iter(compared).buffer_unordered(AT_ONCE).collect().await;
        if own != Some(swarm) {
            let reached: Vec<_> = compared.into_iter().flatten().collect();
            if let Err(error) = let_go(node, swarm, ranges, &reached).await {
                tracing::debug!(%swarm, %error, "nothing more was let go of");
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
enum Driven {
    Done { refused: u64 },
    Rests(BringUp),
}

/// Hands to `member` what it lacks, until that is all, or the budget or the time is spent.
async fn drive(node: &Arc<Node>, member: &RosterEntry, bring_up: BringUp) -> Result<Driven, Failure> {
    let until = Instant::now() + LONGEST_COMPARISON;
    let before = bring_up.handed();
    let mut bring_up = bring_up;
    let driven = loop {
        if Instant::now() >= until {
            break Driven::Rests(bring_up);
        }
        let step;
        (bring_up, step) = reading(node, bring_up, |bring_up, store| bring_up.poll(store, now_ms())).await?;
        match step {
            Step::Done { refused } => {
                node.metrics.count_handed_over(bring_up.handed().saturating_sub(before));
                return Ok(Driven::Done { refused });
            }
            Step::Rest => break Driven::Rests(bring_up),
            Step::Ask(request) => {
                let answer = ask(node, member, request).await?;
                (bring_up, ()) = reading(node, bring_up, |bring_up, store| bring_up.handle(store, answer)).await?;
            }
        }
    };
    if let Driven::Rests(bring_up) = &driven {
        node.metrics.count_handed_over(bring_up.handed().saturating_sub(before));
    }
    Ok(driven)
}

/// Lets a machine use the store away from the threads that serve.
async fn reading<M: Send + 'static, T: Send + 'static>(
    node: &Node,
    mut machine: M,
    work: impl FnOnce(&mut M, &dyn skep_mailbox::Store) -> Result<T, skep_replication::Failure> + Send + 'static,
) -> Result<(M, T), Failure> {
    let done = node.read_store(move |store| Ok(work(&mut machine, store).map(|done| (machine, done)))).await;
    Ok(done.map_err(|_| Failure::Store)??)
}

/// Asks until the member is not too busy.
async fn ask(node: &Node, member: &RosterEntry, request: Request) -> Result<peer::Response, Failure> {
    let request = peer::Request { request: Some(request) };
    for _ in 0..ATTEMPTS {
        let (answer, _lease) = node.peers.ask(member, &request, PATIENCE).await?;
        match &answer.response {
            Some(Response::Refusal(refusal)) if matches!(refusal.status, 429 | 503) => sleep(PAUSE).await,
            _ => return Ok(answer),
        }
    }
    Err(Failure::Busy)
}

/// Removes what another swarm has now: each thing that enough of its members confirm by name. Swarms may move meanwhile.
async fn let_go(
    node: &Arc<Node>,
    swarm: SwarmId,
    ranges: Vec<NameRange>,
    reached: &[&RosterEntry],
) -> Result<(), Failure> {
    let placed = Placed::of(&node.view());
    let members = node.view().members(swarm).count();
    if reached.len() < enough(members) {
        return Ok(());
    }
    let mut release = Release::new(ranges);
    loop {
        let page;
        (release, page) = reading(node, release, |release, store| release.next_page(store)).await?;
        let Some(question) = page else { return Ok(()) };
        let answers = join_all(reached.iter().map(|member| ask(node, member, question.clone()))).await;
        for answer in answers {
            // Who does not answer confirms nothing.
            if let Err(error) = answer.and_then(|answer| Ok(release.handle(answer)?)) {
                tracing::debug!(%error, "a member did not confirm what it has");
            }
        }
        if Placed::of(&node.view()) != placed {
            return Ok(());
        }
        let names = release.confirmed(enough(members));
        if names.is_empty() {
            continue;
        }
        if let Ok(Changed::Messages(gone)) = node.change(Change::Forget { names }, None).await {
            tracing::info!(%swarm, messages = gone.len(), "let go of what that swarm keeps now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, node_key, view};
    use futures::FutureExt;
    use tokio::sync::watch;

    #[test]
    fn only_who_is_where_counts_as_a_change() {
        let here = entry(&node_key(1), 1, 0);
        let rewarded = RosterEntry { last_rewarded_at: 9, ..here.clone() };
        let moved = RosterEntry { swarm: SwarmId(7), ..here.clone() };
        let (views, mut roster) = watch::channel(Arc::new(view([here])));
        let placed = Placed::of(&roster.borrow_and_update());
        views.send_replace(Arc::new(view([rewarded])));
        assert!(placed.change(&mut roster).now_or_never().is_none(), "another block is no reason to compare");
        views.send_replace(Arc::new(view([moved])));
        assert!(matches!(placed.change(&mut roster).now_or_never(), Some(Ok(()))));
    }
}
