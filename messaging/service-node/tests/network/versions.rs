//! A swarm in which one member speaks another version: what one side does not know, it does without.

mod other;

use crate::{
    onion::wrapped,
    paths::try_open,
    replication::{HASTY, kept, order, shows, store},
    support::{LONG, Network, Owner, config, entry, node_key},
};
use other::{Other, is_refused};
use skep_onion::{
    Wrapped,
    established::{HopFailure, OpenPathError},
};
use skep_proto::{
    peer::{self, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::{Action, Command, CommandResponse, MemberResult, MessageHash, Method, Request, StoreResponse, signed},
};
use skep_replication::{VERSION, read_done, read_stored};
use std::time::{Duration, Instant};

/// Two nodes of this version and one of another.
async fn mixed(comparison: u32) -> (Network, Other) {
    let mut network = Network::start_with(&[0, 0], &config(HASTY)).await;
    let other = Other::start(2, comparison);
    network.entries.push(entry(&node_key(2), 1, other.port(), 0));
    network.publish(network.entries.clone());
    // What is stored finds the ways open. The other member refuses what leads through it.
    let until = Instant::now() + LONG;
    for node in [0, 1] {
        while other.peers() <= node {
            let Wrapped { body, .. } = wrapped(&network, &[node, 2], b"on the way");
            network.post(node, "/onion_req/v2", body).await;
            assert!(Instant::now() < until, "node {node} does not reach the other member");
        }
    }
    (network, other)
}

/// Waits until the other member has a message, or has it no more.
async fn until_has(other: &Other, owner: &Owner, hash: MessageHash, expected: bool) {
    let until = Instant::now() + LONG;
    while other.has(owner, hash) != expected {
        assert!(Instant::now() < until, "{hash} should be there: {expected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn deletion(owner: &Owner, hash: MessageHash) -> Command {
    let action = Action::Delete { messages: vec![hash], required: true };
    let auth = owner.auth(&signed::command(&action), 0).auth;
    Command { account: owner.account(), action, auth }
}

/// Has the other member take a message from a client and pass it on.
async fn store_at(other: &Other, network: &Network, owner: &Owner, data: &[u8]) -> MessageHash {
    let record = skep_mailbox::Record::new(owner.deposit(data));
    other.keep(&record);
    for member in &network.entries[..2] {
        let answer = other.ask(member, PeerRequest::Store(record.to_wire())).await;
        read_stored(&member.id, record.hash(), answer).expect("kept, and signed for");
    }
    record.hash()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_two_versions_store_compare_and_order() {
    let (network, other) = mixed(VERSION).await;
    let owner = Owner::new(50);

    // What one side takes from a client, both have.
    let (status, answer) = network.ask(0, Method::Store(owner.deposit(b"a"))).await;
    let stored: StoreResponse = serde_json::from_value(answer).expect("an answer to store");
    assert_eq!((status, stored.swarm.len()), (200, 3));
    assert!(stored.swarm.values().all(|result| matches!(result, MemberResult::Done(_))), "{stored:?}");
    let a = stored.hash.expect("kept");
    assert!(other.has(&owner, a));
    let b = store_at(&other, &network, &owner, b"b").await;
    for node in [0, 1] {
        shows(&network, node, &owner, &[a, b]).await;
    }

    // What either missed, it gets.
    network.publish(network.entries[..2].to_vec());
    let c = store(&network, 0, &owner, b"c").await;
    assert!(!other.has(&owner, c));
    network.publish(network.entries.clone());
    until_has(&other, &owner, c, true).await;
    let record = skep_mailbox::Record::new(owner.deposit(b"d"));
    other.keep(&record);
    other.reconcile(&network.entries[..2]).await;
    let d = record.hash();
    for node in [0, 1] {
        shows(&network, node, &owner, &[a, b, c, d]).await;
    }

    // So do orders, whether their stamp is told or not.
    let (status, answer) = network.ask(0, Method::Command(deletion(&owner, a))).await;
    let done: CommandResponse = serde_json::from_value(answer).expect("an answer to delete");
    assert_eq!((status, done.swarm.len()), (200, 3));
    assert!(done.swarm.values().all(|result| matches!(result, MemberResult::Done(_))), "{done:?}");
    assert!(!other.has(&owner, a));
    let command = deletion(&owner, b);
    let request = serde_json::to_vec(&Request::Single(Method::Command(command.clone()))).expect("serializes");
    other.carry_out(&request);
    for member in &network.entries[..2] {
        let wire = peer::Command { request: request.clone().into(), at: 0 };
        let answer = other.ask(member, PeerRequest::Command(wire)).await;
        read_done(&member.id, &command, answer).expect("done, and signed for");
    }
    network.publish(network.entries[..2].to_vec());
    order(&network, 0, &owner, deletion(&owner, c).action).await;
    network.publish(network.entries.clone());
    until_has(&other, &owner, c, false).await;
    other.reconcile(&network.entries[..2]).await;
    for node in [0, 1] {
        shows(&network, node, &owner, &[d]).await;
    }
    // Stamps are made equal, too: nothing is left to hand over.
    let until = Instant::now() + LONG;
    while other.reconcile(&network.entries[..2]).await > 0 {
        assert!(Instant::now() < until, "they do not become equal");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_another_version_are_refused_and_harm_nothing() {
    let (network, other) = mixed(VERSION).await;
    let refused = other.refused();
    // A path cannot lead through the other member; that is told, so that clients can do without.
    let failure = HopFailure::NextUnsupported;
    assert_eq!(try_open(&network, &[0, 2]).await.expect_err("refused"), OpenPathError::Failed { at: 0, failure });
    assert!(other.refused() > refused);
    // Field 99, which nobody knows, of length 0.
    let unknown = other.ask_raw(&network.entries[0], vec![0x9a, 0x06, 0]).await;
    assert!(is_refused(&unknown, 400), "{unknown:?}");
    let pong = other.ask(&network.entries[0], PeerRequest::Ping(peer::Ping {})).await;
    assert!(matches!(pong.response, Some(PeerResponse::Pong(_))), "{pong:?}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_compares_otherwise_gets_new_mail_and_holds_up_nobody() {
    let (network, other) = mixed(VERSION + 1).await;
    let refused = other.refused();
    let owner = Owner::new(50);
    let asked = peer::Reconcile { version: VERSION + 1, questions: Vec::new() };
    assert!(is_refused(&other.ask(&network.entries[0], PeerRequest::Reconcile(asked)).await, 505));
    let a = store(&network, 0, &owner, b"a").await;
    assert!(other.has(&owner, a));
    let b = store_at(&other, &network, &owner, b"b").await;
    // The others compare with each other as ever.
    network.publish(vec![network.entries[0].clone(), network.entries[2].clone()]);
    let c = store(&network, 0, &owner, b"c").await;
    assert_eq!(kept(&network, 1, &owner).await, Err(503), "not in the roster");
    network.publish(network.entries.clone());
    shows(&network, 1, &owner, &[a, b, c]).await;
    let (status, _) = network.ask(1, Method::Command(deletion(&owner, a))).await;
    assert_eq!(status, 200);
    assert!(!other.has(&owner, a));
    let until = Instant::now() + LONG;
    while other.refused() == refused {
        assert!(Instant::now() < until, "it is not asked to compare");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    network.stop().await;
}
