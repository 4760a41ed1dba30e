//! One layer's key and its two encryption types.

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, AeadInPlace, KeyInit, Nonce, generic_array::GenericArray},
};
use blake2::{Blake2b, Digest, digest::consts::U32};
use chacha20poly1305::XChaCha20Poly1305;
use hmac::{Hmac, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use std::{fmt, str::FromStr};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// How a layer is encrypted: `enc_type` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncType {
    /// AES-256-GCM under HMAC-SHA256("LOKI", shared secret); what an absent `enc_type` means.
    #[default]
    AesGcm,
    /// XChaCha20-Poly1305 under BLAKE2b-256(shared secret | client key | node key).
    XChaCha20,
}

/// The `enc_type` is none we serve (`aes-cbc`, which does not authenticate, is refused on purpose).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown encryption type: use aes-gcm or xchacha20")]
pub struct UnknownEncType;

impl EncType {
    /// The name written on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "aes-gcm",
            Self::XChaCha20 => "xchacha20",
        }
    }
}

impl fmt::Display for EncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EncType {
    type Err = UnknownEncType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "aes-gcm" | "gcm" => Ok(Self::AesGcm),
            "xchacha20" | "xchacha20-poly1305" => Ok(Self::XChaCha20),
            _ => Err(UnknownEncType),
        }
    }
}

/// The symmetric key of one layer, the same in both directions.
pub(crate) struct LayerKey {
    key: Zeroizing<[u8; 32]>,
    enc_type: EncType,
    /// Else everyone knows the key: it seals and opens nothing, but takes as long for it as any other.
    is_secret: bool,
}

/// Why a layer has no key, or a text no ciphertext or plaintext. One value: telling causes apart would help an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CipherFailure;

impl LayerKey {
    /// The key the client derives for a layer of `node` from a fresh key pair.
    pub(crate) fn for_client(
        enc_type: EncType,
        (secret, public): (&StaticSecret, &PublicKey),
        node: &PublicKey,
    ) -> Result<Self, CipherFailure> {
        let key = Self::agree(enc_type, secret, node, public, node);
        if key.is_secret { Ok(key) } else { Err(CipherFailure) }
    }

    /// The key a node derives from the client's ephemeral key. A key of small order is noticed when it is used, so that
    /// refusing it takes as long as refusing any other forgery.
    pub(crate) fn for_node(
        enc_type: EncType,
        secret: &StaticSecret,
        public: &PublicKey,
        ephemeral: &PublicKey,
    ) -> Self {
        Self::agree(enc_type, secret, ephemeral, ephemeral, public)
    }

    fn agree(enc_type: EncType, own: &StaticSecret, other: &PublicKey, client: &PublicKey, node: &PublicKey) -> Self {
        let shared = own.diffie_hellman(other);
        // A low-order key makes the shared secret zero for everyone, so anyone could read and forge the layer.
        let is_secret = shared.was_contributory();
        let mut key = Zeroizing::new([0; 32]);
        match enc_type {
            EncType::AesGcm => {
                let mut mac = <Hmac<Sha256> as KeyInit>::new(&GenericArray::from(*HMAC_KEY));
                mac.update(shared.as_bytes());
                key.copy_from_slice(&mac.finalize().into_bytes());
            }
            EncType::XChaCha20 => {
                let hash = Blake2b::<U32>::new()
                    .chain_update(shared.as_bytes())
                    .chain_update(client.as_bytes())
                    .chain_update(node.as_bytes());
                key.copy_from_slice(&hash.finalize());
            }
        }
        Self { key, enc_type, is_secret }
    }

    /// Nonce, ciphertext and tag.
    pub(crate) fn seal(&self, plaintext: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, CipherFailure> {
        self.seal_parts(&[plaintext], rng)
    }

    /// [`Self::seal`] of parts that follow each other.
    pub(crate) fn seal_parts(&self, parts: &[&[u8]], rng: &mut impl CryptoRng) -> Result<Vec<u8>, CipherFailure> {
        let key = GenericArray::from_slice(self.key.as_slice());
        let sealed = match self.enc_type {
            EncType::AesGcm => seal_with::<_, 12>(&Aes256Gcm::new(key), parts, rng),
            EncType::XChaCha20 => seal_with::<_, 24>(&XChaCha20Poly1305::new(key), parts, rng),
        };
        self.secret(sealed)
    }

    /// The plaintext of what [`Self::seal`] made.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, CipherFailure> {
        let key = GenericArray::from_slice(self.key.as_slice());
        let opened = match self.enc_type {
            EncType::AesGcm => open_with::<_, 12>(&Aes256Gcm::new(key), sealed),
            EncType::XChaCha20 => open_with::<_, 24>(&XChaCha20Poly1305::new(key), sealed),
        };
        self.secret(opened)
    }

    /// The outcome, if nobody else could have had it.
    fn secret(&self, outcome: Result<Vec<u8>, CipherFailure>) -> Result<Vec<u8>, CipherFailure> {
        outcome.and_then(|text| if self.is_secret { Ok(text) } else { Err(CipherFailure) })
    }
}

impl fmt::Debug for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerKey").field("enc_type", &self.enc_type).finish_non_exhaustive()
    }
}

/// "LOKI" in the form HMAC pads it to itself: one block of SHA-256, zeros behind. Given so, the key cannot have a wrong
/// length.
const HMAC_KEY: &[u8; 64] = b"LOKI\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const TAG_BYTES: usize = 16;

fn seal_with<C: AeadInPlace, const NONCE: usize>(
    cipher: &C,
    parts: &[&[u8]],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, CipherFailure>
where
    Nonce<C>: From<[u8; NONCE]>,
{
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut sealed = Vec::with_capacity(NONCE + length + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    parts.iter().for_each(|part| sealed.extend_from_slice(part));
    let text = sealed.get_mut(NONCE..).ok_or(CipherFailure)?;
    let tag = cipher.encrypt_in_place_detached(&nonce.into(), b"", text).map_err(|_| CipherFailure)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

fn open_with<C: Aead, const NONCE: usize>(cipher: &C, sealed: &[u8]) -> Result<Vec<u8>, CipherFailure>
where
    Nonce<C>: From<[u8; NONCE]>,
{
    let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(CipherFailure)?;
    cipher.decrypt(&Nonce::<C>::from(*nonce), text).map_err(|_| CipherFailure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    // libsession-util, tests/test_onionreq.cpp: "Hello world" from a client to a node, by both encryption types.
    const CLIENT: [u8; 32] = hex!("bbdfc83022d0aff084a6f0c529a93d1c4d728bf7e41199afed0e01ae70d20540");
    const NODE: [u8; 32] = hex!("caea52c5b0c316d85ffb53ea536826618b13dee40685f166f632653114526a78");
    const NODE_SECRET: [u8; 32] = hex!("8fcd8ad3a15c76f76f1c56dff0c529999f8c59b4acda79e05666e54d5727dca1");
    const GCM: &[u8] = &hex!("1eb6ae1cd72f60999486365749bd5dc15cc0b6a2a44d7d063daa5e93722f0c025fd00306403b61");
    const XCHACHA: &[u8] = &hex!(
        "9e1a3abe60eff3ea5c23556cc7e225b6f94355315f7281f66ecf4dbb06e7899a52b863e03cde3b28"
        "7d1638d765db75de02b032"
    );

    fn node_key(enc_type: EncType) -> LayerKey {
        let secret = StaticSecret::from(NODE_SECRET);
        LayerKey::for_node(enc_type, &secret, &PublicKey::from(&secret), &PublicKey::from(CLIENT))
    }

    #[test]
    fn known_ciphertexts_open() {
        assert_eq!(PublicKey::from(&StaticSecret::from(NODE_SECRET)).to_bytes(), NODE);
        assert_eq!(node_key(EncType::AesGcm).open(GCM).unwrap(), b"Hello world");
        assert_eq!(node_key(EncType::XChaCha20).open(XCHACHA).unwrap(), b"Hello world");
        // Not interchangeable.
        assert!(node_key(EncType::XChaCha20).open(GCM).is_err());
        assert!(node_key(EncType::AesGcm).open(XCHACHA).is_err());
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        for (enc_type, known) in [(EncType::AesGcm, GCM), (EncType::XChaCha20, XCHACHA)] {
            let key = node_key(enc_type);
            for at in 0..known.len() {
                let mut changed = known.to_vec();
                changed[at] ^= 1;
                assert_eq!(key.open(&changed), Err(CipherFailure), "{enc_type} byte {at}");
                assert_eq!(key.open(&known[..at]), Err(CipherFailure), "{enc_type} cut at {at}");
            }
        }
    }

    // oxen-storage-server, unit_test/encrypt.cpp: keys, text and the length each encryption adds.
    #[test]
    fn both_sides_derive_one_key() {
        let alice = StaticSecret::from(hex!("7d446468c186d6fb3c83365ab77a37b1f9fa3e59eb9788a40ae2e9560f196f30"));
        let bob = StaticSecret::from(hex!("f512f68e81a932aa2ff6d8723baa260a43a6f789d61c91b71f73e4f284e3600a"));
        let (alice_public, bob_public) = (PublicKey::from(&alice), PublicKey::from(&bob));
        assert_eq!(alice_public.to_bytes(), hex!("01c7391664840b2ef7126b3709dbac178ba5f3ef2335a62343d5df7da4a11c30"));
        let text = b"Grumpy cat says no!";
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for (enc_type, added) in [(EncType::AesGcm, 28), (EncType::XChaCha20, 40)] {
            let client = LayerKey::for_client(enc_type, (&alice, &alice_public), &bob_public).unwrap();
            let node = LayerKey::for_node(enc_type, &bob, &bob_public, &alice_public);
            let request = client.seal(text, &mut rng).unwrap();
            assert_eq!(request.len(), text.len() + added);
            assert_eq!(node.open(&request).unwrap(), text);
            let answer = node.seal(text, &mut rng).unwrap();
            assert_eq!(client.open(&answer).unwrap(), text);
            assert_ne!(request, answer);
        }
        // Who is client and who is node is part of the XChaCha20 key.
        let request = LayerKey::for_client(EncType::XChaCha20, (&alice, &alice_public), &bob_public)
            .unwrap()
            .seal(text, &mut rng)
            .unwrap();
        assert!(
            LayerKey::for_client(EncType::XChaCha20, (&bob, &bob_public), &alice_public)
                .unwrap()
                .open(&request)
                .is_err()
        );
    }

    // The points of small order on Curve25519 in every accepted encoding (https://cr.yp.to/ecdh.html#validate).
    #[test]
    fn keys_of_small_order_are_refused() {
        let points = [
            hex!("0000000000000000000000000000000000000000000000000000000000000000"),
            hex!("0100000000000000000000000000000000000000000000000000000000000000"),
            hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex!("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        ];
        let secret = StaticSecret::from(NODE_SECRET);
        let public = PublicKey::from(&secret);
        for point in points {
            // The top bit is ignored when a key is read.
            for top_bit in [0, 0x80] {
                let mut point = point;
                point[31] |= top_bit;
                for enc_type in [EncType::AesGcm, EncType::XChaCha20] {
                    let key = LayerKey::for_node(enc_type, &secret, &public, &PublicKey::from(point));
                    let mut rng = ChaCha20Rng::seed_from_u64(1);
                    assert!(key.seal(b"text", &mut rng).is_err());
                    // What anyone can seal with the key that everyone knows.
                    let forged = LayerKey { is_secret: true, ..key }.seal(b"text", &mut rng).unwrap();
                    let key = LayerKey::for_node(enc_type, &secret, &public, &PublicKey::from(point));
                    assert_eq!(key.open(&forged), Err(CipherFailure));
                    assert!(LayerKey::for_client(enc_type, (&secret, &public), &PublicKey::from(point)).is_err());
                }
            }
        }
    }

    #[test]
    fn enc_types_have_the_names_clients_use() {
        assert_eq!("gcm".parse(), Ok(EncType::AesGcm));
        assert_eq!("aes-gcm".parse(), Ok(EncType::default()));
        assert_eq!("xchacha20".parse(), Ok(EncType::XChaCha20));
        assert_eq!("xchacha20-poly1305".parse(), Ok(EncType::XChaCha20));
        for refused in ["aes-cbc", "cbc", "", "AES-GCM"] {
            assert_eq!(refused.parse::<EncType>(), Err(UnknownEncType));
        }
        for enc_type in [EncType::AesGcm, EncType::XChaCha20] {
            assert_eq!(enc_type.to_string().parse(), Ok(enc_type));
        }
    }
}
