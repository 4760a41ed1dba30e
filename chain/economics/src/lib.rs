//! Staking requirement, contribution rules, emission and reward split, in pure integer arithmetic.
//!
//! Every rule of `protocol.md` section 1 that is about amounts is asked here and nowhere else: what a node must hold
//! ([`StakingRequirement`]), what a contributor may bring ([`Pool`]), what a block creates ([`EmissionCurve`]), and who
//! gets it ([`split_block_reward`], [`split_payout`]). Times are wall-clock milliseconds, so the same numbers hold on
//! networks of any block time. No float, no panic: where a result leaves the range of [`Balance`] it saturates, as the
//! item says.
//!
//! [`Balance`]: skep_primitives::Balance
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod contribution;
mod decay;
mod requirement;
mod reward;

pub use contribution::{
    ContributionError, OPERATOR_MINIMUM, Pool, SMALL_STAKE, is_small_stake, keep, operator_minimum,
};
pub use requirement::StakingRequirement;
pub use reward::{
    BlockReward, EmissionCurve, PRODUCER_SHARE, Payout, SERVICE_NODE_SHARE, split_block_reward, split_payout,
};

use skep_primitives::Permyriad;

/// A share known at compile time; one above the whole stops the build.
const fn share(steps: u16) -> Permyriad {
    match Permyriad::new(steps) {
        Ok(share) => share,
        Err(_) => panic!("a share is at most the whole"),
    }
}
