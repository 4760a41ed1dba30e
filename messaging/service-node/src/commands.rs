//! One file a command.

mod check_config;
mod config;
mod doctor;
mod keygen;
mod offer;
mod prove;
mod run;

use clap::Subcommand;
use std::{
    error::Error,
    io::{self, Write},
};
use tokio::runtime::{Builder, Runtime};

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves until it is told to stop (SIGTERM or SIGINT)
    Run(run::Run),
    /// Makes a node key in a new file and prints the node's id
    Keygen(keygen::Keygen),
    /// Prints the proof that a registration on the chain needs, as JSON
    Prove(prove::Prove),
    /// Makes session keys in a chain node and prints what it takes to offer this node as a block producer, as JSON
    Offer(offer::Offer),
    /// Reads a configuration and says whether the node could start with it
    CheckConfig(check_config::CheckConfig),
    /// Says whether the node would pass its tests now, and what to do if not
    Doctor(doctor::Doctor),
    /// Prints the documented example configuration
    Config,
}

impl Command {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Run(command) => command.run(),
            Self::Keygen(command) => command.run(),
            Self::Prove(command) => command.run(),
            Self::Offer(command) => command.run(),
            Self::CheckConfig(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Config => config::run(),
        }
    }
}

/// Prints a line for whoever called.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Tells what went wrong.
pub(crate) fn complain(error: &dyn Error) {
    // If even this cannot be written, the exit code says it.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Two threads do: what takes long waits for disk or network.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()
}
