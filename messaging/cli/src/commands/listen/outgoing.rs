//! Messages to send that come on standard input, a JSON object a line.

use super::account_failure;
use crate::{commands::send::Sent, context::Context, failure::Failure, output::Shown};
use serde::{Deserialize, Serialize};
use skep_client::{Account, Delivery, MessageId};
use std::{
    fmt,
    io::{self, BufRead, Read},
    thread,
};
use tokio::sync::mpsc;

/// More bytes than any message takes, escaped as JSON may be.
const LONGEST_LINE: u64 = 1024 * 1024;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Their account, or their name.
    to: String,
    text: String,
    /// The whole id of the message this answers.
    #[serde(default)]
    reply_to: Option<String>,
    /// Comes back with what became of it.
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

/// What became of one that was sent.
#[derive(Serialize)]
struct Gone {
    event: &'static str,
    to: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sent: Option<Sent>,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sent {
            Some(sent) => write!(f, "to {}: {sent}", Shown(&self.to)),
            None => write!(f, "noted"),
        }
    }
}

/// What became of one that was not.
#[derive(Serialize)]
struct NotGone {
    event: &'static str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(flatten)]
    failure: Failure,
}

impl fmt::Display for NotGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.failure.message())
    }
}

/// The lines of standard input, read by a thread of its own: reading cannot be interrupted, and must not hold up the end.
pub(super) fn lines() -> io::Result<mpsc::Receiver<String>> {
    let (told, lines) = mpsc::channel(1);
    thread::Builder::new().name("standard input".into()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line);
            if !line.trim().is_empty() && told.blocking_send(line.into_owned()).is_err() {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// Sends what a line says, and tells what became of it.
pub(super) async fn send(account: &Account, line: &str, context: &Context) {
    let line: Line = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => {
            let failure = Failure::usage(format!("a line is to be {{\"to\": CONTACT, \"text\": TEXT}}: {error}"));
            context.output().answer(&NotGone { event: "not_sent", reference: None, failure });
            return;
        }
    };
    let Line { to, text, reply_to, reference } = line;
    match deliver(account, &to, text, reply_to).await {
        Ok(delivery) => {
            let sent = delivery.as_ref().map(Sent::of);
            context.output().answer(&Gone { event: "sent", to, reference, sent });
        }
        Err(failure) => context.output().answer(&NotGone { event: "not_sent", reference, failure }),
    }
}

/// None: a note to oneself.
async fn deliver(
    account: &Account,
    to: &str,
    text: String,
    reply_to: Option<String>,
) -> Result<Option<Delivery>, Failure> {
    let reply_to: Option<MessageId> = reply_to.map(|id| id.parse()).transpose().map_err(Failure::usage)?;
    let contact = account.contacts().find(to.to_owned()).await.map_err(account_failure)?;
    account.conversation(contact).send(text, reply_to).await.map_err(account_failure)
}
