//! First steps.

use super::NEXT_STEPS;
use crate::{context::Context, failure::Failure};
use serde::Serialize;
use skep_client::Client;
use std::fmt;

/// Says what to do next.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    context
        .output()
        .answer(&Guide { account: Client::exists(&context.home()?), chain: context.chain_urls()?.to_string() });
    Ok(())
}

#[derive(Serialize)]
struct Guide {
    /// Whether there is an account.
    account: bool,
    /// The chain nodes that are asked.
    chain: String,
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.account {
            write!(f, "There is an account here: `skep account show`.\n\n{NEXT_STEPS}\n\n")?;
        } else {
            write!(
                f,
                "There is no account here yet.\n\n  skep account new --name Ada      make one: an identity that is yours alone, and 13 words\n  \
                 skep account restore --name Ada  or take up one that you have the words of\n\n\
                 No phone number, no e-mail address, nobody to ask. Your account is a key; the words are its only copy.\n\n\
                 Then:\n\n{NEXT_STEPS}\n\n"
            )?;
        }
        write!(
            f,
            "Chain nodes asked for the list of service nodes: {}. Others: --chain-url, SKEP_CHAIN, or `chain` in config.toml.\n\
             To hide from your own network that you use Skep, go through Tor: --proxy socks5h://127.0.0.1:9050.",
            self.chain
        )
    }
}
