//! An account's keys.

use crate::phrase::{self, PhraseError};
use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRng;
use skep_proto::account::AccountAddress;
use std::fmt;
use zeroize::Zeroizing;

/// The keys of one account, all from one 16-byte seed, which is what the recovery phrase spells (`protocol.md` section 7):
/// the seed and 16 zero bytes make an Ed25519 key, that key converts to the X25519 key of the account.
///
/// Phrases restore the same account in Session, and the other way round.
pub struct Identity {
    seed: Zeroizing<[u8; 16]>,
    signing: SigningKey,
    agreement: Zeroizing<[u8; 32]>,
    account: AccountAddress,
}

impl Identity {
    /// A new account.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(seed)
    }

    /// The account a recovery phrase spells: 13 words in any case, with any white space between them. Of each word the
    /// first three letters count.
    pub fn from_phrase(phrase: &str) -> Result<Self, PhraseError> {
        phrase::decode(phrase).map(Self::from_seed)
    }

    fn from_seed(seed: Zeroizing<[u8; 16]>) -> Self {
        let mut wide = Zeroizing::new([0; 32]);
        for (to, from) in wide.iter_mut().zip(seed.iter()) {
            *to = *from;
        }
        let signing = SigningKey::from_bytes(&wide);
        let agreement = Zeroizing::new(signing.to_scalar_bytes());
        let account = AccountAddress::from_x25519(signing.verifying_key().to_montgomery().to_bytes());
        Self { seed, signing, agreement, account }
    }

    /// The recovery phrase. Whoever has it has the account.
    pub fn phrase(&self) -> Zeroizing<String> {
        phrase::encode(&self.seed)
    }

    /// The account: what others write to.
    pub const fn account(&self) -> AccountAddress {
        self.account
    }

    /// The Ed25519 key that [`sign_request`](Self::sign_request) signs with.
    pub fn ed25519_key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// Signs a request to a storage node, which proves ownership of the mailbox. Never sign anything others get to see in a
    /// conversation: signatures cannot be denied.
    pub fn sign_request(&self, request: &[u8]) -> [u8; 64] {
        self.signing.sign(request).to_bytes()
    }

    /// The secret X25519 key of the account.
    pub(crate) fn agreement_key(&self) -> &[u8; 32] {
        &self.agreement
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
