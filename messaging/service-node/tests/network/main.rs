//! Whole nodes over real sockets on loopback.

mod commands;
mod onion;
mod replication;
mod storage;
mod support;
mod survival;
