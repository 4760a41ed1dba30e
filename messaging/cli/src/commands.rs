//! One file a command.

mod devnet;
mod nodes;
mod stake;

use crate::{context::Context, failure::Failure};
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the network's service nodes and swarms
    #[command(subcommand)]
    Nodes(nodes::Command),
    /// Lock tokens behind service nodes, and take them back
    Stake(stake::StakeArgs),
    /// Run a whole network on this machine
    Devnet(devnet::DevnetArgs),
}

/// Does it.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Nodes(command) => nodes::run(command, context).await,
        Command::Stake(args) => stake::run(args, context).await,
        Command::Devnet(args) => devnet::run(args, context).await,
    }
}
