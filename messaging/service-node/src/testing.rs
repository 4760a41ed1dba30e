//! Rosters for tests.

use crate::NodeKey;
use skep_chain_client::RosterView;
use skep_primitives::{
    Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, SoftwareVersion, StakerId, SwarmId,
};

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
