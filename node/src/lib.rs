//! The chain node: produces and finalizes blocks, and serves the roster to wallets, messaging nodes and clients.
//!
//! | room | what it does |
//! |---|---|
//! | [`cli`], [`command`] | what an operator types, and what happens then |
//! | [`chain_spec`] | how the networks begin |
//! | [`service`] | database, network, BABE, GRANDPA: wired and started |
//! | [`roster`] | the roster at a block, read from the runtime once a block |
//! | [`doubled`] | whether another machine makes blocks with this node's keys |
//! | [`proofs`] | the same, proven to clients that trust no chain node |
//! | [`rpc`] | JSON-RPC: the standard methods, `skep_*` and `roster_*` |
//! | `turns` | how much of it is worked on at a time |
//! | [`front_door`] | `POST /json_rpc` for existing clients |
#![allow(clippy::result_large_err, reason = "the SDK's own errors are what its callbacks must return")]

pub mod chain_spec;
pub mod cli;
pub mod command;
pub mod doubled;
pub mod front_door;
pub mod proofs;
pub mod roster;
pub mod rpc;
pub mod service;
mod turns;

pub use command::run;
