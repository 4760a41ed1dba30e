//! What service nodes say to each other: a record that is read survives the wire, and a replica is judged or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use skep_mailbox::{MemoryStore, Record, command_of};
use skep_proto::peer::{self, request};
use skep_replication::judge;

const NOW: u64 = 1_700_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(peer::Request { request: Some(request) }) = peer::Request::decode(bytes) else { return };
    match request {
        request::Request::Store(wire) => {
            let Ok(record) = Record::from_wire(wire) else { return };
            assert_eq!(Record::from_wire(record.to_wire()).as_ref(), Ok(&record));
        }
        request::Request::Command(peer::Command { request, .. }) => {
            let _ = command_of(&request);
        }
        request::Request::HandOver(peer::HandOver { replicas }) => {
            let store = MemoryStore::new(u64::MAX);
            for replica in replicas {
                let _ = judge(&store, replica, |_| true, NOW);
            }
        }
        _ => {}
    }
});
