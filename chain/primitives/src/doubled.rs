//! Session keys that two chain nodes use.

use crate::{BlockHash, BlockNumber, roster::hash_hex};
use serde::{Deserialize, Serialize};

/// What a chain node saw of another machine that makes blocks with its session keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubledKeys {
    /// How many such blocks, since the chain node started.
    pub count: u64,
    /// The last of them.
    pub last: DoubledBlock,
}

/// A block that a chain node did not make, though it was made with a session key of its.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubledBlock {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    #[serde(with = "hash_hex")]
    pub hash: BlockHash,
    /// The BABE key (sr25519) it was made with.
    #[serde(with = "hash_hex")]
    pub key: [u8; 32],
}
