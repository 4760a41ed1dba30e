//! Whole nodes over real sockets on loopback.

mod commands;
mod listening;
mod onion;
mod paths;
mod replication;
mod storage;
mod support;
mod survival;
