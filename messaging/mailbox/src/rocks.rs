//! A store on RocksDB.

mod accounts;
mod change;
mod inspect;
mod keys;
mod read;
mod replicate;
mod sums;
mod unsynced;
mod words;

use crate::{
    Allowance, Change, Changed, Expired, Fetched, ItemName, NameRange, Order, Page, Part, Put, Query, Quotas, Record,
    Standing, Store, StoreError, Tally, Usage,
    deposits::{Known, choose},
    ruling::Ruling,
};
pub use accounts::Recount;
use accounts::{Counts, Shift};
use keys::{
    BoxId, FORMAT, Meta, Place, STATE, State, TalliesKey, UPGRADING, bucket_of, bucket_start, last_expired, read_expiry,
};
use prost::Message;
use read::Entries;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, IteratorMode, Options, ReadOptions,
    SnapshotWithThreadMode, WriteBatch,
};
use skep_proto::{
    account::AccountAddress,
    peer,
    storage::{MessageHash, Namespace, RetrievedMessage, SubaccountToken, limits::retrieved_size},
};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use sums::Sums;
use unsynced::Unsynced;
use words::Word;

pub use inspect::{Contents, Fault, FaultKind};

/// Cache for blocks read, indexes and filters included.
const BLOCK_CACHE_BYTES: usize = 4 << 20;
/// What is collected in memory before it is sorted into a file; two of these at most.
const WRITE_BUFFER_BYTES: usize = 4 << 20;
/// Logs are let go beyond this.
const MAX_LOG_BYTES: u64 = 16 << 20;
const MAX_OPEN_FILES: i32 = 128;
/// What part of a write buffer tells which keys are in it: ten bits a key where messages are small.
const WRITE_BUFFER_FILTER: f64 = 0.02;
const PUT: &str = "write messages";

/// Keeps records on disk. What [`Store::sync`] has returned for survives a crash of process and machine.
///
/// One batch is written at a time, but neither readers nor [`Store::sync`] wait for that.
pub struct RocksStore {
    db: DB,
    quotas: Mutex<Quotas>,
    /// Held by who writes, from what the batch was made from until it is written.
    counts: Mutex<Counts>,
    /// As of the last batch.
    state: Mutex<State>,
    sums: RwLock<Sums>,
    /// Positions before this one have been synced.
    synced: AtomicU64,
    unsynced: Unsynced,
}

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A node runs on it.
    #[error("the message store at {0} is in use by a running node. Stop that node first")]
    InUse(PathBuf),
    /// There is none.
    #[error("there is no message store at {0}")]
    Missing(PathBuf),
    /// Missing rights, a full disk, or damage.
    #[error("cannot open the message store at {path}: {reason}. Is the disk full? May this user write there?")]
    Database {
        /// Where it was sought.
        path: PathBuf,
        /// The database's words.
        reason: String,
    },
    /// Written by another version of this software.
    #[error(
        "the message store at {path} has format {found}, this version reads {FORMAT}. Use the version that wrote it"
    )]
    Format {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its own account of itself cannot be read.
    #[error("the message store at {0} is damaged. Restore it or start with an empty directory")]
    Damaged(PathBuf),
}

impl RocksStore {
    /// Opens the store at `path`, which is made if it is not there, within `quotas`.
    pub fn open(path: &Path, quotas: impl Into<Quotas>) -> Result<Self, OpenError> {
        let failed = |error: rocksdb::Error| {
            let reason = error.into_string();
            // RocksDB has no kind of its own for a lock that somebody else holds.
            match reason.contains("lock hold by") || reason.contains("While lock file") {
                true => OpenError::InUse(path.into()),
                false => OpenError::Database { path: path.into(), reason },
            }
        };
        let db = DB::open(&database_options(), path).map_err(failed)?;
        let mut is_old = false;
        let state = match db.get(STATE).map_err(failed)?.map(|bytes| State::read(&bytes)) {
            None => State::default(),
            Some(Some((found, Some(state)))) => {
                is_old = found < FORMAT || db.get_pinned(UPGRADING).map_err(failed)?.is_some();
                state
            }
            Some(Some((found, None))) => return Err(OpenError::Format { path: path.into(), found }),
            Some(None) => return Err(OpenError::Damaged(path.into())),
        };
        let (quotas, synced) = (Mutex::new(quotas.into()), AtomicU64::new(state.next));
        let (counts, state, sums) = (Mutex::default(), Mutex::new(state), RwLock::default());
        let unsynced = Unsynced::default();
        let store = Self { db, quotas, counts, state, sums, synced, unsynced };
        if is_old {
            store.upgrade().map_err(|_| OpenError::Damaged(path.into()))?;
        }
        store.count_names().map_err(|_| OpenError::Damaged(path.into()))?;
        Ok(store)
    }

    /// Opens the store at `path` to look after it: nothing is made where there is none, and it takes no bounds.
    ///
    /// # Errors
    /// See [`OpenError`]; above all, a node that runs on it.
    pub fn open_existing(path: &Path) -> Result<Self, OpenError> {
        // RocksDB names its current manifest in this file; without it, opening would begin a new database.
        if !path.join("CURRENT").is_file() {
            return Err(OpenError::Missing(path.into()));
        }
        Self::open(path, u64::MAX)
    }

    fn quotas(&self) -> Quotas {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a batch about so many messages.
    fn pending(&self, messages: usize) -> Pending<'_> {
        let counts = self.counts();
        Pending {
            store: self,
            counts,
            state: self.state(),
            batch: WriteBatch::default(),
            known: HashMap::with_capacity(messages),
            brings_paid: false,
            shifts: HashMap::with_capacity(messages),
            names: Vec::with_capacity(messages),
            lives: Vec::new(),
            words: HashMap::new(),
            scoped: HashMap::new(),
            orders: HashMap::new(),
        }
    }

    /// Where a message of one box is, and what is told of it.
    fn find(&self, id: &BoxId, hash: &MessageHash) -> Result<Option<(u64, Meta)>, StoreError> {
        let position = self.db.get_pinned(id.by_hash(hash)).map_err(failed("look up a message"))?;
        position.map(|position| self.read_found(id, &position)).transpose()
    }

    /// What stands under a message's hash, followed to its entry.
    fn read_found(&self, id: &BoxId, position: &[u8]) -> Result<(u64, Meta), StoreError> {
        let position = read_position(position)?;
        let meta = self.read_meta(id, position)?.ok_or(StoreError::Damaged("a message's entry"))?;
        Ok((position, meta))
    }

    fn read_meta(&self, id: &BoxId, position: u64) -> Result<Option<Meta>, StoreError> {
        let bytes = self.db.get_pinned(id.meta(position)).map_err(failed("read a message's entry"))?;
        bytes.map(|bytes| Meta::read(&bytes).ok_or(StoreError::Damaged("a message's entry"))).transpose()
    }
}

/// What a store opens its database with, for tools that look at one, or compare with one.
pub fn database_options() -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_bloom_filter(10.0, false);
    // In parts, so that looking up one key reads a block of each, not a MiB for a file of 64.
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&tables);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    // Whether a message is there already is asked for each, and mostly it is not.
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(WRITE_BUFFER_FILTER);
    options.set_max_total_wal_size(MAX_LOG_BYTES);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    // Messages are ciphertext; keys and entries are not.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

fn failed(doing: &'static str) -> impl Fn(rocksdb::Error) -> StoreError {
    move |error| StoreError::Database { doing, reason: error.into_string() }
}

fn read_position(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged("a message's position"))
}

/// When a message expires stands in its entry only.
fn on_disk(record: &Record) -> Vec<u8> {
    record.to_wire().encode_to_vec()
}

/// Puts that are not written yet: what a later record of the same batch must see.
struct Pending<'a> {
    store: &'a RocksStore,
    counts: MutexGuard<'a, Counts>,
    state: State,
    batch: WriteBatch,
    known: HashMap<(BoxId, MessageHash), (u64, Meta)>,
    /// One of those was paid for.
    brings_paid: bool,
    /// How the counts of accounts change, by where those stand.
    shifts: HashMap<TalliesKey, Shift>,
    names: Vec<NameChange>,
    /// Messages that get a longer life, by position, and when they would expire without it.
    lives: Vec<(u64, u64)>,
    /// What is said by orders from now on, by keys; what has changed of it.
    words: HashMap<Vec<u8>, Vec<Word>>,
    /// What kept orders say of all messages of a box, once it has been asked.
    scoped: HashMap<BoxId, Vec<Ruling>>,
    /// Number and bytes of the orders of accounts that have lost or got some.
    orders: HashMap<AccountAddress, (u64, u64)>,
}

/// What happens to a name.
#[derive(Clone, Copy, Debug)]
enum NameChange {
    Comes(ItemName),
    Goes(ItemName),
}

impl Pending<'_> {
    fn find(&self, id: BoxId, hash: MessageHash) -> Result<Option<(u64, Meta)>, StoreError> {
        if let Some(known) = self.known.get(&(id, hash)) {
            return Ok(Some(*known));
        }
        self.store.find(&id, &hash)
    }

    /// Whether putting `record` may need work that this very batch has brought.
    fn may_lend(&self, record: &Record) -> bool {
        let deposit = record.deposit();
        let known = || self.known.get(&(BoxId::new(&deposit.account, deposit.namespace), record.hash()));
        self.brings_paid
            && record.standing() == Standing::Unproven
            && known().is_some_and(|(_, meta)| meta.standing == Standing::Proven)
    }

    /// Puts a record that lasts until `expiry`.
    fn put(&mut self, record: &Record, expiry: u64, now: u64) -> Result<Put, StoreError> {
        let deposit = record.deposit();
        let id = BoxId::new(&deposit.account, deposit.namespace);
        if let Some((position, meta)) = self.find(id, record.hash())? {
            if meta.expiry > now {
                let Meta { timestamp, deposited, standing, .. } = meta;
                let known = Known { expiry: meta.expiry, timestamp, deposited, standing };
                let read = || self.store.read_record(&id, position)?.ok_or(StoreError::Damaged("a message"));
                let Some((record, expiry)) = choose(record, expiry, &known, read)? else {
                    return Ok(Put::Stored { expiry: meta.expiry, already: true });
                };
                let standing = record.standing();
                if !self.restand(&id, &meta, standing)? {
                    return Ok(Put::Stored { expiry: meta.expiry, already: true });
                }
                self.batch.put(id.data(position), on_disk(&record));
                let (timestamp, deposited) = (record.deposit().timestamp, record.deposit().expiry);
                let better = Meta { expiry, timestamp, deposited, standing, ..meta };
                self.rename(&id, position, &meta, &better);
                self.enter(id, position, better, Some(&meta));
                return Ok(Put::Stored { expiry, already: true });
            }
            self.remove(&id, position, &meta);
        }
        let (size, standing) = (deposit.data.len() as u64, record.standing());
        if !self.allowance(&id)?.holds(standing, size) {
            return Ok(Put::Full);
        }
        let position = self.state.next;
        self.state.next += 1;
        self.count(&id, standing, size);
        let meta = Meta {
            hash: record.hash(),
            timestamp: deposit.timestamp,
            sent: deposit.timestamp,
            expiry,
            deposited: deposit.expiry,
            bucket: 0,
            // A message has 76,800 bytes at most.
            size: u32::try_from(size).unwrap_or(u32::MAX),
            standing,
        };
        self.batch.put(id.by_hash(&record.hash()), position.to_be_bytes());
        self.batch.put(id.data(position), on_disk(record));
        self.name(record.name(), Place::Message(id, position));
        self.enter(id, position, meta, None);
        Ok(Put::Stored { expiry, already: false })
    }

    /// Another deposit of the same message is kept.
    fn rename(&mut self, id: &BoxId, position: u64, old: &Meta, new: &Meta) {
        if let (Some(old), Some(new)) = (old.name(id), new.name(id))
            && old != new
        {
            self.unname(old);
            self.name(new, Place::Message(*id, position));
        }
    }

    fn name(&mut self, name: ItemName, place: Place) {
        self.batch.put(keys::name(&name), place.to_bytes());
        self.names.push(NameChange::Comes(name));
    }

    fn unname(&mut self, name: ItemName) {
        self.batch.delete(keys::name(&name));
        self.names.push(NameChange::Goes(name));
    }

    /// Writes a message's entry and puts it into the bucket of its expiry.
    fn enter(&mut self, id: BoxId, position: u64, meta: Meta, old: Option<&Meta>) {
        // Buckets that have been emptied are not looked at again.
        let bucket = bucket_of(meta.expiry).max(self.state.first_bucket);
        let meta = Meta { bucket, ..meta };
        if old.map(|old| old.bucket) != Some(bucket) {
            if let Some(old) = old {
                self.batch.delete(id.expiry(old.bucket, position));
            }
            self.batch.put(id.expiry(bucket, position), []);
        }
        self.lives.extend(old.filter(|old| old.expiry < meta.expiry).map(|old| (position, old.expiry)));
        self.batch.put(id.meta(position), meta.to_bytes());
        self.brings_paid |= meta.standing == Standing::Proven;
        self.known.insert((id, meta.hash), (position, meta));
    }

    fn remove(&mut self, id: &BoxId, position: u64, meta: &Meta) {
        self.batch.delete(id.by_hash(&meta.hash));
        self.batch.delete(id.meta(position));
        self.batch.delete(id.data(position));
        self.batch.delete(id.expiry(meta.bucket, position));
        if let Some(name) = meta.name(id) {
            self.unname(name);
        }
        self.known.remove(&(*id, meta.hash));
        self.discount(id, meta.standing, meta.size.into());
    }

    fn write(mut self, doing: &'static str) -> Result<(), StoreError> {
        let changed = self.write_counts()?;
        self.write_words();
        self.batch.put(STATE, self.state.to_bytes());
        let comes = |change: &NameChange| match change {
            NameChange::Comes(name) => Some(*name),
            NameChange::Goes(_) => None,
        };
        let names: Vec<_> = self.names.iter().filter_map(comes).collect();
        self.store.unsynced.begin(&names, &self.lives);
        let written = self.store.db.write(self.batch).map_err(failed(doing));
        self.store.unsynced.end(&names, &self.lives);
        written?;
        self.counts.learn_mail(changed);
        self.counts.learn_orders(self.orders);
        self.store.count(&self.names);
        self.store.set_state(self.state);
        Ok(())
    }
}

impl Store for RocksStore {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        let mut pending = self.pending(records.len());
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            let Some(expiry) = pending.admitted_until(record, now)? else {
                outcomes.push(Put::Gone);
                continue;
            };
            if record.deposit().namespace.is_public_outbox() {
                // What lies in an outbox is found in the database, so all that came before must be there.
                pending.write(PUT)?;
                pending = self.pending(records.len());
                if !pending.has_room(record)? {
                    outcomes.push(Put::Full);
                    continue;
                }
                if !pending.clear_outbox(record, now)? {
                    outcomes.push(Put::Gone);
                    continue;
                }
            }
            if pending.may_lend(record) {
                pending.write(PUT)?;
                pending = self.pending(records.len());
            }
            outcomes.push(pending.put(record, expiry, now)?);
        }
        pending.write(PUT)?;
        Ok(outcomes)
    }

    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError> {
        let has_room = match order {
            Some(order) => self.make_room_for(order)?,
            None => true,
        };
        let mut pending = self.pending(0);
        let changed = pending.change(change, now)?;
        if let (Some(order), true) = (order, has_room) {
            pending.remember(order, change)?;
        }
        pending.write("change a mailbox")?;
        Ok(if has_room { changed } else { Changed::Unkept(Box::new(changed)) })
    }

    fn change_part(&self, change: &Change, from: Option<Vec<u8>>, now: u64) -> Result<Part, StoreError> {
        let mut pending = self.pending(0);
        let part = pending.change_part(change, from, now)?;
        pending.write("change a part of a mailbox")?;
        Ok(part)
    }

    fn sync(&self) -> Result<(), StoreError> {
        // What is written from now on may or may not be synced with it.
        let (reached, number) = (self.state().next, self.unsynced.begin_sync());
        self.db.flush_wal(true).map_err(failed("sync messages to disk"))?;
        self.synced.fetch_max(reached, Ordering::Release);
        self.unsynced.end_sync(number);
        Ok(())
    }

    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError> {
        let id = BoxId::new(&query.account, query.namespace);
        let synced = self.synced.load(Ordering::Acquire);
        let snapshot = self.db.snapshot();
        let after = match query.after {
            Some(hash) => cursor(&snapshot, &id, &hash)?.filter(|position| *position < synced),
            None => None,
        };
        let mut entries = Entries::new(&snapshot, &id, after.unwrap_or(0)..synced);
        if after.is_some() {
            let (_, meta) = entries.next()?.ok_or(StoreError::Damaged("a message's entry"))?;
            if meta.expiry <= now {
                // It is not there any more.
                entries = Entries::new(&snapshot, &id, 0..synced);
            }
        }
        let (mut shown, mut size, mut more) = (Vec::new(), 0, false);
        while let Some((position, meta)) = entries.next()? {
            if meta.expiry <= now {
                continue;
            }
            size += retrieved_size(meta.size as usize);
            let fits = shown.len() < query.window.count && size <= query.window.size;
            if !fits && !shown.is_empty() {
                more = true;
                break;
            }
            shown.push((position, meta));
        }
        self.unsynced.settle(now, shown.iter_mut().map(|(position, meta)| (*position, &mut meta.expiry)));
        Ok(Page { messages: read::messages(&snapshot, &id, &shown)?, more })
    }

    fn message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError> {
        let id = BoxId::new(account, namespace);
        let synced = self.synced.load(Ordering::Acquire);
        let found = self.find(&id, hash)?.filter(|(position, meta)| *position < synced && meta.expiry > now);
        let Some((position, mut meta)) = found else { return Ok(None) };
        self.unsynced.settle(now, [(position, &mut meta.expiry)].into_iter());
        let data = self.db.get_pinned(id.data(position)).map_err(failed("read a message"))?;
        shown(&meta, data.as_deref()).map(Some)
    }

    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        let synced = self.synced.load(Ordering::Acquire);
        let mut expiries = Vec::new();
        for hash in messages {
            let mut found = self.find_everywhere(account, hash)?;
            found.retain(|(_, position, meta)| *position < synced && meta.expiry > now);
            self.unsynced.settle(now, found.iter_mut().map(|(_, position, meta)| (*position, &mut meta.expiry)));
            expiries.extend(found.iter().map(|(.., meta)| (*hash, meta.expiry)));
        }
        Ok(expiries)
    }

    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError> {
        Ok(self.revocations(account)?.into_iter().map(|(_, token)| token).collect())
    }

    fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.concerned(change, now)?.into_iter().map(|(.., meta)| meta.timestamp).max())
    }

    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError> {
        self.tally_names(range)
    }

    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        self.read_names(range, limit)
    }

    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        self.cut_names(range, parts)
    }

    fn has(&self, name: &ItemName) -> Result<bool, StoreError> {
        let found = self.db.get_pinned(keys::name(name)).map_err(failed("look up a name"))?;
        Ok(found.is_some() && !self.unsynced.has_name(name))
    }

    fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError> {
        match self.place(name)? {
            Some(Place::Message(id, position)) => self.fetch_message(&id, position, now),
            Some(Place::Order(account, signature)) => {
                let order = self.fetch_order(&account, &signature)?;
                Ok(order.filter(|order| order.expiry() > now).map(Fetched::Order))
            }
            None => Ok(None),
        }
    }

    fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        self.orders_about_tokens(account, now)
    }

    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError> {
        self.expire_orders(now, limit)?;
        let mut pending = self.pending(0);
        let state = pending.state;
        let end = last_expired(now).saturating_add(1);
        if end <= state.first_bucket {
            return Ok(Expired { removed: 0, examined: 0, more: false });
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(bucket_start(state.first_bucket)..bucket_start(end));
        let mut expired = Expired { removed: 0, examined: 0, more: false };
        let mut reached = end;
        for entry in self.db.iterator_opt(IteratorMode::Start, bounds) {
            let (key, _) = entry.map_err(failed("look for expired messages"))?;
            expired.examined += 1;
            let (bucket, id, position) = read_expiry(&key).ok_or(StoreError::Damaged("an expiry"))?;
            if expired.removed == limit {
                expired.more = true;
                reached = bucket;
                break;
            }
            let meta = self.read_meta(&id, position)?.ok_or(StoreError::Damaged("a message's entry"))?;
            pending.remove(&id, position, &meta);
            expired.removed += 1;
        }
        pending.state.first_bucket = reached;
        if pending.state != state {
            pending.write("remove expired messages")?;
        }
        Ok(expired)
    }

    fn usage(&self) -> Usage {
        self.state().kept
    }

    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError> {
        let mailbox = self.tallies(&keys::tallies(account))?;
        Ok(self.state().allowance(self.quotas(), mailbox))
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = quotas;
    }
}

/// A message as it is shown, from its entry and what lies on disk.
fn shown(meta: &Meta, data: Option<&[u8]>) -> Result<RetrievedMessage, StoreError> {
    let record = data.and_then(|data| peer::Store::decode(data).ok()).ok_or(StoreError::Damaged("a message"))?;
    let Meta { hash, sent: timestamp, expiry: expiration, .. } = *meta;
    Ok(RetrievedMessage { hash, timestamp, expiration, data: record.data.into() })
}

/// The position of a message.
fn cursor(
    snapshot: &SnapshotWithThreadMode<'_, DB>,
    id: &BoxId,
    hash: &MessageHash,
) -> Result<Option<u64>, StoreError> {
    let position = snapshot.get_pinned(id.by_hash(hash)).map_err(failed("look up a message"))?;
    position.map(|position| read_position(&position)).transpose()
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;
    use tempfile::tempdir;

    suite::prove!(|capacity| {
        let directory = tempdir().unwrap();
        (RocksStore::open(directory.path(), capacity).unwrap(), directory)
    });

    #[test]
    fn everything_is_there_after_reopening() {
        let directory = tempdir().unwrap();
        let records: Vec<_> = (0..10).map(|number| suite::record(1, 0, number, 1_000_000)).collect();
        let usage = {
            let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
            store.put(&records[..5], 0).unwrap();
            store.sync().unwrap();
            store.usage()
        };
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        assert_eq!(store.usage(), usage);
        store.put(&records[3..], 0).unwrap();
        store.sync().unwrap();
        let page = store.retrieve(&suite::query(1, 0), 0).unwrap();
        let order: Vec<_> = page.messages.iter().map(|message| message.hash).collect();
        assert_eq!(order, records.iter().map(Record::hash).collect::<Vec<_>>(), "arrival goes on where it stopped");
    }

    #[test]
    fn a_mailbox_is_changed_in_parts_as_at_once() {
        use crate::{Change, Changed};
        use skep_proto::storage::Scope;
        let records: Vec<_> =
            (0..2_000).map(|number| suite::record(1, (number % 3) as i16, number, 500 + number)).collect();
        let (account, scope) = (suite::account(1), Scope::All);
        let limit = Change::LimitExpiry { account, scope, expiry: 1_000, at: 10 };
        for change in [limit, Change::DeleteSent { account, scope, until: 7 }] {
            let outcomes = [false, true].map(|in_parts| {
                let directory = tempdir().unwrap();
                let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
                store.put(&records, 0).unwrap();
                let (mut touched, mut next, mut parts) = (Vec::new(), in_parts.then(Vec::new), 0);
                while next.is_some() {
                    let part = store.change_part(&change, next.filter(|_| parts > 0), 20).unwrap();
                    touched.extend(part.touched);
                    parts += 1;
                    next = part.next;
                }
                assert!(!in_parts || parts > 2);
                let Changed::Messages(last) = store.change(&change, None, 20).unwrap() else { panic!("messages") };
                assert!(!in_parts || last.is_empty());
                touched.extend(last);
                store.sync().unwrap();
                let mut faults = Vec::new();
                store.verify(&mut |fault| faults.push(fault.kind)).unwrap();
                assert_eq!(faults, []);
                (touched, store.names(&NameRange::ALL, usize::MAX).unwrap(), store.usage())
            });
            assert_eq!(outcomes[0], outcomes[1]);
            assert!(!outcomes[0].0.is_empty());
        }
    }

    #[test]
    fn formats_before_are_brought_up_to_date() {
        // The first two numbers tell where to go on; what was counted otherwise is counted anew.
        for (format, counted) in
            [(keys::FORMAT_4, &[5, 5 * 8 + 300, 5 * 8][..]), (keys::FORMAT_5, &[9; 5]), (keys::FORMAT_6, &[9; 6])]
        {
            is_brought_up_to_date(format, counted);
        }
    }

    fn is_brought_up_to_date(format: u32, counted: &[u64]) {
        use crate::{Change, Order};
        use skep_proto::storage::{Access, SubaccountToken};
        let directory = tempdir().unwrap();
        let records: Vec<_> = (0..5).map(|number| suite::record(number, 0, 1, 1_000_000)).collect();
        let orders = |store: &RocksStore| store.allowance(&suite::account(1)).unwrap().orders;
        let before = {
            let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
            store.put(&records, 0).unwrap();
            for number in 1..4 {
                let (account, signature) = (suite::account(number / 2), [number; 64]);
                let tokens = vec![SubaccountToken::new(5, Access::READ, &[number; 32])];
                let change = Change::Revoke { account, tokens, at: 5, given: 5 };
                let order = Order { account, signature, request: vec![7; 100], at: 5 };
                store.change(&change, Some(&order), 5).unwrap();
            }
            let allowance = store.allowance(&suite::account(1)).unwrap();
            let state = store.state();
            assert_eq!(state.revocations, 3);
            let numbers: Vec<_> = [&[state.next, state.first_bucket], counted].concat();
            let numbers: Vec<_> = numbers.into_iter().map(u64::to_be_bytes).collect();
            let old = [&format.to_be_bytes()[..], numbers.as_flattened()].concat();
            let mut batch = WriteBatch::default();
            batch.put(STATE, old);
            batch.delete_range(b"v", b"x");
            // Left by an upgrade that was cut short.
            batch.put(keys::order_holder(u64::MAX, &suite::account(9)), []);
            batch.put(keys::revocation_holder(u64::MAX, &suite::account(9)), []);
            store.db.write(batch).unwrap();
            allowance
        };
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        assert_eq!(store.allowance(&suite::account(1)).unwrap(), before);
        assert_eq!((orders(&store), store.state().revocations), (3 * (crate::RECORD_BYTES + 400), 3));
        let mut faults = Vec::new();
        store.verify(&mut |fault| faults.push(fault.kind)).unwrap();
        let wrong = |fault: &FaultKind| {
            matches!(fault, FaultKind::OrderCount | FaultKind::RevocationCount | FaultKind::Count { .. })
        };
        assert!(!faults.iter().any(wrong), "{faults:?}");
        drop(store);
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        assert_eq!((orders(&store), store.usage()), (before.orders, Usage { messages: 5, bytes: 40 }));
    }

    #[test]
    fn another_format_and_damage_are_named() {
        let directory = tempdir().unwrap();
        let write_state = |bytes: &[u8]| {
            let db = DB::open(&database_options(), directory.path()).unwrap();
            db.put(STATE, bytes).unwrap();
        };
        write_state(&[0, 0, 0, 9]);
        let open = || RocksStore::open(directory.path(), 0).unwrap_err();
        assert!(matches!(open(), OpenError::Format { found: 9, .. }));
        write_state(&[0, 0]);
        assert!(matches!(open(), OpenError::Damaged(_)));
    }

    #[test]
    fn a_store_in_use_is_not_opened_twice() {
        let directory = tempdir().unwrap();
        let _store = RocksStore::open(directory.path(), 0).unwrap();
        assert!(matches!(RocksStore::open(directory.path(), 0), Err(OpenError::InUse(_))));
        assert!(matches!(RocksStore::open_existing(directory.path()), Err(OpenError::InUse(_))));
    }

    #[test]
    fn looking_after_a_store_makes_none() {
        let directory = tempdir().unwrap();
        let nowhere = directory.path().join("none");
        assert!(matches!(RocksStore::open_existing(&nowhere), Err(OpenError::Missing(_))));
        assert!(!nowhere.exists());
    }
}
