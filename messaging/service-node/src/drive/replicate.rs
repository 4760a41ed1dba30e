//! Makes the members of the swarm equal, and hands over what is another swarm's.
//!
//! One round: everything kept is grouped by the swarm it belongs to now. With each other member of the own swarm the set is
//! compared, and what it lacks is handed to it. The same with the members of other swarms; once enough of those have
//! everything, it is let go of here. Rounds follow each other at an interval, and at once where the roster has changed.

use super::{node::Node, now_ms, quic::PeerError};
use crate::core::{FULL, own_swarm};
use futures::{StreamExt, stream};
use rand::{Rng, seq::SliceRandom};
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::{Change, Changed, Fetched, Item, Standing};
use skep_primitives::{RosterEntry, ServiceNodeId, SwarmId};
use skep_proto::{
    account::AccountAddress,
    peer::{self, replica, request::Request, response::Response},
    storage::limits::PEER_TIMEOUT,
};
use skep_replication::{FrameError, Holdings, ItemId, Next, Session, enough, holdings};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch::error::RecvError,
    time::{sleep, timeout},
};

/// How long the roster may change on before a round begins: swarms move in several steps.
const SETTLE: Duration = Duration::from_secs(1);
/// Things handed to one member at once.
const AT_ONCE: usize = 4;
/// How long to wait where a member says that it has too much to do, and how often.
const PAUSE: Duration = Duration::from_millis(250);
const ATTEMPTS: usize = 20;
/// Longest comparison with one member, handing over included: others wait for it.
const LONGEST_COMPARISON: Duration = Duration::from_secs(120);
/// Messages removed in one write.
const LET_GO_AT_ONCE: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(PEER_TIMEOUT);

/// Why a member could not be made equal in this round.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it refuses with status {status}: {reason}")]
    Refused { status: u32, reason: String },
    #[error("it has too much to do")]
    Busy,
    #[error("its answer is none to what was asked")]
    Unexpected,
    #[error("the own message store failed")]
    Store,
    #[error("there is more than one comparison gets through; the next one goes on")]
    Unfinished,
    #[error("it has no room for everything")]
    Full,
}

/// What a member has no room for: mail of an account by its standing, or its orders.
type NoRoom = Mutex<HashSet<(AccountAddress, Option<Standing>)>>;

/// Runs until the roster is no longer followed.
pub(super) async fn run(node: Arc<Node>, mut roster: RosterReceiver, interval: Duration) {
    loop {
        let placed = Placed::of(&roster.borrow_and_update());
        round(&node).await;
        let jitter = rand::rng().random_range(0.75..1.25);
        tokio::select! {
            moved = placed.change(&mut roster) => {
                if moved.is_err() {
                    return;
                }
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

async fn round(node: &Node) {
    let view = node.view();
    let Ok(by_swarm) = node.holdings(&view).await else { return };
    let own = own_swarm(&view, &node.id);
    for (swarm, holdings) in &by_swarm {
        let mut members: Vec<_> = view.members(*swarm).filter(|entry| entry.id != node.id).collect();
        members.shuffle(&mut rand::rng());
        let mut equal = Vec::new();
        for member in &members {
            let brought_up = timeout(LONGEST_COMPARISON, bring_up(node, member, holdings)).await;
            match brought_up.unwrap_or(Err(Failure::Unfinished)) {
                Ok(()) => equal.push(member.id),
                Err(error) => tracing::debug!(member = %member.id, %error, "a member was not made equal"),
            }
        }
        if own != Some(*swarm) {
            let_go(node, *swarm, holdings, &equal).await;
        }
    }
}

/// Hands to `member` what it lacks of `holdings`.
async fn bring_up(node: &Node, member: &RosterEntry, holdings: &Holdings) -> Result<(), Failure> {
    let (mut session, mut frame) = Session::start(holdings)?;
    let no_room = NoRoom::default();
    loop {
        let request = Request::Reconcile(peer::Reconcile { frame: frame.into() });
        let Response::Reconciled(reply) = ask(node, member, request).await? else { return Err(Failure::Unexpected) };
        let step = session.handle(&reply.frame)?;
        let handed = stream::iter(step.lacking).map(|id| hand_over(node, member, holdings, id, &no_room));
        let outcomes: Vec<_> = handed.buffer_unordered(AT_ONCE).collect().await;
        outcomes.into_iter().collect::<Result<(), _>>()?;
        match step.next {
            Next::Frame(next) => frame = next,
            // What it has not taken must not be let go of here.
            Next::Done if !refused(&no_room).is_empty() => return Err(Failure::Full),
            Next::Done => return Ok(()),
            Next::Exhausted => return Err(Failure::Unfinished),
        }
    }
}

fn refused(no_room: &NoRoom) -> MutexGuard<'_, HashSet<(AccountAddress, Option<Standing>)>> {
    no_room.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn hand_over(
    node: &Node,
    member: &RosterEntry,
    holdings: &Holdings,
    id: ItemId,
    no_room: &NoRoom,
) -> Result<(), Failure> {
    let Some(item) = holdings.item(&id).copied() else { return Ok(()) };
    let fetched = node.read_store(move |store| store.fetch(&item, now_ms())).await.map_err(|_| Failure::Store)?;
    let standing = match &fetched {
        // It has expired or been deleted meanwhile.
        None => return Ok(()),
        Some(Fetched::Message(record)) => Some(record.standing()),
        Some(Fetched::Order(_)) => None,
    };
    let of = (*item.account(), standing);
    if refused(no_room).contains(&of) {
        return Ok(());
    }
    let item = match fetched {
        None => return Ok(()),
        Some(Fetched::Message(record)) => replica::Item::Message(record.to_wire()),
        Some(Fetched::Order(order)) => {
            replica::Item::Order(peer::Command { request: order.request.into(), kept_until: order.expiry })
        }
    };
    match ask(node, member, Request::Replica(peer::Replica { item: Some(item) })).await {
        Ok(Response::Replicated(_)) => {
            node.metrics.count_handed_over();
            Ok(())
        }
        // Others may have room: it is asked no more for this account in this comparison.
        Err(Failure::Refused { status, .. }) if status == u32::from(FULL) => {
            refused(no_room).insert(of);
            Ok(())
        }
        // What it will never take it does not lack.
        Err(Failure::Refused { status, .. }) if status == u32::from(GONE) => Ok(()),
        Ok(_) => Err(Failure::Unexpected),
        Err(failure) => Err(failure),
    }
}

/// Asks until the member is not too busy.
async fn ask(node: &Node, member: &RosterEntry, request: Request) -> Result<Response, Failure> {
    let request = peer::Request { request: Some(request) };
    for _ in 0..ATTEMPTS {
        let (answer, _lease) = node.peers.ask(member, &request, PATIENCE).await?;
        match answer.response {
            Some(Response::Refusal(refusal)) if matches!(refusal.status, 429 | 503) => sleep(PAUSE).await,
            Some(Response::Refusal(peer::Refusal { status, reason })) => {
                return Err(Failure::Refused { status, reason });
            }
            Some(response) => return Ok(response),
            None => return Err(Failure::Unexpected),
        }
    }
    Err(Failure::Busy)
}

/// Status of a refusal of what a member will never take: it has expired, or its owner has deleted it.
pub(super) const GONE: u16 = 410;

/// Removes what another swarm has now, if enough of its members are among those that are `equal`. Swarms may have moved
/// since they were compared.
async fn let_go(node: &Node, swarm: SwarmId, holdings: &Holdings, equal: &[ServiceNodeId]) {
    let view = node.view();
    let members: Vec<_> = view.members(swarm).map(|entry| entry.id).collect();
    let confirmed = members.iter().filter(|member| equal.contains(member)).count();
    if members.is_empty() || members.contains(&node.id) || confirmed < enough(members.len()) {
        return;
    }
    let messages: Vec<_> = holdings
        .items()
        .filter(|item| view.swarm_of(&item.account().key()) == Some(swarm))
        .filter_map(|item| match item {
            Item::Message { account, namespace, hash } => Some((*account, *namespace, *hash)),
            Item::Order { .. } => None,
        })
        .collect();
    // Nobody is told any more that it is here.
    *node.compared.lock().await = None;
    for messages in messages.chunks(LET_GO_AT_ONCE) {
        let change = Change::Forget { messages: messages.to_vec() };
        if let Ok(Changed::Messages(gone)) = node.change(change, None).await {
            tracing::info!(%swarm, messages = gone.len(), "let go of what that swarm keeps now");
        }
    }
}

impl Node {
    /// Everything kept, by the swarm it belongs to.
    pub(super) async fn holdings(&self, view: &Arc<RosterView>) -> Result<BTreeMap<SwarmId, Holdings>, ()> {
        let view = Arc::clone(view);
        let read = self.read_store(move |store| {
            let mut items = Vec::new();
            store.visit(now_ms(), &mut |item| items.push(item))?;
            Ok(holdings(items, |key| view.swarm_of(key)))
        });
        read.await.map_err(drop)
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
