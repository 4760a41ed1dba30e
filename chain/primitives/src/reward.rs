//! What service nodes have earned.

use crate::{Balance, BlockNumber};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// One reward of a node, before it is shared among its stakers.
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
pub struct Reward {
    /// The block that paid it.
    pub at: BlockNumber,
    /// How much, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub amount: Balance,
}

/// What a node has earned since it was registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct NodeRewards {
    /// All of it, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub total: Balance,
    /// How many nodes are paid before it; none if it does not serve.
    pub ahead: Option<u32>,
    /// Its last rewards, oldest first.
    pub last: Vec<Reward>,
}
