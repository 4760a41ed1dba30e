//! From sending a text until the recipient has it and its receipt is on its way, against the sum of its parts.
//!
//! Two clients that stay open, twelve nodes in two swarms and a stand-in for their chain node share this process. The parts,
//! each measured alone right before or after: for the text and for the receipt a proof of work at the client's effort and a
//! deposit through three hops; and two reads through three hops, since a client reads two members.

use crate::{
    Outcome,
    messages::{BYTES, directory},
    nodes::{BLOCK, Nodes, https_client, runtime},
};
use rand::{RngCore, seq::SliceRandom};
use skep_client::{Client, Event, Passphrase, RosterSource};
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
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

const NODES: usize = 12;
/// What a client does for a message unless more is asked of it.
const EFFORT: u32 = 8;
/// Members a client reads.
const READERS: usize = 2;
const HOUR: u64 = 3_600_000;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let name = "send to delivered, asynchronous, vs the sum of its parts";
    if !report.wants(name) {
        return Ok(());
    }
    let runtime = runtime()?;
    let runs = report.runs() * 3;
    let row = runtime.block_on(async {
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

        let mut parts = Parts::new(&nodes)?;
        let (mut whole, mut sums) = (Vec::new(), Vec::new());
        for run in 0..runs {
            if run % 2 == 0 {
                whole.push(deliver(&mut alice, &mut bob, run).await?);
                sums.push(parts.sum().await?);
            } else {
                sums.push(parts.sum().await?);
                whole.push(deliver(&mut alice, &mut bob, run).await?);
            }
        }
        nodes.stop().await;
        let sum = quartiles(&sums).median;
        let ratios = whole.iter().map(|whole| whole / sum).collect();
        let detail = format!("{} against {}", duration(quartiles(&whole).median), duration(sum));
        Ok::<_, Box<dyn Error>>(Row { name: name.to_owned(), aim: Aim::AtMost(1.5), ratios, detail })
    })?;
    Ok(report.tell(&row)?)
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

/// What a delivery is made of.
struct Parts<'a> {
    nodes: &'a Nodes,
    http: reqwest::Client,
    identity: Identity,
}

impl<'a> Parts<'a> {
    fn new(nodes: &'a Nodes) -> Result<Self, Box<dyn Error>> {
        Ok(Self { nodes, http: https_client()?, identity: Identity::generate(&mut rand::rng()) })
    }

    async fn sum(&mut self) -> Result<f64, Box<dyn Error>> {
        let mut sum = 0.0;
        for _ in 0..2 {
            let (request, worked) = self.deposit()?;
            sum += worked + self.ask(request).await?;
        }
        for _ in 0..READERS {
            sum += self.ask(self.read()?).await?;
        }
        Ok(sum)
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
    async fn ask(&self, request: Request) -> Result<f64, Box<dyn Error>> {
        let mut order: Vec<_> = (0..NODES).collect();
        order.shuffle(&mut rand::rng());
        let [guard, middle, last, destination, ..] = *order else { return Err("too few nodes".into()) };
        let path = [self.nodes.hop(guard)?, self.nodes.hop(middle)?, self.nodes.hop(last)?];
        let request = serde_json::to_vec(&request)?;
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
