//! `skep-messaging check-config`

use super::{Outcome, run::filter, say};
use skep_messaging::{NodeKey, config::Config};
use std::path::PathBuf;

/// Reads a configuration and the key it names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Unknown keys, numbers out of range, unusable chain addresses, metrics open to others, and a key file that is missing,
malformed or readable by others are refused, each by name. Nothing is changed and nothing is connected to.

Exit code: 0 if the node could start with it, 1 if not.")]
pub(crate) struct CheckConfig {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
}

impl CheckConfig {
    pub(super) fn run(self) -> Outcome {
        let config = Config::load(&self.config)?;
        filter(&config.log)?;
        let key = NodeKey::load(&config.key_file())?;
        Ok(say(&format!("the configuration is good; this is node {}", key.id()))?)
    }
}
