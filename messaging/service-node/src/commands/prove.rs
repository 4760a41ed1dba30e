//! `skep-messaging prove`

use super::{Outcome, runtime, say};
use serde_json::json;
use skep_chain_client::{ChainClient, ChainUrls};
use skep_messaging::NodeKey;
use skep_primitives::{Permyriad, StakerId, signing};
use std::path::PathBuf;

/// Signs, with the node's key, that this operator may register the node at this fee on this chain.
#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// The node's key file
    #[arg(long)]
    key: PathBuf,
    /// The operator's account: 32 bytes in hex
    #[arg(long)]
    operator: StakerId,
    /// The operator's fee in steps of 0.01 % (10000 is all)
    #[arg(long, value_parser = parse_fee)]
    fee: Permyriad,
    /// WebSocket addresses of chain nodes, separated by commas; the proof holds for their chain only
    #[arg(long)]
    chain: ChainUrls,
}

impl Prove {
    pub(super) fn run(self) -> Outcome {
        let key = NodeKey::load(&self.key)?;
        let chain = runtime()?.block_on(ChainClient::connect(self.chain))?;
        let proof = key.sign(&signing::registration(&chain.genesis_hash(), &self.operator, self.fee));
        let answer = json!({
            "node": key.id(),
            "operator": self.operator,
            "fee": self.fee.steps(),
            "proof": hex::encode(proof),
        });
        Ok(say(&answer.to_string())?)
    }
}

fn parse_fee(text: &str) -> Result<Permyriad, String> {
    let steps = text.parse::<u16>().map_err(|error| error.to_string())?;
    Permyriad::new(steps).map_err(|error| error.to_string())
}
