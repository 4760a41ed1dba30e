//! A member that speaks another version of what members say to each other: it does not know requests that came later, leaves
//! out fields that came later, and says things nobody knows yet.

use crate::support::{Owner, node_key, now_ms};
use futures::future::join_all;
use prost::Message;
use quinn::{
    ClientConfig, Connection, Endpoint, Incoming, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use skep_mailbox::{Changed, MemoryStore, NameRange, Put, Record, Store, command_of, give};
use skep_messaging::NodeKey;
use skep_primitives::{RosterEntry, ServiceNodeId, SwarmId};
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::{CommandDone, CommandEffect, Hashes, MessageHash, signed},
};
use skep_replication::{Next, Round, Target, Work, answer, judge, status_of};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{sync::Mutex, task::JoinHandle};

/// Field 1000, the number 7: nobody knows it.
const FROM_LATER: [u8; 3] = [0xc0, 0x3e, 7];
/// An Ed25519 `SubjectPublicKeyInfo` up to its key, and a PKCS#8 private key up to its seed (RFC 8410).
const KEY_INFO_HEAD: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
const PRIVATE_HEAD: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32];
const MOST_BYTES: usize = 16 << 20;

pub(crate) fn is_refused(response: &peer::Response, with: u32) -> bool {
    matches!(&response.response, Some(Response::Refusal(peer::Refusal { status, .. })) if *status == with)
}

/// The member.
pub(crate) struct Other {
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
    connections: Mutex<HashMap<ServiceNodeId, Connection>>,
    member: Arc<Member>,
    serving: JoinHandle<()>,
}

struct Member {
    key: NodeKey,
    store: MemoryStore,
    /// The version of comparisons it knows.
    comparison: u32,
    refused: AtomicUsize,
    /// Others that have reached it, each counted as often as it did.
    peers: AtomicUsize,
}

impl Drop for Other {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Other {
    /// Starts with the key of node `number`.
    pub(crate) fn start(number: usize, comparison: u32) -> Self {
        let keys = RawKeys::of(number);
        let tls = Arc::new(keys.client());
        let server = QuicServerConfig::try_from(keys.server()).expect("TLS 1.3");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(server)), address).expect("binds");
        let (key, store) = (node_key(number), MemoryStore::new(u64::MAX));
        let member =
            Arc::new(Member { key, store, comparison, refused: AtomicUsize::new(0), peers: AtomicUsize::new(0) });
        let (accepting, serves) = (endpoint.clone(), Arc::clone(&member));
        let serving = tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(serve(Arc::clone(&serves), incoming));
            }
        });
        Self { endpoint, tls, connections: Mutex::default(), member, serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.endpoint.local_addr().expect("bound").port()
    }

    /// Requests it did not know so far.
    pub(crate) fn refused(&self) -> usize {
        self.member.refused.load(Ordering::Relaxed)
    }

    /// How often others have reached it so far.
    pub(crate) fn peers(&self) -> usize {
        self.member.peers.load(Ordering::Relaxed)
    }

    pub(crate) fn has(&self, owner: &Owner, hash: MessageHash) -> bool {
        !self.member.store.expiries(&owner.account(), &[hash], now_ms()).expect("memory").is_empty()
    }

    /// Keeps a message, and tells nobody.
    pub(crate) fn keep(&self, record: &Record) {
        self.member.put(record.clone());
    }

    /// Does what an owner orders, and tells nobody.
    pub(crate) fn carry_out(&self, request: &[u8]) {
        self.member.carry_out(request).expect("an order");
    }

    /// Makes those members equal to itself. How many things they took.
    pub(crate) async fn reconcile(&self, members: &[RosterEntry]) -> u64 {
        let mut round = Round::new(u64::MAX);
        let ids = members.iter().map(|member| member.id).collect();
        round.begin(vec![Target { swarm: SwarmId(0), ranges: vec![NameRange::ALL], members: ids, is_own: true }]);
        loop {
            match round.poll(&self.member.store, now_ms()) {
                Next::Ask(asks) => {
                    let answers = asks.into_iter().map(async |(id, request)| {
                        let member = members.iter().find(|member| member.id == id).expect("one of them");
                        (id, self.ask(member, without_later_fields(request)).await)
                    });
                    for (id, answer) in join_all(answers).await {
                        round.handle(&self.member.store, id, Some(answer)).expect("an answer it can read");
                    }
                }
                Next::Done => return round.take_handed(),
                next @ (Next::Forget(..) | Next::Wait) => panic!("{next:?}"),
            }
        }
    }

    /// Asks another member, in words part of which nobody knows yet.
    pub(crate) async fn ask(&self, member: &RosterEntry, request: Request) -> peer::Response {
        let mut bytes = peer::Request { request: Some(request) }.encode_to_vec();
        bytes.extend(FROM_LATER);
        self.ask_raw(member, bytes).await
    }

    pub(crate) async fn ask_raw(&self, member: &RosterEntry, bytes: Vec<u8>) -> peer::Response {
        let connection = self.connection(member).await;
        let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
        send.write_all(&bytes).await.expect("read");
        send.finish().expect("open");
        let answer = receive.read_to_end(MOST_BYTES).await.expect("an answer");
        peer::Response::decode(answer.as_slice()).expect("one that can be read")
    }

    async fn connection(&self, member: &RosterEntry) -> Connection {
        let mut connections = self.connections.lock().await;
        // On a busy machine it may have been idle for too long.
        if let Some(connection) = connections.get(&member.id).filter(|known| known.close_reason().is_none()) {
            return connection.clone();
        }
        let tls = QuicClientConfig::try_from(Arc::clone(&self.tls)).expect("TLS 1.3");
        let address = SocketAddr::from((member.endpoint.ip(), member.endpoint.quic_port));
        let connecting = self.endpoint.connect_with(ClientConfig::new(Arc::new(tls)), address, "node").expect("starts");
        let connection = connecting.await.expect("connects");
        connections.insert(member.id, connection.clone());
        connection
    }
}

async fn serve(member: Arc<Member>, incoming: Incoming) {
    let Ok(connection) = incoming.await else { return };
    member.peers.fetch_add(1, Ordering::Relaxed);
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let member = Arc::clone(&member);
        tokio::spawn(async move {
            let Ok(request) = receive.read_to_end(MOST_BYTES).await else { return };
            let mut bytes = member.answer(&request).encode_to_vec();
            bytes.extend(FROM_LATER);
            // Whoever asked may have gone.
            if send.write_all(&bytes).await.is_ok() {
                let _ = send.finish();
            }
        });
    }
}

fn without_later_fields(mut request: Request) -> Request {
    if let Request::HandOver(peer::HandOver { replicas }) = &mut request {
        replicas.iter_mut().for_each(|replica| replica.extension = None);
    }
    request
}

impl Member {
    fn answer(&self, request: &[u8]) -> peer::Response {
        let request = peer::Request::decode(request).ok().and_then(|request| request.request);
        let response = match request {
            Some(Request::Ping(peer::Ping {})) => Some(Response::Pong(peer::Pong {
                timestamp: now_ms(),
                version: vec![0, 1, 0],
                instance: Vec::new().into(),
            })),
            Some(Request::Store(wire)) => Record::from_wire(wire).ok().map(|record| Response::Stored(self.put(record))),
            Some(Request::Command(wire)) => self.carry_out(&wire.request).map(Response::Command),
            Some(Request::Reconcile(asked)) if asked.version == self.comparison => {
                answer(&self.store, &[NameRange::ALL], &asked).ok().map(Response::Reconciled)
            }
            Some(Request::Reconcile(_)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return refusal(505);
            }
            Some(Request::HandOver(peer::HandOver { replicas })) => {
                let statuses = replicas.into_iter().map(|replica| self.take(replica)).collect();
                Some(Response::Taken(peer::Taken { statuses }))
            }
            // What came later.
            Some(
                Request::Onion(_)
                | Request::Votes(_)
                | Request::ProbeMe(_)
                | Request::Audit(_)
                | Request::AuditsOf(_)
                | Request::Path(_),
            )
            | None => None,
        };
        match response {
            Some(response) => peer::Response { response: Some(response) },
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                refusal(400)
            }
        }
    }

    fn put(&self, record: Record) -> peer::Stored {
        let signature = self.key.sign(&signed::stored(&record.hash()));
        let outcomes = self.store.put(&[record], now_ms()).expect("memory");
        self.store.sync().expect("memory");
        match outcomes.as_slice() {
            [Put::Stored { expiry, already }] => {
                peer::Stored { signature: signature.to_vec().into(), expiry: *expiry, already: *already }
            }
            outcome => panic!("{outcome:?}"),
        }
    }

    /// Stamps every order itself.
    fn carry_out(&self, request: &[u8]) -> Option<peer::CommandDone> {
        let command = command_of(request)?;
        let (change, order) = give(&command, request.to_vec(), now_ms(), &[])?;
        let Ok(Changed::Messages(touched)) = self.store.change(&change, Some(&order), now_ms()) else { return None };
        self.store.sync().ok()?;
        let deleted = Hashes::List(touched.iter().map(|touched| touched.hash).collect());
        let effect = CommandEffect::Deleted { deleted };
        let signature = self.key.sign(&signed::done(&command.account, &command.action, &effect)?);
        let result = serde_json::to_vec(&CommandDone { effect, signature }).ok()?;
        Some(peer::CommandDone { result: result.into() })
    }

    fn take(&self, replica: peer::Replica) -> u32 {
        let status = match judge(&self.store, peer::Replica { extension: None, ..replica }, |_| true, now_ms()) {
            Ok(work) => work.into_iter().fold(200, |_, work| match work {
                Work::Put(record) => status_of(&self.store.put(&[record], now_ms()).expect("memory")[0]),
                Work::Change(change, order) => {
                    self.store.change(&change, Some(&order), now_ms()).expect("memory");
                    200
                }
            }),
            Err(why) => why.status(),
        };
        self.store.sync().expect("memory");
        status
    }
}

fn refusal(status: u32) -> peer::Response {
    let refusal = peer::Refusal { status, reason: "another version".into() };
    peer::Response { response: Some(Response::Refusal(refusal)) }
}

/// The key of a node, as TLS between nodes has it; whoever proves a key of its own is let in.
#[derive(Clone, Debug)]
struct RawKeys {
    own: Arc<CertifiedKey>,
}

impl RawKeys {
    fn of(number: usize) -> Self {
        let seed = [number as u8 + 1; 32];
        let private = [&PRIVATE_HEAD[..], &seed].concat();
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private.as_slice())).expect("a key");
        let key_info = [&KEY_INFO_HEAD[..], &node_key(number).id().0].concat();
        Self { own: Arc::new(CertifiedKey::new(vec![CertificateDer::from(key_info)], signer)) }
    }

    fn client(&self) -> rustls::ClientConfig {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("known")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.clone()))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.own))));
        config.alpn_protocols = vec![b"skep-peer/1".to_vec()];
        config
    }

    fn server(&self) -> rustls::ServerConfig {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("known")
            .with_client_cert_verifier(Arc::new(self.clone()))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.own))));
        config.alpn_protocols = vec![b"skep-peer/1".to_vec()];
        config
    }
}

fn proves(
    message: &[u8],
    key_info: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key_info = SubjectPublicKeyInfoDer::from(key_info.as_ref());
    let algorithms = ring::default_provider().signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &key_info, signature, &algorithms)
}

impl ServerCertVerifier for RawKeys {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key_info: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proves(message, key_info, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key_info: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proves(message, key_info, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
