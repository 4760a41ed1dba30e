//! A store in memory: for tests and simulations.

use crate::{Expired, Page, Put, Query, Record, Store, StoreError, Usage};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage, limits::retrieved_size},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps records in memory.
#[derive(Debug)]
pub struct MemoryStore {
    capacity: u64,
    inner: Mutex<Inner>,
}

type BoxId = (AccountAddress, Namespace);

#[derive(Debug, Default)]
struct Inner {
    arrivals: u64,
    boxes: HashMap<BoxId, BTreeMap<u64, Entry>>,
    positions: HashMap<(BoxId, MessageHash), u64>,
    expiries: BTreeSet<(u64, BoxId, u64)>,
    usage: Usage,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    expiry: u64,
}

impl MemoryStore {
    /// An empty store for `capacity` bytes of data.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, expiry: u64, id: BoxId, position: u64) {
        self.expiries.remove(&(expiry, id, position));
        let Some(entries) = self.boxes.get_mut(&id) else { return };
        if let Some(Entry { record, .. }) = entries.remove(&position) {
            self.positions.remove(&(id, record.hash()));
            self.usage.messages -= 1;
            self.usage.bytes -= record.deposit().data.len() as u64;
        }
        if entries.is_empty() {
            self.boxes.remove(&id);
        }
    }

    fn put(&mut self, record: &Record, now: u64, capacity: u64) -> Put {
        let deposit = record.deposit();
        let id = (deposit.account, deposit.namespace);
        if let Some(&position) = self.positions.get(&(id, record.hash())) {
            let entry = self.boxes.get_mut(&id).and_then(|entries| entries.get_mut(&position));
            if let Some(entry) = entry {
                let known = entry.expiry;
                if known > now {
                    let expiry = known.max(deposit.expiry);
                    entry.expiry = expiry;
                    self.expiries.remove(&(known, id, position));
                    self.expiries.insert((expiry, id, position));
                    return Put::Stored { expiry, already: true };
                }
                self.remove(known, id, position);
            }
        }
        let size = deposit.data.len() as u64;
        if self.usage.bytes.saturating_add(size) > capacity {
            return Put::Full;
        }
        let position = self.arrivals;
        self.arrivals += 1;
        self.positions.insert((id, record.hash()), position);
        self.expiries.insert((deposit.expiry, id, position));
        let expiry = deposit.expiry;
        self.boxes.entry(id).or_default().insert(position, Entry { record: record.clone(), expiry });
        self.usage.messages += 1;
        self.usage.bytes += size;
        Put::Stored { expiry, already: false }
    }
}

impl Store for MemoryStore {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        let mut inner = self.lock();
        Ok(records.iter().map(|record| inner.put(record, now, self.capacity)).collect())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError> {
        let inner = self.lock();
        let id = (query.account, query.namespace);
        let mut page = Page::default();
        let Some(entries) = inner.boxes.get(&id) else { return Ok(page) };
        let after = query
            .after
            .and_then(|hash| inner.positions.get(&(id, hash)))
            .filter(|position| entries.get(position).is_some_and(|entry| entry.expiry > now));
        let start = after.map_or(Bound::Unbounded, |position| Bound::Excluded(*position));
        let mut size = 0;
        for entry in entries.range((start, Bound::Unbounded)).map(|(_, entry)| entry).filter(|entry| entry.expiry > now)
        {
            let deposit = entry.record.deposit();
            size += retrieved_size(deposit.data.len());
            let fits = page.messages.len() < query.window.count && size <= query.window.size;
            if !fits && !page.messages.is_empty() {
                page.more = true;
                break;
            }
            page.messages.push(RetrievedMessage {
                hash: entry.record.hash(),
                timestamp: deposit.timestamp,
                expiration: entry.expiry,
                data: deposit.data.clone(),
            });
        }
        Ok(page)
    }

    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError> {
        let mut inner = self.lock();
        let (mut removed, mut examined) = (0, 0);
        while let Some(&(expiry, id, position)) = inner.expiries.first() {
            examined += 1;
            let more = expiry <= now;
            if !more || removed == limit {
                return Ok(Expired { removed, examined, more });
            }
            inner.remove(expiry, id, position);
            removed += 1;
        }
        Ok(Expired { removed, examined, more: false })
    }

    fn usage(&self) -> Usage {
        self.lock().usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    suite::prove!(|capacity| (MemoryStore::new(capacity), ()));
}
