//! Carrying out owners' orders.

use super::{
    Pending, RocksStore, failed,
    keys::{
        BoxId, Meta, Place, Revoked, hash_prefix, meta_prefix, read_revocation, read_revocation_holder, revocation,
        revocation_holder, revocation_prefix,
    },
};
use crate::{
    Change, Changed, Part, Record, StoreError, Touched,
    ruling::{Ruling, settled_expiry},
    store::{PART_CHANGED, PART_READ, is_wanted, most_displaced, nth_expiry},
};
use rocksdb::{DBIterator, IteratorMode, PrefixRange, ReadOptions};
use skep_proto::{
    account::AccountAddress,
    storage::{ExpiryMode, MessageHash, Scope, SubaccountToken, limits::MAX_REVOCATIONS},
};
use std::collections::{BTreeMap, HashSet};

/// A message: its box, where it is, and what is told of it.
type Found = (BoxId, u64, Meta);

/// Some of what is in a scope.
struct Selection {
    found: Vec<Found>,
    /// How many entries were read.
    read: usize,
    /// Where to go on.
    next: Option<Vec<u8>>,
}

impl RocksStore {
    pub(super) fn with_prefix(&self, prefix: Vec<u8>) -> DBIterator<'_> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(PrefixRange(prefix));
        self.db.iterator_opt(IteratorMode::Start, bounds)
    }

    /// A message of `account` in every box that has it.
    pub(super) fn find_everywhere(
        &self,
        account: &AccountAddress,
        hash: &MessageHash,
    ) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for entry in self.with_prefix(hash_prefix(account, hash)) {
            let (key, position) = entry.map_err(failed("look up a message"))?;
            let id = BoxId::read_by_hash(&key).ok_or(StoreError::Damaged("a message's key"))?;
            let (position, meta) = self.read_found(&id, &position)?;
            found.push((id, position, meta));
        }
        Ok(found)
    }

    /// The messages of `account` in `scope`, from an entry on, each with its key.
    fn entries(
        &self,
        account: &AccountAddress,
        scope: Scope,
        from: Option<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Box<[u8]>, Found), StoreError>> {
        let prefix = match scope {
            Scope::One(namespace) => BoxId::new(account, namespace).meta_prefix(),
            Scope::All => meta_prefix(account),
        };
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(PrefixRange(prefix));
        if let Some(from) = from {
            bounds.set_iterate_lower_bound(from);
        }
        self.db.iterator_opt(IteratorMode::Start, bounds).map(|entry| {
            let (key, value) = entry.map_err(failed("read a mailbox"))?;
            let (id, position) = BoxId::read_meta(&key).ok_or(StoreError::Damaged("a message's key"))?;
            let meta = Meta::read(&value).ok_or(StoreError::Damaged("a message's entry"))?;
            Ok((key, (id, position, meta)))
        })
    }

    /// Every message of `account` in `scope` that `wanted` wants.
    fn select(
        &self,
        account: &AccountAddress,
        scope: Scope,
        wanted: impl Fn(&Meta) -> bool,
    ) -> Result<Vec<Found>, StoreError> {
        let wanted = |entry: &Result<(_, (_, _, Meta)), _>| entry.as_ref().map_or(true, |(_, (.., meta))| wanted(meta));
        self.entries(account, scope, None).filter(wanted).map(|entry| Ok(entry?.1)).collect()
    }

    /// Those among the next messages of a scope that `wanted` wants, and where to go on.
    fn select_part(
        &self,
        account: &AccountAddress,
        scope: Scope,
        from: Option<Vec<u8>>,
        wanted: impl Fn(&Meta) -> bool,
    ) -> Result<Selection, StoreError> {
        let (mut found, mut read, mut next) = (Vec::new(), 0, None);
        for entry in self.entries(account, scope, from) {
            let (key, entry) = entry?;
            if read == PART_READ || found.len() == PART_CHANGED {
                next = Some(key.into());
                break;
            }
            read += 1;
            if wanted(&entry.2) {
                found.push(entry);
            }
        }
        Ok(Selection { found, read, next })
    }

    /// The messages that a change of an owner is about.
    pub(super) fn concerned(&self, change: &Change, now: u64) -> Result<Vec<Found>, StoreError> {
        let alive = |meta: &Meta| meta.expiry > now;
        match change {
            Change::Delete { account, messages, .. } | Change::SetExpiry { account, messages, .. } => {
                let mut found = Vec::new();
                for hash in messages {
                    found.extend(self.find_everywhere(account, hash)?);
                }
                found.retain(|(.., meta)| alive(meta));
                Ok(found)
            }
            Change::DeleteSent { account, scope, .. } | Change::LimitExpiry { account, scope, .. } => {
                self.select(account, *scope, alive)
            }
            Change::Forget { .. } | Change::Revoke { .. } | Change::Unrevoke { .. } => Ok(Vec::new()),
        }
    }

    /// Revocations with their times, the newest first.
    pub(super) fn revocations(&self, account: &AccountAddress) -> Result<Vec<(Revoked, SubaccountToken)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.with_prefix(revocation_prefix(account)) {
            let (key, revoked) = entry.map_err(failed("look up revocations"))?;
            let token = read_revocation(&key).ok_or(StoreError::Damaged("a revocation"))?;
            found.push((Revoked::read(&revoked).ok_or(StoreError::Damaged("a revocation"))?, token));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }
}

/// Whether a message is here and was sent by a time.
fn is_sent(until: u64, now: u64) -> impl Fn(&Meta) -> bool {
    move |meta| meta.expiry > now && meta.timestamp <= until
}

/// Whether a message is here and is to last longer than that.
fn is_later(expiry: u64, now: u64) -> impl Fn(&Meta) -> bool {
    move |meta| meta.expiry > now && meta.expiry > expiry
}

impl Pending<'_> {
    /// Removes all that lies in the outbox of `record`, but `record` itself. `false` if another member hands it over and
    /// something newer is there.
    pub(super) fn clear_outbox(&mut self, record: &Record, now: u64) -> Result<bool, StoreError> {
        let deposit = record.deposit();
        let others = |meta: &Meta| meta.hash != record.hash();
        let inside = self.store.select(&deposit.account, Scope::One(deposit.namespace), others)?;
        let is_newer = |meta: &Meta| (meta.timestamp, meta.hash) > (deposit.timestamp, record.hash());
        if record.is_replica() && inside.iter().any(|(.., meta)| meta.expiry > now && is_newer(meta)) {
            return Ok(false);
        }
        for (id, position, meta) in inside {
            self.remove(&id, position, &meta);
        }
        Ok(true)
    }

    pub(super) fn change(&mut self, change: &Change, now: u64) -> Result<Changed, StoreError> {
        let alive = |meta: &Meta| meta.expiry > now;
        match change {
            Change::Delete { account, messages, until } => {
                let sent = is_sent(*until, now);
                let mut touched = Vec::new();
                // Named twice, it goes once.
                for hash in messages.iter().collect::<HashSet<_>>() {
                    let found = self.store.find_everywhere(account, hash)?;
                    touched.extend(found.into_iter().filter(|(.., meta)| sent(meta)).map(|found| self.delete(found)));
                }
                Ok(Changed::Messages(touched))
            }
            Change::DeleteSent { account, scope, until } => {
                let found = self.store.select(account, *scope, is_sent(*until, now))?;
                Ok(Changed::Messages(self.delete_all(found)))
            }
            Change::SetExpiry { account, messages, expiry, mode, at } => {
                let mut touched = Vec::new();
                for (number, hash) in messages.iter().enumerate() {
                    let Some(expiry) = nth_expiry(expiry, number) else { break };
                    let said = Ruling::on_expiry(*at, expiry, *mode);
                    for found in self.store.find_everywhere(account, hash)?.into_iter().filter(|(.., meta)| alive(meta))
                    {
                        touched.push(self.set_expiry(found, expiry, *mode, said)?);
                    }
                }
                Ok(Changed::Messages(touched))
            }
            Change::LimitExpiry { account, scope, expiry, at } => {
                let found = self.store.select(account, *scope, is_later(*expiry, now))?;
                self.limit_all(found, *expiry, *at).map(Changed::Messages)
            }
            Change::Forget { names } => {
                let mut touched = Vec::new();
                for name in names {
                    match self.store.place(name)? {
                        Some(Place::Message(id, position)) => {
                            let meta = self.store.read_meta(&id, position)?;
                            let meta = meta.ok_or(StoreError::Damaged("a message's entry"))?;
                            touched.push(self.delete((id, position, meta)));
                        }
                        Some(Place::Order(account, signature)) => self.forget(&account, &signature)?,
                        None => {}
                    }
                }
                Ok(Changed::Messages(touched))
            }
            Change::Revoke { account, tokens, at, given } => {
                self.revoke(account, tokens, Revoked { at: *at, given: *given })
            }
            Change::Unrevoke { account, tokens } => self.unrevoke(account, tokens),
        }
    }

    /// The next part of a change of a whole scope.
    pub(super) fn change_part(&mut self, change: &Change, from: Option<Vec<u8>>, now: u64) -> Result<Part, StoreError> {
        match change {
            Change::DeleteSent { account, scope, until } => {
                let Selection { found, read, next } =
                    self.store.select_part(account, *scope, from, is_sent(*until, now))?;
                Ok(Part { touched: self.delete_all(found), read, next })
            }
            Change::LimitExpiry { account, scope, expiry, at } => {
                let Selection { found, read, next } =
                    self.store.select_part(account, *scope, from, is_later(*expiry, now))?;
                Ok(Part { touched: self.limit_all(found, *expiry, *at)?, read, next })
            }
            Change::Delete { .. }
            | Change::SetExpiry { .. }
            | Change::Forget { .. }
            | Change::Revoke { .. }
            | Change::Unrevoke { .. } => Ok(Part::default()),
        }
    }

    fn delete_all(&mut self, found: Vec<Found>) -> Vec<Touched> {
        found.into_iter().map(|found| self.delete(found)).collect()
    }

    fn limit_all(&mut self, found: Vec<Found>, expiry: u64, at: u64) -> Result<Vec<Touched>, StoreError> {
        let (mode, said) = (ExpiryMode::Shorten, Ruling::on_expiry(at, expiry, ExpiryMode::Shorten));
        found.into_iter().map(|found| self.set_expiry(found, expiry, mode, said)).collect()
    }

    fn delete(&mut self, (id, position, meta): Found) -> Touched {
        self.remove(&id, position, &meta);
        Touched { namespace: id.namespace(), hash: meta.hash, expiry: meta.expiry, changed: true }
    }

    /// Lets a message expire as all that is said of it has it, `said` included.
    fn set_expiry(
        &mut self,
        (id, position, meta): Found,
        to: u64,
        mode: ExpiryMode,
        said: Ruling,
    ) -> Result<Touched, StoreError> {
        // It may have been named before in the same order.
        let meta = self.known.get(&(id, meta.hash)).map_or(meta, |(_, known)| *known);
        let mut rulings = self.rulings(&id, &meta.hash)?;
        rulings.push(said);
        let expiry = settled_expiry(meta.timestamp, meta.deposited, &rulings);
        let changed = is_wanted(mode, meta.expiry, to) && expiry == to;
        if expiry != meta.expiry {
            self.enter(id, position, Meta { expiry, ..meta }, Some(&meta));
        }
        Ok(Touched { namespace: id.namespace(), hash: meta.hash, expiry, changed })
    }

    fn revoke(
        &mut self,
        account: &AccountAddress,
        tokens: &[SubaccountToken],
        revoked: Revoked,
    ) -> Result<Changed, StoreError> {
        let known = self.store.revocations(account)?;
        let mut all: Vec<_> = known.iter().copied().filter(|(_, token)| !tokens.contains(token)).collect();
        for token in tokens {
            let known = known.iter().find(|(_, known)| known == token).map(|(known, _)| *known);
            all.push((known.map_or(revoked, |known| known.max(revoked)), *token));
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup_by_key(|(_, token)| *token);
        all.truncate(MAX_REVOCATIONS);
        self.displace_revocations(account, all.len().saturating_sub(known.len()) as u64)?;
        self.count_revocations(account, known.len(), all.len());
        for (_, token) in &known {
            self.batch.delete(revocation(account, token));
        }
        let mut added = 0;
        for (revoked, token) in &all {
            self.batch.put(revocation(account, token), revoked.to_bytes());
            added += u64::from(!known.iter().any(|(_, known)| known == token));
        }
        Ok(Changed::Tokens(added))
    }

    fn unrevoke(&mut self, account: &AccountAddress, tokens: &[SubaccountToken]) -> Result<Changed, StoreError> {
        let known = self.store.revocations(account)?;
        let mut removed = 0;
        for (_, token) in known.iter().filter(|(_, token)| tokens.contains(token)) {
            self.batch.delete(revocation(account, token));
            removed += 1;
        }
        self.count_revocations(account, known.len(), known.len() - removed);
        Ok(Changed::Tokens(removed as u64))
    }

    /// Forgets revocations of other accounts, so that one may have so many more: always the oldest of who has most.
    fn displace_revocations(&mut self, speaking: &AccountAddress, grown: u64) -> Result<(), StoreError> {
        let (number, most) = (self.state.revocations.saturating_add(grown), self.store.quotas().revocations());
        let mut excess = most_displaced(number, grown, most);
        if excess == 0 {
            return Ok(());
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(PrefixRange(b"v".to_vec()));
        let mut holders = self.store.db.iterator_opt(IteratorMode::End, bounds).map(|entry| {
            let (key, _) = entry.map_err(failed("look for revocations"))?;
            read_revocation_holder(&key).ok_or(StoreError::Damaged("a count of revocations"))
        });
        // As many as may have to give way, by how many they have left.
        let mut largest = BTreeMap::<_, Vec<_>>::new();
        for holder in holders.by_ref().take(usize::try_from(excess).unwrap_or(usize::MAX).saturating_add(1)) {
            let (number, account) = holder?;
            if account != *speaking {
                largest.insert((number, account), Vec::new());
            }
        }
        while excess > 0
            && let Some(((number, account), mut gone)) = largest.pop_last()
        {
            if gone.is_empty() {
                gone = self.store.revocations(&account)?;
            }
            let Some((_, token)) = gone.pop() else { continue };
            self.batch.delete(revocation(&account, &token));
            self.count_revocations(&account, gone.len() + 1, gone.len());
            excess -= 1;
            if !gone.is_empty() {
                largest.insert((number.saturating_sub(1), account), gone);
            }
        }
        Ok(())
    }

    /// An account has so many revocations from now on.
    fn count_revocations(&mut self, account: &AccountAddress, before: usize, after: usize) {
        let (before, after) = (before as u64, after as u64);
        self.state.revocations = self.state.revocations.saturating_sub(before).saturating_add(after);
        if before != after {
            self.batch.delete(revocation_holder(before, account));
        }
        if after > 0 {
            self.batch.put(revocation_holder(after, account), []);
        }
    }
}
