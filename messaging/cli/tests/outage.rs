//! Nodes that fail are taken out of service by the others, serve again once they answer, or are put off the roster: the
//! whole network, end to end. Takes ten minutes, so only `scripts/outage` runs it.

#![allow(clippy::print_stdout, reason = "a run of minutes tells what it found")]

mod devnet {
    #[allow(dead_code, reason = "what the other test of a whole network needs besides")]
    pub(super) mod network;
}

use devnet::network::Network;
use serde_json::Value;
use std::time::{Duration, Instant};

/// One that comes back, and one that does not.
const BACK: &str = "node-03";
const GONE: &str = "node-09";
/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
#[ignore = "starts a whole network and waits for verdicts: scripts/outage runs it"]
fn a_killed_node_is_decommissioned_and_comes_back_and_one_left_dead_is_deregistered() {
    let network = Network::up();
    let began = Instant::now();
    let tell = |what: &str| println!("{:>4} s  {what}", began.elapsed().as_secs());
    let (back, gone) = (id_of(&network, BACK), id_of(&network, GONE));
    tell("the network is up");

    let (code, text) = network.doctor(BACK);
    println!("$ skep-messaging doctor ({BACK}, serving): exit {code}\n{text}");
    assert_eq!(code, 0);

    network.devnet(&["stop", BACK, "--kill"]);
    tell(&format!("{BACK} is killed"));
    network.wait_until("the killed node is decommissioned", LIMIT, || {
        standing(&network, &back)["whereabouts"]["roster"]["state"] == "decommissioned"
    });
    tell(&format!("{BACK} is decommissioned"));
    let shown = standing(&network, &back);
    println!("{shown:#}");
    let reasons = shown["whereabouts"]["roster"]["findings"]["any"].as_array().expect("reasons").clone();
    for reason in ["https_unreachable", "quic_unreachable", "onion_relay"] {
        assert!(reasons.contains(&reason.into()), "{reasons:?}");
    }
    network.wait_until("it leaves its swarm", LIMIT, || swarm(&network, &back).is_none());
    tell(&format!("{BACK} has left its swarm"));
    let (code, text) = network.doctor(BACK);
    println!("$ skep-messaging doctor ({BACK}, dead): exit {code}\n{text}");
    assert_eq!(code, 1);

    network.devnet(&["start", BACK]);
    tell(&format!("{BACK} is started again"));
    network.wait_until("the node is recommissioned", LIMIT, || {
        standing(&network, &back)["whereabouts"]["roster"]["state"] == "active"
    });
    tell(&format!("{BACK} is recommissioned"));
    network.wait_until("the node is placed again", LIMIT, || swarm(&network, &back).is_some());
    tell(&format!("{BACK} is in swarm {} again", swarm(&network, &back).expect("placed")));
    println!("{:#}", standing(&network, &back));

    network.devnet(&["stop", GONE, "--kill"]);
    tell(&format!("{GONE} is killed and left dead"));
    network.wait_until("the dead node is decommissioned", LIMIT, || {
        standing(&network, &gone)["whereabouts"]["roster"]["state"] == "decommissioned"
    });
    tell(&format!("{GONE} is decommissioned"));
    network.wait_until("the dead node is deregistered", LIMIT, || {
        standing(&network, &gone)["whereabouts"]["deregistered"]["at"].is_u64()
    });
    tell(&format!("{GONE} is deregistered"));
    println!("{:#}", standing(&network, &gone));

    let all = network.skep(&["nodes", "standing"]);
    let all: Value = serde_json::from_str(&all.stdout).expect("answers in JSON");
    for node in all["nodes"].as_array().expect("a list") {
        if node["node"] != back.as_str() && node["node"] != gone.as_str() {
            assert_eq!(node["history"], Value::Array(Vec::new()), "nobody else was accused: {node:#}");
        }
    }
    tell("nobody else was accused of anything");
    println!("{}", network.skep_in_words(&["nodes", "standing"]).stdout);
}

/// The node a process runs.
fn id_of(network: &Network, process: &str) -> String {
    let status: Value = serde_json::from_str(&network.devnet(&["status"]).stdout).expect("answers in JSON");
    let processes = status["processes"].as_array().expect("a list");
    let process = processes.iter().find(|found| found["name"] == process).expect("runs");
    process["health"]["node"].as_str().expect("answers").to_owned()
}

/// How a node stands; nothing if the chain could not be asked just now.
fn standing(network: &Network, node: &str) -> Value {
    let answer = network.skep(&["nodes", "standing", node]);
    let mut answer: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
    answer["nodes"][0].take()
}

/// The swarm a node is in.
fn swarm(network: &Network, node: &str) -> Option<String> {
    let nodes = network.nodes();
    let entry = nodes.as_array()?.iter().find(|entry| entry["id"] == node)?;
    entry["swarm"].as_str().filter(|swarm| *swarm != "ffffffffffffffff").map(str::to_owned)
}
