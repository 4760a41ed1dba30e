//! Established paths: keys agreed once with every hop, so that later requests cost a hop nothing but symmetric encryption.
//!
//! A client opens a path with one message. Each hop finds inside it the next hop's name and the next hop's message, passes
//! that on, and answers with its half of the handshake around the next hop's answer. From then on a request is sealed once
//! for each hop, and every hop seals the answer again on its way back. The request for the destination inside is an onion
//! request of version 2 without hops, so destinations need not know how it came.
//!
//! ```text
//! client                     guard                      middle                     last hop           destination
//! PathOpening::start --Open--> Accepted --------Open-----> Accepted --------Open-----> Accepted
//! EstablishedPath <-Opened---- accept ends <---Opened----- accept ends <---Opened----- accept ends
//! seal ------------Forward---> HopPath::forward -Forward-> HopPath::forward -Forward-> HopPath::forward --body--> peel
//! AnswerReader <--Backward---- relay_back <---Backward---- relay_back <---Backward---- answer <--------status, body-
//! ```
//!
//! | frame | bytes |
//! |---|---|
//! | Open | 1, Noise message |
//! | Forward | 2, the path's name on this link (16), number (u64, little-endian), sealed layer |
//! | Close | 3, the path's name on this link (16) |
//! | Opened | 1, the path's name on this link (16), Noise message |
//! | Backward | 2, sealed layer |
//!
//! | layer, opened | bytes |
//! |---|---|
//! | to a hop: pass on | 2, number for the next hop (u64), its sealed layer |
//! | to a hop: deliver | 3, destination's key (32), length (u32), body, zeros up to a size class |
//! | from a hop: the next one's | 2, its sealed layer (the Backward frame as it came) |
//! | from a hop: an answer | 3, status (u16), length (u32), body, zeros up to a size class |
//! | from a hop: it cannot go on | 4, reason, zeros up to a size class |
//!
//! A layer is sealed in records of at most 65,535 bytes, as Noise has it. The nonce of a record is made of the request's
//! number, the record's place and whether it is the last: records cannot be left out, exchanged or carried to another request.
//! Numbers begin at random for each hop, so that hops cannot recognise a path by them. A hop accepts each number once, and
//! none that is more than [`WINDOW`] behind the highest: requests may overtake each other, not come again.
//!
//! # Security
//!
//! **Requires.** What version 2 requires ([the crate's page](crate)), and a path for each purpose: who reads its mailbox and
//! writes to others through one path tells its last hop both. Ends close a path after [`PATH_LIFE`] or [`PATH_IDLE`].
//!
//! **Provides.** Each layer is readable by its hop alone, and any change, repetition or exchange is noticed there
//! ([`PathBroken`], the same for every cause). Only the holder of a hop's key can answer for that hop, so a client knows which
//! hop reports a failure. Forward secrecy: the keys are of this path only (Noise NK, ephemeral on both sides), are
//! wiped when it ends, and recorded requests stay closed to whoever steals a hop's long-term key later. The answer looks
//! different on every link. Sizes of requests and answers are hidden within classes ([`padded_size`]).
//!
//! **Does not provide.** Forward secrecy of the opening: whoever records it inside the link's TLS *and* steals a hop's key
//! later learns which hop came next. Padding on the way from last hop to destination. Protection against timing, as with
//! version 2; a path makes it easier in so far as a hop sees that requests belong together, for ten minutes at most. Wiping
//! of the handshake's intermediate values, which the library keeps on the stack.

mod channel;
mod client;
mod frame;
mod hop;
mod layer;
mod noise;
mod table;
mod window;

pub use client::{
    AnswerReader, EstablishedPath, OpenPathError, PathAnswer, PathOpening, ReadAnswerError, SealedRequest,
};
pub use frame::{AnswerFrame, LinkFrame, MalformedFrame, PathId};
pub use hop::{Accepted, Forwarded, HopPath, NextHop};
pub use layer::{HopFailure, padded_size};
pub use table::{PathLimits, PathTable, Refusal};
pub use window::WINDOW;

/// How long a path is served (ms).
pub const PATH_LIFE: u64 = 10 * 60 * 1000;

/// How long a path is served while nothing goes through it (ms).
pub const PATH_IDLE: u64 = 3 * 60 * 1000;

/// Most hops of a path.
pub const MAX_PATH_HOPS: usize = 8;

/// Not a layer of this path: changed, repeated, exchanged, for a path that is over or never was. Nothing tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Path broken")]
pub struct PathBroken;

impl PathBroken {
    /// Status of the answer that tells a neighbour.
    pub const STATUS: u16 = 400;
}

#[cfg(test)]
mod tests;
