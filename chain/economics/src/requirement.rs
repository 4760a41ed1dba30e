//! What a service node must hold.

use crate::decay::halved;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::num::NonZeroU64;
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use skep_primitives::{Balance, BlockNumber, Moment, UNIT};

/// The rule that tells how much stake a new registration must bring together (`protocol.md` section 1).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case", try_from = "Choice")]
pub enum StakingRequirement {
    /// The same at every height.
    Fixed {
        /// The requirement, in smallest units.
        #[serde(with = "skep_primitives::decimal")]
        amount: Balance,
    },
    /// `floor + (start - floor) * 2^-((time - offset) / half_life)`, and `start` until `offset`.
    Decaying {
        /// Where it starts, in smallest units; one below `floor` counts as `floor`.
        #[serde(with = "skep_primitives::decimal")]
        start: Balance,
        /// What it falls towards, in smallest units.
        #[serde(with = "skep_primitives::decimal")]
        floor: Balance,
        /// Milliseconds in which the part above the floor halves.
        half_life: NonZeroU64,
        /// Milliseconds after genesis at which it begins to fall.
        offset: Moment,
    },
}

/// The rule as a genesis names it. One genesis is laid over another key by key, so that a rule which was chosen below can
/// only be overruled, by `null`, and not be left out.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Choice {
    fixed: Option<Fixed>,
    decaying: Option<Decaying>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixed {
    #[serde(with = "skep_primitives::decimal")]
    amount: Balance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decaying {
    #[serde(with = "skep_primitives::decimal")]
    start: Balance,
    #[serde(with = "skep_primitives::decimal")]
    floor: Balance,
    half_life: NonZeroU64,
    offset: Moment,
}

impl TryFrom<Choice> for StakingRequirement {
    type Error = &'static str;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        match (choice.fixed, choice.decaying) {
            (Some(Fixed { amount }), None) => Ok(Self::Fixed { amount }),
            (None, Some(Decaying { start, floor, half_life, offset })) => {
                Ok(Self::Decaying { start, floor, half_life, offset })
            }
            (None, None) => Err("the requirement is `fixed` or `decaying`"),
            (Some(_), Some(_)) => Err("the requirement is `fixed` or `decaying`: overrule the other by `null`"),
        }
    }
}

impl StakingRequirement {
    /// The curve of Loki in 2018: 45 000 falling towards 10 000, a half-life of 129 600 two-minute blocks (180 days),
    /// beginning at the block of height 101 250.
    pub const LOKI_2018: Self = Self::Decaying {
        start: 45_000 * UNIT,
        floor: 10_000 * UNIT,
        half_life: NonZeroU64::new(129_600 * 120_000).expect("not zero"),
        offset: 101_250 * 120_000,
    };

    /// The requirement for a registration in the block of this height, on a chain whose blocks are `block_time`
    /// milliseconds apart. Never rises with height; exact to the unit for amounts below 2^64 but for a last digit.
    pub const fn at(&self, height: BlockNumber, block_time: Moment) -> Balance {
        match *self {
            Self::Fixed { amount } => amount,
            Self::Decaying { start, floor, half_life, offset } => {
                let time = (height as Moment).saturating_mul(block_time);
                floor.saturating_add(halved(start.saturating_sub(floor), time.saturating_sub(offset), half_life))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO_MINUTES: Moment = 120_000;

    #[test]
    fn loki_2018_vectors() {
        // 10000 + 35000 * 2^-((h - 101250) / 129600) with 80 decimal digits, rounded down to 10^-9.
        let vectors = [
            (0, 45_000_000_000_000),
            (101_250, 45_000_000_000_000),
            (101_251, 44_999_812_807_974),
            (144_450, 37_779_518_409_443),
            (166_050, 34_748_737_341_529),
            (209_250, 29_643_085_845_414),
            (230_850, 27_500_000_000_000),
            (235_986, 27_025_831_910_336),
            (360_450, 18_750_000_000_000),
            (619_650, 12_187_500_000_000),
            (u32::MAX, 10_000_000_000_000),
        ];
        for (height, expected) in vectors {
            assert_eq!(StakingRequirement::LOKI_2018.at(height, TWO_MINUTES), expected, "height {height}");
        }
    }

    #[test]
    fn the_curve_depends_on_time_not_on_blocks() {
        let curve = StakingRequirement::LOKI_2018;
        assert_eq!(curve.at(20 * 144_450, 6_000), curve.at(144_450, TWO_MINUTES));
    }

    #[test]
    fn a_start_below_the_floor_counts_as_the_floor() {
        let half_life = NonZeroU64::MIN;
        assert_eq!(StakingRequirement::Decaying { start: 1, floor: 2, half_life, offset: 0 }.at(0, 1), 2);
    }

    #[test]
    fn a_genesis_file_reads_and_writes_it() {
        let fixed = r#"{"fixed":{"amount":"100000000000"}}"#;
        let requirement: StakingRequirement = serde_json::from_str(fixed).expect("valid");
        assert_eq!(requirement, StakingRequirement::Fixed { amount: 100 * UNIT });
        assert_eq!(serde_json::to_string(&requirement).expect("serializes"), fixed);
        let never_halving = r#"{"decaying":{"start":"2","floor":"1","half_life":0,"offset":0}}"#;
        assert!(serde_json::from_str::<StakingRequirement>(never_halving).is_err());
    }

    proptest! {
        #[test]
        fn it_stays_between_floor_and_start_and_never_rises(
            floor: Balance, above: Balance, half_life in 1u64.., offset: Moment,
            height: BlockNumber, block_time: Moment,
        ) {
            let start = floor.saturating_add(above);
            let half_life = NonZeroU64::new(half_life).expect("not zero");
            let curve = StakingRequirement::Decaying { start, floor, half_life, offset };
            let now = curve.at(height, block_time);
            prop_assert!(floor <= now && now <= start);
            prop_assert!(curve.at(height.saturating_add(1), block_time) <= now);
            prop_assert_eq!(curve.at(0, block_time), start);
        }

        #[test]
        fn its_encoding_is_read_back(start: Balance, floor: Balance, half_life in 1u64.., offset: Moment) {
            let half_life = NonZeroU64::new(half_life).expect("not zero");
            let curve = StakingRequirement::Decaying { start, floor, half_life, offset };
            prop_assert_eq!(StakingRequirement::decode(&mut curve.encode().as_slice()), Ok(curve));
            prop_assert!(curve.encoded_size() <= StakingRequirement::max_encoded_len());
            let json = serde_json::to_string(&curve).expect("serializes");
            prop_assert_eq!(serde_json::from_str::<StakingRequirement>(&json).expect("parses"), curve);
        }
    }

    #[test]
    fn a_rule_that_was_chosen_below_is_overruled_by_null() {
        let read = |json: &str| serde_json::from_str::<StakingRequirement>(json).map_err(|error| error.to_string());
        let fixed = r#""fixed": {"amount": "5"}"#;
        let decaying = r#""decaying": {"start": "9", "floor": "4", "half_life": 7, "offset": 0}"#;
        assert_eq!(read(&format!("{{{fixed}}}")), Ok(StakingRequirement::Fixed { amount: 5 }));
        let half_life = NonZeroU64::new(7).expect("not zero");
        let expected = StakingRequirement::Decaying { start: 9, floor: 4, half_life, offset: 0 };
        assert_eq!(read(&format!(r#"{{"fixed": null, {decaying}}}"#)), Ok(expected));
        assert_eq!(read(&serde_json::to_string(&expected).expect("JSON")), Ok(expected));
        for neither in ["{}", r#"{"fixed": null}"#, r#"{"fixed": {"amount": "5", "start": "9"}}"#, r#"{"rising": {}}"#]
        {
            assert!(read(neither).is_err(), "{neither}");
        }
        let both = read(&format!("{{{fixed}, {decaying}}}")).expect_err("which?");
        assert!(both.contains("null"), "{both}");
    }
}
