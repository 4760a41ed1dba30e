//! Whole nodes over real sockets on loopback.

mod commands;
mod onion;
mod storage;
mod support;
