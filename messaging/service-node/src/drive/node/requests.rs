//! Requests of the storage RPC: one, or several in one.

use super::{Node, Served, Upstream, messages::Admitted};
use crate::{
    core::Reply,
    drive::{budget::Lease, now_ms},
};
use futures::future::{BoxFuture, FutureExt, join_all};
use skep_proto::storage::{
    InfoResponse, ListenRequest, Method, NodeListResponse, PROTOCOL_GENERATION, Request, limits::MAX_RETRIEVE_BYTES,
};
use skep_rpc::node_list::STORAGE_SERVER_VERSION;

const ONLY_OVER_WEBSOCKET: &str = "monitor: open a WebSocket at /monitor/v1";

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
            Ok(Request::Single(Method::Listen(request))) => {
                self.listen(upstream, request).await.unwrap_or_else(|refusal| refusal).into()
            }
            Ok(request) => self.request(upstream, request).await,
        }
    }

    fn request(&self, upstream: Upstream, request: Request) -> BoxFuture<'_, Served> {
        async move {
            match request {
                Request::Single(method) => self.method(upstream, method, MAX_RETRIEVE_BYTES).await,
                Request::Batch(methods) => {
                    let rooms = rooms(&methods);
                    // Mail is read in the order in which the disk got it: that of the list, however long judging each takes.
                    let judged = join_all(methods.into_iter().map(|method| self.judged(method))).await;
                    let answers =
                        judged.into_iter().zip(rooms).map(|(judged, room)| self.one_of(upstream, judged, room));
                    together(join_all(answers).await)
                }
                Request::Sequence(methods) => {
                    let rooms = rooms(&methods);
                    let mut answers = Vec::with_capacity(methods.len());
                    for (method, room) in methods.into_iter().zip(rooms) {
                        let answer = self.method(upstream, method, room).await;
                        let goes_on = (200..300).contains(&answer.reply.status);
                        answers.push(answer);
                        if !goes_on {
                            break;
                        }
                    }
                    together(answers)
                }
                Request::IfElse(ifelse) => {
                    let height = self.view().height();
                    let holds = ifelse.condition.holds(PROTOCOL_GENERATION, STORAGE_SERVER_VERSION, height.into());
                    match if holds { ifelse.then } else { ifelse.otherwise } {
                        None => Reply::branch(holds, height.into(), None).into(),
                        Some(branch) => {
                            let Served { reply, lease } = self.request(upstream, branch).await;
                            Served { reply: Reply::branch(holds, height.into(), Some(&reply)), lease }
                        }
                    }
                }
            }
        }
        .boxed()
    }

    async fn judged(&self, method: Method) -> Judged {
        let Method::Store(request) = method else { return Judged::Other(method) };
        Judged::Store(self.take_in(request).await)
    }

    /// Answers one of several methods; a retrieve within `room` bytes.
    async fn one_of(&self, upstream: Upstream, judged: Judged, room: usize) -> Served {
        match judged {
            Judged::Store(Ok(admitted)) => self.store(admitted).await.unwrap_or_else(|refusal| refusal).into(),
            Judged::Store(Err(refusal)) => refusal.into(),
            Judged::Other(method) => self.method(upstream, method, room).await,
        }
    }

    /// Answers one method; a retrieve within `room` bytes.
    async fn method(&self, upstream: Upstream, method: Method, room: usize) -> Served {
        let answer = match method {
            Method::Store(request) => match self.take_in(request).await {
                Ok(admitted) => self.store(admitted).await,
                Err(refusal) => Err(refusal),
            },
            Method::Retrieve(request) => return self.retrieve(request, room).await.unwrap_or_else(Served::from),
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
            Method::NodeList(query) => return self.node_list(query),
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
        answer.unwrap_or_else(|refusal| refusal).into()
    }
}

/// The bytes each of several methods may retrieve: all answers travel together, so they share the room of one.
fn rooms(methods: &[Method]) -> Vec<usize> {
    let mut room = MAX_RETRIEVE_BYTES;
    let mut rooms = Vec::with_capacity(methods.len());
    for method in methods {
        rooms.push(room);
        if let Method::Retrieve(request) = method {
            room = room.saturating_sub(request.window().size);
        }
    }
    rooms
}

fn together(answers: Vec<Served>) -> Served {
    let (replies, leases): (Vec<_>, Vec<_>) = answers.into_iter().map(|served| (served.reply, served.lease)).unzip();
    let lease = leases.into_iter().flatten().reduce(|mut all: Lease, lease| {
        all.merge(lease);
        all
    });
    Served { reply: Reply::batch(&replies), lease }
}
