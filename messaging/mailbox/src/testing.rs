//! One owner, for the tests of several modules.

use ed25519_dalek::{Signer, SigningKey};
use skep_proto::{
    account::AccountAddress,
    storage::{HexKey, OwnerAuth},
};

/// The clock of these tests (ms).
pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub(crate) fn account() -> AccountAddress {
    AccountAddress::from_x25519(owner().verifying_key().to_montgomery().to_bytes())
}

/// The owner's signature of `message`.
pub(crate) fn auth(message: &[u8]) -> OwnerAuth {
    let ed25519_key = Some(HexKey(owner().verifying_key().to_bytes()));
    OwnerAuth { signature: owner().sign(message).to_bytes(), ed25519_key, subaccount: None }
}
