//! Sending.

use crate::{context::Context, failure::Failure};
use clap::Args;
use serde::Serialize;
use skep_client::{Delivery, Diversity};
use skep_primitives::{ServiceNodeId, SwarmId};
use std::{fmt, io::Read};

/// What to send to whom.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their account, or their name; `self` for a note to yourself, which stays on this machine
    contact: String,
    /// What to say; `-` reads it from standard input
    text: String,
    /// The message this answers: the first digits of its id, as the history shows them
    #[arg(long, value_name = "ID")]
    reply_to: Option<String>,
}

/// Sends.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { contact, text, reply_to } = arguments;
    let text = if text == "-" { from_standard_input()? } else { text };
    let mut client = context.client()?;
    let account = client.resolve(&contact)?;
    let reply_to = reply_to.map(|digits| client.find_message(account, &digits)).transpose()?.map(|message| message.id);
    if account == client.account() {
        let id = client.note(text, reply_to)?.to_string();
        context.output().answer(&Noted { id });
        return Ok(());
    }
    let delivery = client.send_text(account, text, reply_to).await?;
    context.output().answer(&Sent::of(&delivery));
    Ok(())
}

/// A text of standard input, without the line break at its end.
fn from_standard_input() -> Result<String, Failure> {
    /// More than any message holds.
    const LONGEST: u64 = 100_000;
    let mut text = String::new();
    std::io::stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(Failure::usage)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// The answer of `send self`.
#[derive(Serialize)]
struct Noted {
    id: String,
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "noted: {}", self.id)
    }
}

/// The answer of everything that sends.
#[derive(Serialize)]
pub(crate) struct Sent {
    /// The message's name, to reply to it or unsend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    hash: String,
    path: [ServiceNodeId; 3],
    stored_on: Vec<ServiceNodeId>,
    /// Given to the node on which they listen, and stored nowhere.
    direct: bool,
    swarm: SwarmId,
    #[serde(serialize_with = "diversity_word")]
    diversity: Diversity,
}

impl Sent {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.map(|id| id.to_string()),
            hash: delivery.hash.to_string(),
            path: delivery.path,
            stored_on: delivery.stored_on().collect(),
            direct: delivery.direct,
            swarm: delivery.swarm,
            diversity: delivery.diversity,
        }
    }
}

/// A path's diversity as programs read it.
pub(crate) const fn as_word(diversity: Diversity) -> &'static str {
    match diversity {
        Diversity::Full => "full",
        Diversity::SharedStaker => "shared_staker",
        Diversity::SharedNetwork => "shared_network",
        Diversity::SharedOperator => "shared_operator",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn diversity_word<S: serde::Serializer>(diversity: &Diversity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(as_word(*diversity))
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path: [guard, middle, last], stored_on, swarm, diversity, direct, .. } = self;
        let short = |node: &ServiceNodeId| node.to_string().chars().take(8).collect::<String>();
        match direct {
            true => write!(f, "sent: given to the node on which they listen, and stored nowhere")?,
            false => write!(f, "sent: {} members of swarm {swarm} signed that they keep it", stored_on.len())?,
        }
        write!(f, "; it went through {}, {}, {}", short(guard), short(middle), short(last))?;
        if let Some(id) = &self.id {
            write!(f, "; its id is {id}")?;
        }
        if *diversity == Diversity::Full { Ok(()) } else { write!(f, "\n{diversity}") }
    }
}
