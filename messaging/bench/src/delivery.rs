//! From sending a text until the recipient has it, against the sum of its parts.
//!
//! Two clients, twelve nodes in two swarms and a stand-in for their chain node share this process. The parts are measured alone,
//! right before or after, with onion requests of version 2 through three hops:
//!
//! | | asynchronous, receipt on its way included | synchronous |
//! |---|---|---|
//! | proof of work at the client's effort | for the text, for the receipt | |
//! | three deposits at once | of the text, of the receipt | |
//! | request | two reads, one after the other | one: half of it is the way there, half the way to the listener |
//! | flush to disk | text before it leaves, text before it is shown, receipt before it leaves | the first two |

use crate::{
    Outcome,
    messages::{BYTES, directory},
    nodes::{BLOCK, Nodes, https_client, runtime},
};
use futures::future::try_join_all;
use rand::{RngCore, seq::SliceRandom};
use skep_client::{Account, Client, Conversation, Event, EventStream, Notice, Passphrase, RosterSource};
use skep_envelope::Identity;
use skep_mailbox::{MemoryStore, Store};
use skep_measure::{Aim, Report, Row, duration, quartiles};
use skep_onion::{WrapOptions, wrap};
use skep_proto::storage::{
    HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveRequest, StoreRequest, TimedAuth, signed,
};
use skep_work::{Challenge, solve};
use std::{
    error::Error,
    fs::File,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::{sleep, timeout};

const NODES: usize = 12;
/// What a client does for a message unless more is asked of it.
const EFFORT: u32 = 8;
/// Members a client reads.
const READERS: usize = 2;
/// Members a client gives a message to.
const COPIES: usize = 3;
/// What a change of the client's state writes at least.
const PAGE: usize = 4096;
const HOUR: u64 = 3_600_000;
/// How long two who are online may take until they write directly, or a text may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let [mail, direct] =
        ["asynchronous", "synchronous"].map(|way| format!("send to delivered, {way}, vs the sum of its parts"));
    if !report.wants(&mail) && !report.wants(&direct) {
        return Ok(());
    }
    let (runtime, runs) = (runtime()?, report.runs() * 3);
    runtime.block_on(async {
        let stores = (0..NODES).map(|_| Arc::new(MemoryStore::new(u64::MAX)) as Arc<dyn Store>).collect();
        let nodes = Nodes::start(stores).await?;
        let (chain, _server) = nodes.chain().await?;
        let source = RosterSource::trusting(chain);
        let directory = directory()?;
        let passphrase = Passphrase::new("a passphrase".to_owned().into())?;
        let client = |name: &str| -> Result<Client, Box<dyn Error>> {
            Ok(Client::create(&directory.path().join(name), &passphrase, &name.parse()?, source.clone())?)
        };
        let (mut alice, mut bob) = (client("Alice")?, client("Bob")?);
        alice.request_contact(bob.account(), "It is me".into()).await?;
        bob.receive().await?;
        bob.accept(alice.account()).await?;
        alice.receive().await?;
        bob.receive().await?;

        let mut parts = Parts::new(&nodes, directory.path())?;
        if report.wants(&mail) {
            let (mut whole, mut sums) = (Vec::new(), Vec::new());
            for run in 0..runs {
                if run % 2 == 0 {
                    whole.push(deliver(&mut alice, &mut bob, run).await?);
                    sums.push(parts.of_mail().await?);
                } else {
                    sums.push(parts.of_mail().await?);
                    whole.push(deliver(&mut alice, &mut bob, run).await?);
                }
            }
            report.tell(&row(mail, &whole, &sums))?;
        }
        if report.wants(&direct) {
            let mut line = Line::open(alice, bob).await?;
            let (mut whole, mut sums) = (Vec::new(), Vec::new());
            for run in 0..runs {
                if run % 2 == 0 {
                    whole.push(line.deliver().await?);
                    sums.push(parts.of_direct().await?);
                } else {
                    sums.push(parts.of_direct().await?);
                    whole.push(line.deliver().await?);
                }
            }
            report.tell(&row(direct, &whole, &sums))?;
        }
        nodes.stop().await;
        Ok::<_, Box<dyn Error>>(())
    })
}

fn row(name: String, whole: &[f64], sums: &[f64]) -> Row {
    let ratios = whole.iter().zip(sums).map(|(whole, sum)| whole / sum).collect();
    let detail = format!("{} against {}", duration(quartiles(whole).median), duration(quartiles(sums).median));
    Row { name, aim: Aim::AtMost(1.5), ratios, detail }
}

/// Seconds from sending a text until it is there.
async fn deliver(alice: &mut Client, bob: &mut Client, number: usize) -> Result<f64, Box<dyn Error>> {
    let sent = format!("text {number}");
    let begun = Instant::now();
    alice.send(bob.account(), &sent).await?;
    let events = bob.receive().await?;
    let took = begun.elapsed().as_secs_f64();
    match events.iter().any(|event| matches!(event, Event::Message { text, .. } if *text == sent)) {
        true => Ok(took),
        false => Err(format!("the text did not arrive: {events:?}").into()),
    }
}

/// Two who are online.
struct Line {
    alice: Conversation,
    /// What Bob is told.
    events: EventStream,
    sent: usize,
    _bob: Account,
}

impl Line {
    /// Waits until they write to each other directly.
    async fn open(alice: Client, bob: Client) -> Result<Self, Box<dyn Error>> {
        let (alice, _) = Account::start(alice);
        let (bob, events) = Account::start(bob);
        let mut line = Self { alice: alice.conversation(bob.address()), events, sent: 0, _bob: bob };
        timeout(PATIENCE, async {
            while line.say().await?.is_none() {
                // Mail is heard of when the mailbox is read.
                sleep(Duration::from_secs(3)).await;
            }
            Ok::<_, Box<dyn Error>>(())
        })
        .await??;
        Ok(line)
    }

    /// Seconds from sending a text until it is there.
    async fn deliver(&mut self) -> Result<f64, Box<dyn Error>> {
        // What comes with the text before, its receipt, is not this one's.
        sleep(Duration::from_millis(200)).await;
        timeout(PATIENCE, async {
            loop {
                if let Some(took) = self.say().await? {
                    return Ok(took);
                }
                sleep(Duration::from_secs(3)).await;
            }
        })
        .await?
    }

    /// Says something, and waits for it. None: it went by mail.
    async fn say(&mut self) -> Result<Option<f64>, Box<dyn Error>> {
        let said = format!("direct {}", self.sent);
        self.sent += 1;
        let begun = Instant::now();
        let heard = async {
            while let Some(notice) = self.events.next().await {
                if matches!(&notice, Notice::Event(Event::Message { text, .. }) if *text == said) {
                    return Ok(begun.elapsed().as_secs_f64());
                }
            }
            Err::<_, Box<dyn Error>>("the account was closed".into())
        };
        let (sent, took) = tokio::join!(self.alice.send(said.clone(), None), heard);
        Ok(if sent?.is_some_and(|delivery| delivery.direct) { Some(took?) } else { None })
    }
}

/// What a delivery is made of.
struct Parts<'a> {
    nodes: &'a Nodes,
    http: reqwest::Client,
    identity: Identity,
    disk: File,
}

impl<'a> Parts<'a> {
    fn new(nodes: &'a Nodes, directory: &Path) -> Result<Self, Box<dyn Error>> {
        let disk = File::create(directory.join("flushed"))?;
        Ok(Self { nodes, http: https_client()?, identity: Identity::generate(&mut rand::rng()), disk })
    }

    async fn of_mail(&mut self) -> Result<f64, Box<dyn Error>> {
        let mut sum = 0.0;
        for _ in 0..2 {
            let (request, worked) = self.deposit()?;
            let begun = Instant::now();
            try_join_all((0..COPIES).map(|_| self.ask(&request))).await?;
            sum += worked + begun.elapsed().as_secs_f64();
        }
        for _ in 0..READERS {
            sum += self.ask(&self.read()?).await?;
        }
        Ok(sum + self.flushes(3)?)
    }

    async fn of_direct(&mut self) -> Result<f64, Box<dyn Error>> {
        Ok(self.ask(&self.read()?).await? + self.flushes(2)?)
    }

    /// Seconds until so many changes are on the disk.
    fn flushes(&mut self, count: usize) -> Result<f64, Box<dyn Error>> {
        let begun = Instant::now();
        for _ in 0..count {
            self.disk.write_all(&[7; PAGE])?;
            self.disk.sync_data()?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// A deposit, and the seconds of work for it.
    fn deposit(&self) -> Result<(Request, f64), Box<dyn Error>> {
        let mut data = vec![0; BYTES];
        rand::rng().fill_bytes(&mut data);
        let (account, namespace, timestamp) = (self.identity.account(), Namespace::DEFAULT, now()?);
        let hash = MessageHash::of(&account, namespace, &data);
        let challenge = Challenge { account, namespace, hash, timestamp, ttl: HOUR, effort: EFFORT, block_hash: BLOCK };
        let begun = Instant::now();
        let proof = solve(&challenge, rand::random(), || true).ok_or("gave up")?;
        let worked = begun.elapsed().as_secs_f64();
        let (expiry, work) = (timestamp + HOUR, Some(challenge.to_wire(&proof)));
        let store = StoreRequest { account, namespace, timestamp, expiry, data, auth: None, work };
        Ok((Request::Single(Method::Store(store)), worked))
    }

    fn read(&self) -> Result<Request, Box<dyn Error>> {
        let (namespace, timestamp) = (Namespace::DEFAULT, now()?);
        let signature = self.identity.sign_request(&signed::retrieve(namespace, timestamp));
        let ed25519_key = Some(HexKey(self.identity.ed25519_key()));
        let auth = Some(TimedAuth { auth: OwnerAuth { signature, ed25519_key, subaccount: None }, timestamp });
        let (account, last_hash, max_count, max_size) = (self.identity.account(), None, Some(1), None);
        let read = RetrieveRequest { account, namespace, last_hash, max_count, max_size, auth };
        Ok(Request::Single(Method::Retrieve(read)))
    }

    /// Seconds of a request through three hops to some node, which may answer that another swarm keeps the mailbox.
    async fn ask(&self, request: &Request) -> Result<f64, Box<dyn Error>> {
        let mut order: Vec<_> = (0..NODES).collect();
        order.shuffle(&mut rand::rng());
        let [guard, middle, last, destination, ..] = *order else { return Err("too few nodes".into()) };
        let path = [self.nodes.hop(guard)?, self.nodes.hop(middle)?, self.nodes.hop(last)?];
        let request = serde_json::to_vec(request)?;
        let options = WrapOptions { base64: false, ..WrapOptions::default() };
        let wrapped = wrap(&path, &self.nodes.hop(destination)?, &request, options, &mut rand::rng())?;
        let address = self.nodes.nodes.get(guard).ok_or("no such node")?.https_address();
        let begun = Instant::now();
        let answer = self.http.post(format!("https://{address}/onion_req/v2")).body(wrapped.body).send().await?;
        let answer = wrapped.opener.open(&answer.bytes().await?)?;
        let took = begun.elapsed().as_secs_f64();
        if matches!(answer.status, 200 | 421) { Ok(took) } else { Err(format!("{answer:?}").into()) }
    }
}

fn now() -> Result<u64, Box<dyn Error>> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
