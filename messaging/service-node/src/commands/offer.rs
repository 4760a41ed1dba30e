//! `skep-messaging offer`

use super::{Outcome, runtime, say};
use serde_json::json;
use skep_chain_client::{ChainClient, ChainUrls};
use skep_messaging::NodeKey;
use skep_primitives::signing;
use std::path::PathBuf;

/// Makes session keys in this operator's own chain node and signs, with the node's key, that they produce blocks for it.
#[derive(Debug, clap::Args)]
pub(crate) struct Offer {
    /// The node's key file
    #[arg(long)]
    key: PathBuf,
    /// WebSocket address of the chain node that will produce blocks; it makes keys only for its own machine
    #[arg(long)]
    chain: ChainUrls,
}

impl Offer {
    pub(super) fn run(self) -> Outcome {
        let key = NodeKey::load(&self.key)?;
        let (genesis, made) = runtime()?.block_on(async {
            let chain = ChainClient::connect(self.chain).await?;
            let made = chain.make_session_keys(key.id()).await?;
            Ok::<_, Box<dyn std::error::Error>>((chain.genesis_hash(), made))
        })?;
        let node_proof = key.sign(&signing::session_keys(&genesis, &key.id(), &made.keys.encoded()));
        let answer = json!({
            "node": key.id(),
            "babe": hex::encode(made.keys.babe),
            "grandpa": hex::encode(made.keys.grandpa),
            "session_proof": hex::encode(made.proof),
            "node_proof": hex::encode(node_proof),
        });
        Ok(say(&answer.to_string())?)
    }
}
