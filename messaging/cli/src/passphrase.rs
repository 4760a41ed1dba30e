//! Secrets people give: the passphrase of the local state, the recovery phrase.

use crate::failure::Failure;
use skep_client::Passphrase;
use std::{
    env,
    io::{self, IsTerminal, Read},
};
use zeroize::Zeroizing;

const VARIABLE: &str = "SKEP_PASSPHRASE";

/// The passphrase of an existing state.
pub(crate) fn existing() -> Result<Passphrase, Failure> {
    match from_environment()? {
        Some(passphrase) => Ok(passphrase),
        None => prompt("Passphrase: "),
    }
}

/// A passphrase for a new state, typed twice.
pub(crate) fn new() -> Result<Passphrase, Failure> {
    if let Some(passphrase) = from_environment()? {
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

fn from_environment() -> Result<Option<Passphrase>, Failure> {
    match env::var(VARIABLE) {
        Ok(passphrase) => parse(passphrase.into()).map(Some),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{VARIABLE} is not valid UTF-8"))),
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
