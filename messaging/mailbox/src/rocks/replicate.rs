//! What members compare and hand over: messages, and the orders about them.

use super::{
    NameChange, Pending, RocksStore, failed,
    keys::{
        self, BoxId, Place, STATE, UPGRADING, about_tokens_prefix, named, order, order_count, order_expiry,
        order_expiry_start, order_holder, order_time, order_time_prefix, read_about_tokens, read_account, read_name,
        read_order, read_order_count, read_order_expiry, read_order_holder, read_order_time, revocation_holder,
    },
    sums::{MOST, Plan, Sums},
    words::rulings_of,
};
use crate::{
    Change, Fetched, ItemName, NameRange, Order, Record, StoreError, Tally,
    name::spaced,
    ruling::{Rulings, admitted_until, extension},
    store::{MAX_ORDER_BYTES, MAX_ORDERS, charged_for_orders},
};
use prost::Message;
use rocksdb::{IteratorMode, PrefixRange, ReadOptions, WriteBatch};
use skep_proto::{account::AccountAddress, peer, storage::MessageHash};
use std::sync::PoisonError;

/// Bytes of requests of orders removed at once, but for the first: some thousand names of messages.
const EXPIRED_AT_ONCE: u64 = 256 * 1024;

impl RocksStore {
    /// Counts all names there are.
    pub(super) fn count_names(&self) -> Result<(), StoreError> {
        let mut sums = Sums::default();
        self.visit_names(&NameRange::ALL, &mut |name| {
            sums.push(&name);
            true
        })?;
        *self.sums.write().unwrap_or_else(PoisonError::into_inner) = sums;
        Ok(())
    }

    /// Counts names that have been written. Only the one writer does, so that what is on disk does not change meanwhile.
    pub(super) fn count(&self, changes: &[NameChange]) {
        let mut sums = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        let mut crowded = Vec::new();
        for change in changes {
            match change {
                NameChange::Comes(name) => crowded.extend(sums.insert(name)),
                NameChange::Goes(name) => sums.remove(name),
            }
        }
        crowded.dedup();
        for range in crowded {
            // Chunks may have been joined or split since. One that cannot be read stays as it is: large, but right.
            if sums.holds(&range)
                && let Ok(names) = self.read_names(&range, usize::MAX)
            {
                sums.split(&range, &names);
            }
        }
    }

    fn visit_names(&self, range: &NameRange, visit: &mut dyn FnMut(ItemName) -> bool) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(keys::name(&range.from)..keys::name(&range.to));
        for entry in self.db.iterator_opt(IteratorMode::Start, bounds) {
            let (key, _) = entry.map_err(failed("read names"))?;
            if !visit(read_name(&key).ok_or(StoreError::Damaged("a name"))?) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn read_names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        let mut names = Vec::new();
        if limit > 0 {
            self.visit_names(range, &mut |name| {
                names.push(name);
                names.len() < limit
            })?;
        }
        Ok(names)
    }

    /// What is counted may be a moment behind what is read; members then find that nothing is missing after all.
    pub(super) fn tally_names(&self, range: &NameRange) -> Result<Tally, StoreError> {
        let Plan { mut known, read } = self.sums.read().unwrap_or_else(PoisonError::into_inner).plan(range);
        for part in read {
            self.visit_names(&part, &mut |name| {
                known.insert(&name);
                true
            })?;
        }
        Ok(known)
    }

    pub(super) fn cut_names(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        /// With fewer chunks than this, parts would be too unequal.
        const FEW: usize = 4;
        let firsts = self.sums.read().unwrap_or_else(PoisonError::into_inner).firsts(range);
        if firsts.len() > FEW {
            return Ok(spaced(&firsts, parts));
        }
        let names = self.read_names(range, (FEW + 2) * MOST as usize)?;
        Ok(names.split_first().map(|(_, inside)| spaced(inside, parts)).unwrap_or_default())
    }

    pub(super) fn place(&self, name: &ItemName) -> Result<Option<Place>, StoreError> {
        let place = self.db.get_pinned(keys::name(name)).map_err(failed("look up a name"))?;
        place.map(|place| Place::read(&place).ok_or(StoreError::Damaged("a name"))).transpose()
    }

    pub(super) fn read_record(&self, id: &BoxId, position: u64) -> Result<Option<Record>, StoreError> {
        let data = self.db.get_pinned(id.data(position)).map_err(failed("read a message"))?;
        let read = |data: &[u8]| peer::Store::decode(data).ok().and_then(|wire| Record::from_wire(wire).ok());
        data.map(|data| read(&data).ok_or(StoreError::Damaged("a message"))).transpose()
    }

    pub(super) fn fetch_message(&self, id: &BoxId, position: u64, now: u64) -> Result<Option<Fetched>, StoreError> {
        let Some(meta) = self.read_meta(id, position)?.filter(|meta| meta.expiry > now) else { return Ok(None) };
        // It may have been deleted meanwhile.
        let Some(record) = self.read_record(id, position)? else { return Ok(None) };
        let outlives = meta.expiry > meta.deposited;
        let extension = if outlives { self.extension(id, &meta.hash, meta.expiry)? } else { None };
        Ok(Some(Fetched::Message { record, extension }))
    }

    /// The order by which a message lasts until then.
    fn extension(&self, id: &BoxId, hash: &MessageHash, expiry: u64) -> Result<Option<Order>, StoreError> {
        let account = id.account().ok_or(StoreError::Damaged("a message's key"))?;
        match extension(&self.words(&named(&account, hash))?, expiry) {
            Some(signature) => self.fetch_order(&account, &signature),
            None => Ok(None),
        }
    }

    pub(super) fn fetch_order(
        &self,
        account: &AccountAddress,
        signature: &[u8; 64],
    ) -> Result<Option<Order>, StoreError> {
        let value = self.db.get_pinned(order(account, signature)).map_err(failed("read an order"))?;
        let Some(value) = value else { return Ok(None) };
        let (at, request) = value.split_first_chunk().ok_or(StoreError::Damaged("an order"))?;
        let at = u64::from_be_bytes(*at);
        Ok(Some(Order { account: *account, signature: *signature, request: request.to_vec(), at }))
    }

    pub(super) fn orders_about_tokens(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        let mut orders = Vec::new();
        for entry in self.with_prefix(about_tokens_prefix(account)) {
            let (key, _) = entry.map_err(failed("read orders"))?;
            let signature = read_about_tokens(&key).ok_or(StoreError::Damaged("an order's key"))?;
            orders.extend(self.fetch_order(account, &signature)?.filter(|order| order.expiry() > now));
        }
        Ok(orders)
    }

    /// Removes at most `limit` orders that need no longer be kept.
    pub(super) fn expire_orders(&self, now: u64, limit: usize) -> Result<(), StoreError> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(order_expiry_start(0)..order_expiry_start(now.saturating_add(1)));
        let (mut pending, mut bytes) = (self.pending(0), 0);
        for entry in self.db.iterator_opt(IteratorMode::Start, bounds).take(limit) {
            let (key, size) = entry.map_err(failed("look for orders"))?;
            // What each names is looked up; the rest goes in the next round.
            bytes += u64::from_be_bytes((*size).try_into().map_err(|_| StoreError::Damaged("an order's end"))?);
            if bytes > EXPIRED_AT_ONCE && !pending.batch.is_empty() {
                break;
            }
            let (account, signature) = read_order_expiry(&key).ok_or(StoreError::Damaged("an order's end"))?;
            pending.forget(&account, &signature)?;
        }
        if !pending.batch.is_empty() {
            pending.write("remove orders")?;
        }
        Ok(())
    }

    /// Number and bytes of the orders kept of one account.
    pub(super) fn order_count(&self, account: &AccountAddress) -> Result<(u64, u64), StoreError> {
        let Some(count) = self.db.get_pinned(order_count(account)).map_err(failed("count orders"))? else {
            return Ok((0, 0));
        };
        read_order_count(&count).ok_or(StoreError::Damaged("a count of orders"))
    }

    /// Forgets older orders until there is room for this one; false if there is none. Each goes in a batch of its own.
    pub(super) fn make_room_for(&self, new: &Order) -> Result<bool, StoreError> {
        let capacity = self.quotas().orders;
        let known = self.fetch_order(&new.account, &new.signature)?;
        if known.as_ref().is_some_and(|known| known.at >= new.at) {
            return Ok(true);
        }
        let replaced = known.as_ref().map_or(0, |known| known.request.len() as u64);
        let replaced_charge = known.as_ref().map_or(0, Order::charged);
        loop {
            let (number, bytes) = self.order_count(&new.account)?;
            let number = number.saturating_sub(u64::from(known.is_some()));
            let bytes = bytes.saturating_sub(replaced).saturating_add(new.request.len() as u64);
            let fits_account = number < MAX_ORDERS && bytes <= MAX_ORDER_BYTES;
            let total = self.state().orders.saturating_sub(replaced_charge).saturating_add(new.charged());
            if fits_account && total <= capacity {
                return Ok(true);
            }
            let largest = if fits_account { self.largest_holder()? } else { None };
            let whose = largest.unwrap_or(new.account);
            let oldest = self.oldest_order(&whose, &new.signature)?;
            let Some((_, signature)) = oldest.filter(|(at, _)| *at < new.at) else { return Ok(false) };
            let mut pending = self.pending(0);
            pending.forget(&whose, &signature)?;
            pending.write("forget an order")?;
        }
    }

    /// The account whose orders count most.
    fn largest_holder(&self) -> Result<Option<AccountAddress>, StoreError> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(PrefixRange(b"w".to_vec()));
        match self.db.iterator_opt(IteratorMode::End, bounds).next().transpose() {
            Err(error) => Err(failed("look for orders")(error)),
            Ok(None) => Ok(None),
            Ok(Some((key, _))) => match read_order_holder(&key) {
                Some((_, account)) => Ok(Some(account)),
                None => Err(StoreError::Damaged("a count of orders")),
            },
        }
    }

    /// When the oldest order of an account but one was given, and its signature.
    fn oldest_order(&self, account: &AccountAddress, but: &[u8; 64]) -> Result<Option<(u64, [u8; 64])>, StoreError> {
        for entry in self.with_prefix(order_time_prefix(account)) {
            let (key, _) = entry.map_err(failed("look for orders"))?;
            let (at, signature) = read_order_time(&key).ok_or(StoreError::Damaged("an order's time"))?;
            if signature != *but {
                return Ok(Some((at, signature)));
            }
        }
        Ok(None)
    }

    /// Brings a store of a format before up to this one. Cut short, it begins anew.
    pub(super) fn upgrade(&self) -> Result<(), StoreError> {
        // The version before may have gone on in between, and knows nothing of these.
        let mut batch = WriteBatch::default();
        batch.put(UPGRADING, []);
        batch.delete_range(b"v", b"x");
        self.db.write(batch).map_err(failed("count orders"))?;
        let mut holder = None;
        for entry in self.with_prefix(b"r".to_vec()) {
            let (key, _) = entry.map_err(failed("count revocations"))?;
            let account = read_account(&key).ok_or(StoreError::Damaged("a revocation"))?;
            let (_, number) = holder.take_if(|(known, _)| *known == account).unwrap_or((account, 0));
            self.db.delete(revocation_holder(number, &account)).map_err(failed("count revocations"))?;
            self.db.put(revocation_holder(number + 1, &account), []).map_err(failed("count revocations"))?;
            holder = Some((account, number + 1));
        }
        for entry in self.with_prefix(b"z".to_vec()) {
            let (key, count) = entry.map_err(failed("count orders"))?;
            let account = read_account(&key).ok_or(StoreError::Damaged("a count of orders"))?;
            let (number, bytes) = read_order_count(&count).ok_or(StoreError::Damaged("a count of orders"))?;
            let holder = order_holder(charged_for_orders(number, bytes), &account);
            self.db.put(holder, []).map_err(failed("count orders"))?;
        }
        self.upgrade_words()?;
        self.recount(true)?;
        // Where nothing is kept nothing was wrong.
        let mut batch = WriteBatch::default();
        batch.put(STATE, self.state().to_bytes());
        batch.delete(UPGRADING);
        self.db.write(batch).map_err(failed("write counts"))
    }

    /// Writes down anew what orders say. What each says of each message had a key of its own, until later ones displaced it.
    fn upgrade_words(&self) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for words in [b"g", b"i", b"t"] {
            batch.delete_range(&words[..], &[words[0] + 1][..]);
        }
        self.db.write(batch).map_err(failed("read orders"))?;
        for entry in self.with_prefix(b"o".to_vec()) {
            let (key, _) = entry.map_err(failed("read orders"))?;
            let (account, signature) = read_order(&key).ok_or(StoreError::Damaged("an order's key"))?;
            // It may be one of those that have been displaced meanwhile.
            let Some(order) = self.fetch_order(&account, &signature)? else { continue };
            let mut pending = self.pending(0);
            pending.erase(&order)?;
            pending.keep(&order, &rulings_of(&order).unwrap_or(Rulings::Silent))?;
            pending.write("write down what orders say")?;
        }
        Ok(())
    }
}

impl Pending<'_> {
    /// Keeps an order for those who missed it. There is room for it.
    pub(super) fn remember(&mut self, new: &Order, change: &Change) -> Result<(), StoreError> {
        if let Some(known) = self.store.fetch_order(&new.account, &new.signature)? {
            if known.at >= new.at {
                return Ok(());
            }
            self.erase(&known)?;
        }
        self.keep(new, &Rulings::of(change))
    }

    /// Keeps an order that is not kept, unless later ones have said all of it otherwise.
    pub(super) fn keep(&mut self, new: &Order, rulings: &Rulings) -> Result<(), StoreError> {
        let Order { account, signature, .. } = new;
        if !self.speak(new, rulings)? {
            return Ok(());
        }
        let (number, bytes) = self.order_count(account)?;
        let size = new.request.len() as u64;
        self.state.orders = self.state.orders.saturating_add(new.charged());
        let value = [&new.at.to_be_bytes()[..], &new.request].concat();
        self.batch.put(order(account, signature), value);
        self.batch.put(order_expiry(new.expiry(), account, signature), size.to_be_bytes());
        self.batch.put(order_time(account, new.at, signature), size.to_be_bytes());
        self.recount(account, number.saturating_add(1), bytes.saturating_add(size))?;
        self.name(new.name(), Place::Order(*account, *signature));
        Ok(())
    }

    /// Removes an order.
    pub(super) fn forget(&mut self, account: &AccountAddress, signature: &[u8; 64]) -> Result<(), StoreError> {
        match self.store.fetch_order(account, signature)? {
            Some(known) => self.erase(&known),
            None => Ok(()),
        }
    }

    fn order_count(&mut self, account: &AccountAddress) -> Result<(u64, u64), StoreError> {
        self.orders.get(account).map_or_else(|| self.counts.orders(self.store, account), |counted| Ok(*counted))
    }

    /// Until when a record lasts by the orders kept; `None` if it is gone.
    pub(super) fn admitted_until(&mut self, record: &Record, now: u64) -> Result<Option<u64>, StoreError> {
        let deposit = record.deposit();
        // Most accounts have given no orders.
        let rulings = match self.order_count(&deposit.account)? {
            (0, 0) => Vec::new(),
            _ => self.rulings(&BoxId::new(&deposit.account, deposit.namespace), &record.hash())?,
        };
        Ok(admitted_until(record, &rulings, now))
    }

    fn recount(&mut self, account: &AccountAddress, number: u64, bytes: u64) -> Result<(), StoreError> {
        let (number_before, bytes_before) = self.order_count(account)?;
        if number_before > 0 {
            self.batch.delete(order_holder(charged_for_orders(number_before, bytes_before), account));
        }
        self.orders.insert(*account, (number, bytes));
        if number == 0 {
            self.batch.delete(order_count(account));
        } else {
            self.batch.put(order_count(account), [number, bytes].map(u64::to_be_bytes).as_flattened());
            self.batch.put(order_holder(charged_for_orders(number, bytes), account), []);
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, old: &Order) -> Result<(), StoreError> {
        let Order { account, signature, at, .. } = old;
        let size = old.request.len() as u64;
        let (number, bytes) = self.order_count(account)?;
        self.recount(account, number.saturating_sub(1), bytes.saturating_sub(size))?;
        self.batch.delete(order(account, signature));
        self.batch.delete(order_expiry(old.expiry(), account, signature));
        self.batch.delete(order_time(account, *at, signature));
        self.hush(old)?;
        self.unname(old.name());
        self.state.orders = self.state.orders.saturating_sub(old.charged());
        Ok(())
    }
}
