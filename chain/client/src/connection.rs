//! One WebSocket connection to whichever chain node answers.

use crate::{ChainUrls, SocksProxy};
use jsonrpsee::{
    core::client::{Client, ClientT},
    rpc_params,
    ws_client::{PingConfig, WsClientBuilder},
};
use skep_primitives::{BlockHash, BlockNumber};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A chain node that does not accept a connection within this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same through a proxy, which may first have to build a way there.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);
/// A question not answered within this time is asked elsewhere.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer read: a roster of about twenty thousand nodes.
const MAX_ANSWER_BYTES: u32 = 32 * 1024 * 1024;
/// Most events of a subscription that wait to be read; a reader that far behind begins anew.
const MAX_WAITING_EVENTS: usize = 16;
/// A silent connection is probed this often, so that a chain node that vanished is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// No chain node of the list is usable. Tells what happened with each.
#[derive(Debug, thiserror::Error)]
#[error("no chain node answers:{}\nstart one, or name others", listed(.attempts))]
pub struct ConnectError {
    attempts: Vec<(String, AttemptError)>,
}

#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("{0}")]
    Rpc(#[from] jsonrpsee::core::ClientError),
    #[error("its genesis block is 0x{}, so it belongs to another network", hex::encode(.0))]
    OtherNetwork(BlockHash),
    #[error("{0}")]
    Proxy(#[from] std::io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("it knows no genesis block")]
    NoGenesis,
}

fn listed(attempts: &[(String, AttemptError)]) -> String {
    attempts.iter().fold(String::new(), |mut text, (url, error)| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {url}: {error}");
        text
    })
}

/// An open connection, and which address of the list it goes to.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) rpc: Arc<Client>,
    pub(crate) genesis: BlockHash,
    pub(crate) index: usize,
}

impl Connection {
    /// Opens a connection to the first address that answers, beginning at `first`. A chain node with another genesis
    /// block than `genesis` is passed over.
    pub(crate) async fn open(urls: &ChainUrls, genesis: Option<BlockHash>, first: usize) -> Result<Self, ConnectError> {
        let mut attempts = Vec::new();
        for (index, url) in urls.iter().enumerate().cycle().skip(first % urls.len()).take(urls.len()) {
            match Self::attempt(url, urls.proxy(), genesis, index).await {
                Ok(connection) => return Ok(connection),
                Err(error) => attempts.push((url.to_owned(), error)),
            }
        }
        Err(ConnectError { attempts })
    }

    async fn attempt(
        url: &str,
        proxy: Option<&SocksProxy>,
        expected: Option<BlockHash>,
        index: usize,
    ) -> Result<Self, AttemptError> {
        let ping = PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_INTERVAL * 2);
        let builder = WsClientBuilder::new()
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(REQUEST_TIMEOUT)
            .max_response_size(MAX_ANSWER_BYTES)
            .max_buffer_capacity_per_subscription(MAX_WAITING_EVENTS)
            .enable_ws_ping(ping);
        let rpc = match proxy {
            Some(proxy) => {
                let connecting =
                    async { Ok::<_, AttemptError>(builder.build_with_stream(url, proxy.connect(url).await?).await?) };
                timeout(PROXY_TIMEOUT, connecting).await.map_err(|_| AttemptError::TimedOut)??
            }
            None => builder.build(url).await?,
        };
        let genesis = block_hashes(&rpc, [0]).await?.pop().flatten().ok_or(AttemptError::NoGenesis)?;
        match expected {
            Some(expected) if expected != genesis => Err(AttemptError::OtherNetwork(genesis)),
            _ => Ok(Self { rpc: Arc::new(rpc), genesis, index }),
        }
    }
}

/// Hashes of the canonical blocks at these heights.
pub(crate) async fn block_hashes(
    rpc: &Client,
    heights: impl IntoIterator<Item = BlockNumber>,
) -> Result<Vec<Option<BlockHash>>, jsonrpsee::core::ClientError> {
    let heights: Vec<_> = heights.into_iter().collect();
    let hashes: Vec<Option<HexHash>> = rpc.request("chain_getBlockHash", rpc_params![heights]).await?;
    Ok(hashes.into_iter().map(|hash| hash.map(|HexHash(hash)| hash)).collect())
}

/// A block hash as Substrate's RPC writes it: `0x` and 64 hexadecimal digits.
#[derive(Debug)]
pub(crate) struct HexHash(pub(crate) BlockHash);

impl<'de> serde::Deserialize<'de> for HexHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut hash = BlockHash::default();
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut hash)
            .map_err(|_| serde::de::Error::custom("expected a block hash: 0x and 64 hexadecimal digits"))?;
        Ok(Self(hash))
    }
}

/// A block header as far as it is needed here.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Head {
    #[serde(deserialize_with = "hex_number")]
    pub(crate) number: BlockNumber,
}

fn hex_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BlockNumber, D::Error> {
    use serde::Deserialize;
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").unwrap_or_default();
    BlockNumber::from_str_radix(digits, 16).map_err(|_| serde::de::Error::custom("expected a height in hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_hashes_are_read_as_the_node_writes_them() {
        let head: Head = serde_json::from_str(r#"{"number":"0x1f","parentHash":"0x00"}"#).expect("parses");
        assert_eq!(head.number, 31);
        assert!(serde_json::from_str::<Head>(r#"{"number":"0x100000000"}"#).is_err());
        assert!(serde_json::from_str::<Head>(r#"{"number":"31"}"#).is_err());
        let hash: HexHash = serde_json::from_str(&format!("\"0x{}\"", "ab".repeat(32))).expect("parses");
        assert_eq!(hash.0, [0xab; 32]);
        assert!(serde_json::from_str::<HexHash>("\"0xab\"").is_err());
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_named() {
        let urls = ChainUrls::new(["ws://127.0.0.1:1", "ws://127.0.0.1:2"]).expect("valid");
        let error = Connection::open(&urls, None, 1).await.expect_err("nobody listens").to_string();
        let second_first = error.find("127.0.0.1:2:").expect("named") < error.find("127.0.0.1:1:").expect("named");
        assert!(second_first, "{error}");
    }
}
