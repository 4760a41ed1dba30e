//! Stores with messages by number, for the tests of several modules.

use skep_mailbox::{MemoryStore, Record, Store};
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, StoreRequest},
};
use std::ops::Range;

/// The clock of these tests (ms).
pub(crate) const NOW: u64 = 1_700_000_000_000;

/// A message of an account of its own, taken a moment ago.
pub(crate) fn message(number: u64) -> Record {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Record::new(StoreRequest {
        account: AccountAddress::from_x25519(key),
        namespace: Namespace::DEFAULT,
        timestamp: NOW,
        expiry: NOW + 3_600_000,
        data: number.to_be_bytes().to_vec(),
        auth: None,
        work: None,
    })
}

/// A store with these messages.
pub(crate) fn store_of(numbers: Range<u64>) -> MemoryStore {
    let store = MemoryStore::new(u64::MAX);
    let records: Vec<_> = numbers.map(message).collect();
    store.put(&records, NOW).and_then(|_| store.sync()).expect("memory takes everything");
    store
}
