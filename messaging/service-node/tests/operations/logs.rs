//! What the log never says: which client is whose, or reads, writes or relays what.

use crate::{
    LONG, Machine,
    owner::{Owner, body},
};
use serde_json::Value;
use skep_messaging::NodeKey;
use skep_onion::{Hop, WrapOptions, established::PathOpening, wrap};
use std::net::{IpAddr, Ipv4Addr};

/// An address nothing else here has.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 83, 59, 71));

fn client() -> reqwest::Client {
    let tls = skep_trusting_tls::trusting().expect("known versions");
    let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().timeout(LONG);
    client.local_address(CLIENT).build().expect("a client")
}

/// What is wrong with a line.
fn fault(line: &Value, secrets: &[String]) -> Option<&'static str> {
    let text = line.to_string();
    if !text.contains(&CLIENT.to_string()) {
        return None;
    }
    if !matches!(line["level"].as_str(), Some("DEBUG" | "TRACE")) {
        return Some("an address above debug");
    }
    secrets.iter().any(|secret| text.contains(secret)).then_some("an address beside what was asked")
}

#[test]
fn a_line_that_tells_too_much_would_be_noticed() {
    let line = |level: &str, text: String| serde_json::json!({"level": level, "fields": {"message": text}});
    let secrets = ["05ab".to_owned()];
    assert_eq!(fault(&line("INFO", format!("from {CLIENT}:5")), &secrets), Some("an address above debug"));
    let both = format!("{CLIENT} stores for 05ab");
    assert_eq!(fault(&line("TRACE", both), &secrets), Some("an address beside what was asked"));
    assert_eq!(fault(&line("TRACE", format!("from {CLIENT}")), &secrets), None);
    assert_eq!(fault(&line("ERROR", "stores for 05ab".into()), &secrets), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_ties_an_address_to_a_message() {
    let machine = Machine::new().await;
    machine.configure("level = \"trace\"");
    let node = machine.start();
    let (http, owner) = (client(), Owner::new(50));
    // The other one is in no roster: what is to be passed on to it fails, and failures are what logs tell of.
    let ids = [7, 8].map(|seed| NodeKey::from_seed(&[seed; 32]).id());
    let [own_hop, absent_hop] = ids.map(|id| Hop::from_id(id).expect("a usable key"));
    let mut rng = rand::rng();
    let info = body(skep_proto::storage::Method::Info);
    let data = b"a text that nobody else has".to_vec();
    let hash = owner.hash(&data);
    let store = body(owner.store(data.clone()));
    let delivered = wrap(&[], &own_hop, &store, WrapOptions::default(), &mut rng).expect("wraps").body;
    let relayed =
        wrap(std::slice::from_ref(&own_hop), &absent_hop, &info, WrapOptions::default(), &mut rng).expect("wraps").body;
    let (_, path) = PathOpening::start(&[own_hop, absent_hop], &mut rng).expect("a path");

    let asks = [
        ("/storage_rpc/v1", store, 200),
        ("/storage_rpc/v1", body(owner.retrieve(None)), 200),
        ("/storage_rpc/v1", body(owner.retrieve(Some(hash))), 200),
        ("/storage_rpc/v1", body(owner.delete(hash)), 200),
        ("/storage_rpc/v1", b"not JSON".to_vec(), 400),
        ("/onion_req/v2", delivered.clone(), 200),
        ("/onion_req/v2", delivered, 400),
        ("/onion_req/v2", relayed, 502),
        ("/onion_req/v2", b"no layer".to_vec(), 400),
        ("/path/v1", path.clone(), 200),
        ("/path/v1", path, 400),
        ("/nothing", Vec::new(), 404),
    ];
    for (path, body, expected) in asks {
        let answer = http.post(machine.url(path)).body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, expected, "{path}: {text}");
    }
    // A WebSocket that is none.
    let refused = http.get(machine.url("/monitor/v1")).send().await.expect("an answer");
    assert!(refused.status().is_client_error());
    node.signal("TERM");
    let mut node = node;
    assert!(node.child.wait().expect("ends").success());

    let mut secrets = vec![owner.account().to_string(), hash.to_string(), String::from_utf8(data).expect("a text")];
    secrets.extend(ids.map(|id| id.to_string()));
    let lines = node.lines.lock().expect("whole");
    assert!(lines.iter().any(|line| line["level"] == "TRACE"), "everything is logged");
    for line in lines.iter() {
        assert_eq!(fault(line, &secrets), None, "{line}");
    }
}
