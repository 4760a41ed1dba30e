//! One hop of an onion request against its raw parts: X25519, the key derivation, the cipher.

use crate::Outcome;
use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Nonce, generic_array::GenericArray},
};
use blake2::{Blake2b, Digest, digest::consts::U32};
use chacha20poly1305::XChaCha20Poly1305;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use skep_measure::{Aim, Report, per_call};
use skep_onion::{EncType, Frame, Hop, HopSecret, WrapOptions, peel, wrap};
use skep_primitives::ServiceNodeId;
use std::{error::Error, hint::black_box, time::Duration};
use x25519_dalek::{PublicKey, StaticSecret};

const RUN: Duration = Duration::from_millis(300);
/// Sizes of requests: a short message, and the longest one.
pub(crate) const SIZES: [(usize, &str); 2] = [(1024, "1 KiB"), (76_800, "76,800 B")];

/// A node on a path, from both sides.
pub(crate) struct Node {
    pub(crate) hop: Hop,
    pub(crate) secret: HopSecret,
    pub(crate) raw: StaticSecret,
}

pub(crate) fn node(number: u8) -> Node {
    let secret = HopSecret::from_x25519(&[number; 32]);
    let hop = Hop { id: ServiceNodeId([number; 32]), x25519: secret.public() };
    Node { hop, secret, raw: StaticSecret::from([number; 32]) }
}

pub(crate) fn rows(report: &mut Report) -> Outcome {
    for enc_type in [EncType::XChaCha20, EncType::AesGcm] {
        for (size, words) in SIZES {
            let (relay, destination) = (node(1), node(2));
            let options = WrapOptions { enc_type, ..WrapOptions::default() };
            let body = wrap(&[relay.hop], &destination.hop, &vec![7; size], options, &mut rand::rng())?.body;
            let frame = Frame::parse(&body)?;
            let (public, ephemeral) = (PublicKey::from(&relay.raw), PublicKey::from(frame.ephemeral_key));
            report.speed::<Box<dyn Error>>(
                &format!("onion hop, {words}, {enc_type}, vs X25519+KDF+AEAD"),
                Aim::AtLeast(0.92),
                || {
                    per_call(RUN, || {
                        black_box(peel(&relay.secret, black_box(&body)))?;
                        Ok(())
                    })
                },
                || {
                    per_call(RUN, || {
                        let key = derive(enc_type, &relay.raw, &ephemeral, &ephemeral, &public);
                        black_box(open(enc_type, &key, black_box(frame.ciphertext)))?;
                        Ok(())
                    })
                },
            )?;
        }
    }
    Ok(())
}

/// The shared key of a layer, from the raw operations.
pub(crate) fn derive(
    enc_type: EncType,
    own: &StaticSecret,
    other: &PublicKey,
    client: &PublicKey,
    node: &PublicKey,
) -> [u8; 32] {
    let shared = own.diffie_hellman(other);
    match enc_type {
        EncType::AesGcm => {
            let mut padded = [0; 64];
            padded[..4].copy_from_slice(b"LOKI");
            let mut mac = <Hmac<Sha256> as KeyInit>::new(&GenericArray::from(padded));
            mac.update(shared.as_bytes());
            mac.finalize().into_bytes().into()
        }
        EncType::XChaCha20 => {
            let hash = Blake2b::<U32>::new().chain_update(shared.as_bytes());
            hash.chain_update(client.as_bytes()).chain_update(node.as_bytes()).finalize().into()
        }
    }
}

/// Decrypts nonce and ciphertext.
pub(crate) fn open(enc_type: EncType, key: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, &'static str> {
    const FAILED: &str = "the ciphertext does not open";
    match enc_type {
        EncType::AesGcm => {
            let (nonce, text) = sealed.split_first_chunk::<12>().ok_or(FAILED)?;
            let cipher = Aes256Gcm::new(GenericArray::from_slice(key));
            cipher.decrypt(&Nonce::<Aes256Gcm>::from(*nonce), text).map_err(|_| FAILED)
        }
        EncType::XChaCha20 => {
            let (nonce, text) = sealed.split_first_chunk::<24>().ok_or(FAILED)?;
            let cipher = XChaCha20Poly1305::new(GenericArray::from_slice(key));
            cipher.decrypt(&Nonce::<XChaCha20Poly1305>::from(*nonce), text).map_err(|_| FAILED)
        }
    }
}

/// Encrypts under a nonce of zeros: no other is faster.
pub(crate) fn seal(enc_type: EncType, key: &[u8; 32], text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const FAILED: &str = "too long to be encrypted";
    match enc_type {
        EncType::AesGcm => {
            let cipher = Aes256Gcm::new(GenericArray::from_slice(key));
            cipher.encrypt(&Nonce::<Aes256Gcm>::default(), text).map_err(|_| FAILED)
        }
        EncType::XChaCha20 => {
            let cipher = XChaCha20Poly1305::new(GenericArray::from_slice(key));
            cipher.encrypt(&Nonce::<XChaCha20Poly1305>::default(), text).map_err(|_| FAILED)
        }
    }
}
