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
