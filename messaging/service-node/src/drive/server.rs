//! Starting and stopping a node.

use super::{
    budget::Budget,
    defences::Defences,
    doors::Doors,
    exit::{ExitError, Exits},
    floor,
    https::{self, Patience},
    metrics::Metrics,
    node::{MonitorLimits, Monitors, Node},
    now_ms,
    quic::{self, EndpointError, Peers},
    replicate,
    supervisor::Sockets,
    testing::{self, Terms, Testing},
    tls::{self, CertificateError},
};
use crate::{
    NodeKey,
    config::{self, Config, Limits},
    core::{Directory, Listening, ListeningLimits},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    routing::get,
};
use skep_chain_client::{ChainClient, RosterReceiver};
use skep_mailbox::{Demand, Store, Writer};
use skep_onion::{
    ReplayGuard, ReplayLimits,
    established::{PathLimits, PathTable},
};
use skep_primitives::BlockHash;
use std::{
    future::Future,
    hash::RandomState,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Onion layers remembered: as many as fit into two sets of 19 MB. Whoever keeps to its rate has room for all it sends in
/// the ten minutes a set collects: a client (300 a second by default), one whole network of clients (1,200), a service node
/// (600 and a burst). All clients together have half.
const REPLAYS: ReplayLimits =
    ReplayLimits { layers: 1_800_000, per_client: 200_000, clients: 900_000, per_node: 400_000 };
/// Requests under way on one established path: a client that reads, waits and sends several messages at once.
const UNDER_WAY: usize = 32;
/// Threads that judge what is handed over, of the eight that read the disk.
const JUDGES: usize = 2;
/// How often expired messages are removed, and how many in one go.
const EXPIRY_PAUSE: Duration = Duration::from_secs(10);
const EXPIRY_BATCH: usize = 100;
/// How often what is idle is looked for.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// How long requests under way may take once the node is told to stop. Short, since those who connect meanwhile wait for the
/// node that follows; what is cut off is asked again elsewhere.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// What a node is made of.
#[derive(Debug)]
pub struct NodeParts {
    /// Its key.
    pub key: NodeKey,
    /// Hash of the chain's first block.
    pub genesis: BlockHash,
    /// The roster as it changes.
    pub roster: RosterReceiver,
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
}

/// A node that serves.
#[derive(Debug)]
pub struct MessagingNode {
    pub(super) node: Arc<Node>,
    https: SocketAddr,
    quic: SocketAddr,
    metrics: Option<SocketAddr>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No QUIC endpoint.
    #[error(transparent)]
    Quic(#[from] EndpointError),
    /// A TCP port is taken, or not allowed.
    #[error("cannot listen on TCP {address}: {source}. Is another node running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The exit cannot be set up.
    #[error(transparent)]
    Exit(#[from] ExitError),
    /// No thread for the disk.
    #[error("cannot start the message store's writer: {0}")]
    Writer(#[source] io::Error),
}

impl MessagingNode {
    /// Opens every door and begins to serve.
    pub async fn start(config: &Config, parts: NodeParts) -> Result<Self, StartError> {
        Self::start_at(Doors::open(Sockets::default(), config).await?, config, parts)
    }

    /// The same at doors that are open already.
    pub fn start_at(doors: Doors, config: &Config, parts: NodeParts) -> Result<Self, StartError> {
        Self::start_patiently(doors, config, parts, Patience::default())
    }

    /// The same, waiting for clients as long as `patience` says.
    pub(crate) fn start_patiently(
        doors: Doors,
        config: &Config,
        parts: NodeParts,
        patience: Patience,
    ) -> Result<Self, StartError> {
        let NodeParts { key, genesis, roster, store } = parts;
        let limits = config.limits;
        let acceptor = TlsAcceptor::from(tls::server_config(&key)?);
        let Doors { https: (https_listener, https), quic, metrics: metrics_listener } = doors;
        let quic_address = (config.listen.address, config.listen.quic_port).into();
        let budget = Budget::new(limits.memory_bytes());
        let peers = Peers::open(quic_address, Some(quic), key.clone(), roster.clone(), budget.clone())?;
        let quic = peers.local_address().map_err(|source| EndpointError::Bind { address: quic_address, source })?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let node = Arc::new(Node {
            id: key.id(),
            hop: key.hop_secret(),
            key,
            roster: roster.clone(),
            writer: Writer::start(Arc::clone(&store)).map_err(StartError::Writer)?,
            store,
            peers,
            defences: Defences::new(&limits),
            budget,
            metrics: Metrics::new(),
            genesis,
            exits: Exits::new(&config.exit)?,
            disk: Arc::default(),
            demand: Mutex::new(Demand::new(limits.work_effort)),
            spent: Arc::default(),
            judges: Semaphore::new(JUDGES),
            handed_over: Arc::new(Semaphore::new(Writer::HANDED_OVER)),
            monitors: Monitors::new(MonitorLimits::of(&limits)),
            capacity: AtomicU64::new(limits.store_bytes()),
            directory: Mutex::new(Arc::new(Directory::default())),
            replays: Mutex::new(ReplayGuard::new(REPLAYS, RandomState::new())),
            testing: Testing::new(),
            paths: Mutex::new(PathTable::new(PathLimits { paths: config.paths.paths, under_way: UNDER_WAY })),
            path_shares: config.paths,
            listening_shares: config.listening,
            listening: Mutex::new(Listening::new(listening_limits(&config.listening))),
            stopping: stop.clone(),
        });

        let at_stop = |stop: &CancellationToken| stop.clone().cancelled_owned();
        let door = https::serve(https_listener, acceptor, Arc::clone(&node), patience, tasks.clone(), stop.clone());
        tasks.spawn(door);
        tasks.spawn(quic::serve(Arc::clone(&node), tasks.clone(), stop.clone()));
        tasks.spawn(until(at_stop(&stop), expire(Arc::clone(&node))));
        tasks.spawn(until(at_stop(&stop), watch_load(Arc::clone(&node))));
        tasks.spawn(until(at_stop(&stop), forget_idle(Arc::clone(&node))));
        let replication = replicate::run(Arc::clone(&node), roster.clone(), config.replication);
        tasks.spawn(until(at_stop(&stop), replication));
        tasks.spawn(until(at_stop(&stop), forget_strangers(Arc::clone(&node), roster)));
        let metrics = metrics_listener.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = metrics_listener {
            tasks.spawn(serve_metrics(listener, Arc::clone(&node), at_stop(&stop)));
        }
        tracing::info!(node = %node.id, %https, %quic, metrics = metrics.map(tracing::field::display), "serving");
        Ok(Self { node, https, quic, metrics, tasks, stop })
    }

    /// Where clients are served.
    pub fn https_address(&self) -> SocketAddr {
        self.https
    }

    /// Where other service nodes are served.
    pub fn quic_address(&self) -> SocketAddr {
        self.quic
    }

    /// Where metrics are told, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Begins to test other nodes, and to vote on them. Without this, the node is tested only.
    pub fn test_others(&self, terms: Terms) {
        let testing = testing::run(Arc::clone(&self.node), terms, self.node.roster.clone());
        self.tasks.spawn(until(self.stop.clone().cancelled_owned(), testing));
    }

    /// Asks for the work that the network's operators have decided on, from now on. Without this, for the own floor only.
    pub fn follow_work_floor(&self, chain: Arc<ChainClient>) {
        let following = floor::follow(Arc::clone(&self.node), chain);
        self.tasks.spawn(until(self.stop.clone().cancelled_owned(), following));
    }

    /// Grants what `limits` say from now on; nobody who is connected is cut off for it before others come.
    pub fn apply(&self, limits: &Limits) {
        self.node.apply(limits);
        self.node.metrics.count_reload(true);
    }

    /// Counts a configuration that was read again and refused.
    pub fn note_refused_reload(&self) {
        self.node.metrics.count_reload(false);
    }

    /// Takes no new requests, finishes those under way, and writes what is queued.
    pub async fn stop(self) {
        let Self { node, tasks, stop, .. } = self;
        stop.cancel();
        tasks.close();
        if timeout(LAST_REQUESTS, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "requests did not finish in time");
        }
        node.peers.close().await;
        tracing::info!("stopped");
        // The writer's thread empties its queue before it goes; that blocks, and must not hold up the runtime.
        let _ = tokio::task::spawn_blocking(move || drop(node)).await;
    }
}

/// Runs a task that does not end by itself.
async fn until(stop: impl Future<Output = ()>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stop => {}
        () = task => {}
    }
}

async fn expire(node: Arc<Node>) {
    loop {
        let (done, outcome) = oneshot::channel();
        let disk = Arc::clone(&node.disk);
        node.writer.expire(now_ms(), EXPIRY_BATCH, move |outcome| {
            disk.note(&outcome, |expired| expired.removed > 0);
            let _ = done.send(outcome);
        });
        let more = match outcome.await {
            Ok(Ok(expired)) => {
                node.metrics.count_expired(expired.removed);
                expired.more
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "expired messages were not removed");
                false
            }
            Err(_) => return,
        };
        if !more {
            tokio::time::sleep(EXPIRY_PAUSE).await;
        }
    }
}

/// Asks for more work while the disk cannot keep up.
async fn watch_load(node: Arc<Node>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let (before, after) = {
            let mut demand = node.demand();
            let before = demand.effort();
            demand.observe(node.writer.pressure());
            (before, demand.effort())
        };
        node.metrics.work_effort.set(after.into());
        if after > before {
            tracing::warn!(effort = after, "the disk cannot keep up: asking for more work");
        } else if after < before {
            tracing::info!(effort = after, "asking for less work");
        }
    }
}

const fn listening_limits(config: &config::Listening) -> ListeningLimits {
    ListeningLimits { sessions: config.sessions, bytes: config.memory_mib as usize * 1024 * 1024 }
}

/// Ends what nobody uses any more, so that its memory does not wait for somebody who needs it.
async fn forget_idle(node: Arc<Node>) {
    loop {
        tokio::time::sleep(IDLE_PAUSE).await;
        node.listening().expire(now_ms());
        node.paths().expire(now_ms());
    }
}

async fn forget_strangers(node: Arc<Node>, mut roster: RosterReceiver) {
    let mut readiness = None;
    loop {
        let view = roster.borrow_and_update().clone();
        node.peers.forget_strangers(&view);
        node.metrics.note_block();
        let now = node.readiness();
        if readiness.replace(now) != Some(now) {
            let swarm = view.node(&node.id).map(|entry| entry.swarm);
            tracing::info!(height = view.height(), ?swarm, "this node: {now}");
        }
        if roster.changed().await.is_err() {
            tracing::error!("the roster is no longer followed; going on with the last one known");
            return;
        }
    }
}

async fn serve_metrics(listener: TcpListener, node: Arc<Node>, stop: impl Future<Output = ()> + Send + 'static) {
    let metrics = async |State(node): State<Arc<Node>>| {
        ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], node.metrics())
    };
    // The same as at the door for clients, for whoever looks from this machine and has no use for TLS.
    let health = async |State(node): State<Arc<Node>>| {
        let (status, body) = node.health();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/json")], body)
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(node);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "metrics are no longer served");
    }
}
