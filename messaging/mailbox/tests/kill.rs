//! What was acknowledged survives the process being killed, and the power failing.
//!
//! A child process stores, deletes and extends without end through the real writer and the real database, and tells each thing
//! that is acknowledged; it is killed at a random moment, again and again on the same directory. `SKEP_KILLS` says how often
//! (`scripts/kills`).
//!
//! A kill leaves in the files what the system has not yet written to the disk. So that this is lost too, the child runs on
//! `skep-lost-power`: after a kill every file ends where it had been synced, and names are those that had been synced.
#![cfg(feature = "rocksdb")]

use skep_lost_power::Disk;
use skep_mailbox::{Put, Query, Record, RocksStore, Store, Writer, give};
use skep_proto::{
    account::AccountAddress,
    storage::{
        Action, Command as Signed, ExpiryMode, Method, Namespace, OwnerAuth, Request, RetrieveWindow, StoreRequest,
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    env,
    error::Error,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const DIRECTORY: &str = "SKEP_TEST_KILL_DIRECTORY";
const FIRST: &str = "SKEP_TEST_KILL_FIRST";
const KILLS: &str = "SKEP_KILLS";
const NOW: u64 = 1_700_000_000_000;
const EXPIRY: u64 = NOW + 3_600_000;
const LATER: u64 = NOW + 7_200_000;

type Outcome = Result<(), Box<dyn Error>>;

fn account() -> AccountAddress {
    AccountAddress::from_x25519([3; 32])
}

fn record(number: u64) -> Record {
    Record::new(StoreRequest {
        account: account(),
        namespace: Namespace::DEFAULT,
        timestamp: NOW,
        expiry: EXPIRY,
        data: number.to_be_bytes().repeat(50),
        auth: None,
        work: None,
    })
}

fn open() -> Result<RocksStore, Box<dyn Error>> {
    Ok(RocksStore::open(Path::new(&env::var_os(DIRECTORY).ok_or("only the parent starts this")?), u64::MAX)?)
}

fn say(what: &str, number: u64) -> Outcome {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{what} {number}")?;
    Ok(out.flush()?)
}

/// The process that is killed.
#[test]
#[ignore = "only runs inside the tests that kill it"]
fn child() -> Outcome {
    let writer = Writer::start(Arc::new(open()?))?;
    let told = |what: &'static str, number| {
        move |is_done: bool| {
            if is_done {
                say(what, number).expect("the parent listens");
            }
        }
    };
    let first: u64 = env::var(FIRST)?.parse()?;
    for number in first.. {
        let done = told("stored", number);
        writer.put(record(number), NOW, move |outcome| done(matches!(outcome, Ok(Put::Stored { .. }))));
        let (what, action) = match number % 10 {
            4 => ("deleted", Action::Delete { messages: vec![record(number - 4).hash()], required: false }),
            9 => {
                let messages = vec![record(number - 2).hash()];
                ("extended", Action::Expire { messages, expiry: vec![LATER], mode: ExpiryMode::Extend })
            }
            _ => continue,
        };
        let about = if what == "deleted" { number - 4 } else { number - 2 };
        let mut signature = [0; 64];
        signature[..8].copy_from_slice(&number.to_be_bytes());
        let auth = OwnerAuth { signature, ed25519_key: None, subaccount: None };
        let order = Signed { account: account(), action, auth };
        let request = serde_json::to_vec(&Request::Single(Method::Command(order.clone())))?;
        let (change, order) = give(&order, request, NOW, &[]).ok_or("may be given")?;
        // From now on it may have happened.
        say("asked", about)?;
        let done = told(what, about);
        writer.change(change, Some(order), NOW, move |outcome| done(outcome.is_ok()));
    }
    Ok(())
}

/// What must never be: it acknowledges what has not been synced.
#[test]
#[ignore = "only runs inside the tests that kill it"]
fn careless_child() -> Outcome {
    let store = open()?;
    for number in 0.. {
        if number == 10 {
            store.sync()?;
        }
        store.put(&[record(number)], NOW)?;
        say("stored", number)?;
    }
    Ok(())
}

/// What has been told.
#[derive(Debug, Default)]
struct Told {
    stored: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    extended: BTreeSet<u64>,
    /// Something may have been done to these.
    asked: BTreeSet<u64>,
    last: u64,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let Some((what, number)) = line.split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        let heard = match what {
            "stored" => &mut self.stored,
            "deleted" => &mut self.deleted,
            "extended" => &mut self.extended,
            "asked" => &mut self.asked,
            _ => return,
        };
        heard.insert(number);
        self.last = self.last.max(number);
    }
}

/// Runs a child until it has told so much more, and kills it; on a disk that loses power then, if there is one.
fn run(child: &str, directory: &Path, disk: Option<&Disk>, told: &mut Told, acknowledged: usize) -> Outcome {
    let enough = told.stored.len() + acknowledged;
    let mut child = Command::new(env::current_exe()?)
        .args([child, "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .envs(disk.map(Disk::environment).transpose()?.into_iter().flatten())
        // A multiple of ten, above all that may have been written.
        .env(FIRST, ((told.last / 10 + 1_000) * 10).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no output")?).lines();
    while told.stored.len() < enough {
        let line = lines.next().ok_or("the child ended early")??;
        told.hear(&line);
    }
    // On Unix this is SIGKILL: no destructor runs, nothing is flushed.
    child.kill()?;
    child.wait()?;
    for line in lines {
        told.hear(&line?);
    }
    Ok(())
}

/// What is in the database: messages by number, and when they expire.
fn kept(directory: &Path) -> Result<HashMap<u64, u64>, Box<dyn Error>> {
    let store = RocksStore::open(directory, u64::MAX)?;
    let window = RetrieveWindow { count: usize::MAX, size: usize::MAX };
    let query = Query { account: account(), namespace: Namespace::DEFAULT, after: None, window };
    let messages = store.retrieve(&query, NOW)?.messages;
    let number = |data: &[u8]| data.first_chunk().map(|number| u64::from_be_bytes(*number));
    Ok(messages.into_iter().filter_map(|message| Some((number(&message.data)?, message.expiration))).collect())
}

fn check(directory: &Path, told: &Told) -> Outcome {
    let kept = kept(directory)?;
    let lost: Vec<_> = told.stored.difference(&told.asked).filter(|number| !kept.contains_key(number)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let back: Vec<_> = told.deleted.iter().filter(|number| kept.contains_key(number)).collect();
    assert!(back.is_empty(), "deleted and there again: {back:?}");
    let both = told.extended.intersection(&told.stored);
    let brief: Vec<_> = both.filter(|number| kept.get(number) != Some(&LATER)).collect();
    assert!(brief.is_empty(), "extended, but not for long: {brief:?}");
    Ok(())
}

/// A number below `end`.
fn random(end: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(0) % end as u64).unwrap_or(0)
}

fn kills() -> usize {
    env::var(KILLS).ok().and_then(|number| number.parse().ok()).unwrap_or(3)
}

#[test]
fn acknowledged_changes_survive_sigkill() -> Outcome {
    let root = tempfile::tempdir()?;
    let directory = root.path().join("messages");
    let mut told = Told::default();
    for _ in 0..kills() {
        run("child", &directory, None, &mut told, 1 + random(200))?;
        check(&directory, &told)?;
    }
    Ok(())
}

#[test]
fn acknowledged_changes_survive_a_loss_of_power() -> Outcome {
    let root = tempfile::tempdir()?;
    let directory = root.path().join("messages");
    let disk = Disk::under(&directory, &root.path().join("notes"))?;
    let (mut told, mut rounds, mut bytes) = (Told::default(), 0, 0);
    for _ in 0..kills() {
        run("child", &directory, Some(&disk), &mut told, 1 + random(200))?;
        let lost = disk.lose_power()?.bytes_of(".log");
        (rounds, bytes) = (rounds + u32::from(lost > 0), bytes + lost);
        check(&directory, &told)?;
    }
    println!("{} losses of power, {rounds} of them took {bytes} bytes of the log; nothing acknowledged", kills());
    Ok(())
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced() -> Outcome {
    let root = tempfile::tempdir()?;
    let directory = root.path().join("messages");
    let disk = Disk::under(&directory, &root.path().join("notes"))?;
    let mut told = Told::default();
    run("careless_child", &directory, Some(&disk), &mut told, 100)?;
    let lost = disk.lose_power()?;
    assert!(lost.bytes_of(".log") > 0, "{lost:?}");
    let kept = kept(&directory)?;
    assert!(told.stored.iter().any(|number| !kept.contains_key(number)), "this test would not notice a missing sync");
    assert!((0..10).all(|number| kept.contains_key(&number)), "what was synced is there");
    Ok(())
}
