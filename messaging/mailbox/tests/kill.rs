//! What was acknowledged survives the process being killed, and the power failing.
//!
//! A child process stores, deletes and extends without end through the real writer and the real database, and tells each thing
//! that is acknowledged; it is killed at a random moment, again and again on the same directory. `SKEP_KILLS` says how often
//! (`scripts/kills`).
//!
//! A kill leaves in the files what the system has not yet written to the disk. So that this is lost too, the child notes how
//! long the database's logs are before each sync, once the database itself has counted that sync; after a kill, the parent
//! goes on with a copy in which every log ends there, or the newest one anywhere behind that. What is appended to a log is thus lost unless a sync begun after that
//! was made. (Sorted files and manifests the database syncs before it refers to them; that is not put to the test here.)
#![cfg(feature = "rocksdb")]

use skep_mailbox::{
    Allowance, Change, Changed, Expired, Fetched, ItemName, NameRange, Order, Page, Put, Query, Quotas, Record,
    RocksStore, Store, StoreError, Tally, Usage, Writer, give,
};
use skep_proto::{
    account::AccountAddress,
    storage::{
        Action, Command as Signed, ExpiryMode, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveWindow,
        RetrievedMessage, StoreRequest, SubaccountToken,
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    env,
    error::Error,
    fs,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
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

/// Where the child notes what has been synced.
fn notes(directory: &Path) -> PathBuf {
    directory.with_extension("synced")
}

/// The lengths of the database's logs.
fn logs(directory: &Path) -> std::io::Result<HashMap<String, u64>> {
    let mut lengths = HashMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The database removes old ones at any time.
        if let (true, Ok(metadata)) = (name.ends_with(".log"), entry.metadata()) {
            lengths.insert(name, metadata.len());
        }
    }
    Ok(lengths)
}

/// The store, and a note of what of it is on disk.
#[derive(Debug)]
struct Noting {
    store: RocksStore,
    directory: PathBuf,
}

impl Noting {
    fn open() -> Result<Arc<Self>, Box<dyn Error>> {
        let directory = PathBuf::from(env::var(DIRECTORY)?);
        Ok(Arc::new(Self { store: RocksStore::open(&directory, u64::MAX)?, directory }))
    }

    fn note(&self, lengths: &HashMap<String, u64>) -> std::io::Result<()> {
        let lines: Vec<_> = lengths.iter().map(|(name, length)| format!("{name} {length}\n")).collect();
        let draft = notes(&self.directory).with_extension("draft");
        fs::write(&draft, lines.concat())?;
        fs::rename(draft, notes(&self.directory))
    }
}

/// Passes these on to the store.
macro_rules! pass_on {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?;)*) => {
        $(fn $name(&self $(, $argument: $type)*) $(-> $result)? {
            self.store.$name($($argument),*)
        })*
    };
}

impl Store for Noting {
    /// More may be written meanwhile, so what is noted is what was there before.
    fn sync(&self) -> Result<(), StoreError> {
        let (syncs, lengths) = (self.store.log_syncs(), logs(&self.directory).expect("the directory is read"));
        self.store.sync()?;
        if syncs < self.store.log_syncs() {
            self.note(&lengths).expect("the note is written");
        }
        Ok(())
    }

    pass_on! {
        fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError>;
        fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError>;
        fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError>;
        fn message(
            &self, account: &AccountAddress, namespace: Namespace, hash: &MessageHash, now: u64
        ) -> Result<Option<RetrievedMessage>, StoreError>;
        fn expiries(
            &self, account: &AccountAddress, messages: &[MessageHash], now: u64
        ) -> Result<Vec<(MessageHash, u64)>, StoreError>;
        fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError>;
        fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError>;
        fn tally(&self, range: &NameRange) -> Result<Tally, StoreError>;
        fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError>;
        fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError>;
        fn has(&self, name: &ItemName) -> Result<bool, StoreError>;
        fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError>;
        fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError>;
        fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError>;
        fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError>;
        fn usage(&self) -> Usage;
        fn set_quotas(&self, quotas: Quotas);
    }
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
    let writer = Writer::start(Noting::open()?)?;
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
    let store = Noting::open()?;
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

/// Runs a child until it has told so much more, and kills it.
fn run(child: &str, directory: &Path, told: &mut Told, acknowledged: usize) -> Outcome {
    let enough = told.stored.len() + acknowledged;
    let mut child = Command::new(env::current_exe()?)
        .args([child, "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
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

/// What is found of a log beyond what was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Lost,
    /// It ends anywhere, most often within an entry.
    Torn,
}

/// A copy of the database without what had not been synced, or all of it.
fn after_power_loss(directory: &Path, copy: &Path, rest: Rest) -> Outcome {
    let synced: HashMap<String, u64> = fs::read_to_string(notes(directory))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, length)| Some((name.to_owned(), length.parse().ok()?)))
        .collect();
    fs::create_dir(copy)?;
    let logs = logs(directory)?;
    let length_of = |name: &str| synced.get(name).copied().unwrap_or(0);
    // A log is begun once the one before is complete.
    let newest = logs.keys().max();
    let are_whole = logs.iter().all(|(name, length)| Some(name) == newest || length_of(name) == *length);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut bytes = fs::read(entry.path())?;
        if name.ends_with(".log") {
            let length = usize::try_from(length_of(&name))?;
            let is_torn = rest == Rest::Torn && are_whole && Some(&name) == newest;
            let more = if is_torn { random(bytes.len().saturating_sub(length) + 1) } else { 0 };
            bytes.truncate(length + more);
        }
        fs::write(copy.join(name), bytes)?;
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
        run("child", &directory, &mut told, 1 + random(200))?;
        check(&directory, &told)?;
    }
    Ok(())
}

#[test]
fn acknowledged_changes_survive_a_loss_of_power() -> Outcome {
    let root = tempfile::tempdir()?;
    let mut directory = root.path().join("messages-0");
    let mut told = Told::default();
    for number in 1..=kills() {
        run("child", &directory, &mut told, 1 + random(200))?;
        let copy = root.path().join(format!("messages-{number}"));
        after_power_loss(&directory, &copy, if number % 2 == 0 { Rest::Lost } else { Rest::Torn })?;
        fs::remove_dir_all(&directory)?;
        check(&copy, &told)?;
        directory = copy;
    }
    Ok(())
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced() -> Outcome {
    let root = tempfile::tempdir()?;
    let (directory, copy) = (root.path().join("messages"), root.path().join("copy"));
    let mut told = Told::default();
    run("careless_child", &directory, &mut told, 100)?;
    after_power_loss(&directory, &copy, Rest::Lost)?;
    let kept = kept(&copy)?;
    assert!(told.stored.iter().any(|number| !kept.contains_key(number)), "this test would not notice a missing sync");
    Ok(())
}
