//! `skep-messaging doctor`

use super::{Outcome, runtime, say};
use skep_messaging::{config::Config, core::Diagnosis, drive::examine};
use std::path::PathBuf;

/// Would this node pass its tests now, and what is to be done? Ends with 1 if it would not.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// How many other nodes are asked to probe this one
    #[arg(long, default_value_t = 5)]
    peers: usize,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

/// The node would not pass.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the checks failed")]
struct Fails(usize);

impl Doctor {
    pub(super) fn run(self) -> Outcome {
        let diagnosis = match Config::load(&self.config) {
            Ok(config) => Diagnosis::of(&runtime()?.block_on(examine(&config, self.peers))),
            Err(error) => Diagnosis::without_configuration(error),
        };
        match self.json {
            true => say(&serde_json::to_string(&diagnosis)?)?,
            false => say(&diagnosis.to_string())?,
        }
        match diagnosis.failed() {
            0 => Ok(()),
            failed => Err(Fails(failed).into()),
        }
    }
}
