//! Rosters and running nodes for tests.

use crate::{
    NodeKey,
    config::Config,
    drive::{Doors, MessagingNode, NodeParts, Patience, supervisor::Sockets},
};
use futures::future::join_all;
use skep_chain_client::{RosterReceiver, RosterView};
use skep_mailbox::MemoryStore;
use skep_primitives::{
    Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, SoftwareVersion, StakerId, SwarmId,
};
use std::sync::Arc;
use tokio::sync::watch;

/// The key of node `number`.
pub(crate) fn node_key(number: u8) -> NodeKey {
    NodeKey::from_seed(&[number; 32])
}

/// An active node on loopback; `port` for HTTPS, the next one for QUIC.
pub(crate) fn entry(key: &NodeKey, port: u16, swarm: u64) -> RosterEntry {
    RosterEntry {
        id: key.id(),
        operator: StakerId([1; 32]),
        fee: Permyriad::WHOLE,
        contributions: Vec::new(),
        requirement: 0,
        endpoint: Endpoint { ipv4: [127, 0, 0, 1], https_port: port, quic_port: port.wrapping_add(1) },
        version: SoftwareVersion([0, 1, 0]),
        state: NodeState::Active { since: 1 },
        swarm: SwarmId(swarm),
        registered_at: 1,
        last_rewarded_at: 1,
    }
}

/// A view at block 10.
pub(crate) fn view(nodes: impl IntoIterator<Item = RosterEntry>) -> RosterView {
    RosterView::new(RosterSnapshot { height: 10, block_hash: [0xbb; 32], nodes: nodes.into_iter().collect() })
}

/// Settings of a node on loopback: any ports, no metrics, members that rarely compare.
pub(crate) fn config() -> Config {
    config_with("")
}

/// The same with changes.
pub(crate) fn config_with(changes: &str) -> Config {
    Config::parse(&format!(
        "chain = [\"ws://127.0.0.1:1\"]\n\
         listen = {{ address = \"127.0.0.1\", https_port = 0, quic_port = 0 }}\n\
         metrics = {{ enabled = false }}\n\
         replication = {{ interval_seconds = 3600 }}\n{changes}"
    ))
    .expect("a valid configuration")
}

/// Starts node `number` on loopback: the node, and its entry of a roster.
pub(crate) async fn start(number: u8, roster: RosterReceiver) -> (MessagingNode, RosterEntry) {
    start_with(number, roster, &config(), Patience::default()).await
}

/// The same with other settings, and another patience with clients.
pub(crate) async fn start_with(
    number: u8,
    roster: RosterReceiver,
    config: &Config,
    patience: Patience,
) -> (MessagingNode, RosterEntry) {
    let key = node_key(number);
    let parts = NodeParts { key: key.clone(), genesis: [1; 32], roster, store: Arc::new(MemoryStore::new(u64::MAX)) };
    let doors = Doors::open(Sockets::default(), config).await.expect("any port");
    let node = MessagingNode::start_patiently(doors, config, parts, patience).expect("starts");
    let mut entry = entry(&key, node.https_address().port(), 0);
    entry.endpoint.quic_port = node.quic_address().port();
    (node, entry)
}

/// Starts nodes 1 to `count` in one swarm: the nodes, their entries, and the roster they all see.
pub(crate) async fn network(count: u8) -> (Vec<MessagingNode>, Vec<RosterEntry>, watch::Sender<Arc<RosterView>>) {
    let (views, receiver) = watch::channel(Arc::new(view([])));
    let (mut nodes, mut entries) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let (node, entry) = start(number, receiver.clone()).await;
        nodes.push(node);
        entries.push(entry);
    }
    views.send_replace(Arc::new(view(entries.clone())));
    (nodes, entries, views)
}

/// Stops nodes, all at once: each waits for a moment until the others have heard of it.
pub(crate) async fn stop(nodes: Vec<MessagingNode>) {
    join_all(nodes.into_iter().map(MessagingNode::stop)).await;
}
