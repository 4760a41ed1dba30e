//! TLS for clients: an ECDSA certificate that the node's key vouches for.

use crate::NodeKey;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivatePkcs8KeyDer,
    version::{TLS12, TLS13},
};
use skep_proto::certificate::{EXTENSION_OID, NodeBinding, signed_message};
use std::sync::Arc;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It could not be made.
    #[error("cannot make the HTTPS certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS refuses it.
    #[error("cannot use the HTTPS certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 with a fresh certificate, which lives as long as the process: nobody pins it, the node's key is what counts.
pub(crate) fn server_config(key: &NodeKey) -> Result<Arc<ServerConfig>, CertificateError> {
    let certificate_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let signature = key.sign(&signed_message(&certificate_key.subject_public_key_info()));
    let binding = NodeBinding { node: key.id().0, signature };
    let mut params = CertificateParams::new(vec!["skep.invalid".to_owned()])?;
    params.custom_extensions.push(CustomExtension::from_oid_content(&EXTENSION_OID, binding.to_der()));
    let certificate = params.self_signed(&certificate_key)?;
    let private = PrivatePkcs8KeyDer::from(certificate_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
