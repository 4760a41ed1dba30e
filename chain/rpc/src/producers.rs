//! What a chain node tells of the keys it makes blocks with.

use jsonrpsee::{core::RpcResult, proc_macros::rpc};
use skep_primitives::DoubledKeys;

/// The chain node as a block producer.
#[rpc(client, server, namespace = "skep")]
pub trait Producers {
    /// Blocks that another machine made with session keys of this chain node since it started; null if it saw none.
    #[method(name = "doubledKeys")]
    async fn doubled_keys(&self) -> RpcResult<Option<DoubledKeys>>;
}
