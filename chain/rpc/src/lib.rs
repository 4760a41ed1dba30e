//! The chain node's JSON-RPC contract: one trait gives the server its shape and every client its calls.

pub mod node_list;
pub mod proofs;

use jsonrpsee::{
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
};
use skep_primitives::{RosterSnapshot, Stake, StakerId, StakingTerms, SwarmMembers};

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

    /// The roster now, then again at each finalized block that changed it.
    #[subscription(name = "subscribeRoster" => "rosterChanged", unsubscribe = "unsubscribeRoster", item = RosterSnapshot)]
    async fn subscribe_roster(&self) -> SubscriptionResult;
}
