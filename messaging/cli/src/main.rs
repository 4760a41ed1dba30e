//! The `skep` command: accounts, contacts, messages, service nodes, stakes, devnets.

mod commands;
mod config;
mod context;
mod failure;
mod keyring;
mod output;
mod passphrase;
mod people;
mod signer;
mod tokens;

use crate::{commands::Command, context::Context};
use clap::Parser;
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Write to people over Skep, and stake and run its service nodes.
///
/// Messages are encrypted from end to end, kept by a swarm of service nodes until they are read, and travel through three
/// hops, so that no single party learns who writes to whom.
#[derive(Debug, Parser)]
#[command(name = "skep", version, arg_required_else_help = true, after_help = failure::EXIT_CODES, before_help = "First time here? `skep guide`")]
struct Cli {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { context, command } = Cli::parse();
    // A program that reads standard error expects failures there and nothing else.
    let level = if context.output().is_json() { LevelFilter::OFF } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(coloured).init();
    match commands::run(command, &context).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            context.output().failure(&failure);
            failure.exit_code()
        }
    }
}
