//! Which swarm each placed node is in: a child trie, the key a node's id, the value its swarm in SCALE.

use frame_support::storage::child::{self, ChildInfo};
use skep_primitives::{SWARMS_TRIE, ServiceNodeId, SwarmId};

/// The swarm of each placed node. Every read and write of it goes through here.
#[derive(Debug)]
pub struct Placements;

impl Placements {
    fn trie() -> ChildInfo {
        ChildInfo::new_default(SWARMS_TRIE)
    }

    /// The swarm of one node.
    pub fn get(node: ServiceNodeId) -> Option<SwarmId> {
        child::get(&Self::trie(), node.as_ref())
    }

    pub(crate) fn set(node: ServiceNodeId, swarm: Option<SwarmId>) {
        match swarm {
            Some(swarm) => child::put(&Self::trie(), node.as_ref(), &swarm),
            None => child::kill(&Self::trie(), node.as_ref()),
        }
    }

    /// Every placed node, ordered by id.
    #[cfg(feature = "std")]
    pub(crate) fn iter() -> impl Iterator<Item = (ServiceNodeId, SwarmId)> {
        let mut last = alloc::vec::Vec::new();
        core::iter::from_fn(move || {
            last = sp_io::default_child_storage::next_key(SWARMS_TRIE, &last)?;
            let node = ServiceNodeId(last.as_slice().try_into().ok()?);
            Some((node, Self::get(node)?))
        })
    }
}
