//! New messages pushed over a WebSocket on the clients' port.

use crate::{
    storage::read,
    support::{Network, Owner, config, entry, node_key, now_ms, start_node, tls_of, view},
};
use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt};
use rustls::{crypto::ring, pki_types::ServerName, version::TLS13};
use serde_json::Value;
use skep_mailbox::MemoryStore;
use skep_primitives::SwarmId;
use skep_proto::storage::{
    Access, Action, Command, Delegation, MessageHash, Method, MonitorEvent, MonitorRequest, MonitorResponse, Namespace,
    OwnerAuth, Request, StoreRequest, SubResponse, SubaccountToken, TimedAuth, signed,
};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, protocol::frame::coding::CloseCode},
};

/// Nothing here takes this long, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Monitor(WebSocketStream<TlsStream<TcpStream>>);

impl Monitor {
    async fn open(network: &Network, node: usize) -> Result<Self, Error> {
        let address = network.nodes[node].https_address();
        let schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
        let tls = TlsConnector::from(Arc::new(tls_of(network.id(node), &[&TLS13], schemes)));
        let stream = TcpStream::connect(address).await.expect("connects");
        let stream = tls.connect(ServerName::from(address.ip()), stream).await.expect("the node we know");
        let (socket, _) = client_async(format!("wss://{address}/monitor/v1"), stream).await?;
        Ok(Self(socket))
    }

    async fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).await.expect("sends");
    }

    /// The next text.
    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("in time").expect("open").expect("a frame");
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// Why the node closes the connection; whatever comes before is passed over.
    async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("in time") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn ask(&mut self, request: MonitorRequest) -> SubResponse {
        let request = serde_json::to_string(&Request::Single(Method::Monitor(request))).expect("serializes");
        self.send(request).await;
        read(self.next().await)
    }

    async fn watch(&mut self, request: MonitorRequest) -> MonitorResponse {
        let answer = self.ask(request).await;
        assert_eq!(answer.code, 200, "{answer:?}");
        read(answer.body)
    }

    async fn message(&mut self) -> (i16, MessageHash, Vec<u8>) {
        match read(self.next().await) {
            MonitorEvent::Message { namespace, message, .. } => (namespace, message.hash, message.data),
            other @ MonitorEvent::Moved { .. } => panic!("{other:?}"),
        }
    }
}

fn request(owner: &Owner, namespace: i16) -> MonitorRequest {
    let (namespace, now) = (Namespace(namespace), now_ms());
    let auth = Some(owner.auth(&signed::monitor(namespace, now), now));
    MonitorRequest { account: owner.account(), namespace, auth }
}

async fn store(network: &Network, node: usize, deposit: StoreRequest) -> MessageHash {
    let hash = MessageHash::of(&deposit.account, deposit.namespace, &deposit.data);
    let (status, answer) = network.ask(node, Method::Store(deposit)).await;
    assert_eq!(status, 200, "{answer}");
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_pushed_whichever_member_took_them() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let early = store(&network, 0, owner.deposit(b"early")).await;
    let mut monitor = Monitor::open(&network, 1).await.expect("opens");
    let watched = monitor.watch(request(&owner, 0)).await;
    assert_eq!((watched.pubkey, watched.namespace), (owner.account().to_string(), 0));
    assert!(watched.until > watched.t + 3_600_000);
    monitor.watch(request(&owner, 10)).await;

    store(&network, 0, Owner::new(51).deposit(b"another's")).await;
    let passed_on = store(&network, 0, owner.deposit(b"passed on")).await;
    assert_eq!(monitor.message().await, (0, passed_on, b"passed on".to_vec()));
    let elsewhere = StoreRequest { namespace: Namespace(10), ..owner.deposit(b"other box") };
    let direct = store(&network, 1, elsewhere).await;
    assert_eq!(monitor.message().await, (10, direct, b"other box".to_vec()));
    // Known already: nothing new.
    store(&network, 1, owner.deposit(b"early")).await;
    let last = store(&network, 1, owner.deposit(b"last")).await;
    assert_eq!(monitor.message().await.1, last);
    assert_ne!(early, last);
    network.stop().await;
    assert_eq!(monitor.closed().await, Some(CloseCode::Away), "told that the node stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_by_replication_is_pushed_and_what_moves_is_told() {
    let hasty = config("replication = { interval_seconds = 1 }");
    let mut network = Network::start_with(&[0], &hasty).await;
    let both = |https, quic, swarm| {
        let mut entries = network.entries.clone();
        entries.push(entry(&node_key(1), https, quic, swarm));
        entries
    };
    let apart = view(both(1, 1, 1 << 63));
    let is_near = |owner: &Owner| apart.swarm_of(&owner.account().key()) == Some(SwarmId(0));
    let owner = (50..).map(Owner::new).find(is_near).expect("one of many");
    // Node 1 knows that it is a member before node 0 does.
    let (ahead, receiver) = watch::channel(Arc::new(view(Vec::new())));
    let node = start_node(&hasty, &node_key(1), receiver, Arc::new(MemoryStore::new(u64::MAX))).await;
    let entries = both(node.https_address().port(), node.quic_address().port(), 0);
    ahead.send_replace(Arc::new(view(entries.clone())));
    network.entries = entries;
    network.nodes.push(node);
    let missed = store(&network, 0, owner.deposit(b"missed")).await;
    let mut monitor = Monitor::open(&network, 1).await.expect("opens");
    monitor.watch(request(&owner, 0)).await;
    network.publish(network.entries.clone());
    assert_eq!(monitor.message().await.1, missed);

    let mut entries = network.entries.clone();
    entries[1].swarm = SwarmId(1 << 63);
    ahead.send_replace(Arc::new(view(entries)));
    let refused = monitor.ask(request(&owner, 0)).await;
    assert_eq!((refused.code, &refused.body["swarm"]), (421, &"0".into()), "{refused:?}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_may_watch() {
    let network = Network::start(&[0]).await;
    let owner = Owner::new(50);
    let mut monitor = Monitor::open(&network, 0).await.expect("opens");
    let now = now_ms();
    let forged = Some(Owner::new(51).auth(&signed::monitor(Namespace(0), now), now));
    let early = now - 61_000;
    let late = Some(owner.auth(&signed::monitor(Namespace(0), early), early));
    let recorded = Some(owner.auth(&signed::retrieve(Namespace(0), now), now));
    for (auth, code, text) in [
        (None, 401, "monitor: request signature required"),
        (forged, 401, "monitor signature verification failed"),
        (recorded, 401, "monitor signature verification failed"),
        (late, 406, "monitor timestamp too far from current time"),
    ] {
        let answer = monitor.ask(MonitorRequest { auth, ..request(&owner, 0) }).await;
        assert_eq!((answer.code, answer.body), (code, text.into()));
    }
    for (text, expected) in [
        ("nonsense", "invalid json"),
        (r#"{"method":"info","params":{}}"#, "only monitor requests are answered here"),
        (r#"{"method":"monitor","params":{}}"#, "invalid request: Required field 'pubkey' missing"),
    ] {
        monitor.send(text.into()).await;
        let answer: SubResponse = read(monitor.next().await);
        assert_eq!((answer.code, answer.body), (400, expected.into()));
    }
    let open = MonitorRequest { auth: None, ..request(&owner, -10) };
    assert_eq!(monitor.ask(open).await.code, 200, "everyone may read that box");

    // A subaccount watches until it is revoked.
    let user = SigningKey::from_bytes(&[9; 32]);
    let token = SubaccountToken::new(5, Access::READ, &user.verifying_key().to_bytes());
    let message = signed::monitor(Namespace(0), now);
    let TimedAuth { auth, timestamp } = owner.auth(&message, now);
    let subaccount = Some(Delegation { token, signature: owner.auth(token.as_bytes(), 0).auth.signature });
    let signature = ed25519_dalek::Signer::sign(&user, &message).to_bytes();
    let auth = Some(TimedAuth { auth: OwnerAuth { signature, subaccount, ..auth }, timestamp });
    let by_subaccount = || MonitorRequest { auth: auth.clone(), ..request(&owner, 0) };
    monitor.watch(by_subaccount()).await;
    let first = store(&network, 0, owner.deposit(b"seen")).await;
    assert_eq!(monitor.message().await.1, first);
    let action = Action::Revoke { tokens: vec![token], timestamp: now_ms() };
    let revoke = Command { account: owner.account(), auth: owner.auth(&signed::command(&action), 0).auth, action };
    assert_eq!(network.ask(0, Method::Command(revoke)).await.0, 200);
    store(&network, 0, owner.deposit(b"unseen")).await;
    let refused = monitor.ask(by_subaccount()).await;
    assert_eq!((refused.code, refused.body), (401, "monitor signature verification failed".into()));
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_and_misbehaved_ones_closed() {
    let network = Network::start_with(&[0], &config("limits = { monitors = 1 }")).await;
    let mut first = Monitor::open(&network, 0).await.expect("opens");
    let refused = Monitor::open(&network, 0).await.err();
    assert!(matches!(refused, Some(Error::Http(answer)) if answer.status().as_u16() == 503), "one at a time");
    first.0.send(Message::binary(vec![1, 2, 3])).await.expect("sends");
    assert_eq!(first.closed().await, Some(CloseCode::Unsupported));
    // Its place is free once the node has noticed.
    let again = async {
        loop {
            match Monitor::open(&network, 0).await {
                Ok(second) => break second,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut second = timeout(PATIENCE, again).await.expect("its place is free");
    let long = format!("{{\"method\":\"{}\"}}", "x".repeat(20_000));
    second.send(long).await;
    second.closed().await;
    let (status, text) = network
        .post(
            0,
            "/storage_rpc/v1",
            r#"{"method":"monitor","params":{"pubkey":"#.to_owned()
                + &format!("\"{}\",\"namespace\":-10}}}}", Owner::new(50).account()),
        )
        .await;
    assert_eq!((status, text.as_str()), (400, "monitor: open a WebSocket at /monitor/v1"));
    network.stop().await;
}
