//! What others need to start a session with us, and the secrets behind it.

use crate::{
    content::{ContentError, exactly},
    pickle::{self, UnpickleError},
};
use serde::{Deserialize, Serialize};
use skep_proto::{account::AccountAddress, message as wire};
use std::fmt;
use vodozemac::{
    Curve25519PublicKey,
    olm::{Account, AccountPickle},
};
use zeroize::Zeroizing;

/// The public keys another client starts a session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrekeyBundle {
    /// The ratchet identity. It belongs to one installation, not to the account.
    pub identity_key: [u8; 32],
    /// Made for this bundle, for one session.
    pub one_time_key: [u8; 32],
    /// For a new session when the one made with the one-time key is lost.
    pub fallback_key: [u8; 32],
}

impl PrekeyBundle {
    /// The bundle after its one-time key was used: the fallback key takes its place.
    pub const fn spent(self) -> Self {
        Self { one_time_key: self.fallback_key, ..self }
    }
}

/// Our account's ratchet identity and the secrets of all bundles given out.
pub struct Prekeys {
    pub(crate) owner: AccountAddress,
    pub(crate) olm: Account,
    fallback_key: Curve25519PublicKey,
}

#[derive(Serialize, Deserialize)]
struct PrekeysPickle {
    #[serde(with = "pickle::account")]
    owner: AccountAddress,
    olm: AccountPickle,
    fallback_key: Curve25519PublicKey,
}

impl Prekeys {
    /// A new ratchet identity of our account: on first launch, and after restoring from the recovery phrase.
    pub fn new(owner: AccountAddress) -> Self {
        let mut olm = Account::new();
        olm.generate_fallback_key();
        let fallback_key = olm.fallback_key().into_values().next().unwrap_or(olm.curve25519_key());
        olm.mark_keys_as_published();
        Self { owner, olm, fallback_key }
    }

    /// The public half of the ratchet identity.
    pub fn identity_key(&self) -> [u8; 32] {
        self.olm.curve25519_key().to_bytes()
    }

    /// A bundle with a fresh one-time key, for one account. Keep the new state before giving the bundle out.
    pub fn bundle(&self) -> (Self, PrekeyBundle) {
        let mut next = self.copy();
        let created = next.olm.generate_one_time_keys(1).created;
        next.olm.mark_keys_as_published();
        let one_time_key = created.first().copied().unwrap_or(next.fallback_key).to_bytes();
        let identity_key = next.identity_key();
        let fallback_key = next.fallback_key.to_bytes();
        (next, PrekeyBundle { identity_key, one_time_key, fallback_key })
    }

    /// With a fresh fallback key. The one before stays good until the next rotation, for those who have not heard of this one;
    /// it goes for good then. Tell contacts the new bundle.
    pub fn rotated(&self) -> Self {
        let mut next = self.copy();
        next.olm.generate_fallback_key();
        next.fallback_key = next.olm.fallback_key().into_values().next().unwrap_or(next.fallback_key);
        next.olm.mark_keys_as_published();
        next
    }

    /// The state to keep. It holds secrets: store it encrypted.
    pub fn pickle(&self) -> Zeroizing<Vec<u8>> {
        let Self { owner, olm, fallback_key } = self;
        pickle::pickle(&PrekeysPickle { owner: *owner, olm: olm.pickle(), fallback_key: *fallback_key })
    }

    /// The state that was kept.
    pub fn unpickle(bytes: &[u8]) -> Result<Self, UnpickleError> {
        let PrekeysPickle { owner, olm, fallback_key } = pickle::unpickle("ratchet identity", bytes)?;
        Ok(Self { owner, olm: Account::from_pickle(olm), fallback_key })
    }

    pub(crate) fn copy(&self) -> Self {
        Self { owner: self.owner, olm: Account::from_pickle(self.olm.pickle()), fallback_key: self.fallback_key }
    }
}

impl fmt::Debug for Prekeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prekeys").field("identity_key", &hex::encode(self.identity_key())).finish_non_exhaustive()
    }
}

impl From<PrekeyBundle> for wire::PrekeyBundle {
    fn from(bundle: PrekeyBundle) -> Self {
        let PrekeyBundle { identity_key, one_time_key, fallback_key } = bundle;
        let [identity_key, one_time_key, fallback_key] =
            [identity_key, one_time_key, fallback_key].map(|key| key.to_vec().into());
        Self { identity_key, one_time_key, fallback_key }
    }
}

impl TryFrom<wire::PrekeyBundle> for PrekeyBundle {
    type Error = ContentError;

    fn try_from(bundle: wire::PrekeyBundle) -> Result<Self, ContentError> {
        Ok(Self {
            identity_key: exactly("prekeys.identity_key", &bundle.identity_key)?,
            one_time_key: exactly("prekeys.one_time_key", &bundle.one_time_key)?,
            fallback_key: exactly("prekeys.fallback_key", &bundle.fallback_key)?,
        })
    }
}
