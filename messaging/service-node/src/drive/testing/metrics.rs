//! What is counted of testing.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The numbers of testing and being tested.
#[derive(Debug)]
pub(crate) struct TestingMetrics {
    probes: Family<Passed, Counter>,
    audits: Family<Passed, Counter>,
    verdicts: Family<Taken, Counter>,
    pub(super) votes: Counter,
    pub(super) rounds: Gauge,
    pub(super) silence: Gauge,
    pub(super) decommissioned: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Passed {
    passed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Taken {
    taken: &'static str,
}

impl Passed {
    const fn of(passed: bool) -> Self {
        Self { passed: yes_or_no(passed) }
    }
}

impl Taken {
    const fn of(taken: bool) -> Self {
        Self { taken: yes_or_no(taken) }
    }
}

impl TestingMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            probes: Family::default(),
            audits: Family::default(),
            verdicts: Family::default(),
            votes: Counter::default(),
            rounds: Gauge::default(),
            silence: Gauge::default(),
            decommissioned: Gauge::default(),
        };
        // Rates of what has never happened are nought, not unknown.
        for answer in [true, false] {
            drop(metrics.probes.get_or_create(&Passed::of(answer)));
            drop(metrics.audits.get_or_create(&Passed::of(answer)));
            drop(metrics.verdicts.get_or_create(&Taken::of(answer)));
        }
        registry.register("probes", "Other nodes probed, by whether all was well", Family::clone(&metrics.probes));
        registry.register(
            "audits",
            "Members asked to show a message, by whether they did",
            Family::clone(&metrics.audits),
        );
        registry.register(
            "verdicts",
            "Verdicts submitted, by whether the chain took them",
            Family::clone(&metrics.verdicts),
        );
        registry.register("votes_delivered", "Own votes that other testers took", metrics.votes.clone());
        registry.register("testing_rounds", "Rounds in which this node is a tester now", metrics.rounds.clone());
        registry.register("unprobed_seconds", "Seconds since another node probed this one", metrics.silence.clone());
        registry.register("decommissioned", "1 while this node is decommissioned", metrics.decommissioned.clone());
        metrics
    }

    pub(super) fn count_probe(&self, passed: bool) {
        self.probes.get_or_create(&Passed::of(passed)).inc();
    }

    pub(super) fn count_audit(&self, passed: bool) {
        self.audits.get_or_create(&Passed::of(passed)).inc();
    }

    pub(super) fn count_verdict(&self, taken: bool) {
        self.verdicts.get_or_create(&Taken::of(taken)).inc();
    }
}

const fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}
