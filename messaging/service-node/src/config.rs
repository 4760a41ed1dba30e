//! The node's configuration: one TOML file, documented in `skep-messaging.example.toml`.

use serde::Deserialize;
use skep_chain_client::{ChainUrls, ParseUrlsError};
use skep_mailbox::{Quota, Quotas};
use skep_work::FLOOR;
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use url::Url;

/// The documented configuration with every default, as `skep-messaging config` prints it.
pub const EXAMPLE: &str = include_str!("../skep-messaging.example.toml");

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where messages are kept.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The node's key; `node.key` in the data directory if absent.
    key_file: Option<PathBuf>,
    /// WebSocket addresses of chain nodes, in the order they are tried.
    chain: Vec<String>,
    /// Where the node listens.
    #[serde(default)]
    pub listen: Listen,
    /// Prometheus metrics.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// What one node grants.
    #[serde(default)]
    pub limits: Limits,
    /// Servers outside the network that onion requests may reach through this node.
    #[serde(default)]
    pub exit: ExitConfig,
    /// How members of a swarm become equal.
    #[serde(default)]
    pub replication: Replication,
    /// How the node tests others.
    #[serde(default)]
    pub testing: Testing,
    /// Established paths through this node.
    #[serde(default)]
    pub paths: Paths,
    /// Clients that wait for messages delivered directly.
    #[serde(default)]
    pub listening: Listening,
    /// Logs.
    #[serde(default)]
    pub log: Log,
}

/// Where the node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address, for both.
    pub address: IpAddr,
    /// TCP port for clients.
    pub https_port: u16,
    /// UDP port for other service nodes.
    pub quic_port: u16,
}

/// Prometheus metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address of the listener; loopback only.
    pub address: SocketAddr,
    /// Whether there is a listener.
    pub enabled: bool,
}

/// What one node grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of messages kept, in MiB.
    pub store_mib: u64,
    /// The share of them that mail without work may take, in percent.
    pub unproven_percent: u8,
    /// Bytes kept of one account's mail that was paid for, in MiB.
    pub mailbox_mib: u64,
    /// Messages of it.
    pub mailbox_messages: u64,
    /// Bytes kept of one account's mail without work, in MiB.
    pub unproven_mailbox_mib: u64,
    /// Messages of it.
    pub unproven_mailbox_messages: u64,
    /// Bytes of requests and answers held at once, in MiB.
    pub memory_mib: u32,
    /// Client connections.
    pub connections: usize,
    /// Client connections from one address.
    pub connections_per_address: usize,
    /// Client connections from one network (a /24, or a /48 of IPv6).
    pub connections_per_subnet: usize,
    /// Requests a second from one client address.
    pub requests_per_second: u32,
    /// Requests from one client address at once.
    pub request_burst: u32,
    /// Requests a second from one network.
    pub subnet_requests_per_second: u32,
    /// Requests from one network at once.
    pub subnet_request_burst: u32,
    /// Client addresses whose rate is followed.
    pub tracked_addresses: usize,
    /// Requests a second from one service node, of each kind.
    pub peer_requests_per_second: u32,
    /// The least effort of proofs of work attached to messages; more is asked for under load.
    pub work_effort: u32,
    /// Connections over which new messages are pushed.
    pub monitors: usize,
    /// Boxes watched over them.
    pub monitored_boxes: usize,
}

/// Servers outside the network that onion requests may reach through this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExitConfig {
    /// Their names; none: nothing leaves the network.
    pub hosts: Vec<String>,
}

/// How members of a swarm become equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replication {
    /// Seconds between two comparisons with the other members, give or take a quarter.
    pub interval_seconds: u32,
    /// Most MiB exchanged with one member in one comparison. What is left, the next one goes on with.
    pub member_mib: u32,
}

/// How the node tests others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Testing {
    /// Whether it probes other nodes and votes on them.
    pub enabled: bool,
}

/// Established paths through this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// In all.
    pub paths: usize,
    /// Opened by one other service node.
    pub per_peer: usize,
    /// Opened from one client address.
    pub per_address: usize,
}

/// Clients that wait for messages delivered directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listening {
    /// Listening sessions.
    pub sessions: usize,
    /// Those opened through one other service node, a last hop.
    pub sessions_per_peer: usize,
    /// Those opened from one client address.
    pub sessions_per_address: usize,
    /// Bytes queued for them, in MiB.
    pub memory_mib: u32,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Filter, as `tracing` takes it.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}. `skep-messaging config` prints one to begin with", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not TOML, or has unknown, missing or misplaced keys.
    #[error("the configuration is not understood:\n{0}")]
    Parse(#[from] toml::de::Error),
    /// The chain nodes are not usable.
    #[error("the configuration's `chain` is wrong: {0}")]
    Chain(#[from] ParseUrlsError),
    /// The metrics would be open to everyone.
    #[error("the configuration's `metrics.address` {0} is not a loopback address: metrics tell much about a node")]
    MetricsExposed(SocketAddr),
    /// A number is too small.
    #[error("the configuration's `{0}` must be at least {1}")]
    TooSmall(&'static str, u64),
    /// A number is too large.
    #[error("the configuration's `{0}` must be at most {1}")]
    TooLarge(&'static str, u64),
    /// Not a name of a server.
    #[error("the configuration's `exit.hosts` has {0:?}, which is no host name")]
    ExitHost(String),
}

impl ExitConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let is_name = |host: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            // What is no name to whoever connects, "127.1" for one, would go past the look-up that judges addresses.
            let is_looked_up = || Url::parse(&format!("https://{host}/")).is_ok_and(|url| url.domain().is_some());
            !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed) && is_looked_up()
        };
        match self.hosts.iter().find(|host| !is_name(host)) {
            None => Ok(()),
            Some(host) => Err(ConfigError::ExitHost(host.clone())),
        }
    }
}

impl Config {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(&text)
    }

    /// Reads a configuration.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.chain_urls()?;
        if config.metrics.enabled && !config.metrics.address.ip().is_loopback() {
            return Err(ConfigError::MetricsExposed(config.metrics.address));
        }
        let limits = &config.limits;
        for (name, value, least) in [
            ("limits.store_mib", limits.store_mib, 1),
            ("limits.memory_mib", limits.memory_mib.into(), 24),
            ("limits.mailbox_mib", limits.mailbox_mib, 1),
            ("limits.mailbox_messages", limits.mailbox_messages, 1),
            ("limits.work_effort", limits.work_effort.into(), FLOOR.into()),
            ("limits.connections", limits.connections as u64, 1),
            ("limits.connections_per_address", limits.connections_per_address as u64, 1),
            ("limits.connections_per_subnet", limits.connections_per_subnet as u64, 1),
            ("limits.requests_per_second", limits.requests_per_second.into(), 1),
            ("limits.request_burst", limits.request_burst.into(), 1),
            ("limits.subnet_requests_per_second", limits.subnet_requests_per_second.into(), 1),
            ("limits.subnet_request_burst", limits.subnet_request_burst.into(), 1),
            ("limits.tracked_addresses", limits.tracked_addresses as u64, 1),
            ("limits.peer_requests_per_second", limits.peer_requests_per_second.into(), 1),
            ("paths.paths", config.paths.paths as u64, 1),
            ("paths.per_peer", config.paths.per_peer as u64, 1),
            ("paths.per_address", config.paths.per_address as u64, 1),
            ("listening.sessions", config.listening.sessions as u64, 1),
            ("listening.sessions_per_peer", config.listening.sessions_per_peer as u64, 1),
            ("listening.sessions_per_address", config.listening.sessions_per_address as u64, 1),
            ("listening.memory_mib", config.listening.memory_mib.into(), 1),
            ("replication.interval_seconds", config.replication.interval_seconds.into(), 1),
            ("replication.member_mib", config.replication.member_mib.into(), 1),
        ] {
            if value < least {
                return Err(ConfigError::TooSmall(name, least));
            }
        }
        if limits.unproven_percent > 100 {
            return Err(ConfigError::TooLarge("limits.unproven_percent", 100));
        }
        config.exit.check()?;
        Ok(config)
    }

    /// The chain nodes.
    pub fn chain_urls(&self) -> Result<ChainUrls, ParseUrlsError> {
        ChainUrls::new(self.chain.iter().cloned())
    }

    /// Where the message store is.
    pub fn message_store(&self) -> PathBuf {
        self.data_dir.join("messages")
    }

    /// The sections in which `new` differs from this and that are read only when the node starts.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let named = [
            ("data_dir", self.data_dir != new.data_dir),
            ("key_file", self.key_file() != new.key_file()),
            ("chain", self.chain != new.chain),
            ("listen", self.listen != new.listen),
            ("metrics", self.metrics != new.metrics),
            ("exit", self.exit != new.exit),
            ("replication", self.replication != new.replication),
            ("testing", self.testing != new.testing),
            ("paths", self.paths != new.paths),
            ("listening", self.listening != new.listening),
            ("log.format", self.log.format != new.log.format),
        ];
        let mut differ: Vec<_> = named.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        // Whatever is not named above waits for a restart too.
        let reloaded =
            Self { limits: new.limits, log: Log { level: new.log.level.clone(), ..self.log.clone() }, ..self.clone() };
        if differ.is_empty() && reloaded != *new {
            differ.push("another section");
        }
        differ
    }

    /// Where the node's key is.
    pub fn key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.data_dir.join("node.key"))
    }
}

/// The room for owners' orders is this part of that for mail, and beside it.
const ORDERS_PART: u64 = 16;

impl Limits {
    /// The bounds of the message store.
    pub fn quotas(&self) -> Quotas {
        let bytes = |mib: u64| mib.saturating_mul(1024 * 1024);
        let capacity = self.store_bytes();
        Quotas {
            capacity,
            unproven_capacity: capacity / 100 * u64::from(self.unproven_percent),
            orders: capacity / ORDERS_PART,
            proven: Quota { messages: self.mailbox_messages, bytes: bytes(self.mailbox_mib) },
            unproven: Quota { messages: self.unproven_mailbox_messages, bytes: bytes(self.unproven_mailbox_mib) },
        }
    }

    /// Bytes of messages kept.
    pub const fn store_bytes(&self) -> u64 {
        self.store_mib.saturating_mul(1024 * 1024)
    }

    /// Bytes of requests and answers held at once.
    pub const fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize).saturating_mul(1024 * 1024)
    }
}

fn default_data_dir() -> PathBuf {
    "/var/lib/skep-messaging".into()
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), https_port: 22021, quic_port: 22020 }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, 9101).into(), enabled: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            store_mib: 16 * 1024,
            unproven_percent: 50,
            mailbox_mib: 512,
            mailbox_messages: 100_000,
            unproven_mailbox_mib: 64,
            unproven_mailbox_messages: 20_000,
            memory_mib: 64,
            connections: 2_048,
            connections_per_address: 64,
            connections_per_subnet: 256,
            requests_per_second: 300,
            request_burst: 1200,
            subnet_requests_per_second: 1200,
            subnet_request_burst: 4800,
            tracked_addresses: 10_000,
            peer_requests_per_second: 600,
            work_effort: FLOOR,
            monitors: 128,
            monitored_boxes: 4_096,
        }
    }
}

impl Default for Replication {
    fn default() -> Self {
        Self { interval_seconds: 60, member_mib: 64 }
    }
}

impl Default for Testing {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { paths: 20_000, per_peer: 5_000, per_address: 256 }
    }
}

impl Default for Listening {
    fn default() -> Self {
        Self { sessions: 4096, sessions_per_peer: 1024, sessions_per_address: 128, memory_mib: 16 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_spells_out_the_defaults() {
        let example = Config::parse(EXAMPLE).expect("the example is valid");
        let defaults = Config::parse("chain = [\"ws://127.0.0.1:9944\"]").expect("only `chain` is needed");
        assert_eq!(Config { key_file: None, ..example.clone() }, defaults);
        assert_eq!(example.key_file(), defaults.key_file());
    }

    #[test]
    fn what_is_only_read_at_the_start_is_known() {
        let old = Config::parse("chain = [\"ws://a\"]").expect("valid");
        let limits = Config::parse("chain = [\"ws://a\"]\n[limits]\nrequest_burst = 5\n[log]\nlevel = \"debug\"")
            .expect("valid");
        assert!(old.needs_restart(&limits).is_empty(), "limits and the log level may change at any time");
        let other = "chain = [\"ws://b\"]\ndata_dir = \"/x\"\n[listen]\nhttps_port = 1\n[exit]\nhosts = [\"a.example\"]\n[log]\nformat = \"json\"";
        let other = Config::parse(other).expect("valid");
        assert_eq!(old.needs_restart(&other), ["data_dir", "key_file", "chain", "listen", "exit", "log.format"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refusal = |text: &str| Config::parse(text).expect_err(text).to_string();
        let chain = "chain = [\"ws://a\"]\n";
        assert!(refusal("").contains("missing field `chain`"));
        assert!(refusal("chain = []").contains("no chain node is given"));
        assert!(refusal("chain = [\"http://a\"]").contains("http://a"));
        for unknown in ["colour = 1", "[listen]\nport = 1", "[limits]\nspeed = 1", "[log]\nlevels = \"x\""] {
            assert!(refusal(&format!("{chain}{unknown}")).contains("unknown field"), "{unknown}");
        }
        assert!(refusal(&format!("{chain}[metrics]\naddress = \"0.0.0.0:1\"")).contains("loopback"));
        assert!(refusal(&format!("{chain}[limits]\nconnections = 0")).contains("limits.connections"));
        assert!(refusal(&format!("{chain}[limits]\nwork_effort = 1")).contains("limits.work_effort"));
        assert!(refusal(&format!("{chain}[limits]\nunproven_percent = 101")).contains("limits.unproven_percent"));
        for host in ["10.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "https://a", "a/b", "a:443", ""] {
            assert!(refusal(&format!("{chain}[exit]\nhosts = [\"{host}\"]")).contains("exit.hosts"), "{host}");
        }
        assert!(
            refusal(&format!("{chain}[replication]\ninterval_seconds = 0")).contains("replication.interval_seconds")
        );
        assert!(refusal(&format!("{chain}[listen]\nhttps_port = 70000")).contains("https_port"));
    }
}
