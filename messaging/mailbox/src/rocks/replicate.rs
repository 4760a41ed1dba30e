//! What members compare and hand over: messages, and the orders that removed some.

use super::{
    Pending, RocksStore, failed,
    keys::{BoxId, Meta, order, order_expiry, order_expiry_start, order_prefix, read_order, read_order_expiry},
    read_position,
};
use crate::{Item, Order, Record, StoreError, store::outlived};
use prost::Message;
use rocksdb::{IteratorMode, ReadOptions, WriteBatch};
use skep_proto::{
    account::AccountAddress,
    peer,
    storage::{MessageHash, Namespace},
};

impl RocksStore {
    pub(super) fn visit_messages(&self, now: u64, visit: &mut dyn FnMut(Item)) -> Result<(), StoreError> {
        for entry in self.with_prefix(b"m".to_vec()) {
            let (key, value) = entry.map_err(failed("read mailboxes"))?;
            let (id, _) = BoxId::read_meta(&key).ok_or(StoreError::Damaged("a message's key"))?;
            let meta = Meta::read(&value).ok_or(StoreError::Damaged("a message's entry"))?;
            let account = id.account().ok_or(StoreError::Damaged("a message's key"))?;
            if meta.expiry > now {
                visit(Item::Message { account, namespace: id.namespace(), hash: meta.hash });
            }
        }
        Ok(())
    }

    pub(super) fn visit_orders(&self, now: u64, visit: &mut dyn FnMut(Item)) -> Result<(), StoreError> {
        for entry in self.with_prefix(b"o".to_vec()) {
            let (key, value) = entry.map_err(failed("read orders"))?;
            let (account, signature) = read_order(&key).ok_or(StoreError::Damaged("an order's key"))?;
            if read_value(&value)?.0 > now {
                visit(Item::Order { account, signature });
            }
        }
        Ok(())
    }

    pub(super) fn fetch_message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<Record>, StoreError> {
        let id = BoxId::new(account, namespace);
        let Some((position, meta)) = self.find(&id, hash)?.filter(|(_, meta)| meta.expiry > now) else {
            return Ok(None);
        };
        let data = self.db.get_pinned(id.data(position)).map_err(failed("read a message"))?;
        let wire = data.and_then(|data| peer::Store::decode(data.as_ref()).ok());
        let record = wire.and_then(|wire| Record::from_wire(wire).ok()).ok_or(StoreError::Damaged("a message"))?;
        Ok(Some(record.kept_until(meta.expiry)))
    }

    pub(super) fn fetch_order(
        &self,
        account: &AccountAddress,
        signature: &[u8; 64],
        now: u64,
    ) -> Result<Option<Order>, StoreError> {
        let value = self.db.get_pinned(order(account, signature)).map_err(failed("read an order"))?;
        let Some(value) = value else { return Ok(None) };
        let (expiry, request) = read_value(&value)?;
        let order = Order { account: *account, signature: *signature, request: request.to_vec(), expiry };
        Ok((expiry > now).then_some(order))
    }

    pub(super) fn orders_of(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        let mut orders = Vec::new();
        for entry in self.with_prefix(order_prefix(account)) {
            let (key, value) = entry.map_err(failed("read orders"))?;
            let (account, signature) = read_order(&key).ok_or(StoreError::Damaged("an order's key"))?;
            let (expiry, request) = read_value(&value)?;
            if expiry > now {
                orders.push(Order { account, signature, request: request.to_vec(), expiry });
            }
        }
        Ok(orders)
    }

    /// Removes at most `limit` orders that need no longer be kept.
    pub(super) fn expire_orders(&self, now: u64, limit: usize) -> Result<(), StoreError> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(order_expiry_start(0)..order_expiry_start(now.saturating_add(1)));
        let mut state = self.state();
        let mut batch = WriteBatch::default();
        let mut freed = 0;
        for entry in self.db.iterator_opt(IteratorMode::Start, bounds).take(limit) {
            let (key, size) = entry.map_err(failed("look for orders"))?;
            let (account, signature) = read_order_expiry(&key).ok_or(StoreError::Damaged("an order's end"))?;
            freed += read_position(&size)?;
            batch.delete(order(&account, &signature));
            batch.delete(key);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let after = super::State { bytes: state.bytes.saturating_sub(freed), ..*state };
        batch.put(super::STATE, after.to_bytes());
        self.db.write(batch).map_err(failed("remove orders"))?;
        *state = after;
        Ok(())
    }
}

impl Pending<'_> {
    /// Keeps an order for those who missed it; of one account those that last longest.
    pub(super) fn remember(&mut self, new: &Order) -> Result<(), StoreError> {
        let known = self.store.orders_of(&new.account, 0)?;
        if known.iter().any(|known| known.signature == new.signature) {
            return Ok(());
        }
        for old in outlived(known, new.request.len()) {
            self.batch.delete(order(&old.account, &old.signature));
            self.batch.delete(order_expiry(old.expiry, &old.account, &old.signature));
            self.state.bytes = self.state.bytes.saturating_sub(old.request.len() as u64);
        }
        let size = new.request.len() as u64;
        self.state.bytes = self.state.bytes.saturating_add(size);
        let value = [&new.expiry.to_be_bytes()[..], &new.request].concat();
        self.batch.put(order(&new.account, &new.signature), value);
        self.batch.put(order_expiry(new.expiry, &new.account, &new.signature), size.to_be_bytes());
        Ok(())
    }
}

pub(super) fn read_value(value: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (expiry, request) = value.split_first_chunk().ok_or(StoreError::Damaged("an order"))?;
    Ok((u64::from_be_bytes(*expiry), request))
}
