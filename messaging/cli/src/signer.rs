//! Who signs calls to the chain, and where a call took effect.

use clap::Args;
use serde::Serialize;
use skep_chain_client::{Included, KeyError, StakerKey};
use std::{env, path::PathBuf};

/// Where the staker's secret is told. Not read with the options, either of which goes before it.
pub(crate) const STAKER: &str = "SKEP_STAKER";

/// The account that signs.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The staker's secret: a BIP-39 phrase, a 0x seed, or //Alice and the like on development networks. Other users of
    /// this machine may see a command line: prefer the variable or a key file. [env: SKEP_STAKER]
    #[arg(long, global = true, conflicts_with = "key_file")]
    suri: Option<String>,
    /// A file that holds the staker's secret and that only its owner may read.
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
}

/// Nobody can sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignerError {
    #[error("no staker is given: set SKEP_STAKER to the secret, or name a file with --key-file")]
    Missing,
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SignerArgs {
    /// The key that was given.
    pub(crate) fn key(&self) -> Result<StakerKey, SignerError> {
        match self {
            Self { key_file: Some(path), .. } => Ok(StakerKey::from_file(path)?),
            Self { suri: Some(secret), .. } => Ok(secret.parse()?),
            Self { suri: None, key_file: None } => match env::var(STAKER) {
                Ok(secret) if !secret.is_empty() => Ok(secret.parse()?),
                _ => Err(SignerError::Missing),
            },
        }
    }
}

/// The finalized block in which a call took effect.
#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) height: u32,
    block_hash: String,
    transaction: String,
}

impl From<Included> for Block {
    fn from(included: Included) -> Self {
        let hex = |hash: [u8; 32]| format!("0x{}", hex::encode(hash));
        Self {
            height: included.height,
            block_hash: hex(included.block_hash),
            transaction: hex(included.transaction_hash),
        }
    }
}
