//! Node keys: which are sound, and what they signed.

use ed25519_dalek::VerifyingKey;
use skep_primitives::ServiceNodeId;
use sp_core::ed25519::{Public, Signature};

/// Whether these bytes are the one canonical encoding of a key that is not of small order: anything else could verify
/// signatures nobody made, or differ between implementations.
pub(crate) fn is_sound(node: ServiceNodeId) -> bool {
    VerifyingKey::from_bytes(&node.0)
        .is_ok_and(|key| !key.is_weak() && key.to_edwards().compress().to_bytes() == node.0)
}

/// Whether the node's key made this signature over `message`.
pub(crate) fn signed(node: ServiceNodeId, signature: &[u8; 64], message: &[u8]) -> bool {
    sp_io::crypto::ed25519_verify(&Signature::from_raw(*signature), message, &Public::from_raw(node.0))
}
