//! Placeholder.
#![cfg_attr(not(feature = "std"), no_std)]
use sp_io as _;
#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));
