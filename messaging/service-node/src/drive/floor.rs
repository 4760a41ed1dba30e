//! The floor of work that the network's operators have decided on (`skep govern propose work-floor`), from the chain.

use super::{node::Node, occasionally::Occasionally};
use skep_chain_client::ChainClient;
use skep_primitives::Governance;
use std::{sync::Arc, time::Duration};

/// Between two questions: a decision takes hours to be made, and should hold soon once it is.
const PAUSE: Duration = Duration::from_secs(10);

static NOT_TOLD: Occasionally = Occasionally::new();

/// Asks again and again. While no chain node answers, the floor stays as it was.
pub(crate) async fn follow(node: Arc<Node>, chain: Arc<ChainClient>) {
    loop {
        match chain.governance().await {
            Ok(Governance { work_floor: floor, .. }) => {
                if node.demand().set_network_floor(floor) {
                    tracing::info!(floor, "the network's floor of work");
                }
            }
            Err(error) => {
                if let Some(more) = NOT_TOLD.due() {
                    tracing::warn!(%error, more, "cannot ask for the network's floor of work; the last one known holds");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
