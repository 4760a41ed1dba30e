//! The door for clients.
//!
//! | request | answer |
//! |---|---|
//! | `POST /storage_rpc/v1` | the storage RPC |
//! | `POST /onion_req/v2` | an onion request |
//! | `GET /monitor/v1` | a WebSocket over which new messages are pushed |
//! | `POST /path/v1` | a frame of an established path |
//! | `GET /health` | whether the node serves |

use super::{
    budget::{Holder, Lease},
    defences::OpenConnection,
    metrics::Shed,
    monitor::monitor,
    node::{Node, OnionServed, Served, Upstream},
    occasionally::Occasionally,
    rate::host_key,
    stall::{Answering, Paced, SLOWEST},
};
use crate::core::{Body, Readiness, Reply};
use axum::{
    Router,
    body::Body as HttpBody,
    extract::{ConnectInfo, Request, State},
    http::{Extensions, Response, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use skep_proto::storage::limits::MAX_REQUEST_BYTES;
use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
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
/// A request of which nothing arrives for so long is given up: what is there of it holds memory.
const READ_STALL: Duration = Duration::from_secs(15);
/// After this, a connection is closed once its request is answered, so that nobody holds a slot for good.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10 * 60);
/// How long that last answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(60);
/// How long a node that stops still waits for the first request of whoever has just connected.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// Headers of one request.
const HEAD_BYTES: usize = 16 * 1024;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) node: Arc<Node>,
    tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Accepts clients until told to stop; then lets requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    node: Arc<Node>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let door = Door { node: Arc::clone(&node), tasks: tasks.clone(), stop: stop.clone() };
    let router = router(Arc::new(door));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &node) => accepted,
        };
        let Some((stream, address, slot, open)) = accepted else { continue };
        let (acceptor, stop, node) = (acceptor.clone(), stop.clone(), Arc::clone(&node));
        node.metrics.client_connections.inc();
        let held = Held(Arc::new(Place { _slot: slot, _open: open, node: Arc::clone(&node) }));
        let router = router.clone();
        let tell = move |request: &mut Extensions| {
            request.insert(ConnectInfo(address));
            request.insert(held.clone());
        };
        tasks.spawn(async move {
            if let Err(shed) = serve_connection(stream, acceptor, router, tell, &stop, FIRST_REQUEST).await {
                node.metrics.count_shed(shed);
            }
        });
    }
}

static NOT_ACCEPTED: Occasionally = Occasionally::new();

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    node: &Node,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit, OpenConnection)> {
    let slot = node.defences.connections.acquire().await?;
    match listener.accept().await {
        Ok((stream, address)) => match node.defences.connect(address.ip()) {
            Ok(open) => Some((stream, address, slot, open)),
            Err(too_many) => {
                node.metrics.count_shed(Shed::Connections(too_many));
                None
            }
        },
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

/// Serves one connection to its end; each request is told about it by `tell`. An error says why it was cut off.
async fn serve_connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    tell: impl Fn(&mut Extensions) + Clone + Send + 'static,
    stop: &CancellationToken,
    first_request: Duration,
) -> Result<(), Shed> {
    let answering = Answering::default();
    let handshake = acceptor.accept(Paced::new(stream, SLOWEST, answering.clone()));
    let stream = match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return Ok(()),
        Err(_) => return Err(Shed::HalfOpen),
    };
    let asked = CancellationToken::new();
    let service = {
        let asked = asked.clone();
        tower::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            asked.cancel();
            tell(request.extensions_mut());
            let (served, answering) = (router.clone().call(request), answering.clone());
            async move {
                let response = served.await?;
                answering.begin(usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX));
                Ok::<_, Infallible>(response)
            }
        })
    };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(READ_HEAD).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Ok(ended),
        () = closing_time(stop, &asked, first_request) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, connection).await
        }
    };
    match ended {
        Ok(Err(error)) if error.is_timeout() && !asked.is_cancelled() => Err(Shed::HalfOpen),
        Ok(Err(error)) if is_stalled(&error) => Err(Shed::SlowAnswer),
        Ok(Err(error)) => {
            tracing::trace!(%error, "a client's connection ended early");
            Ok(())
        }
        Ok(Ok(())) => Ok(()),
        Err(_) => Err(Shed::SlowAnswer),
    }
}

/// When no further request is taken: after the longest time a connection may last, or when the node stops. Whoever has only
/// just connected by then may still ask once; the next node to listen on this socket knows nothing of them.
async fn closing_time(stop: &CancellationToken, asked: &CancellationToken, first_request: Duration) {
    if timeout(LONGEST_CONNECTION, stop.cancelled()).await.is_ok() {
        let _ = timeout(first_request, asked.cancelled()).await;
    }
}

/// Whether [`Paced`] ended a connection.
fn is_stalled(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        source = cause.source();
    }
    false
}

fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/storage_rpc/v1", post(storage_rpc))
        .route("/onion_req/v2", post(onion_request))
        .route("/monitor/v1", get(monitor))
        .route("/path/v1", post(path_frame))
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
    /// Whether the node takes requests from there now.
    pub(super) fn opens(&self, address: SocketAddr) -> Result<(), Reply> {
        let ready = self.node.readiness();
        if ready != Readiness::Ready {
            return Err(Reply::text(503, format!("Service node is not ready: {ready}\n")));
        }
        if let Err(too_often) = self.node.defences.may_ask(address.ip()) {
            self.node.metrics.count_shed(Shed::Requests(too_often));
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
        let holder = Holder::Client(host_key(address.ip()));
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        match timeout(READ_BODY, self.read_body(holder, request.into_body(), announced.unwrap_or(0))).await {
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
            let Ok(frame) = timeout(READ_STALL, body.frame()).await else { return Ok(None) };
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
    _slot: OwnedSemaphorePermit,
    _open: OpenConnection,
    node: Arc<Node>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.node.metrics.client_connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drive::tls, testing::node_key};
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsConnector, client::TlsStream};

    /// Enough for what must happen.
    const LONG: Duration = Duration::from_secs(60);

    /// A client that has shaken hands with a connection being served, and that connection's end.
    async fn connected(
        stop: &CancellationToken,
        first_request: Duration,
    ) -> (TlsStream<TcpStream>, tokio::task::JoinHandle<Result<(), Shed>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(tls::server_config(&node_key(1)).unwrap());
        let stop = stop.clone();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let router = Router::new().route("/health", get(async || "well"));
            serve_connection(stream, acceptor, router, |_| {}, &stop, first_request).await
        });
        let mut config = skep_trusting_tls::trusting().unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("skep.invalid").unwrap();
        let client = timeout(LONG, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap().unwrap();
        (client, served)
    }

    #[tokio::test]
    async fn who_has_just_connected_is_answered_by_a_node_that_stops() {
        let stop = CancellationToken::new();
        let (mut client, served) = connected(&stop, LONG).await;
        stop.cancel();
        // The connection is told to close before anything has been asked on it.
        tokio::task::yield_now().await;
        client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        timeout(LONG, client.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{answer}");
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_asks_nothing_does_not_hold_up_a_node_that_stops() {
        let stop = CancellationToken::new();
        let (mut client, served) = connected(&stop, Duration::ZERO).await;
        stop.cancel();
        let _ = timeout(LONG, client.read_to_end(&mut Vec::new())).await.unwrap();
        served.await.unwrap().unwrap();
    }
}
