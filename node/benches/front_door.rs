//! The front door's whole list against a server that sends the same bytes from memory (`scripts/bench chain`).

use axum::{Router, body::Bytes, http::header, routing::post};
use skep_measure::{Aim, Report};
use skep_node::{
    front_door,
    roster::{FinalizedState, RosterError},
};
use skep_primitives::{
    BlockHash, Contribution, Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, ServiceNodeId,
    SoftwareVersion, StakerId, StakingTerms, SwarmId,
};
use std::{io, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};

const NODES: u32 = 2_000;
const REQUESTS: u32 = 40;

struct Roster(Arc<RosterSnapshot>);

impl FinalizedState for Roster {
    fn block(&self) -> BlockHash {
        self.0.block_hash
    }

    fn roster(&self) -> Result<Arc<RosterSnapshot>, RosterError> {
        Ok(self.0.clone())
    }

    fn staking_terms(&self) -> Result<StakingTerms, RosterError> {
        Ok(StakingTerms { requirement: 100, operator_minimum: 25, unlock_blocks: 60 })
    }
}

fn roster() -> Roster {
    let nodes = (1..=NODES).map(|number| {
        let [_, a, b, c] = number.to_be_bytes();
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        RosterEntry {
            id: ServiceNodeId(ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes()),
            operator: StakerId([1; 32]),
            fee: Permyriad::default(),
            contributions: vec![Contribution { staker: StakerId([1; 32]), amount: 100 }],
            requirement: 100,
            endpoint: Endpoint { ipv4: [9, a, b, c], https_port: 22_021, quic_port: 22_020 },
            version: SoftwareVersion([0, 1, 0]),
            state: NodeState::Active { since: 1 },
            swarm: SwarmId::FIRST,
            registered_at: 1,
            last_rewarded_at: 1,
        }
    });
    Roster(Arc::new(RosterSnapshot { height: 77, block_hash: [7; 32], nodes: nodes.collect() }))
}

fn main() -> io::Result<()> {
    let mut report = Report::from_arguments();
    let row = "get_n_service_nodes of 2,000 nodes against the same bytes from memory";
    if !report.wants(row) {
        return Ok(());
    }
    let runtime = Runtime::new().expect("starts");
    let (door, plain) = runtime.block_on(async {
        let listener = front_door::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let door = listener.local_addr().expect("bound");
        tokio::spawn(front_door::serve(listener, Arc::new(roster())));
        let bytes = Bytes::from(ask(door, 1).await);
        (door, serve_plain(bytes).await)
    });
    let turn = |address| runtime.block_on(turn(address));
    report.speed(row, Aim::AtLeast(0.7), || turn(door), || turn(plain))
}

/// A server of the same stack that always sends the same body.
async fn serve_plain(body: Bytes) -> SocketAddr {
    let answer = move || {
        let body = body.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], body) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/json_rpc", post(answer))).await });
    address
}

/// Seconds a request.
async fn turn(address: SocketAddr) -> io::Result<f64> {
    let began = Instant::now();
    ask(address, REQUESTS).await;
    Ok(began.elapsed().as_secs_f64() / f64::from(REQUESTS))
}

/// Asks so often on one connection; returns the last body.
async fn ask(address: SocketAddr, requests: u32) -> Vec<u8> {
    let question = r#"{"jsonrpc":"2.0","method":"get_n_service_nodes","params":{"active_only":true}}"#;
    let length = question.len();
    let request = format!("POST /json_rpc HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{question}");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let mut body = Vec::new();
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut read = Vec::with_capacity(1024);
        let head = loop {
            stream.read_buf(&mut read).await.expect("answers");
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
        let length: usize = length.expect("a length").0.parse().expect("a number");
        body = read.split_off(head);
        let already = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[already..]).await.expect("answers");
    }
    body
}
