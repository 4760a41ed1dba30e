//! What operators decide together.

use crate::{Balance, BlockNumber, CodeHash, StakerId};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// Number of a proposal; never used again.
pub type ProposalId = u32;

/// Most proposals open at a time.
pub const MAX_OPEN_PROPOSALS: u32 = 16;

/// Highest floor of work the chain may set: Equi-X solutions to try on average. A phone tries some hundreds a second, so
/// more would shut people out.
pub const MAX_WORK_FLOOR: u32 = 4_000;

/// What a proposal would do.
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
#[serde(rename_all = "snake_case", tag = "motion")]
pub enum Motion {
    /// Allow the runtime whose BLAKE2b-256 hash this is; anyone may then put it in force.
    Upgrade {
        /// Hash of the runtime's Wasm.
        code_hash: CodeHash,
    },
    /// Pay from the treasury.
    Spend {
        /// Who is paid.
        beneficiary: StakerId,
        /// How much, in smallest units.
        #[serde(with = "crate::amount::decimal")]
        amount: Balance,
    },
    /// Set the least effort of work with which a stranger's message is taken (`protocol.md` section 8).
    WorkFloor {
        /// Equi-X solutions to try on average.
        effort: u32,
    },
}

/// A proposal and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number.
    pub id: ProposalId,
    /// Who made it and holds its deposit.
    pub proposer: StakerId,
    /// What it would do.
    #[serde(flatten)]
    pub motion: Motion,
    /// Held on the proposer's account until the proposal is gone.
    #[serde(with = "crate::amount::decimal")]
    pub deposit: Balance,
    /// Stake that serves under operators who approve.
    #[serde(with = "crate::amount::decimal")]
    pub approving: Balance,
    /// Block from which it can no longer gather approval.
    pub expires_at: BlockNumber,
    /// Block from which anyone may enact it; `None` while too few approve.
    pub enact_from: Option<BlockNumber>,
}

/// What operators are deciding, and what they have decided.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct Governance {
    /// Every open proposal, oldest first.
    pub proposals: Vec<Proposal>,
    /// Stake that serves in all.
    #[serde(with = "crate::amount::decimal")]
    pub serving: Balance,
    /// Least stake that must serve under those who approve: two thirds of `serving`, or of the least that counts as serving.
    #[serde(with = "crate::amount::decimal")]
    pub quorum: Balance,
    /// The floor of work in force.
    pub work_floor: u32,
    /// Hash of a runtime that is allowed and not in force yet.
    pub authorized_upgrade: Option<CodeHash>,
}
