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

use crate::{commands::Command, context::Context, failure::Failure, output::Output};
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
    let Cli { context, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    // A program that reads standard error expects failures there and nothing else; what is drawn on the whole screen stays whole.
    let quiet = context.output().is_json() || matches!(command, Command::Chat(_));
    let level = if quiet { LevelFilter::OFF } else { LevelFilter::WARN };
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

/// The command line makes no sense, or asks for help: programs are told of wrong usage as of everything else.
fn refused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if !error.use_stderr() || !json {
        error.exit();
    }
    let text = error.to_string();
    let failure = Failure::usage(text.trim().trim_start_matches("error: "));
    Output::new(true).failure(&failure);
    failure.exit_code()
}
