//! A durable store of 1 KiB by 256 writers at once: against RocksDB by itself, and against SQLite.
//!
//! RocksDB by itself writes, with the options of the message store, keys and values of the same number and length, and syncs
//! each batch. As many writers wait for it, through the same queue, and are woken when theirs is on disk: what waits is one
//! batch, of 128 messages at most, as in the message store.
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
    iter,
    ops::RangeFrom,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
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
        let (ours, theirs) = (Ours::new()?, Raw::start()?);
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
    let writer = Arc::clone(writer);
    give_all(records, writers, move |record, done| {
        writer.put(record, NOW, move |outcome| {
            let _ = done.send(outcome.map(drop).map_err(|error| error.to_string()));
        });
    })
    .await
}

/// Who waits for something to be on disk.
type Done = oneshot::Sender<Result<(), String>>;

/// Gives away all of `things`, `writers` of them at a time: each waits until its own is on disk.
async fn give_all<T: Send + 'static>(
    things: Vec<T>,
    writers: usize,
    give: impl Fn(T, Done) + Clone + Send + 'static,
) -> Outcome {
    let things = Arc::new(Mutex::new(things));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (things, give) = (Arc::clone(&things), give.clone());
            tokio::spawn(async move {
                while let Some(thing) = things.lock().ok().and_then(|mut things| things.pop()) {
                    let (done, outcome) = oneshot::channel();
                    give(thing, done);
                    outcome.await.map_err(|_| "the writer ended".to_owned())??;
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

/// RocksDB by itself, with a thread that writes to it.
struct Raw {
    queue: SyncSender<(Vec<u8>, Done)>,
    runtime: Runtime,
    _directory: tempfile::TempDir,
}

impl Raw {
    fn start() -> Result<Self, Box<dyn Error>> {
        let directory = directory()?;
        let db = DB::open(&database_options(), directory.path().join("raw"))?;
        let (queue, waiting) = sync_channel(WRITERS);
        thread::Builder::new().name("raw-writer".into()).spawn(move || write_raw(&db, &waiting))?;
        Ok(Self { queue, runtime: runtime()?, _directory: directory })
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
        let queue = self.queue.clone();
        let begun = Instant::now();
        self.runtime.block_on(give_all(values, WRITERS, move |value, done| {
            // Where the thread has ended, who waits is told by the loss of `done`.
            let _ = queue.send((value, done));
        }))?;
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    }
}

/// Writes what waits, syncs it, and says so, again and again.
fn write_raw(db: &DB, waiting: &Receiver<(Vec<u8>, Done)>) {
    let mut positions = 0..;
    while let Ok(first) = waiting.recv() {
        let batch: Vec<_> = iter::once(first).chain(waiting.try_iter().take(BATCH - 1)).collect();
        let (values, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let written = write_batch(db, &values, &mut positions).map_err(|error| error.to_string());
        for done in waiting {
            let _ = done.send(written.clone());
        }
    }
}

fn write_batch(db: &DB, values: &[Vec<u8>], positions: &mut RangeFrom<u64>) -> Outcome {
    let mut written = WriteBatch::default();
    for (value, position) in values.iter().zip(positions) {
        let mut account = [0; 35];
        account[..8].copy_from_slice(&(position % ACCOUNTS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let place = [&account[..], &position.to_be_bytes()].concat();
        let hash = value.first_chunk::<32>().ok_or("a short value")?;
        written.put([b"h", &account[..33], hash, &account[33..]].concat(), position.to_be_bytes());
        written.put([b"d", &place[..]].concat(), value);
        // All expire within the same minute, and names sort by account: so it is with ours.
        written.put([b"e", &[7; 8][..], &place].concat(), []);
        written.put([b"m", &place[..]].concat(), [7; 69]);
        let name = [b"c", &account[..8], hash].concat();
        written.put(name, [b"m", &place[..]].concat());
        // The counts of its account, which are written once a batch: hardly two of a batch are for the same.
        written.put([b"q", &account[..33]].concat(), [7; 32]);
    }
    written.put(b"s", [0; 44]);
    db.write(written)?;
    Ok(db.flush_wal(true)?)
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
