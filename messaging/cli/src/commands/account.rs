//! Your account.

use crate::{context::Context, failure::Failure, output::Shown, passphrase};
use clap::{Args, Subcommand};
use serde::Serialize;
use skep_client::{Client, CreateError, DisplayName};
use std::{fmt, path::PathBuf};
use zeroize::Zeroizing;

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account and show its recovery phrase, once
    ///
    /// Write the 13 words down: they restore the account on any machine, and nothing else does. Whoever has them has the
    /// account. The account's state is encrypted with a passphrase, taken from SKEP_PASSPHRASE or asked for.
    New(Named),
    /// Restore an account from its recovery phrase
    ///
    /// The 13 words are asked for, or read from standard input. Contacts have to be asked anew: only the account itself is in
    /// the words.
    Restore(Named),
    /// Show the account: what others write to
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// What the people you write to see as your name
    #[arg(long)]
    name: DisplayName,
}

/// Does it.
pub(crate) fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let chain = context.chain_urls().clone();
    match command {
        Command::New(Named { name }) => {
            let home = context.home()?;
            let client = Client::create(&home, &passphrase::new()?, &name, chain).map_err(create_failure)?;
            context.output().answer(&New { account: Account::of(&client, home), phrase: client.recovery_phrase() });
        }
        Command::Restore(Named { name }) => {
            let home = context.home()?;
            let phrase = passphrase::recovery_phrase()?;
            let client = Client::restore(&home, &passphrase::new()?, &phrase, &name, chain).map_err(create_failure)?;
            context.output().answer(&Account::of(&client, home));
        }
        Command::Show => {
            let client = context.client()?;
            context.output().answer(&Account::of(&client, context.home()?));
        }
    }
    Ok(())
}

fn create_failure(error: CreateError) -> Failure {
    match error {
        CreateError::Phrase(error) => Failure::usage(error),
        CreateError::State(error) => Failure::account(error),
    }
}

/// The answer of `account restore` and `account show`.
#[derive(Serialize)]
struct Account {
    account: String,
    name: String,
    home: PathBuf,
}

/// The answer of `account new`.
#[derive(Serialize)]
struct New {
    #[serde(flatten)]
    account: Account,
    #[serde(serialize_with = "as_str")]
    phrase: Zeroizing<String>,
}

fn as_str<S: serde::Serializer>(secret: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret)
}

impl Account {
    fn of(client: &Client, home: PathBuf) -> Self {
        Self { account: client.account().to_string(), name: client.display_name().to_string(), home }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, name, home } = self;
        write!(f, "account  {account}\nname     {}\nkept in  {}", Shown(name), home.display())
    }
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, phrase } = self;
        write!(
            f,
            "{account}\n\nWrite these 13 words down; they restore the account and are not shown again:\n\n  {}",
            **phrase
        )
    }
}
