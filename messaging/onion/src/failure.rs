//! What goes wrong on a path, in the texts existing clients know.

use crate::frame::FrameError;
use skep_primitives::ServiceNodeId;

/// A failure of the path rather than of the destination. It is passed up in plaintext (nobody on the way has a key for the
/// client), so any hop can forge it: a client may drop a hop for it, never trust it further.
///
/// The text is the answer's body, exactly as clients match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The next node is not in the roster.
    #[error("Next node not found: {0}")]
    NextNodeNotFound(ServiceNodeId),
    /// The next node did not answer in time.
    #[error("Request time out")]
    TimedOut,
    /// The next node answered something that is no answer.
    #[error("Invalid response from snode")]
    InvalidResponse,
    /// The layer cannot be decrypted. Nothing tells why.
    #[error("Invalid ciphertext")]
    InvalidCiphertext,
    /// More hops than [`crate::MAX_HOP_NO`] allows.
    #[error("onion request max path length exceeded")]
    PathTooLong,
    /// The body is no onion request.
    #[error("Error parsing onion request: {0}")]
    Malformed(FrameError),
}

impl PathError {
    /// HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NextNodeNotFound(_) => 502,
            Self::TimedOut => 504,
            Self::InvalidResponse => 500,
            Self::InvalidCiphertext | Self::PathTooLong | Self::Malformed(_) => 400,
        }
    }

    /// The failure an answer other than 200 tells of; None for one of another kind (a refusal for load, a proxy between).
    pub fn recognise(status: u16, body: &[u8]) -> Option<Self> {
        let body = str::from_utf8(body).ok()?.trim();
        let failure = match body.strip_prefix("Next node not found: ") {
            Some(id) => Self::NextNodeNotFound(id.parse().ok()?),
            None => [Self::TimedOut, Self::InvalidResponse, Self::InvalidCiphertext, Self::PathTooLong]
                .into_iter()
                .find(|failure| failure.to_string() == body)?,
        };
        (failure.status() == status).then_some(failure)
    }
}

impl From<FrameError> for PathError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::PathTooLong => Self::PathTooLong,
            FrameError::TooLarge(_)
            | FrameError::Truncated
            | FrameError::ControlTooLarge(_)
            | FrameError::NotJson
            | FrameError::Field { .. } => Self::Malformed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_statuses_are_those_clients_match() {
        let id = ServiceNodeId([0xab; 32]);
        let hex = "ab".repeat(32);
        for (failure, status, text) in [
            (PathError::NextNodeNotFound(id), 502, format!("Next node not found: {hex}")),
            (PathError::TimedOut, 504, "Request time out".into()),
            (PathError::InvalidResponse, 500, "Invalid response from snode".into()),
            (PathError::InvalidCiphertext, 400, "Invalid ciphertext".into()),
            (FrameError::PathTooLong.into(), 400, "onion request max path length exceeded".into()),
        ] {
            assert_eq!((failure.status(), failure.to_string()), (status, text.clone()));
            assert_eq!(PathError::recognise(status, text.as_bytes()), Some(failure));
            assert_eq!(PathError::recognise(200, text.as_bytes()), None);
        }
        assert_eq!(PathError::from(FrameError::NotJson).status(), 400);
        for unknown in [&b"Next node not found: zz"[..], b"Service node is not ready", b"\xff"] {
            assert_eq!(PathError::recognise(502, unknown), None);
        }
    }
}
