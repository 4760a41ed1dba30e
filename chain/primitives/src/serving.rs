//! What the chain's rooms tell each other about service nodes; the runtime wires them together.

use crate::{Balance, BlockNumber, Contribution, Findings, Permyriad, ServiceNodeId, StakerId, Whereabouts};
use alloc::vec::Vec;

/// Most hand-overs of one node within an unlock time, and how many of its former keys it answers for.
pub const MAX_HAND_OVERS: u32 = 4;

/// Told when a node begins or ends to serve. None of these may fail.
pub trait ServingNodes {
    /// The node's stake is complete, or it was recommissioned: it belongs in a swarm and at the back of the reward queue.
    fn started(node: ServiceNodeId);
    /// The node serves no longer.
    fn stopped(node: ServiceNodeId);
    /// The node is gone and so are its stakes, after it has stopped: nothing needs to be kept of it.
    fn ended(_: ServiceNodeId) {}
    /// The node goes on under another key; what is known of it is the new one's. If it serves, it stops under the former one
    /// and starts under the new one after this.
    fn handed_over(_from: ServiceNodeId, _to: ServiceNodeId) {}
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

    fn ended(node: ServiceNodeId) {
        A::ended(node);
        B::ended(node);
    }

    fn handed_over(from: ServiceNodeId, to: ServiceNodeId) {
        A::handed_over(from, to);
        B::handed_over(from, to);
    }
}

/// Carries out what becomes of a node. Each tells whether it did: a node in another state stays as it is.
pub trait NodeStates {
    /// A serving node is to serve no longer, for these reasons; from `credit_ends_at` on it may be deregistered.
    fn decommission(node: ServiceNodeId, credit_ends_at: BlockNumber, findings: Findings) -> bool;
    /// A decommissioned node is to serve again.
    fn recommission(node: ServiceNodeId) -> bool;
    /// A registered node is to leave the roster; its stakes stay locked for a time, and none is slashed.
    fn deregister(node: ServiceNodeId) -> bool;
}

/// Asked where a node is found.
pub trait NodeWhereabouts {
    /// Who registered the node and where it is found; `None` once nothing of it is left.
    fn whereabouts(node: ServiceNodeId) -> Option<(StakerId, Whereabouts)>;
    /// Every node of the roster, then every deregistered one. Reads all of them.
    fn all() -> Vec<ServiceNodeId>;
}

/// Who is paid for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payees {
    /// Takes the fee.
    pub operator: StakerId,
    /// The fee, taken before the rest is shared by stake.
    pub fee: Permyriad,
    /// Every stake, the operator's included; more than `requirement` while one leaves whose place was filled.
    pub contributions: Vec<Contribution>,
    /// What the node must hold, and so holds while it serves.
    pub requirement: Balance,
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
    /// Whether it may be drawn now: nobody leaves it and it is not decommissioned.
    pub is_active: bool,
}

/// Asked which nodes are offered as block producers.
pub trait Candidates {
    /// Every node that is offered, active or not.
    fn candidates() -> Vec<Candidate>;
    /// How many these are.
    fn offered() -> u32;
}
