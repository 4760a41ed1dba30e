//! A store in memory: for tests and simulations.

use crate::{
    Allowance, Change, Changed, Expired, Fetched, ItemName, NameRange, Order, Page, Put, Query, Quotas, Record,
    Standing, Store, StoreError, Tallies, Tally, Touched, Usage,
    deposits::{Known, choose},
    name::spaced,
    ruling::{Ruling, Rulings, admitted_until, extension, settled_expiry, superfluous},
    store::{MAX_ORDER_BYTES, MAX_ORDERS, charged_for_orders, is_wanted, most_displaced, nth_expiry, told_expiry},
};
use skep_proto::{
    account::AccountAddress,
    storage::{
        ExpiryMode, MessageHash, Namespace, RetrievedMessage, Scope, StoreRequest, SubaccountToken,
        limits::{MAX_REVOCATIONS, retrieved_size},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps records in memory.
#[derive(Debug)]
pub struct MemoryStore {
    quotas: Mutex<Quotas>,
    inner: Mutex<Inner>,
}

type BoxId = (AccountAddress, Namespace);
type OrderId = (AccountAddress, [u8; 64]);

/// An order, and what it says.
#[derive(Debug)]
struct Kept {
    order: Order,
    rulings: Rulings,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
enum Named {
    Message(BoxId, u64),
    Order(OrderId),
}

#[derive(Debug, Default)]
struct Inner {
    arrivals: u64,
    /// Arrivals before this one have been synced.
    synced: u64,
    boxes: BTreeMap<BoxId, BTreeMap<u64, Entry>>,
    positions: HashMap<(BoxId, MessageHash), u64>,
    expiries: BTreeSet<(u64, BoxId, u64)>,
    orders: BTreeMap<OrderId, Kept>,
    names: BTreeMap<ItemName, Named>,
    /// Of those, what has not been synced.
    fresh: BTreeSet<ItemName>,
    /// What has been given a longer life that is not synced, and when it would expire without.
    outlasting: BTreeMap<(BoxId, u64), u64>,
    /// The newest last.
    revoked: HashMap<AccountAddress, Vec<Revoked>>,
    usage: Usage,
    /// All unproven mail.
    unproven: Usage,
    mailboxes: HashMap<AccountAddress, Tallies>,
}

/// When the owner revoked a subaccount, when a member was told, and which it is.
type Revoked = ((u64, u64), SubaccountToken);

#[derive(Debug)]
struct Entry {
    record: Record,
    /// When the first deposit that came here was sent.
    sent: u64,
    expiry: u64,
}

impl Entry {
    fn shown(&self, expiration: u64) -> RetrievedMessage {
        let (hash, data) = (self.record.hash(), self.record.deposit().data.clone());
        RetrievedMessage { hash, timestamp: self.sent, expiration, data }
    }
}

impl MemoryStore {
    /// An empty store within `quotas`.
    pub fn new(quotas: impl Into<Quotas>) -> Self {
        Self { quotas: Mutex::new(quotas.into()), inner: Mutex::default() }
    }

    fn quotas(&self) -> Quotas {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn allowance(&self, account: &AccountAddress, quotas: Quotas) -> Allowance {
        let mailbox = self.mailboxes.get(account).copied().unwrap_or_default();
        let (total, unproven_total, orders) = (self.usage.charged(), self.unproven.charged(), self.order_bytes());
        Allowance { quotas, mailbox, total, unproven_total, orders }
    }

    fn count(&mut self, record: &Record) {
        let size = record.deposit().data.len() as u64;
        self.mailboxes.entry(record.deposit().account).or_default().enter(record.standing(), size);
        self.usage.enter(size);
        if record.standing() == Standing::Unproven {
            self.unproven.enter(size);
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
        self.usage.leave(size);
        if record.standing() == Standing::Unproven {
            self.unproven.leave(size);
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
            self.unname(&record.name());
            self.discount(&record);
        }
    }

    fn move_expiry(&mut self, id: BoxId, position: u64, to: u64) {
        let Some(entry) = self.boxes.get_mut(&id).and_then(|entries| entries.get_mut(&position)) else { return };
        self.expiries.remove(&(entry.expiry, id, position));
        self.expiries.insert((to, id, position));
        if entry.expiry < to {
            let before = self.outlasting.entry((id, position)).or_insert(entry.expiry);
            *before = entry.expiry.min(*before);
        }
        entry.expiry = to;
    }

    fn name(&mut self, name: ItemName, named: Named) {
        self.names.insert(name, named);
        self.fresh.insert(name);
    }

    fn unname(&mut self, name: &ItemName) {
        self.names.remove(name);
        self.fresh.remove(name);
    }

    /// When readers are told that a message expires.
    fn told_expiry(&self, id: BoxId, position: u64, expiry: u64, now: u64) -> u64 {
        told_expiry(expiry, self.outlasting.get(&(id, position)).copied(), now)
    }

    /// What is said of a message.
    fn rulings(&self, (account, namespace): BoxId, hash: &MessageHash) -> Vec<Ruling> {
        let scoped = [Scope::All, Scope::One(namespace)].map(|about| self.scoped_words(account, about));
        let words = scoped.into_iter().flatten().chain(self.named_words(account, hash));
        words.map(|(ruling, _)| ruling).collect()
    }

    fn put(&mut self, record: &Record, now: u64, quotas: Quotas) -> Put {
        let deposit = record.deposit();
        let id = (deposit.account, deposit.namespace);
        let rulings = self.rulings(id, &record.hash());
        let Some(expiry) = admitted_until(record, &rulings, now) else { return Put::Gone };
        if let Some(&position) = self.positions.get(&(id, record.hash())) {
            let entry = self.boxes.get(&id).and_then(|entries| entries.get(&position));
            if let Some(Entry { record: kept, expiry: until, .. }) = entry {
                let (until, standing) = (*until, kept.standing());
                if until > now {
                    let StoreRequest { timestamp, expiry: deposited, .. } = *kept.deposit();
                    let known = Known { expiry: until, timestamp, deposited, standing };
                    let Ok(chosen) = choose(record, expiry, &known, || Ok::<_, Infallible>(kept.clone()));
                    let may_change = |record: &Record| {
                        standing == record.standing()
                            || self.allowance(&id.0, quotas).may_change_to(record.standing(), deposit.data.len() as u64)
                    };
                    let Some((record, expiry)) = chosen.filter(|(record, _)| may_change(record)) else {
                        return Put::Stored { expiry: until, already: true };
                    };
                    self.replace(id, position, &record);
                    self.move_expiry(id, position, expiry);
                    return Put::Stored { expiry, already: true };
                }
                self.remove(until, id, position);
            }
        }
        let size = deposit.data.len() as u64;
        if !self.allowance(&deposit.account, quotas).holds(record.standing(), size) {
            return Put::Full;
        }
        if deposit.namespace.is_public_outbox() {
            let inside = self.select(&deposit.account, Scope::One(deposit.namespace), |entry| entry.expiry > now);
            let newest = |entry: &Entry| (entry.record.deposit().timestamp, entry.record.hash());
            let is_late = |(_, position, _): &(BoxId, u64, u64)| {
                let entry = self.boxes.get(&id).and_then(|entries| entries.get(position));
                entry.is_some_and(|entry| newest(entry) > (deposit.timestamp, record.hash()))
            };
            if record.is_replica() && inside.iter().any(is_late) {
                return Put::Gone;
            }
            for (_, position, expiry) in self.select(&deposit.account, Scope::One(deposit.namespace), |_| true) {
                self.remove(expiry, id, position);
            }
        }
        let position = self.arrivals;
        self.arrivals += 1;
        self.positions.insert((id, record.hash()), position);
        self.expiries.insert((expiry, id, position));
        self.name(record.name(), Named::Message(id, position));
        self.boxes
            .entry(id)
            .or_default()
            .insert(position, Entry { record: record.clone(), sent: deposit.timestamp, expiry });
        self.count(record);
        Put::Stored { expiry, already: false }
    }

    /// Keeps another deposit of the same message.
    fn replace(&mut self, id: BoxId, position: u64, record: &Record) {
        let Some(entry) = self.boxes.get_mut(&id).and_then(|entries| entries.get_mut(&position)) else { return };
        let known = std::mem::replace(&mut entry.record, record.clone());
        self.unname(&known.name());
        self.name(record.name(), Named::Message(id, position));
        self.discount(&known);
        self.count(record);
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

    fn names_in(&self, range: &NameRange) -> impl Iterator<Item = &ItemName> {
        let bounds = (!range.is_empty()).then_some(range.from..range.to);
        bounds.into_iter().flat_map(|bounds| self.names.range(bounds)).map(|(name, _)| name)
    }

    fn orders_of(&self, account: AccountAddress) -> impl Iterator<Item = (&OrderId, &Kept)> {
        self.orders.range((account, [0; 64])..=(account, [0xff; 64]))
    }

    /// What is said of a message by name, and by which orders.
    fn named_words(&self, account: AccountAddress, hash: &MessageHash) -> Vec<(Ruling, OrderId)> {
        let words = self.orders_of(account).flat_map(|(id, kept)| match &kept.rulings {
            Rulings::Named(all) => {
                all.iter().filter(|(named, _)| named == hash).map(|(_, word)| (*word, *id)).collect()
            }
            Rulings::Scoped(..) | Rulings::Silent => Vec::new(),
        });
        words.collect()
    }

    /// What is said of all messages of a scope, and by which orders.
    fn scoped_words(&self, account: AccountAddress, about: Scope) -> Vec<(Ruling, OrderId)> {
        let word = |(id, kept): (&OrderId, &Kept)| match kept.rulings {
            Rulings::Scoped(scope, word) if scope == about => Some((word, *id)),
            Rulings::Scoped(..) | Rulings::Named(_) | Rulings::Silent => None,
        };
        self.orders_of(account).filter_map(word).collect()
    }

    /// The order by which a message lasts until then.
    fn extension(&self, (account, _): BoxId, hash: &MessageHash, expiry: u64) -> Option<Order> {
        let order = extension(&self.named_words(account, hash), expiry)?;
        self.orders.get(&order).map(|kept| kept.order.clone())
    }

    fn find(&self, account: &AccountAddress, hash: &MessageHash, now: u64) -> Vec<(BoxId, u64, u64)> {
        self.select(account, Scope::All, |entry| entry.record.hash() == *hash && entry.expiry > now)
    }

    /// Number and bytes of orders but this one, by account.
    fn order_counts(&self, but: OrderId) -> BTreeMap<AccountAddress, (u64, u64)> {
        let mut counts = BTreeMap::<_, (u64, u64)>::new();
        for (id, kept) in self.orders.iter().filter(|(id, _)| **id != but) {
            let (number, bytes) = counts.entry(id.0).or_default();
            *number += 1;
            *bytes += kept.order.request.len() as u64;
        }
        counts
    }

    fn order_bytes(&self) -> u64 {
        self.orders.values().map(|kept| kept.order.charged()).sum()
    }

    /// Forgets older orders until there is room for this one; false if there is none.
    fn make_room_for(&mut self, new: &Order, capacity: u64) -> bool {
        let id = (new.account, new.signature);
        if self.orders.get(&id).is_some_and(|known| known.order.at >= new.at) {
            return true;
        }
        loop {
            let counts = self.order_counts(id);
            let (number, bytes) = counts.get(&id.0).copied().unwrap_or_default();
            let fits_account = number < MAX_ORDERS && bytes + new.request.len() as u64 <= MAX_ORDER_BYTES;
            let total: u64 = counts.values().map(|(number, bytes)| charged_for_orders(*number, *bytes)).sum();
            if fits_account && total.saturating_add(new.charged()) <= capacity {
                return true;
            }
            let by_size = counts.iter().map(|(account, count)| (charged_for_orders(count.0, count.1), *account));
            let largest = by_size.max().map_or(id.0, |(_, account)| account);
            let whose = if fits_account { largest } else { id.0 };
            let oldest =
                self.orders_of(whose).filter(|(known, _)| **known != id).map(|(id, kept)| (kept.order.at, *id)).min();
            let Some((_, oldest)) = oldest.filter(|(at, _)| *at < new.at) else { return false };
            self.forget(oldest);
        }
    }

    /// Keeps an order for which there is room.
    fn remember(&mut self, new: &Order, change: &Change) {
        let id = (new.account, new.signature);
        if self.orders.get(&id).is_some_and(|known| known.order.at >= new.at) {
            return;
        }
        self.forget(id);
        self.name(new.name(), Named::Order(id));
        let rulings = Rulings::of(change);
        self.orders.insert(id, Kept { order: new.clone(), rulings: rulings.clone() });
        match rulings {
            Rulings::Named(all) if all.is_empty() => self.forget(id),
            Rulings::Named(all) => {
                for (hash, _) in all {
                    for displaced in superfluous(&self.named_words(id.0, &hash)) {
                        self.silence(displaced, &hash);
                    }
                }
            }
            Rulings::Scoped(scope, _) => {
                for displaced in superfluous(&self.scoped_words(id.0, scope)) {
                    self.forget(displaced);
                }
            }
            Rulings::Silent => {}
        }
    }

    /// An order no longer says anything of a message it names; it goes with the last.
    fn silence(&mut self, id: OrderId, hash: &MessageHash) {
        let Some(Kept { rulings: Rulings::Named(all), .. }) = self.orders.get_mut(&id) else { return };
        all.retain(|(named, _)| named != hash);
        if all.is_empty() {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: OrderId) {
        if let Some(Kept { order, .. }) = self.orders.remove(&id) {
            self.unname(&order.name());
        }
    }

    fn delete(&mut self, (id, position, expiry): (BoxId, u64, u64)) -> Option<Touched> {
        let hash = self.boxes.get(&id)?.get(&position)?.record.hash();
        self.remove(expiry, id, position);
        Some(Touched { namespace: id.1, hash, expiry, changed: true })
    }

    /// Lets a message expire as all that is said of it has it, `said` included.
    fn set_expiry(&mut self, found: (BoxId, u64, u64), to: u64, mode: ExpiryMode, said: Ruling) -> Option<Touched> {
        let (id, position, from) = found;
        let entry = self.boxes.get(&id)?.get(&position)?;
        let (hash, deposit) = (entry.record.hash(), entry.record.deposit());
        let mut rulings = self.rulings(id, &hash);
        rulings.push(said);
        let expiry = settled_expiry(deposit.timestamp, deposit.expiry, &rulings);
        self.move_expiry(id, position, expiry);
        Some(Touched { namespace: id.1, hash, expiry, changed: is_wanted(mode, from, to) && expiry == to })
    }

    /// The messages that a change of an owner is about.
    fn concerned(&self, change: &Change, now: u64) -> Vec<(BoxId, u64, u64)> {
        match change {
            Change::Delete { account, messages, .. } | Change::SetExpiry { account, messages, .. } => {
                messages.iter().flat_map(|hash| self.find(account, hash, now)).collect()
            }
            Change::DeleteSent { account, scope, .. } | Change::LimitExpiry { account, scope, .. } => {
                self.select(account, *scope, |entry| entry.expiry > now)
            }
            Change::Forget { .. } | Change::Revoke { .. } | Change::Unrevoke { .. } => Vec::new(),
        }
    }

    /// Forgets revocations of other accounts, so that one may have so many more.
    fn make_room_for_revocations(&mut self, speaking: &AccountAddress, grown: usize, most: u64) {
        let kept: usize = self.revoked.values().map(Vec::len).sum();
        for _ in 0..most_displaced((kept + grown) as u64, grown as u64, most) {
            let others = self.revoked.iter_mut().filter(|(account, all)| *account != speaking && !all.is_empty());
            let Some((_, largest)) = others.max_by_key(|(account, all)| (all.len(), **account)) else { return };
            largest.remove(0);
        }
    }

    fn change(&mut self, change: &Change, now: u64, most_revocations: u64) -> Changed {
        match change {
            Change::Delete { account, messages, until } => {
                let mut touched = Vec::new();
                for hash in messages {
                    let sent = |entry: &Entry| entry.record.hash() == *hash && entry.expiry > now;
                    let in_time = |entry: &Entry| sent(entry) && entry.record.deposit().timestamp <= *until;
                    let found = self.select(account, Scope::All, in_time);
                    touched.extend(found.into_iter().filter_map(|found| self.delete(found)));
                }
                Changed::Messages(touched)
            }
            Change::DeleteSent { account, scope, until } => {
                let sent = |entry: &Entry| entry.expiry > now && entry.record.deposit().timestamp <= *until;
                let found = self.select(account, *scope, sent);
                Changed::Messages(found.into_iter().filter_map(|found| self.delete(found)).collect())
            }
            Change::SetExpiry { account, messages, expiry, mode, at } => {
                let mut touched = Vec::new();
                for (number, hash) in messages.iter().enumerate() {
                    let Some(expiry) = nth_expiry(expiry, number) else { break };
                    let said = Ruling::on_expiry(*at, expiry, *mode);
                    let found = self.find(account, hash, now).into_iter();
                    touched.extend(found.filter_map(|found| self.set_expiry(found, expiry, *mode, said)));
                }
                Changed::Messages(touched)
            }
            Change::LimitExpiry { account, scope, expiry, at } => {
                let found = self.select(account, *scope, |entry| entry.expiry > now && entry.expiry > *expiry);
                let (mode, said) = (ExpiryMode::Shorten, Ruling::on_expiry(*at, *expiry, ExpiryMode::Shorten));
                let set = |found| self.set_expiry(found, *expiry, mode, said);
                Changed::Messages(found.into_iter().filter_map(set).collect())
            }
            Change::Forget { names } => {
                let mut touched = Vec::new();
                for name in names {
                    match self.names.get(name).copied() {
                        Some(Named::Message(id, position)) => {
                            let expiry = self.boxes.get(&id).and_then(|entries| entries.get(&position));
                            let expiry = expiry.map(|entry| entry.expiry);
                            touched.extend(expiry.and_then(|expiry| self.delete((id, position, expiry))));
                        }
                        Some(Named::Order(id)) => self.forget(id),
                        None => {}
                    }
                }
                Changed::Messages(touched)
            }
            Change::Revoke { account, tokens, at, given } => {
                let revoked = (*at, *given);
                let mut all = self.revoked.get(account).cloned().unwrap_or_default();
                let before = all.clone();
                for token in tokens {
                    let known = all.iter().position(|(_, known)| known == token).map(|at| all.remove(at));
                    all.push((known.map_or(revoked, |(known, _)| known.max(revoked)), *token));
                }
                all.sort_unstable();
                all.drain(..all.len().saturating_sub(MAX_REVOCATIONS));
                self.make_room_for_revocations(account, all.len() - before.len(), most_revocations);
                let added = all.iter().filter(|(_, token)| before.iter().all(|(_, known)| known != token)).count();
                self.revoked.insert(*account, all);
                Changed::Tokens(added as u64)
            }
            Change::Unrevoke { account, tokens } => {
                let Some(all) = self.revoked.get_mut(account) else { return Changed::Tokens(0) };
                let before = all.len();
                all.retain(|(_, token)| !tokens.contains(token));
                let removed = before - all.len();
                if all.is_empty() {
                    self.revoked.remove(account);
                }
                Changed::Tokens(removed as u64)
            }
        }
    }
}

impl Store for MemoryStore {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        let mut inner = self.lock();
        let quotas = self.quotas();
        Ok(records.iter().map(|record| inner.put(record, now, quotas)).collect())
    }

    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError> {
        let mut inner = self.lock();
        let quotas = self.quotas();
        let has_room = order.is_none_or(|order| inner.make_room_for(order, quotas.orders));
        let changed = inner.change(change, now, quotas.revocations());
        if let (Some(order), true) = (order, has_room) {
            inner.remember(order, change);
        }
        Ok(if has_room { changed } else { Changed::Unkept(Box::new(changed)) })
    }

    fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError> {
        let inner = self.lock();
        let timestamp = |(id, position, _): (BoxId, u64, u64)| {
            Some(inner.boxes.get(&id)?.get(&position)?.record.deposit().timestamp)
        };
        Ok(inner.concerned(change, now).into_iter().filter_map(timestamp).max())
    }

    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError> {
        Ok(self.lock().names_in(range).collect())
    }

    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        Ok(self.lock().names_in(range).take(limit).copied().collect())
    }

    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        let names: Vec<_> = self.lock().names_in(range).copied().collect();
        Ok(names.split_first().map(|(_, inside)| spaced(inside, parts)).unwrap_or_default())
    }

    fn has(&self, name: &ItemName) -> Result<bool, StoreError> {
        let inner = self.lock();
        Ok(inner.names.contains_key(name) && !inner.fresh.contains(name))
    }

    fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError> {
        let inner = self.lock();
        Ok(match inner.names.get(name) {
            Some(Named::Message(id, position)) => {
                let entry = inner.boxes.get(id).and_then(|entries| entries.get(position));
                entry.filter(|entry| entry.expiry > now).map(|Entry { record, expiry, .. }| {
                    let outlives = *expiry > record.deposit().expiry;
                    let extension = outlives.then(|| inner.extension(*id, &record.hash(), *expiry)).flatten();
                    Fetched::Message { record: record.clone(), extension }
                })
            }
            Some(Named::Order(id)) => {
                let kept = inner.orders.get(id).filter(|kept| kept.order.expiry() > now);
                kept.map(|kept| Fetched::Order(kept.order.clone()))
            }
            None => None,
        })
    }

    fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        let inner = self.lock();
        let kept = inner.orders.values().filter(|kept| kept.rulings == Rulings::Silent);
        let orders = kept.map(|kept| &kept.order).filter(|order| order.account == *account && order.expiry() > now);
        Ok(orders.cloned().collect())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.synced = inner.arrivals;
        inner.fresh.clear();
        inner.outlasting.clear();
        Ok(())
    }

    fn message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError> {
        let (inner, id) = (self.lock(), (*account, namespace));
        let position = inner.positions.get(&(id, *hash)).copied().filter(|position| *position < inner.synced);
        let found = position.and_then(|position| Some((position, inner.boxes.get(&id)?.get(&position)?)));
        let found = found.filter(|(_, entry)| entry.expiry > now);
        Ok(found.map(|(position, entry)| entry.shown(inner.told_expiry(id, position, entry.expiry, now))))
    }

    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        let inner = self.lock();
        let of = |hash: &MessageHash| {
            let found = inner.find(account, hash, now).into_iter().filter(|(_, position, _)| *position < inner.synced);
            found.map(|(id, position, expiry)| (*hash, inner.told_expiry(id, position, expiry, now))).collect()
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
            .filter(|position| entries.get(position).is_some_and(|entry| entry.expiry > now))
            .filter(|position| **position < inner.synced);
        let start = after.map_or(Bound::Unbounded, |position| Bound::Excluded(*position));
        let mut size = 0;
        let entries = entries.range((start, Bound::Excluded(inner.synced)));
        for (position, entry) in entries.filter(|(_, entry)| entry.expiry > now) {
            let deposit = entry.record.deposit();
            size += retrieved_size(deposit.data.len());
            let fits = page.messages.len() < query.window.count && size <= query.window.size;
            if !fits && !page.messages.is_empty() {
                page.more = true;
                break;
            }
            page.messages.push(entry.shown(inner.told_expiry(id, *position, entry.expiry, now)));
        }
        Ok(page)
    }

    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError> {
        let mut inner = self.lock();
        let over = inner.orders.iter().filter(|(_, kept)| kept.order.expiry() <= now).map(|(id, _)| *id);
        let over: Vec<_> = over.take(limit).collect();
        over.into_iter().for_each(|id| inner.forget(id));
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
        Ok(self.lock().allowance(account, self.quotas()))
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = quotas;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    suite::prove!(|capacity| (MemoryStore::new(capacity), ()));
}
