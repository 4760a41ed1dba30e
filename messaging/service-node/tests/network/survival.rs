//! Five nodes, each a process with its database on disk; two are killed under load and come back; all are equal again.

use crate::{
    storage::read,
    support::{BLOCK, HEIGHT, LONG, Owner, client_of, config, entry, node_key, now_ms, start_node},
};
use reqwest::Client;
use rustls::version::TLS13;
use serde_json::Value;
use skep_chain_client::RosterView;
use skep_mailbox::{NameRange, RocksStore, Store, Tally};
use skep_primitives::RosterSnapshot;
use skep_proto::storage::{
    Action, Command as SignedCommand, CommandResponse, ExpiryMode, HexKey, MemberResult, MessageHash, Method, Request,
    RetrieveResponse, StoreRequest, StoreResponse, signed,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};

const DIRECTORY: &str = "SKEP_TEST_SURVIVAL_DIRECTORY";
const NUMBER: &str = "SKEP_TEST_SURVIVAL_NUMBER";
const MEMBERS: usize = 5;
/// A loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(300);
const HOUR: u64 = 3_600_000;
/// How long those messages live that end during the test, in ms.
const BRIEF: u64 = 20_000;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where nodes read the ports of all: one line a node.
fn roster_file(directory: &Path) -> PathBuf {
    directory.join("roster")
}

fn parse(roster: &str) -> Option<RosterView> {
    let mut nodes = Vec::new();
    for (number, line) in roster.lines().enumerate() {
        let (https, quic) = line.split_once(' ')?;
        nodes.push(entry(&node_key(number), https.parse().ok()?, quic.parse().ok()?, 0));
    }
    // Each change of it is a later roster.
    let height = HEIGHT + u32::try_from(roster.len()).ok()?;
    (nodes.len() == MEMBERS).then(|| RosterView::new(RosterSnapshot { height, block_hash: BLOCK, nodes }))
}

/// The process that is killed: a node on a database of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only runs inside `two_of_five_are_killed_under_load_and_all_are_equal_again`"]
async fn child() -> Outcome {
    let directory = PathBuf::from(env::var(DIRECTORY)?);
    let number: usize = env::var(NUMBER)?.parse()?;
    let store = Arc::new(RocksStore::open(&directory.join(format!("messages-{number}")), u64::MAX)?);
    let empty = RosterView::new(RosterSnapshot { height: 0, block_hash: BLOCK, nodes: Vec::new() });
    let (views, receiver) = watch::channel(Arc::new(empty));
    let node = start_node(&config("replication = { interval_seconds = 1 }"), &node_key(number), receiver, store).await;
    let ports = format!("ports {} {}", node.https_address().port(), node.quic_address().port());
    writeln!(std::io::stderr(), "{ports}")?;
    let mut known = String::new();
    loop {
        let roster = fs::read_to_string(roster_file(&directory)).unwrap_or_default();
        if let (true, Some(view)) = (roster != known, parse(&roster)) {
            known = roster;
            views.send_replace(Arc::new(view));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A node's process.
struct Process {
    child: Child,
    ports: String,
}

impl Process {
    fn start(directory: &Path, number: usize) -> Outcome<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["survival::child", "--exact", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(NUMBER, number.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no output")?).lines();
        let ports = loop {
            let line = lines.next().ok_or("the node ended early")??;
            if let Some(ports) = line.strip_prefix("ports ") {
                break ports.to_owned();
            }
        };
        // Whatever else it says is read, so that it does not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, ports })
    }

    fn kill(&mut self) -> Outcome {
        // On Unix this is SIGKILL.
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The roster is replaced as a whole; every change makes it longer, so that it counts as later.
fn publish(directory: &Path, nodes: &[Process], turn: usize) -> Outcome {
    let lines: Vec<_> = nodes.iter().map(|node| format!("{}\n", node.ports)).collect();
    let draft = directory.join("draft");
    let roster = lines.concat();
    // Leading noughts say nothing but that this one is later.
    let padded = roster.replacen(' ', &format!(" {}", "0".repeat(64 * turn)), 1);
    fs::write(&draft, padded)?;
    fs::rename(draft, roster_file(directory))?;
    Ok(())
}

async fn ask(client: &Client, node: &str, method: Method) -> Option<(u16, Value)> {
    let https = node.split_once(' ')?.0;
    let body = serde_json::to_vec(&Request::Single(method)).ok()?;
    let url = format!("https://127.0.0.1:{https}/storage_rpc/v1");
    let response = client.post(url).body(body).timeout(LONG).send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn client(number: usize) -> Client {
    client_of(node_key(number).id(), &[&TLS13])
}

/// Stores messages at these nodes, all at once. Those acknowledged, each with how many members signed for it.
async fn load(
    owner: &Arc<Owner>,
    nodes: Vec<(usize, String)>,
    numbers: Range<usize>,
    expiry: u64,
) -> Vec<(MessageHash, usize)> {
    let mut stores = JoinSet::new();
    for number in numbers {
        let (member, ports) = nodes[number % nodes.len()].clone();
        let owner = Arc::clone(owner);
        stores.spawn(async move {
            let deposit = StoreRequest { expiry, ..owner.deposit(&number.to_be_bytes()) };
            let hash = MessageHash::of(&deposit.account, deposit.namespace, &deposit.data);
            let (status, answer) = ask(&client(member), &ports, Method::Store(deposit)).await?;
            let swarm = (status == 200).then(|| read::<StoreResponse>(answer).swarm)?;
            let signers = swarm.values().filter(|result| matches!(result, MemberResult::Done(_))).count();
            let own = swarm.get(&HexKey(node_key(member).id().0));
            matches!(own, Some(MemberResult::Done(_))).then_some((hash, signers))
        });
    }
    stores.join_all().await.into_iter().flatten().collect()
}

/// What a client has been told.
#[derive(Default)]
struct Told {
    /// Stored for an hour, or until later.
    stored: BTreeMap<MessageHash, u64>,
    /// Stored for seconds.
    brief: BTreeSet<MessageHash>,
    removed: BTreeSet<MessageHash>,
}

impl Told {
    /// Whether a mailbox is as was told. What was stored without an acknowledgement may be there or not.
    fn is_true(&self, mailbox: &Mailbox) -> bool {
        self.stored.iter().all(|(hash, expiry)| mailbox.get(hash) == Some(expiry))
            && !self.removed.iter().chain(&self.brief).any(|hash| mailbox.contains_key(hash))
    }
}

/// Messages by hash, and until when they are kept.
type Mailbox = BTreeMap<MessageHash, u64>;

/// What a node shows the owner; none if it does not answer.
async fn mailbox(owner: &Owner, number: usize, node: &Process) -> Option<Mailbox> {
    let (200, page) = ask(&client(number), &node.ports, Method::Retrieve(owner.retrieval())).await? else {
        return None;
    };
    let page: RetrieveResponse = read(page);
    assert!(!page.more, "one page is enough for this test");
    Some(page.messages.into_iter().map(|message| (message.hash, message.expiration)).collect())
}

/// Waits until all nodes show the same, and what a client has been told. How many messages that are.
async fn all_equal(owner: &Owner, nodes: &[Process], told: &Told) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut shown = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            shown.push(mailbox(owner, number, node).await);
        }
        if let [Some(first), others @ ..] = &shown[..]
            && others.iter().flatten().filter(|other| *other == first).count() == MEMBERS - 1
            && told.is_true(first)
        {
            return first.len();
        }
        let counts: Vec<_> = shown.iter().map(|shown| shown.as_ref().map(Mailbox::len)).collect();
        let true_of: Vec<_> =
            shown.iter().map(|shown| shown.as_ref().is_some_and(|shown| told.is_true(shown))).collect();
        assert!(Instant::now() < until, "nodes show {counts:?} messages, as was told: {true_of:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Gives an order about messages to one node, which must have carried it out.
async fn order(owner: &Owner, (member, ports): &(usize, String), action: Action) -> Outcome {
    let auth = owner.auth(&signed::command(&action), now_ms()).auth;
    let command = Method::Command(SignedCommand { account: owner.account(), action, auth });
    let (status, answer) = ask(&client(*member), ports, command).await.ok_or("no answer")?;
    assert_eq!(status, 200, "{answer}");
    let swarm = read::<CommandResponse>(answer).swarm;
    assert!(matches!(swarm.get(&HexKey(node_key(*member).id().0)), Some(MemberResult::Done(_))), "{swarm:?}");
    Ok(())
}

/// What a stopped node's database has: how many names, messages as well as orders, and their sum. Equal sets have equal sums.
fn tally(directory: &Path, number: usize, now: u64) -> Outcome<Tally> {
    let store = RocksStore::open(&directory.join(format!("messages-{number}")), u64::MAX)?;
    while store.expire(now, 1_000)?.more {}
    Ok(store.tally(&NameRange::ALL)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_are_killed_under_load_and_all_are_equal_again() -> Outcome {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let owner = Arc::new(Owner::new(50));
    let mut nodes = (0..MEMBERS).map(|number| Process::start(directory, number)).collect::<Outcome<Vec<_>>>()?;
    publish(directory, &nodes, 1)?;
    let mut told = Told::default();
    all_equal(&owner, &nodes, &told).await;
    let doors = |nodes: &[Process]| nodes.iter().map(|node| node.ports.clone()).enumerate().collect::<Vec<_>>();

    let hour = now_ms() + HOUR;
    let before = load(&owner, doors(&nodes), 0..40, hour).await;
    let soon = now_ms() + BRIEF;
    let brief = load(&owner, doors(&nodes), 1_000..1_010, soon).await;
    println!("5 members: {} messages acknowledged, {} more that end in {} s", before.len(), brief.len(), BRIEF / 1_000);
    told.brief.extend(brief.iter().map(|(hash, _)| *hash));
    // Under way while two are killed; more while they are away.
    let under_way = load(&owner, doors(&nodes), 40..80, hour);
    let killing = async {
        sleep(Duration::from_millis(20)).await;
        let [first, second, ..] = &mut nodes[..] else { return Err("five nodes".into()) };
        first.kill()?;
        second.kill()
    };
    let (amid, killed): (_, Outcome) = tokio::join!(under_way, killing);
    killed?;
    println!("members 1 and 2 are killed while 40 more are stored: {} acknowledged", amid.len());
    let left = doors(&nodes).split_off(2);
    let away = load(&owner, left.clone(), 80..120, hour).await;
    assert_eq!(away.len(), 40, "three of five serve on");
    assert!(away.iter().all(|(_, signers)| *signers <= 3), "the dead do not sign");
    println!("3 members: {} messages acknowledged", away.len());
    told.stored.extend(before.iter().chain(&amid).chain(&away).map(|(hash, _)| (*hash, hour)));

    // Of each kind some are removed, and some are kept for longer.
    let (mut removed, mut extended) = (Vec::new(), Vec::new());
    for kind in [&before, &amid, &away] {
        let mut hashes = kind.iter().map(|(hash, _)| *hash);
        removed.extend(hashes.by_ref().take(5));
        extended.extend(hashes.take(5));
    }
    let later = hour + HOUR;
    order(&owner, &left[0], Action::Delete { messages: removed.clone(), required: false }).await?;
    let extension = Action::Expire { messages: extended.clone(), expiry: vec![later], mode: ExpiryMode::Extend };
    order(&owner, &left[1], extension).await?;
    println!("3 members: {} of the messages are removed, {} kept for an hour longer", removed.len(), extended.len());
    told.stored.extend(extended.iter().map(|hash| (*hash, later)));
    told.stored.retain(|hash, _| !removed.contains(hash));
    told.removed.extend(removed);

    for number in [0, 1] {
        nodes[number] = Process::start(directory, number)?;
    }
    publish(directory, &nodes, 2)?;
    let begun = Instant::now();
    assert!(told.stored.len() >= 65);
    let shown = all_equal(&owner, &nodes, &told).await;
    println!(
        "members 1 and 2 are started again: after {:.1} s all 5 show the same {shown} messages with the same ends",
        begun.elapsed().as_secs_f64()
    );
    println!("    {} acknowledged ones are among them; none of those removed, none of those ended", told.stored.len());

    drop(nodes);
    // One time for all, at which whatever was to end has ended: what expires goes by the minute.
    let now = now_ms().max(soon + 60_000);
    let tallies = (0..MEMBERS).map(|number| tally(directory, number, now)).collect::<Outcome<Vec<_>>>()?;
    for (number, tally) in (1..).zip(&tallies) {
        println!(
            "database of member {number}: {} messages and orders, sum {}",
            tally.count,
            hex::encode(&tally.sum()[..8])
        );
    }
    assert!(tallies.iter().all(|tally| *tally == tallies[0]), "the databases differ: {tallies:?}");
    // The orders are there too.
    assert!(tallies[0].count > shown as u64);
    Ok(())
}
