//! What other service nodes ask.

use super::{Node, OnionServed, Upstream};
use crate::{
    core::{Body, Placement, Reply, own_swarm},
    drive::{
        budget::{Holder, Lease},
        defences::PeerAsks,
        metrics::Shed,
        now_ms,
        quic::{Refused, refusal},
    },
};
use bytes::Bytes;
use prost::Message;
use skep_chain_client::RosterView;
use skep_mailbox::{Changed, Lane, Origin, Record, Store, give, given_at, words};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    peer::{self, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::{MemberFailure, MemberStored, Method, Request},
};
use skep_replication::{CompareError, MAX_REPLICAS, NotTaken, Work, answer, judge, status_of, stretches};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// How long a member that hands over waits until others' replicas have been judged: less than it waits for an answer.
const JUDGE_WAIT: Duration = Duration::from_secs(2);

impl Node {
    /// Answers another service node, and with what memory. The request's lease is held until then.
    pub(crate) async fn answer_peer(
        &self,
        peer: ServiceNodeId,
        request: Bytes,
        _lease: Lease,
    ) -> (peer::Response, Option<Lease>) {
        let arrived = Instant::now();
        let mut lease = None;
        let response = self.answer_peer_inner(peer, request, &mut lease).await;
        self.metrics.time_request("peer", arrived.elapsed());
        let status = match &response.response {
            Some(PeerResponse::Refusal(refusal)) => u16::try_from(refusal.status).unwrap_or(500),
            Some(PeerResponse::Onion(answer)) => u16::try_from(answer.status).unwrap_or(500),
            Some(PeerResponse::Path(answer)) => u16::try_from(answer.status).unwrap_or(500),
            Some(
                PeerResponse::Stored(_)
                | PeerResponse::Command(_)
                | PeerResponse::Pong(_)
                | PeerResponse::Reconciled(_)
                | PeerResponse::Taken(_)
                | PeerResponse::Votes(_)
                | PeerResponse::Probed(_)
                | PeerResponse::Shown(_)
                | PeerResponse::AuditsTold(_),
            )
            | None => 200,
        };
        self.metrics.count_request("peer", status);
        (response, lease)
    }

    /// The answer; `held` gets the lease of what may be long of it.
    async fn answer_peer_inner(&self, peer: ServiceNodeId, request: Bytes, held: &mut Option<Lease>) -> peer::Response {
        let view = self.view();
        // A connection may outlive a registration.
        if !view.node(&peer).is_some_and(|entry| entry.state.is_tested()) {
            return refusal(403, "you are not an active service node");
        }
        let request = peer::Request::decode(request).ok().and_then(|request| request.request);
        if !self.defences.peer_may_ask(peer, request.as_ref().map_or(PeerAsks::Other, asks)) {
            self.metrics.count_shed(Shed::Peer);
            return refusal(429, "too many requests");
        }
        let Some(request) = request else { return refusal(400, "the request cannot be read") };
        let response = match request {
            PeerRequest::Store(wire) => match self.store_for(peer, wire, &view).await {
                Ok(stored) => PeerResponse::Stored(stored),
                Err(refused) => return refused,
            },
            PeerRequest::Command(wire) => match self.command_for(peer, &wire, &view).await {
                Ok((done, lease)) => {
                    *held = Some(lease);
                    PeerResponse::Command(done)
                }
                Err(refused) => return refused,
            },
            PeerRequest::Reconcile(asked) => match self.reconcile(asked, &view).await {
                Ok(reconciled) => PeerResponse::Reconciled(reconciled),
                Err(refused) => return refused,
            },
            PeerRequest::HandOver(replicas) => match self.take_over(peer, replicas, view).await {
                Ok(taken) => PeerResponse::Taken(taken),
                Err(refused) => return refused,
            },
            PeerRequest::Onion(onion) => {
                let OnionServed { status, body, lease } = self.onion(Upstream::Node(peer), &onion.body).await;
                *held = lease;
                PeerResponse::Onion(peer::OnionAnswer { status: status.into(), body: body.into() })
            }
            PeerRequest::Ping(peer::Ping {}) => PeerResponse::Pong(self.pong(peer)),
            PeerRequest::Votes(votes) => match self.votes_of(peer, &votes) {
                Ok(held) => PeerResponse::Votes(held),
                Err(refused) => return refused,
            },
            PeerRequest::Audit(audit) => match self.show(peer, &audit, &view).await {
                Ok(shown) => PeerResponse::Shown(shown),
                Err(refused) => return refused,
            },
            PeerRequest::AuditsOf(peer::AuditsOf { node }) => PeerResponse::AuditsTold(self.audits_of(&node)),
            PeerRequest::ProbeMe(peer::ProbeMe {}) => match self.probe_back(peer, &view).await {
                Ok(probed) => PeerResponse::Probed(probed),
                Err(refused) => return refused.into_response(),
            },
            PeerRequest::Path(peer::PathFrame { frame }) => {
                let OnionServed { status, body, lease } = self.path(Upstream::Node(peer), &frame).await;
                *held = lease;
                PeerResponse::Path(peer::PathAnswer { status: status.into(), body: body.into() })
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
    ) -> Result<(peer::CommandDone, Lease), peer::Response> {
        let Ok(Request::Single(Method::Command(command))) = Request::parse(&wire.request) else {
            return Err(refusal(400, "the command cannot be read"));
        };
        self.is_shared(peer, &command.account, view)?;
        self.judge(&command, Origin::Member).await.map_err(refused)?;
        let told = self.told_of(&command).await.map_err(refused)?.min(self.budget.for_orders());
        let lease = self.budget.lease_considerately(Holder::Node(peer), told).await;
        let mut lease = lease.ok_or_else(|| refused(self.busy()))?;
        let now = now_ms();
        let at = given_at(wire.at, now).ok_or_else(|| refusal(406, "the command was given in the future"))?;
        let (asked, written) = (command.clone(), wire.request.to_vec());
        let given = move |store: &dyn Store| Ok(give(&asked, written, at, &words(store, &asked, now)?));
        let Some((change, order)) = self.read_store(given).await.map_err(refused)? else {
            return Err(refusal(400, "the command cannot be given"));
        };
        let done = self.carry_out(&command, change, order).await.map_err(failed)?;
        let result = serde_json::to_vec(&done).map_err(|_| refusal(500, "request failed"))?;
        lease.shrink(result.len());
        Ok((peer::CommandDone { result: result.into() }, lease))
    }

    /// Answers another node's questions about what is kept here.
    async fn reconcile(&self, asked: peer::Reconcile, view: &RosterView) -> Result<peer::Reconciled, peer::Response> {
        let own = own_swarm(view, &self.id).map(|swarm| stretches(swarm, view.swarm_ids())).unwrap_or_default();
        match self.read_store(move |store| Ok(answer(store, &own, &asked))).await.map_err(refused)? {
            Ok(answers) => Ok(answers),
            Err(error @ CompareError::Version(_)) => Err(refusal(505, error.to_string())),
            Err(CompareError::Store(error)) => {
                tracing::error!(%error, "what is kept was not compared");
                Err(Refused::BUSY.into_response())
            }
            Err(error @ (CompareError::TooMuch | CompareError::Malformed(_))) => Err(refusal(400, error.to_string())),
        }
    }

    /// Takes what this node lacks of its own swarm's from another node. It is judged by its proofs.
    async fn take_over(
        &self,
        peer: ServiceNodeId,
        peer::HandOver { replicas }: peer::HandOver,
        view: Arc<RosterView>,
    ) -> Result<peer::Taken, peer::Response> {
        if replicas.len() > MAX_REPLICAS {
            return Err(refusal(400, "too many replicas at once"));
        }
        if !self.defences.peer_may_hand_over(peer, replicas.len()) {
            self.metrics.count_shed(Shed::Peer);
            return Err(refusal(429, "too many replicas"));
        }
        // Who waits here asks again after a while. Nobody's requests wait for threads that are busy judging.
        let Ok(Ok(judge_thread)) = timeout(JUDGE_WAIT, self.judges.acquire()).await else {
            return Err(Refused::BUSY.into_response());
        };
        let (me, now) = (self.id, now_ms());
        let judged = move |store: &dyn Store| {
            let is_here =
                |account: &AccountAddress| matches!(Placement::of(&view, &me, account), Placement::Here { .. });
            Ok(replicas.into_iter().map(|replica| judge(store, replica, is_here, now)).collect::<Vec<_>>())
        };
        let judged = self.read_store(judged).await;
        // The disk may take its time with them; others may be judged meanwhile.
        drop(judge_thread);
        let judged = judged.map_err(refused)?;
        // As many as there is room for are queued before any is awaited, so that they share syncs.
        let mut queued = Vec::with_capacity(judged.len());
        for work in judged {
            queued.push(match work {
                Ok(work) => Ok(self.queue(work, now).await),
                Err(why) => Err(why),
            });
        }
        let mut statuses = Vec::with_capacity(queued.len());
        for steps in queued {
            statuses.push(match steps {
                Err(why) => {
                    if let NotTaken::Store(error) = &why {
                        tracing::error!(%error, "a replica was not judged");
                    }
                    why.status()
                }
                Ok(steps) => {
                    let mut last = 200;
                    for step in steps {
                        last = step.await.unwrap_or(503);
                    }
                    last
                }
            });
        }
        self.metrics.count_taken_over(statuses.iter().filter(|status| **status == 200).count());
        Ok(peer::Taken { statuses })
    }

    /// Queues the steps of taking a replica, once there is room for each; each tells its status once it is on disk.
    async fn queue(&self, work: Vec<Work>, now: u64) -> Vec<oneshot::Receiver<u32>> {
        let mut statuses = Vec::with_capacity(work.len());
        for step in work {
            let room = Arc::clone(&self.handed_over).acquire_owned().await;
            let (done, status) = oneshot::channel();
            match step {
                Work::Put(record) => self.put(Lane::Members, record, now, move |outcome| {
                    drop(room);
                    let _ = done.send(outcome.map_or(503, |put| status_of(&put)));
                }),
                Work::Change(change, order) => self.write(Lane::Members, change, Some(order), now, move |outcome| {
                    drop(room);
                    let _ = done.send(match outcome {
                        Ok(Changed::Messages(_) | Changed::Tokens(_)) => 200,
                        Ok(Changed::Unkept(_)) => 507,
                        Err(_) => 503,
                    });
                }),
            }
            statuses.push(status);
        }
        statuses
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

/// Which of a node's tokens a request takes.
const fn asks(request: &PeerRequest) -> PeerAsks {
    match request {
        PeerRequest::Onion(_) | PeerRequest::Path(_) => PeerAsks::Relay,
        PeerRequest::Store(_) | PeerRequest::Command(_) => PeerAsks::Swarm,
        PeerRequest::Reconcile(_)
        | PeerRequest::HandOver(_)
        | PeerRequest::Ping(_)
        | PeerRequest::Votes(_)
        | PeerRequest::Audit(_)
        | PeerRequest::AuditsOf(_)
        | PeerRequest::ProbeMe(_) => PeerAsks::Other,
    }
}

/// A client's refusal, told to the member that asked on its behalf.
fn refused(Reply { status, body }: Reply) -> peer::Response {
    let (Body::Json(text) | Body::Text(text)) = body;
    refusal(status, text)
}

fn failed(failure: MemberFailure) -> peer::Response {
    match failure {
        MemberFailure::NotStored { reason } => refusal(500, reason.unwrap_or_default()),
        MemberFailure::Refused { code, reason } => refusal(code, reason),
        MemberFailure::Timeout | MemberFailure::BadResponse => Refused::BUSY.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, stop};
    use ed25519_dalek::{Signer, SigningKey};
    use futures::FutureExt;
    use skep_mailbox::Writer;
    use skep_proto::{
        peer::replica::Item,
        storage::{Action, Command, ExpiryMode, Namespace, OwnerAuth, StoreRequest, signed},
    };
    use std::sync::mpsc;

    /// Enough for what must happen.
    const LONG: Duration = Duration::from_secs(60);

    fn deposit(owner: &SigningKey, number: u8) -> StoreRequest {
        let now = now_ms();
        StoreRequest {
            account: AccountAddress::from_x25519(owner.verifying_key().to_montgomery().to_bytes()),
            namespace: Namespace::DEFAULT,
            timestamp: now,
            expiry: now + 60_000,
            data: vec![number],
            auth: None,
            work: None,
        }
    }

    /// A message, and the owner's order that it be kept for longer.
    fn extended(owner: &SigningKey, number: u8) -> peer::Replica {
        let record = Record::new(deposit(owner, number));
        let expiry = vec![record.deposit().expiry + 3_600_000];
        let action = Action::Expire { messages: vec![record.hash()], expiry, mode: ExpiryMode::Extend };
        let signature = owner.sign(&signed::command(&action)).to_bytes();
        let ed25519_key = Some(skep_proto::storage::HexKey(owner.verifying_key().to_bytes()));
        let auth = OwnerAuth { signature, ed25519_key, subaccount: None };
        let command = Command { account: record.deposit().account, action, auth };
        let request = serde_json::to_vec(&Request::Single(Method::Command(command))).unwrap();
        let extension = Some(peer::Command { request: request.into(), at: now_ms() });
        peer::Replica { item: Some(Item::Message(record.to_wire())), extension }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hand_over_keeps_no_client_waiting_for_room() {
        let (nodes, entries, _views) = network(2).await;
        let (node, view) = (Arc::clone(&nodes[0].node), nodes[0].node.view());
        // The disk takes its time.
        let (opened, gate) = mpsc::channel::<()>();
        let (held, holds) = oneshot::channel();
        node.writer.expire(now_ms(), 0, move |_| {
            let _ = held.send(());
            let _ = gate.recv_timeout(LONG);
        });
        holds.await.unwrap();

        let owners = [1, 2].map(|number| SigningKey::from_bytes(&[number; 32]));
        let handing: Vec<_> = owners
            .iter()
            .map(|owner| {
                let replicas = (0..MAX_REPLICAS as u8).map(|number| extended(owner, number)).collect();
                let (node, view, peer) = (Arc::clone(&node), Arc::clone(&view), entries[1].id);
                tokio::spawn(async move { node.take_over(peer, peer::HandOver { replicas }, view).await })
            })
            .collect();
        let all_room_is_taken = async {
            while node.handed_over.available_permits() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, all_room_is_taken).await.expect("both are judged and queued");
        let all_are_judged = async {
            while node.judges.available_permits() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, all_are_judged).await.expect("others may be judged while the disk is busy");
        assert_eq!(node.writer.pressure(), 0, "no reason to ask clients for more work");
        let (keeper, record) = (Arc::clone(&node), Record::new(deposit(&owners[0], 200)));
        let mut storing = Box::pin(async move { keeper.keep(record, now_ms()).await });
        assert!(storing.as_mut().now_or_never().is_none(), "waits for the disk instead of being refused");

        opened.send(()).unwrap();
        assert!(timeout(LONG, storing).await.expect("stored").is_ok());
        for taken in handing {
            let taken = timeout(LONG, taken).await.expect("taken").unwrap().expect("not refused");
            assert_eq!(taken.statuses, [200; MAX_REPLICAS], "all in their turn");
        }
        assert_eq!(node.handed_over.available_permits(), Writer::HANDED_OVER);
        drop(node);
        stop(nodes).await;
    }
}
