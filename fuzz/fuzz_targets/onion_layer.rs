//! A body of `POST /onion_req/v2`: as it comes, and as a layer that decrypts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_onion::{Frame, HopSecret, peel};

fuzz_target!(|body: &[u8]| {
    let secret = HopSecret::from_ed25519_seed(&[7; 32]);
    if let Ok(frame) = Frame::parse(body) {
        let _ = frame.peel(&secret);
    }
    let _ = peel(&secret, body);
});
