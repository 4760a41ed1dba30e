//! What was acknowledged survives the process being killed.
#![cfg(feature = "rocksdb")]

use skep_mailbox::{Put, Query, Record, RocksStore, Store, Writer};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrieveWindow, StoreRequest},
};
use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

const DIRECTORY: &str = "SKEP_TEST_KILL_DIRECTORY";
const NOW: u64 = 1_700_000_000_000;

fn account() -> AccountAddress {
    AccountAddress::from_x25519([3; 32])
}

fn record(number: u64) -> Record {
    Record::new(StoreRequest {
        account: account(),
        namespace: Namespace::DEFAULT,
        timestamp: NOW,
        expiry: NOW + 3_600_000,
        data: number.to_be_bytes().repeat(50),
        auth: None,
        work: None,
    })
}

/// The process that is killed: stores without end and tells each acknowledged hash.
#[test]
#[ignore = "only runs inside `acknowledged_messages_survive_sigkill`"]
fn child() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(RocksStore::open(env::var(DIRECTORY)?.as_ref(), u64::MAX)?);
    let writer = Writer::start(store)?;
    for number in 0.. {
        let record = record(number);
        let hash = record.hash();
        writer.put(record, NOW, move |outcome| {
            if matches!(outcome, Ok(Put::Stored { .. })) {
                let mut out = std::io::stderr().lock();
                let _ = writeln!(out, "stored {hash}").and_then(|()| out.flush());
            }
        });
    }
    Ok(())
}

#[test]
fn acknowledged_messages_survive_sigkill() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut child = Command::new(env::current_exe()?)
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no output")?).lines();
    let mut acknowledged: Vec<MessageHash> = Vec::new();
    while acknowledged.len() < 200 {
        let line = lines.next().ok_or("the child ended early")??;
        acknowledged.extend(line.strip_prefix("stored ").and_then(|hash| hash.parse::<MessageHash>().ok()));
    }
    // On Unix this is SIGKILL: no destructor runs, nothing is flushed.
    child.kill()?;
    child.wait()?;
    for line in lines {
        acknowledged.extend(line?.strip_prefix("stored ").and_then(|hash| hash.parse::<MessageHash>().ok()));
    }

    let store = RocksStore::open(directory.path(), u64::MAX)?;
    let window = RetrieveWindow { count: usize::MAX, size: usize::MAX };
    let query = Query { account: account(), namespace: Namespace::DEFAULT, after: None, window };
    let kept: Vec<_> = store.retrieve(&query, NOW)?.messages.into_iter().map(|message| message.hash).collect();
    assert!(kept.len() >= acknowledged.len());
    assert_eq!(kept[..acknowledged.len()], acknowledged, "all of them, in the order of their arrival");
    Ok(())
}
