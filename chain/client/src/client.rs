//! One-off questions to the chain.

use crate::{
    ChainUrls, ConnectError, SessionKeys,
    connection::{Connection, Head, HexHash, block_hashes},
};
use jsonrpsee::{
    core::{
        ClientError,
        client::{Client, ClientT},
    },
    rpc_params,
};
use skep_primitives::{
    BlockHash, BlockNumber, Governance, NodeRewards, OpenPool, RosterSnapshot, ServiceNodeId, Stake, StakerId,
    StakingTerms, Standing, SwarmMembers, TestingRound, TestingTerms,
};
use skep_rpc::SkepRpcClient;
use std::{future::Future, sync::Arc};
use tokio::sync::Mutex;

/// Asks whichever chain node answers; goes on with the next one when it is gone.
#[derive(Debug)]
pub struct ChainClient {
    urls: ChainUrls,
    genesis: BlockHash,
    connection: Mutex<Connection>,
}

/// A finalized block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finalized {
    /// Its height.
    pub height: BlockNumber,
    /// Its hash.
    pub hash: BlockHash,
}

/// A question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No chain node is left to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chain node answered with an error.
    #[error("the chain node refused the question: {message} (code {code})")]
    Refused {
        /// JSON-RPC error code.
        code: i32,
        /// What the chain node says.
        message: String,
    },
    /// Every chain node failed while it was asked.
    #[error("the connection to the chain broke while asking: {0}")]
    Broken(ClientError),
    /// The answer is not what this version expects.
    #[error("the chain node's answer is not understood ({0}): does it run the same version of Skep?")]
    NotUnderstood(String),
}

impl ChainClient {
    /// Connects to the first chain node that answers.
    pub async fn connect(urls: ChainUrls) -> Result<Self, ConnectError> {
        let connection = Connection::open(&urls, None, 0).await?;
        Ok(Self { urls, genesis: connection.genesis, connection: Mutex::new(connection) })
    }

    /// The chain nodes this client may ask.
    pub fn urls(&self) -> &ChainUrls {
        &self.urls
    }

    /// Hash of the network's first block: the network's name. The same for the client's whole life.
    pub fn genesis_hash(&self) -> BlockHash {
        self.genesis
    }

    /// Every registered node at the last finalized block.
    pub async fn roster(&self) -> Result<RosterSnapshot, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::roster(&*rpc, None).await }).await
    }

    /// Every swarm at the last finalized block.
    pub async fn swarms(&self) -> Result<Vec<SwarmMembers>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::swarms(&*rpc, None).await }).await
    }

    /// What a registration must bring at the last finalized block.
    pub async fn staking_terms(&self) -> Result<StakingTerms, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::staking_requirement(&*rpc, None).await }).await
    }

    /// Every stake of one account at the last finalized block.
    pub async fn stakes(&self, staker: StakerId) -> Result<Vec<Stake>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::stakes(&*rpc, staker, None).await }).await
    }

    /// Every node that takes stake at the last finalized block, as one account finds it.
    pub async fn open_pools(&self, staker: StakerId) -> Result<Vec<OpenPool>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::open_pools(&*rpc, staker, None).await }).await
    }

    /// What operators decide at the last finalized block, and have decided.
    pub async fn governance(&self) -> Result<Governance, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::governance(&*rpc, None).await }).await
    }

    /// The next nodes to be paid at the last finalized block, one a block, at most `limit`.
    pub async fn reward_queue(&self, limit: u32) -> Result<Vec<ServiceNodeId>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::reward_queue(&*rpc, limit, None).await }).await
    }

    /// What a node has earned at the last finalized block.
    pub async fn rewards_of(&self, node: ServiceNodeId) -> Result<NodeRewards, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::rewards_of(&*rpc, node, None).await }).await
    }

    /// The durations of testing at the last finalized block.
    pub async fn testing_terms(&self) -> Result<TestingTerms, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::testing_terms(&*rpc, None).await }).await
    }

    /// The testing rounds whose verdicts count at the last finalized block, from number `since` on, oldest first.
    pub async fn testing_rounds(&self, since: u32) -> Result<Vec<TestingRound>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::testing_rounds(&*rpc, Some(since), None).await }).await
    }

    /// How a node stands at the last finalized block, and why; `None` if nothing of it is left.
    pub async fn standing(&self, node: ServiceNodeId) -> Result<Option<Standing>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::standing(&*rpc, node, None).await }).await
    }

    /// How every node stands at the last finalized block.
    pub async fn standings(&self) -> Result<Vec<Standing>, AskError> {
        self.ask(|rpc| async move { SkepRpcClient::standings(&*rpc, None).await }).await
    }

    /// The last finalized block.
    pub async fn finalized(&self) -> Result<Finalized, AskError> {
        let HexHash(hash) =
            self.ask(|rpc| async move { rpc.request("chain_getFinalizedHead", rpc_params![]).await }).await?;
        let height = self.ask(|rpc| async move { head_at(&rpc, &hash).await }).await?;
        let height = height.ok_or_else(|| AskError::NotUnderstood("no header for the finalized block".into()))?;
        Ok(Finalized { height: height.number, hash })
    }

    /// Hash of the canonical block at a height, if the chain is that long.
    pub async fn block_hash(&self, height: BlockNumber) -> Result<Option<BlockHash>, AskError> {
        let hashes = self.ask(|rpc| async move { block_hashes(&rpc, [height]).await }).await?;
        Ok(hashes.into_iter().next().flatten())
    }

    /// Makes session keys in the chain node asked, whose operator it must trust, with the proof that whoever holds them agrees
    /// to produce for `node`. Chain nodes answer only where operators ask: on their own machine.
    pub async fn make_session_keys(&self, node: ServiceNodeId) -> Result<MadeSessionKeys, AskError> {
        let owner = format!("0x{node}");
        let made: RotatedKeys = self
            .ask(|rpc| {
                let owner = owner.clone();
                async move { rpc.request("author_rotateKeysWithOwner", rpc_params![owner]).await }
            })
            .await?;
        made.parse().ok_or_else(|| AskError::NotUnderstood("session keys or their proof are malformed".into()))
    }

    /// Asks the current chain node, then each other one once, until one answers.
    async fn ask<T, F, Answer>(&self, question: F) -> Result<T, AskError>
    where
        F: Fn(Arc<Client>) -> Answer,
        Answer: Future<Output = Result<T, ClientError>>,
    {
        let mut connection = self.connection.lock().await.clone();
        let mut others = self.urls.len();
        loop {
            let broken = match question(connection.rpc.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(ClientError::Call(error)) => {
                    return Err(AskError::Refused { code: error.code(), message: error.message().to_owned() });
                }
                Err(ClientError::ParseError(error)) => return Err(AskError::NotUnderstood(error.to_string())),
                Err(broken) => broken,
            };
            if others == 0 {
                return Err(AskError::Broken(broken));
            }
            others -= 1;
            tracing::debug!(%broken, "chain node lost, asking the next one");
            connection = self.replace(&connection).await?;
        }
    }

    /// A connection other than the broken one: somebody else's newer one, or a new one beginning with the next address.
    async fn replace(&self, broken: &Connection) -> Result<Connection, ConnectError> {
        let mut current = self.connection.lock().await;
        if Arc::ptr_eq(&current.rpc, &broken.rpc) {
            *current = Connection::open(&self.urls, Some(self.genesis), broken.index + 1).await?;
        }
        Ok(current.clone())
    }
}

/// Session keys made in a chain node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeSessionKeys {
    /// The public keys.
    pub keys: SessionKeys,
    /// Their proof of ownership, in SCALE.
    pub proof: Vec<u8>,
}

/// Session keys as Substrate's RPC writes them.
#[derive(serde::Deserialize)]
struct RotatedKeys {
    keys: String,
    proof: Option<String>,
}

impl RotatedKeys {
    fn parse(self) -> Option<MadeSessionKeys> {
        let bytes = |text: &str| hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok();
        let keys = bytes(&self.keys)?;
        let (babe, grandpa) = keys.split_first_chunk()?;
        let keys = SessionKeys { babe: *babe, grandpa: grandpa.try_into().ok()? };
        Some(MadeSessionKeys { keys, proof: bytes(self.proof.as_deref()?)? })
    }
}

/// The header of a block, if the chain node knows it.
pub(crate) async fn head_at(rpc: &Client, hash: &BlockHash) -> Result<Option<Head>, ClientError> {
    rpc.request("chain_getHeader", rpc_params![format!("0x{}", hex::encode(hash))]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_keys_are_read_as_the_node_writes_them() {
        let made = |keys: &str, proof: Option<&str>| {
            RotatedKeys { keys: keys.to_owned(), proof: proof.map(str::to_owned) }.parse()
        };
        let keys = format!("0x{}{}", "11".repeat(32), "22".repeat(32));
        let read = made(&keys, Some("0x0102")).expect("reads");
        assert_eq!(read.keys, SessionKeys { babe: [0x11; 32], grandpa: [0x22; 32] });
        assert_eq!(read.proof, [1, 2]);
        assert_eq!(made(&keys, None), None);
        assert_eq!(made(&keys[..66], Some("0x0102")), None);
        assert_eq!(made(&format!("{keys}33"), Some("0x0102")), None);
    }
}
