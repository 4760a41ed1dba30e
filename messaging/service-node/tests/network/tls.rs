//! What clients' TLS libraries offer, and whether the node can do with that.

use crate::support::{BOTH_VERSIONS, Network, tls_of};
use rustls::SignatureScheme::{
    self, ECDSA_NISTP256_SHA256, ECDSA_NISTP384_SHA384, ECDSA_NISTP521_SHA512, ED448, ED25519, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
};

/// BoringSSL's defaults (`kVerifySignatureAlgorithms` in `ssl/extensions.cc`): Electron and Android. No Ed25519.
const BORINGSSL: &[SignatureScheme] = &[
    ECDSA_NISTP256_SHA256,
    RSA_PSS_SHA256,
    RSA_PKCS1_SHA256,
    ECDSA_NISTP384_SHA384,
    RSA_PSS_SHA384,
    RSA_PKCS1_SHA384,
    RSA_PSS_SHA512,
    RSA_PKCS1_SHA512,
];

/// OpenSSL 3's defaults (`tls12_sigalgs` in `ssl/t1_lib.c`), without the RSA keys restricted to PSS and what TLS 1.2 alone
/// has: Python, curl.
const OPENSSL: &[SignatureScheme] = &[
    ECDSA_NISTP256_SHA256,
    ECDSA_NISTP384_SHA384,
    ECDSA_NISTP521_SHA512,
    ED25519,
    ED448,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    RSA_PSS_SHA512,
    RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_library_finds_a_signature_it_knows() {
    let network = Network::start(&[0]).await;
    let url = format!("https://{}/health", network.nodes[0].https_address());
    let asks = async |schemes: &[SignatureScheme], versions| {
        let tls = tls_of(network.id(0), versions, schemes.to_vec());
        let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().expect("a client");
        client.get(&url).send().await.is_ok_and(|answer| answer.status().as_u16() == 200)
    };
    for versions in BOTH_VERSIONS {
        for (library, schemes) in [("BoringSSL", BORINGSSL), ("OpenSSL", OPENSSL)] {
            assert!(asks(schemes, versions).await, "{library} {versions:?}");
        }
        assert!(asks(&[ECDSA_NISTP256_SHA256], versions).await, "the one that is needed");
        assert!(!asks(&[ED25519], versions).await, "what the certificate is not");
    }
    network.stop().await;
}
