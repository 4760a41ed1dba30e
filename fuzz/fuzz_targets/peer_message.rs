//! What service nodes say to each other: a record that is read survives the wire.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use skep_mailbox::{Record, admit_replica};
use skep_proto::peer::{self, replica, request};

const NOW: u64 = 1_700_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(peer::Request { request: Some(request) }) = peer::Request::decode(bytes) else { return };
    let wire = match request {
        request::Request::Store(wire) => wire,
        request::Request::Replica(peer::Replica { item: Some(replica::Item::Message(wire)) }) => wire,
        _ => return,
    };
    let Ok(record) = Record::from_wire(wire) else { return };
    let _ = admit_replica(&record, &[], NOW);
    assert_eq!(Record::from_wire(record.to_wire()).as_ref(), Ok(&record));
});
