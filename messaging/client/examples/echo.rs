//! A bot that accepts everybody and says back what it is told.
//!
//! ```text
//! SKEP_PASSPHRASE=secret cargo run -p skep-client --example echo -- DIRECTORY ws://127.0.0.1:9944 checkpoint.json
//! ```

use skep_client::{Account, ChainUrls, Client, Event, Notice, Passphrase, RosterSource};
use std::{env, error::Error, fs, path::PathBuf};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let home = PathBuf::from(arguments.next().ok_or("say where to keep the account")?);
    let nodes: ChainUrls = arguments.next().ok_or("say which chain nodes to ask")?.parse()?;
    let checkpoint = fs::read_to_string(arguments.next().ok_or("say which checkpoint to prove the roster from")?)?;
    let chain = RosterSource::proven(nodes, serde_json::from_str(&checkpoint)?);
    let passphrase = Passphrase::new(env::var("SKEP_PASSPHRASE")?.into())?;
    let client = if Client::exists(&home) {
        Client::open(&home, &passphrase, chain)?
    } else {
        Client::create(&home, &passphrase, &"Echo".parse()?, chain)?
    };

    let (account, mut events) = Account::start(client);
    tracing::info!(address = %account.address(), "write to me");
    while let Some(notice) = events.next().await {
        match notice {
            Notice::Event(Event::Request { sender, .. }) => {
                account.contacts().accept(sender).await?;
            }
            Notice::Event(Event::Message { sender, text, id, .. }) => {
                account.conversation(sender).send(text, Some(id)).await?;
            }
            Notice::Event(_) | Notice::Online | Notice::Offline(_) | Notice::Missed(_) => {}
        }
    }
    Ok(())
}
