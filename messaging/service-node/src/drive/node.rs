//! One node: takes a request from whichever door, asks [`core`](crate::core), and does what it says.

mod commands;
mod custody;
mod listening;
mod messages;
mod monitors;
mod onion;
mod paths;
mod peers;
mod requests;
mod swarm;
mod testing;
mod writes;

use super::{
    budget::{Budget, Holder, Lease},
    defences::Defences,
    disk::{self, Disk},
    exit::Exits,
    metrics::{Metrics, Shed, Snapshot},
    now_ms,
    occasionally::Occasionally,
    quic::{PeerError, Peers},
    testing::Testing,
};
use crate::{
    NodeKey, VERSION,
    config::{self, Limits, Paths},
    core::{Directory, Listening, Placement, Readiness, Reply, SERVER_BUSY, list_nodes, readiness, swarm_response},
};
use serde_json::json;
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::{Demand, Spent, Store, StoreError, Writer};
use skep_onion::{HopSecret, NeighbourKind, PathError, ReplayGuard, established::PathTable};
use skep_primitives::{BlockHash, RosterEntry, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    peer,
    storage::{NodeListQuery, NodeListResponse, OwnerAuth, PROTOCOL_GENERATION, SwarmResponse},
};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long other nodes may still take to answer once this one is told to stop: less than it waits for requests under way.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

pub(crate) use monitors::{MonitorLimits, Monitors, Watcher};

static NOT_READ: Occasionally = Occasionally::new();

/// Everything one node has.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) id: ServiceNodeId,
    pub(crate) hop: HopSecret,
    pub(crate) roster: RosterReceiver,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: Writer,
    pub(crate) disk: Arc<Disk>,
    pub(crate) peers: Peers,
    pub(crate) defences: Defences,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    /// Names the network: hash of its chain's first block.
    pub(crate) genesis: BlockHash,
    /// What servers outside the network this node carries requests to.
    pub(crate) exits: Option<Exits>,
    pub(crate) demand: Mutex<Demand>,
    pub(crate) spent: Arc<Mutex<Spent>>,
    /// Threads that judge what other nodes hand over, of those that read the disk for everybody.
    pub(crate) judges: Semaphore,
    /// Room in the writer's queue for what other nodes hand over.
    pub(crate) handed_over: Arc<Semaphore>,
    pub(crate) monitors: Monitors,
    /// Bytes of messages kept at most.
    pub(crate) capacity: AtomicU64,
    pub(crate) directory: Mutex<Arc<Directory>>,
    pub(crate) replays: Mutex<ReplayGuard<Upstream>>,
    pub(crate) testing: Testing,
    pub(crate) paths: Mutex<PathTable<Upstream>>,
    pub(crate) path_shares: Paths,
    pub(crate) listening_shares: config::Listening,
    pub(crate) listening: Mutex<Listening<Upstream, oneshot::Sender<()>>>,
    /// Cancelled when the node stops: nobody waits here any more.
    pub(crate) stopping: CancellationToken,
}

/// Who gave a request to this node: its neighbour on the way, not who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Upstream {
    /// A client, by its address.
    Client(IpAddr),
    /// The hop before.
    Node(ServiceNodeId),
}

impl Upstream {
    /// What kind of neighbour it is, for the memory of layers.
    pub(crate) const fn kind(self) -> NeighbourKind {
        match self {
            Self::Client(_) => NeighbourKind::Client,
            Self::Node(_) => NeighbourKind::Node,
        }
    }
}

impl From<Upstream> for Holder {
    fn from(upstream: Upstream) -> Self {
        match upstream {
            Upstream::Client(host) => Self::Client(host),
            Upstream::Node(node) => Self::Node(node),
        }
    }
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

impl OnionServed {
    /// The same once it has been sealed, which makes it longer; or a refusal if there is no memory for that.
    fn grown(mut self) -> Self {
        let fits = self.lease.as_mut().is_none_or(|lease| lease.grow(self.body.len()));
        if fits { self } else { Self { status: 503, body: SERVER_BUSY.into(), lease: None } }
    }
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

    /// The work that is asked for now.
    pub(crate) fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, ReplayGuard<Upstream>> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        readiness(&self.view(), &self.id)
    }

    /// Grants what `limits` say from now on.
    pub(crate) fn apply(&self, limits: &Limits) {
        self.defences.change(limits);
        self.budget.resize(limits.memory_bytes());
        self.store.set_quotas(limits.quotas());
        self.capacity.store(limits.store_bytes(), Ordering::Relaxed);
        self.demand().set_own_floor(limits.work_effort);
        self.monitors.change(MonitorLimits::of(limits));
    }

    /// What is turned away for want of memory.
    pub(crate) fn busy(&self) -> Reply {
        self.metrics.count_shed(Shed::Memory);
        Reply::busy()
    }

    /// Every number, for Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let view = self.view();
        self.metrics.encode(&Snapshot {
            usage: self.store.usage(),
            capacity: self.capacity.load(Ordering::Relaxed),
            memory: self.budget.in_use(),
            memory_limit: self.budget.size(),
            connections: self.defences.connections.open(),
            connection_limit: self.defences.connections.limit(),
            paths: self.paths().len(),
            sessions: self.listening().sessions(),
            readiness: readiness(&view, &self.id),
            store_writes: !self.disk.refuses(),
            view: &view,
        })
    }

    /// Whether the node serves: an HTTP status, and more in JSON.
    pub(crate) fn health(&self) -> (u16, String) {
        let view = self.view();
        let readiness = readiness(&view, &self.id);
        let swarm = view.node(&self.id).map(|entry| entry.swarm).filter(|swarm| swarm.is_assigned());
        let mut body = json!({
            "status": readiness.to_string(),
            "node": self.id,
            "swarm": swarm,
            "height": view.height(),
            "version": VERSION,
            "store_writes": true,
        });
        if self.disk.refuses() {
            body["store_writes"] = false.into();
            body["next"] = disk::NEXT.into();
            if readiness == Readiness::Ready {
                body["status"] = "its message store takes nothing".into();
            }
        }
        let serves = readiness == Readiness::Ready && !self.disk.refuses();
        (if serves { 200 } else { 503 }, body.to_string())
    }

    fn swarm_of(&self, account: &AccountAddress) -> SwarmResponse {
        let view = self.view();
        swarm_response(&view, &self.directory(&view), account, now_ms())
    }

    /// The directory of `view`'s roster, made when first asked for.
    fn directory(&self, view: &RosterView) -> Arc<Directory> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if !directory.is_of(view) {
            *directory = Arc::new(Directory::of(view, &directory));
        }
        Arc::clone(&directory)
    }

    fn node_list(&self, query: NodeListQuery) -> Reply {
        let view = self.view();
        let result = list_nodes(&view, &self.directory(&view), query, &mut rand::rng());
        let response = NodeListResponse { result, t: now_ms(), hf: PROTOCOL_GENERATION };
        Reply::json(200, &response)
    }

    /// The other members of the swarm that keeps the mailbox of `account`, or the answer if this node is none of it.
    fn members<'a>(&self, view: &'a RosterView, account: &AccountAddress) -> Result<Vec<&'a RosterEntry>, Reply> {
        match Placement::of(view, &self.id, account) {
            Placement::Here { peers } => Ok(peers),
            Placement::Elsewhere => Err(Reply::json(421, &self.swarm_of(account))),
        }
    }

    /// Whether the subaccount that signs, if any, has been revoked.
    async fn is_revoked(&self, account: &AccountAddress, auth: Option<&OwnerAuth>) -> Result<bool, Reply> {
        let Some(subaccount) = auth.and_then(|auth| auth.subaccount.as_ref()) else { return Ok(false) };
        let account = *account;
        let revoked = self.read_store(move |store| store.revoked(&account)).await?;
        Ok(revoked.contains(&subaccount.token))
    }

    /// Asks another node on behalf of `upstream`, who waits and for whom the answer is held. Not for much longer once this node
    /// is told to stop: a request may be held for half a minute.
    async fn ask_for_another(
        &self,
        upstream: Upstream,
        node: &RosterEntry,
        request: &peer::Request,
        patience: Duration,
    ) -> Result<(peer::Response, Lease), PeerError> {
        let stopped = async {
            self.stopping.cancelled().await;
            sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            answer = self.peers.ask_for(upstream.into(), node, request, patience) => answer,
            () = stopped => Err(PeerError::TimedOut),
        }
    }

    /// Reads the store away from the threads that serve.
    pub(super) async fn read_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Reply> {
        let store = Arc::clone(&self.store);
        match spawn_blocking(move || read(&*store)).await {
            Ok(read) => read.map_err(|error| not_read(&error)),
            Err(_) => Err(Reply::text(500, "request failed")),
        }
    }
}

/// What is told of a store that cannot be read.
fn not_read(error: &StoreError) -> Reply {
    if let Some(more) = NOT_READ.due() {
        tracing::error!(%error, more, "a mailbox was not read");
    }
    Reply::text(500, "the message store failed; ask another node of the swarm")
}
