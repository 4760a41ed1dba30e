//! Makes the members of the swarm equal, and hands over what is another swarm's.
//!
//! One round: with each other member of the own swarm what is kept is compared, and what it lacks is handed to it. The same
//! with the members of other swarms that own something kept here; what enough of those confirm is then let go of. Rounds
//! follow each other at an interval, and at once where the roster has changed. What `skep-replication` decides is done here.

use super::{node::Node, now_ms};
use crate::{config::Replication, core::own_swarm};
use futures::{StreamExt, stream::FuturesUnordered};
use rand::{Rng, seq::SliceRandom};
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::{Change, Changed, ItemName, Store};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::limits::PEER_TIMEOUT,
};
use skep_replication::{Next, Round, Target, kept_by_swarm};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch::error::RecvError, time::sleep};

/// How long the roster may change on before a round begins: swarms move in several steps.
const SETTLE: Duration = Duration::from_secs(1);
/// How long to wait where a member says that it has too much to do, and how often.
const PAUSE: Duration = Duration::from_millis(250);
const ATTEMPTS: usize = 20;
const PATIENCE: Duration = Duration::from_millis(PEER_TIMEOUT);

/// Runs until the roster is no longer followed.
pub(super) async fn run(node: Arc<Node>, mut roster: RosterReceiver, config: Replication) {
    let interval = Duration::from_secs(config.interval_seconds.into());
    let first = || Round::new(u64::from(config.member_mib) * 1024 * 1024);
    let mut round = first();
    loop {
        let placed = Placed::of(&roster.borrow_and_update());
        round = turn(&node, round).await.unwrap_or_else(first);
        let jitter = rand::rng().random_range(0.75..1.25);
        tokio::select! {
            moved = placed.change(&mut roster) => {
                if moved.is_err() {
                    return;
                }
                round.start_over();
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

/// One round. `None` if the own message store fails.
async fn turn(node: &Arc<Node>, mut round: Round) -> Option<Round> {
    let view = node.view();
    let placed = Placed::of(&view);
    round.begin(targets(node, &view).await?);
    let mut answers = FuturesUnordered::new();
    loop {
        let next;
        (round, next) = reading(node, round, |round, store| round.poll(store, now_ms())).await?;
        match next {
            Next::Ask(asks) => answers.extend(asks.into_iter().map(|(member, request)| {
                let (node, view) = (Arc::clone(node), Arc::clone(&view));
                async move { (member, ask(&node, &view, member, request).await) }
            })),
            Next::Forget(swarm, names) => {
                if Placed::of(&node.view()) != placed {
                    break;
                }
                let_go(node, swarm, names).await;
            }
            Next::Done => break,
            Next::Wait => {
                let Some((member, answer)) = answers.next().await else { break };
                let handled;
                (round, handled) =
                    reading(node, round, move |round, store| round.handle(store, member, answer)).await?;
                if let Err(error) = handled {
                    tracing::debug!(%member, %error, "a member was not made equal");
                }
            }
        }
    }
    node.metrics.count_handed_over(round.take_handed());
    Some(round)
}

/// Every swarm that owns something kept here, with its other members.
async fn targets(node: &Node, view: &RosterView) -> Option<Vec<Target>> {
    let swarms = view.swarm_ids().to_vec();
    let kept = node.read_store(move |store| kept_by_swarm(store, &swarms)).await.ok()?;
    let own = own_swarm(view, &node.id);
    let target = |(swarm, ranges)| {
        let mut members: Vec<_> = view.members(swarm).map(|entry| entry.id).filter(|id| *id != node.id).collect();
        members.shuffle(&mut rand::rng());
        Target { swarm, ranges, members, is_own: own == Some(swarm) }
    };
    Some(kept.into_iter().map(target).collect())
}

/// Lets the round use the store away from the threads that serve.
async fn reading<T: Send + 'static>(
    node: &Node,
    mut round: Round,
    work: impl FnOnce(&mut Round, &dyn Store) -> T + Send + 'static,
) -> Option<(Round, T)> {
    let done = node.read_store(move |store| {
        let done = work(&mut round, store);
        Ok((round, done))
    });
    done.await.ok()
}

/// Asks until the member is not too busy; `None` if it does not answer.
async fn ask(node: &Node, view: &RosterView, member: ServiceNodeId, request: Request) -> Option<peer::Response> {
    let entry = view.node(&member)?;
    let request = peer::Request { request: Some(request) };
    for _ in 0..ATTEMPTS {
        let answer = match node.peers.ask(entry, &request, PATIENCE).await {
            Ok((answer, _lease)) => answer,
            Err(error) => {
                tracing::debug!(%member, %error, "a member does not answer");
                return None;
            }
        };
        let is_busy =
            matches!(&answer.response, Some(Response::Refusal(refusal)) if matches!(refusal.status, 429 | 503));
        if !is_busy {
            return Some(answer);
        }
        sleep(PAUSE).await;
    }
    None
}

async fn let_go(node: &Node, swarm: SwarmId, names: Vec<ItemName>) {
    if let Ok(Changed::Messages(gone)) = node.change(Change::Forget { names }, None).await {
        tracing::info!(%swarm, messages = gone.len(), "let go of what that swarm keeps now");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, node_key, view};
    use futures::FutureExt;
    use skep_primitives::RosterEntry;
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
