//! What a chain node proves of the roster (`docs/clients/roster.md`).
//!
//! The roster and the swarms are child tries of their own. Both are given whole: their roots, computed from what was given,
//! must be the ones that the state of a block tells, so that nothing can be left out, added or altered.

use crate::{ServiceNodeId, SwarmId};
use alloc::vec::Vec;
use codec::{Decode, Encode};

/// Name of the child trie of the roster: the key is a node's id, the value its [`RosterRecord`](crate::RosterRecord) in SCALE.
pub const ROSTER_TRIE: &[u8] = b"skep/roster";

/// Name of the child trie of the swarms: the key is a node's id, the value its [`SwarmId`] in SCALE.
pub const SWARMS_TRIE: &[u8] = b"skep/swarms";

/// Nodes of the state's trie: those on the way to some keys, each once, in any order.
pub type StateNodes = Vec<Vec<u8>>;

/// What the state of a finalized block says of time and of the last epoch boundary: proves `Timestamp.Now`,
/// `Babe.EpochStart` and, unless the block is the boundary itself, `System.BlockHash` of the boundary.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeadProof {
    /// The way to the three.
    pub state: StateNodes,
}

/// The roster and the swarms at an epoch boundary.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RosterProof {
    /// The boundary's header, in SCALE.
    pub header: Vec<u8>,
    /// The way to the roots of both child tries in the boundary's state.
    pub state: StateNodes,
    /// All of [`ROSTER_TRIE`], in ascending order.
    pub nodes: Vec<(ServiceNodeId, Vec<u8>)>,
    /// All of [`SWARMS_TRIE`], in ascending order.
    pub swarms: Vec<(ServiceNodeId, SwarmId)>,
}
