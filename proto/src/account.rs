//! Accounts of the messenger: who a mailbox belongs to.

use std::{fmt, str::FromStr};

/// Type byte of an account whose key is X25519 (the only kind people have).
pub const X25519_ACCOUNT: u8 = 0x05;

/// A mailbox' owner: a type byte and a 32-byte key, written as 66 hexadecimal digits (`protocol.md` section 4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountAddress([u8; Self::LEN]);

/// The text or bytes are no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is 66 hexadecimal digits, the first two its type (05)")]
pub struct ParseAccountError;

impl AccountAddress {
    /// Bytes of an account, its type included.
    pub const LEN: usize = 33;

    /// The account of an X25519 public key.
    pub fn from_x25519(key: [u8; 32]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[0] = X25519_ACCOUNT;
        bytes[1..].copy_from_slice(&key);
        Self(bytes)
    }

    /// An account of any type from its 33 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ParseAccountError> {
        bytes.try_into().map(Self).map_err(|_| ParseAccountError)
    }

    /// Which kind of account this is.
    pub const fn kind(&self) -> u8 {
        self.0[0]
    }

    /// The key without its type byte; it places the account on the swarm ring.
    pub fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[1..]);
        key
    }

    /// All 33 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for AccountAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AccountAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountAddress({self})")
    }
}

impl FromStr for AccountAddress {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseAccountError)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_of_either_case_parses_back(key: [u8; 32]) {
            let account = AccountAddress::from_x25519(key);
            prop_assert_eq!(account.to_string().parse(), Ok(account));
            prop_assert_eq!(account.to_string().to_uppercase().parse(), Ok(account));
            prop_assert_eq!(account.key(), key);
        }
    }

    #[test]
    fn wrong_lengths_and_digits_are_refused() {
        for text in ["", "05", &"0".repeat(65), &"0".repeat(67), &"g".repeat(66)] {
            assert_eq!(text.parse::<AccountAddress>(), Err(ParseAccountError));
        }
    }
}
