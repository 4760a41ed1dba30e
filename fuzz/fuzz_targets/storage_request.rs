//! The storage RPC's JSON: what is read can be written, and reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_proto::storage::{Request, signed};

fuzz_target!(|body: &[u8]| {
    let Ok(request) = Request::parse(body) else { return };
    if let Request::Single(skep_proto::storage::Method::Command(command)) = &request {
        let _ = signed::command(&command.action);
    }
    let written = serde_json::to_vec(&request).expect("requests serialize");
    assert_eq!(Request::parse(&written).as_ref(), Ok(&request));
});
