//! `skep-messaging check-config`

use super::{Outcome, say};
use skep_messaging::{NodeKey, config::Config};
use std::path::PathBuf;

/// Reads a configuration and the key it names.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfig {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
}

impl CheckConfig {
    pub(super) fn run(self) -> Outcome {
        let config = Config::load(&self.config)?;
        let key = NodeKey::load(&config.key_file())?;
        Ok(say(&format!("the configuration is good; this is node {}", key.id()))?)
    }
}
