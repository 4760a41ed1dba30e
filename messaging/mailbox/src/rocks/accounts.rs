//! How much is kept of each account: counted in the batch that changes it, so that asking costs one read.

use super::{
    BoxId, Meta, Pending, RocksStore, State, failed,
    keys::{self, TalliesKey, read_tallies, read_tallies_key, write_tallies},
    read_position,
};
use crate::{Allowance, Quotas, Record, Standing, StoreError, Tallies, Usage, store::charged_for_orders};
use rocksdb::WriteBatch;
use skep_proto::account::AccountAddress;
use std::{collections::HashMap, hash::Hash};

/// Accounts whose counts are remembered; beyond this, all are forgotten and read again. About a MiB.
const REMEMBERED: usize = 8192;

/// Counts as they stand in the database, of accounts that got mail lately. Whoever writes holds them, so they are never stale.
#[derive(Debug, Default)]
pub(super) struct Counts {
    mail: HashMap<TalliesKey, Tallies>,
    /// Number and bytes of an account's orders.
    orders: HashMap<AccountAddress, (u64, u64)>,
}

impl Counts {
    fn mail(&mut self, store: &RocksStore, key: &TalliesKey) -> Result<Tallies, StoreError> {
        if let Some(known) = self.mail.get(key) {
            return Ok(*known);
        }
        let tallies = store.tallies(key)?;
        self.learn_mail([(*key, tallies)]);
        Ok(tallies)
    }

    pub(super) fn orders(&mut self, store: &RocksStore, account: &AccountAddress) -> Result<(u64, u64), StoreError> {
        if let Some(known) = self.orders.get(account) {
            return Ok(*known);
        }
        let counted = store.order_count(account)?;
        self.learn_orders([(*account, counted)]);
        Ok(counted)
    }

    /// Takes note of what stands in the database now.
    pub(super) fn learn_mail(&mut self, written: impl IntoIterator<Item = (TalliesKey, Tallies)>) {
        written.into_iter().for_each(|(key, tallies)| remember(&mut self.mail, key, tallies));
    }

    /// Takes note of what stands in the database now.
    pub(super) fn learn_orders(&mut self, written: impl IntoIterator<Item = (AccountAddress, (u64, u64))>) {
        written.into_iter().for_each(|(account, counted)| remember(&mut self.orders, account, counted));
    }
}

fn remember<K: Eq + Hash, V>(known: &mut HashMap<K, V>, key: K, value: V) {
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, value);
}

/// What entered and left one account within a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    entered: Tallies,
    left: Tallies,
}

impl Shift {
    fn apply(&self, tallies: &Tallies) -> Tallies {
        let one = |usage: &Usage, entered: &Usage, left: &Usage| Usage {
            messages: usage.messages.saturating_add(entered.messages).saturating_sub(left.messages),
            bytes: usage.bytes.saturating_add(entered.bytes).saturating_sub(left.bytes),
        };
        Tallies {
            proven: one(&tallies.proven, &self.entered.proven, &self.left.proven),
            unproven: one(&tallies.unproven, &self.entered.unproven, &self.left.unproven),
        }
    }
}

/// What counting everything anew found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// Accounts whose counts were wrong.
    pub wrong_accounts: u64,
    /// The store's own count was wrong.
    pub wrong_total: bool,
    /// What is kept.
    pub usage: Usage,
    /// Of that, unproven mail.
    pub unproven: Usage,
    /// Bytes of orders, as they are charged.
    pub orders: u64,
    /// Revocations.
    pub revocations: u64,
}

impl RocksStore {
    /// The counts that stand at `key`.
    pub(super) fn tallies(&self, key: &[u8]) -> Result<Tallies, StoreError> {
        let bytes = self.db.get_pinned(key).map_err(failed("read an account's counts"))?;
        match bytes {
            None => Ok(Tallies::default()),
            Some(bytes) => read_tallies(&bytes).ok_or(StoreError::Damaged("an account's counts")),
        }
    }

    /// Counts everything kept anew and compares it with the counts quotas go by; with `mend`, wrong ones are put right. Nothing
    /// is written meanwhile by others. The cost is that of reading every message's entry; memory does not grow with them.
    pub fn recount(&self, mend: bool) -> Result<Recount, StoreError> {
        let mut counts = self.counts();
        let state = self.state();
        let mut found = Recount::default();
        let mut right =
            State { kept: Usage::default(), unproven: Usage::default(), orders: 0, revocations: 0, ..state };
        let mut batch = WriteBatch::default();
        let mut compare = |key: &[u8], counted: &Tallies| -> Result<(), StoreError> {
            if self.tallies(key)? != *counted {
                found.wrong_accounts += 1;
                batch.put(key, write_tallies(counted));
            }
            Ok(())
        };
        // Entries are ordered by account.
        let mut current: Option<(TalliesKey, Tallies)> = None;
        for entry in self.with_prefix(b"m".to_vec()) {
            let (key, value) = entry.map_err(failed("read mailboxes"))?;
            let (id, _) = BoxId::read_meta(&key).ok_or(StoreError::Damaged("a message's key"))?;
            let Meta { size, standing, .. } = Meta::read(&value).ok_or(StoreError::Damaged("a message's entry"))?;
            let (key, size) = (id.tallies(), u64::from(size));
            if let Some((before, counted)) = current.take_if(|(before, _)| *before != key) {
                compare(&before, &counted)?;
            }
            current.get_or_insert_with(|| (key, Tallies::default())).1.enter(standing, size);
            right.enter(standing, size);
        }
        if let Some((key, counted)) = current {
            compare(&key, &counted)?;
        }
        for entry in self.with_prefix(b"q".to_vec()) {
            let (key, _) = entry.map_err(failed("read accounts' counts"))?;
            let account = read_tallies_key(&key).ok_or(StoreError::Damaged("an account's key"))?;
            if self.with_prefix(keys::meta_prefix(&account)).next().is_none() {
                found.wrong_accounts += 1;
                batch.delete(key);
            }
        }
        for entry in self.with_prefix(b"r".to_vec()) {
            entry.map_err(failed("read revocations"))?;
            right.revocations += 1;
        }
        for entry in self.with_prefix(b"x".to_vec()) {
            let (_, size) = entry.map_err(failed("read orders"))?;
            right.orders += charged_for_orders(1, read_position(&size)?);
        }
        found.wrong_total = right != state;
        (found.usage, found.unproven) = (right.kept, right.unproven);
        (found.orders, found.revocations) = (right.orders, right.revocations);
        if mend && (found.wrong_total || found.wrong_accounts > 0) {
            batch.put(super::STATE, right.to_bytes());
            self.db.write(batch).map_err(failed("write counts"))?;
            *counts = Counts::default();
            self.set_state(right);
        }
        Ok(found)
    }
}

impl State {
    fn enter(&mut self, standing: Standing, size: u64) {
        self.kept.enter(size);
        if standing == Standing::Unproven {
            self.unproven.enter(size);
        }
    }

    fn leave(&mut self, standing: Standing, size: u64) {
        self.kept.leave(size);
        if standing == Standing::Unproven {
            self.unproven.leave(size);
        }
    }

    /// What is left for an account with this mail.
    pub(super) const fn allowance(&self, quotas: Quotas, mailbox: Tallies) -> Allowance {
        let (total, unproven_total) = (self.kept.charged(), self.unproven.charged());
        Allowance { quotas, mailbox, total, unproven_total, orders: self.orders }
    }
}

impl Pending<'_> {
    /// What is left for the account of a box, by what this batch does so far.
    pub(super) fn allowance(&mut self, id: &BoxId) -> Result<Allowance, StoreError> {
        let key = id.tallies();
        let kept = self.counts.mail(self.store, &key)?;
        let mailbox = self.shifts.get(&key).map_or(kept, |shift| shift.apply(&kept));
        Ok(self.state.allowance(self.store.quotas(), mailbox))
    }

    /// Whether `record` is kept already, or could be.
    pub(super) fn has_room(&mut self, record: &Record) -> Result<bool, StoreError> {
        let deposit = record.deposit();
        let id = BoxId::new(&deposit.account, deposit.namespace);
        let is_known = self.find(id, record.hash())?.is_some();
        Ok(is_known || self.allowance(&id)?.holds(record.standing(), deposit.data.len() as u64))
    }

    /// Counts a message that is kept with another standing from now on; false, and nothing changes, if there is no room.
    pub(super) fn restand(&mut self, id: &BoxId, known: &Meta, standing: Standing) -> Result<bool, StoreError> {
        let size = u64::from(known.size);
        if known.standing == standing {
            return Ok(true);
        }
        if !self.allowance(id)?.may_change_to(standing, size) {
            return Ok(false);
        }
        self.discount(id, known.standing, size);
        self.count(id, standing, size);
        Ok(true)
    }

    pub(super) fn count(&mut self, id: &BoxId, standing: Standing, size: u64) {
        self.shifts.entry(id.tallies()).or_default().entered.enter(standing, size);
        self.state.enter(standing, size);
    }

    pub(super) fn discount(&mut self, id: &BoxId, standing: Standing, size: u64) {
        self.shifts.entry(id.tallies()).or_default().left.enter(standing, size);
        self.state.leave(standing, size);
    }

    /// Puts the changed counts into the batch, and tells them.
    pub(super) fn write_counts(&mut self) -> Result<Vec<(TalliesKey, Tallies)>, StoreError> {
        let mut changed = Vec::with_capacity(self.shifts.len());
        for (key, shift) in self.shifts.drain() {
            let tallies = shift.apply(&self.counts.mail(self.store, &key)?);
            if tallies == Tallies::default() {
                self.batch.delete(key);
            } else {
                self.batch.put(key, write_tallies(&tallies));
            }
            changed.push((key, tallies));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, suite};
    use tempfile::tempdir;

    #[test]
    fn wrong_counts_are_found_and_mended() {
        let directory = tempdir().unwrap();
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        let records: Vec<_> = (0..9).map(|number| suite::record(number as u8 % 3, 0, number, 1_000_000)).collect();
        store.put(&records, 0).unwrap();
        let right = store.recount(false).unwrap();
        assert_eq!((right.wrong_accounts, right.wrong_total, right.usage), (0, false, store.usage()));

        let account = records[1].deposit().account;
        let key = keys::tallies(&account);
        store.db.put(key, [0; 32]).unwrap();
        store.db.put(keys::tallies(&suite::account(99)), [1; 32]).unwrap();
        let mut state = store.state();
        state.kept.bytes += 5;
        store.set_state(state);
        let wrong = store.recount(true).unwrap();
        assert_eq!((wrong.wrong_accounts, wrong.wrong_total), (2, true));
        assert_eq!(store.recount(false).unwrap(), right);
        assert_eq!(store.allowance(&account).unwrap().mailbox.unproven.messages, 3);
        assert_eq!(store.usage(), right.usage);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_stands_in_the_database() {
        let directory = tempdir().unwrap();
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        let record = suite::record(1, 0, 1, 1_000_000);
        store.put(std::slice::from_ref(&record), 0).unwrap();
        let account = record.deposit().account;
        let mut counts = store.counts();
        let known = counts.mail(&store, &keys::tallies(&account)).unwrap();
        assert_eq!((known, known.unproven.messages), (store.tallies(&keys::tallies(&account)).unwrap(), 1));
        assert_eq!(counts.orders(&store, &account).unwrap(), (0, 0));
        for number in 0..REMEMBERED as u64 + 1 {
            let mut key = [0; 34];
            key[..8].copy_from_slice(&number.to_be_bytes());
            counts.learn_mail([(key, Tallies::default())]);
        }
        assert!(counts.mail.len() <= REMEMBERED);
        assert_eq!(counts.mail(&store, &keys::tallies(&account)).unwrap(), known, "read again");
    }
}
