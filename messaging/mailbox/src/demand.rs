//! How much work is asked for: the floor while the node keeps up, twice as much with each step while it does not; pure.
//!
//! | observed, once a second | effect |
//! |---|---|
//! | the disk's queue was [`HIGH`] % full or more, [`RISE_AFTER`] times running | one step up |
//! | it was never more than [`LOW`] % full, [`FALL_AFTER`] times running | one step down |
//! | anything between | nothing: the step stays as it is |

use skep_primitives::MAX_WORK_FLOOR;
use skep_work::{FLOOR, MOST_EFFORT};

// Clients do no more than this: no decision of the operators may shut them out.
const _: () = assert!(MAX_WORK_FLOOR <= MOST_EFFORT);

const HIGH: u8 = 75;
const LOW: u8 = 10;
/// A single burst is no load.
const RISE_AFTER: u32 = 2;
/// Coming down slowly keeps a load that the step keeps away from coming back at once.
const FALL_AFTER: u32 = 15;

/// The work one node asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    own_floor: u32,
    network_floor: u32,
    step: u32,
    high: u32,
    low: u32,
}

impl Demand {
    /// A calm node whose operator asks for `floor` at least. Less than [`FLOOR`] counts as that: the other members would
    /// refuse it.
    pub const fn new(floor: u32) -> Self {
        Self { own_floor: floor, network_floor: FLOOR, step: 0, high: 0, low: 0 }
    }

    /// The operator's floor from now on.
    pub const fn set_own_floor(&mut self, floor: u32) {
        self.own_floor = floor;
    }

    /// What the network's operators have decided on; [`FLOOR`] if less, [`MAX_WORK_FLOOR`] if more. Whether it changed.
    pub fn set_network_floor(&mut self, floor: u32) -> bool {
        let before = self.network_floor;
        self.network_floor = floor.clamp(FLOOR, MAX_WORK_FLOOR);
        before != self.network_floor
    }

    /// What is asked for without load: the higher of the two floors.
    fn floor(&self) -> u32 {
        self.own_floor.max(self.network_floor)
    }

    /// How full the disk's queue was at most in the last second, in percent.
    pub fn observe(&mut self, pressure: u8) {
        (self.high, self.low) = match pressure {
            HIGH.. => (self.high + 1, 0),
            ..=LOW => (0, self.low + 1),
            _ => (0, 0),
        };
        if self.high >= RISE_AFTER && self.effort() < MOST_EFFORT {
            (self.step, self.high) = (self.step + 1, 0);
        }
        if self.low >= FALL_AFTER {
            (self.step, self.low) = (self.step.saturating_sub(1), 0);
        }
    }

    /// What a client's work must show now.
    pub fn effort(&self) -> u32 {
        let factor = 1_u32.checked_shl(self.step).unwrap_or(u32::MAX);
        self.floor().saturating_mul(factor).min(MOST_EFFORT.max(self.floor()))
    }

    /// Steps above calm. Each of them also halves the odds of messages without work.
    pub const fn load(&self) -> u32 {
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(demand: &mut Demand, pressures: impl IntoIterator<Item = u8>) -> u32 {
        pressures.into_iter().for_each(|pressure| demand.observe(pressure));
        demand.effort()
    }

    #[test]
    fn effort_rises_under_lasting_load_and_falls_slowly() {
        let mut demand = Demand::new(10);
        assert_eq!(after(&mut demand, [100]), 10, "a burst");
        assert_eq!(after(&mut demand, [50, 100, 0, 100]), 10, "bursts");
        assert_eq!(after(&mut demand, [75]), 20);
        assert_eq!((after(&mut demand, [100; 4]), demand.load()), (80, 3));
        assert_eq!(after(&mut demand, [40; 100]), 80, "between the marks it stays");
        assert_eq!(after(&mut demand, [0; 14]), 80);
        assert_eq!(after(&mut demand, [0]), 40);
        assert_eq!(after(&mut demand, [0; 100]), 10);
    }

    #[test]
    fn what_others_refuse_is_not_asked_for() {
        assert_eq!(Demand::new(0).effort(), FLOOR);
        let mut demand = Demand::new(FLOOR + 5);
        demand.set_own_floor(FLOOR + 2);
        assert_eq!(demand.effort(), FLOOR + 2);
        assert_eq!(Demand::new(u32::MAX).effort(), u32::MAX, "an operator may ask for more than load ever does");
    }

    #[test]
    fn the_higher_of_the_operators_and_the_networks_floor_holds() {
        let mut demand = Demand::new(FLOOR);
        assert!(demand.set_network_floor(50) && !demand.set_network_floor(50));
        assert_eq!(demand.effort(), 50);
        assert_eq!(after(&mut demand, [100; 2]), 100, "load raises it from there");
        demand.set_own_floor(70);
        assert_eq!(demand.effort(), 140);
        demand.set_own_floor(0);
        assert!(demand.set_network_floor(1));
        assert_eq!(demand.effort(), 2 * FLOOR);
        assert!(demand.set_network_floor(u32::MAX));
        assert_eq!(demand.effort(), MOST_EFFORT, "a chain that is not understood shuts nobody out");
    }

    proptest! {
        #[test]
        fn effort_stays_between_floor_and_most(
            floor in 0..2 * MOST_EFFORT,
            pressures in proptest::collection::vec(0..=100_u8, 0..300),
        ) {
            let mut demand = Demand::new(floor);
            for pressure in pressures {
                let before = demand.effort();
                demand.observe(pressure);
                let effort = demand.effort();
                prop_assert!((floor.max(FLOOR)..=MOST_EFFORT.max(floor)).contains(&effort));
                prop_assert!(effort <= before || pressure >= HIGH);
                prop_assert!(effort >= before || pressure <= LOW);
            }
            (0..FALL_AFTER * 40).for_each(|_| demand.observe(0));
            prop_assert_eq!((demand.effort(), demand.load()), (floor.max(FLOOR), 0));
        }
    }
}
