//! Nodes over real sockets on loopback; the roster is given rather than followed.

use crate::onion::wrapped;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use futures::future::join_all;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use serde_json::Value;
use skep_chain_client::RosterView;
use skep_mailbox::{MemoryStore, Quotas, Store};
use skep_messaging::{
    NodeKey,
    config::Config,
    drive::{Doors, MessagingNode, NodeParts, supervisor::Sockets},
};
use skep_primitives::{
    Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, ServiceNodeId, SoftwareVersion, StakerId, SwarmId,
};
use skep_proto::{
    account::AccountAddress,
    certificate::{EXTENSION_OID, NodeBinding, signed_message},
    storage::{
        HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveRequest, StoreRequest, TimedAuth, signed,
    },
};
use skep_work::{Challenge, solve};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, time::sleep};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Enough for what must happen, on any machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// Settings of a test's nodes: any port, no metrics.
pub(crate) fn config(changes: &str) -> Config {
    Config::parse(&format!(
        "chain = [\"ws://127.0.0.1:1\"]\n\
         listen = {{ address = \"127.0.0.1\", https_port = 0, quic_port = 0 }}\n\
         metrics = {{ enabled = false }}\n{changes}"
    ))
    .expect("a valid configuration")
}

/// Some nodes and the roster they see.
pub(crate) struct Network {
    pub(crate) nodes: Vec<MessagingNode>,
    pub(crate) entries: Vec<RosterEntry>,
    pub(crate) stores: Vec<Arc<MemoryStore>>,
    roster: watch::Sender<Arc<RosterView>>,
}

impl Network {
    /// Starts a node for each of `swarms` and puts them into one roster.
    pub(crate) async fn start(swarms: &[u64]) -> Self {
        Self::start_with(swarms, &config("")).await
    }

    pub(crate) async fn start_with(swarms: &[u64], config: &Config) -> Self {
        Self::start_within(swarms, config, u64::MAX.into()).await
    }

    /// Nodes whose stores are bounded by `quotas`.
    pub(crate) async fn start_within(swarms: &[u64], config: &Config, quotas: Quotas) -> Self {
        let (roster, receiver) = watch::channel(Arc::new(view(Vec::new())));
        let (mut nodes, mut entries, mut stores) = (Vec::new(), Vec::new(), Vec::new());
        for (number, swarm) in swarms.iter().enumerate() {
            let key = node_key(number);
            let store = Arc::new(MemoryStore::new(quotas));
            let node = start_node(config, &key, receiver.clone(), Arc::clone(&store) as Arc<dyn Store>).await;
            stores.push(store);
            entries.push(entry(&key, node.https_address().port(), node.quic_address().port(), *swarm));
            nodes.push(node);
        }
        let network = Self { nodes, entries, stores, roster };
        network.publish(network.entries.clone());
        network.warm_up().await;
        network
    }

    /// Has every node reach every other. Members ask each other with little patience, which on a busy machine may be over
    /// before many connections have been made at once.
    pub(crate) async fn warm_up(&self) {
        let all = 0..self.nodes.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to))).filter(|(from, to)| from != to);
        join_all(pairs.map(|(from, to)| self.reaches(from, to))).await;
    }

    /// Waits until one node reaches another.
    async fn reaches(&self, from: usize, to: usize) {
        let request = serde_json::to_vec(&Request::Single(Method::Info)).expect("requests serialize");
        let until = Instant::now() + LONG;
        loop {
            let (status, answer) = self.post(from, "/onion_req/v2", wrapped(self, &[from, to], &request).body).await;
            if status == 200 {
                return;
            }
            assert!(Instant::now() < until, "node {from} does not reach node {to}: {status} {answer}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops the last node and starts it again where the others know it, with nothing in its memory or its store.
    pub(crate) async fn restart_last(&mut self) {
        let (number, port) = (self.nodes.len() - 1, self.entries[self.nodes.len() - 1].endpoint.quic_port);
        self.nodes.pop().expect("there are nodes").stop().await;
        // The socket goes with the last of the endpoint's tasks.
        let until = Instant::now() + LONG;
        let quic = loop {
            match UdpSocket::bind(("127.0.0.1", port)) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        };
        let sockets = Sockets { quic: Some(quic), ..Sockets::default() };
        let store = Arc::new(MemoryStore::new(0));
        let parts = NodeParts { key: node_key(number), genesis: GENESIS, roster: self.receiver(), store };
        let doors = Doors::open(sockets, &config("")).await.expect("its ports are free");
        self.nodes.push(MessagingNode::start_at(doors, &config(""), parts).expect("the node starts"));
    }

    /// What every node sees from now on.
    pub(crate) fn publish(&self, entries: Vec<RosterEntry>) {
        self.roster.send_replace(Arc::new(view(entries)));
    }

    /// The same, whatever the view.
    pub(crate) fn publish_view(&self, view: Arc<RosterView>) {
        self.roster.send_replace(view);
    }

    pub(crate) fn receiver(&self) -> watch::Receiver<Arc<RosterView>> {
        self.roster.subscribe()
    }

    pub(crate) fn id(&self, number: usize) -> ServiceNodeId {
        self.entries[number].id
    }

    /// POSTs to one node, which must prove that it is that node.
    pub(crate) async fn post(&self, number: usize, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let client = client_of(self.id(number), &[&TLS13]);
        post(&client, self.nodes[number].https_address(), path, body).await
    }

    /// A request of the storage RPC to one node.
    pub(crate) async fn ask(&self, number: usize, method: Method) -> (u16, Value) {
        let body = serde_json::to_vec(&Request::Single(method)).expect("requests serialize");
        let (status, text) = self.post(number, "/storage_rpc/v1", body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

pub(crate) async fn start_node(
    config: &Config,
    key: &NodeKey,
    roster: watch::Receiver<Arc<RosterView>>,
    store: Arc<dyn Store>,
) -> MessagingNode {
    MessagingNode::start(config, NodeParts { key: key.clone(), genesis: GENESIS, roster, store })
        .await
        .expect("the node starts")
}

pub(crate) fn node_key(number: usize) -> NodeKey {
    NodeKey::from_seed(&[number as u8 + 1; 32])
}

pub(crate) const GENESIS: [u8; 32] = [0x99; 32];
pub(crate) const HEIGHT: u32 = 77;
pub(crate) const BLOCK: [u8; 32] = [0xbb; 32];

pub(crate) fn view(nodes: Vec<RosterEntry>) -> RosterView {
    RosterView::new(RosterSnapshot { height: HEIGHT + nodes.len() as u32, block_hash: BLOCK, nodes })
}

pub(crate) fn entry(key: &NodeKey, https_port: u16, quic_port: u16, swarm: u64) -> RosterEntry {
    RosterEntry {
        id: key.id(),
        operator: StakerId([1; 32]),
        fee: Permyriad::WHOLE,
        contributions: Vec::new(),
        requirement: 0,
        endpoint: Endpoint { ipv4: [127, 0, 0, 1], https_port, quic_port },
        version: SoftwareVersion([0, 1, 0]),
        state: NodeState::Active { since: 1 },
        swarm: SwarmId(swarm),
        registered_at: 1,
        last_rewarded_at: 1,
    }
}

pub(crate) async fn post(
    client: &reqwest::Client,
    node: SocketAddr,
    path: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, String) {
    let response = client.post(format!("https://{node}{path}")).body(body).send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// A client that speaks to `node` only, whose key it knows from the roster.
pub(crate) fn client_of(node: ServiceNodeId, versions: &[&'static SupportedProtocolVersion]) -> reqwest::Client {
    let schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
    let tls = tls_of(node, versions, schemes);
    reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().expect("a client")
}

/// TLS with `node` only, by a client that offers these signature schemes.
pub(crate) fn tls_of(
    node: ServiceNodeId,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier = BindingVerifier { node, provider: Arc::clone(&provider), schemes };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

pub(crate) const BOTH_VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// Checks that the node's key vouches for the certificate.
#[derive(Debug)]
struct BindingVerifier {
    node: ServiceNodeId,
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

fn vouched_for(certificate: &[u8], node: &ServiceNodeId) -> Option<()> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let oid = EXTENSION_OID.map(|arc| arc.to_string()).join(".");
    let extension = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == oid)?;
    let binding = NodeBinding::from_der(extension.value).ok()?;
    let message = signed_message(certificate.public_key().raw);
    let key = VerifyingKey::from_bytes(&binding.node).ok()?;
    key.verify_strict(&message, &Signature::from_bytes(&binding.signature)).ok()?;
    (binding.node == node.0).then_some(())
}

impl ServerCertVerifier for BindingVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        vouched_for(certificate, &self.node)
            .map(|()| ServerCertVerified::assertion())
            .ok_or(Error::General("not the node we know".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// `deposit` with work of this effort over this block.
pub(crate) fn worked(deposit: StoreRequest, effort: u32, block_hash: [u8; 32]) -> StoreRequest {
    let StoreRequest { account, namespace, timestamp, expiry, .. } = deposit;
    let hash = MessageHash::of(&account, namespace, &deposit.data);
    let challenge = Challenge { account, namespace, hash, timestamp, ttl: expiry - timestamp, effort, block_hash };
    let proof = solve(&challenge, [0; 16], || true).expect("never gives up");
    StoreRequest { work: Some(challenge.to_wire(&proof)), ..deposit }
}

/// Somebody with a mailbox.
pub(crate) struct Owner(SigningKey);

impl Owner {
    pub(crate) fn new(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    pub(crate) fn account(&self) -> AccountAddress {
        AccountAddress::from_x25519(self.0.verifying_key().to_montgomery().to_bytes())
    }

    pub(crate) fn auth(&self, message: &[u8], timestamp: u64) -> TimedAuth {
        let ed25519_key = Some(HexKey(self.0.verifying_key().to_bytes()));
        TimedAuth {
            auth: OwnerAuth { signature: self.0.sign(message).to_bytes(), ed25519_key, subaccount: None },
            timestamp,
        }
    }

    /// A message for this owner, sent by anyone.
    pub(crate) fn deposit(&self, data: &[u8]) -> StoreRequest {
        let now = now_ms();
        StoreRequest {
            account: self.account(),
            namespace: Namespace::DEFAULT,
            timestamp: now,
            expiry: now + 3_600_000,
            data: data.to_vec(),
            auth: None,
            work: None,
        }
    }

    /// This owner's request to read.
    pub(crate) fn retrieval(&self) -> RetrieveRequest {
        let now = now_ms();
        RetrieveRequest {
            account: self.account(),
            namespace: Namespace::DEFAULT,
            last_hash: None,
            max_count: None,
            max_size: None,
            auth: Some(self.auth(&signed::retrieve(Namespace::DEFAULT, now), now)),
        }
    }
}
