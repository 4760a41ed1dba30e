//! Who is at the other end of an HTTPS connection to a service node: the node the roster names, or nobody.
//!
//! A service node's certificate is self-signed and carries the node key's signature over the certificate's key
//! ([`skep_proto::certificate`]). So no authority, host name or date matters: the connection is the node's if that signature
//! is by the key in the roster, and the handshake by the certificate's key.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

use ed25519_dalek::{Signature, VerifyingKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use skep_primitives::ServiceNodeId;
use skep_proto::certificate::{EXTENSION_OID, NodeBinding, signed_message};
use std::sync::Arc;
use x509_parser::{der_parser::Oid, parse_x509_certificate};

/// TLS 1.3 to this node and no other.
///
/// # Errors
/// Only if the cryptographic provider lacks TLS 1.3.
pub fn client_config(node: ServiceNodeId) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(NodeVerifier { node, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_sni = false;
    Ok(config)
}

#[derive(Debug)]
struct NodeVerifier {
    node: ServiceNodeId,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify(self.node, end_entity).map(|()| ServerCertVerified::assertion()).map_err(Error::InvalidCertificate)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether `node` vouches for the certificate's key.
fn verify(node: ServiceNodeId, certificate: &[u8]) -> Result<(), CertificateError> {
    let (rest, certificate) = parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    if !rest.is_empty() {
        return Err(CertificateError::BadEncoding);
    }
    let oid = Oid::from(&EXTENSION_OID).map_err(|_| CertificateError::BadEncoding)?;
    // An extension that stands there twice is an error, too.
    let extension = certificate.get_extension_unique(&oid).map_err(|_| CertificateError::BadEncoding)?;
    let extension = extension.ok_or(CertificateError::ApplicationVerificationFailure)?;
    let NodeBinding { node: signer, signature } =
        NodeBinding::from_der(extension.value).map_err(|_| CertificateError::BadEncoding)?;
    if signer != node.0 {
        return Err(CertificateError::ApplicationVerificationFailure);
    }
    VerifyingKey::from_bytes(&signer)
        .and_then(|key| {
            let message = signed_message(certificate.public_key().raw);
            key.verify_strict(&message, &Signature::from_bytes(&signature))
        })
        .map_err(|_| CertificateError::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
    use rustls::{ClientConnection, ServerConfig, ServerConnection, pki_types::PrivatePkcs8KeyDer};
    use std::net::Ipv4Addr;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn id(number: u8) -> ServiceNodeId {
        ServiceNodeId(key(number).verifying_key().to_bytes())
    }

    /// A certificate with these extensions, and its key.
    fn certificate(extensions: impl Fn(&KeyPair) -> Vec<CustomExtension>) -> (CertificateDer<'static>, KeyPair) {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["skep.invalid".to_owned()]).unwrap();
        params.custom_extensions = extensions(&pair);
        (params.self_signed(&pair).unwrap().der().clone(), pair)
    }

    /// What a node writes into its certificate, signed by `signer`.
    fn binding(node: ServiceNodeId, signer: &SigningKey, pair: &KeyPair) -> CustomExtension {
        let signature = signer.sign(&signed_message(&pair.subject_public_key_info())).to_bytes();
        CustomExtension::from_oid_content(&EXTENSION_OID, NodeBinding { node: node.0, signature }.to_der())
    }

    fn bound(number: u8) -> (CertificateDer<'static>, KeyPair) {
        certificate(|pair| vec![binding(id(number), &key(number), pair)])
    }

    #[test]
    fn only_the_nodes_own_certificate_passes() {
        let (own, _) = bound(1);
        assert_eq!(verify(id(1), &own), Ok(()));
        assert_eq!(verify(id(2), &own), Err(CertificateError::ApplicationVerificationFailure));
        let (forged, _) = certificate(|pair| vec![binding(id(1), &key(2), pair)]);
        assert_eq!(verify(id(1), &forged), Err(CertificateError::BadSignature));
        let (_, other) = bound(1);
        let (stolen, _) = certificate(|_| vec![binding(id(1), &key(1), &other)]);
        assert_eq!(verify(id(1), &stolen), Err(CertificateError::BadSignature));
        let (bare, _) = certificate(|_| Vec::new());
        assert_eq!(verify(id(1), &bare), Err(CertificateError::ApplicationVerificationFailure));
        let (twice, _) = certificate(|pair| vec![binding(id(1), &key(1), pair), binding(id(1), &key(1), pair)]);
        assert_eq!(verify(id(1), &twice), Err(CertificateError::BadEncoding));
    }

    #[test]
    fn damaged_certificates_never_pass_and_never_panic() {
        let (own, _) = bound(1);
        for length in 0..own.len() {
            assert!(verify(id(1), &own[..length]).is_err());
        }
        let trailing = [&own[..], &[0]].concat();
        assert_eq!(verify(id(1), &trailing), Err(CertificateError::BadEncoding));
    }

    /// Hands records back and forth until both sides are done or one refuses.
    fn handshake(
        expected: ServiceNodeId,
        (certificate, pair): (CertificateDer<'static>, KeyPair),
    ) -> Result<(), Error> {
        let private = PrivatePkcs8KeyDer::from(pair.serialize_der());
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private.into())?;
        let mut server = ServerConnection::new(Arc::new(server))?;
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        let mut client = ClientConnection::new(Arc::new(client_config(expected)?), name)?;
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
            wire.clear();
        }
        Ok(())
    }

    #[test]
    fn a_connection_stands_only_with_the_node_that_was_meant() {
        assert_eq!(handshake(id(1), bound(1)), Ok(()));
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        assert_eq!(handshake(id(2), bound(1)), Err(refused));
        // A copied certificate is worth nothing without its key: rustls does not even let it be served, so this one signs
        // the handshake with a key of its own.
        let (copied, _) = bound(1);
        let (_, thief) = bound(2);
        assert!(handshake(id(1), (copied, thief)).is_err());
    }
}
