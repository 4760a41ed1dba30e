//! How a chain node is.

use crate::{AskError, ChainClient, connection::Head};
use jsonrpsee::{core::client::ClientT, rpc_params};
use skep_primitives::{BlockNumber, DoubledKeys, Moment};
use skep_rpc::producers::ProducersClient;

/// `Timestamp.Now` in storage: the two names hashed by twox-128 (Substrate's storage layout).
const TIMESTAMP_NOW: &str = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";

/// How a chain node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHealth {
    /// Chain nodes it is connected to.
    pub peers: u32,
    /// Whether it is still fetching old blocks.
    pub is_syncing: bool,
    /// Height of its best block.
    pub best: BlockNumber,
    /// When that block was made, by its producer's clock; none on a chain without timestamps.
    pub best_time: Option<Moment>,
    /// Height of its finalized block.
    pub finalized: BlockNumber,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct SystemHealth {
    peers: u32,
    is_syncing: bool,
}

impl ChainClient {
    /// How the chain node that answers is.
    pub async fn health(&self) -> Result<ChainHealth, AskError> {
        let finalized = self.finalized().await?.height;
        let SystemHealth { peers, is_syncing } =
            self.ask(|rpc| async move { rpc.request("system_health", rpc_params![]).await }).await?;
        let best: Head = self.ask(|rpc| async move { rpc.request("chain_getHeader", rpc_params![]).await }).await?;
        let now: Option<String> =
            self.ask(|rpc| async move { rpc.request("state_getStorage", rpc_params![TIMESTAMP_NOW]).await }).await?;
        let best_time = now.as_deref().map(read_moment).transpose()?;
        Ok(ChainHealth { peers, is_syncing, best: best.number, best_time, finalized })
    }

    /// Whether the chain node that answers saw another machine make blocks with its session keys.
    pub async fn doubled_keys(&self) -> Result<Option<DoubledKeys>, AskError> {
        self.ask(|rpc| async move { ProducersClient::doubled_keys(&*rpc).await }).await
    }
}

fn read_moment(text: &str) -> Result<Moment, AskError> {
    let mut bytes = [0; 8];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
        .map_err(|_| AskError::NotUnderstood("the time of its best block cannot be read".into()))?;
    Ok(Moment::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_stored() {
        assert_eq!(read_moment("0x0100000000000000").expect("a moment"), 1);
        assert_eq!(read_moment("0x0068e5cf8b010000").expect("a moment"), 1_700_000_000_000);
        for bad in ["", "0x", "0x01", "0x010000000000000000", "0xzz00000000000000"] {
            assert!(read_moment(bad).is_err(), "{bad}");
        }
    }
}
