//! What benchmarks of one pallet need that another one keeps.

use skep_primitives::ServiceNodeId;

/// Makes service nodes, for pallets that only know of them.
pub trait NodeFactory {
    /// A serving node with as many stakes as one may have; each number makes another.
    fn serving(number: u32) -> ServiceNodeId;
}

/// Opens proposals, for pallets whose nodes have a say in them.
pub trait ProposalFactory {
    /// As many proposals as may be open, which the operators of these nodes approve of. They are carried with nothing to
    /// spare: one stake more that serves, or one of these less, and they lapse; one of others less, and they are carried again.
    fn open(approvers: &[ServiceNodeId]);
}

/// Makes nodes that are offered as block producers, for pallets that only know of them.
pub trait CandidateFactory {
    /// An active node whose operator offers it, with as many stakes as one may have; each number makes another, with session
    /// keys of its own.
    fn offered(number: u32) -> ServiceNodeId;
}
