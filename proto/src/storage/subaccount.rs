//! Subaccounts: keys an account's owner lets act on its mailbox (`protocol.md` section 4).

use super::encoding;
use crate::account::AccountAddress;
use base64::Engine;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, ops::BitOr, str::FromStr};

/// What a subaccount may do: prefix (1 byte), [`Access`] (1 byte), reserved (2 bytes), its Ed25519 key (32 bytes). The
/// owner signs the 36 bytes. Written as 48 characters of base64; 72 hexadecimal digits are read too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubaccountToken([u8; Self::LEN]);

/// Not 36 bytes in base64 or hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subaccount token is 36 bytes in base64 or hex")]
pub struct ParseTokenError;

/// Rights of a subaccount, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// None.
    pub const NONE: Self = Self(0);
    /// To read messages and their expiries.
    pub const READ: Self = Self(1);
    /// To store messages and to extend their expiries.
    pub const WRITE: Self = Self(2);
    /// To delete messages and to shorten their expiries.
    pub const DELETE: Self = Self(4);
    /// In the accounts of every type with the owner's key.
    pub const ANY_PREFIX: Self = Self(8);

    /// Whether these rights include all of `others`.
    pub const fn includes(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for Access {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl SubaccountToken {
    /// Bytes of a token.
    pub const LEN: usize = 36;
    const BASE64_LEN: usize = Self::LEN / 3 * 4;

    /// The token of `key` for accounts of type `prefix`.
    pub fn new(prefix: u8, access: Access, key: &[u8; 32]) -> Self {
        let mut bytes = [0; Self::LEN];
        let (head, tail) = bytes.split_at_mut(4);
        head.copy_from_slice(&[prefix, access.0, 0, 0]);
        tail.copy_from_slice(key);
        Self(bytes)
    }

    /// What it allows.
    pub const fn access(&self) -> Access {
        Access(self.0[1])
    }

    /// Whether it is for accounts of this type.
    pub const fn is_for(&self, account: &AccountAddress) -> bool {
        self.0[0] == account.kind() || self.access().includes(Access::ANY_PREFIX)
    }

    /// The Ed25519 key that signs requests.
    pub fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[4..]);
        key
    }

    /// All 36 bytes, which the owner signs.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for SubaccountToken {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl FromStr for SubaccountToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == Self::BASE64_LEN {
            return encoding::decode_exactly(text).map(Self).ok_or(ParseTokenError);
        }
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseTokenError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for SubaccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::PADDED.encode(self.0))
    }
}

impl fmt::Debug for SubaccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubaccountToken({self})")
    }
}

impl Serialize for SubaccountToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubaccountToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_where_the_storage_server_has_them() {
        let token = SubaccountToken::new(3, Access::READ | Access::WRITE, &[0xab; 32]);
        assert_eq!(hex::encode(token.as_bytes()), format!("03030000{}", "ab".repeat(32)));
        assert_eq!(token.key(), [0xab; 32]);
        assert!(token.access().includes(Access::READ | Access::WRITE));
        assert!(!token.access().includes(Access::DELETE) && !token.access().includes(Access::WRITE | Access::DELETE));

        let account = |kind: u8| AccountAddress::from_slice(&[&[kind][..], &[1; 32]].concat()).unwrap();
        assert!(token.is_for(&account(3)) && !token.is_for(&account(5)));
        assert!(SubaccountToken::new(3, Access::ANY_PREFIX, &[1; 32]).is_for(&account(5)));
    }

    proptest! {
        #[test]
        fn both_texts_are_read(head: [u8; 4], key: [u8; 32]) {
            let mut bytes = [0; 36];
            bytes[..4].copy_from_slice(&head);
            bytes[4..].copy_from_slice(&key);
            let token = SubaccountToken::from(bytes);
            prop_assert_eq!(token.to_string().parse(), Ok(token));
            prop_assert_eq!(hex::encode_upper(bytes).parse(), Ok(token));
        }

        #[test]
        fn other_texts_are_refused(text in ".{0,80}") {
            if let Ok(token) = text.parse::<SubaccountToken>() {
                prop_assert!(text.len() == 48 || text.len() == 72, "{}", token);
            }
        }
    }
}
