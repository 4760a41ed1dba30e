//! Messages to store, and a large store of them.

use rand::RngCore;
use skep_mailbox::{Query, Record, RocksStore, Store};
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, RetrieveWindow, StoreRequest},
};
use std::{
    cell::OnceCell,
    env,
    error::Error,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The clock of these rows (ms).
pub(crate) const NOW: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
/// Bytes of a message.
pub(crate) const BYTES: usize = 1024;
/// Mailboxes of [`records`].
pub(crate) const ACCOUNTS: u64 = 1000;
/// Messages in each mailbox of a large store.
pub(crate) const EACH: u64 = 100;

/// A directory on the disk the programs are on: a file system in memory would not sync.
pub(crate) fn directory() -> Result<TempDir, Box<dyn Error>> {
    let program = env::current_exe()?;
    let folder = program.parent().ok_or("the program is in no folder")?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(folder)?)
}

/// Account `number`, whose place in the database nobody could guess from it.
pub(crate) fn account(number: u64) -> AccountAddress {
    let mut key = [0; 32];
    for (part, seed) in key.chunks_exact_mut(8).zip(1_u64..) {
        part.copy_from_slice(&number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    }
    AccountAddress::from_x25519(key)
}

/// A message nobody has stored before.
pub(crate) fn record(account: AccountAddress, expiry: u64) -> Record {
    let mut data = vec![0; BYTES];
    rand::rng().fill_bytes(&mut data);
    Record::new(StoreRequest {
        account,
        namespace: Namespace::DEFAULT,
        timestamp: NOW,
        expiry,
        data,
        auth: None,
        work: None,
    })
}

/// Messages of many accounts that last long.
pub(crate) fn records(number: usize) -> Vec<Record> {
    (0..number as u64).map(|number| record(account(number % ACCOUNTS), NOW + 300 * HOUR)).collect()
}

/// Reads a whole mailbox of a large store.
pub(crate) fn query(number: u64) -> Query {
    Query {
        account: account(number),
        namespace: Namespace::DEFAULT,
        after: None,
        window: RetrieveWindow { count: EACH as usize, size: usize::MAX },
    }
}

/// A store on disk with many messages, all of which expire within two hours. It is made once, when a row first needs it.
pub(crate) struct Large {
    messages: u64,
    made: OnceCell<TempDir>,
}

impl Large {
    pub(crate) const fn new(messages: u64) -> Self {
        Self { messages, made: OnceCell::new() }
    }

    /// Makes one: the messages of a mailbox did not come one after the other.
    fn make(&self) -> Result<TempDir, Box<dyn Error>> {
        const BATCH: u64 = 500;
        let directory = directory()?;
        let store = RocksStore::open(directory.path(), u64::MAX)?;
        let accounts = self.accounts();
        let mut made = 0;
        while made < self.messages {
            let batch = made..self.messages.min(made + BATCH);
            let records: Vec<_> =
                batch.clone().map(|number| record(account(number % accounts), NOW + HOUR + number % HOUR)).collect();
            store.put(&records, NOW)?;
            made = batch.end;
        }
        store.sync()?;
        // So that no row pays for what making it left to do.
        store.compact()?;
        Ok(directory)
    }

    pub(crate) fn open(&self) -> Result<RocksStore, Box<dyn Error>> {
        Ok(RocksStore::open(self.path()?, u64::MAX)?)
    }

    pub(crate) fn path(&self) -> Result<&Path, Box<dyn Error>> {
        if self.made.get().is_none() {
            // Nobody else has set it meanwhile: this is no shared value.
            let _ = self.made.set(self.make()?);
        }
        Ok(self.made.get().ok_or("the store was not made")?.path())
    }

    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn accounts(&self) -> u64 {
        (self.messages / EACH).max(1)
    }

    /// When all of it has expired.
    pub(crate) const fn end() -> u64 {
        NOW + 3 * HOUR
    }
}

/// A program built beside this one.
pub(crate) fn program(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let path = env::current_exe()?.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(format!("{} is not built", path.display()).into()) }
}
