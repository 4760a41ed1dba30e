//! One node: takes a request from whichever door, asks [`core`](crate::core), and does what it says.

use super::{
    budget::{Budget, Lease},
    metrics::Metrics,
    now_ms,
    quic::{PeerError, Peers, Refused, peer_may_ask, refusal},
    rate::RateLimits,
};
use crate::{
    NodeKey, VERSION,
    core::{
        Body, Directory, FanOut, PeerFailure, Placement, Readiness, Reply, list_nodes, readiness, refuse_retrieve,
        refuse_store, swarm_response,
    },
};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use prost::Message;
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::{Admission, Origin, Put, Record, Store, StoreRefusal, WriteError, Writer, admit, may_retrieve};
use skep_onion::{HopSecret, INVALID_JSON, INVALID_URL, PathError, PeelError, Peeled, ReplyBody, ReplyKey};
use skep_primitives::{RosterEntry, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    peer::{self, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::{
        InfoResponse, MemberFailure, MemberResult, MemberStored, Method, NodeListQuery, NodeListResponse,
        PROTOCOL_GENERATION, Request, RetrieveRequest, RetrieveResponse, StoreRequest,
        limits::{MAX_RETRIEVE_BYTES, ONION_TIMEOUT, PEER_TIMEOUT},
        signed,
    },
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

/// Everything one node has.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) id: ServiceNodeId,
    pub(crate) hop: HopSecret,
    pub(crate) roster: RosterReceiver,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: Writer,
    pub(crate) peers: Peers,
    pub(crate) peer_rates: RateLimits<ServiceNodeId>,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) least_effort: u32,
    pub(crate) directory: Mutex<Arc<Directory>>,
}

/// An answer and the memory it stands for.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) reply: Reply,
    pub(crate) lease: Option<Lease>,
}

impl From<Reply> for Served {
    fn from(reply: Reply) -> Self {
        Self { reply, lease: None }
    }
}

/// What goes back along the path of an onion request.
#[derive(Debug)]
pub(crate) struct OnionServed {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) lease: Option<Lease>,
}

impl From<PathError> for OnionServed {
    fn from(error: PathError) -> Self {
        Self { status: error.status(), body: error.to_string().into_bytes(), lease: None }
    }
}

impl Node {
    pub(crate) fn view(&self) -> Arc<RosterView> {
        self.roster.borrow().clone()
    }

    pub(crate) fn readiness(&self) -> Readiness {
        readiness(&self.view(), &self.id)
    }

    /// Answers a body of `POST /storage_rpc/v1`, whichever way it came.
    pub(crate) async fn storage_rpc(&self, body: &[u8]) -> Served {
        match Request::parse(body) {
            Err(error) => Reply::unreadable(&error).into(),
            Ok(Request::Single(method)) => self.method(method, MAX_RETRIEVE_BYTES).await,
            Ok(Request::Batch(methods)) => {
                // All answers travel together, so they share the room of one.
                let mut room = MAX_RETRIEVE_BYTES;
                let answers = methods.into_iter().map(|method| {
                    let own_room = room;
                    if let Method::Retrieve(request) = &method {
                        room = room.saturating_sub(request.window().size);
                    }
                    self.method(method, own_room)
                });
                let (replies, leases): (Vec<_>, Vec<_>) =
                    join_all(answers).await.into_iter().map(|served| (served.reply, served.lease)).unzip();
                let lease = leases.into_iter().flatten().reduce(|mut all, lease| {
                    all.merge(lease);
                    all
                });
                Served { reply: Reply::batch(&replies), lease }
            }
        }
    }

    /// Answers one method; a retrieve within `room` bytes.
    async fn method(&self, method: Method, room: usize) -> Served {
        match method {
            Method::Store(request) => self.store(request).await.into(),
            Method::Retrieve(request) => self.retrieve(request, room).await,
            Method::GetSwarm(account) => Reply::json(200, &self.swarm_of(&account)).into(),
            Method::Info => {
                let now = now_ms();
                let info = InfoResponse { version: VERSION, timestamp: now, t: now, hf: PROTOCOL_GENERATION };
                Reply::json(200, &info).into()
            }
            Method::NodeList(query) => self.node_list(query),
        }
    }

    fn swarm_of(&self, account: &AccountAddress) -> skep_proto::storage::SwarmResponse {
        let view = self.view();
        swarm_response(&view, &self.directory(&view), account, now_ms())
    }

    fn wrong_swarm(&self, account: &AccountAddress) -> Reply {
        Reply::json(421, &self.swarm_of(account))
    }

    /// The directory of `view`'s roster, made when first asked for.
    fn directory(&self, view: &RosterView) -> Arc<Directory> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if !directory.is_of(view) {
            *directory = Arc::new(Directory::of(view, &directory));
        }
        Arc::clone(&directory)
    }

    fn node_list(&self, query: NodeListQuery) -> Served {
        /// More than one entry of the list takes in JSON.
        const ENTRY: usize = 1024;
        let view = self.view();
        let Some(lease) = self.budget.lease(view.nodes().len() * ENTRY) else { return Reply::busy().into() };
        let result = list_nodes(&view, &self.directory(&view), query, &mut rand::rng());
        let response = NodeListResponse { result, t: now_ms(), hf: PROTOCOL_GENERATION };
        Served { reply: Reply::json(200, &response), lease: Some(lease) }
    }

    /// Takes a message from a client, passes it on to the swarm, and tells who has it.
    async fn store(&self, request: StoreRequest) -> Reply {
        let view = self.view();
        let now = now_ms();
        let Placement::Here { peers } = Placement::of(&view, &self.id, &request.account) else {
            return self.wrong_swarm(&request.account);
        };
        let record = match self.admit(request, Origin::Client, &view, now) {
            Ok(record) => record,
            Err(refusal) => return refuse_store(&refusal, self.least_effort, &view),
        };
        let hash = record.hash();
        let started = Instant::now();
        let wire = peer::Request { request: Some(PeerRequest::Store(record.to_wire())) };
        let mut fan_out = FanOut::new(self.id, peers.iter().map(|peer| peer.id), hash, now);
        let patience = Duration::from_millis(PEER_TIMEOUT);
        let mut answers: FuturesUnordered<_> =
            peers.into_iter().map(async |peer| (peer.id, self.peers.ask(peer, &wire, patience).await)).collect();
        let own = self.keep(record, now);
        tokio::pin!(own);
        let mut own_pending = true;
        while !fan_out.is_complete() {
            let due = fan_out.poll_timeout().map(|due| started + Duration::from_millis(due.saturating_sub(now)));
            tokio::select! {
                kept = &mut own, if own_pending => {
                    own_pending = false;
                    fan_out.handle_own(kept.map_or_else(MemberResult::Failed, MemberResult::Stored));
                }
                Some((peer, answer)) = answers.next() => match answer {
                    Ok((answer, _lease)) => fan_out.handle_answer(peer, answer),
                    Err(error) => {
                        tracing::debug!(%peer, %error, "a member of the swarm did not store a message");
                        let failure = match error {
                            PeerError::Connect(_) | PeerError::Broken(_) | PeerError::TimedOut | PeerError::NoRoom => PeerFailure::Silent,
                            PeerError::Unreadable => PeerFailure::Unreadable,
                        };
                        fan_out.handle_failure(peer, failure);
                    }
                },
                () = sleep_until(due.unwrap_or(started)), if due.is_some() => fan_out.handle_timeout(now_after(now, started)),
            }
        }
        let (status, response) = fan_out.finish(now_ms());
        self.metrics.count_members(&response);
        Reply::json(status, &response)
    }

    fn admit(
        &self,
        request: StoreRequest,
        origin: Origin,
        view: &RosterView,
        now: u64,
    ) -> Result<Record, StoreRefusal> {
        let is_recent_block = &|hash: &[u8; 32]| view.recent_height(hash).is_some();
        admit(request, &Admission { now, origin, least_effort: self.least_effort, is_recent_block })
    }

    /// Puts a record on the own disk. Returns once it is there.
    async fn keep(&self, record: Record, now: u64) -> Result<MemberStored, MemberFailure> {
        let hash = record.hash();
        let (done, outcome) = oneshot::channel();
        self.writer.put(record, now, move |outcome| {
            // Nobody waits any more if the client has gone.
            let _ = done.send(outcome);
        });
        let failed = |reason: String| MemberFailure::NotStored { reason: Some(reason) };
        match outcome.await {
            Ok(Ok(Put::Stored { expiry, already })) => {
                let signature = self.key.sign(&signed::stored(&hash));
                Ok(MemberStored { hash, signature, expiry, already })
            }
            Ok(Ok(Put::Full)) => Err(failed("the message store is full".into())),
            Ok(Err(error)) => {
                if !matches!(error, WriteError::Busy) {
                    tracing::error!(%error, "a message was not stored");
                }
                Err(failed(error.to_string()))
            }
            Err(_) => Err(failed(WriteError::Closed.to_string())),
        }
    }

    /// Reads a mailbox.
    async fn retrieve(&self, request: RetrieveRequest, room: usize) -> Served {
        let view = self.view();
        let now = now_ms();
        if !matches!(Placement::of(&view, &self.id, &request.account), Placement::Here { .. }) {
            return self.wrong_swarm(&request.account).into();
        }
        let mut query = match may_retrieve(&request, now) {
            Ok(query) => query,
            Err(refusal) => return refuse_retrieve(&refusal).into(),
        };
        query.window.size = query.window.size.min(room);
        // The messages and their JSON, for a moment at the same time.
        let Some(mut lease) = self.budget.lease_soon(2 * query.window.size).await else { return Reply::busy().into() };
        let store = Arc::clone(&self.store);
        let reply = spawn_blocking(move || {
            let page = store.retrieve(&query, now)?;
            let response =
                RetrieveResponse { messages: page.messages, more: page.more, t: now, hf: PROTOCOL_GENERATION };
            Ok::<_, skep_mailbox::StoreError>(Reply::json(200, &response))
        });
        match reply.await {
            Ok(Ok(reply)) => {
                let (Body::Json(text) | Body::Text(text)) = &reply.body;
                lease.shrink(text.len());
                Served { lease: Some(lease), reply }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a mailbox was not read");
                Reply::text(500, "the message store failed; ask another node of the swarm").into()
            }
            Err(_) => Reply::text(500, "request failed").into(),
        }
    }

    /// Peels one layer of a body of `POST /onion_req/v2` and does what it says.
    pub(crate) async fn onion(&self, body: &[u8]) -> OnionServed {
        match skep_onion::peel(&self.hop, body) {
            Err(PeelError::Path(error)) => error.into(),
            Err(PeelError::BadLayer { reply, .. }) => seal(&reply, Reply::text(400, INVALID_JSON).into()),
            Ok(Peeled::Relay { next, body }) => self.relay(next, body).await,
            Ok(Peeled::Deliver { request, reply }) => {
                let served = match self.readiness() {
                    Readiness::Ready => self.storage_rpc(&request).await,
                    Readiness::Unregistered | Readiness::Gathering => Reply::text(503, "Snode not ready").into(),
                };
                seal(&reply, served)
            }
            // This node carries nothing out of the network.
            Ok(Peeled::Exit { reply, .. }) => seal(&reply, Reply::text(400, INVALID_URL).into()),
        }
    }

    async fn relay(&self, next: ServiceNodeId, body: Vec<u8>) -> OnionServed {
        let view = self.view();
        let Some(entry) = view.node(&next).filter(|entry| entry.state.is_serving()) else {
            return PathError::NextNodeNotFound(next).into();
        };
        let request = peer::Request { request: Some(PeerRequest::Onion(peer::Onion { body: body.into() })) };
        match self.ask_onion(entry, &request).await {
            Ok((PeerResponse::Onion(answer), lease)) => match u16::try_from(answer.status) {
                Ok(status) => OnionServed { status, body: answer.body.into(), lease: Some(lease) },
                Err(_) => PathError::InvalidResponse.into(),
            },
            Ok((PeerResponse::Refusal(peer::Refusal { status, reason }), lease)) => OnionServed {
                status: u16::try_from(status).unwrap_or(500),
                body: reason.into_bytes(),
                lease: Some(lease),
            },
            Ok((PeerResponse::Stored(_) | PeerResponse::Pong(_), _)) => PathError::InvalidResponse.into(),
            Err(error) => error.into(),
        }
    }

    async fn ask_onion(&self, next: &RosterEntry, request: &peer::Request) -> Result<(PeerResponse, Lease), PathError> {
        match self.peers.ask(next, request, Duration::from_millis(ONION_TIMEOUT)).await {
            Ok((peer::Response { response: Some(response) }, lease)) => Ok((response, lease)),
            Ok((peer::Response { response: None }, _)) | Err(PeerError::Unreadable) => Err(PathError::InvalidResponse),
            Err(error @ (PeerError::Connect(_) | PeerError::Broken(_) | PeerError::TimedOut | PeerError::NoRoom)) => {
                tracing::debug!(next = %next.id, %error, "the next node of an onion request did not answer");
                Err(PathError::TimedOut)
            }
        }
    }

    /// Answers another service node. The request's lease is held until then.
    pub(crate) async fn answer_peer(&self, peer: ServiceNodeId, request: &[u8], _lease: Lease) -> peer::Response {
        let response = self.answer_peer_inner(peer, request).await;
        let status = match &response.response {
            Some(PeerResponse::Refusal(refusal)) => u16::try_from(refusal.status).unwrap_or(500),
            Some(PeerResponse::Onion(answer)) => u16::try_from(answer.status).unwrap_or(500),
            Some(PeerResponse::Stored(_) | PeerResponse::Pong(_)) | None => 200,
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
            PeerRequest::Onion(onion) => {
                let OnionServed { status, body, .. } = self.onion(&onion.body).await;
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
        let is_member = match Placement::of(view, &self.id, &deposit.account) {
            Placement::Here { peers } => peers.iter().any(|entry| entry.id == peer),
            Placement::Elsewhere => false,
        };
        if !is_member {
            return Err(refusal(421, "this account's mailbox is not kept by a swarm we share"));
        }
        let now = now_ms();
        let record = self.admit(deposit, Origin::Member, view, now).map_err(|refused| {
            let Reply { status, .. } = refuse_store(&refused, self.least_effort, view);
            refusal(status, refused.to_string())
        })?;
        match self.keep(record, now).await {
            Ok(MemberStored { signature, expiry, already, .. }) => {
                Ok(peer::Stored { signature: signature.to_vec().into(), expiry, already })
            }
            Err(MemberFailure::NotStored { reason }) => Err(refusal(503, reason.unwrap_or_default())),
            Err(MemberFailure::Timeout | MemberFailure::BadResponse | MemberFailure::Refused { .. }) => {
                Err(Refused::BUSY.into_response())
            }
        }
    }
}

/// `then` (ms) plus what has passed since, by the clock that never jumps.
fn now_after(then: u64, since: Instant) -> u64 {
    then.saturating_add(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Seals an answer for the client at the other end of the path.
fn seal(reply: &ReplyKey, served: Served) -> OnionServed {
    let Served { reply: Reply { status, body }, lease } = served;
    let body = match &body {
        Body::Text(text) => ReplyBody::Text(text),
        Body::Json(json) => ReplyBody::Json(json),
    };
    match reply.seal(status, body, &mut rand::rng()) {
        Ok(body) => OnionServed { status: 200, body, lease },
        Err(_) => PathError::InvalidResponse.into(),
    }
}
