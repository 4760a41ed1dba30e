//! Sockets, clock, disk and tasks.

mod audit;
mod budget;
mod connections;
mod court;
mod defences;
mod disk;
mod doctor;
mod doors;
mod exit;
mod floor;
mod https;
mod metrics;
mod monitor;
mod node;
mod occasionally;
mod peer_tls;
mod probe;
mod quic;
mod rate;
mod replicate;
mod server;
mod stall;
pub mod supervisor;
mod testing;
mod tls;

#[cfg(test)]
pub(crate) use https::Patience;

pub use court::find_terms;
pub use doctor::examine;
pub use doors::Doors;
pub use server::{MessagingNode, NodeParts, StartError};
pub use testing::{Court, CourtError, Terms};

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
