//! Taking back what was said.

use crate::{commands::send::Sent, context::Context, failure::Failure};
use clap::Args;
use serde::Serialize;
use std::fmt;

/// Which message.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their account, or their name; `self` for a note to yourself
    contact: String,
    /// The message: the first digits of its id, as the history shows them
    id: String,
}

/// Forgets it here and asks the contact to forget it.
pub(crate) async fn run(Arguments { contact, id }: Arguments, context: &Context) -> Result<(), Failure> {
    let mut client = context.client()?;
    let account = client.resolve(&contact)?;
    let id = client.find_message(account, &id)?.id;
    match client.unsend(account, id).await? {
        Some(delivery) => context.output().answer(&Sent::of(&delivery)),
        None => context.output().answer(&Unsent { id: id.to_string() }),
    }
    Ok(())
}

/// The answer when nobody has to be asked.
#[derive(Serialize)]
struct Unsent {
    id: String,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forgotten: {}", self.id)
    }
}
