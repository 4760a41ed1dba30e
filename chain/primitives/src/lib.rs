//! Ids, amounts, durations and records every part of Skep agrees on.
//!
//! `no_std`, no Substrate: the runtime, the chain node, the messaging node and the client all read these types, so
//! they depend on nothing but their encodings (SCALE on chain, JSON over RPC).
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod address;
mod amount;
mod checkpoint;
mod doubled;
mod draw;
mod governance;
mod id;
mod proof;
mod record;
mod reward;
mod roster;
mod serving;
pub mod signing;
mod stake;
mod testing;

pub use address::{is_public, is_public_v4};
pub use amount::{Balance, DECIMALS, JsonBalance, Permyriad, PermyriadTooLarge, UNIT, decimal};
pub use checkpoint::{Authority, AuthoritySet, AuthoritySetError, Checkpoint, MAX_AUTHORITIES};
pub use doubled::{DoubledBlock, DoubledKeys};
pub use draw::Draw;
pub use governance::{Governance, MAX_OPEN_PROPOSALS, MAX_WORK_FLOOR, Motion, Proposal, ProposalId};
pub use id::{CodeHash, ParseIdError, ServiceNodeId, StakerId, SwarmId};
pub use proof::{HeadProof, ROSTER_TRIE, RosterProof, SWARMS_TRIE, StateNodes};
pub use record::{RecordedStake, RosterRecord};
pub use reward::{NodeRewards, Reward};
pub use roster::{
    Announcement, Contribution, Endpoint, Leave, MAX_CONTRIBUTORS, MAX_STAKES, NodeState, RosterEntry, RosterSnapshot,
    SoftwareVersion, SwarmMembers,
};
pub use serving::{
    Candidate, Candidates, MAX_HAND_OVERS, NodeStakes, NodeStates, NodeWhereabouts, Payees, ServingNodes,
};
pub use stake::{OpenPool, Reservation, Spot, Stake, StakeLock, StakingTerms};
pub use testing::{
    Cause, Deregistration, Findings, InvalidTestingTerms, MAX_TESTERS, Reason, Reasons, Standing, StandingChange,
    StandingEvent, Subject, TestingRound, TestingTerms, Verdict, Vote, Whereabouts,
};

/// Height of a block.
pub type BlockNumber = u32;

/// Milliseconds: a Unix time, or a span of wall-clock time where the name says so.
pub type Moment = u64;

/// Most bytes of a block, and so of a runtime that one puts in force.
pub const MAX_BLOCK_BYTES: u32 = 5 * 1024 * 1024;

/// A block hash (BLAKE2b-256 of the header).
pub type BlockHash = [u8; 32];

/// SS58 address prefix of every Skep network (42: the generic Substrate prefix, so every wallet accepts it).
pub const SS58_PREFIX: u16 = 42;

/// Ticker shown by wallets.
pub const TOKEN_SYMBOL: &str = "SKEP";
