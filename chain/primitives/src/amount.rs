//! Token amounts and shares.

use alloc::{format, string::String};
use codec::{Decode, DecodeWithMemTracking, Encode, Input, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of the smallest token unit.
pub type Balance = u128;

/// Decimal places of one token.
pub const DECIMALS: u8 = 9;

/// One whole token in smallest units (10^9, as on Oxen).
pub const UNIT: Balance = 1_000_000_000;

/// A share in steps of 0.01 %: 0 ..= 10 000. Decoding refuses more, from SCALE as from JSON.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, MaxEncodedLen, TypeInfo, Serialize, Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct Permyriad(u16);

impl Decode for Permyriad {
    fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
        Self::new(u16::decode(input)?).map_err(|_| "a share is at most 10000 steps of 0.01 %".into())
    }
}

impl DecodeWithMemTracking for Permyriad {}

/// A share above 100 % was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermyriadTooLarge(pub u16);

impl core::fmt::Display for PermyriadTooLarge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} is more than 10000 (100 %) in steps of 0.01 %", self.0)
    }
}

impl core::error::Error for PermyriadTooLarge {}

impl Permyriad {
    /// 100 %.
    pub const WHOLE: Self = Self(10_000);

    /// A share from its count of 0.01 % steps.
    pub const fn new(steps: u16) -> Result<Self, PermyriadTooLarge> {
        if steps > Self::WHOLE.0 { Err(PermyriadTooLarge(steps)) } else { Ok(Self(steps)) }
    }

    /// Count of 0.01 % steps.
    pub const fn steps(self) -> u16 {
        self.0
    }

    /// This share of `amount`, rounded down. Exact for any amount: the whole and the rest are scaled apart.
    pub const fn of(self, amount: Balance) -> Balance {
        let share = self.0 as Balance;
        let whole = Self::WHOLE.0 as Balance;
        (amount / whole) * share + (amount % whole) * share / whole
    }
}

impl TryFrom<u16> for Permyriad {
    type Error = PermyriadTooLarge;

    fn try_from(steps: u16) -> Result<Self, Self::Error> {
        Self::new(steps)
    }
}

impl From<Permyriad> for u16 {
    fn from(share: Permyriad) -> Self {
        share.0
    }
}

/// A balance as JSON: a decimal string, since JSON numbers lose digits beyond 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonBalance(pub Balance);

impl Serialize for JsonBalance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}", self.0))
    }
}

impl<'de> Deserialize<'de> for JsonBalance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| de::Error::custom("expected a decimal amount as a string"))
    }
}

/// For `#[serde(with = "skep_primitives::decimal")]`: a [`Balance`] written as [`JsonBalance`].
pub mod decimal {
    use super::{Balance, JsonBalance};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the amount as a decimal string.
    pub fn serialize<S: Serializer>(amount: &Balance, serializer: S) -> Result<S::Ok, S::Error> {
        JsonBalance(*amount).serialize(serializer)
    }

    /// Reads the amount from a decimal string.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Balance, D::Error> {
        JsonBalance::deserialize(deserializer).map(|amount| amount.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_share_and_its_rest_make_the_whole(steps in 0u16..=10_000, amount: u128) {
            let share = Permyriad::new(steps).expect("in range");
            let rest = Permyriad::new(10_000 - steps).expect("in range");
            let parts = share.of(amount) + rest.of(amount);
            prop_assert!(parts <= amount && amount - parts <= 1);
        }
    }

    #[test]
    fn more_than_the_whole_is_refused() {
        assert_eq!(Permyriad::new(10_001), Err(PermyriadTooLarge(10_001)));
        assert!(serde_json::from_str::<Permyriad>("10001").expect_err("too large").is_data());
        assert!(Permyriad::decode(&mut &10_001u16.encode()[..]).is_err());
        assert_eq!(Permyriad::decode(&mut &10_000u16.encode()[..]), Ok(Permyriad::WHOLE));
    }

    #[test]
    fn balances_keep_every_digit_in_json() {
        let json = serde_json::to_string(&JsonBalance(u128::MAX)).expect("serializes");
        assert_eq!(json, "\"340282366920938463463374607431768211455\"");
        assert_eq!(serde_json::from_str::<JsonBalance>(&json).expect("parses"), JsonBalance(u128::MAX));
    }
}
