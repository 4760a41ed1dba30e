//! Whole nodes over real sockets on loopback.

mod admission;
mod commands;
mod listening;
mod memory;
mod monitor;
mod onion;
mod paths;
mod replication;
mod statuses;
mod storage;
mod support;
mod survival;
mod tls;
mod versions;
