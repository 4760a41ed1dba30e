//! Receiving.

use crate::{
    context::Context,
    failure::Failure,
    output::{Output, Shown},
};
use clap::Args;
use serde::Serialize;
use skep_client::{AccountAddress, Client, DisplayName, Event, ReceiptKind};
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
    let (mut news, mut read) = (false, 0);
    for event in events {
        if let (Event::Message { sender, id, .. }, false) = (&event, keep_unread)
            && let Some(message) = client.message(*sender, id)?
        {
            read += client.mark_read(*sender, message.sequence)?;
        }
        news |= tell(context.output(), event);
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
pub(crate) fn tell(output: Output, event: Event) -> bool {
    let news = !matches!(event, Event::Receipt { .. } | Event::Typing { .. });
    if news || output.is_json() {
        output.answer(&Received(event));
    }
    news
}

#[derive(Serialize)]
#[serde(transparent)]
struct Received(Event);

/// Who, for people: the name they gave, and always the account, which cannot be chosen.
struct Who<'a>(&'a AccountAddress, Option<&'a DisplayName>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(account, name) = self;
        match name {
            Some(name) => write!(f, "{} ({account})", Shown(name.as_str())),
            None => write!(f, "{account}"),
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Event::Request { sender, name, text, .. } => {
                let who = Who(sender, Some(name));
                write!(f, "{who} asks to talk: {}\n  skep contact accept {sender}", Shown(text))
            }
            Event::Accepted { sender, name, .. } => {
                write!(f, "{} accepted: you can write to each other", Who(sender, name.as_ref()))
            }
            Event::Message { sender, name, text, .. } => {
                write!(f, "{}: {}", Who(sender, name.as_ref()), Shown(text))
            }
            Event::Receipt { sender, kind: ReceiptKind::Delivered, .. } => write!(f, "delivered to {sender}"),
            Event::Receipt { sender, kind: ReceiptKind::Read, .. } => write!(f, "read by {sender}"),
            Event::Typing { sender, started } => {
                write!(f, "{sender} {}", if *started { "is writing" } else { "has stopped writing" })
            }
            Event::Unsent { sender, ids } => {
                write!(f, "{} took back {} message(s)", Who(sender, None), ids.len())
            }
            Event::Timer { sender, disappear_after: 0 } => {
                write!(f, "{}: messages of this conversation stay from now on", Who(sender, None))
            }
            Event::Timer { sender, disappear_after } => {
                let who = Who(sender, None);
                write!(f, "{who}: messages of this conversation disappear {disappear_after} s after they were read")
            }
            Event::SessionReset { sender, ours } => {
                let by = if *ours { "you" } else { "they" };
                write!(f, "{by} lost the session with {}: it was started anew", Who(sender, None))
            }
            Event::UnknownSession { sender, proven } => {
                let certain = if *proven { "" } else { " (or somebody in their name)" };
                write!(
                    f,
                    "{sender}{certain} writes in a session this account does not have; if you know them: \
                     skep contact request {sender}"
                )
            }
            Event::Renamed { sender, name, .. } => {
                write!(f, "{} is now called {}", Who(sender, None), Shown(name.as_str()))
            }
            Event::IdentityChanged { sender } => {
                write!(f, "{} restored the account or moved to another device", Who(sender, None))
            }
            Event::Expired { recipient, .. } => {
                write!(f, "something for {recipient} could not be delivered in time and was given up")
            }
            Event::StateRolledBack { .. } => write!(
                f,
                "THIS ACCOUNT'S STATE IS OLDER THAN WHAT IT HAS SENT: it was put back from a copy. Sessions with your contacts are \
                 started anew; messages that arrived after the copy was made may be missing. To move an account, use `account \
                 backup` and `account restore-backup`"
            ),
            Event::Unreadable { sender, reason } => {
                write!(f, "a message of {} cannot be read: {}", Who(sender, None), Shown(reason))
            }
        }
    }
}
