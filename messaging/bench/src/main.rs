//! `skep-bench messaging|client`: each row is a line, as a table or as JSON.

mod cold_start;
mod delivery;
mod established;
mod expiry;
mod memory;
mod messages;
mod nodes;
mod onion;
mod ratchet;
mod relay;
mod retrieve;
mod startup;
mod store;
mod work;
mod wrap;

use clap::{Args, Parser, Subcommand};
use skep_measure::Report;
use std::{error::Error, io::Write, path::PathBuf, process::ExitCode};

type Outcome = Result<(), Box<dyn Error>>;

/// Measures the messaging parts against the raw operations they are made of.
#[derive(Debug, Parser)]
#[command(name = "skep-bench", version)]
struct Arguments {
    #[command(subcommand)]
    group: Group,
}

#[derive(Debug, Subcommand)]
enum Group {
    /// The messaging node
    Messaging(Options),
    /// The client
    Client(Options),
    /// Part of the row on resident memory: be a node, and tell
    #[command(hide = true)]
    Resident {
        /// The message store; an empty one is made if there is none
        store: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Options {
    #[command(flatten)]
    common: skep_measure::Options,
    /// Messages in the rows with a large store
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
}

fn main() -> ExitCode {
    match run(Arguments::parse().group) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written, the exit code says it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(group: Group) -> Outcome {
    match group {
        Group::Messaging(options) => {
            let mut report = Report::from(options.common);
            onion::rows(&mut report)?;
            established::rows(&mut report)?;
            relay::rows(&mut report)?;
            store::rows(&mut report)?;
            let large = messages::Large::new(options.messages);
            startup::rows(&mut report, &large)?;
            retrieve::rows(&mut report, &large)?;
            memory::rows(&mut report, &large)?;
            expiry::rows(&mut report, &large)?;
            Ok(())
        }
        Group::Client(options) => {
            let mut report = Report::from(options.common);
            wrap::rows(&mut report)?;
            ratchet::rows(&mut report)?;
            work::rows(&mut report)?;
            delivery::rows(&mut report)?;
            cold_start::rows(&mut report)
        }
        Group::Resident { store } => memory::resident(&store),
    }
}
