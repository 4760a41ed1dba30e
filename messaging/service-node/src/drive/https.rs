//! The door for clients.
//!
//! | request | answer |
//! |---|---|
//! | `POST /storage_rpc/v1` | the storage RPC |
//! | `POST /onion_req/v2` | an onion request |
//! | `GET /monitor/v1` | a WebSocket over which new messages are pushed |
//! | `POST /path/v1` | a frame of an established path |
//! | `GET /health` | whether the node serves |

mod connection;

use super::{
    budget::{Holder, Lease},
    metrics::Shed,
    monitor::monitor,
    node::{Node, OnionServed, Served, Upstream},
    occasionally::Occasionally,
    rate::host_key,
};
use crate::core::{Body, Readiness, Reply, TOO_LARGE};
use axum::{
    Router,
    body::Body as HttpBody,
    extract::{ConnectInfo, Request, State},
    http::{Response, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use connection::Connection;
use http_body_util::{BodyExt, Limited};
use skep_proto::storage::limits::MAX_REQUEST_BYTES;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub(crate) use connection::Patience;

const STORAGE: &str = "/storage_rpc/v1";
const ONION: &str = "/onion_req/v2";
const MONITOR: &str = "/monitor/v1";
const PATH: &str = "/path/v1";
const HEALTH: &str = "/health";

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) node: Arc<Node>,
    patience: Patience,
    tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Accepts clients until told to stop; then lets requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    node: Arc<Node>,
    patience: Patience,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let door = Arc::new(Door { node: Arc::clone(&node), patience, tasks: tasks.clone(), stop: stop.clone() });
    let router = router(Arc::clone(&door));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, address)) = accepted else { continue };
        let (acceptor, router, stop, node) = (acceptor.clone(), router.clone(), stop.clone(), Arc::clone(&node));
        let door = Arc::clone(&door);
        let gate = move |path: &str| door.refusal(address, path);
        // Whoever waits for a place holds up nobody who comes after.
        tasks.spawn(async move {
            let served = async {
                node.defences.client_may_shake_hands(address.ip()).map_err(Shed::Handshakes)?;
                let place = Arc::new(node.defences.connections.enter(address.ip()).await?);
                Connection { stream, address, place, patience }.serve(acceptor, gate, router, &stop).await
            };
            if let Err(shed) = served.await {
                node.metrics.count_shed(shed);
            }
        });
    }
}

static NOT_ACCEPTED: Occasionally = Occasionally::new();

/// The next connection.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            // Out of file descriptors, most likely: trying again at once would only spin.
            if let Some(more) = NOT_ACCEPTED.due() {
                tracing::warn!(%error, more, "cannot accept a connection");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route(STORAGE, post(storage_rpc))
        .route(ONION, post(onion_request))
        .route(MONITOR, get(monitor))
        .route(PATH, post(path_frame))
        .route(HEALTH, get(health))
        .fallback(async |request: Request| {
            let text = format!("{} {} Not Found", request.method(), request.uri().path());
            (StatusCode::NOT_FOUND, text)
        })
        .with_state(door)
}

async fn storage_rpc(
    State(door): State<Arc<Door>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<HttpBody> {
    let arrived = Instant::now();
    let served = match door.admit(address, request).await {
        Ok((body, _lease)) => door.node.storage_rpc(Upstream::Client(host_key(address.ip())), &body).await,
        Err(refused) => refused.into(),
    };
    door.node.metrics.time_request("storage", arrived.elapsed());
    door.node.metrics.count_request("storage", served.reply.status);
    answer(served)
}

/// An answer of the storage RPC over HTTP.
pub(super) fn answer(Served { reply: Reply { status, body }, lease }: Served) -> Response<HttpBody> {
    let (kind, text) = match body {
        Body::Json(text) => ("application/json", text),
        Body::Text(text) => ("text/plain", text),
    };
    respond(status, kind, text.into_bytes(), lease)
}

async fn onion_request(
    State(door): State<Arc<Door>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<HttpBody> {
    let arrived = Instant::now();
    let OnionServed { status, body, lease } = match door.admit(address, request).await {
        Ok((body, _lease)) => door.node.onion(Upstream::Client(host_key(address.ip())), &body).await,
        Err(Reply { status, body: Body::Json(text) | Body::Text(text) }) => {
            OnionServed { status, body: text.into_bytes(), lease: None }
        }
    };
    door.node.metrics.time_request("onion", arrived.elapsed());
    door.node.metrics.count_request("onion", status);
    respond(status, "text/plain", body, lease)
}

async fn path_frame(
    State(door): State<Arc<Door>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<HttpBody> {
    let arrived = Instant::now();
    let OnionServed { status, body, lease } = match door.admit(address, request).await {
        Ok((body, _lease)) => door.node.path(Upstream::Client(host_key(address.ip())), &body).await,
        Err(Reply { status, body: Body::Json(text) | Body::Text(text) }) => {
            OnionServed { status, body: text.into_bytes(), lease: None }
        }
    };
    door.node.metrics.time_request("path", arrived.elapsed());
    door.node.metrics.count_request("path", status);
    let kind = if status == 200 { "application/octet-stream" } else { "text/plain" };
    respond(status, kind, body, lease)
}

async fn health(State(door): State<Arc<Door>>) -> Response<HttpBody> {
    let (status, body) = door.node.health();
    respond(status, "application/json", body.into_bytes(), None)
}

impl Door {
    /// Takes the token of a request from there.
    pub(super) fn may_ask(&self, address: SocketAddr) -> Result<(), Reply> {
        self.node.defences.may_ask(address.ip()).map_err(|too_often| {
            self.node.metrics.count_shed(Shed::Requests(too_often));
            Reply::text(429, "")
        })
    }

    /// The answer to a request whose client may not ask now: whatever it asks, also where nothing is, by a wrong method, or
    /// in vain.
    fn refusal(&self, address: SocketAddr, path: &str) -> Option<Response<HttpBody>> {
        let refused = self.may_ask(address).err()?;
        let name = match path {
            STORAGE => "storage",
            ONION => "onion",
            MONITOR => "monitor",
            PATH => "path",
            _ => "other",
        };
        self.node.metrics.count_request(name, refused.status);
        Some(answer(refused.into()))
    }

    /// Whether the node takes requests now.
    pub(super) fn serves(&self) -> Result<(), Reply> {
        let ready = self.node.readiness();
        if ready != Readiness::Ready {
            return Err(Reply::text(503, format!("Service node is not ready: {ready}\n")));
        }
        Ok(())
    }

    /// Held by what goes on after its connection's requests: the node waits for it when it stops.
    pub(super) fn task(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// A request's body, if the node takes requests now.
    async fn admit(&self, address: SocketAddr, request: Request) -> Result<(Vec<u8>, Lease), Reply> {
        self.serves()?;
        let holder = Holder::Client(host_key(address.ip()));
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        match timeout(self.patience.body, self.read_body(holder, request.into_body(), announced.unwrap_or(0))).await {
            Ok(Ok(Some(read))) => Ok(read),
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(None)) | Err(_) => {
                self.node.metrics.count_shed(Shed::SlowRequest);
                Err(Reply::text(408, "the request did not arrive in time"))
            }
        }
    }

    /// Reads a body, taking memory for it as it arrives: what is only announced costs nothing. Nothing if it stalls.
    async fn read_body(
        &self,
        holder: Holder,
        mut body: HttpBody,
        announced: usize,
    ) -> Result<Option<(Vec<u8>, Lease)>, Reply> {
        const FIRST: usize = 64 * 1024;
        if announced > MAX_REQUEST_BYTES {
            return Err(refuse_too_large(body).await);
        }
        let first = announced.min(FIRST);
        // The client's own other answers may hold the room that a small request waits for a moment.
        let mut lease = self.node.budget.lease_soon(holder, first).await.ok_or_else(|| self.node.busy())?;
        let mut bytes = Vec::with_capacity(first);
        loop {
            let Ok(frame) = timeout(self.patience.stall, body.frame()).await else { return Ok(None) };
            let Some(frame) = frame else { return Ok(Some((bytes, lease))) };
            let frame = frame.map_err(|_| Reply::text(400, "the request ended early"))?;
            // Trailers say nothing to us.
            let Ok(data) = frame.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > MAX_REQUEST_BYTES {
                return Err(refuse_too_large(body).await);
            }
            if !lease.grow(length) {
                return Err(self.node.busy());
            }
            bytes.extend_from_slice(&data);
        }
    }
}

/// Clients read the answer only once they have sent everything, so the rest is taken and dropped, within bounds.
async fn refuse_too_large(body: HttpBody) -> Reply {
    let mut rest = Limited::new(body, 2 * MAX_REQUEST_BYTES);
    while let Some(Ok(_)) = rest.frame().await {}
    Reply::text(413, TOO_LARGE)
}

fn respond(status: u16, kind: &'static str, body: Vec<u8>, lease: Option<Lease>) -> Response<HttpBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = HttpBody::from(Bytes::from_owner(Leased { bytes: body, _lease: lease }));
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Bytes on their way out; their memory is given back when they are gone.
struct Leased {
    bytes: Vec<u8>,
    _lease: Option<Lease>,
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
