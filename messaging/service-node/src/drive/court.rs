//! The chain as testers use it.

use super::testing::{Court, CourtError, Terms};
use futures::future::{BoxFuture, FutureExt};
use skep_chain_client::{AskError, Authorized, ChainClient, SubmitError, Wait, submit_authorized};
use skep_primitives::{TestingRound, Verdict};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Between two attempts to ask for the network's terms.
const PAUSE: Duration = Duration::from_secs(5);

/// Chain nodes, and the newest round they told.
#[derive(Debug)]
struct Chain {
    client: Arc<ChainClient>,
    newest: AtomicU32,
}

/// What a node needs to test others, from the chain; asks until there is an answer.
pub async fn find_terms(client: Arc<ChainClient>) -> Terms {
    loop {
        match client.testing_terms().await {
            Ok(testing) => {
                let genesis = client.genesis_hash();
                return Terms { genesis, testing, court: Arc::new(Chain { client, newest: AtomicU32::new(0) }) };
            }
            Err(error) => tracing::warn!(%error, "cannot ask for the terms of testing; asking again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Court for Chain {
    fn rounds(&self) -> BoxFuture<'_, Result<Vec<TestingRound>, CourtError>> {
        async {
            let since = self.newest.load(Ordering::Relaxed);
            let rounds = self.client.testing_rounds(since).await.map_err(|error| match error {
                AskError::Refused { .. } => CourtError::Refused(error.to_string()),
                AskError::Connect(_) | AskError::Broken(_) | AskError::NotUnderstood(_) => {
                    CourtError::Unreachable(error.to_string())
                }
            })?;
            let newest = rounds.iter().map(|round| round.round).max().unwrap_or(since);
            self.newest.fetch_max(newest, Ordering::Relaxed);
            Ok(rounds)
        }
        .boxed()
    }

    fn submit(&self, verdict: Verdict) -> BoxFuture<'_, Result<(), CourtError>> {
        async move {
            match submit_authorized(self.client.urls(), &Authorized::Verdict(verdict), Wait::InBlock).await {
                Ok(_) => Ok(()),
                Err(error @ (SubmitError::Refused(_) | SubmitError::Failed { .. } | SubmitError::Dispatch(_))) => {
                    Err(CourtError::Refused(error.to_string()))
                }
                Err(error @ (SubmitError::Connect(_) | SubmitError::Prepare(_) | SubmitError::Lost(_))) => {
                    Err(CourtError::Unreachable(error.to_string()))
                }
            }
        }
        .boxed()
    }
}
