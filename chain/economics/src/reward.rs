//! What a block creates and who gets it.

use crate::{decay::halved, share};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::num::NonZeroU64;
use primitive_types::U256;
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use skep_primitives::{Balance, BlockNumber, Moment, Permyriad, UNIT};

/// Share of a block's reward that goes to the service node at the head of the reward queue: 50 %.
pub const SERVICE_NODE_SHARE: Permyriad = share(5_000);

/// Share of a block's reward that goes to its producer: 45 %. The treasury gets what is left.
pub const PRODUCER_SHARE: Permyriad = share(4_500);

/// How many new tokens a block creates: `tail + bonus * 2^-(time / half_life)` an `interval` (`protocol.md` section 1).
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
#[serde(deny_unknown_fields)]
pub struct EmissionCurve {
    /// What an interval creates for ever, in smallest units.
    #[serde(with = "skep_primitives::decimal")]
    pub tail: Balance,
    /// What an interval creates above the tail at genesis, in smallest units.
    #[serde(with = "skep_primitives::decimal")]
    pub bonus: Balance,
    /// Milliseconds in which the part above the tail halves.
    pub half_life: NonZeroU64,
    /// The span the amounts are meant for, in milliseconds.
    pub interval: NonZeroU64,
}

impl EmissionCurve {
    /// The curve of Loki in 2018: 28 tokens and 100 more, halving every 64 800 blocks, a two-minute block.
    pub const LOKI_2018: Self = Self {
        tail: 28 * UNIT,
        bonus: 100 * UNIT,
        half_life: NonZeroU64::new(64_800 * 120_000).expect("not zero"),
        interval: NonZeroU64::new(120_000).expect("not zero"),
    };

    /// What the block of this height creates on a chain whose blocks are `block_time` milliseconds apart, in smallest
    /// units, rounded down. Never rises with height; saturates.
    pub fn block_reward(&self, height: BlockNumber, block_time: Moment) -> Balance {
        let time = Moment::from(height).saturating_mul(block_time);
        let interval_reward = self.tail.saturating_add(halved(self.bonus, time, self.half_life));
        proportion(interval_reward, U256::from(block_time), U256::from(self.interval.get()))
    }
}

/// A block's reward by receiver, in smallest units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockReward {
    /// For the service node at the head of the reward queue.
    pub service_node: Balance,
    /// For the block's producer.
    pub producer: Balance,
    /// For the treasury: its 5 % and what rounding leaves.
    pub treasury: Balance,
}

/// Shares a block's reward out. The parts sum to `reward` exactly.
pub const fn split_block_reward(reward: Balance) -> BlockReward {
    let service_node = SERVICE_NODE_SHARE.of(reward);
    let producer = PRODUCER_SHARE.of(reward);
    BlockReward { service_node, producer, treasury: reward - service_node - producer }
}

/// A service node's reward by receiver, in smallest units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// The operator's fee, beside the operator's share.
    pub fee: Balance,
    /// What each stake earns, in the order the stakes were given.
    pub shares: Vec<Balance>,
    /// What rounding leaves (less than one unit a stake), and everything after the fee if nothing is staked: the
    /// treasury's.
    pub dust: Balance,
}

/// Shares a service node's reward out: the operator's fee first, the rest by stake. Fee, shares and dust sum to `reward`
/// exactly.
pub fn split_payout(reward: Balance, fee: Permyriad, stakes: impl IntoIterator<Item = Balance>) -> Payout {
    let fee = fee.of(reward);
    let rest = reward - fee;
    let stakes: Vec<U256> = stakes.into_iter().map(U256::from).collect();
    let total = stakes.iter().fold(U256::zero(), |sum, stake| sum + stake);
    let shares: Vec<Balance> = stakes.iter().map(|stake| proportion(rest, *stake, total)).collect();
    let dust = rest - shares.iter().sum::<Balance>();
    Payout { fee, shares, dust }
}

/// `amount * part / whole`, rounded down; saturates; 0 of nothing.
fn proportion(amount: Balance, part: U256, whole: U256) -> Balance {
    let product = U256::from(amount).saturating_mul(part);
    product.checked_div(whole).map_or(0, |quotient| quotient.try_into().unwrap_or(Balance::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn loki_2018_vectors() {
        // 28 + 100 * 2^-(h * t / (64800 * 120 s)) with 80 decimal digits, rounded down, then scaled to the block time.
        let vectors = [
            (0, 120_000, 128_000_000_000),
            (1, 120_000, 127_998_930_334),
            (64_799, 120_000, 78_000_534_838),
            (64_800, 120_000, 78_000_000_000),
            (101_250, 120_000, 61_856_388_673),
            (1_000_000, 120_000, 28_002_261_910),
            (0, 6_000, 6_400_000_000),
            (1, 6_000, 6_399_997_325),
            (1_296_000, 6_000, 3_900_000_000),
            (123_456, 6_000, 6_080_520_049),
            (123_456, 2_000, 2_097_051_468),
            (1, 1_000, 1_066_666_592),
        ];
        for (height, block_time, expected) in vectors {
            assert_eq!(EmissionCurve::LOKI_2018.block_reward(height, block_time), expected, "{height} of {block_time}");
        }
    }

    #[test]
    fn a_block_is_shared_50_45_5() {
        let parts = BlockReward { service_node: 64 * UNIT, producer: 57_600_000_000, treasury: 6_400_000_000 };
        assert_eq!(split_block_reward(128 * UNIT), parts);
        assert_eq!(split_block_reward(1), BlockReward { service_node: 0, producer: 0, treasury: 1 });
    }

    #[test]
    fn the_fee_comes_first_and_the_rest_goes_by_stake() {
        let fee = Permyriad::new(1_000).expect("in range");
        let payout = split_payout(1_000, fee, [50, 25, 25]);
        assert_eq!(payout, Payout { fee: 100, shares: [450, 225, 225].into(), dust: 0 });
        let payout = split_payout(100, Permyriad::default(), [1, 1, 1]);
        assert_eq!(payout, Payout { fee: 0, shares: [33, 33, 33].into(), dust: 1 });
        let payout = split_payout(100, Permyriad::WHOLE, [1, 1]);
        assert_eq!(payout, Payout { fee: 100, shares: [0, 0].into(), dust: 0 });
        let payout = split_payout(100, Permyriad::default(), []);
        assert_eq!(payout, Payout { fee: 0, shares: [].into(), dust: 100 });
    }

    #[test]
    fn rewards_saturate() {
        let curve = EmissionCurve { tail: Balance::MAX, bonus: Balance::MAX, ..EmissionCurve::LOKI_2018 };
        assert_eq!(curve.block_reward(BlockNumber::MAX, Moment::MAX), Balance::MAX);
        assert_eq!(curve.block_reward(0, 120_000), Balance::MAX);
        assert_eq!(curve.block_reward(0, 60_000), Balance::MAX / 2);
        assert_eq!(curve.block_reward(0, 0), 0);
    }

    proptest! {
        #[test]
        fn a_split_block_loses_nothing(reward: Balance) {
            let BlockReward { service_node, producer, treasury } = split_block_reward(reward);
            prop_assert_eq!(service_node + producer + treasury, reward);
            prop_assert!(treasury >= reward / 20 && treasury <= reward / 20 + 3);
        }

        #[test]
        fn a_split_payout_loses_nothing(
            reward: Balance, fee in 0u16..=10_000, stakes in vec(any::<Balance>(), 0..12),
        ) {
            let fee = Permyriad::new(fee).expect("in range");
            let payout = split_payout(reward, fee, stakes.iter().copied());
            prop_assert_eq!(payout.fee, fee.of(reward));
            prop_assert_eq!(payout.fee + payout.shares.iter().sum::<Balance>() + payout.dust, reward);
            prop_assert_eq!(payout.shares.len(), stakes.len());
            if stakes.iter().any(|stake| *stake > 0) {
                prop_assert!(payout.dust < stakes.len() as Balance);
            }
            for (one, earned) in stakes.iter().zip(&payout.shares) {
                for (other, other_earned) in stakes.iter().zip(&payout.shares) {
                    prop_assert!(one > other || earned <= other_earned);
                }
            }
        }

        #[test]
        fn emission_never_rises_nor_falls_under_its_tail(
            tail in 0..=u128::MAX / 2, bonus: Balance, half_life in 1u64.., height: BlockNumber, block_time in 0u64..=120_000,
        ) {
            let half_life = NonZeroU64::new(half_life).expect("not zero");
            let curve = EmissionCurve { tail, bonus, half_life, ..EmissionCurve::LOKI_2018 };
            let reward = curve.block_reward(height, block_time);
            prop_assert!(curve.block_reward(height.saturating_add(1), block_time) <= reward);
            let tail_only = EmissionCurve { bonus: 0, ..curve };
            prop_assert!(tail_only.block_reward(height, block_time) <= reward);
        }
    }
}
