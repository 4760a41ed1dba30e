//! Frames of established paths: as they come, at a hop that knows the keys, and at the client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_onion::{
    Hop, HopSecret,
    established::{Accepted, AnswerFrame, LinkFrame, PathLimits, PathOpening, PathTable, SealedRequest},
};
use skep_primitives::ServiceNodeId;

fuzz_target!(|bytes: &[u8]| {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = HopSecret::from_ed25519_seed(&[7; 32]);
    let hop = Hop { id: ServiceNodeId([7; 32]), x25519: secret.public() };
    let mut table = PathTable::new(PathLimits { paths: 10, under_way: 10 });

    // A path of one hop, as it should be opened.
    let (opening, open) = PathOpening::start(&[hop], &mut rng).expect("a usable key");
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&open) else { unreachable!("an Open frame") };
    let joined = Accepted::read(&secret, handshake, &mut rng).and_then(Accepted::end).expect("for this hop");
    let opened = table.insert(1, 10, joined, 0, &mut rng).expect("there is room");
    let mut path = opening.finish(&opened).expect("the hop's answer");
    let SealedRequest { frame, reader } = path.seal(ServiceNodeId([9; 32]), bytes).expect("small enough");
    let Ok(LinkFrame::Forward { path: id, number, sealed }) = LinkFrame::parse(&frame) else {
        unreachable!("a Forward frame")
    };
    let known = table.find(1, id, 1).expect("just opened");

    // The input as a frame, as a layer on that path, as an answer.
    match LinkFrame::parse(bytes) {
        Ok(LinkFrame::Open { handshake }) => {
            // A recorded opening may come again: it makes a path of its own.
            if let Ok(joined) = Accepted::read(&secret, handshake, &mut rng).and_then(Accepted::end) {
                let opened = table.insert(2, 10, joined, 1, &mut rng).expect("there is room");
                assert!(matches!(AnswerFrame::parse(&opened), Ok(AnswerFrame::Opened { path, .. }) if path != id));
            }
        }
        Ok(LinkFrame::Forward { path, number, sealed }) => {
            assert!(table.find(2, path, 1).is_err(), "a path is its opener's");
            assert_eq!(table.find(1, path, 1).is_ok(), path == id);
            assert!(known.forward(number, sealed, Vec::new()).is_err());
        }
        Ok(LinkFrame::Close { path }) => {
            assert!(table.close(2, path).is_none());
            assert_eq!(table.close(1, path).is_some(), path == id);
        }
        Err(_) => {}
    }
    let _ = AnswerFrame::parse(bytes);
    assert!(known.forward(number, bytes, Vec::new()).is_err());
    assert!(reader.read(bytes).is_err());
    assert!(known.forward(number, sealed, Vec::new()).is_ok(), "what was refused used nothing up");
});
