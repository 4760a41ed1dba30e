//! What a node may ask the runtime.
#![cfg_attr(not(feature = "std"), no_std)]
// The macro writes the items this crate exports.
#![allow(missing_docs, reason = "decl_runtime_apis! generates undocumented items beside the documented trait")]

extern crate alloc;

use alloc::vec::Vec;
use skep_primitives::{
    Governance, Moment, NodeRewards, OpenPool, RosterEntry, ServiceNodeId, Stake, StakerId, StakingTerms, Standing,
    SwarmMembers, TestingRound, TestingTerms,
};

sp_api::decl_runtime_apis! {
    /// Service nodes, swarms and stakes at one block.
    pub trait SkepApi {
        /// Every registered node, gathering ones included, ordered by id.
        fn roster() -> Vec<RosterEntry>;
        /// Every swarm, ordered by id.
        fn swarms() -> Vec<SwarmMembers>;
        /// What a registration must bring at this block.
        fn staking_terms() -> StakingTerms;
        /// For how long after this block the set that finalizes the blocks after it is believed (ms).
        fn believed_for() -> Moment;
        /// Every stake of one account, ordered by node.
        fn stakes(staker: StakerId) -> Vec<Stake>;
        /// The next nodes to be paid, one a block, at most `limit`.
        fn reward_queue(limit: u32) -> Vec<ServiceNodeId>;
        /// What a node has earned since it was registered.
        fn rewards_of(node: ServiceNodeId) -> NodeRewards;
        /// The durations of testing.
        fn testing_terms() -> TestingTerms;
        /// The testing rounds whose verdicts count at this block, from number `since` on, oldest first.
        fn testing_rounds(since: u32) -> Vec<TestingRound>;
        /// How a node stands, and why; `None` if nothing of it is left.
        fn standing(node: ServiceNodeId) -> Option<Standing>;
        /// How every node stands: those of the roster, then those that were deregistered.
        fn standings() -> Vec<Standing>;
        /// Every node that takes stake now, as one account finds it, ordered by node.
        fn open_pools(staker: StakerId) -> Vec<OpenPool>;
        /// What operators decide and have decided.
        fn governance() -> Governance;
    }
}
