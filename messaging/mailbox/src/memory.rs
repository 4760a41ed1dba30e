//! A store in memory: for tests and simulations.

use crate::{
    Allowance, Change, Changed, Expired, Fetched, Item, Order, Page, Put, Query, Quotas, Record, Standing, Store,
    StoreError, Tallies, Touched, Usage,
    store::{REVOCATION_BYTES, is_wanted, nth_expiry, outlived},
};
use skep_proto::{
    account::AccountAddress,
    storage::{
        ExpiryMode, MessageHash, Namespace, RetrievedMessage, Scope, SubaccountToken,
        limits::{MAX_REVOCATIONS, retrieved_size},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps records in memory.
#[derive(Debug)]
pub struct MemoryStore {
    quotas: Quotas,
    inner: Mutex<Inner>,
}

type BoxId = (AccountAddress, Namespace);

#[derive(Debug, Default)]
struct Inner {
    arrivals: u64,
    boxes: BTreeMap<BoxId, BTreeMap<u64, Entry>>,
    positions: HashMap<(BoxId, MessageHash), u64>,
    expiries: BTreeSet<(u64, BoxId, u64)>,
    orders: BTreeMap<(AccountAddress, [u8; 64]), Order>,
    /// The newest last.
    revoked: HashMap<AccountAddress, Vec<(u64, SubaccountToken)>>,
    usage: Usage,
    /// Bytes of all unproven mail.
    unproven: u64,
    mailboxes: HashMap<AccountAddress, Tallies>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    expiry: u64,
}

impl MemoryStore {
    /// An empty store within `quotas`.
    pub fn new(quotas: impl Into<Quotas>) -> Self {
        Self { quotas: quotas.into(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn allowance(&self, account: &AccountAddress, quotas: Quotas) -> Allowance {
        let mailbox = self.mailboxes.get(account).copied().unwrap_or_default();
        Allowance { quotas, mailbox, total: self.usage.bytes, unproven_total: self.unproven }
    }

    fn count(&mut self, record: &Record) {
        let size = record.deposit().data.len() as u64;
        self.mailboxes.entry(record.deposit().account).or_default().enter(record.standing(), size);
        self.usage.messages += 1;
        self.usage.bytes += size;
        if record.standing() == Standing::Unproven {
            self.unproven += size;
        }
    }

    fn discount(&mut self, record: &Record) {
        let (account, size) = (record.deposit().account, record.deposit().data.len() as u64);
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.leave(record.standing(), size);
            if *mailbox == Tallies::default() {
                self.mailboxes.remove(&account);
            }
        }
        self.usage.messages -= 1;
        self.usage.bytes -= size;
        if record.standing() == Standing::Unproven {
            self.unproven -= size;
        }
    }

    fn remove(&mut self, expiry: u64, id: BoxId, position: u64) {
        self.expiries.remove(&(expiry, id, position));
        let Some(entries) = self.boxes.get_mut(&id) else { return };
        let removed = entries.remove(&position);
        if entries.is_empty() {
            self.boxes.remove(&id);
        }
        if let Some(Entry { record, .. }) = removed {
            self.positions.remove(&(id, record.hash()));
            self.discount(&record);
        }
    }

    fn put(&mut self, record: &Record, now: u64, quotas: Quotas) -> Put {
        let deposit = record.deposit();
        let id = (deposit.account, deposit.namespace);
        if let Some(&position) = self.positions.get(&(id, record.hash())) {
            let entry = self.boxes.get_mut(&id).and_then(|entries| entries.get_mut(&position));
            if let Some(entry) = entry {
                let known = entry.expiry;
                if known > now {
                    let expiry = known.max(record.expiry());
                    entry.expiry = expiry;
                    self.expiries.remove(&(known, id, position));
                    self.expiries.insert((expiry, id, position));
                    self.prove(id, position, record, quotas);
                    return Put::Stored { expiry, already: true };
                }
                self.remove(known, id, position);
            }
        }
        let size = deposit.data.len() as u64;
        if !self.allowance(&deposit.account, quotas).holds(record.standing(), size) {
            return Put::Full;
        }
        if deposit.namespace.is_public_outbox() {
            for (_, position, expiry) in self.select(&deposit.account, Scope::One(deposit.namespace), |_| true) {
                self.remove(expiry, id, position);
            }
        }
        let position = self.arrivals;
        self.arrivals += 1;
        self.positions.insert((id, record.hash()), position);
        let expiry = record.expiry();
        self.expiries.insert((expiry, id, position));
        self.boxes.entry(id).or_default().insert(position, Entry { record: record.clone(), expiry });
        self.count(record);
        Put::Stored { expiry, already: false }
    }

    /// A message kept unproven has come again, perhaps with work.
    fn prove(&mut self, id: BoxId, position: u64, record: &Record, quotas: Quotas) {
        let may_prove = self.allowance(&id.0, quotas).may_prove(record.deposit().data.len() as u64);
        let entry = self.boxes.get_mut(&id).and_then(|entries| entries.get_mut(&position));
        let Some(entry) = entry.filter(|entry| entry.record.standing() == Standing::Unproven) else { return };
        if may_prove && record.standing() == Standing::Proven {
            let known = std::mem::replace(&mut entry.record, record.clone());
            self.discount(&known);
            self.count(record);
        }
    }

    fn select(
        &self,
        account: &AccountAddress,
        scope: Scope,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<(BoxId, u64, u64)> {
        let in_scope = |namespace: Namespace| scope == Scope::All || scope == Scope::One(namespace);
        let boxes = self.boxes.iter().filter(|((owner, namespace), _)| owner == account && in_scope(*namespace));
        boxes
            .flat_map(|(id, entries)| entries.iter().map(move |(position, entry)| (*id, *position, entry)))
            .filter(|(.., entry)| wanted(entry))
            .map(|(id, position, entry)| (id, position, entry.expiry))
            .collect()
    }

    fn find(&self, account: &AccountAddress, hash: &MessageHash, now: u64) -> Vec<(BoxId, u64, u64)> {
        self.select(account, Scope::All, |entry| entry.record.hash() == *hash && entry.expiry > now)
    }

    fn remember(&mut self, new: &Order) {
        if self.orders.contains_key(&(new.account, new.signature)) {
            return;
        }
        let known = self.orders.values().filter(|order| order.account == new.account).cloned().collect();
        for old in outlived(known, new.request.len()) {
            self.forget((old.account, old.signature));
        }
        self.usage.bytes += new.request.len() as u64;
        self.orders.insert((new.account, new.signature), new.clone());
    }

    fn forget(&mut self, key: (AccountAddress, [u8; 64])) {
        if let Some(order) = self.orders.remove(&key) {
            self.usage.bytes -= order.request.len() as u64;
        }
    }

    fn delete(&mut self, (id, position, expiry): (BoxId, u64, u64)) -> Option<Touched> {
        let hash = self.boxes.get(&id)?.get(&position)?.record.hash();
        self.remove(expiry, id, position);
        Some(Touched { namespace: id.1, hash, expiry, changed: true })
    }

    fn set_expiry(&mut self, found: (BoxId, u64, u64), to: u64, mode: ExpiryMode) -> Option<Touched> {
        let (id, position, from) = found;
        let entry = self.boxes.get_mut(&id)?.get_mut(&position)?;
        let changed = is_wanted(mode, from, to);
        if changed {
            entry.expiry = to;
            self.expiries.remove(&(from, id, position));
            self.expiries.insert((to, id, position));
        }
        Some(Touched { namespace: id.1, hash: entry.record.hash(), expiry: entry.expiry, changed })
    }

    fn change(&mut self, change: &Change, now: u64, capacity: u64) -> Changed {
        match change {
            Change::Delete { account, messages } => {
                let mut touched = Vec::new();
                for hash in messages {
                    touched.extend(self.find(account, hash, now).into_iter().filter_map(|found| self.delete(found)));
                }
                Changed::Messages(touched)
            }
            Change::DeleteSent { account, scope, until } => {
                let sent = |entry: &Entry| entry.expiry > now && entry.record.deposit().timestamp <= *until;
                let found = self.select(account, *scope, sent);
                Changed::Messages(found.into_iter().filter_map(|found| self.delete(found)).collect())
            }
            Change::SetExpiry { account, messages, expiry, mode } => {
                let mut touched = Vec::new();
                for (number, hash) in messages.iter().enumerate() {
                    let Some(expiry) = nth_expiry(expiry, number) else { break };
                    let found = self.find(account, hash, now).into_iter();
                    touched.extend(found.filter_map(|found| self.set_expiry(found, expiry, *mode)));
                }
                Changed::Messages(touched)
            }
            Change::LimitExpiry { account, scope, expiry } => {
                let found = self.select(account, *scope, |entry| entry.expiry > now && entry.expiry > *expiry);
                let set = |found| self.set_expiry(found, *expiry, ExpiryMode::Shorten);
                Changed::Messages(found.into_iter().filter_map(set).collect())
            }
            Change::Forget { messages } => {
                let mut touched = Vec::new();
                for (account, namespace, hash) in messages {
                    let of_box = Scope::One(*namespace);
                    let found = self.select(account, of_box, |entry| entry.record.hash() == *hash);
                    touched.extend(found.into_iter().filter_map(|found| self.delete(found)));
                }
                Changed::Messages(touched)
            }
            Change::Revoke { account, tokens, at } => {
                let mut all = self.revoked.get(account).cloned().unwrap_or_default();
                let before = all.clone();
                for token in tokens {
                    let known = all.iter().position(|(_, known)| known == token).map(|at| all.remove(at));
                    all.push((known.map_or(*at, |(known, _)| known.max(*at)), *token));
                }
                all.sort_unstable();
                all.drain(..all.len().saturating_sub(MAX_REVOCATIONS));
                let grown = (all.len() - before.len()) as u64 * REVOCATION_BYTES;
                if grown > 0 && self.usage.bytes.saturating_add(grown) > capacity {
                    return Changed::Full;
                }
                self.usage.bytes += grown;
                let added = all.iter().filter(|(_, token)| before.iter().all(|(_, known)| known != token)).count();
                self.revoked.insert(*account, all);
                Changed::Tokens(added as u64)
            }
            Change::Unrevoke { account, tokens } => {
                let Some(all) = self.revoked.get_mut(account) else { return Changed::Tokens(0) };
                let before = all.len();
                all.retain(|(_, token)| !tokens.contains(token));
                let removed = (before - all.len()) as u64;
                self.usage.bytes -= removed * REVOCATION_BYTES;
                Changed::Tokens(removed)
            }
        }
    }
}

impl Store for MemoryStore {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        let mut inner = self.lock();
        Ok(records.iter().map(|record| inner.put(record, now, self.quotas)).collect())
    }

    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError> {
        let mut inner = self.lock();
        let changed = inner.change(change, now, self.quotas.capacity);
        if let Some(order) = order {
            inner.remember(order);
        }
        Ok(changed)
    }

    fn visit(&self, now: u64, visit: &mut dyn FnMut(Item)) -> Result<(), StoreError> {
        let inner = self.lock();
        for ((account, namespace), entries) in &inner.boxes {
            for entry in entries.values().filter(|entry| entry.expiry > now) {
                visit(Item::Message { account: *account, namespace: *namespace, hash: entry.record.hash() });
            }
        }
        let orders = inner.orders.values().filter(|order| order.expiry > now);
        orders.for_each(|order| visit(Item::Order { account: order.account, signature: order.signature }));
        Ok(())
    }

    fn fetch(&self, item: &Item, now: u64) -> Result<Option<Fetched>, StoreError> {
        let inner = self.lock();
        Ok(match item {
            Item::Message { account, namespace, hash } => {
                let id = (*account, *namespace);
                let position = inner.positions.get(&(id, *hash));
                let entry = position.and_then(|position| inner.boxes.get(&id)?.get(position));
                let alive = entry.filter(|entry| entry.expiry > now);
                alive.map(|entry| Fetched::Message(entry.record.clone().kept_until(entry.expiry)))
            }
            Item::Order { account, signature } => {
                let order = inner.orders.get(&(*account, *signature)).filter(|order| order.expiry > now);
                order.cloned().map(Fetched::Order)
            }
        })
    }

    fn orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        let inner = self.lock();
        let orders = inner.orders.values().filter(|order| order.account == *account && order.expiry > now);
        Ok(orders.cloned().collect())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        let inner = self.lock();
        let of = |hash: &MessageHash| {
            inner.find(account, hash, now).into_iter().map(|(.., expiry)| (*hash, expiry)).collect()
        };
        Ok(messages.iter().flat_map(|hash| -> Vec<_> { of(hash) }).collect())
    }

    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError> {
        let inner = self.lock();
        let all = inner.revoked.get(account).into_iter().flatten();
        Ok(all.rev().map(|(_, token)| *token).collect())
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
        let over: Vec<_> = inner.orders.iter().filter(|(_, order)| order.expiry <= now).map(|(key, _)| *key).collect();
        over.into_iter().take(limit).for_each(|key| inner.forget(key));
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

    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError> {
        Ok(self.lock().allowance(account, self.quotas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    suite::prove!(|capacity| (MemoryStore::new(capacity), ()));
}
