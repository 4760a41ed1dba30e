//! TLS between service nodes: both ends prove their node key, as raw public keys (RFC 7250). No certificates, no 0-RTT.

use crate::NodeKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use skep_chain_client::RosterReceiver;
use skep_primitives::ServiceNodeId;
use std::{fmt, sync::Arc};

/// What service nodes speak over QUIC: see `proto/proto/peer.proto`.
const PROTOCOL: &[u8] = b"skep-peer/1";
/// An Ed25519 `SubjectPublicKeyInfo` up to its key (RFC 8410).
const KEY_INFO_HEAD: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];

/// The node whose key a peer proved.
pub(crate) fn node_of(identity: &[CertificateDer<'_>]) -> Option<ServiceNodeId> {
    let [key_info] = identity else { return None };
    read_key_info(key_info)
}

fn read_key_info(key_info: &[u8]) -> Option<ServiceNodeId> {
    key_info.strip_prefix(&KEY_INFO_HEAD)?.try_into().ok().map(ServiceNodeId)
}

fn own_key(key: &NodeKey) -> Result<Arc<CertifiedKey>, Error> {
    let pkcs8 = key.to_pkcs8();
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
    let key_info = [&KEY_INFO_HEAD[..], &key.id().0].concat();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(key_info)], signer)))
}

/// For connections from any node that serves or is tested so that it may serve again, according to the roster of that moment.
pub(crate) fn server_config(key: &NodeKey, roster: RosterReceiver) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = RosterPeers { roster, provider: Arc::clone(&provider) };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own_key(key)?)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// For connections to one node.
pub(crate) fn client_config(key: &NodeKey, peer: ServiceNodeId) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = OnePeer { peer, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own_key(key)?)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn proves(
    provider: &CryptoProvider,
    message: &[u8],
    key_info: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key_info = SubjectPublicKeyInfoDer::from(key_info.as_ref());
    verify_tls13_signature_with_raw_key(message, &key_info, signature, &provider.signature_verification_algorithms)
}

/// Accepts every node that is tested.
struct RosterPeers {
    roster: RosterReceiver,
    provider: Arc<CryptoProvider>,
}

/// Accepts one node.
#[derive(Debug)]
struct OnePeer {
    peer: ServiceNodeId,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for RosterPeers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key_info: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = read_key_info(key_info).ok_or(CertificateError::BadEncoding)?;
        let is_tested = self.roster.borrow().node(&peer).is_some_and(|entry| entry.state.is_tested());
        if is_tested { Ok(ClientCertVerified::assertion()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key_info: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key_info: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proves(&self.provider, message, key_info, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for OnePeer {
    fn verify_server_cert(
        &self,
        key_info: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match read_key_info(key_info) {
            Some(peer) if peer == self.peer => Ok(ServerCertVerified::assertion()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key_info: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key_info: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proves(&self.provider, message, key_info, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl fmt::Debug for RosterPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RosterPeers").finish_non_exhaustive()
    }
}
