//! The answer's single layer: sealed by the destination, opened by the client.

use crate::cipher::{CipherFailure, LayerKey};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

/// How the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyFlags {
    /// A JSON body stands as JSON in the answer, not as a string holding JSON.
    pub(crate) json: bool,
    /// The sealed answer is written in base64.
    pub(crate) base64: bool,
}

impl Default for ReplyFlags {
    fn default() -> Self {
        Self { json: false, base64: true }
    }
}

/// Seals the answer to one request: the key of its final layer and how the client wants it.
#[derive(Debug)]
pub struct ReplyKey {
    key: LayerKey,
    flags: ReplyFlags,
}

/// What the storage RPC answered.
#[derive(Clone, Copy, Debug)]
pub enum ReplyBody<'a> {
    /// A text.
    Text(&'a str),
    /// JSON, written out (well-formed: it is not read again); embedded if the client asked for that.
    Json(&'a str),
}

/// The answer cannot be encrypted: it is beyond what the cipher takes (64 GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is too large to be encrypted")]
pub struct SealError;

impl ReplyKey {
    pub(crate) const fn new(key: LayerKey, flags: ReplyFlags) -> Self {
        Self { key, flags }
    }

    /// The body of the HTTP 200 that carries the answer: `{"status","body"}`, sealed, in base64 unless the client declined it.
    ///
    /// # Errors
    /// [`SealError`] for an answer no cipher takes.
    pub fn seal(&self, status: u16, body: ReplyBody<'_>, rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        #[derive(Serialize)]
        struct Written<'a> {
            status: u16,
            body: &'a str,
        }
        let plaintext = match body {
            ReplyBody::Json(body) if self.flags.json => {
                Ok(format!(r#"{{"status":{status},"body":{body}}}"#).into_bytes())
            }
            ReplyBody::Text(body) | ReplyBody::Json(body) => serde_json::to_vec(&Written { status, body }),
        };
        let plaintext = plaintext.map_err(|_| SealError)?;
        let sealed = self.key.seal(&plaintext, rng).map_err(|CipherFailure| SealError)?;
        Ok(if self.flags.base64 { BASE64.encode(sealed).into_bytes() } else { sealed })
    }
}

/// Opens the answer to one request.
#[derive(Debug)]
pub struct ReplyOpener {
    key: LayerKey,
    base64: bool,
}

/// What the destination answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Status of the storage RPC, as HTTP would say it.
    pub status: u16,
    /// Its body; JSON where the method answers JSON.
    pub body: String,
}

/// The answer is not the destination's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut short, changed on the way, or not sealed by the destination. Nothing tells which.
    #[error("the answer cannot be decrypted: try another path")]
    Undecryptable,
    /// Decrypted, but not `{"status","body"}`: the destination is faulty.
    #[error("the destination's answer is malformed: ask another node of the swarm")]
    Malformed,
}

impl ReplyOpener {
    pub(crate) const fn new(key: LayerKey, base64: bool) -> Self {
        Self { key, base64 }
    }

    /// Opens the body of an HTTP 200 answer.
    ///
    /// # Errors
    /// [`OpenError`] says whether path or destination is to blame.
    pub fn open(&self, body: &[u8]) -> Result<Answer, OpenError> {
        let decoded;
        let sealed = if self.base64 {
            decoded = BASE64.decode(body).map_err(|_| OpenError::Undecryptable)?;
            decoded.as_slice()
        } else {
            body
        };
        let plaintext = self.key.open(sealed).map_err(|CipherFailure| OpenError::Undecryptable)?;
        serde_json::from_slice(&plaintext).map_err(|_| OpenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncType;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use x25519_dalek::{PublicKey, StaticSecret};

    fn key() -> LayerKey {
        let secret = StaticSecret::from([1; 32]);
        LayerKey::for_client(EncType::AesGcm, (&secret, &PublicKey::from(&secret)), &PublicKey::from([9; 32])).unwrap()
    }

    fn sealed(flags: ReplyFlags, body: ReplyBody<'_>) -> Vec<u8> {
        ReplyKey::new(key(), flags).seal(421, body, &mut ChaCha20Rng::seed_from_u64(0)).unwrap()
    }

    #[test]
    fn json_is_a_string_unless_the_client_asked_to_embed_it() {
        let object = r#"{"hi":"123"}"#;
        for (json, body, expected) in [
            (false, ReplyBody::Json(object), r#"{"status":421,"body":"{\"hi\":\"123\"}"}"#),
            (true, ReplyBody::Json(object), r#"{"status":421,"body":{"hi":"123"}}"#),
            (true, ReplyBody::Text("no \"json\""), r#"{"status":421,"body":"no \"json\""}"#),
        ] {
            let plaintext = key().open(&sealed(ReplyFlags { json, base64: false }, body)).unwrap();
            assert_eq!(str::from_utf8(&plaintext).unwrap(), expected);
        }
    }

    #[test]
    fn base64_is_the_same_bytes_written_otherwise() {
        let raw = sealed(ReplyFlags { json: false, base64: false }, ReplyBody::Text("text"));
        let written = sealed(ReplyFlags::default(), ReplyBody::Text("text"));
        assert_eq!(BASE64.decode(&written).unwrap(), raw);
        let answer = Answer { status: 421, body: "text".into() };
        assert_eq!(ReplyOpener::new(key(), true).open(&written), Ok(answer.clone()));
        assert_eq!(ReplyOpener::new(key(), false).open(&raw), Ok(answer));
        // A plaintext path error is no answer.
        assert_eq!(ReplyOpener::new(key(), true).open(b"Request time out"), Err(OpenError::Undecryptable));
    }

    #[test]
    fn a_faulty_destination_is_told_from_a_faulty_path() {
        for plaintext in ["", "[]", r#"{"status":70000,"body":""}"#, r#"{"status":200}"#, r#"{"status":200,"body":{}}"#]
        {
            let sealed = key().seal(plaintext.as_bytes(), &mut ChaCha20Rng::seed_from_u64(0)).unwrap();
            assert_eq!(ReplyOpener::new(key(), false).open(&sealed), Err(OpenError::Malformed), "{plaintext}");
        }
    }
}
