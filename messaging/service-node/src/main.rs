//! The messaging node's command line.

mod commands;

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

/// A Skep messaging node: keeps mail for its swarm and relays onion requests.
#[derive(Debug, Parser)]
#[command(
    name = "skep-messaging",
    version,
    after_help = "Begin with `skep-messaging keygen` and `skep-messaging config`; docs/operators/ takes it from there."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::complain(&*error);
            commands::exit_code(&*error)
        }
    }
}
