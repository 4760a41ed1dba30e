//! HPKE (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, one message a context.

use hpke::{
    Deserializable, HpkeError, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::{Kem as _, X25519HkdfSha256},
    rand_core::{TryCryptoRng, TryRng},
    single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use std::convert::Infallible;

type PrivateKey = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;

/// Bytes of the encapsulated key in front of the ciphertext.
const ENCAPPED: usize = 32;
const TAG: usize = 16;
/// How much longer a ciphertext is than its plaintext.
pub(crate) const OVERHEAD: usize = ENCAPPED + TAG;

/// The ciphertext is not for this key and context, not from that sender, or was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

/// The recipient's key is of small order: nothing encrypted to it would be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WeakKey;

/// What a ciphertext is bound to, besides the keys.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) info: &'a [u8],
    pub(crate) aad: &'a [u8],
}

/// Encrypts to `recipient`; with the `sender`'s secret key in authenticated mode, else in base mode.
pub(crate) fn encrypt(
    sender: Option<&[u8; 32]>,
    recipient: &[u8; 32],
    context: Context<'_>,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, WeakKey> {
    let seal = |rng| -> Result<_, HpkeError> {
        let mode = match sender {
            Some(secret) => {
                let secret = PrivateKey::from_bytes(secret)?;
                let public = X25519HkdfSha256::sk_to_pk(&secret);
                OpModeS::Auth((secret, public))
            }
            None => OpModeS::Base,
        };
        single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &mode,
            &PublicKey::from_bytes(recipient)?,
            context.info,
            plaintext,
            context.aad,
            &mut Rng(rng),
        )
    };
    let (encapped, ciphertext) = seal(rng).map_err(|_| WeakKey)?;
    Ok([encapped.to_bytes().as_slice(), &ciphertext].concat())
}

/// Decrypts with the `recipient`'s secret key; with the `sender`'s public key in authenticated mode, else in base mode.
pub(crate) fn decrypt(
    sender: Option<&[u8; 32]>,
    recipient: &[u8; 32],
    context: Context<'_>,
    ciphertext: &[u8],
) -> Result<Vec<u8>, NotAuthentic> {
    let (encapped, ciphertext) = ciphertext.split_at_checked(ENCAPPED).ok_or(NotAuthentic)?;
    let open = || -> Result<_, HpkeError> {
        let mode = match sender {
            Some(public) => OpModeR::Auth(PublicKey::from_bytes(public)?),
            None => OpModeR::Base,
        };
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &mode,
            &PrivateKey::from_bytes(recipient)?,
            &EncappedKey::from_bytes(encapped)?,
            context.info,
            ciphertext,
            context.aad,
        )
    };
    open().map_err(|_| NotAuthentic)
}

/// Our generation of random number generators as HPKE's.
struct Rng<'a, R>(&'a mut R);

impl<R: CryptoRng> TryRng for Rng<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> TryCryptoRng for Rng<'_, R> {}

#[cfg(test)]
mod tests;
