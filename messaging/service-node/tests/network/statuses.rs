//! The statuses a client may be told, and what makes a node tell them. The door's own tests have 408 and 429 (`drive::https`).

use crate::support::{BLOCK, Network, Owner, config, now_ms, view, worked};
use serde_json::{Value, json};
use skep_proto::storage::{Action, Command, Method, RetrieveRequest, StoreRequest, limits::MAX_REQUEST_BYTES, signed};
use skep_work::FLOOR;

/// What an answer to a request of the storage RPC must be.
enum Expected {
    Text(&'static str),
    Json(fn(&Value)),
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_as_existing_clients_expect() {
    use Expected::{Json, Text};
    let network = Network::start_within(&[0, 1 << 63], &config(""), 100.into()).await;
    let roster = view(network.entries.clone());
    let of_swarm = |number: usize| {
        let swarm = Some(network.entries[number].swarm);
        (50..).map(Owner::new).find(|owner| roster.swarm_of(&owner.account().key()) == swarm).expect("one of many")
    };
    let (owner, other) = (of_swarm(0), of_swarm(1));
    let delete = {
        let action = Action::Delete { messages: vec![[0; 32].into()], required: true };
        let auth = owner.auth(&signed::command(&action), 0).auth;
        Method::Command(Command { account: owner.account(), action, auth })
    };
    let too_long = StoreRequest { expiry: now_ms() + 15 * 86_400_000, ..owner.deposit(b"x") };
    let unsigned = RetrieveRequest { auth: None, ..owner.retrieval() };
    for (method, status, expected) in [
        (
            Method::Store(worked(owner.deposit(b"x"), FLOOR, [1; 32])),
            400,
            Json(|body| {
                assert_eq!(*body, json!({"reason": "work", "effort": FLOOR, "block": hex::encode(BLOCK)}));
            }),
        ),
        (Method::Retrieve(unsigned), 401, Text("retrieve: request signature required")),
        (Method::Store(too_long), 403, Text("Provided expiry/TTL is not valid.")),
        (delete, 404, Json(|body| assert!(body["swarm"].is_object()))),
        (
            Method::Retrieve(other.retrieval()),
            421,
            Json(|body| {
                assert_eq!(
                    (&body["swarm"], body["snodes"].as_array().map(Vec::len)),
                    (&json!("8000000000000000"), Some(1))
                );
            }),
        ),
        (Method::Store(owner.deposit(&[1; 101])), 400, Json(|body| assert_eq!(body["reason"], "work"))),
        (
            Method::Store(worked(owner.deposit(&[1; 101]), FLOOR, BLOCK)),
            500,
            Json(|body| {
                let members = body["swarm"].as_object().expect("members");
                assert!(members.values().all(|member| member["failed"] == true && member["code"] == "507"), "{body}");
            }),
        ),
    ] {
        let (told, body) = network.ask(0, method.clone()).await;
        assert_eq!(told, status, "{method:?}: {body}");
        match expected {
            Text(text) => assert_eq!(body, text),
            Json(check) => check(&body),
        }
    }
    let ahead = now_ms() + 60_000;
    let early = StoreRequest { timestamp: ahead, expiry: ahead + 60_000, ..owner.deposit(b"x") };
    assert_eq!(network.ask(0, Method::Store(early)).await, (406, json!("Timestamp error: check your clock")));
    assert_eq!(network.post(0, "/storage_rpc/v1", vec![b'x'; MAX_REQUEST_BYTES + 1]).await.0, 413);
    assert_eq!(network.post(0, "/nowhere", "").await.0, 404);
    let name = json!({"method": "oxend_request", "params": {"endpoint": "ons_resolve", "params": {"type": 0}}});
    let (status, answer) = network.post(0, "/storage_rpc/v1", name.to_string()).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((status, &answer["result"]), (200, &json!({})), "no name is registered");

    network.publish(network.entries[1..].to_vec());
    let not_ready = "Service node is not ready: it is not registered on the chain\n".to_owned();
    for path in ["/storage_rpc/v1", "/onion_req/v2"] {
        assert_eq!(network.post(0, path, "{}").await, (503, not_ready.clone()), "{path}");
    }
    network.stop().await;
}
