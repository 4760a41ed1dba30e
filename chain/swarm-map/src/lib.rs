//! Which service nodes form which swarm, and which swarm keeps an account's mailbox.
//!
//! `protocol.md` section 3 as a pure state machine: [`SwarmMap::apply`] takes who joined and who left, and one seed, and
//! changes the map by the fixed rules. The same history gives the same map on every machine. The map lives in a
//! [`SwarmStore`] (the chain's storage, or [`MemoryStore`]), through indices by size and by gap, so that the work grows
//! with the change (times the logarithm of the number of swarms), never with the network.
//!
//! | index | answers | kept as |
//! |---|---|---|
//! | [`Census`] | sizes: percentiles, excess, who starves | one count a size |
//! | [`Slot::Class`] | a random swarm of a size | one dense list a size |
//! | [`Place`] | a swarm's neighbours on the ring | a linked ring |
//! | [`Slot::Gap`] | the widest gap of the ring | one binary heap |
//!
//! [`swarm_of_account`] is the other half: where a mailbox lives, given the ids.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod audit;
mod draft;
mod map;
mod memory;
mod ring;
mod store;

pub use audit::audit;
pub use map::{Delta, Move, SwarmMap};
pub use memory::MemoryStore;
pub use ring::{places_of_swarm, ring_position, swarm_of_account};
pub use store::{Census, Inconsistency, Place, Slot, SwarmStore};

/// A swarm under this many members starves: it is fed from others, or dissolved.
pub const N_MIN: u32 = 5;

/// Members of a new swarm.
pub const N_TARGET: u32 = 7;

/// Most members of a swarm while there are two or more.
pub const N_MAX: u32 = 10;

/// Most members of a swarm that is alone: one more and it has the excess to split.
pub const N_MAX_ALONE: u32 = N_MIN + N_TARGET + (N_TARGET - N_MIN) - 1;
