//! Five nodes, each a process with its database on disk; two are killed under load and come back; all are equal again.

use crate::{
    storage::read,
    support::{BLOCK, HEIGHT, Owner, client_of, config, entry, node_key, start_node},
};
use reqwest::Client;
use rustls::version::TLS13;
use serde_json::Value;
use skep_chain_client::RosterView;
use skep_mailbox::RocksStore;
use skep_primitives::RosterSnapshot;
use skep_proto::storage::{HexKey, MemberResult, MessageHash, Method, Request, RetrieveResponse, StoreResponse};
use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
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
const PATIENCE: Duration = Duration::from_secs(90);

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
    let response = client.post(url).body(body).timeout(Duration::from_secs(30)).send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn client(number: usize) -> Client {
    client_of(node_key(number).id(), &[&TLS13])
}

/// Stores messages at these nodes, all at once. Those acknowledged, each with how many members signed for it.
async fn load(owner: &Arc<Owner>, nodes: Vec<(usize, String)>, from: usize, to: usize) -> Vec<(MessageHash, usize)> {
    let mut stores = JoinSet::new();
    for number in from..to {
        let (member, ports) = nodes[number % nodes.len()].clone();
        let owner = Arc::clone(owner);
        stores.spawn(async move {
            let deposit = owner.deposit(&number.to_be_bytes());
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

/// Waits until every node shows all of these.
async fn all_show(owner: &Owner, nodes: &[Process], expected: &BTreeSet<MessageHash>) {
    let until = Instant::now() + PATIENCE;
    for (number, node) in nodes.iter().enumerate() {
        loop {
            let answer = ask(&client(number), &node.ports, Method::Retrieve(owner.retrieval())).await;
            let shown: Option<BTreeSet<_>> = match answer {
                Some((200, page)) => {
                    Some(read::<RetrieveResponse>(page).messages.into_iter().map(|message| message.hash).collect())
                }
                _ => None,
            };
            if shown.as_ref().is_some_and(|shown| expected.is_subset(shown)) {
                break;
            }
            let missing = shown.map(|shown| expected.difference(&shown).count());
            assert!(Instant::now() < until, "node {number} lacks {missing:?} of {}", expected.len());
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_are_killed_under_load_and_all_are_equal_again() -> Outcome {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let owner = Arc::new(Owner::new(50));
    let mut nodes = (0..MEMBERS).map(|number| Process::start(directory, number)).collect::<Outcome<Vec<_>>>()?;
    publish(directory, &nodes, 1)?;
    all_show(&owner, &nodes, &BTreeSet::new()).await;
    let doors = |nodes: &[Process]| nodes.iter().map(|node| node.ports.clone()).enumerate().collect::<Vec<_>>();

    let mut acknowledged = load(&owner, doors(&nodes), 0, 40).await;
    // Under way while two are killed; more while they are away.
    let under_way = load(&owner, doors(&nodes), 40, 80);
    let killing = async {
        sleep(Duration::from_millis(20)).await;
        let [first, second, ..] = &mut nodes[..] else { return Err("five nodes".into()) };
        first.kill()?;
        second.kill()
    };
    let (more, killed): (_, Outcome) = tokio::join!(under_way, killing);
    killed?;
    acknowledged.extend(more);
    let left: Vec<_> = doors(&nodes).split_off(2);
    let away = load(&owner, left, 80, 120).await;
    assert_eq!(away.len(), 40, "three of five serve on");
    assert!(away.iter().all(|(_, signers)| *signers <= 3), "the dead do not sign");
    acknowledged.extend(away);

    for number in [0, 1] {
        nodes[number] = Process::start(directory, number)?;
    }
    publish(directory, &nodes, 2)?;
    let expected: BTreeSet<_> = acknowledged.iter().map(|(hash, _)| *hash).collect();
    assert!(expected.len() >= 80);
    all_show(&owner, &nodes, &expected).await;
    Ok(())
}
