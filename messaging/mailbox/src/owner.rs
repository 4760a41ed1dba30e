//! Whether a request comes from the owner of a mailbox.

use ed25519_dalek::{Signature, VerifyingKey};
use skep_proto::{
    account::{AccountAddress, X25519_ACCOUNT},
    storage::{Access, Delegation, OwnerAuth},
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
    /// The subaccount may not do this, or not in this account.
    #[error("the subaccount has no right to do this")]
    Access,
    /// The signature is wrong.
    #[error("the signature does not verify")]
    Signature,
}

/// Verifies that the owner of `account`, or a subaccount with the rights `access`, signed `message`. An X25519 account
/// signs with the Ed25519 key that converts to it (Montgomery form, RFC 7748); without such a key, the account's own key is
/// taken as an Ed25519 key. Whether the subaccount has been revoked is for the caller to know.
pub fn verify_owner(
    account: &AccountAddress,
    auth: &OwnerAuth,
    access: Access,
    message: &[u8],
) -> Result<(), OwnerError> {
    let owner = owner_key(account, auth)?;
    let signer = match &auth.subaccount {
        None => owner,
        Some(Delegation { token, signature }) => {
            if !token.is_for(account) || !token.access().includes(access) {
                return Err(OwnerError::Access);
            }
            verify(&owner, token.as_bytes(), signature)?;
            usable(&token.key())?
        }
    };
    verify(&signer, message, &auth.signature)
}

fn owner_key(account: &AccountAddress, auth: &OwnerAuth) -> Result<VerifyingKey, OwnerError> {
    match auth.ed25519_key {
        Some(key) if account.kind() == X25519_ACCOUNT => {
            let key = usable(&key.0)?;
            (key.to_montgomery().to_bytes() == account.key()).then_some(key).ok_or(OwnerError::ForeignKey)
        }
        Some(_) => Err(OwnerError::ForeignKey),
        None => usable(&account.key()),
    }
}

fn usable(key: &[u8; 32]) -> Result<VerifyingKey, OwnerError> {
    VerifyingKey::from_bytes(key).ok().filter(|key| !key.is_weak()).ok_or(OwnerError::Key)
}

fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Result<(), OwnerError> {
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| OwnerError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use skep_proto::storage::{HexKey, SubaccountToken};

    fn signed(key: &SigningKey, message: &[u8]) -> OwnerAuth {
        let ed25519_key = Some(HexKey(key.verifying_key().to_bytes()));
        OwnerAuth { signature: key.sign(message).to_bytes(), ed25519_key, subaccount: None }
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
            prop_assert_eq!(verify_owner(&account_of(&key), &auth, Access::READ, &message), Ok(()));
            prop_assert_eq!(verify_owner(&account_of(&other), &auth, Access::READ, &message), Err(OwnerError::ForeignKey));

            let mut forged = auth.clone();
            forged.signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_owner(&account_of(&key), &forged, Access::READ, &message), Err(OwnerError::Signature));

            let stolen = OwnerAuth { ed25519_key: auth.ed25519_key, ..signed(&other, &message) };
            prop_assert_eq!(verify_owner(&account_of(&key), &stolen, Access::READ, &message), Err(OwnerError::Signature));
        }

        #[test]
        fn an_account_may_sign_with_its_own_key(seed: [u8; 32]) {
            let key = SigningKey::from_bytes(&seed);
            let account = AccountAddress::from_x25519(key.verifying_key().to_bytes());
            let auth = OwnerAuth { ed25519_key: None, ..signed(&key, b"retrieve5") };
            prop_assert_eq!(verify_owner(&account, &auth, Access::READ, b"retrieve5"), Ok(()));
        }
    }

    #[test]
    fn small_order_keys_sign_nothing() {
        // The identity point "signs" everything under a lax verifier: R = identity, s = 0.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let auth = OwnerAuth { signature, ed25519_key: None, subaccount: None };
        assert_eq!(
            verify_owner(&AccountAddress::from_x25519(identity), &auth, Access::READ, b"any"),
            Err(OwnerError::Key)
        );
    }

    fn delegated(owner: &SigningKey, user: &SigningKey, token: SubaccountToken, message: &[u8]) -> OwnerAuth {
        let signature = owner.sign(token.as_bytes()).to_bytes();
        let auth = signed(user, message);
        let ed25519_key = Some(HexKey(owner.verifying_key().to_bytes()));
        OwnerAuth { subaccount: Some(Delegation { token, signature }), ed25519_key, ..auth }
    }

    #[test]
    fn subaccounts_act_within_their_rights() {
        let [owner, user, stranger] = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let account = account_of(&owner);
        let token = |prefix, access| SubaccountToken::new(prefix, access, &user.verifying_key().to_bytes());
        let may = |auth: &OwnerAuth, access| verify_owner(&account, auth, access, b"do it");
        let writer = delegated(&owner, &user, token(5, Access::READ | Access::WRITE), b"do it");
        assert_eq!(may(&writer, Access::WRITE), Ok(()));
        assert_eq!(may(&writer, Access::DELETE), Err(OwnerError::Access));
        assert_eq!(may(&writer, Access::WRITE | Access::DELETE), Err(OwnerError::Access));
        assert_eq!(
            may(&delegated(&owner, &user, token(3, Access::WRITE), b"do it"), Access::WRITE),
            Err(OwnerError::Access)
        );
        let anywhere = delegated(&owner, &user, token(3, Access::WRITE | Access::ANY_PREFIX), b"do it");
        assert_eq!(may(&anywhere, Access::WRITE), Ok(()));

        let self_made = delegated(&stranger, &user, token(5, Access::WRITE), b"do it");
        let self_made = OwnerAuth { ed25519_key: writer.ed25519_key, ..self_made };
        assert_eq!(may(&self_made, Access::WRITE), Err(OwnerError::Signature), "the owner never signed it");
        let stolen = delegated(&owner, &stranger, token(5, Access::WRITE), b"do it");
        assert_eq!(may(&stolen, Access::WRITE), Err(OwnerError::Signature), "signed by another than the token names");
        assert_eq!(
            may(&delegated(&owner, &user, token(5, Access::WRITE), b"other"), Access::WRITE),
            Err(OwnerError::Signature)
        );
    }
}
