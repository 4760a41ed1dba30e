//! Message hashes.

use super::{Namespace, encoding};
use crate::account::AccountAddress;
use base64::Engine;
use blake2::{Blake2b, Digest, digest::consts::U32};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

/// Names a message: BLAKE2b-256 over the account's 33 bytes, the namespace in decimal (nothing for 0) and the data;
/// written as 43 characters of unpadded base64 (`protocol.md` section 4). What members and owners sign is that text.
///
/// The last character has two bits more than the hash needs. Clients that ask about made-up messages set them, and sign what
/// they wrote, so the text stays as it came; which message it names does not depend on them.
#[derive(Clone, Copy)]
pub struct MessageHash {
    hash: [u8; 32],
    /// The bits to spare, in the place they have in a 33rd byte.
    spare: u8,
}

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
        <[u8; 32]>::from(hasher.finalize()).into()
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl From<[u8; 32]> for MessageHash {
    fn from(hash: [u8; 32]) -> Self {
        Self { hash, spare: 0 }
    }
}

impl PartialEq for MessageHash {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for MessageHash {}

impl PartialOrd for MessageHash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MessageHash {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash)
    }
}

impl Hash for MessageHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [self.spare; 33];
        bytes[..32].copy_from_slice(&self.hash);
        let text = encoding::UNPADDED.encode(bytes);
        f.write_str(text.get(..Self::TEXT_LEN).unwrap_or_default())
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
        // Without the last character's bits to spare there would be no whole bytes: six zero bits make them whole.
        let bytes: [u8; 33] = encoding::decode_exactly(&format!("{text}A")).ok_or(ParseMessageHashError)?;
        let (hash, spare) = bytes.split_first_chunk::<32>().ok_or(ParseMessageHashError)?;
        Ok(Self { hash: *hash, spare: spare.first().copied().unwrap_or_default() })
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
        fn a_text_stays_as_it_came(text in "[A-Za-z0-9+/]{43}") {
            let hash: MessageHash = text.parse().unwrap();
            prop_assert_eq!(hash.to_string(), text);
            prop_assert_eq!(MessageHash::from(*hash.as_bytes()), hash);
        }

        #[test]
        fn other_texts_never_panic(text in ".{0,60}") {
            if let Ok(hash) = text.parse::<MessageHash>() {
                prop_assert_eq!(hash.to_string(), text);
            }
        }
    }
}
