//! Receiving.

use crate::{context::Context, failure::Failure, output::Shown};
use clap::Args;
use serde::Serialize;
use skep_client::{AccountAddress, DisplayName, Event};
use std::fmt;

/// Nothing to choose yet.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Receives.
pub(crate) async fn run(Arguments {}: Arguments, context: &Context) -> Result<(), Failure> {
    let events = context.client()?.receive().await?;
    if events.is_empty() {
        context.output().remark("nothing new");
    }
    for event in events {
        context.output().answer(&Received(event));
    }
    Ok(())
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
            Event::Request { sender, name, text, renewed, .. } => {
                let who = Who(sender, Some(name));
                let again = if *renewed { ", whose account was restored," } else { "" };
                write!(f, "{who}{again} asks to talk: {}\n  skep contact accept {sender}", Shown(text))
            }
            Event::Accepted { sender, name, .. } => {
                write!(f, "{} accepted: you can write to each other", Who(sender, name.as_ref()))
            }
            Event::Message { sender, name, text, .. } => {
                write!(f, "{}: {}", Who(sender, name.as_ref()), Shown(text))
            }
            Event::Renamed { sender, name, .. } => {
                write!(f, "{} is now called {}", Who(sender, None), Shown(name.as_str()))
            }
            Event::IdentityChanged { sender } => {
                write!(f, "{} restored the account or moved to another device", Who(sender, None))
            }
            Event::Expired { recipient, .. } => {
                write!(f, "a message to {recipient} could not be delivered in time and was given up")
            }
            Event::Unreadable { sender, reason } => {
                write!(f, "a message of {} cannot be read: {}", Who(sender, None), Shown(reason))
            }
        }
    }
}
