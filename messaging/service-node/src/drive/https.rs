//! The door for clients.
//!
//! | request | answer |
//! |---|---|
//! | `POST /storage_rpc/v1` | the storage RPC |
//! | `POST /onion_req/v2` | an onion request |
//! | `GET /monitor/v1` | a WebSocket over which new messages are pushed |
//! | `GET /health` | whether the node serves |

use super::{
    budget::{Budget, Lease},
    monitor::monitor,
    node::{Node, OnionServed, Served, Upstream},
    rate::{RateLimits, rate_key},
};
use crate::{
    VERSION,
    config::Limits,
    core::{Body, Readiness, Reply},
};
use axum::{
    Router,
    body::Body as HttpBody,
    extract::{ConnectInfo, Request, State},
    http::{Response, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde_json::json;
use skep_proto::storage::limits::MAX_REQUEST_BYTES;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::Service;

const HANDSHAKE: Duration = Duration::from_secs(10);
const READ_HEAD: Duration = Duration::from_secs(30);
const READ_BODY: Duration = Duration::from_secs(60);
/// After this, a connection is closed once its request is answered, so that nobody holds a slot for good.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10 * 60);
/// How long that last answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(60);
/// Headers of one request.
const HEAD_BYTES: usize = 16 * 1024;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) node: Arc<Node>,
    rates: RateLimits<IpAddr>,
    tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Accepts clients until told to stop; then lets requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    node: Arc<Node>,
    limits: Limits,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let rates = RateLimits::new(limits.requests_per_second, limits.request_burst, limits.tracked_addresses);
    let door = Door { node: Arc::clone(&node), rates, tasks: tasks.clone(), stop: stop.clone() };
    let router = router(Arc::new(door));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let open = Arc::new(Open { most: limits.connections_per_address, counts: Mutex::default() });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, address, slot)) = accepted else { continue };
        let Some(guard) = OpenGuard::of(&open, address.ip()) else { continue };
        let (acceptor, router, stop, node) = (acceptor.clone(), router.clone(), stop.clone(), Arc::clone(&node));
        node.metrics.client_connections.inc();
        let held = Held(Arc::new(Place { _slot: slot, _guard: guard, node }));
        tasks.spawn(serve_connection(stream, address, held, acceptor, router, stop));
    }
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, slot)),
        Err(error) => {
            // Out of file descriptors, most likely: trying again at once would only spin.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    address: SocketAddr,
    held: Held,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let service = tower::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        request.extensions_mut().insert(held.clone());
        router.clone().call(request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(READ_HEAD).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Ok(ended),
        _ = timeout(LONGEST_CONNECTION, stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::trace!(%error, "a client's connection ended early");
    }
}

fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/storage_rpc/v1", post(storage_rpc))
        .route("/onion_req/v2", post(onion_request))
        .route("/monitor/v1", get(monitor))
        .route("/health", get(health))
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
    let served = match door.admit(address, request).await {
        Ok((body, _lease)) => door.node.storage_rpc(&body).await,
        Err(refused) => refused.into(),
    };
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
    let OnionServed { status, body, lease } = match door.admit(address, request).await {
        Ok((body, _lease)) => door.node.onion(Upstream::Client(address.ip()), &body).await,
        Err(Reply { status, body: Body::Json(text) | Body::Text(text) }) => {
            OnionServed { status, body: text.into_bytes(), lease: None }
        }
    };
    door.node.metrics.count_request("onion", status);
    respond(status, "text/plain", body, lease)
}

async fn health(State(door): State<Arc<Door>>) -> Response<HttpBody> {
    let view = door.node.view();
    let readiness = door.node.readiness();
    let swarm = view.node(&door.node.id).map(|entry| entry.swarm).filter(|swarm| swarm.is_assigned());
    let body = json!({
        "status": readiness.to_string(),
        "node": door.node.id,
        "swarm": swarm,
        "height": view.height(),
        "version": VERSION,
    });
    let status = if readiness == Readiness::Ready { 200 } else { 503 };
    respond(status, "application/json", body.to_string().into_bytes(), None)
}

impl Door {
    /// Whether the node takes requests from there now.
    pub(super) fn opens(&self, address: SocketAddr) -> Result<(), Reply> {
        let ready = self.node.readiness();
        if ready != Readiness::Ready {
            return Err(Reply::text(503, format!("Service node is not ready: {ready}\n")));
        }
        if !self.rates.allows(rate_key(address.ip()), Instant::now()) {
            return Err(Reply::text(429, ""));
        }
        Ok(())
    }

    /// Held by what goes on after its connection's requests: the node waits for it when it stops.
    pub(super) fn task(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// A request's body, if the node takes requests from there now.
    async fn admit(&self, address: SocketAddr, request: Request) -> Result<(Vec<u8>, Lease), Reply> {
        self.opens(address)?;
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let read = read_body(request.into_body(), announced.unwrap_or(0), &self.node.budget);
        timeout(READ_BODY, read).await.unwrap_or_else(|_| Err(Reply::text(408, "the request did not arrive in time")))
    }
}

async fn read_body(mut body: HttpBody, announced: usize, budget: &Budget) -> Result<(Vec<u8>, Lease), Reply> {
    if announced > MAX_REQUEST_BYTES {
        return Err(refuse_too_large(body).await);
    }
    let mut lease = budget.lease(announced).ok_or_else(Reply::busy)?;
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Reply::text(400, "the request ended early"))?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > MAX_REQUEST_BYTES {
            return Err(refuse_too_large(body).await);
        }
        if !lease.grow(length, budget) {
            return Err(Reply::busy());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, lease))
}

/// Clients read the answer only once they have sent everything, so the rest is taken and dropped, within bounds.
async fn refuse_too_large(body: HttpBody) -> Reply {
    let mut rest = Limited::new(body, 2 * MAX_REQUEST_BYTES);
    while let Some(Ok(_)) = rest.frame().await {}
    Reply::text(413, "Request body too large")
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

/// A connection's place among those the node has, held for as long as anything uses the connection.
#[derive(Clone, Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "held, not read")] Arc<Place>);

#[derive(Debug)]
struct Place {
    _slot: tokio::sync::OwnedSemaphorePermit,
    _guard: OpenGuard,
    node: Arc<Node>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.node.metrics.client_connections.dec();
    }
}

/// Connections by address.
#[derive(Debug)]
struct Open {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection.
#[derive(Debug)]
struct OpenGuard {
    open: Arc<Open>,
    key: IpAddr,
}

impl OpenGuard {
    fn of(open: &Arc<Open>, address: IpAddr) -> Option<Self> {
        let key = rate_key(address);
        let mut counts = open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= open.most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { open: Arc::clone(open), key })
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut counts = self.open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
