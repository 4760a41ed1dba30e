//! `skep devnet demo`: two new people meet and write to each other through the whole network.

use super::{
    down,
    layout::{Layout, chain_urls},
    process::ProcessError,
    progress::Progress,
    up::{self, UpArgs, UpError},
};
use crate::{
    context::{Context, read_checkpoint},
    failure::Failure,
    output::Output,
};
use clap::Args;
use serde::Serialize;
use skep_chain_client::{AskError, ChainClient, ConnectError, RosterSource};
use skep_client::{
    AcceptError, AccountAddress, Client, CreateError, Delivery, DisplayName, DisplayNameError, Diversity, Event,
    Passphrase, PassphraseError, ReceiveError, RequestError, SayError, SendError,
};
use skep_primitives::{ServiceNodeId, SwarmId};
use std::{
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long a message may take from the sender's delivery to the recipient's mailbox being read.
const ARRIVAL_TIME: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Leave the network running, if the demonstration started it
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    up: UpArgs,
}

/// What happened. Exists only if both texts were decrypted by the other side.
#[derive(Debug, Serialize)]
struct Demonstration {
    delivered: bool,
    text: String,
    reply: String,
    /// The hops of the first text, guard first.
    path: [ServiceNodeId; 3],
    /// The members of the recipient's swarm that signed for the first text.
    stored_on: Vec<ServiceNodeId>,
    swarm: SwarmId,
    service_nodes: usize,
    finalized: u32,
    seconds: u64,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot prepare {dir} for two new accounts", dir = dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("cannot make an account")]
    Create(#[from] CreateError),
    #[error(transparent)]
    Name(#[from] DisplayNameError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error("the friend request was not sent")]
    Request(#[from] SendError<RequestError>),
    #[error("the acceptance was not sent")]
    Accept(#[from] SendError<AcceptError>),
    #[error("the message was not sent")]
    Say(#[from] SendError<SayError>),
    #[error("a mailbox cannot be read")]
    Receive(#[from] ReceiveError),
    #[error("{what} did not arrive within {} s", ARRIVAL_TIME.as_secs())]
    NotArrived { what: &'static str },
    #[error("{what} arrived as {found:?}")]
    Altered { what: &'static str, found: String },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot ask the chain")]
    Ask(#[from] AskError),
}

/// Runs the demonstration, on the network that is up or on one started for it.
pub(super) async fn run(args: DemoArgs, layout: &Layout, context: &Context) -> Result<(), Failure> {
    let began = Instant::now();
    let output = context.output();
    let was_up = up::is_up(layout).map_err(Failure::failed)?;
    if !was_up {
        output.remark("The devnet is not up: starting it.");
        up::start(&args.up, layout, &Progress::new(output)).await?;
    }
    let source = RosterSource::proven(chain_urls().map_err(Failure::failed)?, read_checkpoint(&layout.checkpoint())?);
    let outcome = tokio::select! {
        outcome = demonstrate(layout, source, output, began) => outcome,
        _ = tokio::signal::ctrl_c() => Err(UpError::Interrupted.into()),
    };
    if !was_up && !args.keep {
        output.remark("Stopping the devnet, since it was started for this only (--keep leaves it running).");
        down(layout).await?;
    }
    output.answer(&outcome.map_err(Failure::failed)?);
    Ok(())
}

async fn demonstrate(
    layout: &Layout,
    source: RosterSource,
    output: Output,
    began: Instant,
) -> Result<Demonstration, DemoError> {
    let dir = layout.demo();
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DemoError::Dir { dir, source: error });
        }
        _ => {}
    }
    let mut ada = Person::new(layout, "Ada", &source, output)?;
    let mut ben = Person::new(layout, "Ben", &source, output)?;

    let delivery = ada.client.request_contact(ben.account(), "Hello Ben, may I write to you?".into()).await?;
    output.remark(format_args!("Ada asks Ben to be a contact. {}", Told(&delivery)));
    ben.wait("the friend request", |event| if let Event::Request { sender, .. } = event { Some(sender) } else { None })
        .await?;
    let delivery = ben.client.accept(ada.account()).await?;
    output.remark(format_args!("Ben decrypts the request and accepts it. {}", Told(&delivery)));
    ada.wait("the acceptance", |event| if let Event::Accepted { sender, .. } = event { Some(sender) } else { None })
        .await?;

    let text = "Hello Ben, this came through three hops, and nobody on the way knows both of us.";
    let delivery = ada.client.send(ben.account(), text).await?;
    output.remark(format_args!("Ada writes to Ben. {}", Told(&delivery)));
    let read = ben.wait_for_text("the first message", text).await?;
    output.remark(format_args!("Ben reads: {read}"));

    let answer = "Hello Ada, so did this. The swarm may forget us both now.";
    let back = ben.client.send(ada.account(), answer).await?;
    output.remark(format_args!("Ben writes back. {}", Told(&back)));
    let reply = ada.wait_for_text("the reply", answer).await?;
    output.remark(format_args!("Ada reads: {reply}"));

    let chain = ChainClient::connect(source.urls).await?;
    let service_nodes = chain.roster().await?.nodes.iter().filter(|node| node.state.is_serving()).count();
    Ok(Demonstration {
        delivered: true,
        text: read,
        reply,
        path: delivery.path,
        stored_on: delivery.stored_on().collect(),
        swarm: delivery.swarm,
        service_nodes,
        finalized: chain.finalized().await?.height,
        seconds: began.elapsed().as_secs(),
    })
}

/// One of the two, with a state directory of their own.
struct Person {
    client: Client,
}

impl Person {
    fn new(layout: &Layout, name: &'static str, source: &RosterSource, output: Output) -> Result<Self, DemoError> {
        let home = layout.demo().join(name.to_lowercase());
        // The accounts live as long as the demonstration: the passphrase is not kept.
        let passphrase = Passphrase::new(hex::encode(rand::random::<[u8; 16]>()).into())?;
        let client = Client::create(&home, &passphrase, &name.parse::<DisplayName>()?, source.clone())?;
        output.remark(format_args!("{name} makes an account: {}", client.account()));
        Ok(Self { client })
    }

    fn account(&self) -> AccountAddress {
        self.client.account()
    }

    /// Reads the mailbox until there is what is waited for.
    async fn wait<T>(&mut self, what: &'static str, wanted: impl Fn(Event) -> Option<T>) -> Result<T, DemoError> {
        let until = Instant::now() + ARRIVAL_TIME;
        loop {
            if let Some(found) = self.client.receive().await?.into_iter().find_map(&wanted) {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(DemoError::NotArrived { what });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn wait_for_text(&mut self, what: &'static str, expected: &str) -> Result<String, DemoError> {
        let text =
            self.wait(what, |event| if let Event::Message { text, .. } = event { Some(text) } else { None }).await?;
        if text == expected { Ok(text) } else { Err(DemoError::Altered { what, found: text }) }
    }
}

/// How a message travelled, for people.
struct Told<'a>(&'a Delivery);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery { path, diversity, swarm, receipts, .. } = self.0;
        let hops = path.map(|hop| Short(hop).to_string()).join(" > ");
        write!(f, "Path {hops}; {} nodes of swarm {swarm} signed for it.", receipts.len())?;
        if *diversity != Diversity::Full {
            write!(f, " The hops were not as different as they should be: the network is too small.")?;
        }
        Ok(())
    }
}

/// The beginning of a node's key.
struct Short(ServiceNodeId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Demonstration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Both texts arrived and were decrypted, {} s after the demonstration began, on a network of {} service nodes \
             at block {}.",
            self.seconds, self.service_nodes, self.finalized
        )
    }
}
