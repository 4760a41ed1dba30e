//! The handshake with one hop: `Noise_NK_25519_ChaChaPoly_BLAKE2b`, the hop's long-term X25519 key known beforehand.
//!
//! The library brings the protocol; keys, ciphers and randomness are ours, so that secrets are wiped and nothing here asks
//! the system for random bytes.

use super::{PathBroken, channel::Channel};
use crate::hop::HopSecret;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::AeadInPlace};
use rand::CryptoRng;
use snow::{
    Builder, Error, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const PROTOCOL: &str = "Noise_NK_25519_ChaChaPoly_BLAKE2b";
/// Hashed into every handshake, so that it is good for nothing else.
const PROLOGUE: &[u8] = b"skep/path/1";
/// Longest message of a handshake: that of the first of eight hops has less than a thousand bytes.
pub(super) const MAX_HANDSHAKE_BYTES: usize = 2048;
/// What a message has beside its payload: a key and a tag.
const OVERHEAD: usize = KEY_BYTES + TAG_BYTES;
pub(super) const KEY_BYTES: usize = 32;
pub(super) const TAG_BYTES: usize = 16;

/// The client's side, waiting for the hop's answer.
pub(super) struct Initiator(HandshakeState);

impl Initiator {
    /// Begins a handshake with the hop that has this key. `payload` is for that hop alone.
    pub(super) fn start(
        node: &[u8; KEY_BYTES],
        payload: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), PathBroken> {
        let builder = builder(rng)?.remote_public_key(node).map_err(broken)?;
        let mut state = builder.build_initiator().map_err(broken)?;
        let message = write(&mut state, payload)?;
        Ok((Self(state), message))
    }

    /// Reads the hop's answer: the keys, and what the hop says.
    pub(super) fn finish(mut self, answer: &[u8]) -> Result<(Channel, Vec<u8>), PathBroken> {
        let payload = read(&mut self.0, answer)?;
        Ok((Channel::new(self.0)?, payload))
    }
}

/// The hop's side, before it answers.
pub(super) struct Responder(HandshakeState);

impl Responder {
    /// Reads a client's message: the handshake, and what the client says.
    pub(super) fn accept(
        secret: &HopSecret,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), PathBroken> {
        let (secret, _) = secret.parts();
        let secret = Zeroizing::new(secret.to_bytes());
        let builder = builder(rng)?.local_private_key(&*secret).map_err(broken)?;
        let mut state = builder.build_responder().map_err(broken)?;
        let payload = read(&mut state, message)?;
        Ok((Self(state), payload))
    }

    /// Answers: the keys, and the message for the client.
    pub(super) fn finish(mut self, payload: &[u8]) -> Result<(Channel, Vec<u8>), PathBroken> {
        let message = write(&mut self.0, payload)?;
        Ok((Channel::new(self.0)?, message))
    }
}

fn builder<'a>(rng: &mut impl CryptoRng) -> Result<Builder<'a>, PathBroken> {
    let mut ephemeral = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(ephemeral.as_mut());
    let params = PROTOCOL.parse().map_err(broken)?;
    Builder::with_resolver(params, Box::new(Resolver { ephemeral })).prologue(PROLOGUE).map_err(broken)
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, PathBroken> {
    let mut message = vec![0; payload.len() + OVERHEAD];
    let length = state.write_message(payload, &mut message).map_err(broken)?;
    if length != message.len() || length > MAX_HANDSHAKE_BYTES {
        return Err(PathBroken);
    }
    Ok(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, PathBroken> {
    let length = message.len().checked_sub(OVERHEAD).filter(|_| message.len() <= MAX_HANDSHAKE_BYTES);
    let mut payload = vec![0; length.ok_or(PathBroken)?];
    let length = state.read_message(message, &mut payload).map_err(broken)?;
    if length == payload.len() { Ok(payload) } else { Err(PathBroken) }
}

/// Every failure is the same to those outside.
pub(super) fn broken(_: Error) -> PathBroken {
    PathBroken
}

/// What the library makes a handshake of.
struct Resolver {
    ephemeral: Zeroizing<[u8; KEY_BYTES]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::new([0; KEY_BYTES]))),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::<ChaChaPoly>::default()),
            CipherChoice::AESGCM => None,
        }
    }
}

/// Enough randomness for the one key a side of a handshake makes.
struct OneKey(Option<Zeroizing<[u8; KEY_BYTES]>>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let key = self.0.take().filter(|key| key.len() == dest.len()).ok_or(Error::Rng)?;
        dest.copy_from_slice(&*key);
        Ok(())
    }
}

/// A key pair; the secret is wiped when dropped.
struct X25519 {
    secret: StaticSecret,
    public: [u8; KEY_BYTES],
}

impl X25519 {
    fn new(secret: [u8; KEY_BYTES]) -> Self {
        let secret = StaticSecret::from(secret);
        // Only a key that is set has a public half that matters.
        Self { public: [0; KEY_BYTES], secret }
    }

    fn replace(&mut self, secret: &[u8; KEY_BYTES]) {
        self.secret = StaticSecret::from(*secret);
        self.public = PublicKey::from(&self.secret).to_bytes();
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, privkey: &[u8]) {
        if let Ok(secret) = privkey.try_into() {
            self.replace(secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rng.try_fill_bytes(secret.as_mut())?;
        self.replace(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// A key of small order is refused: it would make the shared secret known to everyone.
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; KEY_BYTES] = *pubkey.first_chunk().ok_or(Error::Dh)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(public));
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        out.first_chunk_mut().ok_or(Error::Dh).map(|out: &mut [u8; KEY_BYTES]| *out = *shared.as_bytes())
    }
}

/// ChaCha20-Poly1305 as Noise uses it; the key is wiped when dropped.
#[derive(Default)]
struct ChaChaPoly {
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl ChaChaPoly {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }
}

fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    if let Some(counter) = bytes.last_chunk_mut() {
        *counter = nonce.to_le_bytes();
    }
    bytes
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_BYTES]) {
        *self.key = *key;
    }

    /// Writes nothing and returns 0 where there is no room, which no caller mistakes for a ciphertext.
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let Some((text, rest)) = out.split_at_mut_checked(plaintext.len()) else { return 0 };
        let Some(tag_room) = rest.first_chunk_mut::<TAG_BYTES>() else { return 0 };
        text.copy_from_slice(plaintext);
        match self.cipher().encrypt_in_place_detached(&nonce_bytes(nonce).into(), authtext, text) {
            Ok(tag) => {
                *tag_room = tag.into();
                plaintext.len() + TAG_BYTES
            }
            Err(_) => 0,
        }
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (sealed, tag) = ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(Error::Decrypt)?;
        let text = out.get_mut(..sealed.len()).ok_or(Error::Decrypt)?;
        text.copy_from_slice(sealed);
        self.cipher()
            .decrypt_in_place_detached(&nonce_bytes(nonce).into(), authtext, text, tag.into())
            .map_err(|_| Error::Decrypt)?;
        Ok(sealed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn secret(number: u8) -> HopSecret {
        HopSecret::from_x25519(&[number; KEY_BYTES])
    }

    /// The library's own keys and ciphers on the other side: ours are the same protocol.
    #[test]
    fn our_ciphers_are_the_ones_of_noise() {
        let secret = secret(7);
        let params: snow::params::NoiseParams = PROTOCOL.parse().unwrap();
        let mut other = Builder::new(params)
            .prologue(PROLOGUE)
            .unwrap()
            .remote_public_key(&secret.public())
            .unwrap()
            .build_initiator()
            .unwrap();
        let mut message = vec![0; 200];
        let length = other.write_message(b"hello", &mut message).unwrap();
        let (responder, payload) = Responder::accept(&secret, &message[..length], &mut rng(1)).unwrap();
        assert_eq!(payload, b"hello");
        let (channel, answer) = responder.finish(b"there").unwrap();
        let mut payload = vec![0; 200];
        let length = other.read_message(&answer, &mut payload).unwrap();
        assert_eq!(&payload[..length], b"there");
        let transport = other.into_stateless_transport_mode().unwrap();
        let mut sealed = Vec::new();
        channel.seal(0, b"a layer", &mut sealed, 0).unwrap();
        let length = transport.read_message(1, &sealed, &mut payload).unwrap();
        assert_eq!(&payload[..length], b"a layer");
    }

    #[test]
    fn only_the_hop_that_was_meant_can_answer() {
        let (hop, other) = (secret(1), secret(2));
        let (_, message) = Initiator::start(&hop.public(), b"x", &mut rng(1)).unwrap();
        assert!(Responder::accept(&other, &message, &mut rng(2)).is_err());
        assert!(Responder::accept(&hop, &message, &mut rng(2)).is_ok());
    }

    #[test]
    fn every_changed_or_missing_byte_of_a_handshake_is_noticed() {
        let hop = secret(1);
        let start = || Initiator::start(&hop.public(), b"payload", &mut rng(1)).unwrap();
        let (_, message) = start();
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(Responder::accept(&hop, &changed, &mut rng(2)).is_err(), "byte {at}");
            assert!(Responder::accept(&hop, &message[..at], &mut rng(2)).is_err(), "cut at {at}");
        }
        let (responder, _) = Responder::accept(&hop, &message, &mut rng(2)).unwrap();
        let (_, answer) = responder.finish(b"answer").unwrap();
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert!(start().0.finish(&changed).is_err(), "byte {at}");
            assert!(start().0.finish(&answer[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(start().0.finish(&answer).unwrap().1, b"answer");
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        assert!(Initiator::start(&[0; KEY_BYTES], b"", &mut rng(1)).is_err());
        let mut message = Initiator::start(&secret(1).public(), b"", &mut rng(1)).unwrap().1;
        message[..KEY_BYTES].fill(0);
        assert!(Responder::accept(&secret(1), &message, &mut rng(1)).is_err());
    }
}
