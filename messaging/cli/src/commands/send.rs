//! Sending.

use crate::{commands::contact::find_failure, context::Context, failure::Failure};
use clap::Args;
use serde::Serialize;
use skep_client::{Delivery, Diversity};
use skep_primitives::{ServiceNodeId, SwarmId};
use std::fmt;

/// What to send to whom.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their account, or their name
    contact: String,
    /// What to say
    text: String,
}

/// Sends.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { contact, text } = arguments;
    let mut client = context.client()?;
    let account = client.find_contact(&contact).map_err(find_failure)?.account;
    let delivery = client.send(account, &text).await?;
    context.output().answer(&Sent::of(&delivery));
    Ok(())
}

/// The answer of everything that sends.
#[derive(Serialize)]
pub(crate) struct Sent {
    hash: String,
    path: [ServiceNodeId; 3],
    stored_on: Vec<ServiceNodeId>,
    swarm: SwarmId,
    #[serde(serialize_with = "diversity_word")]
    diversity: Diversity,
}

impl Sent {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self {
            hash: delivery.hash.to_string(),
            path: delivery.path,
            stored_on: delivery.stored_on().collect(),
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
        let Self { path: [guard, middle, last], stored_on, swarm, diversity, .. } = self;
        let short = |node: &ServiceNodeId| node.to_string().chars().take(8).collect::<String>();
        write!(
            f,
            "sent: {} members of swarm {swarm} signed that they keep it; it went through {}, {}, {}",
            stored_on.len(),
            short(guard),
            short(middle),
            short(last)
        )?;
        if *diversity == Diversity::Full { Ok(()) } else { write!(f, "\n{diversity}") }
    }
}
