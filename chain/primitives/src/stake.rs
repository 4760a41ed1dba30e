//! What the chain answers about stakes.

use crate::{Balance, BlockNumber, NodeState, Permyriad, ServiceNodeId, StakerId};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// What a new registration must bring now (`protocol.md` section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct StakingTerms {
    /// What a node must hold in all, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub requirement: Balance,
    /// The least an operator must bring of it.
    #[serde(with = "crate::amount::decimal")]
    pub operator_minimum: Balance,
    /// Blocks from an unlock request until the stake is free.
    pub unlock_blocks: BlockNumber,
}

/// A spot in a pool that is kept for one account.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Reservation {
    /// For whom.
    pub staker: StakerId,
    /// What they bring at least, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub amount: Balance,
}

/// What place in a pool an offer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spot {
    /// Anybody's: the next in order of arrival.
    Free,
    /// Kept for whoever offers, who brings at least this much, in smallest units.
    Reserved(#[serde(with = "crate::amount::decimal")] Balance),
    /// Taken by whoever offers: more is added to a stake that is there.
    Own,
}

/// A node that takes stake now, as one account finds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct OpenPool {
    /// The node.
    pub node: ServiceNodeId,
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee.
    pub fee: Permyriad,
    /// What the node must hold in all, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub requirement: Balance,
    /// What is still open to this account.
    #[serde(with = "crate::amount::decimal")]
    pub room: Balance,
    /// The least it must bring now.
    #[serde(with = "crate::amount::decimal")]
    pub minimum: Balance,
    /// The most it may offer now; only the room counts.
    #[serde(with = "crate::amount::decimal")]
    pub maximum: Balance,
    /// Spots anybody may take.
    pub free_spots: u32,
    /// Spots that are kept for others, and for this account.
    pub reserved: Vec<Reservation>,
    /// Block at which every stake returns unless the node is filled.
    pub closes_at: BlockNumber,
    /// The place this account would take.
    pub spot: Spot,
    /// Where the node stands: it gathers its first stakes, or somebody's stake is to be replaced, perhaps in a node that is
    /// decommissioned and earns nothing until it passes again.
    pub state: NodeState,
}

/// One stake of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct Stake {
    /// The node it was given to.
    pub node: ServiceNodeId,
    /// How much is held.
    #[serde(with = "crate::amount::decimal")]
    pub amount: Balance,
    /// When it frees.
    #[serde(flatten)]
    pub lock: StakeLock,
}

/// When a stake frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "lock")]
pub enum StakeLock {
    /// Serving: nobody has asked to unlock.
    Bonded,
    /// The node still gathers stake: `withdraw` returns it now, and all of it returns by itself at this block.
    Gathering {
        /// Block at which the unfilled pool returns every stake.
        block: BlockNumber,
    },
    /// Returned by itself at this block: its staker asked for it, or the node ends then unless it is filled again.
    Until {
        /// Block at which the stake is free.
        block: BlockNumber,
    },
    /// The node was deregistered: returned by itself at this block.
    Deregistered {
        /// Block at which the lock is over.
        block: BlockNumber,
    },
    /// Serving, and too small to be asked back before this block.
    Young {
        /// Block from which its staker may ask for it.
        block: BlockNumber,
    },
    /// The node has ended and the stake could not be released with it: `withdraw` does.
    Unreturned,
}
