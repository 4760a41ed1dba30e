//! One file a command.

mod announce;
mod check_config;
mod config;
mod db;
mod doctor;
mod keygen;
mod offer;
mod prove;
mod run;

use clap::Subcommand;
use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
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
    /// Tells the chain where the node is reached now, in the node's own name
    Announce(announce::Announce),
    /// Reads a configuration and says whether the node could start with it
    CheckConfig(check_config::CheckConfig),
    /// Says whether the node would pass its tests now, and what to do if not
    Doctor(doctor::Doctor),
    /// Looks after the message store of a stopped node: stats, verify, compact
    Db(db::Db),
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
            Self::Announce(command) => command.run(),
            Self::CheckConfig(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Db(command) => command.run(),
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

/// What a command that failed returns to whoever called: 1, or 3 for a message store that is not sound.
pub(crate) fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    if error.is::<db::Unsound>() { ExitCode::from(3) } else { ExitCode::FAILURE }
}

/// Two threads do: what takes long waits for disk or network.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()
}
