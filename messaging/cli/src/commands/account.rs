//! Your account.

use crate::{context::Context, failure::Failure, output::Shown, passphrase};
use clap::{Args, Subcommand};
use serde::Serialize;
use skep_client::{Client, CreateError, DisplayName, Settings};
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
    /// List the accounts of this home
    List,
    /// Take another name, or change what contacts are told of your own accord
    Set(Set),
    /// Write an encrypted copy of everything: account, contacts, messages
    ///
    /// The copy is one file, opened by the same passphrase. Restored, it starts new sessions with your contacts.
    Backup {
        /// Where to; nothing may be there yet
        file: PathBuf,
    },
    /// Make the account from a backup, in a home where there is none
    RestoreBackup {
        /// What `account backup` has written
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Set {
    /// What the people you write to see as your name
    #[arg(long)]
    name: Option<DisplayName>,
    /// Tell contacts when you have read their messages
    #[arg(long, value_enum, value_name = "on|off")]
    read_receipts: Option<Switch>,
    /// Tell contacts when you are writing to them
    #[arg(long, value_enum, value_name = "on|off")]
    typing: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// What the people you write to see as your name
    #[arg(long)]
    name: DisplayName,
}

/// Does it.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let chain = context.roster_source()?;
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
        Command::List => {
            let homes = context.homes()?;
            if homes.is_empty() {
                context.output().remark("no account here yet: make one (account new) or restore one (account restore)");
            }
            for (name, home) in homes {
                context.output().answer(&Listed { name, home });
            }
        }
        Command::Set(Set { name, read_receipts, typing }) => {
            let mut client = context.client()?;
            let mut settings = client.settings();
            settings.read_receipts = read_receipts.map_or(settings.read_receipts, |switch| switch == Switch::On);
            settings.typing = typing.map_or(settings.typing, |switch| switch == Switch::On);
            client.set_settings(settings)?;
            if let Some(name) = name {
                client.rename(name).await?;
            }
            context.output().answer(&Account::of(&client, context.home()?));
        }
        Command::Backup { file } => {
            let passphrase = passphrase::existing()?;
            let client = Client::open(&context.home()?, &passphrase, chain)?;
            client.backup(&file, &passphrase)?;
            context.output().answer(&Backup { backup: file });
        }
        Command::RestoreBackup { file } => {
            let home = context.home()?;
            let client = Client::restore_backup(&home, &file, &passphrase::existing()?, chain)?;
            context.output().answer(&Account::of(&client, home));
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
    #[serde(flatten)]
    settings: Settings,
}

/// One account in the answer of `account list`.
#[derive(Serialize)]
struct Listed {
    /// None: the one in the home itself.
    name: Option<String>,
    home: PathBuf,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}  {}  (--account {name})", self.home.display()),
            None => write!(f, "(unnamed)  {}", self.home.display()),
        }
    }
}

/// The answer of `account backup`.
#[derive(Serialize)]
struct Backup {
    backup: PathBuf,
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "everything is in {}, encrypted with your passphrase", self.backup.display())
    }
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
        Self {
            account: client.account().to_string(),
            name: client.display_name().to_string(),
            home,
            settings: client.settings(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, name, home, settings: Settings { read_receipts, typing } } = self;
        let said = |on: bool| if on { "told" } else { "not told" };
        write!(
            f,
            "account  {account}\nname     {}\nkept in  {}\nyour contacts are {} what you have read and {} when you are writing",
            Shown(name),
            home.display(),
            said(*read_receipts),
            said(*typing)
        )
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
