//! Looking through a whole store: what is in it, whether it is sound, and giving room back to the disk.

use super::{
    Recount, RocksStore, failed,
    keys::{
        self, BoxId, Meta, Place, Revoked, STATE, State, about_tokens, bucket_of, order_count, order_expiry,
        order_holder, order_prefix, order_time, read_about_tokens, read_account, read_expiry, read_name, read_order,
        read_order_count, read_order_expiry, read_order_holder, read_order_time, read_revocation,
        read_revocation_holder, read_tallies, read_tallies_key, revocation_holder, revocation_prefix,
    },
    words::{keys_of, read_words},
};
use crate::{
    Order, Record, StoreError, command::change_of, replica::command_of, ruling::Rulings, store::charged_for_orders,
};
use prost::Message;
use rocksdb::{FlushOptions, IteratorMode, ReadOptions};
use skep_proto::{account::AccountAddress, peer};
use std::fmt;

/// What a store holds, entry by entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Messages, expired ones not yet removed included.
    pub messages: u64,
    /// Their data in bytes.
    pub message_bytes: u64,
    /// Owners' orders kept for members that missed them.
    pub orders: u64,
    /// Their requests in bytes.
    pub order_bytes: u64,
    /// Revoked subaccounts.
    pub revocations: u64,
    /// Accounts with at least one message.
    pub accounts: u64,
    /// The most bytes of messages any account has.
    pub largest_account_bytes: u64,
    /// Messages whose life is over.
    pub expired: u64,
    /// Bytes of the database's files, its log not included.
    pub file_bytes: u64,
}

/// One entry that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The entry's key; empty where the store's account of itself is wrong.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What may be wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Its key or value cannot be read.
    #[error("cannot be read")]
    Unreadable,
    /// A key this version writes nothing under.
    #[error("is of no known kind")]
    Unknown,
    /// A message whose data is missing.
    #[error("is a message without its data")]
    NoData,
    /// A message whose data gives another hash, or is another account's.
    #[error("is a message whose data does not give its hash")]
    WrongHash,
    /// A message whose size or time is told wrongly.
    #[error("is a message whose size or time does not fit its data")]
    WrongEntry,
    /// A message that is not found by its hash.
    #[error("is a message that is not found by its hash")]
    NotByHash,
    /// A message that is not found when it expires.
    #[error("is a message that the index of expiries lacks")]
    NotByExpiry,
    /// A message that would be removed before its time, or never.
    #[error("is a message in the wrong bucket of expiries")]
    WrongBucket,
    /// A position that is yet to be given.
    #[error("is a message at a position not given yet")]
    Ahead,
    /// An index entry or data that leads to no message.
    #[error("leads to no message")]
    Orphan,
    /// A message or an order that members would not find when they compare what they have.
    #[error("is nothing that members find when they compare")]
    NotByName,
    /// An order that one of its indexes lacks.
    #[error("is an order that an index of orders lacks")]
    OrderIndex,
    /// An index of orders, or a ruling, that leads to no order.
    #[error("leads to no order")]
    OrphanOrder,
    /// An account whose orders are counted wrongly.
    #[error("is a wrong count of an account's orders")]
    OrderCount,
    /// An account whose revocations are counted wrongly.
    #[error("is a wrong count of an account's revocations")]
    RevocationCount,
    /// An order whose request is signed otherwise.
    #[error("is an order whose request does not carry its signature")]
    WrongOrder,
    /// Accounts whose mail is counted wrongly.
    #[error("counts the mail of {0} accounts wrongly")]
    AccountCounts(u64),
    /// What the store says about itself is not what is there.
    #[error("counts {told} {what}, but {found} are there")]
    Count {
        /// Of what.
        what: &'static str,
        /// What the store says.
        told: u64,
        /// What is there.
        found: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((kind, rest)) = self.key.split_first() else { return write!(f, "the store {}", self.kind) };
        write!(f, "entry {}", char::from(*kind).escape_default())?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " {}", self.kind)
    }
}

impl RocksStore {
    /// Reads every entry: whether each message gives its hash, each index leads there and back, everything stands in the right
    /// bucket of expiries, and the totals are right. Calls `report` for each fault.
    ///
    /// # Errors
    /// The database's, where it cannot even read on (its own checksums are checked too).
    pub fn verify(&self, report: &mut dyn FnMut(Fault)) -> Result<Contents, StoreError> {
        let mut audit = Audit { store: self, state: self.state(), found: Contents::default() };
        self.each_entry(|key, value| {
            if let Some(kind) = audit.judge(key, value)? {
                report(Fault { key: key.to_vec(), kind });
            }
            Ok(())
        })?;
        let Audit { state, found, .. } = audit;
        let orders = charged_for_orders(found.orders, found.order_bytes);
        for (what, told, found) in [
            ("messages", state.kept.messages, found.messages),
            ("bytes", state.kept.bytes, found.message_bytes),
            ("revocations", state.revocations, found.revocations),
            ("bytes charged for orders", state.orders, orders),
        ] {
            if told != found {
                report(Fault { key: Vec::new(), kind: FaultKind::Count { what, told, found } });
            }
        }
        // What cannot be read has been told of.
        if let Ok(Recount { wrong_accounts, unproven, .. }) = self.recount(false) {
            if wrong_accounts > 0 {
                report(Fault { key: Vec::new(), kind: FaultKind::AccountCounts(wrong_accounts) });
            }
            for (what, told, found) in [
                ("unpaid messages", state.unproven.messages, unproven.messages),
                ("bytes of unpaid mail", state.unproven.bytes, unproven.bytes),
            ] {
                if told != found {
                    report(Fault { key: Vec::new(), kind: FaultKind::Count { what, told, found } });
                }
            }
        }
        Ok(found)
    }

    /// Counts what is there at `now` (ms), without reading any message's data.
    ///
    /// # Errors
    /// The database's.
    pub fn contents(&self, now: u64) -> Result<Contents, StoreError> {
        let mut contents = Contents { file_bytes: self.file_bytes()?, ..Contents::default() };
        let (mut account, mut account_bytes) = (None, 0_u64);
        for entry in self.with_prefix(b"m".to_vec()) {
            let (key, value) = entry.map_err(failed("read mailboxes"))?;
            let (id, _) = BoxId::read_meta(&key).ok_or(StoreError::Damaged("a message's key"))?;
            let meta = Meta::read(&value).ok_or(StoreError::Damaged("a message's entry"))?;
            if account != id.account() {
                (account, account_bytes) = (id.account(), 0);
                contents.accounts += 1;
            }
            account_bytes += u64::from(meta.size);
            contents.largest_account_bytes = contents.largest_account_bytes.max(account_bytes);
            contents.messages += 1;
            contents.message_bytes += u64::from(meta.size);
            contents.expired += u64::from(meta.expiry <= now);
        }
        for entry in self.with_prefix(b"o".to_vec()) {
            let (_, value) = entry.map_err(failed("read orders"))?;
            contents.orders += 1;
            // Behind the time at which it was given.
            contents.order_bytes += value.len().saturating_sub(size_of::<u64>()) as u64;
        }
        for entry in self.with_prefix(b"r".to_vec()) {
            entry.map_err(failed("read revocations"))?;
            contents.revocations += 1;
        }
        Ok(contents)
    }

    /// Rewrites the files without what has been removed. Takes as much room again while it runs.
    ///
    /// # Errors
    /// The database's: most often a full disk.
    pub fn compact(&self) -> Result<(), StoreError> {
        let mut wait = FlushOptions::default();
        wait.set_wait(true);
        self.db.flush_opt(&wait).map_err(failed("write out messages"))?;
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    /// Bytes of the database's files, its log not included.
    ///
    /// # Errors
    /// The database's.
    pub fn file_bytes(&self) -> Result<u64, StoreError> {
        let size = self.db.property_int_value("rocksdb.total-sst-files-size").map_err(failed("look at the files"))?;
        Ok(size.unwrap_or_default())
    }

    fn each_entry(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut once = ReadOptions::default();
        once.fill_cache(false);
        for entry in self.db.iterator_opt(IteratorMode::Start, once) {
            let (key, value) = entry.map_err(failed("read the store"))?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}

/// Reading every entry and holding it against the others.
struct Audit<'a> {
    store: &'a RocksStore,
    state: State,
    found: Contents,
}

type Judgement = Result<Option<FaultKind>, StoreError>;

impl Audit<'_> {
    fn judge(&mut self, key: &[u8], value: &[u8]) -> Judgement {
        match key.first() {
            _ if key == STATE => Ok(None),
            Some(b'm') => self.message(key, value),
            Some(b'd') => self.data(key),
            Some(b'h') => self.by_hash(key, value),
            Some(b'e') => self.expiry(key),
            Some(b'r') => self.revocation(key, value),
            Some(b'v') => self.revocation_holder(key),
            Some(b'c') => self.name(key, value),
            Some(b'o') => self.order(key, value),
            Some(b'x') => self.order_end(key, value),
            Some(b'y') => self.order_time(key, value),
            Some(b'z') => self.order_count(key, value),
            Some(b'w') => self.order_holder(key),
            Some(b'i' | b'g') => self.words(key, value),
            Some(b't') => self.about_tokens(key),
            Some(b'q') => Ok(self.tallies(key, value)),
            Some(_) | None => Ok(Some(FaultKind::Unknown)),
        }
    }

    /// Whether they are right is seen once everything has been counted.
    fn tallies(&self, key: &[u8], value: &[u8]) -> Option<FaultKind> {
        let is_readable = read_tallies_key(key).is_some() && read_tallies(value).is_some();
        (!is_readable).then_some(FaultKind::Unreadable)
    }

    fn message(&mut self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some((id, position)), Some(meta)) = (BoxId::read_meta(key), Meta::read(value)) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.found.messages += 1;
        self.found.message_bytes += u64::from(meta.size);
        if position >= self.state.next {
            return Ok(Some(FaultKind::Ahead));
        }
        if meta.bucket < bucket_of(meta.expiry) || meta.bucket < self.state.first_bucket {
            return Ok(Some(FaultKind::WrongBucket));
        }
        if self.value(&id.by_hash(&meta.hash))?.as_deref() != Some(&position.to_be_bytes()) {
            return Ok(Some(FaultKind::NotByHash));
        }
        if self.value(&id.expiry(meta.bucket, position))?.is_none() {
            return Ok(Some(FaultKind::NotByExpiry));
        }
        let Some(name) = meta.name(&id) else { return Ok(Some(FaultKind::Unreadable)) };
        if self.place(&keys::name(&name))? != Some(Place::Message(id, position)) {
            return Ok(Some(FaultKind::NotByName));
        }
        let Some(data) = self.value(&id.data(position))? else { return Ok(Some(FaultKind::NoData)) };
        let record = peer::Store::decode(data.as_slice()).ok().and_then(|wire| Record::from_wire(wire).ok());
        let Some(record) = record else { return Ok(Some(FaultKind::Unreadable)) };
        let deposit = record.deposit();
        if record.hash() != meta.hash || BoxId::new(&deposit.account, deposit.namespace) != id {
            return Ok(Some(FaultKind::WrongHash));
        }
        let fits = deposit.data.len() as u64 == u64::from(meta.size)
            && (deposit.timestamp, deposit.expiry) == (meta.timestamp, meta.deposited);
        Ok((!fits).then_some(FaultKind::WrongEntry))
    }

    fn data(&self, key: &[u8]) -> Judgement {
        let Some((id, position)) = BoxId::read_meta(key) else { return Ok(Some(FaultKind::Unreadable)) };
        self.leads_to(id, position, |_| true)
    }

    fn by_hash(&self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some(id), Ok(position)) = (BoxId::read_by_hash(key), value.try_into()) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.leads_to(id, u64::from_be_bytes(position), |meta| id.by_hash(&meta.hash) == key)
    }

    fn expiry(&self, key: &[u8]) -> Judgement {
        let Some((bucket, id, position)) = read_expiry(key) else { return Ok(Some(FaultKind::Unreadable)) };
        self.leads_to(id, position, |meta| meta.bucket == bucket)
    }

    /// Whether there is a message at a position, and the one that is meant.
    fn leads_to(&self, id: BoxId, position: u64, is_meant: impl Fn(&Meta) -> bool) -> Judgement {
        let meta = self.value(&id.meta(position))?.and_then(|meta| Meta::read(&meta));
        Ok((!meta.is_some_and(|meta| is_meant(&meta))).then_some(FaultKind::Orphan))
    }

    fn revocation(&mut self, key: &[u8], value: &[u8]) -> Judgement {
        self.found.revocations += 1;
        let (Some(account), Some(_), Some(_)) = (read_account(key), read_revocation(key), Revoked::read(value)) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        let holder = revocation_holder(self.revocations_of(&account)?, &account);
        Ok(self.value(&holder)?.is_none().then_some(FaultKind::RevocationCount))
    }

    fn revocation_holder(&self, key: &[u8]) -> Judgement {
        let Some((told, account)) = read_revocation_holder(key) else { return Ok(Some(FaultKind::Unreadable)) };
        Ok((told != self.revocations_of(&account)?).then_some(FaultKind::RevocationCount))
    }

    fn revocations_of(&self, account: &AccountAddress) -> Result<u64, StoreError> {
        let mut number = 0;
        for entry in self.store.with_prefix(revocation_prefix(account)) {
            entry.map_err(failed("look up revocations"))?;
            number += 1;
        }
        Ok(number)
    }

    fn name(&self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some(name), Some(place)) = (read_name(key), Place::read(value)) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        match place {
            Place::Message(id, position) => self.leads_to(id, position, |meta| meta.name(&id) == Some(name)),
            Place::Order(account, signature) => {
                let found = self.store.fetch_order(&account, &signature)?;
                Ok(found.is_none_or(|order| order.name() != name).then_some(FaultKind::OrphanOrder))
            }
        }
    }

    fn order(&mut self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some((account, signature)), Some((at, request))) = (read_order(key), value.split_first_chunk()) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.found.orders += 1;
        self.found.order_bytes += request.len() as u64;
        let order = Order { account, signature, request: request.to_vec(), at: u64::from_be_bytes(*at) };
        let command =
            command_of(request).filter(|command| command.account == account && command.auth.signature == signature);
        let Some(change) = command.and_then(|command| change_of(&command, order.at)) else {
            return Ok(Some(FaultKind::WrongOrder));
        };
        let size = (request.len() as u64).to_be_bytes();
        for index in [order_expiry(order.expiry(), &account, &signature), order_time(&account, order.at, &signature)] {
            if self.value(&index)?.as_deref() != Some(&size) {
                return Ok(Some(FaultKind::OrderIndex));
            }
        }
        if self.place(&keys::name(&order.name()))? != Some(Place::Order(account, signature)) {
            return Ok(Some(FaultKind::NotByName));
        }
        if self.value(&order_count(&account))?.is_none() {
            return Ok(Some(FaultKind::OrderCount));
        }
        // What later orders have said otherwise is not kept; an order goes with the last of its words.
        let speaks = match Rulings::of(&change) {
            Rulings::Silent => self.value(&about_tokens(&account, &signature))?.is_some(),
            rulings @ (Rulings::Named(_) | Rulings::Scoped(..)) => {
                let mut speaks = false;
                for (key, _) in keys_of(&account, &rulings) {
                    // Words that cannot be read are told where they stand.
                    let words = self.value(&key)?.and_then(|words| read_words(&words)).unwrap_or_default();
                    speaks = speaks || words.iter().any(|(_, by)| *by == signature);
                }
                speaks
            }
        };
        Ok((!speaks).then_some(FaultKind::OrderIndex))
    }

    fn order_end(&self, key: &[u8], value: &[u8]) -> Judgement {
        let Some((account, signature)) = read_order_expiry(key).filter(|_| value.len() == size_of::<u64>()) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.leads_to_order(&account, &signature, |order| order_expiry(order.expiry(), &account, &signature) == key)
    }

    fn order_time(&self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some(account), Some((at, signature)), 8) = (read_account(key), read_order_time(key), value.len()) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.leads_to_order(&account, &signature, |order| order.at == at)
    }

    fn order_count(&self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some(account), Some((number, bytes))) = (read_account(key), value.split_first_chunk()) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        let (mut found, mut found_bytes) = (0_u64, 0_u64);
        for entry in self.store.with_prefix(order_prefix(&account)) {
            let (_, order) = entry.map_err(failed("read orders"))?;
            found += 1;
            found_bytes += order.len().saturating_sub(size_of::<u64>()) as u64;
        }
        let holder = self.value(&order_holder(charged_for_orders(found, found_bytes), &account))?;
        let is_right = *number == found.to_be_bytes() && bytes == found_bytes.to_be_bytes() && holder.is_some();
        Ok((!is_right).then_some(FaultKind::OrderCount))
    }

    fn order_holder(&self, key: &[u8]) -> Judgement {
        let Some((told, account)) = read_order_holder(key) else { return Ok(Some(FaultKind::Unreadable)) };
        let counted = self.value(&order_count(&account))?.and_then(|count| read_order_count(&count));
        let is_right = counted.is_some_and(|(number, bytes)| charged_for_orders(number, bytes) == told);
        Ok((!is_right).then_some(FaultKind::OrderCount))
    }

    /// What orders say of messages.
    fn words(&self, key: &[u8], value: &[u8]) -> Judgement {
        let (Some(account), Some(words)) = (read_account(key), read_words(value)) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        for (_, signature) in words {
            if let Some(fault) = self.leads_to_order(&account, &signature, |_| true)? {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }

    fn about_tokens(&self, key: &[u8]) -> Judgement {
        let (Some(account), Some(signature)) = (read_account(key), read_about_tokens(key)) else {
            return Ok(Some(FaultKind::Unreadable));
        };
        self.leads_to_order(&account, &signature, |_| true)
    }

    fn leads_to_order(
        &self,
        account: &AccountAddress,
        signature: &[u8; 64],
        is_meant: impl Fn(&Order) -> bool,
    ) -> Judgement {
        let found = self.store.fetch_order(account, signature)?;
        Ok((!found.is_some_and(|order| is_meant(&order))).then_some(FaultKind::OrphanOrder))
    }

    fn place(&self, key: &[u8]) -> Result<Option<Place>, StoreError> {
        Ok(self.value(key)?.and_then(|place| Place::read(&place)))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.db.get(key).map_err(failed("read the store"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Quotas, Store, store::REVOCATION_BYTES, suite};
    use proptest::prelude::*;
    use skep_proto::storage::{Access, SubaccountToken};
    use tempfile::tempdir;

    fn faults(store: &RocksStore) -> Vec<FaultKind> {
        let mut found = Vec::new();
        store.verify(&mut |fault| found.push(fault.kind)).unwrap();
        found
    }

    #[test]
    fn revocations_are_held_against_their_index() {
        let directory = tempdir().unwrap();
        let store =
            RocksStore::open(directory.path(), Quotas { orders: 16 * REVOCATION_BYTES, ..1_000.into() }).unwrap();
        let token = |number: u8| SubaccountToken::new(5, Access::READ, &[number; 32]);
        for owner in 1..6 {
            let (account, at) = (suite::account(owner), owner.into());
            let tokens = vec![token(1), token(2)];
            store.change(&Change::Revoke { account, tokens, at, given: at }, None, 0).unwrap();
            assert_eq!(store.revoked(&account).unwrap().len(), 2, "{owner}");
        }
        let unrevoke = Change::Unrevoke { account: suite::account(5), tokens: vec![token(2)] };
        store.change(&unrevoke, None, 0).unwrap();
        assert_eq!((faults(&store), store.contents(0).unwrap().revocations), (vec![], 3));
        store.db.delete(revocation_holder(1, &suite::account(5))).unwrap();
        assert_eq!(faults(&store), [FaultKind::RevocationCount]);
        store.db.put(revocation_holder(9, &suite::account(5)), []).unwrap();
        assert_eq!(faults(&store), [FaultKind::RevocationCount; 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn whatever_is_done_to_a_store_it_is_sound(steps in suite::walk::steps()) {
            let directory = tempdir().unwrap();
            let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
            suite::walk::behaves_like_a_list(&store, steps);
            prop_assert_eq!(faults(&store), vec![]);
        }
    }

    #[test]
    fn each_damage_is_told() {
        let directory = tempdir().unwrap();
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        let records: Vec<_> = (0..3).map(|number| suite::record(1, 0, number, 1_000_000)).collect();
        store.put(&records, 0).unwrap();
        assert_eq!(faults(&store), []);
        let id = BoxId::new(&records[0].deposit().account, records[0].deposit().namespace);
        let bucket = bucket_of(1_000_000);
        let meta = Meta::read(&store.db.get(id.meta(0)).unwrap().unwrap()).unwrap();

        let damaged = |key: &[u8], value: Option<&[u8]>| {
            let before = store.db.get(key).unwrap();
            match value {
                Some(value) => store.db.put(key, value).unwrap(),
                None => store.db.delete(key).unwrap(),
            }
            let found = faults(&store);
            match before {
                Some(before) => store.db.put(key, before).unwrap(),
                None => store.db.delete(key).unwrap(),
            }
            found
        };
        let other_data = store.db.get(id.data(1)).unwrap().unwrap();
        let (late, early) = (Meta { bucket: bucket + 1, ..meta }, Meta { bucket: bucket - 1, ..meta });
        let name = keys::name(&records[0].name());
        assert_eq!(damaged(&name, None), [FaultKind::NotByName]);
        assert_eq!(damaged(&name, Some(&Place::Message(id, 1).to_bytes())), [FaultKind::Orphan, FaultKind::NotByName]);
        assert_eq!(damaged(&id.data(0), None), [FaultKind::NoData]);
        assert_eq!(damaged(&id.data(0), Some(&other_data)), [FaultKind::WrongHash]);
        assert_eq!(damaged(&id.data(0), Some(b"\xff")), [FaultKind::Unreadable]);
        assert_eq!(damaged(&id.by_hash(&meta.hash), None), [FaultKind::NotByHash]);
        assert_eq!(damaged(&id.expiry(bucket, 0), None), [FaultKind::NotByExpiry]);
        assert_eq!(damaged(&id.meta(0), Some(&late.to_bytes())), [FaultKind::Orphan, FaultKind::NotByExpiry]);
        assert_eq!(damaged(&id.meta(0), Some(&early.to_bytes())), [FaultKind::Orphan, FaultKind::WrongBucket]);
        let size = Meta { size: meta.size + 1, ..meta };
        let told = |what, told, found| FaultKind::Count { what, told, found };
        // All of it is unpaid mail of one account.
        let counts = |bytes| [FaultKind::AccountCounts(1), told("bytes of unpaid mail", 24, bytes)];
        assert_eq!(
            damaged(&id.meta(0), Some(&size.to_bytes())),
            [[FaultKind::WrongEntry, told("bytes", 24, 25)], counts(25)].concat()
        );
        assert_eq!(damaged(&id.tallies(), None), [FaultKind::AccountCounts(1)]);
        assert_eq!(damaged(&id.tallies(), Some(b"few")), [FaultKind::Unreadable]);
        assert_eq!(damaged(&id.expiry(bucket, 77), Some(b"")), [FaultKind::Orphan]);
        assert_eq!(damaged(b"k", Some(b"")), [FaultKind::Unknown]);
        assert_eq!(
            damaged(&id.meta(0), None),
            // Its name, its data, and both indexes.
            [
                [FaultKind::Orphan; 4].as_slice(),
                &[told("messages", 3, 2), told("bytes", 24, 16), FaultKind::AccountCounts(1)],
                &[told("unpaid messages", 3, 2), told("bytes of unpaid mail", 24, 16)],
            ]
            .concat()
        );
        assert_eq!(faults(&store), [], "all is as before");
    }

    #[test]
    fn contents_are_counted_and_compacting_keeps_them() {
        let directory = tempdir().unwrap();
        let store = RocksStore::open(directory.path(), u64::MAX).unwrap();
        let records: Vec<_> =
            (0..10).map(|number| suite::record(1 + (number % 2) as u8, 0, number, 500 + number)).collect();
        store.put(&records, 0).unwrap();
        store.compact().unwrap();
        let contents = store.contents(504).unwrap();
        assert_eq!((contents.messages, contents.message_bytes, contents.accounts), (10, 80, 2));
        assert_eq!((contents.expired, contents.largest_account_bytes), (5, 40));
        assert!(contents.file_bytes > 0);
        assert_eq!(faults(&store), []);
    }
}
