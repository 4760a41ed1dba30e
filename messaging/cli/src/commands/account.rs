//! Your account.

use crate::{context::Context, failure::Failure, keyring::Key, output::Shown, passphrase};
use clap::{Args, Subcommand};
use serde::Serialize;
use skep_client::{Client, CreateError, DisplayName, Passphrase, Settings};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account and show its recovery phrase, once
    ///
    /// Write the 13 words down: they restore the account on any machine, and nothing else does. Whoever has them has the
    /// account. The account's state is encrypted with a passphrase, taken from SKEP_PASSPHRASE or asked for, or with one that
    /// only the keyring of your desktop knows.
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
    /// Lock the account by a passphrase, or by the keyring of your desktop, from now on
    ///
    /// To a passphrase that is there it gives another. The new one is taken from SKEP_NEW_PASSPHRASE or asked for.
    Lock {
        /// By what
        #[arg(value_enum)]
        by: LockedBy,
    },
    /// Write an encrypted copy of everything: account, contacts, messages
    ///
    /// The copy is one file, opened by a passphrase, taken from SKEP_PASSPHRASE or asked for. Restored, it starts new sessions
    /// with your contacts.
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
    /// Tell contacts when you are online, so that messages go to you directly and are stored nowhere
    #[arg(long, value_enum, value_name = "on|off")]
    presence: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LockedBy {
    Passphrase,
    Keyring,
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
    /// Lock the account by the keyring of your desktop, not by a passphrase
    #[arg(long)]
    keyring: bool,
}

/// Does it.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let chain = context.roster_source()?;
    match command {
        Command::New(Named { name, keyring }) => {
            let home = context.home()?;
            let client = locked(&home, keyring, |passphrase| Client::create(&home, passphrase, &name, chain))?;
            context.output().answer(&New { account: Account::of(&client, home), phrase: client.recovery_phrase() });
        }
        Command::Restore(Named { name, keyring }) => {
            let home = context.home()?;
            let phrase = passphrase::recovery_phrase()?;
            let restore = |passphrase: &Passphrase| Client::restore(&home, passphrase, &phrase, &name, chain);
            let client = locked(&home, keyring, restore)?;
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
        Command::Set(Set { name, read_receipts, typing, presence }) => {
            let mut client = context.client()?;
            let mut settings = client.settings();
            settings.read_receipts = read_receipts.map_or(settings.read_receipts, |switch| switch == Switch::On);
            settings.typing = typing.map_or(settings.typing, |switch| switch == Switch::On);
            settings.presence = presence.map_or(settings.presence, |switch| switch == Switch::On);
            client.set_settings(settings)?;
            if let Some(name) = name {
                client.rename(name).await?;
            }
            context.output().answer(&Account::of(&client, context.home()?));
        }
        Command::Lock { by } => {
            let home = context.home()?;
            let mut client = context.client()?;
            lock(&mut client, &home, by)?;
            context.output().answer(&Locked { locked_by: by });
        }
        Command::Backup { file } => {
            let client = context.client()?;
            client.backup(&file, &passphrase::new()?)?;
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

/// Makes an account that is locked by a passphrase, or by the keyring.
fn locked(
    home: &Path,
    keyring: bool,
    make: impl FnOnce(&Passphrase) -> Result<Client, CreateError>,
) -> Result<Client, Failure> {
    if !keyring {
        return make(&passphrase::new()?).map_err(create_failure);
    }
    let (key, secret) = Key::make().map_err(Failure::account)?;
    let made = make(&passphrase::of_keyring(secret)?).map_err(create_failure)?;
    key.name_in(home).map_err(Failure::account)?;
    Ok(made)
}

/// Locks the account otherwise. Whenever the program ends, what is tried next time opens it: the entry is named before the state
/// asks for it, and forgotten after.
fn lock(client: &mut Client, home: &Path, by: LockedBy) -> Result<(), Failure> {
    let before = Key::of(home).map_err(Failure::account)?;
    match by {
        LockedBy::Passphrase => {
            client.set_passphrase(home, &passphrase::replacement()?)?;
            before.map_or(Ok(()), |key| key.forget(home)).map_err(Failure::account)
        }
        LockedBy::Keyring if before.is_some() => Ok(()),
        LockedBy::Keyring => {
            let (key, secret) = Key::make().map_err(Failure::account)?;
            key.name_in(home).map_err(Failure::account)?;
            Ok(client.set_passphrase(home, &passphrase::of_keyring(secret)?)?)
        }
    }
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

/// The answer of `account lock`.
#[derive(Serialize)]
struct Locked {
    locked_by: LockedBy,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.locked_by {
            LockedBy::Passphrase => write!(f, "locked by the passphrase you gave"),
            LockedBy::Keyring => {
                write!(f, "locked by the keyring: it opens without a question while the keyring is unlocked")
            }
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
        write!(f, "everything is in {}, encrypted with the passphrase you gave", self.backup.display())
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
        let Self { account, name, home, settings: Settings { read_receipts, typing, presence } } = self;
        let told = |on: bool| {
            let all = [
                (*read_receipts, "what you have read"),
                (*typing, "when you are writing"),
                (*presence, "when you are online"),
            ];
            all.into_iter().filter(|(is_on, _)| *is_on == on).map(|(_, what)| what).collect::<Vec<_>>().join(", ")
        };
        write!(f, "account  {account}\nname     {}\nkept in  {}", Shown(name), home.display())?;
        for (heading, what) in [("shows   ", told(true)), ("hides   ", told(false))] {
            if !what.is_empty() {
                write!(f, "\n{heading} {what}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, phrase } = self;
        write!(
            f,
            "{account}\n\nWrite these 13 words down; they restore the account and are not shown again:\n\n  {}\n\nWhat to do next:\n\n{}",
            **phrase,
            crate::commands::NEXT_STEPS
        )
    }
}
