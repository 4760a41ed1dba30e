//! Members that missed something have it later, and what is deleted stays deleted.

use crate::{
    storage::read,
    support::{LONG, Network, Owner, config, entry, node_key, now_ms, start_node, view},
};
use skep_mailbox::{MemoryStore, Store};
use skep_proto::storage::{
    Access, Action, Command, MessageHash, Method, RetrieveRequest, RetrieveResponse, RevokedRequest, RevokedResponse,
    SubaccountToken, signed,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Compares every second, so that tests need not wait.
pub(crate) const HASTY: &str = "replication = { interval_seconds = 1 }";

pub(crate) async fn store(network: &Network, node: usize, owner: &Owner, data: &[u8]) -> MessageHash {
    let deposit = owner.deposit(data);
    let hash = MessageHash::of(&deposit.account, deposit.namespace, data);
    let (status, answer) = network.ask(node, Method::Store(deposit)).await;
    assert_eq!(status, 200, "{answer}");
    hash
}

pub(crate) async fn order(network: &Network, node: usize, owner: &Owner, action: Action) {
    let auth = owner.auth(&signed::command(&action), 0).auth;
    let command = Command { account: owner.account(), action, auth };
    let (status, answer) = network.ask(node, Method::Command(command)).await;
    assert_eq!(status, 200, "{answer}");
}

/// What a node shows of a mailbox, or the status with which it refuses.
pub(crate) async fn kept(network: &Network, node: usize, owner: &Owner) -> Result<Vec<MessageHash>, u16> {
    let (status, answer) = network.ask(node, Method::Retrieve(owner.retrieval())).await;
    if status != 200 {
        return Err(status);
    }
    Ok(read::<RetrieveResponse>(answer).messages.into_iter().map(|message| message.hash).collect())
}

/// Waits until a node shows exactly these messages, in whatever order.
pub(crate) async fn shows(network: &Network, node: usize, owner: &Owner, expected: &[MessageHash]) {
    let until = Instant::now() + LONG;
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    loop {
        let mut kept = kept(network, node, owner).await;
        if let Ok(kept) = &mut kept {
            kept.sort_unstable();
        }
        if kept.as_ref() == Ok(&expected) {
            return;
        }
        assert!(Instant::now() < until, "node {node} shows {kept:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_gets_what_was_there_before_it() {
    let mut network = Network::start_with(&[0, 0], &config(HASTY)).await;
    let owner = Owner::new(50);
    let mut hashes = Vec::new();
    for number in 0..20_u8 {
        hashes.push(store(&network, 0, &owner, &[number]).await);
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(u64::MAX));
    let key = node_key(2);
    let node = start_node(&config(HASTY), &key, network.receiver(), store).await;
    network.entries.push(entry(&key, node.https_address().port(), node.quic_address().port(), 0));
    network.nodes.push(node);
    network.publish(network.entries.clone());
    shows(&network, 2, &owner, &hashes).await;
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_learns_what_it_missed_and_brings_nothing_back() {
    let network = Network::start_with(&[0, 0], &config(HASTY)).await;
    let owner = Owner::new(50);
    let (a, b) = (store(&network, 0, &owner, b"a").await, store(&network, 0, &owner, b"b").await);
    shows(&network, 1, &owner, &[a, b]).await;

    // Node 1 is not listed for a while; it goes on running, and keeps what it has.
    network.publish(network.entries[..1].to_vec());
    let token = SubaccountToken::new(5, Access::READ, &[1; 32]);
    order(&network, 0, &owner, Action::Delete { messages: vec![a], required: true }).await;
    order(&network, 0, &owner, Action::Revoke { tokens: vec![token], timestamp: now_ms() }).await;
    let c = store(&network, 0, &owner, b"c").await;
    shows(&network, 0, &owner, &[b, c]).await;

    network.publish(network.entries.clone());
    shows(&network, 1, &owner, &[b, c]).await;
    // Long enough for node 1 to have offered what it had.
    tokio::time::sleep(Duration::from_secs(3)).await;
    shows(&network, 0, &owner, &[b, c]).await;
    let now = now_ms();
    let auth = owner.auth(&signed::revoked_subaccounts(now), now);
    let ask = Method::Revoked(RevokedRequest { account: owner.account(), auth });
    assert_eq!(read::<RevokedResponse>(network.ask(1, ask).await.1).revoked, [token]);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_swarm_gets_what_it_owns_and_the_old_one_lets_go() {
    let network = Network::start_with(&[0, 0, 0], &config(HASTY)).await;
    let mut entries = network.entries.clone();
    for entry in &mut entries[1..] {
        entry.swarm = skep_primitives::SwarmId(1 << 63);
    }
    let roster = view(entries.clone());
    let of_swarm = |swarm| {
        let owned = |owner: &Owner| roster.swarm_of(&owner.account().key()) == Some(swarm);
        (50..).map(Owner::new).find(owned).expect("one of many")
    };
    let (staying, moving) = (of_swarm(entries[0].swarm), of_swarm(entries[1].swarm));
    let (moved, stayed) = (store(&network, 0, &moving, b"moves").await, store(&network, 0, &staying, b"stays").await);

    network.publish(entries.clone());
    for node in [1, 2] {
        shows(&network, node, &moving, &[moved]).await;
        assert_eq!(kept(&network, node, &staying).await, Err(421));
    }
    shows(&network, 0, &staying, &[stayed]).await;
    assert_eq!(kept(&network, 0, &moving).await, Err(421));

    let until = Instant::now() + LONG;
    while network.stores[0].usage().messages > 1 {
        assert!(Instant::now() < until, "node 0 has not let go");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    network.publish(network.entries.clone());
    shows(&network, 0, &moving, &[moved]).await;
    shows(&network, 0, &staying, &[stayed]).await;
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_arrives_once_though_it_comes_by_two_ways() {
    let network = Network::start_with(&[0, 0, 0], &config(HASTY)).await;
    let owner = Owner::new(50);
    let hash = store(&network, 1, &owner, b"once").await;
    for node in 0..3 {
        shows(&network, node, &owner, &[hash]).await;
    }
    // Long enough for others to have offered it once more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for node in 0..3 {
        assert_eq!(kept(&network, node, &owner).await, Ok(vec![hash]));
        let after = RetrieveRequest { last_hash: Some(hash), ..owner.retrieval() };
        let (_, answer) = network.ask(node, Method::Retrieve(after)).await;
        assert!(read::<RetrieveResponse>(answer).messages.is_empty());
    }
    network.stop().await;
}
