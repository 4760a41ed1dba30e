//! Established paths through real nodes over loopback.

use crate::support::{Network, Owner, client_of, config, entry, node_key};
use rustls::version::TLS13;
use skep_onion::{
    Answer, Hop, WrapOptions,
    established::{EstablishedPath, HopFailure, OpenPathError, PathOpening, ReadAnswerError, SealedRequest},
    wrap,
};
use skep_primitives::ServiceNodeId;
use skep_proto::storage::{MemberResult, Method, Request, RetrieveResponse, StoreResponse};

const BROKEN: (u16, &[u8]) = (400, b"Path broken");

fn hop(id: ServiceNodeId) -> Hop {
    Hop::from_id(id).expect("a usable key")
}

fn hops(network: &Network, path: &[usize]) -> Vec<Hop> {
    path.iter().map(|number| hop(network.id(*number))).collect()
}

/// Gives a frame to a node, as a client does.
async fn give(network: &Network, guard: usize, frame: Vec<u8>) -> (u16, Vec<u8>) {
    let client = client_of(network.id(guard), &[&TLS13]);
    let url = format!("https://{}/path/v1", network.nodes[guard].https_address());
    let response = client.post(url).body(frame).send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("a body").to_vec())
}

pub(crate) async fn try_open(network: &Network, path: &[usize]) -> Result<EstablishedPath, OpenPathError> {
    let (opening, frame) = PathOpening::start(&hops(network, path), &mut rand::rng()).expect("a path");
    let (status, answer) = give(network, path[0], frame).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    opening.finish(&answer)
}

/// Asks `destination` through a path whose guard is `guard`.
async fn ask(
    network: &Network,
    (guard, path): (usize, &mut EstablishedPath),
    destination: ServiceNodeId,
    method: Method,
) -> Result<Answer, ReadAnswerError> {
    let request = serde_json::to_vec(&Request::Single(method)).expect("serializes");
    let wrapped = wrap(&[], &hop(destination), &request, WrapOptions::default(), &mut rand::rng()).expect("wraps");
    let SealedRequest { frame, reader } = path.seal(destination, &wrapped.body).expect("small enough");
    let (status, answer) = give(network, guard, frame).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let answer = reader.read(&answer)?;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Ok(wrapped.opener.open(&answer.body).expect("an answer for us"))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hops_carry_many_requests_under_keys_agreed_once() {
    let network = Network::start(&[0, 0, 0, 0]).await;
    let owner = Owner::new(50);
    let mut path = try_open(&network, &[0, 1, 2]).await.expect("opened");
    for text in ["one", "two"] {
        let store = Method::Store(owner.deposit(text.as_bytes()));
        let answer = ask(&network, (0, &mut path), network.id(3), store).await.expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let stored: StoreResponse = serde_json::from_str(&answer.body).expect("an answer to store");
        assert!(stored.swarm.values().all(|result| matches!(result, MemberResult::Done(_))));
    }
    // To another destination, and to the last hop itself.
    for destination in [1, 2] {
        let retrieve = Method::Retrieve(owner.retrieval());
        let answer = ask(&network, (0, &mut path), network.id(destination), retrieve).await.expect("answered");
        let page: RetrieveResponse = serde_json::from_str(&answer.body).expect("an answer to retrieve");
        assert_eq!(page.messages.len(), 2);
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_repeated_changed_or_foreign_are_refused_alike() {
    let network = Network::start(&[0, 0]).await;
    let (opening, open) = PathOpening::start(&hops(&network, &[0, 1]), &mut rand::rng()).expect("a path");
    let (_, answer) = give(&network, 0, open.clone()).await;
    let mut path = opening.finish(&answer).expect("opened");
    assert!(ask(&network, (0, &mut path), network.id(1), Method::Info).await.is_ok());
    let repeated = path.seal(network.id(1), b"no onion request").expect("small enough");
    // The destination says in its own words what it cannot read.
    let (status, answer) = give(&network, 0, repeated.frame.clone()).await;
    let answer = repeated.reader.read(&answer).expect("an answer");
    assert_eq!((status, answer.status), (200, 400));
    assert!(answer.body.starts_with(b"Error parsing onion request: "));

    let mut changed = path.seal(network.id(1), b"x").expect("small enough").frame;
    *changed.last_mut().expect("not empty") ^= 1;
    let mut unknown = path.seal(network.id(1), b"x").expect("small enough").frame;
    unknown[1] ^= 1;
    let mut not_open = open.clone();
    not_open[40] ^= 1;
    for frame in [open, repeated.frame, changed, unknown, not_open, Vec::new(), vec![9; 100], vec![3; 17]] {
        let (status, body) = give(&network, 0, frame).await;
        assert_eq!((status, body.as_slice()), BROKEN);
    }
    // None of that did the path any harm.
    assert!(ask(&network, (0, &mut path), network.id(1), Method::Info).await.is_ok());
    let last = path.seal(network.id(1), b"x").expect("small enough").frame;
    assert_eq!(give(&network, 0, path.close()).await, (200, Vec::new()));
    let (status, body) = give(&network, 0, last).await;
    assert_eq!((status, body.as_slice()), BROKEN, "the path is closed");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_tells_what_became_of_the_next_one() {
    let mut network = Network::start(&[0, 0, 0]).await;
    // In the roster, but nobody is there; and not in the roster.
    let absent = node_key(91);
    let mut known = network.entries.clone();
    known.push(entry(&absent, 1, 1, 0));
    network.publish(known);
    for (stranger, failure) in [(absent.id(), HopFailure::NextSilent), (node_key(90).id(), HopFailure::NextNotFound)] {
        let way = [hop(network.id(0)), hop(network.id(1)), hop(stranger)];
        let (opening, frame) = PathOpening::start(&way, &mut rand::rng()).expect("a path");
        let (_, answer) = give(&network, 0, frame).await;
        assert_eq!(opening.finish(&answer).expect_err("no path"), OpenPathError::Failed { at: 1, failure });
    }
    let mut path = try_open(&network, &[0, 1]).await.expect("opened");
    let answer = ask(&network, (0, &mut path), node_key(90).id(), Method::Info).await;
    let failure = HopFailure::NextNotFound;
    assert_eq!(answer.expect_err("nobody is there"), ReadAnswerError::Failed { at: 1, failure });

    // The last hop restarts: it has no keys of before. The one before it says so, and forgets the path.
    let mut path = try_open(&network, &[0, 1, 2]).await.expect("opened");
    network.restart_last().await;
    let answer = ask(&network, (0, &mut path), network.id(1), Method::Info).await;
    let broken = |at| ReadAnswerError::Failed { at, failure: HopFailure::NextBroken };
    assert_eq!(answer.expect_err("no keys"), broken(1));
    let answer = ask(&network, (0, &mut path), network.id(1), Method::Info).await;
    assert_eq!(answer.expect_err("forgotten"), broken(0));
    assert!(try_open(&network, &[0, 1, 2]).await.is_ok());
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_one_neighbour_are_bounded() {
    let limits = config("[paths]\nper_address = 3\nper_peer = 2");
    let network = Network::start_with(&[0, 0], &limits).await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        paths.push(try_open(&network, &[0, 1]).await.expect("opened"));
    }
    // The second node has two of the first one's by now: it is too busy for a third.
    let failure = OpenPathError::Failed { at: 0, failure: HopFailure::NextBusy };
    assert_eq!(try_open(&network, &[0, 1]).await.expect_err("refused"), failure);
    assert!(try_open(&network, &[0]).await.is_ok(), "the guard has room for one more of the client's");
    let (_, frame) = PathOpening::start(&hops(&network, &[0]), &mut rand::rng()).expect("a path");
    assert_eq!(give(&network, 0, frame.clone()).await.0, 503);
    // A path that is closed makes room.
    assert_eq!(give(&network, 0, paths.remove(0).close()).await.0, 200);
    assert_eq!(give(&network, 0, frame).await.0, 200);
    assert_eq!(try_open(&network, &[1, 0]).await.map(drop), Ok(()), "another neighbour has its own share");
    network.stop().await;
}
