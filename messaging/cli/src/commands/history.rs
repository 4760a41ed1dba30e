//! What was said before.

use crate::{
    context::Context,
    failure::Failure,
    output::{Said, Shown},
    people::{Names, Person},
};
use clap::Args;
use serde::Serialize;
use skep_client::{Message, MessageState};
use std::{fmt, num::NonZeroU32};

/// Which part of it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their account, or their name; `self` for your notes to yourself
    #[arg(required_unless_present = "all")]
    contact: Option<String>,
    /// The newest messages, this many
    #[arg(long, default_value = "50", conflicts_with = "all")]
    limit: NonZeroU32,
    /// Messages before this one: its `sequence` in JSON
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "all")]
    before: Option<i64>,
    /// Leave unread what is unread
    #[arg(long)]
    keep_unread: bool,
    /// Every message of every conversation: an export
    #[arg(long, conflicts_with = "contact")]
    all: bool,
}

/// Shows it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { contact, limit, before, keep_unread, .. } = arguments;
    let mut client = context.client()?;
    let Some(contact) = contact else {
        let (names, own) = (Names::of(&client)?, client.account());
        client.export(|message| {
            let with = Some(names.person(&message.contact)).filter(|_| message.contact != own);
            context.output().answer(&Shows { message: &message, name: None, with });
            true
        })?;
        return Ok(());
    };
    let account = client.resolve(&contact)?;
    let messages = client.history(account, before, limit.get())?;
    if messages.is_empty() {
        context.output().remark("nothing was said yet");
    }
    let names = Names::of(&client)?;
    let name = names.person(&account).name;
    for message in &messages {
        context.output().answer(&Shows { message, name, with: None });
    }
    if let (Some(last), false) = (messages.last(), keep_unread) {
        client.mark_read(account, last.sequence)?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shows<'a> {
    message: &'a Message,
    /// What the contact is called, where it is clear who that is.
    #[serde(skip)]
    name: Option<&'a str>,
    /// In which conversation it was said, where there are several.
    #[serde(skip)]
    with: Option<Person<'a>>,
}

impl fmt::Display for Shows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { mine, id, text, reply_to, state, .. } = self.message;
        let short = |id: &skep_client::MessageId| id.to_string().chars().take(8).collect::<String>();
        write!(f, "{}  ", short(id))?;
        match (mine, self.with, self.name) {
            (true, Some(person), _) => write!(f, "you to {person}")?,
            (true, None, _) => write!(f, "you")?,
            (false, Some(person), _) => write!(f, "{person}")?,
            (false, None, Some(name)) => write!(f, "{}", Shown(name))?,
            (false, None, None) => write!(f, "they")?,
        }
        match state {
            MessageState::Queued => write!(f, " (not sent yet)")?,
            MessageState::OnSwarm { receipts } => write!(f, " (sent, on {receipts} nodes)")?,
            MessageState::Direct => write!(f, " (sent directly)")?,
            MessageState::Delivered { .. } => write!(f, " (delivered)")?,
            MessageState::Read { .. } if *mine => write!(f, " (read)")?,
            MessageState::Read { .. } => {}
            MessageState::Failed => write!(f, " (NOT delivered)")?,
            MessageState::Unread => write!(f, " (new)")?,
            MessageState::Note => write!(f, " (note)")?,
        }
        if let Some(id) = reply_to {
            write!(f, ", answering {}", short(id))?;
        }
        match text {
            Some(text) => write!(f, ": {}", Said(text)),
            None => write!(f, ": (unsent)"),
        }
    }
}
