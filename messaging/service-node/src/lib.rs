//! The messaging node: HTTPS for clients, QUIC for its peers, the swarm's fan-out.
//!
//! [`core`] decides and touches nothing; [`drive`] owns the sockets, the clock, the disk and the tasks.
//!
//! ```text
//! clients --HTTPS--> drive::https --.                      .--> skep-mailbox (writer thread, RocksDB)
//!                                    >-- drive::node ------+--> drive::quic --QUIC--> other service nodes
//! peers ----QUIC---> drive::quic  --'     asks core, skep-onion
//! chain ----WebSocket--> skep-chain-client --watch channel--> everyone
//! ```
//!
//! # Security
//!
//! **Requires.** Chain nodes that tell the truth, a clock within seconds of everyone's, a disk that honours a sync.
//!
//! **Provides.** Peers are who the roster says (Ed25519 keys proven in the TLS handshake, RFC 7250; no 0-RTT, so no replays).
//! Clients can verify the node (see `skep_proto::certificate`). Every store answered with success is on this node's disk and
//! each listed member's signature has been checked. Sizes, rates, connections and memory in use are bounded.
//!
//! What a member missed it gets from the others within about a minute; what a swarm no longer keeps is let go of only when
//! members of the one that does have it; what its owner deleted does not come back by a member that missed that.
//!
//! **Does not provide.** Protection from a flood by many addresses.

pub mod config;
pub mod core;
pub mod drive;
mod key;
#[cfg(test)]
mod testing;

pub use key::{KeyFileError, NodeKey};

/// Version of this software: three numbers, as `/health` tells them.
pub const VERSION: [u16; 3] = {
    const fn number(digits: &str) -> u16 {
        match u16::from_str_radix(digits, 10) {
            Ok(number) => number,
            Err(_) => panic!("cargo's version numbers are small"),
        }
    }
    [
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
    ]
};
