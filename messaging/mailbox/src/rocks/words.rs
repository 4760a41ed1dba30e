//! What kept orders say of messages, found by what they say it of.

use super::{
    BoxId, Pending, RocksStore, failed,
    keys::{about_tokens, named, scoped},
};
use crate::{
    Order, StoreError,
    command::change_of,
    replica::command_of,
    ruling::{Ruling, Rulings, superfluous},
};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Scope},
};
use std::collections::{BTreeSet, hash_map::Entry};

const SIGNATURE_LEN: usize = 64;
const WORD_LEN: usize = Ruling::LEN + SIGNATURE_LEN;

/// The signature that names an order.
type Signature = [u8; SIGNATURE_LEN];

/// What is said, and by which order.
pub(super) type Word = (Ruling, Signature);

pub(super) fn write_words(words: &[Word]) -> Vec<u8> {
    words.iter().flat_map(|(ruling, signature)| [&ruling.to_bytes()[..], signature].concat()).collect()
}

/// Words as [`write_words`] writes them; at least one.
pub(super) fn read_words(bytes: &[u8]) -> Option<Vec<Word>> {
    let (words, rest) = bytes.as_chunks::<WORD_LEN>();
    let word = |bytes: &[u8; WORD_LEN]| {
        let (ruling, signature) = bytes.split_at_checked(Ruling::LEN)?;
        Some((Ruling::read(ruling)?, signature.try_into().ok()?))
    };
    if words.is_empty() || !rest.is_empty() { None } else { words.iter().map(word).collect() }
}

/// The keys under which an order speaks of messages.
pub(super) fn keys_of(account: &AccountAddress, rulings: &Rulings) -> Vec<(Vec<u8>, Ruling)> {
    match rulings {
        Rulings::Named(all) => all.iter().map(|(hash, ruling)| (named(account, hash), *ruling)).collect(),
        Rulings::Scoped(scope, ruling) => vec![(scoped(account, *scope), *ruling)],
        Rulings::Silent => Vec::new(),
    }
}

/// What a kept order says; `None` if it cannot be read.
pub(super) fn rulings_of(order: &Order) -> Option<Rulings> {
    command_of(&order.request).and_then(|command| change_of(&command, order.at)).as_ref().map(Rulings::of)
}

impl RocksStore {
    /// What is said under a key made by [`named`] or [`scoped`].
    pub(super) fn words(&self, key: &[u8]) -> Result<Vec<Word>, StoreError> {
        let words = self.db.get_pinned(key).map_err(failed("read orders"))?;
        words.map_or(Ok(Vec::new()), |words| read_words(&words).ok_or(StoreError::Damaged("what an order says")))
    }
}

impl Pending<'_> {
    /// All that is said of a message, but for what this very batch says.
    pub(super) fn rulings(&mut self, id: &BoxId, hash: &MessageHash) -> Result<Vec<Ruling>, StoreError> {
        let account = id.account().ok_or(StoreError::Damaged("a message's key"))?;
        if !self.scoped.contains_key(id) {
            let mut words = self.store.words(&scoped(&account, Scope::All))?;
            words.extend(self.store.words(&scoped(&account, Scope::One(id.namespace())))?);
            self.scoped.insert(*id, words.into_iter().map(|(ruling, _)| ruling).collect());
        }
        let named = self.store.words(&named(&account, hash))?;
        let of_all = self.scoped.get(id).into_iter().flatten().copied();
        Ok(of_all.chain(named.into_iter().map(|(ruling, _)| ruling)).collect())
    }

    /// Keeps what an order says, and no longer what that makes superfluous: orders of which nothing is left go. Whether
    /// anything of this one is to be kept.
    pub(super) fn speak(&mut self, order: &Order, rulings: &Rulings) -> Result<bool, StoreError> {
        let (account, own) = (&order.account, order.signature);
        if *rulings == Rulings::Silent {
            self.batch.put(about_tokens(account, &own), []);
            return Ok(true);
        }
        let (mut is_heard, mut displaced) = (false, BTreeSet::new());
        for (key, ruling) in keys_of(account, rulings) {
            let words = self.words(key)?;
            words.retain(|(_, signature)| *signature != own);
            words.push((ruling, own));
            let gone = superfluous(words);
            words.retain(|(_, signature)| !gone.contains(signature));
            is_heard |= !gone.contains(&own);
            displaced.extend(gone);
        }
        for signature in displaced.into_iter().filter(|signature| *signature != own) {
            if let Some(known) = self.store.fetch_order(account, &signature)?
                && !self.speaks(&known)?
            {
                self.erase(&known)?;
            }
        }
        Ok(is_heard)
    }

    /// Whether anything of what an order says is kept.
    fn speaks(&self, order: &Order) -> Result<bool, StoreError> {
        for (key, _) in rulings_of(order).iter().flat_map(|rulings| keys_of(&order.account, rulings)) {
            let is_kept = |words: &[Word]| words.iter().any(|(_, signature)| *signature == order.signature);
            let is_kept = match self.words.get(&key) {
                Some(words) => is_kept(words),
                None => is_kept(&self.store.words(&key)?),
            };
            if is_kept {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps nothing of what an order says.
    pub(super) fn hush(&mut self, order: &Order) -> Result<(), StoreError> {
        match rulings_of(order) {
            Some(Rulings::Silent) | None => self.batch.delete(about_tokens(&order.account, &order.signature)),
            Some(rulings) => {
                for (key, _) in keys_of(&order.account, &rulings) {
                    self.words(key)?.retain(|(_, signature)| *signature != order.signature);
                }
            }
        }
        Ok(())
    }

    /// What is said under a key, to be changed.
    fn words(&mut self, key: Vec<u8>) -> Result<&mut Vec<Word>, StoreError> {
        Ok(match self.words.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let words = self.store.words(vacant.key())?;
                vacant.insert(words)
            }
        })
    }

    /// Adds to the batch what is said from now on.
    pub(super) fn write_words(&mut self) {
        for (key, words) in self.words.drain() {
            match words.is_empty() {
                true => self.batch.delete(key),
                false => self.batch.put(key, write_words(&words)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::UPGRADING, *};
    use crate::{Change, Quotas, Record, Store, suite};
    use proptest::prelude::*;
    use skep_proto::storage::{Action, ExpiryMode};
    use tempfile::tempdir;

    /// An order of owner 1 that this message last until then.
    fn keep(number: u8, record: &Record, expiry: u64, at: u64) -> (Change, Order) {
        let action = Action::Expire { messages: vec![record.hash()], expiry: vec![expiry], mode: ExpiryMode::Set };
        suite::signed(1, [number; 64], action, at)
    }

    #[test]
    fn what_had_a_key_for_each_word_is_written_down_anew() {
        const START: u64 = 2_000_000_000;
        let directory = tempdir().unwrap();
        let open = || RocksStore::open(directory.path(), Quotas::from(u64::MAX)).unwrap();
        let record = suite::record(1, 0, 1, START + 10);
        let orders = [keep(1, &record, START + 100, START + 1), keep(2, &record, START + 200, START + 2)];
        {
            let store = open();
            store.put(std::slice::from_ref(&record), START).unwrap();
            for (change, order) in &orders {
                store.change(change, Some(order), START + 3).unwrap();
            }
            // As it was kept before: both orders, and each word under a key of its own.
            let account = record.deposit().account;
            let mut pending = store.pending(0);
            pending.keep(&orders[0].1, &Rulings::Silent).unwrap();
            pending.batch.delete(about_tokens(&account, &orders[0].1.signature));
            pending.batch.delete(named(&account, &record.hash()));
            for (_, order) in &orders {
                let key = [&named(&account, &record.hash())[..], &order.signature].concat();
                pending.batch.put(key, Ruling::on_expiry(order.at, START + 100, ExpiryMode::Set).to_bytes());
            }
            pending.write("go back").unwrap();
            let state = store.state();
            let state = [&6_u32.to_be_bytes()[..], &state.to_bytes()[4..]].concat();
            store.db.put(super::super::STATE, state).unwrap();
        }
        let store = open();
        let mut faults = Vec::new();
        store.verify(&mut |fault| faults.push(fault.kind)).unwrap();
        assert_eq!(faults, []);
        store.sync().unwrap();
        assert!(!store.has(&orders[0].1.name()).unwrap() && store.has(&orders[1].1.name()).unwrap());
        let key = named(&record.deposit().account, &record.hash());
        assert_eq!(store.words(&key).unwrap().len(), 1);

        // Cut short after what there was has been removed.
        store.db.put(UPGRADING, []).unwrap();
        store.db.delete(&key).unwrap();
        drop(store);
        let store = open();
        assert_eq!(store.words(&key).unwrap().len(), 1);
        assert!(store.db.get(UPGRADING).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn words_survive_the_disk(words in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u8>()), 1..20)) {
            let words: Vec<_> = words
                .into_iter()
                .map(|(at, expiry, by)| (Ruling::on_expiry(at, expiry, ExpiryMode::Shorten), [by; 64]))
                .collect();
            let bytes = write_words(&words);
            prop_assert_eq!(read_words(&bytes), Some(words));
            prop_assert_eq!(read_words(&bytes[1..]), None);
        }
    }
}
