//! The roster and the swarms at an epoch boundary, given whole.

use super::{
    Head,
    finality::read_header,
    state::{StateProofError, StateReader},
};
use codec::DecodeAll;
use skep_primitives::{ROSTER_TRIE, RosterProof, RosterRecord, RosterSnapshot, SWARMS_TRIE, ServiceNodeId, SwarmId};
use smoldot::trie::{
    EMPTY_BLAKE2_TRIE_MERKLE_VALUE, HashFunction, TrieEntryVersion, default_child_trie_root_key, trie_root,
};
use std::collections::BTreeMap;

/// Most bytes of a roster proof: half the largest answer read, which is in hexadecimal.
const MAX_ROSTER_PROOF: usize = 16 * 1024 * 1024;

/// The roster is not what the chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterProofError {
    /// Not the bytes of a roster proof.
    #[error("the proof of the roster is malformed")]
    Malformed,
    /// The header is not the epoch boundary's.
    #[error("the proof of the roster is of another block than the epoch boundary")]
    OtherBlock,
    /// The proof of the roots is wrong.
    #[error("the proof of the roster's root is wrong: {0}")]
    State(#[from] StateProofError),
    /// What is given is not all of the roster, or more, or other.
    #[error("the roster is not the chain's: a node was left out, added or altered")]
    OtherRoster,
    /// What is given is not all of the swarms, or more, or other.
    #[error("the swarms are not the chain's: a node was left out, added or put into another swarm")]
    OtherSwarms,
    /// A node's record is newer than this version.
    #[error("the record of node {0} is not understood: update")]
    NotUnderstood(ServiceNodeId),
}

/// Reads the roster at a proven head's epoch boundary. `proof` is a [`RosterProof`] in SCALE.
///
/// # Errors
/// The proof is not all of this boundary's roster and swarms, or something else.
pub fn read_roster(head: &Head, proof: &[u8]) -> Result<RosterSnapshot, RosterProofError> {
    let proof = Some(proof).filter(|proof| proof.len() <= MAX_ROSTER_PROOF).ok_or(RosterProofError::Malformed)?;
    let proof = RosterProof::decode_all(&mut &*proof).map_err(|_| RosterProofError::Malformed)?;
    let RosterProof { header, state, nodes, swarms } = proof;
    let (header, hash) = read_header(&header).ok_or(RosterProofError::Malformed)?;
    if hash != head.boundary_hash || header.number != u64::from(head.boundary) {
        return Err(RosterProofError::OtherBlock);
    }
    let mut state = StateReader::new(*header.state_root, &state)?;
    let roster_root = child_root(&mut state, ROSTER_TRIE)?;
    let swarms_root = child_root(&mut state, SWARMS_TRIE)?;
    state.finish()?;
    if !ascends(&nodes) || root_of(&nodes) != roster_root {
        return Err(RosterProofError::OtherRoster);
    }
    let placed: Vec<_> = swarms.iter().map(|(node, SwarmId(swarm))| (*node, swarm.to_le_bytes())).collect();
    if !ascends(&placed) || root_of(&placed) != swarms_root {
        return Err(RosterProofError::OtherSwarms);
    }
    let swarms: BTreeMap<_, _> = swarms.into_iter().collect();
    let nodes = nodes.into_iter().map(|(id, record)| {
        let record = RosterRecord::decode_all(&mut &record[..]).map_err(|_| RosterProofError::NotUnderstood(id))?;
        Ok(record.into_entry(id, swarms.get(&id).copied().unwrap_or(SwarmId::UNASSIGNED)))
    });
    let nodes = nodes.collect::<Result<_, RosterProofError>>()?;
    Ok(RosterSnapshot { height: head.boundary, block_hash: head.boundary_hash, nodes })
}

/// The root of a child trie; that of an empty one where there is none.
fn child_root(state: &mut StateReader<'_>, trie: &[u8]) -> Result<[u8; 32], StateProofError> {
    match state.read(&default_child_trie_root_key(trie))? {
        Some(root) => root.try_into().map_err(|_| StateProofError::Malformed),
        None => Ok(EMPTY_BLAKE2_TRIE_MERKLE_VALUE),
    }
}

/// Whether no key comes twice: a trie has one value a key, a list may hide another behind it.
fn ascends<V>(entries: &[(ServiceNodeId, V)]) -> bool {
    entries.is_sorted_by(|(a, _), (b, _)| a < b)
}

fn root_of(entries: &[(ServiceNodeId, impl AsRef<[u8]>)]) -> [u8; 32] {
    trie_root(TrieEntryVersion::V1, HashFunction::Blake2, entries)
}
