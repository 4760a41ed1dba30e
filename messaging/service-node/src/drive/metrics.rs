//! What the node counts, for Prometheus.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use skep_chain_client::RosterView;
use skep_mailbox::Usage;
use skep_proto::storage::{HexKey, MemberResult};
use std::collections::BTreeMap;

/// Every number the node tells.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    members: Family<MemberLabels, Counter>,
    expired: Counter,
    handed_over: Counter,
    taken_over: Counter,
    not_drawn: Counter,
    pub(crate) work_effort: Gauge,
    pub(crate) client_connections: Gauge,
    pub(crate) peer_connections: Gauge,
    messages: Gauge,
    bytes: Gauge,
    finalized: Gauge,
    roster: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemberLabels {
    stored: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("skep_messaging");
        let requests = Family::default();
        registry.register("requests", "Requests answered, by door and status", Family::clone(&requests));
        let members = Family::default();
        registry.register(
            "swarm_stores",
            "Results of swarm members for messages and orders taken here",
            Family::clone(&members),
        );
        let expired = Counter::default();
        registry.register("expired", "Messages removed at the end of their life", expired.clone());
        let (handed_over, taken_over) = (Counter::default(), Counter::default());
        registry.register("handed_over", "Messages and orders other members lacked and took", handed_over.clone());
        registry.register("taken_over", "Messages and orders taken from other members", taken_over.clone());
        let not_drawn = Counter::default();
        registry.register("not_drawn", "Messages without work that were not taken", not_drawn.clone());
        let mut gauge = |name, help| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            client_connections: gauge("client_connections", "Open connections of clients"),
            peer_connections: gauge("peer_connections", "Open connections from other service nodes"),
            work_effort: gauge("work_effort", "Effort asked of clients' proofs of work"),
            messages: gauge("messages", "Messages kept"),
            bytes: gauge("message_bytes", "Bytes of messages kept"),
            finalized: gauge("finalized_height", "Height of the newest finalized block known"),
            roster: gauge("roster_nodes", "Service nodes in the roster"),
            requests,
            members,
            expired,
            handed_over,
            taken_over,
            not_drawn,
            registry,
        }
    }

    pub(crate) fn count_request(&self, door: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { door, status }).inc();
    }

    pub(crate) fn count_members<R>(&self, swarm: &BTreeMap<HexKey, MemberResult<R>>) {
        for result in swarm.values() {
            let stored = match result {
                MemberResult::Done(_) => "yes",
                MemberResult::Failed(_) => "no",
            };
            self.members.get_or_create(&MemberLabels { stored }).inc();
        }
    }

    pub(crate) fn count_expired(&self, removed: usize) {
        self.expired.inc_by(removed as u64);
    }

    pub(crate) fn count_not_drawn(&self) {
        self.not_drawn.inc();
    }

    pub(crate) fn count_handed_over(&self, things: u64) {
        self.handed_over.inc_by(things);
    }

    pub(crate) fn count_taken_over(&self, things: usize) {
        self.taken_over.inc_by(things as u64);
    }

    /// The exposition format, with what is only looked up when asked.
    pub(crate) fn encode(&self, usage: Usage, view: &RosterView) -> String {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.messages.set(whole(usage.messages));
        self.bytes.set(whole(usage.bytes));
        self.finalized.set(view.height().into());
        self.roster.set(whole(view.nodes().len() as u64));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
