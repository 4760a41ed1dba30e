//! What the chain's rooms tell each other about service nodes; the runtime wires them together.

use crate::{BlockNumber, Contribution, Permyriad, ServiceNodeId, StakerId};
use alloc::vec::Vec;

/// Told when a node begins or ends to serve. Neither may fail.
pub trait ServingNodes {
    /// The node's stake is complete: it belongs in a swarm and at the back of the reward queue.
    fn started(node: ServiceNodeId);
    /// The node serves no longer.
    fn stopped(node: ServiceNodeId);
}

impl ServingNodes for () {
    fn started(_: ServiceNodeId) {}
    fn stopped(_: ServiceNodeId) {}
}

impl<A: ServingNodes, B: ServingNodes> ServingNodes for (A, B) {
    fn started(node: ServiceNodeId) {
        A::started(node);
        B::started(node);
    }

    fn stopped(node: ServiceNodeId) {
        A::stopped(node);
        B::stopped(node);
    }
}

/// Who is paid for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payees {
    /// Takes the fee.
    pub operator: StakerId,
    /// The fee, taken before the rest is shared by stake.
    pub fee: Permyriad,
    /// Every stake, the operator's included.
    pub contributions: Vec<Contribution>,
}

/// Asked who stands behind a node.
pub trait NodeStakes {
    /// Who is paid for the node; nobody if it does not serve.
    fn payees(node: ServiceNodeId) -> Option<Payees>;
}

/// A node whose operator offers it as a block producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: ServiceNodeId,
    /// Its session keys, in SCALE.
    pub keys: Vec<u8>,
    /// Block of the offer.
    pub offered_at: BlockNumber,
}

/// Asked which nodes are offered as block producers.
pub trait Candidates {
    /// Every active node that is offered.
    fn candidates() -> Vec<Candidate>;
}
