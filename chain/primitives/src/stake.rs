//! What the chain answers about stakes.

use crate::{Balance, BlockNumber, ServiceNodeId};
use codec::{Decode, Encode};
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
    /// Returned by itself at this block.
    Until {
        /// Block at which the node ends.
        block: BlockNumber,
    },
    /// The node was deregistered: returned by itself at this block.
    Deregistered {
        /// Block at which the lock is over.
        block: BlockNumber,
    },
}
