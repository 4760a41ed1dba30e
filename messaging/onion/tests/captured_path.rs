//! What each hop of a path can read of one onion request, with every key in hand. `docs/clients/onion-path.md` shows it.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_onion::{Hop, HopSecret, Peeled, ReplyBody, WrapOptions, peel, wrap};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    storage::{Method, Namespace, Request, StoreRequest},
};
use std::fmt::Write;

/// A node of the path: what the roster tells of it, and its secret.
fn node(number: u8) -> (Hop, HopSecret) {
    let secret = HopSecret::from_ed25519_seed(&[number; 32]);
    (Hop { id: ServiceNodeId([number; 32]), x25519: secret.public() }, secret)
}

fn short(id: ServiceNodeId) -> String {
    id.to_string().chars().take(8).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The request that is sent: a sealed message for an account.
fn request(recipient: AccountAddress) -> Vec<u8> {
    let (account, namespace, timestamp) = (recipient, Namespace::DEFAULT, 1_800_000_000_000);
    let (data, expiry) = (vec![0xa5; 1024], timestamp + 14 * 24 * 3_600_000);
    let store = StoreRequest { account, namespace, timestamp, expiry, data, auth: None, work: None };
    serde_json::to_vec(&Request::Single(Method::Store(store))).expect("serializes")
}

/// Peels the request as the hops do, one after the other, and writes down what each has in its hands.
fn capture() -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let recipient = AccountAddress::from_x25519([0x77; 32]);
    let request = request(recipient);
    let path = [node(1), node(2), node(3)];
    let destination = node(4);
    let hops = [path[0].0, path[1].0, path[2].0];
    let wrapped = wrap(&hops, &destination.0, &request, WrapOptions::default(), &mut rng).expect("wraps");

    let (mut seen, mut body) = (String::new(), wrapped.body);
    let mut from = "the client's address".to_owned();
    let secrets = [recipient.to_string().into_bytes(), recipient.key().to_vec(), b"\"store\"".to_vec()];
    for (name, (hop, secret)) in ["guard", "middle", "last hop"].iter().zip(&path) {
        let Ok(Peeled::Relay { next, body: rest }) = peel(secret, &body) else { panic!("a relay layer") };
        // Before and after its own layer is off, there is nothing of the request, nor of any node but the next.
        for bytes in [&body, &rest] {
            assert!(secrets.iter().all(|secret| !contains(bytes, secret)), "{name}");
            for (other, _) in path.iter().chain([&destination]) {
                assert!(!contains(bytes, &other.id.0) && !contains(bytes, other.id.to_string().as_bytes()), "{name}");
            }
        }
        // Nobody else's key opens it.
        for (other, secret) in path.iter().chain([&destination]) {
            assert!(other.id == hop.id || peel(secret, &body).is_err(), "{name}");
        }
        let _ = writeln!(
            seen,
            "{name} {}: {} bytes from {from}\n  can read: pass {} bytes on to node {}\n  cannot read: those bytes",
            short(hop.id),
            body.len(),
            rest.len(),
            short(next)
        );
        (from, body) = (format!("node {}", short(hop.id)), rest);
    }
    let Ok(Peeled::Deliver { request: delivered, reply }) = peel(&destination.1, &body) else {
        panic!("the innermost")
    };
    assert_eq!(delivered, request);
    let shown: String = String::from_utf8(delivered).expect("JSON").chars().take(130).collect();
    let _ = writeln!(
        seen,
        "destination {}: {} bytes from {from}\n  can read: {shown}...\n  cannot read: `data`, which is sealed to the account; who sent it",
        short(destination.0.id),
        body.len()
    );
    // The answer goes back through the same hops: each sees the same bytes, and only the client can open them.
    let answer = reply.seal(200, ReplyBody::Text("kept"), &mut rng).expect("seals");
    assert!(!contains(&answer, b"kept"));
    assert_eq!(wrapped.opener.open(&answer).expect("opens").body, "kept");
    let _ = writeln!(seen, "answer: {} bytes, the same at every hop, readable by the client alone", answer.len());
    seen
}

#[test]
fn each_hop_reads_its_neighbours_and_nothing_else_and_the_page_says_so() {
    let seen = capture();
    let page = include_str!("../../../docs/clients/onion-path.md");
    assert!(page.contains(&seen), "docs/clients/onion-path.md has to show:\n{seen}");
}
