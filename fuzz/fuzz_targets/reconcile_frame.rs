//! Comparisons, on both sides: any question is answered or refused, any answer used or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use skep_mailbox::{MemoryStore, NameRange, Record, Store};
use skep_proto::{
    account::AccountAddress,
    peer::{Reconcile, Reconciled, Response},
    storage::{Namespace, StoreRequest},
};
use skep_replication::{Release, Session, VERSION, answer};
use std::sync::LazyLock;

static OURS: LazyLock<MemoryStore> = LazyLock::new(|| {
    let store = MemoryStore::new(u64::MAX);
    let record = |number: u8| {
        Record::new(StoreRequest {
            account: AccountAddress::from_x25519([number; 32]),
            namespace: Namespace(0),
            timestamp: 1,
            expiry: 1_000_000,
            data: vec![number],
            auth: None,
            work: None,
        })
    };
    store.put(&(0..200).map(record).collect::<Vec<_>>(), 0).expect("memory takes everything");
    store
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(asked) = Reconcile::decode(bytes) {
        let _ = answer(&*OURS, &[NameRange::ALL], &Reconcile { version: VERSION, ..asked });
    }
    if let Ok(answers) = Reconciled::decode(bytes) {
        let mut session = Session::new(vec![NameRange::ALL]);
        let asked = session.ask(&*OURS).expect("reads").expect("there is something");
        assert!(!asked.questions.is_empty());
        let _ = session.handle(&*OURS, &answers);
        let _ = session.take_gifts(&*OURS, 100);
    }
    if let Ok(response) = Response::decode(bytes) {
        let mut release = Release::new(vec![NameRange::ALL]);
        release.next_page(&*OURS).expect("reads").expect("there is something");
        let is_taken = release.handle(response, |_| false).is_ok();
        assert!(is_taken || release.confirmed(1).is_empty(), "what is refused confirms nothing");
    }
});
