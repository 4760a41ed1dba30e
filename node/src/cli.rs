//! What an operator may type.

use std::net::SocketAddr;

/// Skep's chain node.
#[derive(Debug, clap::Parser)]
#[command(propagate_version = true, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,

    /// How to run.
    #[command(flatten)]
    pub run: sc_cli::RunCmd,

    /// Where existing Session-style clients fetch the node list (`POST /json_rpc`, plain HTTP). Put a TLS proxy in
    /// front of it before opening it to others.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:22023")]
    pub front_door: SocketAddr,
}

/// What the node can do besides running.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Make, inspect and insert keys.
    #[command(subcommand)]
    Key(sc_cli::KeySubcommand),

    /// Write a network's chain specification (with `--raw` the form that a network starts from).
    ExportChainSpec(sc_cli::ExportChainSpecCmd),

    /// Write a chain specification that begins with the state of a block, for looking into it; the node must be stopped.
    ExportState(sc_cli::ExportStateCmd),

    /// Delete the chain's database. Keys stay.
    PurgeChain(sc_cli::PurgeChainCmd),
}
