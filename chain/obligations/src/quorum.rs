//! Who tests whom.

use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use skep_primitives::{Draw, MAX_TESTERS};

/// With fewer testers nothing is decided: two dishonest ones could.
pub const LEAST_TESTERS: u32 = 4;

/// Nodes a round tests while there are so many.
pub const LEAST_TARGETS: u32 = 50;

/// Most nodes a round tests: what 100,000 nodes need.
pub const MAX_TARGETS: u32 = 1_000;

/// Larger networks test one in so many of their nodes a round.
const TARGET_SHARE: u32 = 100;

/// How many nodes there are of each kind.
///
/// They are numbered through: first those that may test, then the fresh, then the decommissioned. [`draw_round`] answers
/// with such numbers, so that it need not know the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Census {
    /// Serving nodes that may be testers.
    pub seasoned: u32,
    /// Serving nodes that began too short a time ago to be testers.
    pub fresh: u32,
    /// Decommissioned nodes.
    pub decommissioned: u32,
}

impl Census {
    /// Nodes that serve.
    pub const fn serving(&self) -> u32 {
        self.seasoned.saturating_add(self.fresh)
    }

    /// All of them.
    pub const fn total(&self) -> u32 {
        self.serving().saturating_add(self.decommissioned)
    }
}

/// The numbers (see [`Census`]) of those drawn for a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Who tests; empty if the network is too small to test itself.
    pub testers: Vec<u32>,
    /// Who is tested.
    pub targets: Vec<u32>,
}

/// Testers of a round: ten; fewer only where the network has no ten that may test and one more to be tested; none where
/// not even [`LEAST_TESTERS`] are left.
pub const fn quorum_size(census: &Census) -> u32 {
    let others = census.total().saturating_sub(1);
    let most = if others < MAX_TESTERS { others } else { MAX_TESTERS };
    let size = if census.seasoned < most { census.seasoned } else { most };
    if size < LEAST_TESTERS { 0 } else { size }
}

/// Nodes tested in a round: the greater of fifty and one in a hundred of those that do not test, as far as there are.
pub const fn target_count(census: &Census) -> u32 {
    let rest = census.total().saturating_sub(quorum_size(census));
    let share = rest / TARGET_SHARE;
    let wanted = if share > LEAST_TARGETS { share } else { LEAST_TARGETS };
    let bounded = if wanted > MAX_TARGETS { MAX_TARGETS } else { wanted };
    if bounded < rest { bounded } else { rest }
}

/// Draws the testers and targets of a round, evenly, from a seed.
///
/// Decommissioned nodes are drawn first, for up to half of the places: one that works again is tested within a few
/// rounds, however large the network is.
pub fn draw_round(seed: [u8; 32], round: u32, census: &Census) -> Drawn {
    let quorum = quorum_size(census);
    if quorum == 0 {
        return Drawn::default();
    }
    let (seasoned, serving, total) = (census.seasoned, census.serving(), census.total());
    let mut shuffle = Shuffle { draw: Draw::new(seed, round.into()), moved: BTreeMap::new() };
    let testers = shuffle.take(0, quorum, seasoned);

    let targets = target_count(census);
    let kept_for_serving = targets.div_ceil(2).min(serving.saturating_sub(quorum));
    let decommissioned = census.decommissioned.min(targets.saturating_sub(kept_for_serving));
    let mut chosen = shuffle.take(serving, decommissioned, total);
    chosen.extend(shuffle.take(quorum, targets.saturating_sub(decommissioned), serving));
    Drawn { testers, targets: chosen }
}

/// A shuffle of numbers that touches only what is taken (Fisher and Yates, the moved ones kept apart).
struct Shuffle {
    draw: Draw,
    moved: BTreeMap<u32, u32>,
}

impl Shuffle {
    /// Takes `count` numbers from those at the places from `start` up to `end`. What was taken lies before `start`
    /// afterwards if the next call goes on where this one ended.
    fn take(&mut self, start: u32, count: u32, end: u32) -> Vec<u32> {
        let places = (start..end).take(count as usize);
        places
            .filter_map(|place| {
                let other = u32::try_from(self.draw.below(u64::from(end - place))?).ok()?.saturating_add(place);
                let taken = self.at(other);
                let displaced = self.at(place);
                self.moved.insert(other, displaced);
                self.moved.insert(place, taken);
                Some(taken)
            })
            .collect()
    }

    fn at(&self, place: u32) -> u32 {
        self.moved.get(&place).copied().unwrap_or(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    const fn census(seasoned: u32, fresh: u32, decommissioned: u32) -> Census {
        Census { seasoned, fresh, decommissioned }
    }

    #[test]
    fn ten_test_where_there_are_ten_and_one_more() {
        let sizes = [
            (census(0, 0, 0), 0),
            (census(4, 0, 0), 0),
            (census(5, 0, 0), 4),
            (census(4, 1, 0), 4),
            (census(4, 0, 1), 4),
            (census(3, 90, 9), 0),
            (census(10, 0, 0), 9),
            (census(11, 0, 0), 10),
            (census(12, 0, 0), 10),
            (census(9, 3, 0), 9),
            (census(2_000, 0, 0), 10),
        ];
        for (census, size) in sizes {
            assert_eq!(quorum_size(&census), size, "{census:?}");
        }
    }

    #[test]
    fn fifty_or_one_in_a_hundred_are_tested() {
        let counts = [
            (census(12, 0, 0), 2),
            (census(30, 20, 20), 50),
            (census(60, 0, 0), 50),
            (census(5_010, 0, 0), 50),
            (census(6_010, 0, 0), 60),
            (census(4_000, 2_000, 1_010), 70),
            (census(1_000_000, 0, 0), MAX_TARGETS),
        ];
        for (census, count) in counts {
            assert_eq!(target_count(&census), count, "{census:?}");
        }
    }

    /// From a second implementation of ChaCha20 and of the shuffle. Changing one of these is a change of consensus.
    #[test]
    fn quorums_are_pinned() {
        let devnet = draw_round([7; 32], 1, &census(12, 0, 0));
        assert_eq!(devnet, Drawn { testers: DEVNET_TESTERS.into(), targets: DEVNET_TARGETS.into() });
        let next = draw_round([7; 32], 2, &census(12, 0, 0));
        assert_ne!(next, devnet);
        let small = draw_round([9; 32], 77, &census(5, 2, 2));
        assert_eq!(small, Drawn { testers: SMALL_TESTERS.into(), targets: SMALL_TARGETS.into() });
        let large = draw_round([3; 32], 4_000_000_000, &census(1_900, 60, 40));
        assert_eq!(large.testers, LARGE_TESTERS);
        assert_eq!(large.targets[..30], LARGE_TARGETS);
        assert_eq!(large.targets.len(), 50);
    }

    const DEVNET_TESTERS: [u32; 10] = [1, 7, 8, 2, 5, 9, 3, 4, 10, 11];
    const DEVNET_TARGETS: [u32; 2] = [6, 0];
    const SMALL_TESTERS: [u32; 5] = [2, 0, 3, 4, 1];
    const SMALL_TARGETS: [u32; 4] = [8, 7, 6, 5];
    const LARGE_TESTERS: [u32; 10] = [515, 1547, 178, 730, 1145, 1722, 1693, 602, 1130, 1667];
    const LARGE_TARGETS: [u32; 30] = [
        1978, 1960, 1968, 1992, 1975, 1994, 1973, 1998, 1965, 1988, 1966, 1977, 1989, 1979, 1982, 1970, 1999, 1963,
        1967, 1987, 1969, 1995, 1981, 1986, 1962, 504, 359, 1763, 848, 186,
    ];

    #[test]
    fn a_decommissioned_node_is_tested_soon_in_a_large_network() {
        let census = census(2_000, 0, 20);
        for round in 0..20 {
            let drawn = draw_round([1; 32], round, &census);
            assert_eq!(drawn.targets.iter().filter(|number| **number >= 2_000).count(), 20);
        }
    }

    #[test]
    fn everybody_tests_and_is_tested_alike() {
        let census = census(100, 0, 0);
        let (mut tested, mut testers) = ([0u32; 100], [0u32; 100]);
        for round in 0..10_000 {
            let drawn = draw_round([5; 32], round, &census);
            drawn.targets.iter().for_each(|number| tested[*number as usize] += 1);
            drawn.testers.iter().for_each(|number| testers[*number as usize] += 1);
        }
        // Five standard deviations of binomials of 10 000 with 1/2 and 1/10.
        assert!(tested.iter().all(|count| count.abs_diff(5_000) < 250), "{tested:?}");
        assert!(testers.iter().all(|count| count.abs_diff(1_000) < 150), "{testers:?}");
    }

    proptest! {
        #[test]
        fn a_draw_keeps_the_rules(
            seed: [u8; 32], round: u32, seasoned in 0u32..300, fresh in 0u32..300, decommissioned in 0u32..300,
        ) {
            let census = census(seasoned, fresh, decommissioned);
            let drawn = draw_round(seed, round, &census);
            prop_assert_eq!(drawn.testers.len() as u32, quorum_size(&census));
            if drawn.testers.is_empty() {
                prop_assert!(drawn.targets.is_empty());
                return Ok(());
            }
            prop_assert_eq!(drawn.targets.len() as u32, target_count(&census));
            prop_assert!(!drawn.targets.is_empty());
            prop_assert!(drawn.testers.iter().all(|number| *number < seasoned), "only the seasoned test");
            let all: BTreeSet<_> = drawn.testers.iter().chain(&drawn.targets).collect();
            prop_assert_eq!(all.len(), drawn.testers.len() + drawn.targets.len(), "nobody is drawn twice");
            prop_assert!(all.iter().all(|number| **number < census.total()));
            let down = drawn.targets.iter().filter(|number| **number >= census.serving()).count();
            let half = drawn.targets.len() / 2;
            prop_assert!(down >= half.min(decommissioned as usize), "half of the places are theirs");
        }
    }
}
