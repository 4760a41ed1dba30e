//! The node's configuration: any text is read or refused, and what is read can be used.
//!
//! The modules are compiled in here, because the crates around them bring a database and a chain client along.
#![no_main]

// By this name the configuration knows the crate of the second module.
extern crate self as skep_chain_client;

#[allow(dead_code, reason = "a part of another crate, of which a part is used")]
#[path = "../../messaging/service-node/src/config.rs"]
mod config;
#[allow(dead_code, reason = "a part of another crate, of which a part is used")]
#[path = "../../chain/client/src/urls.rs"]
mod urls;

use config::Config;
use libfuzzer_sys::fuzz_target;
pub use urls::{ChainUrls, ParseUrlsError};

/// A node's configuration names no proxy, so here there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocksProxy {}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            return;
        }
    };
    assert!(config.chain_urls().is_ok_and(|urls| urls.len() > 0));
    let quotas = config.limits.quotas();
    assert!(quotas.unproven_capacity <= quotas.capacity);
    assert!(config.limits.memory_bytes() > 0);
    assert!(config.message_store().starts_with(&config.data_dir));
    assert!(config.needs_restart(&config).is_empty());
});
