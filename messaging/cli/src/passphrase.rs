//! Secrets people give: the passphrase of the local state, the recovery phrase.

use crate::{failure::Failure, keyring::Key};
use skep_client::{Client, Passphrase, StateError};
use std::{
    env,
    io::{self, IsTerminal, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// Where the passphrase is told.
pub(crate) const VARIABLE: &str = "SKEP_PASSPHRASE";
/// The passphrase to take instead.
pub(crate) const NEW_VARIABLE: &str = "SKEP_NEW_PASSPHRASE";

/// Opens the state in `home` with its passphrase: the environment's, the keyring's, or one that is asked for.
pub(crate) fn unlock<T>(home: &Path, open: impl Fn(&Passphrase) -> Result<T, StateError>) -> Result<T, Failure> {
    // Nobody is asked for the passphrase of nothing.
    if !Client::exists(home) {
        return Err(Failure::account(StateError::NoAccount(home.to_owned())));
    }
    if let Some(passphrase) = from_environment(VARIABLE)? {
        return open(&passphrase).map_err(Failure::account);
    }
    if let Some(key) = Key::of(home).map_err(Failure::account)? {
        let secret = key.secret().map_err(Failure::account)?;
        match open(&parse(secret)?) {
            // The program may have ended while the account moved between keyring and passphrase.
            Err(StateError::WrongPassphrase) => {}
            opened => return opened.map_err(Failure::account),
        }
    }
    open(&prompt("Passphrase: ")?).map_err(Failure::account)
}

/// The passphrase of a backup.
pub(crate) fn existing() -> Result<Passphrase, Failure> {
    match from_environment(VARIABLE)? {
        Some(passphrase) => Ok(passphrase),
        None => prompt("Passphrase of the backup: "),
    }
}

/// A passphrase for a new state, typed twice.
pub(crate) fn new() -> Result<Passphrase, Failure> {
    chosen(VARIABLE)
}

/// A passphrase to take instead of the one before, typed twice.
pub(crate) fn replacement() -> Result<Passphrase, Failure> {
    chosen(NEW_VARIABLE)
}

/// What the keyring keeps.
pub(crate) fn of_keyring(secret: Zeroizing<String>) -> Result<Passphrase, Failure> {
    parse(secret)
}

fn chosen(variable: &str) -> Result<Passphrase, Failure> {
    if let Some(passphrase) = from_environment(variable)? {
        return Ok(passphrase);
    }
    let passphrase = prompt("New passphrase: ")?;
    if prompt("The same again: ")? != passphrase {
        return Err(Failure::usage("the two passphrases differ: try again"));
    }
    Ok(passphrase)
}

/// The 13 words: asked for in a terminal, else read from standard input. Never an argument, which others could see.
pub(crate) fn recovery_phrase() -> Result<Zeroizing<String>, Failure> {
    /// More than any 13 words of the list.
    const LONGEST: usize = 1024;
    if io::stdin().is_terminal() {
        return ask("Recovery phrase (13 words): ");
    }
    let mut phrase = Zeroizing::new(String::with_capacity(LONGEST));
    io::stdin().lock().take(LONGEST as u64).read_to_string(&mut phrase).map_err(Failure::usage)?;
    Ok(phrase)
}

fn from_environment(variable: &str) -> Result<Option<Passphrase>, Failure> {
    match env::var(variable) {
        Ok(passphrase) => parse(passphrase.into()).map(Some),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{variable} is not valid UTF-8"))),
    }
}

fn prompt(question: &str) -> Result<Passphrase, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::account(format!("no passphrase: set {VARIABLE}, or run this in a terminal")));
    }
    parse(ask(question)?)
}

fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(Failure::failed)
}

fn parse(text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(Failure::usage)
}
