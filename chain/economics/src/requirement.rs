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
#[serde(rename_all = "snake_case", deny_unknown_fields)]
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
