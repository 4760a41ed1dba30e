//! Reading single values of a block's state out of the nodes of its trie that a stranger sent.
//!
//! The library's own reader opens every node under every parent, so that a few nodes that name each other many times
//! over would take it for ever; this one walks to one key at a time.

use smoldot::{
    header::hash_from_scale_encoded_header,
    trie::{bytes_to_nibbles, trie_node},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes of a proof: far more than the ways to a handful of keys have.
const MAX_NODES: usize = 512;

/// A state proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// More nodes than the ways to a few keys can have.
    #[error("it has {0} nodes, more than {MAX_NODES}")]
    TooMany(usize),
    /// A node is given twice.
    #[error("a node is given twice")]
    Repeated,
    /// A node on the way to a key is missing, or was altered.
    #[error("a node is missing or altered")]
    Missing,
    /// A node is no trie node.
    #[error("a node is malformed")]
    Malformed,
    /// A node is on the way to none of the keys, or was altered.
    #[error("a node is superfluous or altered")]
    Superfluous,
}

/// A block's state, as far as its nodes are there.
pub(super) struct StateReader<'a> {
    root: [u8; 32],
    nodes: BTreeMap<[u8; 32], &'a [u8]>,
    used: BTreeSet<[u8; 32]>,
}

impl<'a> StateReader<'a> {
    pub(super) fn new(root: [u8; 32], nodes: &'a [Vec<u8>]) -> Result<Self, StateProofError> {
        if nodes.len() > MAX_NODES {
            return Err(StateProofError::TooMany(nodes.len()));
        }
        let by_hash: BTreeMap<_, _> = nodes.iter().map(|node| (blake2_256(node), node.as_slice())).collect();
        if by_hash.len() != nodes.len() {
            return Err(StateProofError::Repeated);
        }
        Ok(Self { root, nodes: by_hash, used: BTreeSet::new() })
    }

    /// The value at `key`; none if the state has none there.
    pub(super) fn read(&mut self, key: &[u8]) -> Result<Option<&'a [u8]>, StateProofError> {
        let mut node = self.node(self.root)?;
        let mut rest = bytes_to_nibbles(key.iter().copied());
        loop {
            let trie_node::Decoded { partial_key, children, storage_value } =
                trie_node::decode(node).map_err(|_| StateProofError::Malformed)?;
            for nibble in partial_key {
                if rest.next() != Some(nibble) {
                    return Ok(None);
                }
            }
            let Some(nibble) = rest.next() else {
                return match storage_value {
                    trie_node::StorageValue::None => Ok(None),
                    trie_node::StorageValue::Unhashed(value) => Ok(Some(value)),
                    trie_node::StorageValue::Hashed(hash) => self.node(*hash).map(Some),
                };
            };
            node = match children.get(usize::from(nibble)).copied().flatten() {
                None => return Ok(None),
                // Short nodes stand in their parents, others are named by their hash.
                Some(child) => match <[u8; 32]>::try_from(child) {
                    Ok(hash) => self.node(hash)?,
                    Err(_) => child,
                },
            };
        }
    }

    /// All is read: every node was on the way.
    pub(super) fn finish(self) -> Result<(), StateProofError> {
        if self.used.len() == self.nodes.len() { Ok(()) } else { Err(StateProofError::Superfluous) }
    }

    fn node(&mut self, hash: [u8; 32]) -> Result<&'a [u8], StateProofError> {
        let node = self.nodes.get(&hash).copied().ok_or(StateProofError::Missing)?;
        self.used.insert(hash);
        Ok(node)
    }
}

/// BLAKE2b-256, which names headers and trie nodes alike; the library offers it for the former.
pub(super) fn blake2_256(bytes: &[u8]) -> [u8; 32] {
    hash_from_scale_encoded_header(bytes)
}
