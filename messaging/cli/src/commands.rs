//! One file a command.

mod account;
mod chat;
mod contact;
mod devnet;
mod generate;
mod govern;
mod history;
mod listen;
mod nodes;
mod path;
mod receive;
mod send;
mod stake;
mod unsend;

use crate::{context::Context, failure::Failure};
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, restore and show your account
    #[command(subcommand)]
    Account(account::Command),
    /// Ask people to talk, accept their requests, list contacts
    #[command(subcommand)]
    Contact(contact::Command),
    /// Send a message to a contact
    Send(send::Arguments),
    /// Take back a message that you sent
    Unsend(unsend::Arguments),
    /// Show what was said in a conversation, or export all of it
    History(history::Arguments),
    /// Fetch what has arrived: friend requests, acceptances, messages
    Receive(receive::Arguments),
    /// Stay and tell what arrives, one JSON object a line with --json; run a command for each message
    ///
    /// Without a command, messages count as read once they were told.
    Listen(listen::Arguments),
    /// Write to people, full screen
    Chat(chat::Arguments),
    /// Test and show the paths your messages take
    Path(path::Arguments),
    /// Look at the network's service nodes and swarms
    #[command(subcommand)]
    Nodes(nodes::Command),
    /// Lock tokens behind service nodes, and take them back
    Stake(stake::StakeArgs),
    /// Decide with the other operators: runtimes, the treasury, the floor of work
    Govern(govern::GovernArgs),
    /// Run a whole network on this machine
    Devnet(devnet::DevnetArgs),
    /// Write a script for your shell that completes commands
    Completions(generate::Completions),
    /// Write the manual page
    Man,
}

/// Does it.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Account(command) => account::run(command, context).await,
        Command::Contact(command) => contact::run(command, context).await,
        Command::Send(arguments) => send::run(arguments, context).await,
        Command::Unsend(arguments) => unsend::run(arguments, context).await,
        Command::History(arguments) => history::run(arguments, context),
        Command::Receive(arguments) => receive::run(arguments, context).await,
        Command::Listen(arguments) => listen::run(arguments, context).await,
        Command::Chat(arguments) => chat::run(arguments, context).await,
        Command::Path(arguments) => path::run(arguments, context).await,
        Command::Nodes(command) => nodes::run(command, context).await,
        Command::Stake(args) => stake::run(args, context).await,
        Command::Govern(args) => govern::run(args, context).await,
        Command::Devnet(args) => devnet::run(args, context).await,
        Command::Completions(arguments) => generate::completions(&arguments),
        Command::Man => generate::man(),
    }
}
