//! What an operator and contributors may bring to a node.

use crate::share;
use alloc::vec::Vec;
use primitive_types::U256;
use skep_primitives::{Balance, MAX_CONTRIBUTORS, OpenPool, Permyriad, Spot};

/// The least share of the requirement an operator brings: 25 %.
pub const OPERATOR_MINIMUM: Permyriad = share(2_500);

/// A stake under this share of its node's requirement is small: it cannot unlock in its first 30 days.
pub const SMALL_STAKE: Permyriad = share(2_499);

/// The least an operator must bring of this requirement, rounded down.
pub const fn operator_minimum(requirement: Balance) -> Balance {
    OPERATOR_MINIMUM.of(requirement)
}

/// The spots that an operator which offers `stake` keeps for others if it asks for these amounts; `None` if it may not.
///
/// As of any offer, only the room counts, which is what the operator's minimum leaves, and up to 101 % of it may be asked for:
/// amounts that were computed a moment too early, of a requirement that falls, are not refused. The largest gives way.
pub fn keep(requirement: Balance, stake: Balance, mut amounts: Vec<Balance>) -> Option<Vec<Balance>> {
    let pool = Pool { requirement, reserved: operator_minimum(requirement), contributors: 1 };
    let kept = sum(&amounts);
    if kept > pool.maximum_contribution() {
        return None;
    }
    if let Some(largest) = amounts.iter_mut().max() {
        *largest = largest.checked_sub(kept.saturating_sub(pool.open_room()))?;
    }
    can_keep(requirement, stake, amounts.clone()).then_some(amounts)
}

fn sum(amounts: &[Balance]) -> Balance {
    amounts.iter().fold(0, |sum, amount| sum.saturating_add(*amount))
}

/// Whether an operator that offers `stake` may keep spots of these amounts for others: it brings its own minimum beside them,
/// and each is at least what a contributor would have to bring in its turn, the largest first. So a spot cannot be had for
/// less by reserving it, and whatever is left to fill can be filled by the spots that are left.
fn can_keep(requirement: Balance, stake: Balance, mut amounts: Vec<Balance>) -> bool {
    let Some(room) = requirement.checked_sub(sum(&amounts)) else { return false };
    let mut pool = Pool { requirement, reserved: stake.min(room), contributors: 1 };
    amounts.sort_unstable_by(|one, other| other.cmp(one));
    pool.reserved >= operator_minimum(requirement)
        && amounts.into_iter().all(|amount| {
            let is_accepted = pool.accept(amount) == Ok(amount);
            pool.reserved = pool.reserved.saturating_add(amount);
            pool.contributors = pool.contributors.saturating_add(1);
            is_accepted
        })
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
    /// What it holds so far, or keeps for others, in smallest units.
    pub reserved: Balance,
    /// How many contributions it holds or keeps room for, the operator's included.
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

impl From<&OpenPool> for Pool {
    /// The pool as the chain told one account of it, for whom others' reserved spots are taken.
    fn from(told: &OpenPool) -> Self {
        Self {
            requirement: told.requirement,
            reserved: told.requirement.saturating_sub(told.room),
            contributors: MAX_CONTRIBUTORS.saturating_sub(told.free_spots),
        }
    }
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

    /// The least an offer for this spot must bring: what was reserved, or anything that adds to a stake that is there.
    pub fn minimum_for(&self, spot: Spot) -> Balance {
        match spot {
            Spot::Free => self.minimum_contribution(),
            Spot::Reserved(amount) => amount.min(self.open_room()),
            Spot::Own => self.open_room().min(1),
        }
    }

    /// How much of `offered` is staked if a new contributor offers it now: all of it, but never more than the room.
    pub fn accept(&self, offered: Balance) -> Result<Balance, ContributionError> {
        self.accept_for(Spot::Free, offered)
    }

    /// The same for an offer that is for this spot.
    pub fn accept_for(&self, spot: Spot, offered: Balance) -> Result<Balance, ContributionError> {
        if self.is_complete() {
            return Err(ContributionError::StakeComplete);
        }
        if spot == Spot::Free && self.free_spots() == 0 {
            return Err(ContributionError::NoFreeSpot);
        }
        let (minimum, maximum) = (self.minimum_for(spot), self.maximum_contribution());
        if offered < minimum {
            return Err(ContributionError::TooLittle { offered, minimum });
        }
        if offered > maximum {
            return Err(ContributionError::TooMuch { offered, maximum });
        }
        Ok(offered.min(self.open_room()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_primitives::UNIT;

    const REQUIREMENT: Balance = 15_000 * UNIT;

    fn pool(reserved: Balance, contributors: u32) -> Pool {
        Pool { requirement: REQUIREMENT, reserved, contributors }
    }

    #[test]
    fn the_operator_brings_a_quarter_at_least() {
        let empty = Pool::new(REQUIREMENT);
        let minimum = 3_750 * UNIT;
        assert_eq!(empty.minimum_contribution(), minimum);
        assert_eq!(empty.accept(minimum), Ok(minimum));
        let offered = minimum - 1;
        assert_eq!(empty.accept(offered), Err(ContributionError::TooLittle { offered, minimum }));
        assert_eq!(empty.accept(REQUIREMENT), Ok(REQUIREMENT));
    }

    #[test]
    fn contributors_bring_an_even_part_of_the_room_in_order_of_arrival() {
        // Three quarters open, nine spots.
        assert_eq!(pool(3_750 * UNIT, 1).minimum_contribution(), 11_250 * UNIT / 9);
        // Half open, eight spots; then one spot, which takes all.
        assert_eq!(pool(7_500 * UNIT, 2).minimum_contribution(), 7_500 * UNIT / 8);
        assert_eq!(pool(7_500 * UNIT, 9).minimum_contribution(), 7_500 * UNIT);
    }

    #[test]
    fn a_little_too_much_is_accepted_but_only_the_room_counts() {
        let room = 1_000 * UNIT;
        let pool = pool(REQUIREMENT - room, 3);
        let maximum = 1_010 * UNIT;
        assert_eq!(pool.accept(maximum), Ok(room));
        let offered = maximum + 1;
        assert_eq!(pool.accept(offered), Err(ContributionError::TooMuch { offered, maximum }));
    }

    #[test]
    fn a_reserved_spot_takes_what_was_reserved_at_least() {
        // Whoever a spot is kept for sees a pool without its own reservation.
        let pool = pool(10_000 * UNIT, MAX_CONTRIBUTORS);
        let minimum = 2_000 * UNIT;
        let offered = minimum - 1;
        let spot = Spot::Reserved(minimum);
        assert_eq!(pool.accept_for(spot, offered), Err(ContributionError::TooLittle { offered, minimum }));
        assert_eq!(pool.accept_for(spot, minimum), Ok(minimum));
        assert_eq!(pool.accept_for(spot, 5_000 * UNIT), Ok(5_000 * UNIT));
        assert_eq!(pool.accept(5_000 * UNIT), Err(ContributionError::NoFreeSpot));
        assert_eq!(pool.accept_for(Spot::Own, 1), Ok(1));
        assert!(pool.accept_for(Spot::Own, 0).is_err());
    }

    #[test]
    fn what_is_kept_for_others_leaves_a_node_that_can_be_filled() {
        let quarter = operator_minimum(REQUIREMENT);
        let can = |stake, amounts: &[Balance]| can_keep(REQUIREMENT, stake, amounts.to_vec());
        assert!(can(quarter, &[]) && can(quarter, &[3 * quarter]) && can(REQUIREMENT, &[2 * quarter]));
        assert!(!can(quarter - 1, &[]) && !can(quarter, &[3 * quarter + 1]));
        assert!(!can(quarter, &[3 * quarter, 0]) && !can(quarter, &[Balance::MAX, Balance::MAX]));
        let even = 3 * quarter / 9;
        assert!(can(quarter, &[even]) && !can(quarter, &[even - 1]));
        // In any order; after a large one less is even.
        assert!(can(quarter, &[quarter / 4, quarter]) && can(quarter, &[quarter, quarter / 4]));
        // Nine fill the node, or the last spot would be worth more than it was kept for.
        assert!(can(quarter, &[even; 9]) && !can(quarter + 9, &[[even; 8].as_slice(), &[even - 10]].concat()));
    }

    #[test]
    fn what_was_computed_of_a_higher_requirement_is_kept_as_far_as_there_is_room() {
        let quarter = operator_minimum(REQUIREMENT);
        let kept = |requirement, amounts: &[Balance]| keep(requirement, quarter, amounts.to_vec());
        let asked = [quarter, quarter + 2, quarter - 2];
        assert_eq!(kept(REQUIREMENT, &asked), Some(asked.to_vec()));
        let fallen = REQUIREMENT - 400;
        assert_eq!(kept(fallen, &asked), Some(vec![quarter, quarter + 2 - 300, quarter - 2]));
        assert_eq!(kept(fallen, &[3 * quarter / 9; 9]).map(|amounts| sum(&amounts)), Some(3 * quarter - 300));
        // What leaves room beside it stays as it was asked for.
        assert_eq!(kept(fallen, &[quarter]), Some(vec![quarter]));
        let most = REQUIREMENT / 100 * 303 / 4;
        assert_eq!(kept(REQUIREMENT, &[most]), Some(vec![3 * quarter]));
        assert_eq!(kept(REQUIREMENT, &[most + 1]), None);
        assert_eq!(keep(REQUIREMENT, quarter - 1, vec![most]), None);
        assert_eq!(kept(REQUIREMENT, &[3 * quarter, 0]), None);
        assert_eq!((kept(0, &[]), kept(0, &[1]), kept(1, &[1])), (Some(vec![]), None, Some(vec![1])));
    }

    #[test]
    fn a_full_node_takes_nothing() {
        assert_eq!(pool(REQUIREMENT, 2).accept(1), Err(ContributionError::StakeComplete));
        assert_eq!(pool(REQUIREMENT + 1, 2).accept(0), Err(ContributionError::StakeComplete));
        assert_eq!(pool(REQUIREMENT - 1, MAX_CONTRIBUTORS).accept(1), Err(ContributionError::NoFreeSpot));
        assert_eq!(Pool::new(0).accept(0), Err(ContributionError::StakeComplete));
    }

    #[test]
    fn small_is_under_24_99_percent() {
        let limit = 37_485 * UNIT / 10;
        assert!(is_small_stake(limit - 1, REQUIREMENT));
        assert!(!is_small_stake(limit, REQUIREMENT));
        // A quarter is never small: no operator is caught by the rule.
        assert!(!is_small_stake(operator_minimum(REQUIREMENT), REQUIREMENT));
        assert!(is_small_stake(Balance::MAX / 4 - Balance::MAX / 5_000, Balance::MAX));
        assert!(!is_small_stake(Balance::MAX / 4, Balance::MAX));
    }

    proptest! {
        #[test]
        fn there_is_always_an_acceptable_offer_while_there_is_room(
            requirement in 1u128.., reserved: Balance, contributors in 1..MAX_CONTRIBUTORS,
        ) {
            for pool in [Pool::new(requirement), Pool { requirement, reserved: reserved % requirement, contributors }] {
                let minimum = pool.minimum_contribution();
                prop_assert!(minimum >= 1);
                prop_assert_eq!(pool.accept(minimum), Ok(minimum));
                prop_assert_eq!(pool.accept(pool.maximum_contribution()), Ok(pool.open_room()));
                let below_refused = matches!(pool.accept(minimum - 1), Err(ContributionError::TooLittle { .. }));
                prop_assert!(below_refused);
            }
        }

        #[test]
        fn spots_that_fill_a_node_still_do_after_its_requirement_fell(
            requirement in 1_000_000u128..1 << 100, cuts: Vec<u128>, fall in 0u128..900,
        ) {
            // As much as a requirement of `higher` left beside the operator's minimum, in up to nine parts.
            let higher = requirement + requirement / 100_000 * fall;
            let room = higher - operator_minimum(higher);
            let mut cuts: Vec<_> = cuts.into_iter().take(8).map(|cut| 1 + cut % (room - 1)).chain([0, room]).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let asked: Vec<_> = cuts.windows(2).map(|cut| cut[1] - cut[0]).collect();
            let stake = operator_minimum(higher);
            prop_assert_eq!(keep(higher, stake, asked.clone()), Some(asked.clone()));
            let kept = keep(requirement, stake, asked.clone()).expect("less than 1 %");
            prop_assert_eq!(sum(&kept), sum(&asked).min(requirement - operator_minimum(requirement)));
            prop_assert!(kept.iter().zip(asked).all(|(kept, asked)| *kept <= asked));
        }

        #[test]
        fn ten_contributors_always_complete_a_node(requirement in 1u128.., offers: [u128; 10]) {
            let mut pool = Pool::new(requirement);
            for offer in offers {
                if pool.is_complete() {
                    break;
                }
                // Any amount between the least and the most that is accepted.
                let (least, most) = (pool.minimum_contribution(), pool.maximum_contribution());
                let offered = least + offer % (most - least).saturating_add(1).max(1);
                let staked = pool.accept(offered).expect("between minimum and maximum");
                pool = Pool { reserved: pool.reserved + staked, contributors: pool.contributors + 1, ..pool };
            }
            prop_assert_eq!(pool.reserved, requirement);
        }
    }
}
