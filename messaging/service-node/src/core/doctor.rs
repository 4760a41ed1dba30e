//! Would this node pass its tests now, and what should its operator do? Facts come in, advice goes out.

use crate::core::Readiness;
use serde::Serialize;
use skep_chain_client::ChainHealth;
use skep_primitives::{DoubledKeys, NodeState, RosterEntry, ServiceNodeId, SoftwareVersion};
use skep_reachability::{CLOCK_TOLERANCE, Report, storage_finding};
use std::{fmt, net::SocketAddr};

/// With less room on the disk than this, messages may be lost soon.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// A clock that is further off deserves a look, in milliseconds.
const CLOCK_UNEASE: u64 = 5_000;
/// Blocks that finality may lag behind.
const MOST_UNFINAL_BLOCKS: u32 = 30;
/// A best block that is older is not the network's, in milliseconds.
const OLDEST_BEST_BLOCK: u64 = 120_000;

/// What was found out, each part by itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What this software is.
    pub version: SoftwareVersion,
    /// What other nodes no longer speak with.
    pub oldest_version: SoftwareVersion,
    /// Unix milliseconds, by this machine's clock.
    pub now: u64,
    /// The node of the key, if the key can be used.
    pub key: Result<ServiceNodeId, String>,
    /// Whether a file could be written where messages are kept.
    pub data_dir: Result<(), String>,
    /// Room on that disk in bytes, if it could be told.
    pub free_bytes: Option<u64>,
    /// Bytes of messages the configuration allows.
    pub store_bytes: u64,
    /// Each configured chain node, and how it is.
    pub chain: Vec<(String, Result<ChainHealth, String>)>,
    /// What those that answer saw of another machine that uses their session keys; an error says why one does not tell.
    pub doubled: Vec<(String, Result<Option<DoubledKeys>, String>)>,
    /// The node's entry of the roster; an error if no roster could be had.
    pub entry: Result<Option<RosterEntry>, String>,
    /// What answers on this machine's ports.
    pub local: Answering,
    /// What answers at the address on the roster; none if there is none.
    pub public: Option<Answering>,
    /// What other nodes saw of this one; an error for those that were not reached.
    pub peers: Vec<(ServiceNodeId, Result<PeerView, String>)>,
    /// What the other members of its swarm say that their audits of this node found; an error for those that were not reached.
    pub audits: Vec<(ServiceNodeId, Result<Report, String>)>,
}

/// What answers at an address.
#[derive(Clone, Debug)]
pub struct Answering {
    /// HTTPS, with a certificate of this node's key: whether its message store takes what is to be kept.
    pub https: Result<bool, String>,
    /// QUIC, with this node's key: which run of the software.
    pub quic: Result<Vec<u8>, String>,
}

/// What another node saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// How far its clock is at least from this machine's (ms), positive if ahead.
    pub clock_offset: i64,
    /// What it runs, if it says so.
    pub version: Option<SoftwareVersion>,
    /// What it saw when it probed this node, or why it did not.
    pub probed: Result<Probed, String>,
}

/// What another node's probes brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// It got an answer over QUIC.
    pub quic: bool,
    /// It got an answer over HTTPS.
    pub https: bool,
    /// Its onion request was passed on.
    pub onion: bool,
    /// Which run of the software answered it.
    pub instance: Vec<u8>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Could not be looked at.
    Unknown,
    /// The tests are passed with it, but somebody should look.
    Warning,
    /// The tests are failed with it, or the node is put off the roster for it.
    Fails,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether a quorum would let the node pass now, as far as can be told.
    pub would_pass: bool,
    /// In the order in which things depend on each other: the first that fails is the first to mend.
    pub checks: Vec<Check>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Good, found: found.into(), next: None }
    }

    fn unknown(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Unknown, found: found.into(), next: None }
    }

    fn warning(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, found: found.into(), next: Some(next.into()) }
    }

    fn fails(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, level: Level::Fails, found: found.into(), next: Some(next.into()) }
    }
}

impl Diagnosis {
    /// What the facts say.
    pub fn of(facts: &Facts) -> Self {
        let checks = vec![
            key(facts),
            data_directory(facts),
            disk(facts),
            chain(facts),
            session_keys(facts),
            registration(facts),
            swarm(facts),
            version(facts),
            running(facts),
            store(facts),
            reached("https", facts, |answering| answering.https.clone().map(drop), |probed| probed.https),
            reached("quic", facts, |answering| answering.quic.clone().map(drop), |probed| probed.quic),
            onion(facts),
            stored_messages(facts),
            clock(facts),
            one_machine(facts),
        ];
        Self::from_checks(checks)
    }

    /// A diagnosis that ends where the configuration cannot be used.
    pub fn without_configuration(error: impl fmt::Display) -> Self {
        let next = "mend it; `skep-messaging config` prints one with every default";
        Self::from_checks(vec![Check::fails("configuration", error.to_string(), next)])
    }

    /// How many checks failed.
    pub fn failed(&self) -> usize {
        self.checks.iter().filter(|check| check.level == Level::Fails).count()
    }

    fn from_checks(checks: Vec<Check>) -> Self {
        Self { would_pass: checks.iter().all(|check| check.level < Level::Fails), checks }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, level, found, next } in &self.checks {
            let level = match level {
                Level::Good => "ok",
                Level::Unknown => "?",
                Level::Warning => "warning",
                Level::Fails => "FAILS",
            };
            writeln!(f, "{level:<8} {name:<15} {found}")?;
            if let Some(next) = next {
                writeln!(f, "{:24} -> {next}", "")?;
            }
        }
        f.write_str(if self.would_pass {
            "As far as can be told from here, this node would pass its tests now."
        } else {
            "This node would fail its tests now, or lose its place. Begin with the first line that FAILS."
        })
    }
}

fn key(facts: &Facts) -> Check {
    match &facts.key {
        Ok(id) => Check::good("key", format!("this is node {id}")),
        Err(error) => Check::fails("key", error, "the key is the node: restore the file, readable by its owner only"),
    }
}

fn data_directory(facts: &Facts) -> Check {
    match &facts.data_dir {
        Ok(()) => Check::good("data directory", "can be written"),
        Err(error) => Check::fails(
            "data directory",
            error,
            "let the user the node runs as own `data_dir`, on a disk that is not read-only",
        ),
    }
}

fn disk(facts: &Facts) -> Check {
    let mib = |bytes: u64| bytes >> 20;
    match facts.free_bytes {
        None => Check::unknown("disk", "how much room is left could not be told"),
        Some(free) if free < LEAST_FREE_BYTES => Check::fails(
            "disk",
            format!("{} MiB are free", mib(free)),
            "make room, or move `data_dir`: on a full disk the node takes no messages",
        ),
        Some(free) if free < facts.store_bytes => Check::warning(
            "disk",
            format!("{} MiB are free, {} MiB of messages are allowed", mib(free), mib(facts.store_bytes)),
            "lower `limits.store_mib`, or watch the disk",
        ),
        Some(free) => Check::good("disk", format!("{} MiB are free", mib(free))),
    }
}

fn store(facts: &Facts) -> Check {
    const NAME: &str = "message store";
    match facts.local.https {
        Ok(true) => Check::good(NAME, "takes messages"),
        Ok(false) => Check::fails(
            NAME,
            "the running node's store takes nothing: its disk was full, or broke",
            "make room on the disk of `data_dir` if it is full, then restart the node",
        ),
        Err(_) => Check::unknown(NAME, "the node does not answer on this machine"),
    }
}

fn chain(facts: &Facts) -> Check {
    const NAME: &str = "chain";
    let fault = |health: &ChainHealth| {
        let age = health.best_time.map_or(0, |time| facts.now.saturating_sub(time));
        if health.is_syncing {
            Some("is still fetching old blocks".to_owned())
        } else if age > OLDEST_BEST_BLOCK {
            Some(format!("has a best block that is {} s old", age / 1000))
        } else if health.best.saturating_sub(health.finalized) > MOST_UNFINAL_BLOCKS {
            Some(format!("has finalized {} of {} blocks", health.finalized, health.best))
        } else {
            None
        }
    };
    let mut good = None;
    let mut faults = Vec::new();
    for (url, health) in &facts.chain {
        match health {
            Ok(health) => match fault(health) {
                None => good = good.or(Some(health)),
                Some(fault) => faults.push(format!("{url} {fault}")),
            },
            Err(error) => faults.push(format!("{url} does not answer: {error}")),
        }
    }
    let next = "see to that chain node (its log, its peers, its disk), or name others in `chain`";
    match good {
        None => Check::fails(NAME, faults.join("; "), next),
        Some(health) if faults.is_empty() => Check::good(NAME, format!("block {} is finalized", health.finalized)),
        Some(health) => {
            Check::warning(NAME, format!("block {} is finalized, but {}", health.finalized, faults.join("; ")), next)
        }
    }
}

fn session_keys(facts: &Facts) -> Check {
    const NAME: &str = "session keys";
    let (mut alone, mut silent) = (None, Vec::new());
    for (url, doubled) in &facts.doubled {
        match doubled {
            Ok(Some(DoubledKeys { count, last })) => {
                let found = format!(
                    "another machine makes blocks with the session key 0x{} of {url}: {count} so far, the last at height {}",
                    hex::encode(last.key),
                    last.number
                );
                let next = "stop one of the two chain nodes now: two blocks of one slot deregister the node and lock its \
                            stakes for 30 days. Then make new session keys on the one that stays (`skep-messaging offer`)";
                return Check::fails(NAME, found, next);
            }
            Ok(None) => alone = alone.or(Some(url)),
            Err(reason) => silent.push(format!("{url} {reason}")),
        }
    }
    match alone {
        Some(url) => {
            let found = format!("{url} saw no other machine use its keys since it started");
            Check::good(NAME, std::iter::once(found).chain(silent).collect::<Vec<_>>().join("; "))
        }
        None if silent.is_empty() => Check::unknown(NAME, "no chain node answers"),
        None => Check::unknown(NAME, silent.join("; ")),
    }
}

fn registration(facts: &Facts) -> Check {
    const NAME: &str = "registration";
    let entry = match &facts.entry {
        Err(error) => return Check::unknown(NAME, format!("the roster is not known: {error}")),
        Ok(None) => {
            let next = "register it: `skep-messaging prove`, then `skep stake register`. A node that failed its tests for \
                        longer than its credit was put off the roster: `skep nodes standing` tells";
            return Check::fails(NAME, Readiness::Unregistered.to_string(), next);
        }
        Ok(Some(entry)) => entry,
    };
    match entry.state {
        NodeState::Active { since } => Check::good(NAME, format!("it serves since block {since}")),
        NodeState::Leaving { leaves_at, .. } => Check::warning(
            NAME,
            format!("somebody asked to unlock: it ends at block {leaves_at}"),
            "keep it running until then: it earns, and hands its messages over",
        ),
        NodeState::Gathering { expires_at } => Check::fails(
            NAME,
            format!("its stake is not complete; at block {expires_at} all stakes return"),
            "fill it: `skep stake contribute`",
        ),
        NodeState::Decommissioned { findings, credit_ends_at, .. } => Check::warning(
            NAME,
            format!("it is decommissioned: {}; its credit ends at block {credit_ends_at}", findings.any),
            "mend what fails below; once it passes, testers let it serve again within a few rounds",
        ),
    }
}

fn swarm(facts: &Facts) -> Check {
    const NAME: &str = "swarm";
    match &facts.entry {
        Ok(Some(entry)) if entry.swarm.is_assigned() => Check::good(NAME, format!("it is in swarm {}", entry.swarm)),
        Ok(Some(entry)) if entry.state.is_serving() => Check::warning(
            NAME,
            "it is in no swarm yet",
            "wait: nodes are placed at the start of an epoch, two epochs after they joined",
        ),
        Ok(Some(_)) => Check::good(NAME, "it is in no swarm, since it does not serve"),
        Ok(None) | Err(_) => Check::unknown(NAME, "it is not on the roster"),
    }
}

fn version(facts: &Facts) -> Check {
    const NAME: &str = "version";
    let own = facts.version;
    let seen = facts.peers.iter().filter_map(|(_, view)| view.as_ref().ok()?.version);
    let newer = seen.clone().filter(|version| *version > own).count();
    if own < facts.oldest_version {
        return Check::fails(NAME, format!("{own} is older than the network allows"), "update this software");
    }
    if newer * 2 > seen.count() {
        return Check::warning(NAME, format!("{own}; most nodes asked run a newer one"), "update this software");
    }
    match &facts.entry {
        Ok(Some(entry)) if entry.version != own => Check::warning(
            NAME,
            format!("{own}; the chain says {}", entry.version),
            "tell the chain, so that clients know: update the node's endpoint",
        ),
        Ok(_) | Err(_) => Check::good(NAME, own.to_string()),
    }
}

fn running(facts: &Facts) -> Check {
    const NAME: &str = "running";
    match (&facts.local.https, &facts.local.quic) {
        (Ok(_), Ok(_)) => Check::good(NAME, "it answers on this machine, under its key"),
        (Ok(_), Err(error)) => match &facts.entry {
            Ok(Some(entry)) if entry.state.is_tested() => Check::fails(
                NAME,
                format!("it answers HTTPS on this machine, but not QUIC: {error}"),
                "restart it, and read its log",
            ),
            Ok(_) | Err(_) => Check::good(NAME, "it answers on this machine, under its key"),
        },
        (Err(error), _) => Check::fails(
            NAME,
            format!("it does not answer on this machine: {error}"),
            "start it: `skep-messaging run`; if it runs with another configuration, give that one to `doctor`",
        ),
    }
}

/// Whether a port is reached from outside.
fn reached(
    name: &'static str,
    facts: &Facts,
    own: impl Fn(&Answering) -> Result<(), String>,
    seen: impl Fn(&Probed) -> bool,
) -> Check {
    let Ok(Some(entry)) = &facts.entry else { return Check::unknown(name, "it is not on the roster") };
    let (port, protocol) = match name {
        "https" => (entry.endpoint.https_port, "TCP"),
        _ => (entry.endpoint.quic_port, "UDP"),
    };
    let address = SocketAddr::from((entry.endpoint.ip(), port));
    let next = format!(
        "let {protocol} port {port} through the firewall and the router (NAT) to this machine, see that the chain has the right \
         address, and that the node listens there"
    );
    let (yes, all) = votes(facts, seen);
    if all == 0 {
        return match facts.public.as_ref().map(own) {
            Some(Ok(())) => Check::good(name, format!("{address} answers from here; no other node could be asked")),
            Some(Err(error)) => Check::warning(
                name,
                format!("{address} does not answer from here ({error}); no other node could be asked"),
                next,
            ),
            None => Check::unknown(name, "no other node could be asked"),
        };
    }
    let found = format!("{yes} of {all} nodes asked reach {protocol} {address}");
    match yes {
        0 => Check::fails(name, found, next),
        yes if yes < all => {
            Check::warning(name, found, "ask again in a minute; if it stays so, look at the network's quality")
        }
        _ => Check::good(name, found),
    }
}

fn onion(facts: &Facts) -> Check {
    const NAME: &str = "onion";
    let (yes, all) = votes(facts, |probed| probed.onion);
    let found = format!("an onion request was passed on for {yes} of {all} nodes asked");
    match yes {
        _ if all == 0 => Check::unknown(NAME, "no other node could be asked"),
        0 => Check::fails(NAME, found, "let UDP out as well as in: the node must reach other nodes; read its log"),
        yes if yes < all => {
            Check::warning(NAME, found, "ask again in a minute; if it stays so, look at the network's quality")
        }
        _ => Check::good(NAME, found),
    }
}

/// Whether the other members of the swarm find here what they ask for, judged as a tester judges it.
fn stored_messages(facts: &Facts) -> Check {
    const NAME: &str = "stored messages";
    match &facts.entry {
        Ok(Some(entry)) if entry.swarm.is_assigned() => {}
        Ok(Some(_)) => return Check::unknown(NAME, "it is in no swarm: nobody audits it"),
        Ok(None) | Err(_) => return Check::unknown(NAME, "it is not on the roster"),
    }
    // As to a tester, who was not reached says nothing.
    let reports: Vec<_> =
        facts.audits.iter().map(|(_, report)| report.as_ref().copied().unwrap_or(Report::Unknown)).collect();
    let others = reports.len();
    let count = |wanted| reports.iter().filter(|report| **report == wanted).count();
    let (failing, passing) = (count(Report::Failing), count(Report::Passing));
    let lacked = format!("{failing} of {others} members of the swarm have long asked in vain for messages kept here");
    let next = "was the data directory emptied, or put back from a copy? Keep the node running: the members hand over what is \
                missing. If it stays so, look at the disk: stop the node, and `skep-messaging db verify`";
    match storage_finding(others, &reports) {
        Some(false) => Check::fails(NAME, lacked, next),
        _ if failing > 0 => Check::warning(NAME, lacked, next),
        Some(true) => Check::good(
            NAME,
            format!("{passing} of {others} members of the swarm were shown the messages they asked for"),
        ),
        None => {
            Check::unknown(NAME, format!("none of {others} members of the swarm has audited it yet, or was reached"))
        }
    }
}

/// How many of the nodes that probed this one saw something, and how many there are.
fn votes(facts: &Facts, seen: impl Fn(&Probed) -> bool) -> (usize, usize) {
    let probed = facts.peers.iter().filter_map(|(_, view)| view.as_ref().ok()?.probed.as_ref().ok());
    (probed.clone().filter(|probed| seen(probed)).count(), probed.count())
}

fn clock(facts: &Facts) -> Check {
    const NAME: &str = "clock";
    let mut offsets: Vec<_> =
        facts.peers.iter().filter_map(|(_, view)| Some(view.as_ref().ok()?.clock_offset)).collect();
    // A block tells its producer's time, and is some seconds old: only a clock behind it is certainly behind.
    let blocks = facts.chain.iter().filter_map(|(_, health)| health.as_ref().ok()?.best_time);
    let behind_blocks = blocks.max().map_or(0, |time| time.saturating_sub(facts.now));
    offsets.sort_unstable();
    let middle = offsets.get(offsets.len() / 2).copied();
    let off = middle.map_or(0, i64::unsigned_abs).max(behind_blocks);
    let is_behind = behind_blocks > 0 || middle.is_some_and(|middle| middle > 0);
    let found = format!(
        "this machine's clock is {} s {} the others'",
        off.div_ceil(1000),
        if is_behind { "behind" } else { "ahead of" }
    );
    let next = "let it be set by NTP (systemd-timesyncd or chrony)";
    if off > CLOCK_TOLERANCE {
        Check::fails(NAME, found, next)
    } else if off > CLOCK_UNEASE {
        Check::warning(NAME, found, next)
    } else if offsets.is_empty() && facts.chain.iter().all(|(_, health)| health.is_err()) {
        Check::unknown(NAME, "there is no other clock to compare with")
    } else {
        Check::good(NAME, "this machine's clock agrees with the others'")
    }
}

/// Whether the key answers on one machine only.
fn one_machine(facts: &Facts) -> Check {
    const NAME: &str = "one machine";
    let public = facts.public.iter().filter_map(|public| public.quic.as_ref().ok());
    let probed = facts.peers.iter().filter_map(|(_, view)| view.as_ref().ok()?.probed.as_ref().ok());
    let seen: Vec<_> =
        public.chain(probed.map(|probed| &probed.instance)).filter(|instance| !instance.is_empty()).collect();
    let next = "stop all but one: nodes that share a key take each other's messages and votes, and fail their tests";
    let others = match &facts.local.quic {
        Ok(own) => seen.iter().any(|instance| *instance != own),
        Err(_) => facts.local.https.is_err() && !seen.is_empty(),
    };
    if others {
        Check::warning(NAME, "another machine answers under this node's key at the registered address", next)
    } else if seen.is_empty() {
        Check::unknown(NAME, "nobody answers at the registered address")
    } else {
        Check::good(NAME, "only this machine answers under this node's key")
    }
}

#[cfg(test)]
mod tests;
