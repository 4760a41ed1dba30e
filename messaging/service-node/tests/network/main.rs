//! Whole nodes over real sockets on loopback.

mod onion;
mod storage;
mod support;
