//! The storage RPC of real nodes over loopback.

use crate::onion::wrapped;
use crate::support::{
    BLOCK, BOTH_VERSIONS, LONG, Network, Owner, client_of, config, node_key, now_ms, post, start_node, view, worked,
};
use ed25519_dalek::{Signature, VerifyingKey};
use futures::future::join_all;
use serde_json::{Value, json};
use skep_mailbox::RocksStore;
use skep_messaging::{config::MetricsConfig, drive::MessagingNode};
use skep_onion::Wrapped;
use skep_proto::storage::{
    BatchResponse, HexKey, InfoResponse, MemberFailure, MemberResult, MessageHash, Method, Namespace, NodeListQuery,
    Request, RetrieveRequest, RetrieveResponse, StoreRequest, StoreResponse, SwarmResponse, limits::MAX_REQUEST_BYTES,
    signed,
};
use skep_rpc::node_list::STORAGE_SERVER_VERSION;
use skep_work::FLOOR;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_on_one_read_from_another() {
    let network = Network::start(&[0, 0, 0]).await;
    let owner = Owner::new(50);
    let deposit = owner.deposit(b"hello");
    let hash = MessageHash::of(&owner.account(), Namespace::DEFAULT, b"hello");

    let (status, answer) = network.ask(0, Method::Store(deposit.clone())).await;
    assert_eq!(status, 200, "{answer}");
    let stored: StoreResponse = read(answer);
    assert_eq!(stored.hash, Some(hash));
    assert_eq!(stored.swarm.len(), 3);
    for (member, result) in &stored.swarm {
        let MemberResult::Done(result) = result else { panic!("{member} did not store: {result:?}") };
        assert_eq!((result.hash, result.expiry, result.already), (hash, deposit.expiry, false));
        assert_eq!(result.t, (member.0 == network.id(0).0).then_some(stored.t), "in the own result only");
        let key = VerifyingKey::from_bytes(&member.0).expect("a key");
        key.verify_strict(&signed::stored(&hash), &Signature::from_bytes(&result.signature)).expect("its signature");
    }

    for number in 0..3 {
        let (status, answer) = network.ask(number, Method::Retrieve(owner.retrieval())).await;
        assert_eq!(status, 200, "{answer}");
        let read: RetrieveResponse = read(answer);
        assert_eq!((read.messages.len(), read.more), (1, false));
        assert_eq!((read.messages[0].hash, read.messages[0].data.as_slice()), (hash, &b"hello"[..]));
    }

    let longer = StoreRequest { expiry: deposit.expiry + 5, ..deposit };
    let (_, answer) = network.ask(2, Method::Store(longer.clone())).await;
    let again: StoreResponse = read(answer);
    for result in again.swarm.values() {
        let MemberResult::Done(result) = result else { panic!("{result:?}") };
        assert_eq!((result.expiry, result.already), (longer.expiry, true));
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_swarm_names_the_right_one() {
    // Ids as far apart as the ring allows: every account is near one of them.
    let network = Network::start(&[0, 1 << 63]).await;
    let here = (50..)
        .map(Owner::new)
        .find(|owner| view(network.entries.clone()).swarm_of(&owner.account().key()) == Some(network.entries[1].swarm));
    let owner = here.expect("one of many");
    for method in [Method::Store(owner.deposit(b"x")), Method::Retrieve(owner.retrieval())] {
        let (status, answer) = network.ask(0, method).await;
        assert_eq!(status, 421);
        let swarm: SwarmResponse = read(answer);
        assert_eq!(swarm.swarm, "8000000000000000");
        assert_eq!(swarm.snodes.len(), 1);
        let (node, entry) = (&swarm.snodes[0], &network.entries[1]);
        assert_eq!(node.pubkey_ed25519, HexKey(entry.id.0));
        assert_eq!((node.ip.as_str(), node.port_https), ("127.0.0.1", entry.endpoint.https_port));
        assert_eq!(
            (node.port.clone(), node.port_quic),
            (entry.endpoint.https_port.to_string(), entry.endpoint.quic_port)
        );
        let x25519 = skep_onion::Hop::from_id(entry.id).expect("a hop").x25519;
        assert_eq!(node.pubkey_x25519, HexKey(x25519));
        assert_eq!(node.address.len(), 52 + ".snode".len());
    }
    let (status, answer) = network.ask(0, Method::GetSwarm(owner.account())).await;
    assert_eq!((status, read::<SwarmResponse>(answer).swarm.as_str()), (200, "8000000000000000"));
    let (status, _) = network.ask(1, Method::Store(owner.deposit(b"x"))).await;
    assert_eq!(status, 200);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_or_false_member_is_told_and_costs_at_most_five_seconds() {
    let mut network = Network::start(&[0, 0]).await;
    // One member that nobody runs, and one whose port another node answers.
    network.entries.push(crate::support::entry(&node_key(20), 1, 1, 0));
    let port = network.entries[1].endpoint.quic_port;
    network.entries.push(crate::support::entry(&node_key(21), 1, port, 0));
    network.publish(network.entries.clone());

    let begun = Instant::now();
    let (status, answer) = network.ask(0, Method::Store(Owner::new(50).deposit(b"x"))).await;
    // The exact time is the core's to keep; here it only must not be the peers' to choose.
    assert!(begun.elapsed() < Duration::from_secs(30));
    let response: StoreResponse = read(answer);
    assert_eq!(status, 200);
    let result = |number: usize| &response.swarm[&HexKey(network.id(number).0)];
    assert!(matches!(result(0), MemberResult::Done(_)) && matches!(result(1), MemberResult::Done(_)));
    for absent in [2, 3] {
        assert_eq!(*result(absent), MemberResult::Failed(MemberFailure::Timeout));
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_in_the_known_words_and_change_nothing() {
    let network = Network::start(&[0]).await;
    let owner = Owner::new(50);
    let account = owner.account().to_string();
    let hour = 3_600_000_u64;
    let store = |changes: Value| {
        let mut params = json!({"pubkey": account, "timestamp": now_ms(), "ttl": hour, "data": "aGk="});
        for (field, value) in changes.as_object().expect("an object") {
            params[field] = value.clone();
        }
        json!({"method": "store", "params": params}).to_string()
    };
    let retrieve = |request| serde_json::to_string(&Request::Single(Method::Retrieve(request))).expect("serializes");
    let unsigned = RetrieveRequest { auth: None, ..owner.retrieval() };
    let refused = async |body: String, status: u16, text: &str| {
        let shown: String = body.chars().take(200).collect();
        assert_eq!(network.post(0, "/storage_rpc/v1", body).await, (status, text.to_owned()), "{shown}");
    };
    for (body, status, text) in [
        ("nonsense".to_owned(), 400, "invalid json"),
        (r#"{"params":{}}"#.to_owned(), 400, "invalid json: no `method` field"),
        (r#"{"method":"store"}"#.to_owned(), 400, "invalid json: no `params` field"),
        (r#"{"method":"steal","params":{}}"#.to_owned(), 400, "no method steal"),
        (store(json!({"pubkey": null})), 400, "invalid request: Required field 'pubkey' missing"),
        (store(json!({"data": 5})), 400, "invalid request: Invalid value given for 'data': expected string"),
        (store(json!({"ttl": 9_999})), 403, "Provided expiry/TTL is not valid."),
        (store(json!({"ttl": 14 * 24 * hour + 1})), 403, "Provided expiry/TTL is not valid."),
        (store(json!({"namespace": 5})), 401, "store: signature required to store to namespace 5"),
        (store(json!({"namespace": -1})), 401, "store: signature required to store to namespace -1"),
        (retrieve(unsigned), 401, "retrieve: request signature required"),
        (
            json!({"method": "oxend_request", "params": {"endpoint": "stop_daemon"}}).to_string(),
            400,
            "invalid request: Invalid oxend endpoint 'stop_daemon'",
        ),
        ("x".repeat(MAX_REQUEST_BYTES + 1), 413, "Request body too large"),
    ] {
        refused(body, status, text).await;
    }
    // What depends on the time is asked at that time.
    let at = |time| store(json!({"timestamp": time}));
    refused(at(now_ms() + 20_000), 406, "Timestamp error: check your clock").await;
    refused(at(now_ms() - 2 * hour), 406, "Timestamp error: check your clock").await;
    let signed_at = |time| store(json!({"namespace": 5, "signature": "A".repeat(86), "sig_timestamp": time}));
    refused(signed_at(now_ms()), 401, "store signature verification failed").await;
    refused(signed_at(now_ms() - 120_000), 406, "store signature timestamp too far from current time").await;
    let early = now_ms() - 61_000;
    let old = owner.auth(&signed::retrieve(Namespace::DEFAULT, early), early);
    let old = RetrieveRequest { auth: Some(old), ..owner.retrieval() };
    refused(retrieve(old), 406, "retrieve timestamp too far from current time").await;
    let forged = RetrieveRequest { auth: Some(owner.auth(b"retrieve", now_ms())), ..owner.retrieval() };
    refused(retrieve(forged), 401, "retrieve signature verification failed").await;
    assert_eq!(network.post(0, "/elsewhere", "").await, (404, "POST /elsewhere Not Found".to_owned()));

    let work = skep_proto::peer::Work { block_hash: vec![1; 32].into(), ..Default::default() };
    let (status, answer) =
        network.ask(0, Method::Store(StoreRequest { work: Some(work), ..owner.deposit(b"x") })).await;
    assert_eq!((status, answer), (400, json!({"reason": "work", "effort": FLOOR, "block": hex::encode(BLOCK)})));

    let (_, answer) = network.ask(0, Method::Retrieve(owner.retrieval())).await;
    assert_eq!(read::<RetrieveResponse>(answer).messages, []);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worked_and_owned_messages_are_taken_by_the_whole_swarm() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let worked = worked(owner.deposit(b"worked"), FLOOR, BLOCK);
    let owned = {
        let (namespace, now) = (Namespace(5), now_ms());
        let auth = Some(owner.auth(&signed::store(namespace, now), now));
        StoreRequest { namespace, auth, ..owner.deposit(b"owned") }
    };
    for deposit in [worked, owned] {
        let (status, answer) = network.ask(1, Method::Store(deposit)).await;
        assert_eq!(status, 200, "{answer}");
        let response: StoreResponse = read(answer);
        assert!(response.swarm.values().all(|result| matches!(result, MemberResult::Done(_))), "{response:?}");
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_questions_about_the_network() {
    let network = Network::start(&[0, 0, 0]).await;
    let owner = Owner::new(50);
    let batch = Request::Batch(vec![
        Method::Store(owner.deposit(b"one")),
        Method::Info,
        Method::Retrieve(RetrieveRequest { auth: None, ..owner.retrieval() }),
        Method::GetSwarm(owner.account()),
        Method::NodeList(NodeListQuery { active_only: true, ..Default::default() }),
    ]);
    let before = now_ms();
    let (status, text) = network.post(0, "/storage_rpc/v1", serde_json::to_vec(&batch).expect("serializes")).await;
    assert_eq!(status, 200);
    let results = serde_json::from_str::<BatchResponse>(&text).expect("a batch").results;
    assert_eq!(results.iter().map(|result| result.code).collect::<Vec<_>>(), [200, 200, 401, 200, 200]);
    assert_eq!(results[2].body, json!("retrieve: request signature required"));
    let info: InfoResponse = read(results[1].body.clone());
    assert_eq!(info.version, STORAGE_SERVER_VERSION);
    assert!((before..=now_ms()).contains(&info.timestamp), "{}", info.timestamp);
    let list = &results[4].body["result"];
    assert_eq!(list["service_node_states"].as_array().expect("a list").len(), 3);

    let (_, answer) = network.ask(1, Method::Retrieve(owner.retrieval())).await;
    assert_eq!(read::<RetrieveResponse>(answer).messages.len(), 1);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_read_in_the_order_it_was_stored_in() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let deposits: Vec<_> = (0..20_u8).map(|number| owner.deposit(&[number; 300])).collect();
    let sent: Vec<_> = deposits.iter().map(|sent| MessageHash::of(&sent.account, sent.namespace, &sent.data)).collect();
    let batch = Request::Batch(deposits.into_iter().map(Method::Store).collect());
    let (status, _) = network.post(0, "/storage_rpc/v1", serde_json::to_vec(&batch).expect("serializes")).await;
    assert_eq!(status, 200);
    let (_, answer) = network.ask(0, Method::Retrieve(owner.retrieval())).await;
    let kept = read::<RetrieveResponse>(answer).messages;
    assert_eq!(kept.iter().map(|message| message.hash).collect::<Vec<_>>(), sent);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tls_versions_and_health() {
    let network = Network::start(&[9]).await;
    let address = network.nodes[0].https_address();
    for versions in BOTH_VERSIONS {
        let client = client_of(network.id(0), versions);
        let health = client.get(format!("https://{address}/health")).send().await.expect("an answer");
        assert_eq!(health.status().as_u16(), 200);
        assert_eq!(health.headers()["content-type"], "application/json");
        let health: Value = serde_json::from_str(&health.text().await.expect("a body")).expect("JSON");
        assert_eq!((&health["node"], &health["swarm"]), (&json!(network.id(0)), &json!("9")));
    }
    let stranger = client_of(node_key(99).id(), BOTH_VERSIONS[1]);
    assert!(stranger.get(format!("https://{address}/health")).send().await.is_err(), "not the node we know");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_outside_the_roster_serves_nobody() {
    let network = Network::start(&[0, 0]).await;
    network.publish(vec![network.entries[1].clone()]);
    let (status, answer) = network.ask(0, Method::Info).await;
    assert_eq!((status, answer), (503, json!("Service node is not ready: it is not registered on the chain\n")));
    let (status, answer) = network.ask(1, Method::Store(Owner::new(50).deposit(b"x"))).await;
    assert_eq!((status, read::<StoreResponse>(answer).swarm.len()), (200, 1));
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_of_one_address_are_refused() {
    let limits = "limits = { requests_per_second = 1, request_burst = 5 }";
    let network = Network::start_with(&[0], &config(limits)).await;
    let began = Instant::now();
    let mut answered = 0;
    // A token comes back each second; a slow machine asks no faster than it must.
    let refusal = loop {
        match network.ask(0, Method::Info).await {
            (429, answer) => break answer,
            (status, _) => assert_eq!(status, 200),
        }
        answered += 1;
        assert!(answered < 100, "nothing is refused");
    };
    assert_eq!(refusal, json!(""));
    assert!((5..=5 + began.elapsed().as_secs()).contains(&answered), "{answered} answered");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_in_one_count_one_by_one() {
    let limits = "limits = { requests_per_second = 1, request_burst = 21, peer_requests_per_second = 5 }";
    let network = Network::start_with(&[0, 0], &config(limits)).await;
    let batch = serde_json::to_vec(&Request::Batch(vec![Method::Info; 20])).expect("serializes");
    let (status, answer) = network.post(0, "/storage_rpc/v1", batch.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(network.post(0, "/storage_rpc/v1", batch.clone()).await, (429, String::new()));

    // Passed on by another node: 40 beyond the first of each at once, and 20 a second.
    let relayed = async |request: &[u8]| {
        let Wrapped { body, opener } = wrapped(&network, &[1, 0], request);
        let (status, answer) = network.post(1, "/onion_req/v2", body).await;
        assert_eq!(status, 200, "{answer}");
        opener.open(answer.as_bytes()).expect("an answer for us").status
    };
    let statuses = join_all((0..8).map(|_| relayed(&batch))).await;
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    let info = serde_json::to_vec(&Request::Single(Method::Info)).expect("serializes");
    assert_eq!(relayed(&info).await, 200, "one at a time goes on");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_outlive_the_node_that_took_them_and_numbers_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = node_key(0);
    let entries = vec![crate::support::entry(&key, 1, 1, 0)];
    let (_roster, receiver) = watch::channel(Arc::new(view(entries)));
    let mut config = config("");
    config.metrics = MetricsConfig { address: ([127, 0, 0, 1], 0).into(), enabled: true };
    let client = client_of(key.id(), BOTH_VERSIONS[1]);
    let owner = Owner::new(50);
    let ask = async |node: &MessagingNode, method| {
        let body = serde_json::to_vec(&Request::Single(method)).expect("serializes");
        let (status, text) = post(&client, node.https_address(), "/storage_rpc/v1", body).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };

    for round in 0..3_u8 {
        // The node before may not have let go of the files yet.
        let until = Instant::now() + LONG;
        let store = loop {
            match RocksStore::open(directory.path(), u64::MAX) {
                Ok(store) => break Arc::new(store),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let node = start_node(&config, &key, receiver.clone(), store).await;
        ask(&node, Method::Store(owner.deposit(&[round]))).await;
        let page: RetrieveResponse = read(ask(&node, Method::Retrieve(owner.retrieval())).await);
        let data: Vec<_> = page.messages.iter().map(|message| message.data[0]).collect();
        assert_eq!(data, (0..=round).collect::<Vec<_>>());

        let metrics = format!("http://{}/metrics", node.metrics_address().expect("enabled"));
        let text = client.get(metrics).send().await.expect("an answer").text().await.expect("a body");
        assert!(text.contains(&format!("skep_messaging_messages {}\n", round + 1)), "{text}");
        assert!(text.contains(r#"skep_messaging_requests_total{door="storage",status="200"} 2"#), "{text}");
        node.stop().await;
    }
}
