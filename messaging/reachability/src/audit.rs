//! Does a member of a swarm really keep what it should? Members audit each other; testers ask them.
//!
//! | event | effect |
//! |---|---|
//! | a round begins | [`testee`]: every member of a swarm audits one other, drawn anew |
//! | an audit ended ([`Audits::handle`]) | it is remembered; one that passes clears all before it |
//! | a tester asks ([`Audits::report`]) | passing, failing for too long, or nothing is told |
//! | a tester has asked all ([`storage_finding`]) | more than two thirds of the others must say the same |
//!
//! An audit asks for a keyed hash of a message that the auditor keeps itself and that is older than members need to make each
//! other equal. A testee that lacks it is offered it. What it refuses to take, because it has expired or its owner deleted it, or
//! because there is no room, says nothing. So a member that takes what is offered passes the next audit of it at the latest, and
//! one that never deletes what it should keep is never found failing.

use crate::Pace;
use skep_primitives::{Draw, ServiceNodeId, TestingRound};
use std::collections::BTreeMap;

/// Audits in a row that must have failed, however long that took.
const LEAST_FAILURES: u32 = 3;
/// With fewer others, a swarm accuses nobody: one liar could.
const LEAST_WITNESSES: usize = 3;

/// Whom `me` audits in this round, of the members of its swarm: the next one in an order that the round draws, so that
/// nobody chooses, and everybody is audited once.
pub fn testee(round: &TestingRound, members: &[ServiceNodeId], me: &ServiceNodeId) -> Option<ServiceNodeId> {
    let mut order = members.to_vec();
    order.sort_unstable();
    order.dedup();
    let mut draw = Draw::new(round.block, round.round.into());
    for place in (1..order.len()).rev() {
        let other = draw.below(place as u64 + 1).and_then(|other| usize::try_from(other).ok())?;
        order.swap(place, other);
    }
    let own = order.iter().position(|member| member == me)?;
    let next = order.iter().cycle().nth(own + 1)?;
    (next != me).then_some(*next)
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// The testee showed the message.
    Shown,
    /// It lacked the message, or showed another.
    Lacking,
}

/// What a member says of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its last audit passed.
    Passing,
    /// Every audit has failed for too long.
    Failing,
    /// Nothing that would count.
    Unknown,
}

/// What one member found out about the others of its swarm. Times are milliseconds of a clock that does not jump.
#[derive(Clone, Debug, Default)]
pub struct Audits(BTreeMap<ServiceNodeId, Streak>);

/// Audits of one member, since one last passed.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    failures: u32,
    since: u64,
    last: u64,
}

impl Audits {
    /// Takes how an audit of `member` ended.
    pub fn handle(&mut self, now: u64, member: ServiceNodeId, audited: Audited) {
        let streak = self.0.entry(member).or_default();
        *streak = match audited {
            Audited::Shown => Streak::default(),
            Audited::Lacking if streak.failures == 0 => Streak { failures: 1, since: now, last: now },
            Audited::Lacking => Streak { failures: streak.failures.saturating_add(1), last: now, ..*streak },
        };
    }

    /// Forgets who is no member of the swarm any more.
    pub fn retain(&mut self, is_member: impl Fn(&ServiceNodeId) -> bool) {
        self.0.retain(|member, _| is_member(member));
    }

    /// What may be said of `member`.
    pub fn report(&self, member: &ServiceNodeId, pace: Pace) -> Report {
        match self.0.get(member) {
            None => Report::Unknown,
            Some(Streak { failures: 0, .. }) => Report::Passing,
            Some(Streak { failures, since, last }) => {
                let is_long = last.saturating_sub(*since) > pace.unreachable();
                if is_long && *failures >= LEAST_FAILURES { Report::Failing } else { Report::Unknown }
            }
        }
    }
}

/// What the reports of the `others` in a node's swarm say to a tester: whether the node passes, if anything. Those that did not
/// answer say nothing.
pub fn storage_finding(others: usize, reports: &[Report]) -> Option<bool> {
    let count = |wanted| reports.iter().filter(|report| **report == wanted).count();
    let (failing, passing) = (count(Report::Failing), count(Report::Passing));
    if others >= LEAST_WITNESSES && failing * 3 > others * 2 {
        return Some(false);
    }
    (passing > 0 && passing >= failing).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MINUTE, id, round};
    use proptest::prelude::*;
    use skep_primitives::TestingTerms;
    use std::collections::BTreeSet;

    fn pace() -> Pace {
        Pace::of(&TestingTerms::default())
    }

    proptest! {
        #[test]
        fn everybody_audits_and_is_audited_once_and_all_draw_alike(number: u32, block: [u8; 32], size in 2_usize..12) {
            let round = TestingRound { block, ..round(number, 1, [], []) };
            let members: Vec<_> = (0..size).map(id).collect();
            let mut shuffled = members.clone();
            shuffled.reverse();
            let mut audited = BTreeSet::new();
            for me in &members {
                let next = testee(&round, &members, me).expect("somebody");
                prop_assert_ne!(next, *me);
                prop_assert_eq!(testee(&round, &shuffled, me), Some(next));
                audited.insert(next);
            }
            prop_assert_eq!(audited.len(), size);
        }
    }

    #[test]
    fn strangers_and_the_lonely_audit_nobody() {
        let round = round(1, 1, [], []);
        assert_eq!(testee(&round, &[id(1)], &id(1)), None);
        assert_eq!(testee(&round, &[], &id(1)), None);
        assert_eq!(testee(&round, &[id(1), id(2)], &id(3)), None);
    }

    #[test]
    fn pairs_change_from_round_to_round() {
        let members: Vec<_> = (0..8).map(id).collect();
        let of = |number| testee(&round(number, 1, [], []), &members, &id(0));
        let seen: BTreeSet<_> = (0..40).map(of).collect();
        assert!(seen.len() > 4, "{}", seen.len());
    }

    #[test]
    fn only_long_and_unbroken_failure_is_told() {
        let mut audits = Audits::default();
        assert_eq!(audits.report(&id(1), pace()), Report::Unknown);
        for minute in [0, 30, 65] {
            audits.handle(minute * MINUTE, id(1), Audited::Lacking);
            assert_eq!(audits.report(&id(1), pace()), Report::Unknown, "{minute}");
        }
        audits.handle(66 * MINUTE, id(1), Audited::Lacking);
        assert_eq!(audits.report(&id(1), pace()), Report::Failing);
        audits.handle(67 * MINUTE, id(1), Audited::Shown);
        assert_eq!(audits.report(&id(1), pace()), Report::Passing);
        audits.handle(68 * MINUTE, id(1), Audited::Lacking);
        audits.handle(200 * MINUTE, id(1), Audited::Lacking);
        assert_eq!(audits.report(&id(1), pace()), Report::Unknown, "two are too few");
        audits.retain(|member| *member != id(1));
        assert_eq!(audits.report(&id(1), pace()), Report::Unknown);
    }

    #[test]
    fn two_thirds_of_a_swarm_must_agree() {
        use Report::{Failing, Passing, Unknown};
        assert_eq!(storage_finding(6, &[Failing; 5]), Some(false));
        assert_eq!(storage_finding(6, &[Failing; 4]), None);
        assert_eq!(storage_finding(6, &[Failing, Failing, Failing, Failing, Passing]), None);
        assert_eq!(storage_finding(2, &[Failing; 2]), None, "too few to accuse anybody");
        assert_eq!(storage_finding(6, &[Passing, Unknown]), Some(true));
        assert_eq!(storage_finding(6, &[Unknown; 6]), None);
        assert_eq!(storage_finding(0, &[]), None);
    }
}
