//! Whether a request comes from the owner of a mailbox.

use ed25519_dalek::{Signature, VerifyingKey};
use skep_proto::{
    account::{AccountAddress, X25519_ACCOUNT},
    storage::OwnerAuth,
};

/// The request does not come from the owner. Clients are not told which of these it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// The signing key is no point of the curve, or of small order.
    #[error("the signing key is not a usable Ed25519 key")]
    Key,
    /// The signing key does not convert to the account's key.
    #[error("the signing key is not the account's")]
    ForeignKey,
    /// The signature is wrong.
    #[error("the signature does not verify")]
    Signature,
}

/// Verifies that `account` signed `message`. An X25519 account signs with the Ed25519 key that converts to it (Montgomery
/// form, RFC 7748); without such a key, the account's own key is taken as an Ed25519 key.
pub fn verify_owner(account: &AccountAddress, auth: &OwnerAuth, message: &[u8]) -> Result<(), OwnerError> {
    let key = match auth.ed25519_key {
        Some(key) if account.kind() == X25519_ACCOUNT => {
            let key = VerifyingKey::from_bytes(&key.0).map_err(|_| OwnerError::Key)?;
            if key.to_montgomery().to_bytes() != account.key() {
                return Err(OwnerError::ForeignKey);
            }
            key
        }
        Some(_) => return Err(OwnerError::ForeignKey),
        None => VerifyingKey::from_bytes(&account.key()).map_err(|_| OwnerError::Key)?,
    };
    if key.is_weak() {
        return Err(OwnerError::Key);
    }
    key.verify_strict(message, &Signature::from_bytes(&auth.signature)).map_err(|_| OwnerError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use skep_proto::storage::HexKey;

    fn signed(key: &SigningKey, message: &[u8]) -> OwnerAuth {
        let ed25519_key = Some(HexKey(key.verifying_key().to_bytes()));
        OwnerAuth { signature: key.sign(message).to_bytes(), ed25519_key, timestamp: 0 }
    }

    fn account_of(key: &SigningKey) -> AccountAddress {
        AccountAddress::from_x25519(key.verifying_key().to_montgomery().to_bytes())
    }

    proptest! {
        #[test]
        fn owners_are_recognised_and_nobody_else(seed: [u8; 32], other: [u8; 32], message: Vec<u8>, bit in 0_usize..512) {
            prop_assume!(seed != other);
            let (key, other) = (SigningKey::from_bytes(&seed), SigningKey::from_bytes(&other));
            let auth = signed(&key, &message);
            prop_assert_eq!(verify_owner(&account_of(&key), &auth, &message), Ok(()));
            prop_assert_eq!(verify_owner(&account_of(&other), &auth, &message), Err(OwnerError::ForeignKey));

            let mut forged = auth.clone();
            forged.signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_owner(&account_of(&key), &forged, &message), Err(OwnerError::Signature));

            let stolen = OwnerAuth { ed25519_key: auth.ed25519_key, ..signed(&other, &message) };
            prop_assert_eq!(verify_owner(&account_of(&key), &stolen, &message), Err(OwnerError::Signature));
        }

        #[test]
        fn an_account_may_sign_with_its_own_key(seed: [u8; 32]) {
            let key = SigningKey::from_bytes(&seed);
            let account = AccountAddress::from_x25519(key.verifying_key().to_bytes());
            let auth = OwnerAuth { ed25519_key: None, ..signed(&key, b"retrieve5") };
            prop_assert_eq!(verify_owner(&account, &auth, b"retrieve5"), Ok(()));
        }
    }

    #[test]
    fn small_order_keys_sign_nothing() {
        // The identity point "signs" everything under a lax verifier: R = identity, s = 0.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let auth = OwnerAuth { signature, ed25519_key: None, timestamp: 0 };
        assert_eq!(verify_owner(&AccountAddress::from_x25519(identity), &auth, b"any"), Err(OwnerError::Key));
    }
}
