//! A store whose disk keeps only what was synced, and perhaps a little more.

use rand::Rng;
use skep_mailbox::{
    Allowance, Change, Changed, Expired, Fetched, ItemName, MemoryStore, NameRange, Order, Page, Put, Query, Quotas,
    Record, Store, StoreError, Tally, Usage,
};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage, SubaccountToken},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in memory and the log it is made of again after a crash, as a database with a write-ahead log is.
///
/// A crash tears what was being written. RocksDB writes a batch as one entry of its log, under a checksum, and reads the log
/// up to the first entry that is not whole: of what was not synced a beginning is found, and the entry that was torn is gone
/// as a whole. So it is here, where each put (of one record, as members put them), change and round of expiry is such an
/// entry. The tests of `skep-mailbox` cut the real log off where it was synced (`tests/kill.rs`); that a torn entry behind that
/// is gone as a whole is RocksDB's word.
#[derive(Debug)]
pub(crate) struct Disk {
    quotas: Quotas,
    now: MemoryStore,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    writes: Vec<Write>,
    synced: usize,
}

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<Record>, u64),
    Change(Box<(Change, Option<Order>)>, u64),
    Expire(u64, usize),
}

impl Disk {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self { quotas, now: MemoryStore::new(quotas), log: Mutex::default() }
    }

    /// The disk as it is found after a crash: of what was not synced, a beginning is there.
    pub(crate) fn crash(&mut self, rng: &mut impl Rng) {
        let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner);
        let kept = rng.random_range(log.synced..=log.writes.len());
        log.writes.truncate(kept);
        log.synced = kept;
        let store = MemoryStore::new(self.quotas);
        for write in &log.writes {
            let again = match write {
                Write::Put(records, now) => store.put(records, *now).map(drop),
                Write::Change(what, now) => store.change(&what.0, what.1.as_ref(), *now).map(drop),
                Write::Expire(now, limit) => store.expire(*now, *limit).map(drop),
            };
            debug_assert!(again.is_ok(), "memory does not fail");
        }
        // What is found on a disk lies there.
        let _ = store.sync();
        self.now = store;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Disk {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        self.log().writes.push(Write::Put(records.to_vec(), now));
        self.now.put(records, now)
    }

    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError> {
        self.log().writes.push(Write::Change(Box::new((change.clone(), order.cloned())), now));
        self.now.change(change, order, now)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut log = self.log();
        log.synced = log.writes.len();
        self.now.sync()
    }

    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError> {
        self.log().writes.push(Write::Expire(now, limit));
        self.now.expire(now, limit)
    }

    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError> {
        self.now.retrieve(query, now)
    }

    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        self.now.expiries(account, messages, now)
    }

    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError> {
        self.now.revoked(account)
    }

    fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError> {
        self.now.newest(change, now)
    }

    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError> {
        self.now.tally(range)
    }

    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        self.now.names(range, limit)
    }

    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        self.now.cuts(range, parts)
    }

    fn has(&self, name: &ItemName) -> Result<bool, StoreError> {
        self.now.has(name)
    }

    fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError> {
        self.now.fetch(name, now)
    }

    fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        self.now.token_orders(account, now)
    }

    fn usage(&self) -> Usage {
        self.now.usage()
    }

    fn message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError> {
        self.now.message(account, namespace, hash, now)
    }

    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError> {
        self.now.allowance(account)
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.now.set_quotas(quotas);
    }
}
