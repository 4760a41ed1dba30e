//! The front door answers what existing clients send, byte for byte on a socket.

use skep_node::{
    front_door,
    roster::{FinalizedState, RosterError},
};
use skep_primitives::{
    BlockHash, Contribution, Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, ServiceNodeId,
    SoftwareVersion, StakerId, StakingTerms, SwarmId,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A roster at a block that a test may move on.
struct Roster(AtomicU8);

impl FinalizedState for Roster {
    fn block(&self) -> BlockHash {
        [self.0.load(Ordering::SeqCst); 32]
    }

    fn roster(&self) -> Result<Arc<RosterSnapshot>, RosterError> {
        let nodes = (1..=12)
            .map(|number| RosterEntry {
                id: node_key(number),
                operator: StakerId([1; 32]),
                fee: Permyriad::default(),
                contributions: vec![Contribution { staker: StakerId([1; 32]), amount: 100 }],
                requirement: 100,
                endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
                version: SoftwareVersion([0, 1, 0]),
                state: NodeState::Active { since: 1 },
                swarm: SwarmId::FIRST,
                registered_at: 1,
                last_rewarded_at: 1,
            })
            .collect();
        Ok(Arc::new(RosterSnapshot { height: 77, block_hash: self.block(), nodes }))
    }

    fn staking_terms(&self) -> Result<StakingTerms, RosterError> {
        Ok(StakingTerms { requirement: 100, operator_minimum: 25, unlock_blocks: 60 })
    }
}

fn node_key(number: u8) -> ServiceNodeId {
    ServiceNodeId(ed25519_dalek::SigningKey::from_bytes(&[number; 32]).verifying_key().to_bytes())
}

fn open() -> SocketAddr {
    open_on(Arc::new(Roster(7.into())))
}

fn open_on(roster: Arc<impl FinalizedState>) -> SocketAddr {
    let listener = front_door::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(front_door::serve(listener, roster));
    address
}

/// Sends these bytes and returns the whole answer: head and body.
async fn send(address: SocketAddr, request: String) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn post(address: SocketAddr, headers: &str, body: &str) -> (String, serde_json::Value) {
    let length = body.len();
    let request = format!(
        "POST /json_rpc HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let (head, body) = send(address, request).await;
    (head, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn desktop_gets_its_list_without_id_and_content_type() {
    let address = open();
    let body = r#"{"jsonrpc":"2.0","method":"get_n_service_nodes","params":{"active_only":true,"fields":{"public_ip":true,"storage_port":true,"pubkey_x25519":true,"pubkey_ed25519":true,"requested_unlock_height":true,"height":true}}}"#;
    let headers = "User-Agent: WhatsApp\r\nAccept-Language: en-us\r\nAccept: */*\r\nAccept-Encoding: gzip,deflate\r\n";
    let (head, answer) = post(address, headers, body).await;

    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let kind = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-type:").map(str::to_owned));
    assert_eq!(kind.as_deref().map(str::trim), Some("application/json"));

    let result = &answer["result"];
    assert_eq!((&result["status"], &result["height"]), (&"OK".into(), &77.into()));
    let states = result["service_node_states"].as_array().expect("a list");
    assert_eq!(states.len(), 12);
    for state in states {
        assert_eq!(state.as_object().expect("an object").len(), 5);
        assert!(state["public_ip"].is_string() && state["storage_port"].is_u64());
        assert_eq!(state["requested_unlock_height"], 0);
        for key in ["pubkey_x25519", "pubkey_ed25519"] {
            assert_eq!(state[key].as_str().expect("hex").len(), 64);
        }
    }
}

#[tokio::test]
async fn the_same_question_gets_the_same_bytes_and_ids_come_back() {
    let address = open();
    let ask = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"get_service_nodes"}}"#);
    let (_, first) = post(address, "", &ask("1")).await;
    let (_, second) = post(address, "", &ask("\"two\"")).await;
    assert_eq!((&first["id"], &second["id"]), (&1.into(), &"two".into()));
    assert_eq!(first["result"], second["result"]);
    let (_, sample) = post(address, "", r#"{"method":"get_n_service_nodes","params":{"limit":3}}"#).await;
    assert_eq!(sample["result"]["service_node_states"].as_array().expect("a list").len(), 3);
}

#[tokio::test]
async fn what_is_kept_is_of_the_last_block() {
    let roster = Arc::new(Roster(7.into()));
    let address = open_on(roster.clone());
    let hash = async |params: &str| {
        let body = format!(r#"{{"method":"get_service_nodes","params":{params}}}"#);
        post(address, "", &body).await.1["result"]["block_hash"].as_str().expect("a hash").to_owned()
    };
    for block in [7, 8, 9] {
        roster.0.store(block, Ordering::SeqCst);
        for _ in 0..2 {
            assert_eq!(hash("{}").await, hex::encode([block; 32]));
            assert_eq!(hash(r#"{"limit":1}"#).await, hex::encode([block; 32]));
        }
    }
}

/// A roster that nobody gets while it is held, and how many asked for it at a time.
struct Held {
    roster: Roster,
    is_held: AtomicBool,
    asking: AtomicUsize,
    most: AtomicUsize,
}

impl FinalizedState for Held {
    fn block(&self) -> BlockHash {
        self.roster.block()
    }

    fn roster(&self) -> Result<Arc<RosterSnapshot>, RosterError> {
        let asking = self.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(asking, Ordering::SeqCst);
        while self.is_held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.asking.fetch_sub(1, Ordering::SeqCst);
        self.roster.roster()
    }

    fn staking_terms(&self) -> Result<StakingTerms, RosterError> {
        self.roster.staking_terms()
    }
}

#[tokio::test]
async fn what_is_made_for_one_waits_for_its_turn_and_what_is_kept_does_not() {
    const ALL: &str = r#"{"method":"get_service_nodes"}"#;
    const SAMPLE: &str = r#"{"method":"get_service_nodes","params":{"limit":1}}"#;
    const AT_A_TIME: usize = 2;
    const CROWD: usize = 8;
    let state = Arc::new(Held { roster: Roster(7.into()), is_held: false.into(), asking: 0.into(), most: 0.into() });
    let address = open_on(state.clone());
    let count = |answer: &serde_json::Value| answer["result"]["service_node_states"].as_array().map(Vec::len);
    assert_eq!(count(&post(address, "", ALL).await.1), Some(12));
    state.is_held.store(true, Ordering::SeqCst);
    let crowd: Vec<_> = (0..CROWD).map(|_| tokio::spawn(post(address, "", SAMPLE))).collect();
    while state.asking.load(Ordering::SeqCst) < AT_A_TIME {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Long enough for the others to begin if they could.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&post(address, "", ALL).await.1), Some(12), "what is kept is told meanwhile");
    state.is_held.store(false, Ordering::SeqCst);
    for asked in crowd {
        assert_eq!(count(&asked.await.expect("no panic").1), Some(1));
    }
    assert_eq!(state.most.load(Ordering::SeqCst), AT_A_TIME);
}

#[tokio::test]
async fn other_questions_are_answered() {
    let address = open();
    let (_, terms) = post(address, "", r#"{"method":"get_staking_requirement"}"#).await;
    assert_eq!(terms["result"]["staking_requirement"], 100);
    let (_, info) = post(address, "", r#"{"method":"get_info","id":null}"#).await;
    assert_eq!((&info["result"]["height"], &info["result"]["service_node_count"]), (&77.into(), &12.into()));
}

#[tokio::test]
async fn bad_input_is_named() {
    let address = open();
    let wrong = [
        ("{", -32_700),
        ("{}", -32_600),
        (r#"{"method":7}"#, -32_600),
        (r#"{"method":"mine"}"#, -32_601),
        (r#"{"method":"get_service_nodes","params":{"fields":3}}"#, -32_602),
        (r#"{"method":"get_service_nodes","params":{"limit":"many"}}"#, -32_602),
        (r#"{"method":"get_service_nodes","params":{"service_node_pubkeys":["zz"]}}"#, -32_602),
    ];
    for (body, code) in wrong {
        let (_, answer) = post(address, "", body).await;
        assert_eq!(answer["error"]["code"], code, "{body}");
        assert!(!answer["error"]["message"].as_str().expect("a reason").is_empty());
    }
    let large = "x".repeat(65 * 1024);
    let request = format!(
        "POST /json_rpc HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{large}",
        large.len()
    );
    let (head, _) = send(address, request).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
}
