//! A durable store of 1 KiB by 256 writers at once: against RocksDB by itself, and against SQLite.
//!
//! RocksDB by itself writes, with the options of the message store, keys and values of the same number and length, 128 messages
//! a batch, and syncs each batch: 256 writers give 128 at a time, since one half is written while the other waits.
//!
//! SQLite has the columns and the three indexes of Oxen's storage server (by hash, by expiry, by owner with namespace and
//! time) in a write-ahead log, one transaction a store. At `synchronous=NORMAL` it does not sync a transaction at all.

use crate::{
    Outcome,
    messages::{ACCOUNTS, NOW, directory, records},
    nodes::runtime,
};
use rand::RngCore;
use rocksdb::{DB, WriteBatch};
use rusqlite::{Connection, params};
use skep_mailbox::{Record, RocksStore, Writer, database_options};
use skep_measure::{Aim, Report};
use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::{runtime::Runtime, sync::oneshot};

const WRITERS: usize = 256;
const STORES: usize = 8192;
const BATCH: usize = 128;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let raw = format!("durable store, 1 KiB, {WRITERS} writers, vs RocksDB synced batches");
    let sqlite = |synchronous: &str| format!("durable store, 1 KiB, {WRITERS} writers, vs SQLite {synchronous}");
    if report.wants(&raw) {
        let (ours, theirs) = (Ours::new()?, Raw::open()?);
        report.speed::<Box<dyn Error>>(&raw, Aim::AtLeast(0.85), || ours.store(STORES), || theirs.store(STORES))?;
    }
    for (synchronous, aim, number) in [("FULL", 10.0, 512), ("NORMAL", 2.0, 4096)] {
        if report.wants(&sqlite(synchronous)) {
            let (ours, theirs) = (Ours::new()?, Sqlite::open(synchronous)?);
            let name = sqlite(synchronous);
            report.speed(&name, Aim::AtLeast(aim), || ours.store(STORES), || theirs.store(number))?;
        }
    }
    Ok(())
}

/// The message store with its writer.
pub(crate) struct Ours {
    writer: Arc<Writer>,
    runtime: Runtime,
    _directory: tempfile::TempDir,
}

impl Ours {
    fn new() -> Result<Self, Box<dyn Error>> {
        let directory = directory()?;
        let store = Arc::new(RocksStore::open(&directory.path().join("store"), u64::MAX)?);
        Ok(Self { writer: Arc::new(Writer::start(store)?), runtime: runtime()?, _directory: directory })
    }

    /// Seconds a store.
    fn store(&self, number: usize) -> Result<f64, Box<dyn Error>> {
        let records = records(number);
        let begun = Instant::now();
        self.runtime.block_on(store_all(&self.writer, records, WRITERS))?;
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    }
}

/// Stores all of `records`, `writers` of them at a time, each as the node does it.
pub(crate) async fn store_all(writer: &Arc<Writer>, records: Vec<Record>, writers: usize) -> Outcome {
    let records = Arc::new(Mutex::new(records));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (records, writer) = (Arc::clone(&records), Arc::clone(writer));
            tokio::spawn(async move {
                while let Some(record) = records.lock().ok().and_then(|mut records| records.pop()) {
                    let (done, outcome) = oneshot::channel();
                    writer.put(record, NOW, move |outcome| {
                        let _ = done.send(outcome);
                    });
                    outcome.await.map_err(|_| "the writer ended".to_owned())?.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// RocksDB by itself.
struct Raw {
    db: DB,
    next: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Raw {
    fn open() -> Result<Self, Box<dyn Error>> {
        let directory = directory()?;
        let db = DB::open(&database_options(), directory.path().join("raw"))?;
        Ok(Self { db, next: AtomicU64::new(0), _directory: directory })
    }

    /// Seconds a store.
    fn store(&self, number: usize) -> Result<f64, Box<dyn Error>> {
        let values: Vec<Vec<u8>> = records(number)
            .iter()
            .map(|record| {
                let mut value = vec![0; encoded_len(record)];
                rand::rng().fill_bytes(&mut value);
                value
            })
            .collect();
        let begun = Instant::now();
        for batch in values.chunks(BATCH) {
            let mut written = WriteBatch::default();
            for value in batch {
                let position = self.next.fetch_add(1, Ordering::Relaxed);
                let mut account = [0; 35];
                account[..8].copy_from_slice(&(position % ACCOUNTS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                let place = [&account[..], &position.to_be_bytes()].concat();
                let (hash, bucket) = (value.first_chunk::<32>().ok_or("a short value")?, position / 1000);
                written.put([b"h", &account[..33], hash, &account[33..]].concat(), position.to_be_bytes());
                written.put([b"d", &place[..]].concat(), value);
                written.put([b"e", &bucket.to_be_bytes()[..], &place].concat(), []);
                written.put([b"m", &place[..]].concat(), [7; 68]);
                let name = [b"c", &position.to_be_bytes()[..], hash].concat();
                written.put(name, [b"m", &place[..]].concat());
                // Each account's counts, written once a batch: few of a batch's messages are for the same account.
                written.put([b"q", &account[..33]].concat(), [7; 32]);
            }
            written.put(b"s", [0; 36]);
            self.db.write(written)?;
            self.db.flush_wal(true)?;
        }
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    }
}

/// Bytes of a record on disk: its data, and around it the account, the times and the tags of the fields.
fn encoded_len(record: &Record) -> usize {
    record.deposit().data.len() + 35 + 3 * 7 + 3
}

/// SQLite, as Oxen's storage server keeps messages.
struct Sqlite {
    connection: Connection,
    _directory: tempfile::TempDir,
}

impl Sqlite {
    fn open(synchronous: &str) -> Result<Self, Box<dyn Error>> {
        let directory = directory()?;
        let connection = Connection::open(directory.path().join("messages.sqlite"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("SQLite chose the journal {mode}").into());
        }
        connection.execute_batch(&format!(
            "PRAGMA synchronous = {synchronous};
             CREATE TABLE messages (
                 id INTEGER PRIMARY KEY, hash TEXT NOT NULL, owner BLOB NOT NULL, namespace INTEGER NOT NULL,
                 timestamp INTEGER NOT NULL, expiry INTEGER NOT NULL, data BLOB NOT NULL
             );
             CREATE UNIQUE INDEX messages_hash ON messages (hash);
             CREATE INDEX messages_expiry ON messages (expiry);
             CREATE INDEX messages_owner ON messages (owner, namespace, timestamp);"
        ))?;
        Ok(Self { connection, _directory: directory })
    }

    /// Seconds a store.
    fn store(&self, number: usize) -> Result<f64, Box<dyn Error>> {
        const INSERT: &str = "INSERT INTO messages (hash, owner, namespace, timestamp, expiry, data) \
             VALUES (?, ?, ?, ?, ?, ?)";
        let records = records(number);
        let begun = Instant::now();
        for record in &records {
            let deposit = record.deposit();
            // Outside an explicit transaction, each statement is one.
            self.connection.prepare_cached(INSERT)?.execute(params![
                record.hash().to_string(),
                deposit.account.as_bytes(),
                deposit.namespace.0,
                deposit.timestamp as i64,
                deposit.expiry as i64,
                deposit.data,
            ])?;
        }
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    }
}
