//! Receiving.

use crate::{
    context::Context,
    failure::Failure,
    output::{Output, Said, Shown},
    people::{Names, Person},
};
use clap::Args;
use serde::Serialize;
use skep_client::{Client, DisplayName, Event, ReceiptKind};
use std::fmt;

/// How to.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Leave messages unread: `history` marks them as read
    #[arg(long)]
    keep_unread: bool,
}

/// Receives.
pub(crate) async fn run(Arguments { keep_unread }: Arguments, context: &Context) -> Result<(), Failure> {
    let mut client = context.client()?;
    let events = client.receive().await?;
    // As they are called now.
    let names = Names::of(&client)?;
    let (mut news, mut read) = (false, 0);
    for event in events {
        let shown = if let Event::Message { sender, id, .. } = &event { Some((*sender, *id)) } else { None };
        news |= tell(context.output(), event, &names);
        if let (Some((sender, id)), false) = (shown, keep_unread) {
            read += client.mark_shown(sender, &[id])?;
        }
    }
    if !news {
        context.output().remark("nothing new");
    }
    remark_put_off(&client, context.output())?;
    // What has arrived is told; that contacts hear of it only the next time is no failure.
    if read > 0
        && let Err(error) = client.tell_read().await
    {
        tracing::warn!(%error, "contacts are told later what was read");
    }
    Ok(())
}

/// Says that more people ask than are shown.
pub(crate) fn remark_put_off(client: &Client, output: Output) -> Result<(), Failure> {
    let more = client.requests_put_off()?;
    if more > 0 {
        output.remark(format_args!(
            "{more} more friend requests wait and are shown later, some an hour; whom you ask yourself need not wait"
        ));
    }
    Ok(())
}

/// Tells an event: everything to programs; to people what is news to them.
pub(crate) fn tell(output: Output, event: Event, names: &Names) -> bool {
    let news = !matches!(event, Event::Receipt { .. } | Event::Typing { .. });
    if news || output.is_json() {
        output.answer(&Received { event, names });
    }
    news
}

#[derive(Serialize)]
#[serde(transparent)]
struct Received<'a> {
    event: Event,
    #[serde(skip)]
    names: &'a Names,
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.event.contact();
        let named = |name: &'_ DisplayName| Person { account, name: Some(name.as_str()) }.to_string();
        let who = self.names.person(account);
        match &self.event {
            Event::Request { name, text, .. } => {
                write!(f, "{} asks to talk", named(name))?;
                if !text.is_empty() {
                    write!(f, ": {}", Said(text))?;
                }
                write!(f, "\n  to accept: skep contact accept {account}")
            }
            Event::Accepted { .. } => write!(f, "{who} accepted: you can write to each other"),
            Event::Message { text, .. } => write!(f, "{who}: {}", Said(text)),
            Event::Receipt { kind: ReceiptKind::Delivered, .. } => write!(f, "delivered to {who}"),
            Event::Receipt { kind: ReceiptKind::Read, .. } => write!(f, "read by {who}"),
            Event::Typing { started, .. } => {
                write!(f, "{who} {}", if *started { "is writing" } else { "has stopped writing" })
            }
            Event::Unsent { ids, .. } => match ids.len() {
                1 => write!(f, "{who} took back a message"),
                several => write!(f, "{who} took back {several} messages"),
            },
            Event::Timer { disappear_after: 0, .. } => {
                write!(f, "{who}: messages of this conversation stay from now on")
            }
            Event::Timer { disappear_after, .. } => {
                write!(f, "{who}: messages of this conversation disappear {disappear_after} s after they were read")
            }
            Event::SessionReset { ours, .. } => {
                let by = if *ours { "this account" } else { "they" };
                write!(
                    f,
                    "{who}: the session starts anew, because {by} lost it; what had not arrived of your messages is sent again"
                )
            }
            Event::UnknownSession { proven, .. } => {
                let certain = if *proven { "" } else { " (or somebody in their name)" };
                write!(
                    f,
                    "{account}{certain} wrote in a conversation that this account does not have, perhaps because it was restored. \
                     If you know them:\n  skep contact request {account}"
                )
            }
            Event::Renamed { name, .. } => write!(f, "{account} is now called {}", Shown(name.as_str())),
            Event::IdentityChanged { .. } => write!(
                f,
                "{who} restored the account or moved to another device, or somebody has their 13 words: compare the safety \
                 number\n  skep contact verify {account}"
            ),
            Event::Expired { .. } => {
                write!(f, "{who}: something could not be delivered in time and was given up")
            }
            Event::StateRolledBack { .. } => write!(
                f,
                "THIS ACCOUNT'S STATE IS OLDER THAN WHAT IT HAS SENT: it was put back from a copy. Sessions with your contacts are \
                 started anew; messages that arrived after the copy was made may be missing. To move an account, use `account \
                 backup` and `account restore-backup`"
            ),
            Event::Unreadable { reason, .. } => write!(f, "a message of {who} cannot be read: {}", Said(reason)),
        }
    }
}
