//! What other service nodes ask.

use super::{Compared, Node, OnionServed, Upstream};
use crate::{
    VERSION,
    core::{Body, Placement, Reply, own_swarm},
    drive::{
        budget::Lease,
        now_ms,
        quic::{Refused, peer_may_ask, refusal},
        replicate::GONE,
    },
};
use prost::Message;
use skep_chain_client::RosterView;
use skep_mailbox::{Order, Origin, Record, ReplicaRefusal, admit_order, admit_replica, keep_order};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    peer::{self, replica, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::{MemberFailure, MemberStored, Method, Request},
};
use skep_replication::{Holdings, answer};
use std::sync::Arc;
use tokio::time::Instant;

impl Node {
    /// Answers another service node. The request's lease is held until then.
    pub(crate) async fn answer_peer(&self, peer: ServiceNodeId, request: &[u8], _lease: Lease) -> peer::Response {
        let response = self.answer_peer_inner(peer, request).await;
        let status = match &response.response {
            Some(PeerResponse::Refusal(refusal)) => u16::try_from(refusal.status).unwrap_or(500),
            Some(PeerResponse::Onion(answer)) => u16::try_from(answer.status).unwrap_or(500),
            Some(
                PeerResponse::Stored(_)
                | PeerResponse::Command(_)
                | PeerResponse::Pong(_)
                | PeerResponse::Reconciled(_)
                | PeerResponse::Replicated(_),
            )
            | None => 200,
        };
        self.metrics.count_request("peer", status);
        response
    }

    async fn answer_peer_inner(&self, peer: ServiceNodeId, request: &[u8]) -> peer::Response {
        let view = self.view();
        // A connection may outlive a registration.
        if !view.node(&peer).is_some_and(|entry| entry.state.is_serving()) {
            return refusal(403, "you are not an active service node");
        }
        if !peer_may_ask(&self.peer_rates, peer) {
            return refusal(429, "too many requests");
        }
        let Ok(peer::Request { request: Some(request) }) = peer::Request::decode(request) else {
            return refusal(400, "the request cannot be read");
        };
        let response = match request {
            PeerRequest::Store(wire) => match self.store_for(peer, wire, &view).await {
                Ok(stored) => PeerResponse::Stored(stored),
                Err(refused) => return refused,
            },
            PeerRequest::Command(wire) => match self.command_for(peer, &wire, &view).await {
                Ok(done) => PeerResponse::Command(done),
                Err(refused) => return refused,
            },
            PeerRequest::Reconcile(peer::Reconcile { frame }) => match self.reconcile(&frame, &view).await {
                Ok(reconciled) => PeerResponse::Reconciled(reconciled),
                Err(refused) => return refused,
            },
            PeerRequest::Replica(replica) => match self.replica(replica, &view).await {
                Ok(replicated) => PeerResponse::Replicated(replicated),
                Err(refused) => return refused,
            },
            PeerRequest::Onion(onion) => {
                let OnionServed { status, body, .. } = self.onion(Upstream::Node(peer), &onion.body).await;
                PeerResponse::Onion(peer::OnionAnswer { status: status.into(), body: body.into() })
            }
            PeerRequest::Ping(peer::Ping {}) => {
                PeerResponse::Pong(peer::Pong { timestamp: now_ms(), version: VERSION.map(u32::from).to_vec() })
            }
        };
        peer::Response { response: Some(response) }
    }

    /// Takes a message that another member of the swarm took. It is judged here again.
    async fn store_for(
        &self,
        peer: ServiceNodeId,
        wire: peer::Store,
        view: &RosterView,
    ) -> Result<peer::Stored, peer::Response> {
        let record = Record::from_wire(wire).map_err(|error| refusal(400, error.to_string()))?;
        let deposit = record.deposit().clone();
        self.is_shared(peer, &deposit.account, view)?;
        let view = self.view_with_block(deposit.work.as_ref()).await;
        let now = now_ms();
        let record = self.admit(deposit, Origin::Member, &view, now).await.map_err(refused)?;
        let MemberStored { signature, expiry, already, .. } = self.keep(record, now).await.map_err(failed)?;
        Ok(peer::Stored { signature: signature.to_vec().into(), expiry, already })
    }

    /// Does what an owner ordered another member of the swarm to do. It is judged here again.
    async fn command_for(
        &self,
        peer: ServiceNodeId,
        wire: &peer::Command,
        view: &RosterView,
    ) -> Result<peer::CommandDone, peer::Response> {
        let Ok(Request::Single(Method::Command(command))) = Request::parse(&wire.request) else {
            return Err(refusal(400, "the command cannot be read"));
        };
        self.is_shared(peer, &command.account, view)?;
        let change = self.judge(&command, Origin::Member).await.map_err(refused)?;
        let order = keep_order(&command, wire.request.to_vec(), now_ms());
        let done = self.carry_out(&command, change, order).await.map_err(failed)?;
        let result = serde_json::to_vec(&done).map_err(|_| refusal(500, "request failed"))?;
        Ok(peer::CommandDone { result: result.into() })
    }

    /// Answers a frame of a comparison that another node began: with what this node has of its own swarm's.
    async fn reconcile(&self, frame: &[u8], view: &Arc<RosterView>) -> Result<peer::Reconciled, peer::Response> {
        let Some(swarm) = own_swarm(view, &self.id) else {
            return Err(refusal(421, "this node is in no swarm"));
        };
        // Held while a set is built: who asks meanwhile waits for that one.
        let mut known = self.compared.lock().await;
        let fresh = known.clone().filter(|compared| compared.swarm == swarm && compared.until > Instant::now());
        let Compared { holdings, .. } = match fresh {
            Some(compared) => compared,
            None => {
                let mut all = self.holdings(view).await.map_err(|()| Refused::BUSY.into_response())?;
                let holdings = Arc::new(all.remove(&swarm).unwrap_or_else(|| Holdings::new([])));
                known.insert(Compared { swarm, until: Instant::now() + self.comparison, holdings }).clone()
            }
        };
        drop(known);
        let frame = answer(&holdings, frame).map_err(|error| refusal(400, error.to_string()))?;
        Ok(peer::Reconciled { frame: frame.into() })
    }

    /// Takes what this node lacks of its own swarm's from another node. It is judged by its proofs.
    async fn replica(&self, replica: peer::Replica, view: &RosterView) -> Result<peer::Replicated, peer::Response> {
        let now = now_ms();
        match replica.item {
            Some(replica::Item::Message(wire)) => {
                let record = Record::from_wire(wire).map_err(|error| refusal(400, error.to_string()))?;
                let orders = self.orders_of(&record.deposit().account, view, now).await?;
                admit_replica(&record, &orders, now).map_err(not_taken)?;
                self.keep(record, now).await.map_err(failed)?;
            }
            Some(replica::Item::Order(wire)) => {
                let Ok(Request::Single(Method::Command(command))) = Request::parse(&wire.request) else {
                    return Err(refusal(400, "the order cannot be read"));
                };
                let orders = self.orders_of(&command.account, view, now).await?;
                let (change, order) =
                    admit_order(&command, wire.request.to_vec(), wire.kept_until, &orders, now).map_err(not_taken)?;
                self.carry_out(&command, change, Some(order)).await.map_err(failed)?;
            }
            None => return Err(refusal(400, "the replica cannot be read")),
        }
        self.metrics.count_taken_over();
        Ok(peer::Replicated {})
    }

    /// The orders kept of an account, if its mailbox is kept here.
    async fn orders_of(
        &self,
        account: &AccountAddress,
        view: &RosterView,
        now: u64,
    ) -> Result<Vec<Order>, peer::Response> {
        if matches!(Placement::of(view, &self.id, account), Placement::Elsewhere) {
            return Err(refusal(421, "this account's mailbox is not kept here"));
        }
        let account = *account;
        self.read_store(move |store| store.orders(&account, now)).await.map_err(refused)
    }

    /// Refuses what concerns an account whose mailbox is not kept by both nodes.
    fn is_shared(
        &self,
        peer: ServiceNodeId,
        account: &AccountAddress,
        view: &RosterView,
    ) -> Result<(), peer::Response> {
        match Placement::of(view, &self.id, account) {
            Placement::Here { peers } if peers.iter().any(|entry| entry.id == peer) => Ok(()),
            Placement::Here { .. } | Placement::Elsewhere => {
                Err(refusal(421, "this account's mailbox is not kept by a swarm we share"))
            }
        }
    }
}

/// A client's refusal, told to the member that asked on its behalf.
fn refused(Reply { status, body }: Reply) -> peer::Response {
    let (Body::Json(text) | Body::Text(text)) = body;
    refusal(status, text)
}

fn not_taken(why: ReplicaRefusal) -> peer::Response {
    let status = match why {
        ReplicaRefusal::Expired | ReplicaRefusal::Deleted => GONE,
        ReplicaRefusal::Times | ReplicaRefusal::Proof | ReplicaRefusal::Order => 400,
    };
    refusal(status, why.to_string())
}

fn failed(failure: MemberFailure) -> peer::Response {
    match failure {
        MemberFailure::NotStored { reason } => refusal(500, reason.unwrap_or_default()),
        MemberFailure::Refused { code, reason } => refusal(code, reason),
        MemberFailure::Timeout | MemberFailure::BadResponse => Refused::BUSY.into_response(),
    }
}
