//! Message hashes.

use super::{Namespace, encoding};
use crate::account::AccountAddress;
use base64::Engine;
use blake2::{Blake2b, Digest, digest::consts::U32};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Names a message: BLAKE2b-256 over the account's 33 bytes, the namespace in decimal (nothing for 0) and the data;
/// written as 43 characters of unpadded base64 (`protocol.md` section 4). What members sign is that text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageHash([u8; 32]);

/// Not 43 characters of base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message hash is 43 characters of base64")]
pub struct ParseMessageHashError;

impl MessageHash {
    /// Characters of its text.
    pub const TEXT_LEN: usize = 43;

    /// The hash of a message.
    pub fn of(account: &AccountAddress, namespace: Namespace, data: &[u8]) -> Self {
        let mut hasher = Blake2b::<U32>::new();
        hasher.update(account.as_bytes());
        hasher.update(namespace.signed_form());
        hasher.update(data);
        Self(hasher.finalize().into())
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for MessageHash {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::UNPADDED.encode(self.0))
    }
}

impl fmt::Debug for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageHash({self})")
    }
}

impl FromStr for MessageHash {
    type Err = ParseMessageHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != Self::TEXT_LEN {
            return Err(ParseMessageHashError);
        }
        encoding::decode_exactly(text).map(Self).ok_or(ParseMessageHashError)
    }
}

impl Serialize for MessageHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The vector pinned by the storage server's own test (`unit_test/service_node.cpp`, "message hashing").
    #[test]
    fn the_storage_servers_vector() {
        let account = "05ffba630924aa1224bb930dde21c0d11bf004608f2812217f8ac812d6c7e3ad48".parse().unwrap();
        let data = encoding::decode_base64(concat!(
            "CAES1gIKA1BVVBIPL2FwaS92MS9tZXNzYWdlGrsCCAYovfqZv4YvQq8CVwutUBbhRzZw80TvR6uTYMKg9DSagrtpeEpY31L7VxawfS8a",
            "Sya0SiDa4J025SkjP13YX8g5pxgQ8Z6hgfNArMqr/tSijJ9miVKVDJ63YWE85O8kyWF8tdtZR5j0Vxb+JH5U8Rg1bp7ftKk3OSf7JJMc",
            "rUUrDnctQHe540zJ2OTDJ03DfubkX5NmKqEu5nhXGxeeDv3mTiL63fjtCvZYcikfjf6Nh1AX++HTgJ9SGoEIMastGUorFrmmXb2sbjHx",
            "NiJn0Radj/VzcA9VxYwBW5+AbGQ2d9+vvm7X+8vh+jIenJfjxf+8CWER+9adNfb4YUH07I+godNCV0O0J05gzqfKdT7J8MBZzFBtKrbk",
            "8oCagPpTsq/wZyYFKFKKD+q+zh704dYBILvs5yXUA96pIAA=",
        ))
        .unwrap();
        let hash = MessageHash::of(&account, Namespace::DEFAULT, &data);
        assert_eq!(hash.to_string(), "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs");
    }

    #[test]
    fn the_namespace_is_hashed_in_decimal() {
        let account = AccountAddress::from_x25519([7; 32]);
        assert_eq!(
            MessageHash::of(&account, Namespace(-42), b"data"),
            MessageHash::of(&account, Namespace::DEFAULT, b"-42data")
        );
    }

    proptest! {
        #[test]
        fn the_text_parses_back(hash: [u8; 32]) {
            let hash = MessageHash::from(hash);
            prop_assert_eq!(hash.to_string().len(), MessageHash::TEXT_LEN);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }

        #[test]
        fn other_texts_never_panic(text in ".{0,60}") {
            if let Ok(hash) = text.parse::<MessageHash>() {
                prop_assert_eq!(text.len(), MessageHash::TEXT_LEN);
                prop_assert_eq!(&hash.to_string()[..42], &text[..42]);
            }
        }
    }
}
