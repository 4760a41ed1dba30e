//! Sockets, clock, disk and tasks.

mod budget;
mod defences;
mod exit;
mod https;
mod metrics;
mod monitor;
mod node;
mod occasionally;
mod peer_tls;
mod quic;
mod rate;
mod replicate;
mod server;
mod stall;
pub mod supervisor;
mod tls;

pub use server::{MessagingNode, NodeParts, StartError};

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
