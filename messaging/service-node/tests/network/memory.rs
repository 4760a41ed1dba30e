//! Memory for what is in flight: nobody gets so much of it that others are turned away.

use crate::{
    onion::wrapped,
    storage::read,
    support::{Network, Owner, config, tls_of},
};
use rustls::{crypto::ring, pki_types::ServerName, version::TLS13};
use skep_onion::Wrapped;
use skep_proto::storage::{Method, Request, RetrieveRequest, RetrieveResponse};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Nothing here takes this long, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages of the largest size, a few more than one answer holds.
const FULL: u8 = 80;

/// Fills a mailbox with more than one answer holds.
async fn fill(network: &Network, owner: &Owner) {
    for number in 0..FULL {
        let mut data = vec![number; 76_800];
        data[0] = 1;
        let (status, answer) = network.ask(0, Method::Store(owner.deposit(&data))).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// A client elsewhere that asks and then takes nothing of the answer but its first line.
async fn ask_and_take_little(network: &Network, request: RetrieveRequest) -> (String, TlsStream<TcpStream>) {
    let node = network.nodes[0].https_address();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).expect("another address of this machine");
    // So that the system takes little of the answer out of the node's hands.
    socket.set_recv_buffer_size(4096).expect("a small window");
    let stream = socket.connect(node).await.expect("connects");
    let schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
    let tls = TlsConnector::from(Arc::new(tls_of(network.id(0), &[&TLS13], schemes)));
    let mut stream = tls.connect(ServerName::from(node.ip()), stream).await.expect("the node we know");
    let body = serde_json::to_vec(&Request::Single(Method::Retrieve(request))).expect("serializes");
    let head = format!("POST /storage_rpc/v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("sends");
    let mut line = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut line)).await.expect("in time").expect("an answer");
    (String::from_utf8(line.to_vec()).expect("a status line"), stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_its_answers_slowly_keeps_nobody_else_out() {
    let network = Network::start_with(&[0], &config("limits = { memory_mib = 32 }")).await;
    let (greedy, honest) = (Owner::new(50), Owner::new(51));
    fill(&network, &greedy).await;
    assert_eq!(network.ask(0, Method::Store(honest.deposit(b"for somebody else"))).await.0, 200);
    let mut held = Vec::new();
    for size in [-1, -1, -1, -2, -4, -5, -10, -20, -40] {
        held.push(ask_and_take_little(&network, RetrieveRequest { max_size: Some(size), ..greedy.retrieval() }).await);
    }
    let statuses: Vec<_> = held.iter().map(|(line, _)| line.as_str()).collect();
    assert!(statuses.contains(&"HTTP/1.1 200") && statuses.contains(&"HTTP/1.1 503"), "{statuses:?}");
    for _ in 0..5 {
        let (status, answer) = network.ask(0, Method::Retrieve(honest.retrieval())).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(read::<RetrieveResponse>(answer).messages.len(), 1);
    }
    drop(held);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_answer_comes_back_through_hops_by_default() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    fill(&network, &owner).await;
    let request = Method::Retrieve(RetrieveRequest { max_size: Some(-1), ..owner.retrieval() });
    let request = serde_json::to_vec(&Request::Single(request)).expect("serializes");
    let Wrapped { body, opener } = wrapped(&network, &[1, 0], &request);
    let (status, answer) = network.post(1, "/onion_req/v2", body).await;
    assert_eq!(status, 200, "{answer}");
    let answer = opener.open(answer.as_bytes()).expect("an answer for us");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page: RetrieveResponse = serde_json::from_str(&answer.body).expect("a page");
    assert!(page.more && page.messages.len() > 70, "{} messages", page.messages.len());
    network.stop().await;
}
