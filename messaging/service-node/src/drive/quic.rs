//! Service nodes among themselves: one QUIC endpoint for both directions, one request a stream.

use super::{
    budget::{Budget, Holder, Lease},
    metrics::Shed,
    node::Node,
    peer_tls,
};
use crate::NodeKey;
use bytes::Bytes;
use prost::Message;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig},
};
use rustls::pki_types::CertificateDer;
use skep_chain_client::{RosterReceiver, RosterView};
use skep_onion::MAX_BODY_BYTES;
use skep_primitives::{RosterEntry, ServiceNodeId};
use skep_proto::peer;
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Largest request: an onion body and its envelope.
const MAX_REQUEST: usize = MAX_BODY_BYTES + 64 * 1024;
/// Largest answer: a full retrieve, sealed and in base64 twice.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Streams a peer may have open at once. Requests that wait for a message hold one each way for half a minute; an idle one
/// takes next to no memory.
const STREAMS: u32 = 1024;
/// Connections from one peer: the old one may linger while a new one opens.
const CONNECTIONS_PER_PEER: usize = 4;
const IDLE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(4);
const HANDSHAKE: Duration = Duration::from_secs(5);
const READ_REQUEST: Duration = Duration::from_secs(20);
/// How long a peer may take its answer, which holds memory until it is gone.
const WRITE_ANSWER: Duration = Duration::from_secs(30);
/// How long the end of connections may take when the node stops.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Handshakes at once; beyond, newcomers are told to try again.
const HANDSHAKES: usize = 64;

/// Why the endpoint cannot open.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The keys do not fit TLS.
    #[error("cannot set up TLS for other service nodes: {0}")]
    Tls(#[from] rustls::Error),
    /// The cipher suites do not fit QUIC.
    #[error("cannot set up QUIC: {0}")]
    Quic(#[from] NoInitialCipherSuite),
    /// The port is taken, or not allowed.
    #[error("cannot listen on UDP {address}: {source}. Is another node running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("its answer cannot be read")]
    Unreadable,
    #[error("there is no room for its answer")]
    NoRoom,
}

/// Connections to other service nodes, opened when needed and kept while used.
#[derive(Debug)]
pub(crate) struct Peers {
    endpoint: Endpoint,
    key: NodeKey,
    transport: Arc<TransportConfig>,
    budget: Budget,
    slots: Mutex<HashMap<ServiceNodeId, Arc<Slot>>>,
}

/// The connection to one peer; whoever finds none opens it while the others wait.
type Slot = tokio::sync::Mutex<Option<Connection>>;

/// The socket that was handed over, or else one of its own at `address`.
pub(super) fn socket(handed: Option<UdpSocket>, address: SocketAddr) -> Result<UdpSocket, EndpointError> {
    let bind = || UdpSocket::bind(address).map_err(|source| EndpointError::Bind { address, source });
    handed.map_or_else(bind, Ok)
}

impl Peers {
    /// Opens the endpoint on `handed`, or else on a socket of its own at `address`.
    pub(crate) fn open(
        address: SocketAddr,
        handed: Option<UdpSocket>,
        key: NodeKey,
        roster: RosterReceiver,
        budget: Budget,
    ) -> Result<Self, EndpointError> {
        let tls = QuicServerConfig::try_from(peer_tls::server_config(&key, roster)?)?;
        let transport = Arc::new(transport());
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::clone(&transport));
        let (socket, runtime) = (socket(handed, address)?, Arc::new(TokioRuntime));
        let endpoint = Endpoint::new(endpoint_config(&key), Some(config), socket, runtime)
            .map_err(|source| EndpointError::Bind { address, source })?;
        Ok(Self { endpoint, key, transport, budget, slots: Mutex::default() })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Asks a peer and waits for its answer, at most `patience` in all. The lease is for the answer's memory.
    pub(crate) async fn ask(
        &self,
        peer: &RosterEntry,
        request: &peer::Request,
        patience: Duration,
    ) -> Result<(peer::Response, Lease), PeerError> {
        self.ask_for(Holder::Node(peer.id), peer, request, patience).await
    }

    /// The same; the answer's memory is held for `holder`.
    pub(crate) async fn ask_for(
        &self,
        holder: Holder,
        peer: &RosterEntry,
        request: &peer::Request,
        patience: Duration,
    ) -> Result<(peer::Response, Lease), PeerError> {
        timeout(patience, self.ask_patiently(holder, peer, request)).await.unwrap_or(Err(PeerError::TimedOut))
    }

    async fn ask_patiently(
        &self,
        holder: Holder,
        peer: &RosterEntry,
        request: &peer::Request,
    ) -> Result<(peer::Response, Lease), PeerError> {
        let ask = async |connection| {
            let room = self.budget.lease(holder, 0).ok_or(Unanswered::Other(PeerError::NoRoom))?;
            ask_over(connection, request, room).await
        };
        let (connection, fresh) = self.connection(peer).await?;
        match ask(&connection).await {
            // The peer may have restarted since, so try once more, where asking twice does no harm.
            Err(Unanswered::Lost { heard, .. }) if !fresh && may_ask_again(request, heard) => {
                connection.close(VarInt::from_u32(0), b"broken");
                let (connection, _) = self.connection(peer).await?;
                Ok(ask(&connection).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// An open connection, and whether it was opened for this.
    async fn connection(&self, peer: &RosterEntry) -> Result<(Connection, bool), PeerError> {
        let address = SocketAddr::V4(SocketAddrV4::new(peer.endpoint.ip(), peer.endpoint.quic_port));
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(peer.id).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = &*slot
            && connection.close_reason().is_none()
            && is_at(&connection.remote_address(), &address)
        {
            return Ok((connection.clone(), false));
        }
        let connection = timeout(CONNECT, self.connect(peer.id, address))
            .await
            .unwrap_or_else(|_| Err(PeerError::Connect("no answer".into())))?;
        *slot = Some(connection.clone());
        Ok((connection, true))
    }

    async fn connect(&self, peer: ServiceNodeId, address: SocketAddr) -> Result<Connection, PeerError> {
        let failed = |error: &dyn std::error::Error| PeerError::Connect(error.to_string());
        let tls = peer_tls::client_config(&self.key, peer).map_err(|error| failed(&error))?;
        let tls = QuicClientConfig::try_from(tls).map_err(|error| failed(&error))?;
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::clone(&self.transport));
        // Names play no part: the peer proves its key.
        let connecting = self.endpoint.connect_with(config, address, "skep.invalid").map_err(|error| failed(&error))?;
        connecting.await.map_err(|error| failed(&error))
    }

    /// Closes connections to nodes that have left the roster.
    pub(crate) fn forget_strangers(&self, view: &RosterView) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|id, _| view.node(id).is_some());
    }

    /// Ends every connection, and waits a moment for the peers to be told.
    pub(crate) async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"stopping");
        // Whoever misses it learns it by the reset key.
        let _ = timeout(LAST_WORDS, self.endpoint.wait_idle()).await;
    }
}

/// Whether a connection's end is where a node says it is: a socket for both families sees IPv4 as a part of IPv6.
fn is_at(end: &SocketAddr, address: &SocketAddr) -> bool {
    end.ip().to_canonical() == address.ip().to_canonical() && end.port() == address.port()
}

/// The reset key is the same after a restart, so that peers learn at once that their old connections are gone.
fn endpoint_config(key: &NodeKey) -> EndpointConfig {
    let secret = key.derive(b"skep/quic-reset/1");
    EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &*secret)))
}

/// Whether a peer has a request whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It has not: the end of the request was never sent, or the peer knows nothing any more of what was before.
    No,
    /// It may have.
    Perhaps,
}

/// Why a request over one connection was not answered.
#[derive(Debug)]
enum Unanswered {
    /// The connection, or the stream, broke.
    Lost {
        heard: Heard,
        why: String,
    },
    Other(PeerError),
}

impl Unanswered {
    fn unsent(error: &dyn std::error::Error) -> Self {
        Self::Lost { heard: Heard::No, why: error.to_string() }
    }

    fn while_waiting(error: &quinn::ReadError) -> Self {
        let heard = match error {
            // It has started anew since, or closes what it will not serve.
            quinn::ReadError::ConnectionLost(ConnectionError::Reset | ConnectionError::ApplicationClosed(_)) => {
                Heard::No
            }
            quinn::ReadError::ConnectionLost(_)
            | quinn::ReadError::Reset(_)
            | quinn::ReadError::ClosedStream
            | quinn::ReadError::IllegalOrderedRead
            | quinn::ReadError::ZeroRttRejected => Heard::Perhaps,
        };
        Self::Lost { heard, why: error.to_string() }
    }
}

impl From<Unanswered> for PeerError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Lost { why, .. } => Self::Broken(why),
            Unanswered::Other(error) => error,
        }
    }
}

/// Whether a request may be made again. A layer that the peer has seen is a repeated one to it, and refused as an attack; then
/// the client believes that an honest hop fails. Everything else has the same effect twice as once.
fn may_ask_again(request: &peer::Request, heard: Heard) -> bool {
    use peer::request::Request;
    match (heard, &request.request) {
        (Heard::Perhaps, Some(Request::Onion(_) | Request::Path(_))) => false,
        (Heard::No | Heard::Perhaps, _) => true,
    }
}

async fn ask_over(
    connection: &Connection,
    request: &peer::Request,
    room: Lease,
) -> Result<(peer::Response, Lease), Unanswered> {
    let (mut send, receive) = connection.open_bi().await.map_err(|error| Unanswered::unsent(&error))?;
    send.write_all(&request.encode_to_vec()).await.map_err(|error| Unanswered::unsent(&error))?;
    // Fails only if the stream is closed already, which reading will tell.
    let _ = send.finish();
    let (answer, lease) = read(receive, MAX_ANSWER, room).await.map_err(|error| match error {
        ReadError::Broken(error) => Unanswered::while_waiting(&error),
        ReadError::TooLong => Unanswered::Other(PeerError::Unreadable),
        ReadError::NoRoom => Unanswered::Other(PeerError::NoRoom),
    })?;
    let answer = peer::Response::decode(answer).map_err(|_| Unanswered::Other(PeerError::Unreadable))?;
    Ok((answer, lease))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).unwrap_or_else(|_| VarInt::from_u32(30_000).into());
    transport
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(512 * 1024))
        .receive_window(VarInt::from_u32(2 * 1024 * 1024))
        .send_window(4 * 1024 * 1024)
        .datagram_receive_buffer_size(None);
    transport
}

/// Serves other nodes until told to stop.
pub(crate) async fn serve(node: Arc<Node>, tasks: TaskTracker, stop: CancellationToken) {
    let handshakes = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
    let open = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = node.peers.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if !incoming.remote_address_validated() {
            // A round trip proves the address, before any key is looked at.
            let _ = incoming.retry();
            continue;
        }
        if let Err(too_often) = node.defences.may_shake_hands(incoming.remote_address().ip()) {
            node.metrics.count_shed(Shed::Handshakes(too_often));
            incoming.refuse();
            continue;
        }
        let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (node, open, stop) = (Arc::clone(&node), Arc::clone(&open), stop.clone());
        let streams = tasks.clone();
        tasks.spawn(async move {
            let accepted = timeout(HANDSHAKE, accept(incoming)).await;
            drop(handshake);
            let Ok(Some((connection, peer))) = accepted else { return };
            let Some(_guard) = OpenGuard::of(open, peer) else {
                connection.close(VarInt::from_u32(1), b"too many connections");
                return;
            };
            node.metrics.peer_connections.inc();
            serve_connection(&node, &connection, peer, &streams, &stop).await;
            node.metrics.peer_connections.dec();
        });
    }
}

async fn accept(incoming: Incoming) -> Option<(Connection, ServiceNodeId)> {
    let connection = match incoming.accept().ok()?.await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "refused a connection of a supposed service node");
            return None;
        }
    };
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Some((connection, peer_tls::node_of(&identity)?))
}

/// Counts the connections of one peer.
struct OpenGuard {
    open: Arc<Mutex<HashMap<ServiceNodeId, usize>>>,
    peer: ServiceNodeId,
}

impl OpenGuard {
    fn of(open: Arc<Mutex<HashMap<ServiceNodeId, usize>>>, peer: ServiceNodeId) -> Option<Self> {
        {
            let mut counts = open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(peer).or_default();
            if *count >= CONNECTIONS_PER_PEER {
                return None;
            }
            *count += 1;
        }
        Some(Self { open, peer })
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut counts = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

async fn serve_connection(
    node: &Arc<Node>,
    connection: &Connection,
    peer: ServiceNodeId,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            stream = connection.accept_bi() => stream,
        };
        let Ok((mut send, receive)) = stream else { return };
        let node = Arc::clone(node);
        tasks.spawn(async move {
            let asked = async {
                let room = node.budget.lease(Holder::Node(peer), 0).ok_or(ReadError::NoRoom)?;
                read(receive, MAX_REQUEST, room).await
            };
            // The answer's memory is held until it is gone.
            let (response, _lease) = match timeout(READ_REQUEST, asked).await {
                Ok(Ok((request, lease))) => node.answer_peer(peer, request, lease).await,
                Ok(Err(error)) => (Refused::from(error).into_response(), None),
                Err(_) => (Refused { status: 408, reason: "the request did not arrive in time" }.into_response(), None),
            };
            let encoded = response.encode_to_vec();
            drop(response);
            // A peer that has gone away needs no answer; one that does not take it gets no more of it.
            match timeout(WRITE_ANSWER, send.write_all(&encoded)).await {
                Ok(Ok(())) => {
                    let _ = send.finish();
                }
                Ok(Err(_)) => {}
                Err(_) => {
                    let _ = send.reset(VarInt::from_u32(0));
                    node.metrics.count_shed(Shed::SlowAnswer);
                }
            }
        });
    }
}

/// What a peer is told instead of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Refused {
    pub(crate) const BUSY: Self = Self { status: 503, reason: crate::core::SERVER_BUSY };

    pub(crate) fn into_response(self) -> peer::Response {
        refusal(self.status, self.reason)
    }
}

pub(crate) fn refusal(status: u16, reason: impl Into<String>) -> peer::Response {
    let refusal = peer::Refusal { status: status.into(), reason: reason.into() };
    peer::Response { response: Some(peer::response::Response::Refusal(refusal)) }
}

/// Why a message of a peer was not read.
#[derive(Debug)]
enum ReadError {
    Broken(quinn::ReadError),
    TooLong,
    NoRoom,
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Broken(_) => Self { status: 400, reason: "the stream broke" },
            ReadError::TooLong => Self { status: 413, reason: "the request is too large" },
            ReadError::NoRoom => Self::BUSY,
        }
    }
}

/// Reads a whole message of at most `most` bytes, taking more room for it as it comes. What is decoded from it shares its bytes.
async fn read(mut receive: RecvStream, most: usize, mut room: Lease) -> Result<(Bytes, Lease), ReadError> {
    const CHUNK: usize = 64 * 1024;
    let mut bytes = Vec::new();
    while let Some(chunk) = receive.read_chunk(CHUNK, true).await.map_err(ReadError::Broken)? {
        let length = bytes.len() + chunk.bytes.len();
        if length > most {
            return Err(ReadError::TooLong);
        }
        if !room.grow(length) {
            return Err(ReadError::NoRoom);
        }
        bytes.extend_from_slice(&chunk.bytes);
    }
    Ok((bytes.into(), room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, node_key, view};
    use skep_proto::peer::request::Request;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::watch;

    /// Enough for what must happen.
    const LONG: Duration = Duration::from_secs(60);

    fn peers(number: u8, roster: RosterReceiver) -> Peers {
        let at = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        Peers::open(at, None, node_key(number), roster, Budget::new(1 << 20)).expect("opens")
    }

    /// How often a peer hears a request whose connection breaks before it answers.
    async fn times_heard(request: Request) -> usize {
        let (views, roster) = watch::channel(Arc::new(view([])));
        let (asker, asked) = (peers(1, roster.clone()), Arc::new(peers(2, roster)));
        let [mut own, mut other] = [1, 2].map(|number| entry(&node_key(number), 1, 0));
        own.endpoint.quic_port = asker.local_address().expect("bound").port();
        other.endpoint.quic_port = asked.local_address().expect("bound").port();
        views.send_replace(Arc::new(view([own, other.clone()])));

        let heard = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn({
            let (asked, heard) = (Arc::clone(&asked), Arc::clone(&heard));
            async move {
                while let Some(incoming) = asked.endpoint.accept().await {
                    let (heard, connection) = (Arc::clone(&heard), incoming.await.expect("a peer"));
                    tokio::spawn(async move {
                        // Held, so that the asker waits until its end breaks. A second connection is answered.
                        let mut held = Vec::new();
                        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                            receive.read_to_end(MAX_REQUEST).await.expect("a request");
                            match heard.fetch_add(1, Ordering::Relaxed) {
                                0 => held.push(send),
                                _ => drop(send.finish()),
                            }
                        }
                    });
                }
            }
        });
        // Used before, so that a break may mean that the peer has restarted.
        let (connection, _) = asker.connection(&other).await.expect("connects");
        let request = peer::Request { request: Some(request) };
        let asking = asker.ask(&other, &request, LONG);
        let breaking = async {
            while heard.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            connection.close(VarInt::from_u32(0), b"a break");
        };
        let _ = tokio::join!(asking, breaking);
        serving.abort();
        heard.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn what_would_look_like_an_attack_is_not_asked_twice() {
        let body = Bytes::from_static(b"a layer");
        assert_eq!(times_heard(Request::Onion(peer::Onion { body: body.clone() })).await, 1);
        assert_eq!(times_heard(Request::Path(peer::PathFrame { frame: body })).await, 1);
        assert_eq!(times_heard(Request::Ping(peer::Ping {})).await, 2, "this may be");
    }

    #[test]
    fn a_peer_that_started_anew_is_asked_again() {
        let onion = peer::Request { request: Some(Request::Onion(peer::Onion { body: Bytes::new() })) };
        let heard = |error| match Unanswered::while_waiting(&quinn::ReadError::ConnectionLost(error)) {
            Unanswered::Lost { heard, .. } => heard,
            Unanswered::Other(error) => panic!("{error}"),
        };
        assert!(may_ask_again(&onion, heard(ConnectionError::Reset)));
        assert!(!may_ask_again(&onion, heard(ConnectionError::TimedOut)));
        assert!(!may_ask_again(&onion, heard(ConnectionError::LocallyClosed)));
    }

    #[test]
    fn an_address_seen_by_a_socket_for_both_families_is_the_same() {
        let at = |end: &str, address: &str| is_at(&end.parse().unwrap(), &address.parse().unwrap());
        assert!(at("[::ffff:192.0.2.1]:5", "192.0.2.1:5"));
        assert!(at("192.0.2.1:5", "192.0.2.1:5"));
        assert!(!at("[::ffff:192.0.2.1]:6", "192.0.2.1:5"));
        assert!(!at("[2001:db8::1]:5", "192.0.2.1:5"));
    }
}
