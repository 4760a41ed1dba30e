//! Names by role: all of these are bytes, and none may stand for another.

use alloc::string::String;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::{fmt, str::FromStr};
use scale_info::TypeInfo;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An id was not written as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseIdError {
    /// Not 64 hexadecimal digits.
    NotKeyHex,
    /// Not a hexadecimal number of at most 16 digits.
    NotSwarmHex,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotKeyHex => "expected 64 hexadecimal digits",
            Self::NotSwarmHex => "expected a hexadecimal number of at most 16 digits",
        })
    }
}

impl core::error::Error for ParseIdError {}

macro_rules! key_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen,
            TypeInfo,
        )]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                let mut key = [0; 32];
                hex::decode_to_slice(digits, &mut key).map_err(|_| ParseIdError::NotKeyHex)?;
                Ok(Self(key))
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(key: [u8; 32]) -> Self {
                Self(key)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

key_id! {
    /// A service node: its Ed25519 public key.
    ServiceNodeId
}

key_id! {
    /// Who locks stake: an account of the chain (32 bytes, shown by wallets in SS58).
    StakerId
}

key_id! {
    /// A runtime: BLAKE2b-256 of its Wasm.
    CodeHash
}

/// A swarm: its place on the 64-bit ring (`protocol.md` section 3). Written in hex without padding.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SwarmId(pub u64);

impl SwarmId {
    /// The first swarm, which always exists once there is a node.
    pub const FIRST: Self = Self(0);
    /// Says "in no swarm (yet)"; no swarm carries this id.
    pub const UNASSIGNED: Self = Self(u64::MAX);

    /// Whether this names a swarm.
    pub const fn is_assigned(self) -> bool {
        self.0 != Self::UNASSIGNED.0
    }
}

impl fmt::Display for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmId({self})")
    }
}

impl FromStr for SwarmId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain {
            return Err(ParseIdError::NotSwarmHex);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseIdError::NotSwarmHex)
    }
}

impl Serialize for SwarmId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SwarmId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_their_text(key: [u8; 32], swarm: u64) {
            prop_assert_eq!(ServiceNodeId(key).to_string().parse(), Ok(ServiceNodeId(key)));
            prop_assert_eq!(SwarmId(swarm).to_string().parse(), Ok(SwarmId(swarm)));
        }
    }

    #[test]
    fn malformed_ids_are_named() {
        assert_eq!("abc".parse::<ServiceNodeId>(), Err(ParseIdError::NotKeyHex));
        assert_eq!("+1".parse::<SwarmId>(), Err(ParseIdError::NotSwarmHex));
        assert_eq!("".parse::<SwarmId>(), Err(ParseIdError::NotSwarmHex));
        assert_eq!("10000000000000000".parse::<SwarmId>(), Err(ParseIdError::NotSwarmHex));
        assert_eq!(SwarmId::UNASSIGNED.to_string(), "ffffffffffffffff");
    }
}
