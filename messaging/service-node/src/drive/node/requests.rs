//! Requests of the storage RPC: one, or several in one.

use super::{Node, Served, Upstream, commands::TOLD_OF_EACH, messages::Admitted};
use crate::{
    core::{Body, Reply, TOO_LARGE},
    drive::{metrics::Shed, now_ms},
};
use futures::future::{BoxFuture, FutureExt, join_all};
use skep_proto::storage::{
    InfoResponse, ListenRequest, Method, NodeListResponse, PROTOCOL_GENERATION, Request, RetrieveRequest,
    limits::{MAX_MESSAGE_BYTES, MAX_RETRIEVE_BYTES, retrieved_size},
    listening::MAX_LISTEN_BYTES,
};
use skep_rpc::node_list::STORAGE_SERVER_VERSION;

const ONLY_OVER_WEBSOCKET: &str = "monitor: open a WebSocket at /monitor/v1";

/// Bytes for answers.
struct Room {
    /// What each method may retrieve.
    of_each: Vec<usize>,
    /// What all take together.
    bytes: usize,
    /// What answers to orders take of that, as far as it can be told before the swarm has carried them out.
    orders: usize,
}

/// A method of several, its mail judged.
enum Judged {
    Store(Result<Admitted, Reply>),
    Other(Method),
}

impl Node {
    /// Answers a body of `POST /storage_rpc/v1` that `upstream` gave, whichever way it came.
    pub(crate) async fn storage_rpc(&self, upstream: Upstream, body: &[u8]) -> Served {
        match Request::parse(body) {
            Err(error) => Reply::unreadable(&error).into(),
            Ok(Request::Single(Method::Listen(_))) if body.len() > MAX_LISTEN_BYTES => {
                Reply::text(413, TOO_LARGE).into()
            }
            Ok(Request::Single(Method::Listen(request))) => {
                self.listen(upstream, request).await.unwrap_or_else(|refusal| refusal).into()
            }
            Ok(request) => match self.may_ask_further(upstream, number_of(&request).saturating_sub(1)) {
                Ok(()) => self.request(upstream, request).await,
                Err(refused) => refused.into(),
            },
        }
    }

    /// Takes the tokens of those beyond the first of several requests in one.
    fn may_ask_further(&self, upstream: Upstream, further: usize) -> Result<(), Reply> {
        let refused = match upstream {
            Upstream::Client(host) => self.defences.may_ask_further(host, further).err().map(Shed::Requests),
            Upstream::Node(node) => (!self.defences.peer_may_ask_further(node, further)).then_some(Shed::Peer),
        };
        refused.map_or(Ok(()), |shed| {
            self.metrics.count_shed(shed);
            Err(Reply::text(429, ""))
        })
    }

    fn request(&self, upstream: Upstream, request: Request) -> BoxFuture<'_, Served> {
        async move {
            let methods = match &request {
                Request::Single(method) => std::slice::from_ref(method),
                Request::Batch(methods) | Request::Sequence(methods) => methods,
                Request::IfElse(_) => &[],
            };
            let Room { of_each: rooms, bytes, orders } = match self.room(methods).await {
                Ok(room) => room,
                Err(failed) => return failed.into(),
            };
            let most = self.budget.for_orders();
            let lease = match orders {
                0 => self.budget.lease_soon(upstream.into(), bytes).await,
                // Whoever has very much mail may order something about it while there is room for anything at all.
                _ if methods.len() == 1 => self.budget.lease_considerately(upstream.into(), bytes.min(most)).await,
                _ if bytes > most => None,
                _ => self.budget.lease_considerately(upstream.into(), bytes).await,
            };
            let Some(mut lease) = lease else { return self.busy().into() };
            let methods = |methods: Vec<Method>| methods.into_iter().zip(rooms);
            let reply = match request {
                Request::Single(method) => match methods(vec![method]).next() {
                    Some((method, room)) => self.method(upstream, method, room).await,
                    None => Reply::busy(),
                },
                Request::Batch(batch) => {
                    let judged = methods(batch).map(async |(method, room)| (self.judged(method).await, room));
                    // Mail is read in the order in which the disk got it: that of the list, however long judging each takes.
                    let judged = join_all(judged).await;
                    let answers = judged.into_iter().map(|(judged, room)| self.one_of(upstream, judged, room));
                    Reply::batch(&join_all(answers).await)
                }
                Request::Sequence(sequence) => {
                    let mut answers = Vec::with_capacity(sequence.len());
                    for (method, room) in methods(sequence) {
                        let answer = self.method(upstream, method, room).await;
                        let goes_on = (200..300).contains(&answer.status);
                        answers.push(answer);
                        if !goes_on {
                            break;
                        }
                    }
                    Reply::batch(&answers)
                }
                Request::IfElse(ifelse) => {
                    let height = self.view().height();
                    let holds = ifelse.condition.holds(PROTOCOL_GENERATION, STORAGE_SERVER_VERSION, height.into());
                    match if holds { ifelse.then } else { ifelse.otherwise } {
                        None => Reply::branch(holds, height.into(), None),
                        Some(branch) => {
                            let Served { reply, lease } = self.request(upstream, branch).await;
                            return Served { reply: Reply::branch(holds, height.into(), Some(&reply)), lease };
                        }
                    }
                }
            };
            let (Body::Json(text) | Body::Text(text)) = &reply.body;
            // Members may have more of it than this one.
            if orders > 0 && !lease.grow(text.len()) {
                return self.busy().into();
            }
            lease.shrink(text.len());
            Served { reply, lease: Some(lease) }
        }
        .boxed()
    }

    /// What the answers of several methods take. It is taken at once, so that none of them waits for what the others hold.
    async fn room(&self, methods: &[Method]) -> Result<Room, Reply> {
        /// More than one entry of the node list takes in JSON.
        const ENTRY: usize = 1024;
        let mut room = Room { of_each: rooms(methods), bytes: 0, orders: 0 };
        for (method, most) in methods.iter().zip(&mut room.of_each) {
            let bytes = match method {
                Method::Retrieve(RetrieveRequest { account, .. }) => {
                    let account = *account;
                    let kept = self.read_store(move |store| store.allowance(&account)).await?.mailbox.retrieved_size();
                    // Most mailboxes are small: whoever asks for much takes no more room than there are messages.
                    *most = kept.min(*most);
                    // One message is there however small the window. For a moment there are the messages beside their base64.
                    let size = retrieved_size(MAX_MESSAGE_BYTES).min(kept).max(*most);
                    size + size / 4 * 3
                }
                Method::NodeList(_) => self.view().nodes().len() * ENTRY,
                Method::Command(command) => {
                    let members = self.members(&self.view(), &command.account).map_or(0, |peers| peers.len() + 1);
                    let told = self.told_of(command).await?.saturating_mul(members);
                    room.orders = room.orders.saturating_add(told);
                    told
                }
                Method::Expiries(request) => request.messages.len() * TOLD_OF_EACH,
                Method::Store(_)
                | Method::Revoked(_)
                | Method::Receipt(_)
                | Method::Monitor(_)
                | Method::GetSwarm(_)
                | Method::Info
                | Method::ResolveName
                | Method::Listen(_)
                | Method::Deliver(_)
                | Method::Unlisten(_) => 0,
            };
            room.bytes = room.bytes.saturating_add(bytes);
        }
        Ok(room)
    }

    async fn judged(&self, method: Method) -> Judged {
        let Method::Store(request) = method else { return Judged::Other(method) };
        Judged::Store(self.take_in(request).await)
    }

    /// Answers one of several methods; a retrieve within `room` bytes.
    async fn one_of(&self, upstream: Upstream, judged: Judged, room: usize) -> Reply {
        match judged {
            Judged::Store(Ok(admitted)) => self.store(admitted).await.unwrap_or_else(|refusal| refusal),
            Judged::Store(Err(refusal)) => refusal,
            Judged::Other(method) => self.method(upstream, method, room).await,
        }
    }

    /// Answers one method; a retrieve within `room` bytes.
    async fn method(&self, upstream: Upstream, method: Method, room: usize) -> Reply {
        let answer = match method {
            Method::Store(request) => match self.take_in(request).await {
                Ok(admitted) => self.store(admitted).await,
                Err(refusal) => Err(refusal),
            },
            Method::Retrieve(request) => self.retrieve(request, room).await,
            Method::Command(command) => self.command(command).await,
            Method::Expiries(request) => self.expiries(request).await,
            Method::Revoked(request) => self.revoked(request).await,
            Method::Receipt(request) => self.receipt(request).await,
            Method::Monitor(_) => Err(Reply::text(400, ONLY_OVER_WEBSOCKET)),
            Method::GetSwarm(account) => Ok(Reply::json(200, &self.swarm_of(&account))),
            Method::Info => {
                let now = now_ms();
                let (version, hf) = (STORAGE_SERVER_VERSION, PROTOCOL_GENERATION);
                Ok(Reply::json(200, &InfoResponse { version, timestamp: now, t: now, hf }))
            }
            Method::NodeList(query) => Ok(self.node_list(query)),
            // As a chain answers where nobody has registered the name: there are no names.
            Method::ResolveName => {
                let result = serde_json::Value::Object(Default::default());
                Ok(Reply::json(200, &NodeListResponse { result, t: now_ms(), hf: PROTOCOL_GENERATION }))
            }
            // Among other requests nobody waits.
            Method::Listen(request) => self.listen(upstream, ListenRequest { hold: 0, ..request }).await,
            Method::Deliver(request) => self.deliver(request),
            Method::Unlisten(request) => Ok(self.unlisten(request)),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

/// How many requests are in one.
fn number_of(request: &Request) -> usize {
    match request {
        Request::Single(_) => 1,
        Request::Batch(methods) | Request::Sequence(methods) => methods.len(),
        Request::IfElse(ifelse) => {
            let of = |branch: &Option<Request>| branch.as_ref().map_or(1, number_of);
            of(&ifelse.then).max(of(&ifelse.otherwise))
        }
    }
}

/// The bytes each of several methods may retrieve: all answers travel together, so they share the room of one.
fn rooms(methods: &[Method]) -> Vec<usize> {
    let mut left = MAX_RETRIEVE_BYTES;
    let mut rooms = Vec::with_capacity(methods.len());
    for method in methods {
        let wanted = if let Method::Retrieve(request) = method { request.window().size } else { 0 };
        rooms.push(wanted.min(left));
        left = left.saturating_sub(wanted);
    }
    rooms
}
