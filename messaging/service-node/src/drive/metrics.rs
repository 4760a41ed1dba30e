//! What the node counts, for Prometheus.

use super::rate::TooOften;
use super::testing::TestingMetrics;
use crate::{VERSION, core::Readiness};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use skep_chain_client::RosterView;
use skep_mailbox::Usage;
use skep_proto::storage::{HexKey, MemberResult};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Every number the node tells.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DoorLabels, Histogram>,
    shed: Family<ReasonLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
    members: Family<MemberLabels, Counter>,
    expired: Counter,
    handed_over: Counter,
    taken_over: Counter,
    not_drawn: Counter,
    pub(crate) work_effort: Gauge,
    client_connections: Gauge,
    pub(crate) peer_connections: Gauge,
    established_paths: Gauge,
    listening_sessions: Gauge,
    messages: Gauge,
    bytes: Gauge,
    capacity: Gauge,
    memory: Gauge,
    memory_limit: Gauge,
    connection_limit: Gauge,
    ready: Gauge,
    store_writes: Gauge,
    finalized: Gauge,
    finalized_age: Gauge,
    last_block: Mutex<Instant>,
    roster: Gauge,
    pub(crate) testing: TestingMetrics,
}

/// What is looked up only when somebody asks.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    pub(crate) usage: Usage,
    pub(crate) capacity: u64,
    pub(crate) memory: usize,
    pub(crate) memory_limit: usize,
    pub(crate) connections: usize,
    pub(crate) connection_limit: usize,
    pub(crate) paths: usize,
    pub(crate) sessions: usize,
    pub(crate) readiness: Readiness,
    pub(crate) store_writes: bool,
    pub(crate) view: &'a RosterView,
}

/// Why something was turned away or cut off unserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// A host, or its network, asks too often.
    Requests(TooOften),
    /// A host, or its network, has too many connections.
    Connections(TooOften),
    /// A host, or its network, begins too many handshakes, as a client or as a service node.
    Handshakes(TooOften),
    /// A connection without a request gave way to one that came.
    Idle,
    /// There was no place left for a connection: it was not let in, or ended for one of somebody who holds less.
    Full,
    /// A service node asks too often.
    Peer,
    /// There is no memory left for it.
    Memory,
    /// A request that did not arrive in time.
    SlowRequest,
    /// A client that does not take its answer.
    SlowAnswer,
    /// A connection on which nothing was ever asked.
    HalfOpen,
}

impl Shed {
    const ALL: [Self; 13] = [
        Self::Requests(TooOften::Host),
        Self::Requests(TooOften::Subnet),
        Self::Connections(TooOften::Host),
        Self::Connections(TooOften::Subnet),
        Self::Handshakes(TooOften::Host),
        Self::Handshakes(TooOften::Subnet),
        Self::Idle,
        Self::Full,
        Self::Peer,
        Self::Memory,
        Self::SlowRequest,
        Self::SlowAnswer,
        Self::HalfOpen,
    ];

    const fn reason(self) -> &'static str {
        match self {
            Self::Requests(TooOften::Host) => "address_rate",
            Self::Requests(TooOften::Subnet) => "subnet_rate",
            Self::Connections(TooOften::Host) => "address_connections",
            Self::Connections(TooOften::Subnet) => "subnet_connections",
            Self::Handshakes(TooOften::Host) => "address_handshakes",
            Self::Handshakes(TooOften::Subnet) => "subnet_handshakes",
            Self::Idle => "idle",
            Self::Full => "full",
            Self::Peer => "peer_rate",
            Self::Memory => "memory",
            Self::SlowRequest => "slow_request",
            Self::SlowAnswer => "slow_answer",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
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
        let version = VERSION.map(|number| number.to_string()).join(".");
        registry.register("build", "What is running", Info::new(vec![("version", version)]));
        let started: Gauge = Gauge::default();
        registry.register_with_unit(
            "start_time",
            "When the node started, in Unix time",
            Unit::Seconds,
            started.clone(),
        );
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| whole(since.as_secs())));
        // A millisecond to half a minute, which is how long an onion request may take.
        let durations =
            Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.001, 2.0, 16))) as fn() -> Histogram);
        registry.register_with_unit(
            "request_duration",
            "From a request's arrival to its answer, by door",
            Unit::Seconds,
            Family::clone(&durations),
        );
        // What is counted from the beginning begins at nought: a rise from nothing to one would be missed.
        let shed: Family<ReasonLabels, Counter> = Family::default();
        for what in Shed::ALL {
            drop(shed.get_or_create(&ReasonLabels { reason: what.reason() }));
        }
        registry.register("shed", "What was turned away or cut off unserved, by reason", Family::clone(&shed));
        let reloads: Family<OutcomeLabels, Counter> = Family::default();
        for outcome in ["applied", "refused"] {
            drop(reloads.get_or_create(&OutcomeLabels { outcome }));
        }
        registry.register("config_reloads", "Configurations read again, by outcome", Family::clone(&reloads));
        let requests = Family::default();
        registry.register("requests", "Requests answered, by door and status", Family::clone(&requests));
        let members: Family<MemberLabels, Counter> = Family::default();
        for stored in ["yes", "no"] {
            drop(members.get_or_create(&MemberLabels { stored }));
        }
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
        let testing = TestingMetrics::register(&mut registry);
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
            established_paths: gauge("established_paths", "Established paths through this node"),
            listening_sessions: gauge("listening_sessions", "Clients that wait for messages delivered directly"),
            messages: gauge("messages", "Messages kept"),
            bytes: gauge("message_bytes", "Bytes of messages kept, and 512 for each"),
            capacity: gauge("message_bytes_limit", "Bytes of messages kept at most"),
            memory: gauge("memory_bytes", "Bytes of requests and answers held now"),
            memory_limit: gauge("memory_bytes_limit", "Bytes of requests and answers held at most"),
            connection_limit: gauge("client_connections_limit", "Open connections of clients at most"),
            ready: gauge("ready", "1 if the node serves, 0 if the chain does not let it"),
            store_writes: gauge(
                "store_writes",
                "1 if the message store takes what is to be kept, 0 if its disk refuses it",
            ),
            finalized_age: gauge("finalized_age_seconds", "Seconds since a finalized block was last heard of"),
            last_block: Mutex::new(Instant::now()),
            finalized: gauge("finalized_height", "Height of the newest finalized block known"),
            roster: gauge("roster_nodes", "Service nodes in the roster"),
            requests,
            durations,
            shed,
            reloads,
            members,
            expired,
            handed_over,
            taken_over,
            testing,
            not_drawn,
            registry,
        }
    }

    pub(crate) fn count_request(&self, door: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { door, status }).inc();
    }

    /// Measures how long a request took.
    pub(crate) fn time_request(&self, door: &'static str, took: Duration) {
        self.durations.get_or_create(&DoorLabels { door }).observe(took.as_secs_f64());
    }

    pub(crate) fn count_shed(&self, what: Shed) {
        self.shed.get_or_create(&ReasonLabels { reason: what.reason() }).inc();
    }

    pub(crate) fn count_reload(&self, was_good: bool) {
        let outcome = if was_good { "applied" } else { "refused" };
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The chain goes on.
    pub(crate) fn note_block(&self) {
        *self.last_block.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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

    /// The exposition format.
    pub(crate) fn encode(&self, now: &Snapshot<'_>) -> String {
        let last_block = *self.last_block.lock().unwrap_or_else(PoisonError::into_inner);
        for (gauge, number) in [
            (&self.messages, now.usage.messages),
            (&self.bytes, now.usage.charged()),
            (&self.capacity, now.capacity),
            (&self.memory, now.memory as u64),
            (&self.memory_limit, now.memory_limit as u64),
            (&self.client_connections, now.connections as u64),
            (&self.connection_limit, now.connection_limit as u64),
            (&self.established_paths, now.paths as u64),
            (&self.listening_sessions, now.sessions as u64),
            (&self.ready, u64::from(now.readiness == Readiness::Ready)),
            (&self.store_writes, u64::from(now.store_writes)),
            (&self.finalized, now.view.height().into()),
            (&self.finalized_age, last_block.elapsed().as_secs()),
            (&self.roster, now.view.nodes().len() as u64),
        ] {
            gauge.set(whole(number));
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
