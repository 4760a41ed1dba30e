//! Frames of a comparison, on both sides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_mailbox::Item;
use skep_proto::{account::AccountAddress, storage::Namespace};
use skep_replication::{Holdings, Session, answer};

fn holdings() -> Holdings {
    Holdings::new((0_u8..200).map(|number| Item::Message {
        account: AccountAddress::from_x25519([number; 32]),
        namespace: Namespace(0),
        hash: [number; 32].into(),
    }))
}

fuzz_target!(|frame: &[u8]| {
    let ours = holdings();
    let _ = answer(&ours, frame);
    let (mut session, _) = Session::start(&ours).expect("starts");
    let _ = session.handle(frame);
});
