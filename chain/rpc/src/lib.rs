//! The chain node's JSON-RPC contract: one trait gives the server its shape and every client its calls.

pub mod node_list;
pub mod producers;
pub mod proofs;

use jsonrpsee::{
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
};
use skep_primitives::{
    Governance, NodeRewards, OpenPool, RosterSnapshot, ServiceNodeId, Stake, StakerId, StakingTerms, Standing,
    SwarmMembers, TestingRound, TestingTerms,
};

/// Service nodes, swarms and stakes. `at` is a block hash (`0x` and 64 hex digits); without it, the last finalized
/// block answers.
#[rpc(client, server, namespace = "skep")]
pub trait SkepRpc {
    /// Every registered node.
    #[method(name = "roster")]
    async fn roster(&self, at: Option<String>) -> RpcResult<RosterSnapshot>;

    /// Every swarm with its members.
    #[method(name = "swarms")]
    async fn swarms(&self, at: Option<String>) -> RpcResult<Vec<SwarmMembers>>;

    /// What a registration must bring.
    #[method(name = "stakingRequirement")]
    async fn staking_requirement(&self, at: Option<String>) -> RpcResult<StakingTerms>;

    /// Every stake of one account (32 bytes in hex).
    #[method(name = "stakes")]
    async fn stakes(&self, staker: StakerId, at: Option<String>) -> RpcResult<Vec<Stake>>;

    /// Every node that takes stake now, with the least and the most that this account (32 bytes in hex) may bring.
    #[method(name = "openPools")]
    async fn open_pools(&self, staker: StakerId, at: Option<String>) -> RpcResult<Vec<OpenPool>>;

    /// What operators decide and have decided.
    #[method(name = "governance")]
    async fn governance(&self, at: Option<String>) -> RpcResult<Governance>;

    /// The next nodes to be paid, one a block, at most `limit`.
    #[method(name = "rewardQueue")]
    async fn reward_queue(&self, limit: u32, at: Option<String>) -> RpcResult<Vec<ServiceNodeId>>;

    /// What a node (64 hex digits) has earned since it was registered, and how many are paid before it.
    #[method(name = "rewardsOf")]
    async fn rewards_of(&self, node: ServiceNodeId, at: Option<String>) -> RpcResult<NodeRewards>;

    /// The durations of testing.
    #[method(name = "testingTerms")]
    async fn testing_terms(&self, at: Option<String>) -> RpcResult<TestingTerms>;

    /// The testing rounds whose verdicts count, from number `since` on (all without it), oldest first.
    #[method(name = "testingRounds")]
    async fn testing_rounds(&self, since: Option<u32>, at: Option<String>) -> RpcResult<Vec<TestingRound>>;

    /// How a node (64 hex digits) stands, and why; null if nothing of it is left.
    #[method(name = "standing")]
    async fn standing(&self, node: ServiceNodeId, at: Option<String>) -> RpcResult<Option<Standing>>;

    /// How every node stands: those of the roster, then those that were deregistered.
    #[method(name = "standings")]
    async fn standings(&self, at: Option<String>) -> RpcResult<Vec<Standing>>;

    /// The roster now, then again at each finalized block that changed it.
    #[subscription(name = "subscribeRoster" => "rosterChanged", unsubscribe = "unsubscribeRoster", item = RosterSnapshot)]
    async fn subscribe_roster(&self) -> SubscriptionResult;
}
