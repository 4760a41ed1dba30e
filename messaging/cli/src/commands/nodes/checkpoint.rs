//! `skep nodes checkpoint`: the block a client of tomorrow begins with.
//!
//! Proven from the checkpoint this client has, so that a release's needs no trust but in the release before it. The first one of
//! a network nobody can prove: it is the word of a chain node of one's own.

use super::verify::{MOST_ASKED, now};
use crate::{context::Context, failure::Failure};
use serde::Serialize;
use skep_chain_client::{Checkpoint, RosterVerifier, Trust};
use skep_client::NetworkError;
use std::fmt;

/// Tells the newest checkpoint, or genesis.
pub(super) async fn run(genesis: bool, context: &Context) -> Result<(), Failure> {
    let source = context.roster_source()?;
    let checkpoint = if source.trust == Trust::ChainNodes {
        let chain = context.chain().await?;
        let at = if genesis { chain.genesis_hash() } else { chain.finalized().await.map_err(Failure::network)?.hash };
        chain.checkpoint(&at).await.map_err(Failure::network)?
    } else if genesis {
        return Err(Failure::usage(
            "nothing proves a network's first block: ask a chain node of your own (--trust-chain)",
        ));
    } else {
        let known = source.trust.checkpoint().ok_or(NetworkError::NoCheckpoint)?;
        let mut verifier = RosterVerifier::new(&source.urls, MOST_ASKED, known, None);
        verifier.refresh(now()).await.map_err(Failure::network)?;
        verifier.checkpoint().clone()
    };
    context.output().answer(&File(checkpoint));
    Ok(())
}

/// What is written: the same in words and in JSON, but for the spaces.
#[derive(Serialize)]
#[serde(transparent)]
struct File(Checkpoint);

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(&self.0).map_err(|_| fmt::Error)?)
    }
}
