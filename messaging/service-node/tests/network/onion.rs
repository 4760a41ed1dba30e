//! Onion requests through real nodes over loopback.

use crate::support::{Network, Owner, config, entry, node_key, start_node, view};
use blake2::{Blake2b, Digest, digest::consts::U32};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::Aead};
use serde_json::{Value, json};
use skep_mailbox::MemoryStore;
use skep_onion::{Answer, EncType, Hop, PathError, ReplyOpener, WrapOptions, Wrapped, wrap};
use skep_primitives::ServiceNodeId;
use skep_proto::storage::{
    MemberResult, Method, Request, RetrieveResponse, StoreResponse, SwarmResponse, decode_base64, limits::ONION_TIMEOUT,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use x25519_dalek::{PublicKey, StaticSecret};

fn hop(id: ServiceNodeId) -> Hop {
    Hop::from_id(id).expect("a usable key")
}

pub(crate) fn wrapped(network: &Network, path: &[usize], request: &[u8]) -> Wrapped {
    let mut hops: Vec<_> = path.iter().map(|number| hop(network.id(*number))).collect();
    let destination = hops.pop().expect("a destination");
    wrap(&hops, &destination, request, WrapOptions::default(), &mut rand::rng()).expect("wraps")
}

fn body_of(method: Method) -> Vec<u8> {
    serde_json::to_vec(&Request::Single(method)).expect("serializes")
}

fn open(opener: &ReplyOpener, (status, text): (u16, String)) -> Answer {
    assert_eq!(status, 200, "{text}");
    opener.open(text.as_bytes()).expect("an answer for us")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hops_carry_a_store_and_a_retrieve() {
    let network = Network::start(&[0, 0, 0, 0]).await;
    let owner = Owner::new(50);
    for enc_type in [EncType::XChaCha20, EncType::AesGcm] {
        let path: Vec<_> = (0..3).map(|number| hop(network.id(number))).collect();
        let options = WrapOptions { enc_type, ..WrapOptions::default() };
        let request = body_of(Method::Store(owner.deposit(enc_type.to_string().as_bytes())));
        let Wrapped { body, opener } =
            wrap(&path, &hop(network.id(3)), &request, options, &mut rand::rng()).expect("wraps");
        let answer = open(&opener, network.post(0, "/onion_req/v2", body).await);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let stored: StoreResponse = serde_json::from_str(&answer.body).expect("an answer to store");
        assert!(stored.swarm.values().all(|result| matches!(result, MemberResult::Done(_))));
    }
    let Wrapped { body, opener } = wrapped(&network, &[2, 0, 3, 1], &body_of(Method::Retrieve(owner.retrieval())));
    let answer = open(&opener, network.post(2, "/onion_req/v2", body).await);
    let page: RetrieveResponse = serde_json::from_str(&answer.body).expect("an answer to retrieve");
    assert_eq!(page.messages.len(), 2);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_request_is_not_served_again_at_any_hop() {
    let network = Network::start(&[0, 0, 0]).await;
    let Wrapped { body, opener } = wrapped(&network, &[0, 1, 2], &body_of(Method::Info));
    let answer = open(&opener, network.post(0, "/onion_req/v2", body.clone()).await);
    assert_eq!(answer.status, 200);
    let repeated = network.post(0, "/onion_req/v2", body).await;
    assert_eq!(repeated, (400, "Invalid ciphertext".to_owned()), "as any body that cannot be decrypted");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inner_answers_keep_their_status_and_text() {
    let network = Network::start(&[0, 1 << 63]).await;
    let near = |number: usize| {
        let view = view(network.entries.clone());
        let swarm = Some(network.entries[number].swarm);
        (50..).map(Owner::new).find(|owner| view.swarm_of(&owner.account().key()) == swarm).expect("one of many")
    };
    for (request, status, check) in [
        (b"nonsense".to_vec(), 400, (|body| assert_eq!(body, "invalid json")) as fn(&str)),
        (body_of(Method::Store(near(0).deposit(b"x"))), 421, |body| {
            // A string in a direct answer: the JSON of get_swarm.
            let swarm: SwarmResponse = serde_json::from_str(body).expect("a swarm");
            assert_eq!(swarm.swarm, "0");
        }),
    ] {
        let Wrapped { body, opener } = wrapped(&network, &[0, 1], &request);
        let answer = open(&opener, network.post(0, "/onion_req/v2", body).await);
        assert_eq!(answer.status, status);
        check(&answer.body);
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_path_are_told_in_plain_text() {
    let mut network = Network::start(&[0, 0]).await;
    let unknown = node_key(90).id();
    let request = body_of(Method::Info);
    let path = [hop(network.id(0)), hop(network.id(1))];
    let relay_to = |id| wrap(&path, &hop(id), &request, WrapOptions::default(), &mut rand::rng());
    let body = relay_to(unknown).expect("wraps").body;
    let answer = network.post(0, "/onion_req/v2", body).await;
    assert_eq!(answer, (502, format!("Next node not found: {unknown}")));
    assert_eq!(
        PathError::recognise(answer.0, answer.1.as_bytes()),
        Some(PathError::NextNodeNotFound(unknown)),
        "through one hop, unchanged"
    );

    // In the roster, but nobody is there.
    let absent = node_key(91);
    network.entries.push(entry(&absent, 1, 1, 0));
    network.publish(network.entries.clone());
    let body = relay_to(absent.id()).expect("wraps").body;
    let begun = Instant::now();
    assert_eq!(network.post(0, "/onion_req/v2", body).await, (504, "Request time out".to_owned()));
    let patience = Duration::from_millis(ONION_TIMEOUT);
    assert!(begun.elapsed() < patience, "it is told before who waits for the path has gone");

    let Wrapped { body, .. } = wrapped(&network, &[1], &request);
    assert_eq!(network.post(0, "/onion_req/v2", body).await, (400, "Invalid ciphertext".to_owned()));
    for garbage in [&b""[..], b"\xff\xff\xff\xff", b"\0\0\0\0{}", b"\x02\0\0\0xx[]"] {
        let (status, text) = network.post(0, "/onion_req/v2", garbage).await;
        assert_eq!(status, 400);
        assert!(text.starts_with("Error parsing onion request: "), "{text}");
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_not_spoken_to_by_peers() {
    let network = Network::start(&[0]).await;
    // It knows the others, they do not know it.
    let stranger = node_key(92);
    let mut entries = network.entries.clone();
    let (_roster, receiver) = {
        entries.push(entry(&stranger, 1, 1, 0));
        watch::channel(Arc::new(view(entries)))
    };
    let store = Arc::new(MemoryStore::new(0));
    let node = start_node(&config(""), &stranger, receiver, store).await;
    let path = [hop(stranger.id())];
    let Wrapped { body, .. } =
        wrap(&path, &hop(network.id(0)), &body_of(Method::Info), WrapOptions::default(), &mut rand::rng())
            .expect("wraps");
    let client = crate::support::client_of(stranger.id(), crate::support::BOTH_VERSIONS[1]);
    let answer = crate::support::post(&client, node.https_address(), "/onion_req/v2", body).await;
    assert_eq!(answer, (504, "Request time out".to_owned()));
    node.stop().await;
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_is_reached_at_once() {
    let mut network = Network::start(&[0, 0]).await;
    let ask = async |network: &Network| {
        let Wrapped { body, opener } = wrapped(network, &[0, 1], &body_of(Method::Info));
        open(&opener, network.post(0, "/onion_req/v2", body).await).status
    };
    assert_eq!(ask(&network).await, 200);
    network.restart_last().await;
    assert_eq!(ask(&network).await, 200);
    network.stop().await;
}

/// The same request as if it had come so far already.
fn come_so_far(body: &[u8], hop_no: u8) -> Vec<u8> {
    let (length, rest) = body.split_first_chunk().expect("a length");
    let (ciphertext, control) = rest.split_at(u32::from_le_bytes(*length) as usize);
    let mut control: Value = serde_json::from_slice(control).expect("JSON");
    control["hop_no"] = hop_no.into();
    [&length[..], ciphertext, control.to_string().as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_hops_are_counted_and_no_more() {
    let network = Network::start(&[0, 0]).await;
    // There and back again: each visit has a key of its own.
    let asked = |hops: usize| {
        let path: Vec<_> = (0..=hops).map(|number| number % 2).collect();
        wrapped(&network, &path, &body_of(Method::Info))
    };
    let Wrapped { body, opener } = asked(15);
    assert_eq!(open(&opener, network.post(0, "/onion_req/v2", body).await).status, 200);
    let too_far = (400, "onion request max path length exceeded".to_owned());
    for (hops, hop_no) in [(15, 1), (3, 13), (0, 16)] {
        let body = come_so_far(&asked(hops).body, hop_no);
        assert_eq!(network.post(0, "/onion_req/v2", body).await, too_far, "{hops} from {hop_no}");
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_is_not_ready_says_so_in_plain_text() {
    let network = Network::start(&[0]).await;
    // It sees node 0, but not itself.
    let behind = node_key(7);
    let (_roster, receiver) = watch::channel(Arc::new(view(network.entries.clone())));
    let node = start_node(&config(""), &behind, receiver, Arc::new(MemoryStore::new(0))).await;
    let mut entries = network.entries.clone();
    entries.push(entry(&behind, node.https_address().port(), node.quic_address().port(), 0));
    network.publish(entries);
    let (path, destination) = ([hop(network.id(0)), hop(behind.id())], hop(network.id(0)));
    let request = body_of(Method::Info);
    let wrapped = wrap(&path, &destination, &request, WrapOptions::default(), &mut rand::rng()).expect("wraps");
    let answer = network.post(0, "/onion_req/v2", wrapped.body).await;
    assert_eq!(answer, (503, format!("Snode not ready: {}", behind.id())));
    node.stop().await;
    network.stop().await;
}

/// The final layer with control fields `wrap` never writes, made by hand (`protocol.md` section 5).
fn odd_request(node: ServiceNodeId, secret: [u8; 32], control: &Value) -> (Vec<u8>, XChaCha20Poly1305) {
    let (secret, node_key) = (StaticSecret::from(secret), hop(node).x25519);
    let public = PublicKey::from(&secret);
    let shared = secret.diffie_hellman(&PublicKey::from(node_key));
    let key = Blake2b::<U32>::new()
        .chain_update(shared.as_bytes())
        .chain_update(public.as_bytes())
        .chain_update(node_key)
        .finalize();
    let cipher = XChaCha20Poly1305::new(&key);
    let framed = |content: &[u8], control: &Value| {
        let length = u32::try_from(content.len()).expect("short").to_le_bytes();
        [&length, content, control.to_string().as_bytes()].concat()
    };
    let nonce = [7; 24];
    let sealed = cipher.encrypt(&nonce.into(), framed(b"request", control).as_slice()).expect("encrypts");
    let outer = json!({"ephemeral_key": hex::encode(public), "enc_type": "xchacha20"});
    (framed(&[&nonce[..], &sealed].concat(), &outer), cipher)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_the_network_unless_the_operator_lists_where() {
    let exit = |host: &str, target: &str| json!({"host": host, "target": target});
    let closed = Network::start(&[0]).await;
    let open = Network::start_with(&[0], &config("exit = { hosts = [\"localhost\"] }")).await;
    for (network, number, control, text) in [
        (&closed, 1, exit("localhost", "/oxen/v4/lsrpc"), "Invalid url"),
        (&closed, 2, json!({"destination": 5}), "Invalid json"),
        (&open, 3, exit("example.org", "/oxen/v4/lsrpc"), "Invalid url"),
        (&open, 4, exit("127.0.0.1", "/oxen/v4/lsrpc"), "Invalid url"),
        (&open, 5, exit("localhost", "/oxen/v4/lsrpc?x"), "Invalid url"),
        (&open, 6, exit("localhost", "/admin"), "Invalid url"),
        (&open, 7, json!({"host": "localhost", "target": "/oxen/v4/lsrpc", "protocol": "http"}), "Invalid url"),
    ] {
        let secret = [number; 32];
        let (body, cipher) = odd_request(network.id(0), secret, &control);
        let (status, answer) = network.post(0, "/onion_req/v2", body).await;
        assert_eq!(status, 200);
        let sealed = decode_base64(&answer).expect("base64");
        let (nonce, sealed) = sealed.split_first_chunk::<24>().expect("a nonce");
        let answer = cipher.decrypt(nonce.into(), sealed).expect("for us");
        let answer: Answer = serde_json::from_slice(&answer).expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (400, text));
    }
    // Listed, but its name leads inwards.
    let (body, _) = odd_request(open.id(0), [8; 32], &exit("localhost", "/oxen/v4/lsrpc"));
    assert_eq!(open.post(0, "/onion_req/v2", body).await, (502, "Server not reachable".to_owned()));
    closed.stop().await;
    open.stop().await;
}
