//! Whole nodes over real sockets on loopback.

mod admission;
mod commands;
mod monitor;
mod onion;
mod replication;
mod statuses;
mod storage;
mod support;
mod tls;
