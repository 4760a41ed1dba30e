//! What benchmarks of one pallet need that another one keeps.

use skep_primitives::ServiceNodeId;

/// Makes service nodes, for pallets that only know of them.
pub trait NodeFactory {
    /// A serving node with as many stakes as one may have; each number makes another.
    fn serving(number: u32) -> ServiceNodeId;
}

/// Makes nodes that are offered as block producers, for pallets that only know of them.
pub trait CandidateFactory {
    /// An active node whose operator offers it, with as many stakes as one may have; each number makes another, with session
    /// keys of its own.
    fn offered(number: u32) -> ServiceNodeId;
}
