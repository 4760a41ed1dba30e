//! The roster's own child trie: one entry a node, the key its id, the value its record in SCALE.

use crate::NodeRecord;
use alloc::vec::Vec;
use frame_support::storage::child;
use skep_primitives::{ROSTER_TRIE, ServiceNodeId};
use sp_core::storage::{ChildInfo, StateVersion};

/// The roster. Every read and write of it goes through here.
#[derive(Debug)]
pub struct Roster;

impl Roster {
    fn trie() -> ChildInfo {
        ChildInfo::new_default(ROSTER_TRIE)
    }

    /// One node.
    pub fn get(node: ServiceNodeId) -> Option<NodeRecord> {
        child::get(&Self::trie(), node.as_ref())
    }

    pub(crate) fn put(node: ServiceNodeId, record: &NodeRecord) {
        child::put(&Self::trie(), node.as_ref(), record);
    }

    pub(crate) fn remove(node: ServiceNodeId) {
        child::kill(&Self::trie(), node.as_ref());
    }

    /// Every node, ordered by id.
    pub fn iter() -> impl Iterator<Item = (ServiceNodeId, NodeRecord)> {
        let mut last = Vec::new();
        core::iter::from_fn(move || {
            last = sp_io::default_child_storage::next_key(ROSTER_TRIE, &last)?;
            let node = ServiceNodeId(last.as_slice().try_into().ok()?);
            Some((node, Self::get(node)?))
        })
    }

    /// Root of the trie: what a proof of the roster is checked against.
    pub fn root() -> Vec<u8> {
        child::root(&Self::trie(), StateVersion::V1)
    }
}
