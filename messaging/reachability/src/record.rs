//! What a tester remembers of one node.

use crate::Outcome;
use skep_primitives::{Reason, Reasons};
use std::collections::BTreeMap;

/// How long each thing has failed, and how often in a row something did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Since when (ms) each thing fails, without having passed since.
    failing_since: BTreeMap<Reason, u64>,
    /// Probes in a row in which something failed.
    failures: u32,
    /// What the last probe found.
    last: Outcome,
}

impl Record {
    /// Takes what a probe that ended at `now` (ms) found.
    pub(crate) fn take(&mut self, now: u64, outcome: Outcome) {
        self.forgive(outcome.passed());
        for reason in outcome.failed().iter() {
            self.failing_since.entry(reason).or_insert(now);
        }
        self.failures = if outcome.failed().is_empty() { 0 } else { self.failures.saturating_add(1) };
        self.last = outcome;
    }

    /// Begins anew to count how long these have failed.
    pub(crate) fn forgive(&mut self, reasons: Reasons) {
        self.failing_since.retain(|reason, _| !reasons.contains(*reason));
    }

    /// Probes in a row in which something failed.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// What the last probe found.
    pub(crate) const fn last(&self) -> &Outcome {
        &self.last
    }

    /// What failed in the last probe and has failed for longer than `limit` (ms) at `now`.
    pub(crate) fn failed_for(&self, now: u64, limit: u64) -> Reasons {
        let is_long =
            |reason: &Reason| self.failing_since.get(reason).is_some_and(|since| now.saturating_sub(*since) > limit);
        self.last.failed().iter().filter(is_long).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Reasons = Outcome::ALWAYS;

    fn failed() -> Outcome {
        Outcome::new(Reasons::NONE, ALL)
    }

    fn without(reason: Reason) -> Reasons {
        ALL.iter().filter(|other| *other != reason).collect()
    }

    #[test]
    fn only_what_never_passed_meanwhile_counts() {
        let mut record = Record::default();
        record.take(100, failed());
        record.take(150, failed().with(Reason::HttpsUnreachable, true));
        record.take(201, failed());
        assert_eq!(record.failed_for(201, 100), without(Reason::HttpsUnreachable));
        assert_eq!(record.failed_for(200, 100), Reasons::NONE, "not for longer than that");
        assert_eq!(record.failures(), 3);
        record.forgive(ALL);
        assert_eq!(record.failed_for(500, 100), Reasons::NONE);
    }

    #[test]
    fn what_could_not_be_told_changes_nothing() {
        let mut record = Record::default();
        record.take(0, failed());
        record.take(50, Outcome::default());
        assert_eq!(record.failed_for(500, 100), Reasons::NONE, "the last probe says nothing of it");
        record.take(200, Outcome::default().with(Reason::Clock, false));
        assert_eq!(record.failed_for(200, 100), Reasons::NONE.with(Reason::Clock));
        record.take(300, Outcome::new(ALL, Reasons::NONE));
        record.take(301, failed());
        assert_eq!(record.failed_for(301, 100), Reasons::NONE);
        assert_eq!(record.failures(), 1);
    }
}
