//! The framing shared by all layers: length (u32, little-endian) | ciphertext | control fields (JSON).

use crate::{cipher::EncType, control::Control};
use skep_primitives::ServiceNodeId;

/// Largest body of an onion request.
pub const MAX_BODY_BYTES: usize = skep_proto::storage::limits::MAX_REQUEST_BYTES;

/// Largest control part of one layer. The known fields need about 200 bytes; the rest is room for an exit's host, target and
/// what other clients add.
pub const MAX_CONTROL_BYTES: usize = 16 * 1024;

/// Highest hop number served. Larger than any real path, so that a client may start high to hide its place.
pub const MAX_HOP_NO: u8 = 15;

/// The outermost layer as a node receives it, before it is peeled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the node decrypts: nonce, ciphertext, tag.
    pub ciphertext: &'a [u8],
    /// The client's X25519 key for this layer.
    pub ephemeral_key: [u8; 32],
    /// How the layer is encrypted.
    pub enc_type: EncType,
    /// How many hops it says to have passed, at most [`MAX_HOP_NO`].
    pub hop_no: u8,
}

/// The body is no onion request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over [`MAX_BODY_BYTES`].
    #[error("body of {0} bytes is too large, at most {MAX_BODY_BYTES} are taken")]
    TooLarge(usize),
    /// Fewer bytes than the length in front, or not even those four.
    #[error(
        "body ends within the ciphertext: expected its length (4 bytes, little-endian), then so many bytes, then JSON"
    )]
    Truncated,
    /// Over [`MAX_CONTROL_BYTES`].
    #[error("JSON behind the ciphertext has {0} bytes, at most {MAX_CONTROL_BYTES} are taken")]
    ControlTooLarge(usize),
    /// The part behind the ciphertext is not one JSON object.
    #[error("expected a JSON object behind the ciphertext")]
    NotJson,
    /// A field is absent or of the wrong form.
    #[error("field `{field}`: expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// `hop_no` over [`MAX_HOP_NO`].
    #[error("onion request max path length exceeded")]
    PathTooLong,
}

impl<'a> Frame<'a> {
    /// Reads a body of `POST /onion_req/v2`. Work and memory are bounded by the body's size.
    ///
    /// # Errors
    /// [`FrameError`] names the first thing wrong; nothing has been decrypted by then.
    pub fn parse(body: &'a [u8]) -> Result<Self, FrameError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(FrameError::TooLarge(body.len()));
        }
        let (ciphertext, control) = split(body)?;
        let control = Control::parse(control)?;
        let Handshake { ephemeral_key, enc_type } = control.handshake()?;
        Ok(Self { ciphertext, ephemeral_key, enc_type, hop_no: control.hop_no()? })
    }
}

/// What a node needs, beside its own key, to derive the key of its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) ephemeral_key: [u8; 32],
    pub(crate) enc_type: EncType,
}

impl Handshake {
    /// The control part the node itself receives.
    pub(crate) fn outermost(&self, hop_no: u8) -> String {
        let Self { ephemeral_key, enc_type } = self;
        // Hexadecimal digits, names without quotes, and numbers: nothing needs escaping.
        let key = hex::encode(ephemeral_key);
        format!(r#"{{"enc_type":"{enc_type}","ephemeral_key":"{key}","hop_no":{hop_no}}}"#)
    }

    /// The control part in the layer before, which is to be passed on to `destination`.
    pub(crate) fn inside(&self, destination: ServiceNodeId) -> String {
        let Self { ephemeral_key, enc_type } = self;
        let key = hex::encode(ephemeral_key);
        format!(r#"{{"destination":"{destination}","enc_type":"{enc_type}","ephemeral_key":"{key}"}}"#)
    }
}

/// Puts a layer together.
pub(crate) fn compose(ciphertext: &[u8], control: &str) -> Result<Vec<u8>, FrameError> {
    let length = u32::try_from(ciphertext.len()).map_err(|_| FrameError::TooLarge(ciphertext.len()))?;
    let mut layer = Vec::with_capacity(4 + ciphertext.len() + control.len());
    layer.extend_from_slice(&length.to_le_bytes());
    layer.extend_from_slice(ciphertext);
    layer.extend_from_slice(control.as_bytes());
    Ok(layer)
}

/// Puts another control part behind the first part of a layer.
pub(crate) fn replace_control(mut layer: Vec<u8>, control: &str) -> Result<Vec<u8>, FrameError> {
    let (_, old) = split(&layer)?;
    layer.truncate(layer.len().saturating_sub(old.len()));
    layer.extend_from_slice(control.as_bytes());
    Ok(layer)
}

/// Leaves the first part of a layer.
pub(crate) fn into_first(mut layer: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let (first, _) = split(&layer)?;
    let length = first.len();
    layer.drain(..size_of::<u32>());
    layer.truncate(length);
    Ok(layer)
}

/// Takes a layer apart: ciphertext (or, in a final layer, the request) and control JSON.
pub(crate) fn split(layer: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let (length, rest) = layer.split_first_chunk().ok_or(FrameError::Truncated)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| FrameError::Truncated)?;
    rest.split_at_checked(length).ok_or(FrameError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: [u8; 32] = [0xab; 32];

    fn parse_control(control: &str) -> Result<(EncType, u8), FrameError> {
        let body = [&3_u32.to_le_bytes()[..], b"abc", control.as_bytes()].concat();
        Frame::parse(&body).map(|frame| {
            assert_eq!((frame.ciphertext, frame.ephemeral_key), (&b"abc"[..], KEY));
            (frame.enc_type, frame.hop_no)
        })
    }

    #[test]
    fn outermost_fields_as_clients_write_them() {
        let key = hex::encode(KEY);
        let with = |rest: &str| parse_control(&format!(r#"{{"ephemeral_key":"{key}"{rest}}}"#));
        assert_eq!(with(""), Ok((EncType::AesGcm, 0)));
        assert_eq!(with(r#","enc_type":"xchacha20","hop_no":15,"else":[{}]"#), Ok((EncType::XChaCha20, 15)));
        assert_eq!(with(r#","hop_no":-3"#), Ok((EncType::AesGcm, 0)));
        assert_eq!(parse_control(&format!("\n {{ \"ephemeral_key\" : \"{}\" }} ", key.to_uppercase())).unwrap().1, 0);

        for too_far in ["16", "256", "18446744073709551615"] {
            assert_eq!(with(&format!(r#","hop_no":{too_far}"#)), Err(FrameError::PathTooLong));
        }
        for (wrong, named) in [
            (r#","hop_no":1.5"#, "hop_no"),
            (r#","hop_no":null"#, "hop_no"),
            (r#","enc_type":"aes-cbc""#, "enc_type"),
            (r#","enc_type":null"#, "enc_type"),
        ] {
            assert!(matches!(with(wrong), Err(FrameError::Field { field, .. }) if field == named), "{wrong}");
        }
        for wrong in ["{}", r#"{"ephemeral_key":7}"#, r#"{"ephemeral_key":"0xab"}"#] {
            assert!(matches!(parse_control(wrong), Err(FrameError::Field { field: "ephemeral_key", .. })), "{wrong}");
        }
        for wrong in ["", "[]", "{", "{} {}", "\u{0}"] {
            assert_eq!(parse_control(wrong), Err(FrameError::NotJson), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let body = compose(
            b"abc",
            &json!({"ephemeral_key": hex::encode(KEY), "pad": "x".repeat(MAX_CONTROL_BYTES)}).to_string(),
        )
        .unwrap();
        assert!(matches!(Frame::parse(&body), Err(FrameError::ControlTooLarge(_))));
        assert_eq!(Frame::parse(&vec![0; MAX_BODY_BYTES + 1]), Err(FrameError::TooLarge(MAX_BODY_BYTES + 1)));
        for truncated in [&b""[..], b"\x01\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff{}"] {
            assert_eq!(Frame::parse(truncated), Err(FrameError::Truncated));
        }
        // Deep nesting ends in an error, not in an exhausted stack.
        let deep = format!(r#"{{"a":{}"#, "[".repeat(MAX_CONTROL_BYTES - 5));
        assert_eq!(parse_control(&deep), Err(FrameError::NotJson));
    }
}
