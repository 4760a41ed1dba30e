//! What a service node's Ed25519 key signs for the chain: one label and one encoding a purpose, the same on and off
//! chain, so that no signature can be taken for another.

use crate::{Announcement, BlockHash, Permyriad, Reasons, ServiceNodeId, StakerId, Subject};
use alloc::vec::Vec;
use codec::Encode;

/// Proof of possession of the node key, given with a registration: binds the key to one chain, operator and fee.
pub fn registration(genesis: &BlockHash, operator: &StakerId, fee: Permyriad) -> Vec<u8> {
    (b"skep/registration/1", genesis, operator, fee).encode()
}

/// Proof that the node key consents to block-authoring session keys (`keys` in SCALE), given with `set_session_keys`.
pub fn session_keys(genesis: &BlockHash, node: &ServiceNodeId, keys: &[u8]) -> Vec<u8> {
    (b"skep/session-keys/1", genesis, node, keys).encode()
}

/// Where a node says that it is reached and what it runs.
pub fn announcement(genesis: &BlockHash, announcement: &Announcement) -> Vec<u8> {
    (b"skep/endpoint/1", genesis, announcement).encode()
}

/// One tester's vote on one node in one testing round: no reason says that it passes.
pub fn vote(genesis: &BlockHash, subject: &Subject, reasons: Reasons) -> Vec<u8> {
    (b"skep/vote/1", genesis, subject, reasons).encode()
}
