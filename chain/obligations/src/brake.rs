//! How much may follow at once: an outage that takes many nodes down together must not put the network out.

use crate::Census;

/// Of so many serving nodes, one may be decommissioned or deregistered a round; at least one in any network.
pub const REMOVALS_A_ROUND: u32 = 100;

/// While one in so many nodes is decommissioned, no further one is.
const MOST_DECOMMISSIONED: u32 = 3;

/// While one in so many nodes is decommissioned, none is deregistered: so many do not fail by their own fault.
const MASS_OUTAGE: u32 = 4;

/// Whether verdicts may be carried out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// The network's nodes.
    pub census: Census,
    /// Nodes that were decommissioned or deregistered by verdicts in the current round already.
    pub removed: u32,
}

impl Brake {
    /// Whether one more serving node may be decommissioned.
    pub const fn may_decommission(&self) -> bool {
        let after = self.census.decommissioned.saturating_add(1);
        self.has_room() && after.saturating_mul(MOST_DECOMMISSIONED) <= self.census.total()
    }

    /// Whether one more node may be deregistered.
    pub const fn may_deregister(&self) -> bool {
        let is_mass_outage = self.census.decommissioned.saturating_mul(MASS_OUTAGE) > self.census.total();
        self.has_room() && !is_mass_outage
    }

    const fn has_room(&self) -> bool {
        let most = self.census.serving() / REMOVALS_A_ROUND;
        self.removed < if most == 0 { 1 } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn brake(serving: u32, decommissioned: u32, removed: u32) -> Brake {
        Brake { census: Census { seasoned: serving, fresh: 0, decommissioned }, removed }
    }

    #[test]
    fn one_in_a_hundred_a_round_and_at_least_one() {
        for (serving, most) in [(12, 1), (199, 1), (200, 2), (2_000, 20)] {
            let last = brake(serving, 0, most - 1);
            assert!(last.may_decommission() && last.may_deregister(), "{last:?}");
            let full = brake(serving, 0, most);
            assert!(!full.may_decommission() && !full.may_deregister(), "{full:?}");
        }
    }

    #[test]
    fn an_outage_of_many_stops_at_a_third_and_deregisters_nobody() {
        assert!(brake(9, 3, 0).may_decommission());
        assert!(!brake(8, 4, 0).may_decommission());
        assert!(brake(9, 3, 0).may_deregister());
        assert!(!brake(8, 4, 0).may_deregister());
        assert!(brake(1_500, 500, 0).may_deregister());
        assert!(!brake(1_499, 501, 0).may_deregister());
        assert!(!brake(0, 0, 0).may_decommission());
    }
}
