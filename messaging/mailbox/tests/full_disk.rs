//! A disk that takes no more: stores are refused, nothing acknowledged is lost, reads go on, and with room made and the store
//! opened again (the node restarted) all goes on.
//!
//! Each test starts a child process for which the disk is full in truth: the system lets its files grow no longer, or they
//! are on a small file system of their own.
#![cfg(all(feature = "rocksdb", target_os = "linux"))]

use skep_mailbox::{Put, Query, Record, RocksStore, Store, WriteError, Writer};
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, RetrieveWindow, StoreRequest},
};
use std::{
    env,
    error::Error,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
};

const DIRECTORY: &str = "SKEP_TEST_FULL_DIRECTORY";
/// The shell command that ends the lack of room.
const MAKE_ROOM: &str = "SKEP_TEST_FULL_MAKE_ROOM";
const NOW: u64 = 1_700_000_000_000;
const BYTES: usize = 16 * 1024;
/// Far more than there is room for.
const ENOUGH: u64 = 4_000;

type Outcome = Result<(), Box<dyn Error>>;

/// A message that begins with its number, and that compression makes no smaller.
fn record(number: u64) -> Record {
    let word = |place: u64| BuildHasherDefault::<DefaultHasher>::default().hash_one((number, place));
    let noise = (1..BYTES as u64 / 8).map(word);
    let data = [number].into_iter().chain(noise).flat_map(u64::to_be_bytes).collect();
    Record::new(StoreRequest {
        account: AccountAddress::from_x25519([3; 32]),
        namespace: Namespace::DEFAULT,
        timestamp: NOW,
        expiry: NOW + 3_600_000,
        data,
        auth: None,
        work: None,
    })
}

/// Stores a message, and waits until it is acknowledged or refused.
fn put(writer: &Writer, number: u64) -> Result<Put, WriteError> {
    let (told, outcome) = mpsc::channel();
    writer.put(record(number), NOW, move |outcome| {
        // If nobody waits any more, this test has failed already.
        let _ = told.send(outcome);
    });
    outcome.recv().unwrap_or(Err(WriteError::Closed))
}

/// The numbers of the messages that are shown.
fn shown(store: &RocksStore) -> Result<Vec<u64>, Box<dyn Error>> {
    let window = RetrieveWindow { count: usize::MAX, size: usize::MAX };
    let account = AccountAddress::from_x25519([3; 32]);
    let query = Query { account, namespace: Namespace::DEFAULT, after: None, window };
    let number = |data: &[u8]| data.first_chunk().map(|number| u64::from_be_bytes(*number));
    Ok(store.retrieve(&query, NOW)?.messages.iter().filter_map(|message| number(&message.data)).collect())
}

fn assert_shown(store: &RocksStore, acknowledged: &[u64], when: &str) -> Outcome {
    let shown = shown(store)?;
    let lost: Vec<_> = acknowledged.iter().filter(|number| !shown.contains(number)).collect();
    assert!(lost.is_empty(), "{when}: acknowledged and lost: {lost:?}");
    Ok(())
}

/// The process whose disk is full.
#[test]
#[ignore = "only runs inside the tests that limit it"]
fn child() -> Outcome {
    let directory = env::var(DIRECTORY)?;
    let mut acknowledged = Vec::new();
    {
        let store = Arc::new(RocksStore::open(Path::new(&directory), u64::MAX)?);
        let writer = Writer::start(Arc::clone(&store) as Arc<dyn Store>)?;
        let refusal = (0..ENOUGH).find_map(|number| match put(&writer, number) {
            Ok(_) => {
                acknowledged.push(number);
                None
            }
            Err(refusal) => Some(refusal),
        });
        let refusal = refusal.ok_or("the disk was never full")?;
        assert!(!acknowledged.is_empty(), "something had room");
        assert!(matches!(refusal, WriteError::Store(_)), "{refusal}");
        assert!(refusal.to_string().contains("Check the disk and restart the node"), "{refusal}");
        assert_shown(&store, &acknowledged, "while the disk is full")?;
        for number in ENOUGH..ENOUGH + 20 {
            // Some of them may have room in what was set aside.
            if put(&writer, number).is_ok() {
                acknowledged.push(number);
            }
        }
        assert_shown(&store, &acknowledged, "while the disk is still full")?;

        let made = Command::new("sh").args(["-c", &env::var(MAKE_ROOM)?]).status()?;
        assert!(made.success(), "no room was made");
        let resumed = put(&writer, 2 * ENOUGH);
        if resumed.is_ok() {
            acknowledged.push(2 * ENOUGH);
        }
        assert_shown(&store, &acknowledged, "with room made")?;
        let (stored, resumed) = (acknowledged.len(), resumed.map(|_| "stores again"));
        writeln!(std::io::stderr(), "{stored} acknowledged; {refusal}; with room made: {resumed:?}")?;
    }
    let store = Arc::new(RocksStore::open(Path::new(&directory), u64::MAX)?);
    assert_shown(&store, &acknowledged, "opened again")?;
    let writer = Writer::start(Arc::clone(&store) as Arc<dyn Store>)?;
    for number in 3 * ENOUGH..3 * ENOUGH + 20 {
        assert!(matches!(put(&writer, number)?, Put::Stored { already: false, .. }));
        acknowledged.push(number);
    }
    assert_shown(&store, &acknowledged, "opened again and written to")
}

/// Runs the child by `program`, to which the child's command line is appended.
fn run(mut program: Command, directory: &Path, make_room: &str) -> Outcome {
    let ended = program
        .arg(env::current_exe()?)
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(MAKE_ROOM, make_room)
        .stdin(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stdout));
    writeln!(std::io::stderr(), "{told}")?;
    Ok(())
}

#[test]
fn files_that_cannot_grow_lose_nothing() -> Outcome {
    let root = tempfile::tempdir()?;
    let mut limited = Command::new("sh");
    // A MiB a file; a write beyond it is an error, not the end of the process.
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\""]);
    run(limited, &root.path().join("messages"), "prlimit --pid $PPID --fsize=unlimited")
}

#[test]
fn a_full_disk_loses_nothing() -> Outcome {
    let root = tempfile::tempdir()?;
    let may_mount = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none"])
        .arg(root.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|ended| ended.success());
    if !may_mount {
        writeln!(std::io::stderr(), "skipped: this user may not mount a file system of its own")?;
        return Ok(());
    }
    let mut mounted = Command::new("unshare");
    mounted.args([
        "-rm",
        "sh",
        "-c",
        "mount -t tmpfs -o size=12m none \"$SKEP_TEST_FULL_DIRECTORY\" && exec \"$0\" \"$@\"",
    ]);
    run(mounted, root.path(), "mount -o remount,size=64m \"$SKEP_TEST_FULL_DIRECTORY\"")
}
