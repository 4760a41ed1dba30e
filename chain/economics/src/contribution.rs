//! What an operator and contributors may bring to a node.

use crate::share;
use primitive_types::U256;
use skep_primitives::{Balance, MAX_CONTRIBUTORS, Permyriad};

/// The least share of the requirement an operator brings: 25 %.
pub const OPERATOR_MINIMUM: Permyriad = share(2_500);

/// A stake under this share of its node's requirement is small: it cannot unlock in its first 30 days.
pub const SMALL_STAKE: Permyriad = share(2_499);

/// The least an operator must bring of this requirement, rounded down.
pub const fn operator_minimum(requirement: Balance) -> Balance {
    OPERATOR_MINIMUM.of(requirement)
}

/// Whether a stake of `amount` is small in a node of this requirement (exact: no rounding).
pub fn is_small_stake(amount: Balance, requirement: Balance) -> bool {
    let steps = |share: Permyriad| U256::from(share.steps());
    U256::from(amount) * steps(Permyriad::WHOLE) < U256::from(requirement) * steps(SMALL_STAKE)
}

/// The stake of one node as far as it has been brought together. The first contribution is the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What the node must hold in all, in smallest units.
    pub requirement: Balance,
    /// What it holds so far, in smallest units.
    pub reserved: Balance,
    /// How many contributions it holds, the operator's included.
    pub contributors: u32,
}

/// Why a contribution is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContributionError {
    /// Nothing is missing.
    #[error("the node's stake is complete: choose a node that still gathers stake")]
    StakeComplete,
    /// The node has as many contributors as it may have.
    #[error("the node already has {MAX_CONTRIBUTORS} contributors, the most it may have: choose another node")]
    NoFreeSpot,
    /// Less than the minimum of this moment.
    #[error("{offered} is too little: bring at least {minimum} (smallest units)")]
    TooLittle {
        /// What was offered.
        offered: Balance,
        /// The least that is accepted now.
        minimum: Balance,
    },
    /// More than 101 % of the open room.
    #[error("{offered} is more than the node has room for: bring at most {maximum} (smallest units)")]
    TooMuch {
        /// What was offered.
        offered: Balance,
        /// The most that is accepted now.
        maximum: Balance,
    },
}

impl Pool {
    /// A node nobody has brought anything to.
    pub const fn new(requirement: Balance) -> Self {
        Self { requirement, reserved: 0, contributors: 0 }
    }

    /// What is still missing, in smallest units.
    pub const fn open_room(&self) -> Balance {
        self.requirement.saturating_sub(self.reserved)
    }

    /// Whether nothing is missing.
    pub const fn is_complete(&self) -> bool {
        self.open_room() == 0
    }

    /// How many more contributors may come.
    pub const fn free_spots(&self) -> u32 {
        MAX_CONTRIBUTORS.saturating_sub(self.contributors)
    }

    /// The least the next contributor must bring: the operator's minimum for the first, an even part of the open room
    /// for every free spot after that (so the last spot always fills the node). At least 1 while there is room; 0 if
    /// there is no room or no spot.
    pub fn minimum_contribution(&self) -> Balance {
        let minimum = match (self.contributors, self.free_spots()) {
            (_, 0) => return 0,
            (0, _) => operator_minimum(self.requirement),
            (_, spots) => self.open_room() / Balance::from(spots),
        };
        minimum.max(1).min(self.open_room())
    }

    /// The most the next contributor may offer: 101 % of the open room, so that one whose amount was computed a moment
    /// too early is not turned away. Saturates.
    pub const fn maximum_contribution(&self) -> Balance {
        let room = self.open_room();
        room.saturating_add(room / 100)
    }

    /// How much of `offered` is staked if a new contributor offers it now: all of it, but never more than the room.
    pub fn accept(&self, offered: Balance) -> Result<Balance, ContributionError> {
        if self.is_complete() {
            return Err(ContributionError::StakeComplete);
        }
        if self.free_spots() == 0 {
            return Err(ContributionError::NoFreeSpot);
        }
        let (minimum, maximum) = (self.minimum_contribution(), self.maximum_contribution());
        if offered < minimum {
            return Err(ContributionError::TooLittle { offered, minimum });
        }
        if offered > maximum {
            return Err(ContributionError::TooMuch { offered, maximum });
        }
        Ok(offered.min(self.open_room()))
    }
}
