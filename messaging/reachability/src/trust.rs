//! Whether a tester may believe what it sees: when nearly everyone seems to fail, it is the tester that does.

use crate::Outcome;
use skep_primitives::{Reason, Reasons};
use std::collections::VecDeque;

/// Probes of nodes drawn at random that are looked back on.
const DRAWS: usize = 20;
/// With fewer, nothing is believed yet.
const LEAST_DRAWS: usize = 5;
/// Per cent of them that may fail alike (`protocol.md` section 2).
const MOST_FAILING_PERCENT: usize = 80;

/// What the last draws found. Nodes drawn at random stand for the whole network; those probed since they failed do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draws(VecDeque<Outcome>);

impl Draws {
    /// Takes what a draw found.
    pub(crate) fn take(&mut self, outcome: Outcome) {
        if self.0.len() == DRAWS {
            self.0.pop_front();
        }
        self.0.push_back(outcome);
    }

    /// Whether there are enough to judge by.
    pub(crate) fn are_enough(&self) -> bool {
        self.0.len() >= LEAST_DRAWS
    }

    /// What fails so often that it must be the tester's own fault. Without QUIC nothing can be told of anything.
    pub(crate) fn distrusted(&self) -> Reasons {
        let distrusted: Reasons = Reason::ALL.into_iter().filter(|reason| self.is_distrusted(*reason)).collect();
        if distrusted.contains(Reason::QuicUnreachable) { Reason::ALL.into_iter().collect() } else { distrusted }
    }

    fn is_distrusted(&self, reason: Reason) -> bool {
        let failed = self.0.iter().filter(|outcome| outcome.failed().contains(reason)).count();
        let passed = self.0.iter().filter(|outcome| outcome.passed().contains(reason)).count();
        failed * 100 > (failed + passed) * MOST_FAILING_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: fn() -> Outcome = || Outcome::new(Outcome::ALWAYS, Reasons::NONE);
    const BAD: fn() -> Outcome = || Outcome::new(Reasons::NONE, Outcome::ALWAYS);

    fn draws(outcomes: impl IntoIterator<Item = Outcome>) -> Draws {
        let mut draws = Draws::default();
        outcomes.into_iter().for_each(|outcome| draws.take(outcome));
        draws
    }

    fn everything() -> Reasons {
        Reason::ALL.into_iter().collect()
    }

    #[test]
    fn nearly_all_failing_is_the_testers_own_fault() {
        let mixed = |failing: usize| draws((0..20).map(|number| if number < failing { BAD() } else { GOOD() }));
        assert_eq!(mixed(16).distrusted(), Reasons::NONE, "80 per cent is not over 80");
        assert_eq!(mixed(17).distrusted(), everything());
    }

    #[test]
    fn a_wrong_clock_is_no_reason_to_doubt_the_rest() {
        let off = GOOD().with(Reason::Clock, false);
        assert_eq!(draws([off; 3]).distrusted(), Reasons::NONE.with(Reason::Clock));
        let silent = GOOD().with(Reason::QuicUnreachable, false);
        assert_eq!(draws([silent; 3]).distrusted(), everything());
    }

    #[test]
    fn only_the_last_draws_count() {
        let healed = draws(std::iter::repeat_n(BAD(), 500).chain(std::iter::repeat_n(GOOD(), 4)));
        assert_eq!(healed.distrusted(), Reasons::NONE);
        assert_eq!(healed.0.len(), DRAWS);
        assert!(!draws([GOOD(); 4]).are_enough() && draws([GOOD(); 5]).are_enough());
    }
}
