//! The whole network, end to end: every part real, on this machine. Takes minutes and a devnet's ports, so only
//! `scripts/test` runs it.

#![allow(clippy::print_stdout, reason = "a run of minutes tells what it found")]

mod devnet {
    pub(super) mod cookbook;
    pub(super) mod liar;
    #[allow(dead_code, reason = "what the other test of a whole network needs besides")]
    pub(super) mod network;
}

use devnet::{
    cookbook,
    liar::{Liar, Lie},
    network::{Network, Run},
};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};

const MIB: u64 = 1024 * 1024;
/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
#[ignore = "starts a whole network: scripts/test runs it"]
fn one_message_crosses_the_whole_network() {
    let network = Network::up();
    println!("up: {}", network.summary());
    check_processes(&network);
    check_demo(&network.demo());
    the_roster_is_proven(&network);
    lying_chain_nodes_are_caught(&network);

    let scratch = tempfile::tempdir().expect("creates a directory");
    cookbook::check(scratch.path());
    stakes_come_and_go(&network, scratch.path());
    bad_input_is_refused_and_changes_nothing(&network, scratch.path());
    a_killed_node_keeps_every_acknowledged_message(&network, scratch.path());

    // The one that everybody asks first.
    network.devnet(&["stop", "alice"]).succeeds();
    check_demo(&network.demo());
    network.devnet(&["start", "alice"]).succeeds();

    a_stake_is_asked_back(&network);

    let pids = network.pids();
    network.devnet(&["down"]).succeeds();
    let left: Vec<_> = pids.iter().filter(|pid| is_running(**pid)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    network.devnet(&["down"]).succeeds();
}

fn check_processes(network: &Network) {
    let status = network.devnet(&["status"]).succeeds();
    assert_eq!((&status["running"], &status["service_nodes"]), (&28.into(), &24.into()), "{status}");
    for process in list(&status["processes"]) {
        let memory = process["resident_bytes"].as_u64().expect("runs") / MIB;
        println!("{}: {memory} MiB", process["name"]);
        let most = if process["health"].is_object() { 60 } else { 400 };
        assert!(memory < most, "{} takes {memory} MiB, which is more than {most}", process["name"]);
    }
    let placed: usize = list(&status["swarms"]).iter().map(|swarm| list(&swarm["nodes"]).len()).sum();
    assert_eq!(placed, 24, "every node is in exactly one swarm");
}

fn check_demo(demo: &Value) {
    println!("demo: {demo}");
    assert_eq!(demo["delivered"], true);
    for text in ["text", "reply", "swarm"] {
        assert!(demo[text].as_str().is_some_and(|text| !text.is_empty()), "{text} in {demo}");
    }
    for (nodes, least) in [("path", 3), ("stored_on", 3)] {
        let nodes = list(&demo[nodes]);
        assert!(nodes.len() >= least, "{demo}");
        assert!(nodes.iter().all(|node| node.as_str().is_some_and(|node| node.len() == 64)), "{demo}");
        assert!(nodes.iter().enumerate().all(|(number, node)| !nodes[..number].contains(node)), "{demo}");
    }
    assert_eq!(demo["service_nodes"], 24);
    assert!(demo["finalized"].as_u64().is_some_and(|height| height > 0));
    assert!(demo["seconds"].is_u64());
}

/// Every chain node proves the same nodes, down to the checkpoint that `up` wrote.
fn the_roster_is_proven(network: &Network) {
    let mut found = Value::Null;
    // A busy machine may keep any of them from answering in time.
    network.wait_until("every chain node answers", LIMIT, || {
        found = network.skep(&["nodes", "verify"]).succeeds();
        list(&found["chain_nodes"]).iter().all(|node| node["verdict"] != "silent")
    });
    println!("proven: {}", found["roster"]);
    assert_eq!((&found["checkpoint"]["number"], &found["roster"]["nodes"]), (&0.into(), &24.into()), "{found}");
    let chain_nodes = list(&found["chain_nodes"]);
    assert_eq!(chain_nodes.len(), 4, "{found}");
    assert!(chain_nodes.iter().all(|node| node["verdict"] == "proven" && node["nodes"] == 24), "{found}");
    // What a release would ship now, and clients could begin with. Whoever is asked may be a block behind another.
    network.wait_until("a checkpoint of what was proven", LIMIT, || {
        let checkpoint = network.skep(&["nodes", "checkpoint"]).succeeds();
        assert_eq!(checkpoint["genesis"], found["checkpoint"]["genesis"]);
        checkpoint["number"].as_u64() >= found["roster"]["finalized"].as_u64()
    });
}

/// Of four chain nodes three lie about one node each; every one is named, and the roster is proven by the fourth.
fn lying_chain_nodes_are_caught(network: &Network) {
    let chain = network.chain();
    let honest = chain.split(',').next().expect("one");
    let liars = [Lie::Drops, Lie::Adds, Lie::Alters].map(|lie| Liar::in_front_of(honest, lie));
    let asked: Vec<_> = liars.iter().map(|liar| liar.url.as_str()).chain([honest]).collect();
    let mut told = network.verify_in_words(&asked.join(","));
    network.wait_until("everybody answers", LIMIT, || {
        println!("{}\n{}", told.stdout, told.stderr);
        let all = !told.stdout.contains(": proves nothing");
        if !all {
            told = network.verify_in_words(&asked.join(","));
        }
        all
    });
    assert_eq!(told.code, 1, "{}", told.stderr);
    for liar in &liars {
        let line = told.stdout.lines().find(|line| line.contains(&liar.url)).expect("is named");
        assert!(line.contains("LIES"), "{line}");
    }
    assert!(told.stdout.contains(&format!("{honest}: proves")), "{}", told.stdout);
    assert!(told.stdout.contains("proven: 24 nodes"), "{}", told.stdout);
    assert!(told.stderr.contains("3 of the chain nodes asked lie"), "{}", told.stderr);
}

/// A thirteenth node gathers stake and gives it back.
fn stakes_come_and_go(network: &Network, scratch: &Path) {
    let proof = network.prove(&scratch.join("13.key"), "//Alice");
    let file = scratch.join("13.json");
    fs::write(&file, proof.to_string()).expect("writes");
    let (file, node) = (file.to_str().expect("is text"), proof["node"].as_str().expect("is text"));

    let registered =
        network.stake("//Alice", &["register", "--proof", file, "--ip", "127.0.33.1", "--stake", "40.5"]).succeeds();
    assert_eq!((&registered["staked"], &registered["requirement"]), (&"40500000000".into(), &"100000000000".into()));
    let contributed = network.stake("//Bob", &["contribute", node, "30"]).succeeds();
    assert_eq!(contributed["staked"], "30000000000");
    let error = network.stake("//Charlie", &["contribute", node, "31"]).fails(2);
    assert!(error.contains("room for 29.5 SKEP") && error.contains("at most 29.795 SKEP"), "{error}");
    network.stake("//Bob", &["contribute", node, "1.5"]).succeeds();
    let pools = network.stake("//Charlie", &["pools"]).succeeds();
    let pool = list(&pools["pools"]).iter().find(|pool| pool["node"] == node).expect("gathers");
    assert_eq!((&pool["room"], &pool["minimum"]), (&"28000000000".into(), &"3500000000".into()));
    let error = network.stake("//Nobody", &["contribute", node, "28"]).fails(1);
    assert!(error.contains("Inability to pay some fees"), "{error}");
    let error = network.stake("//Charlie", &["withdraw", node]).fails(2);
    assert!(error.contains("has no stake"), "{error}");

    a_node_says_where_it_is(network, &scratch.join("13.key"), node);

    let stakes = network.stake("//Bob", &["status"]).succeeds();
    assert!(
        list(&stakes["stakes"]).iter().any(|stake| stake["node"] == node && stake["lock"] == "gathering"),
        "{stakes}"
    );
    network.stake("//Bob", &["withdraw", node]).succeeds();
    let stakes = network.stake("//Bob", &["status"]).succeeds();
    assert!(list(&stakes["stakes"]).iter().all(|stake| stake["node"] != node), "{stakes}");
    network.stake("//Alice", &["withdraw", node]).succeeds();
    assert!(list(&network.nodes()).iter().all(|listed| listed["id"] != node));
}

/// By its own key once an epoch, by its operator at any time.
fn a_node_says_where_it_is(network: &Network, key: &Path, node: &str) {
    let ip = || list(&network.nodes()).iter().find(|listed| listed["id"] == node).expect("registered")["ip"].clone();
    let (code, told) = network.announce(key, "127.0.33.1");
    assert!(code == 0 && told.contains("knows this already"), "{told}");
    let (code, told) = network.announce(key, "127.0.34.1");
    assert!(code == 0 && told.contains(&format!("{node} is reached at 127.0.34.1")), "{told}");
    assert_eq!(ip(), "127.0.34.1");
    let (code, told) = network.announce(key, "127.0.1.1");
    assert!(code == 1 && told.contains("refused the transaction"), "another node's address: {told}");
    network.stake("//Alice", &["endpoint", node, "--ip", "127.0.35.1"]).succeeds();
    assert_eq!(ip(), "127.0.35.1");
}

fn a_stake_is_asked_back(network: &Network) {
    let stakes = network.stake("//Dave", &["status"]).succeeds();
    let node = list(&stakes["stakes"]).iter().find(|stake| stake["lock"] == "bonded").expect("operates a node");
    let node = node["node"].as_str().expect("is text");
    let unlock = network.stake("//Dave", &["unlock", node]).succeeds();
    let error = network.stake("//Dave", &["unlock", node]).fails(1);
    assert!(error.contains("AlreadyLeaving"), "{error}");
    let stakes = network.stake("//Dave", &["status"]).succeeds();
    let stake = list(&stakes["stakes"]).iter().find(|stake| stake["node"] == node).expect("is held still");
    assert_eq!((&stake["lock"], &stake["block"]), (&"until".into(), &unlock["free_after_block"]));
}

fn bad_input_is_refused_and_changes_nothing(network: &Network, scratch: &Path) {
    let before = network.nodes();
    let proof = network.prove(&scratch.join("14.key"), "//Alice");
    let file = |name: &str, proof: &Value| {
        let path = scratch.join(name);
        fs::write(&path, proof.to_string()).expect("writes");
        path.to_str().expect("is text").to_owned()
    };
    let good = file("good.json", &proof);
    let mut forged = proof.clone();
    let signature = proof["proof"].as_str().expect("is text");
    forged["proof"] = format!("{}{}", &signature[2..], &signature[..2]).into();
    let forged = file("forged.json", &forged);
    let serving = list(&before)[0]["id"].as_str().expect("is text").to_owned();
    let unknown = "11".repeat(32);

    let register_at = |ip: &str, staker: &str, proof: &str, more: &[&str]| {
        network.stake(staker, &[&["register", "--proof", proof, "--ip", ip], more].concat())
    };
    let register = |staker: &str, proof: &str, more: &[&str]| register_at("127.0.34.1", staker, proof, more);
    let cases = [
        ("over-staking", register("//Alice", &good, &["--stake", "101.1"]).fails(2), "at most 101 SKEP"),
        ("under-staking", register("//Alice", &good, &["--stake", "24.9"]).fails(2), "at least 25 SKEP"),
        ("another operator", register("//Bob", &good, &[]).fails(3), "skep-messaging prove --operator"),
        ("a wrong signature", register("//Alice", &forged, &[]).fails(1), "BadProof"),
        ("an address in use", register_at("127.0.1.1", "//Alice", &good, &[]).fails(1), "EndpointTaken"),
        ("an unknown node", network.stake("//Eve", &["contribute", &unknown, "50"]).fails(2), "is not registered"),
        ("a serving node", network.stake("//Eve", &["contribute", &serving, "50"]).fails(2), "takes no stake now"),
        ("someone else's node", network.stake("//Nobody", &["unlock", &serving]).fails(2), "has no stake"),
        ("no amount", network.stake("//Eve", &["contribute", &serving, "1e9"]).fails(2), "digits"),
        ("no secret", network.stake("correct horse", &["status"]).fails(3), "not a secret URI"),
        ("no chain", network.skep(&["--chain-url", "ws://127.0.0.1:1", "nodes", "list"]).fails(4), "127.0.0.1:1"),
    ];
    for (case, error, expected) in cases {
        assert!(error.contains(expected), "{case}: {error}");
    }
    assert_eq!(list(&network.nodes()).len(), list(&before).len(), "nothing was registered");
}

/// What a member acknowledged is there after SIGKILL; what came meanwhile is with the others.
fn a_killed_node_keeps_every_acknowledged_message(network: &Network, scratch: &Path) {
    let [(member, here), (_, there)] = members(scratch);
    let member = member.as_str();
    cookbook::script(scratch, "leave acknowledged 0", &here, "true");
    network.devnet(&["stop", member, "--kill"]).succeeds();
    cookbook::script(scratch, "leave meanwhile 1", &there, "true");
    network.devnet(&["start", member]).succeeds();
    network.wait_until("the killed node serves again", LIMIT, || {
        let status = network.devnet(&["status"]).succeeds();
        list(&status["processes"])
            .iter()
            .any(|process| process["name"] == member && process["health"]["status"] == "ready")
    });
    cookbook::script(scratch, "read", &here, "grep -qx acknowledged mail");
    cookbook::script(scratch, "read", &there, "grep -qx acknowledged mail && grep -qx meanwhile mail");
}

/// Two members of the swarm that keeps the mailbox of `docs/clients/http.md`: their names in the devnet, and where they are.
fn members(scratch: &Path) -> [(String, String); 2] {
    let swarm = fs::read_to_string(scratch.join("swarm.json")).expect("the page asked for it");
    let swarm: Value = serde_json::from_str(&swarm).expect("JSON");
    [0, 1].map(|place| {
        let ip = swarm["snodes"][place]["ip"].as_str().expect("a member");
        let number: u8 = ip.split('.').nth(2).and_then(|number| number.parse().ok()).expect("127.0.N.1");
        (format!("node-{number:02}"), format!("https://{ip}:22021"))
    })
}

fn is_running(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Run {
    /// The answer of a command that must have done it.
    fn succeeds(self) -> Value {
        assert_eq!(self.code, 0, "{}: {}", self.command, self.stderr);
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error} in {line:?}", self.command))
    }

    /// What a command that must not have done it says.
    fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}: {}{}", self.command, self.stdout, self.stderr);
        self.stderr
    }
}
