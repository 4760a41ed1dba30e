//! What follows from a verdict, by the time a node has to its credit.

use crate::Outcome;
use skep_primitives::{Findings, Moment, TestingTerms};

/// So much time of service earns one unit of credit: 30 days earn one.
pub const EARNING_TIME: Moment = 30;

/// For what time a node stands there how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It serves.
    Serving {
        /// Credit it began to serve with.
        carried: Moment,
        /// For how long it has served since.
        served: Moment,
    },
    /// It is decommissioned.
    Decommissioned {
        /// Credit it was decommissioned with.
        credit: Moment,
        /// How long ago.
        down: Moment,
    },
}

/// What a verdict does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It leaves its swarm and is not paid. With this credit it may fail for so long.
    Decommission {
        /// Its credit.
        credit: Moment,
        /// Why.
        findings: Findings,
    },
    /// It serves again, with this credit.
    Recommission {
        /// Its credit.
        credit: Moment,
    },
    /// It is put off the roster.
    Deregister {
        /// Why.
        findings: Findings,
    },
}

/// What credit a node has: what it began with and what it earned since, bounded; while decommissioned, what is left.
pub fn credit_of(terms: &TestingTerms, duty: Duty) -> Moment {
    match duty {
        Duty::Serving { carried, served } => carried.saturating_add(served / EARNING_TIME).min(terms.most_credit),
        Duty::Decommissioned { credit, down } => credit.saturating_sub(down),
    }
}

/// What credit a node has after it was down: twice that time is taken from what it had.
pub const fn credit_after_recommission(credit: Moment, down: Moment) -> Moment {
    credit.saturating_sub(down.saturating_mul(2))
}

/// What an outcome does to a node; nothing if it only says what is known.
pub fn consequence(terms: &TestingTerms, duty: Duty, outcome: Outcome) -> Option<Consequence> {
    let left = credit_of(terms, duty);
    match (duty, outcome) {
        (Duty::Serving { .. }, Outcome::Passes) => None,
        (Duty::Serving { .. }, Outcome::Fails(findings)) if left >= terms.least_credit => {
            Some(Consequence::Decommission { credit: left, findings })
        }
        (Duty::Decommissioned { .. }, Outcome::Fails(_)) if left > 0 => None,
        (Duty::Serving { .. } | Duty::Decommissioned { .. }, Outcome::Fails(findings)) => {
            Some(Consequence::Deregister { findings })
        }
        (Duty::Decommissioned { credit, down }, Outcome::Passes) => {
            Some(Consequence::Recommission { credit: credit_after_recommission(credit, down) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Moment = 3_600_000;
    const DAY: Moment = 24 * HOUR;
    const FAILS: Outcome = Outcome::Fails(Findings {
        all: skep_primitives::Reasons::NONE,
        any: skep_primitives::Reasons::NONE.with(skep_primitives::Reason::Clock),
    });

    fn terms() -> TestingTerms {
        TestingTerms::default()
    }

    const fn serving(carried: Moment, served: Moment) -> Duty {
        Duty::Serving { carried, served }
    }

    const fn down(credit: Moment, down: Moment) -> Duty {
        Duty::Decommissioned { credit, down }
    }

    #[test]
    fn thirty_days_earn_one_up_to_two() {
        assert_eq!(credit_of(&terms(), serving(2 * HOUR, 0)), 2 * HOUR);
        assert_eq!(credit_of(&terms(), serving(2 * HOUR, 30 * DAY)), 26 * HOUR);
        assert_eq!(credit_of(&terms(), serving(2 * HOUR, 365 * DAY)), 48 * HOUR);
        assert_eq!(credit_of(&terms(), down(48 * HOUR, 5 * HOUR)), 43 * HOUR);
        assert_eq!(credit_of(&terms(), down(HOUR, 5 * HOUR)), 0);
    }

    #[test]
    fn with_two_hours_a_node_is_decommissioned_with_less_deregistered() {
        let findings = match FAILS {
            Outcome::Fails(findings) => findings,
            Outcome::Passes => Findings::default(),
        };
        let fails = |duty| consequence(&terms(), duty, FAILS);
        assert_eq!(fails(serving(2 * HOUR, 0)), Some(Consequence::Decommission { credit: 2 * HOUR, findings }));
        assert_eq!(fails(serving(2 * HOUR - 1, 0)), Some(Consequence::Deregister { findings }));
        assert_eq!(fails(serving(0, 0)), Some(Consequence::Deregister { findings }));
        assert_eq!(consequence(&terms(), serving(0, 0), Outcome::Passes), None);
    }

    #[test]
    fn a_decommissioned_node_fails_on_credit_and_pays_twice_when_it_is_back() {
        let findings = Findings::default();
        assert_eq!(consequence(&terms(), down(2 * HOUR, 2 * HOUR - 1), Outcome::Fails(findings)), None);
        let spent = consequence(&terms(), down(2 * HOUR, 2 * HOUR), Outcome::Fails(findings));
        assert_eq!(spent, Some(Consequence::Deregister { findings }));
        let back = |credit, time| consequence(&terms(), down(credit, time), Outcome::Passes);
        assert_eq!(back(10 * HOUR, 3 * HOUR), Some(Consequence::Recommission { credit: 4 * HOUR }));
        // Late is not never: who passes comes back, with nothing left.
        assert_eq!(back(2 * HOUR, 20 * HOUR), Some(Consequence::Recommission { credit: 0 }));
    }

    proptest! {
        #[test]
        fn credit_is_bounded_and_failing_never_pays(carried: u64, served: u64, credit: u64, time: u64, step: u64) {
            let terms = terms();
            prop_assert!(credit_of(&terms, serving(carried, served)) <= terms.most_credit);
            let later = served.saturating_add(step);
            prop_assert!(credit_of(&terms, serving(carried, later)) >= credit_of(&terms, serving(carried, served)));
            let left = credit_of(&terms, down(credit, time));
            prop_assert!(credit_after_recommission(credit, time) <= left && left <= credit);
        }
    }
}
