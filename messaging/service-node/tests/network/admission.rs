//! What a node takes into a mailbox: work, quotas, and the bucket of mail nobody paid for.

use crate::{
    storage::read,
    support::{BLOCK, GENESIS, LONG, Network, Owner, config, entry, node_key, now_ms, start_node, view, worked},
};
use ed25519_dalek::{Signature, VerifyingKey};
use futures::future::join_all;
use serde_json::{Value, json};
use skep_chain_client::RosterView;
use skep_mailbox::{MemoryStore, Quota, Quotas, RECORD_BYTES, Store};
use skep_primitives::{RosterSnapshot, SwarmId};
use skep_proto::storage::{
    Action, Command, MemberFailure, MemberResult, MessageHash, Method, Namespace, ReceiptRequest, ReceiptResponse,
    RetrieveRequest, RetrieveResponse, StoreRequest, StoreResponse, signed,
};
use skep_work::FLOOR;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long an answer waits for what its own client holds of the memory for answers (`drive::budget`).
const OWN_PATIENCE: Duration = Duration::from_secs(10);

/// The bounds a node has by default.
fn default_quotas() -> Quotas {
    config("").limits.quotas()
}

fn refused_for_work(answer: &Value) -> bool {
    *answer == json!({"reason": "work", "effort": FLOOR, "block": hex::encode(BLOCK)})
}

async fn kept(network: &Network, node: usize, owner: &Owner) -> usize {
    let mut count = 0;
    let mut last_hash = None;
    loop {
        let request = RetrieveRequest { last_hash, ..owner.retrieval() };
        let (status, answer) = network.ask(node, Method::Retrieve(request)).await;
        assert_eq!(status, 200, "{answer}");
        let page: RetrieveResponse = read(answer);
        count += page.messages.len();
        last_hash = page.messages.last().map(|message| message.hash);
        if !page.more {
            return count;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_suite_without_work_finds_room_for_120_messages_of_70_kb() {
    let network = Network::start_within(&[0], &config(""), default_quotas()).await;
    let owner = Owner::new(50);
    for number in 0..120_u8 {
        let mut data = vec![number; 70_000];
        data[0] = 1;
        let (status, answer) = network.ask(0, Method::Store(owner.deposit(&data))).await;
        assert_eq!(status, 200, "message {number}: {answer}");
    }
    assert_eq!(kept(&network, 0, &owner).await, 120);

    // Many who ask for all there may be, and small requests in between: nobody is turned away who has not waited for what the
    // same client holds as long as a node lets it.
    let whole = RetrieveRequest { max_size: Some(-1), ..owner.retrieval() };
    let empty = RetrieveRequest { max_size: Some(-1), ..Owner::new(51).retrieval() };
    let asked = (0..8).flat_map(|_| [Method::Retrieve(whole.clone()), Method::Retrieve(empty.clone()), Method::Info]);
    let answers = asked.map(async |method| {
        let began = Instant::now();
        let (status, _) = network.ask(0, method).await;
        (status, began.elapsed())
    });
    let answers = join_all(answers).await;
    assert!(answers.iter().all(|(status, took)| *status == 200 || *took >= OWN_PATIENCE), "{answers:?}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_work_keeps_nothing_paid_for_out_and_removes_nothing() {
    let unproven = Quota { messages: 8, bytes: 1 << 20 };
    let quotas = Quotas { unproven, ..default_quotas() };
    let network = Network::start_within(&[0, 0], &config(""), quotas).await;
    let owner = Owner::new(50);
    let (mut taken, mut refused) = (0_usize, 0_usize);
    for number in 0..200_u8 {
        match network.ask(0, Method::Store(owner.deposit(&[number]))).await {
            (200, _) => taken += 1,
            (400, answer) if refused_for_work(&answer) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((5..=8).contains(&taken) && refused == 200 - taken, "the first half always, the rest by lot: {taken}");
    let (status, answer) = network.ask(0, Method::Store(worked(owner.deposit(b"paid for"), FLOOR, BLOCK))).await;
    let stored: StoreResponse = read(answer);
    assert_eq!(status, 200);
    assert!(stored.swarm.values().all(|result| matches!(result, MemberResult::Done(_))), "{stored:?}");
    let own = {
        let (namespace, now) = (Namespace(5), now_ms());
        let auth = Some(owner.auth(&signed::store(namespace, now), now));
        StoreRequest { namespace, auth, ..owner.deposit(b"my own") }
    };
    assert_eq!(network.ask(0, Method::Store(own)).await.0, 200);
    for node in 0..2 {
        assert_eq!(kept(&network, node, &owner).await, taken + 1);
    }
    // What is here may be stored again, and becomes proven when it comes with work.
    let again = worked(owner.deposit(&[0]), FLOOR, BLOCK);
    let (status, answer) = network.ask(1, Method::Store(again)).await;
    let stored: StoreResponse = read(answer);
    assert_eq!(status, 200);
    for result in stored.swarm.values() {
        assert!(matches!(result, MemberResult::Done(done) if done.already), "{result:?}");
    }
    for store in &network.stores {
        let mailbox = store.allowance(&owner.account()).expect("reads").mailbox;
        assert_eq!((mailbox.proven.messages, mailbox.unproven.messages), (3, taken as u64 - 1));
    }
    assert_eq!(network.ask(0, Method::Store(owner.deposit(&[0]))).await.0, 200, "known: there is no draw");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_must_be_enough_recent_and_unspent() {
    let network = Network::start(&[0]).await;
    let owner = Owner::new(50);
    for (deposit, why) in [
        (worked(owner.deposit(b"cheap"), FLOOR - 1, BLOCK), "too little"),
        (worked(owner.deposit(b"stale"), FLOOR, [7; 32]), "an unknown block"),
        (StoreRequest { data: b"other".to_vec(), ..worked(owner.deposit(b"x"), FLOOR, BLOCK) }, "another message's"),
    ] {
        let (status, answer) = network.ask(0, Method::Store(deposit)).await;
        assert!(status == 400 && refused_for_work(&answer), "{why}: {answer}");
    }
    let good = worked(owner.deposit(b"good"), FLOOR, BLOCK);
    assert_eq!(network.ask(0, Method::Store(good.clone())).await.0, 200);
    assert_eq!(network.ask(0, Method::Store(good.clone())).await.0, 200, "a client that lost the answer asks again");
    let hash = MessageHash::of(&good.account, good.namespace, &good.data);
    let action = Action::Delete { messages: vec![hash], required: true };
    let auth = owner.auth(&signed::command(&action), 0).auth;
    let command = Command { account: owner.account(), action, auth };
    assert_eq!(network.ask(0, Method::Command(command)).await.0, 200);
    let (status, answer) = network.ask(0, Method::Store(good)).await;
    assert!(status == 400 && refused_for_work(&answer), "spent: {answer}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_a_moment_behind_takes_the_work_of_one_ahead() {
    const NEWER: [u8; 32] = [0xcc; 32];
    let mut network = Network::start(&[0]).await;
    // Node 1 follows a chain node of its own.
    let key = node_key(1);
    let (slow, receiver) = watch::channel(Arc::new(view(Vec::new())));
    let node = start_node(&config(""), &key, receiver, Arc::new(MemoryStore::new(u64::MAX))).await;
    network.entries.push(entry(&key, node.https_address().port(), node.quic_address().port(), 0));
    network.nodes.push(node);
    let seen_at = |block_hash| {
        let nodes = network.entries.clone();
        Arc::new(RosterView::new(RosterSnapshot { height: 99, block_hash, nodes }))
    };
    slow.send_replace(seen_at(BLOCK));
    network.publish_view(seen_at(NEWER));
    network.warm_up().await;
    // Whoever waits for a block looks at the roster once more.
    let looking = slow.receiver_count();
    let catches_up = async {
        let until = Instant::now() + LONG;
        while slow.receiver_count() == looking {
            assert!(Instant::now() < until, "node 1 does not wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slow.send_replace(seen_at(NEWER));
    };
    let deposit = worked(Owner::new(50).deposit(b"new"), FLOOR, NEWER);
    let ((status, answer), ()) = tokio::join!(network.ask(0, Method::Store(deposit)), catches_up);
    let stored: StoreResponse = read(answer);
    assert_eq!((status, stored.swarm.len()), (200, 2));
    assert!(stored.swarm.values().all(|result| matches!(result, MemberResult::Done(_))), "{stored:?}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_says_so_and_nothing_is_lost_for_it() {
    let hasty = config("replication = { interval_seconds = 1 }");
    let mut network = Network::start_within(&[0], &hasty, (RECORD_BYTES + 100).into()).await;
    // Somebody whose mail node 0 keeps even when node 1 has a swarm of its own.
    let apart = view(vec![entry(&node_key(0), 1, 1, 0), entry(&node_key(1), 1, 1, 1 << 63)]);
    let is_near = |owner: &Owner| apart.swarm_of(&owner.account().key()) == Some(SwarmId(0));
    let owner = (50..).map(Owner::new).find(is_near).expect("one of many");
    let deposit = |number: u8| worked(owner.deposit(&[number; 60]), FLOOR, BLOCK);
    let is_full = |result: &MemberResult| matches!(result, MemberResult::Failed(MemberFailure::Refused { code: 507, reason }) if reason.contains("full"));
    assert_eq!(network.ask(0, Method::Store(deposit(1))).await.0, 200);
    let (status, answer) = network.ask(0, Method::Store(deposit(2))).await;
    let response: StoreResponse = read(answer);
    assert_eq!(status, 500, "nobody has it");
    assert!(response.hash.is_none() && response.swarm.values().all(is_full), "{response:?}");
    assert_eq!(kept(&network, 0, &owner).await, 1);

    // A member with room gets what the full one has, and takes what the full one cannot.
    let store = Arc::new(MemoryStore::new(u64::MAX));
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let node = start_node(&hasty, &node_key(1), network.receiver(), shared).await;
    network.entries.push(entry(&node_key(1), node.https_address().port(), node.quic_address().port(), 0));
    network.nodes.push(node);
    network.publish(network.entries.clone());
    let (status, answer) = network.ask(1, Method::Store(deposit(3))).await;
    let response: StoreResponse = read(answer);
    assert_eq!((status, response.swarm.values().filter(|result| is_full(result)).count()), (200, 1));
    let until = Instant::now() + LONG;
    while kept(&network, 1, &owner).await < 2 {
        assert!(Instant::now() < until, "the new member has not got what the full one has");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(kept(&network, 0, &owner).await, 1);

    // Now the full node alone is the swarm that keeps this mailbox. What it cannot take node 1 does not let go of.
    let mut entries = network.entries.clone();
    entries[1].swarm = SwarmId(1 << 63);
    network.publish(entries);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (account, only_here) = (owner.account(), MessageHash::of(&owner.account(), Namespace::DEFAULT, &[3; 60]));
    let kept_here = store.message(&account, Namespace::DEFAULT, &only_here, now_ms()).expect("reads");
    assert!(kept_here.is_some(), "the only copy");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_proves_what_is_kept() {
    let network = Network::start(&[0, 1 << 63]).await;
    let roster = view(network.entries.clone());
    let is_here = |owner: &Owner| roster.swarm_of(&owner.account().key()) == Some(network.entries[0].swarm);
    let owner = (50..).map(Owner::new).find(is_here).expect("one of many");
    let deposit = owner.deposit(b"kept");
    let (account, namespace, expiry) = (deposit.account, deposit.namespace, deposit.expiry);
    let hash = MessageHash::of(&account, namespace, &deposit.data);
    assert_eq!(network.ask(0, Method::Store(deposit)).await.0, 200);

    let ask = |namespace, messages: &[MessageHash]| {
        Method::Receipt(ReceiptRequest { account, namespace, messages: messages.to_vec() })
    };
    let (status, answer) = network.ask(0, ask(namespace, &[hash, [0; 32].into()])).await;
    assert_eq!(status, 200, "{answer}");
    let response: ReceiptResponse = read(answer);
    assert_eq!((response.node.0, response.genesis.0), (network.id(0).0, GENESIS));
    assert_eq!(response.receipts.len(), 1, "nothing is signed for what is not here");
    let receipt = response.receipts[&hash];
    assert_eq!(receipt.expiry, expiry);
    assert!(receipt.timestamp.abs_diff(now_ms()) < 60_000);
    let key = VerifyingKey::from_bytes(&response.node.0).expect("a key");
    let text = |expiry| signed::receipt(&GENESIS, &account, namespace, &hash, expiry, receipt.timestamp);
    let signature = Signature::from_bytes(&receipt.signature);
    key.verify_strict(&text(expiry), &signature).expect("its signature");
    assert!(key.verify_strict(&text(expiry + 1), &signature).is_err());

    let (_, answer) = network.ask(0, ask(Namespace(10), &[hash])).await;
    assert!(read::<ReceiptResponse>(answer).receipts.is_empty(), "not in that box");
    assert_eq!(network.ask(1, ask(namespace, &[hash])).await.0, 421);
    network.stop().await;
}
