//! Whole messaging nodes of this process over real sockets on loopback, and a stand-in for their chain node.

use jsonrpsee::{
    RpcModule,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use skep_chain_client::{ChainUrls, RosterView};
use skep_mailbox::Store;
use skep_messaging::{
    NodeKey,
    config::Config,
    drive::{MessagingNode, NodeParts},
};
use skep_onion::Hop;
use skep_primitives::{
    Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, SoftwareVersion, StakerId, SwarmId,
};
use skep_trusting_tls::trusting;
use std::{error::Error, sync::Arc};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

pub(crate) const BLOCK: [u8; 32] = [0xbb; 32];
/// The two swarms share the ring evenly.
const SWARMS: [u64; 2] = [0, 1 << 63];
/// Bounds that no row reaches: they are not what is measured.
const LIMITS: &str = "limits = { memory_mib = 512, connections_per_address = 512, connections_per_subnet = 512, \
    requests_per_second = 1000000, request_burst = 1000000, subnet_requests_per_second = 1000000, \
    subnet_request_burst = 1000000, peer_requests_per_second = 1000000 }";

/// As many threads as a node has.
pub(crate) fn runtime() -> Result<Runtime, Box<dyn Error>> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Some nodes that know each other.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<MessagingNode>,
    entries: Vec<RosterEntry>,
    _roster: watch::Sender<Arc<RosterView>>,
}

impl Nodes {
    /// One node for each store, each in a network and of an operator of its own.
    pub(crate) async fn start(stores: Vec<Arc<dyn Store>>) -> Result<Self, Box<dyn Error>> {
        let (roster, receiver) = watch::channel(Arc::new(RosterView::new(snapshot(Vec::new()))));
        let (mut nodes, mut entries) = (Vec::new(), Vec::new());
        for (number, store) in (1_u8..).zip(stores) {
            let listen = format!("listen = {{ address = \"127.0.{number}.1\", https_port = 0, quic_port = 0 }}");
            let text = format!("chain = [\"ws://127.0.0.1:1\"]\n{listen}\nmetrics = {{ enabled = false }}\n{LIMITS}\n");
            let config = Config::parse(&text)?;
            let key = NodeKey::from_seed(&[number; 32]);
            let parts = NodeParts { key: key.clone(), genesis: [1; 32], roster: receiver.clone(), store };
            let node = MessagingNode::start(&config, parts).await?;
            entries.push(entry(number, &key, &node));
            nodes.push(node);
        }
        roster.send_replace(Arc::new(RosterView::new(snapshot(entries.clone()))));
        Ok(Self { nodes, entries, _roster: roster })
    }

    /// A node as a hop.
    pub(crate) fn hop(&self, number: usize) -> Result<Hop, Box<dyn Error>> {
        let entry = self.entries.get(number).ok_or("there is no such node")?;
        Ok(Hop::from_id(entry.id).ok_or("the node's key is no point of the curve")?)
    }

    /// A chain node that tells their roster to clients.
    pub(crate) async fn chain(&self) -> Result<(ChainUrls, ServerHandle), Box<dyn Error>> {
        let mut module = RpcModule::new(snapshot(self.entries.clone()));
        let genesis = format!("0x{}", "01".repeat(32));
        module
            .register_method("chain_getBlockHash", move |_, _, _| Ok::<_, ErrorObjectOwned>(vec![genesis.clone()]))?;
        module.register_method("skep_roster", |_, roster, _| serde_json::to_value(roster).ok())?;
        let server = Server::builder().build("127.0.0.1:0").await?;
        let url = format!("ws://{}", server.local_addr()?);
        Ok((url.parse()?, server.start(module)))
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

fn snapshot(nodes: Vec<RosterEntry>) -> RosterSnapshot {
    RosterSnapshot { height: 77, block_hash: BLOCK, nodes }
}

fn entry(number: u8, key: &NodeKey, node: &MessagingNode) -> RosterEntry {
    let (https_port, quic_port) = (node.https_address().port(), node.quic_address().port());
    RosterEntry {
        id: key.id(),
        operator: StakerId([number; 32]),
        fee: Permyriad::WHOLE,
        contributions: Vec::new(),
        requirement: 0,
        endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port, quic_port },
        version: SoftwareVersion([0, 1, 0]),
        state: NodeState::Active { since: 1 },
        swarm: SwarmId(SWARMS[usize::from(number) % SWARMS.len()]),
        registered_at: 1,
        last_rewarded_at: 1,
    }
}

/// An HTTPS client that takes any certificate and keeps its connections.
pub(crate) fn https_client() -> Result<reqwest::Client, Box<dyn Error>> {
    Ok(reqwest::Client::builder().use_preconfigured_tls(trusting()?).no_proxy().build()?)
}
