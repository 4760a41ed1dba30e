//! Onion requests: wrap, peel, reply layers and the rules of a path; pure, cannot panic.
//!
//! A client wraps a request once for its destination and once more for every hop before it; each hop peels one layer and
//! learns only where the rest goes. The destination answers once, under the key of its own layer, and the hops pass that
//! answer back unchanged. The wire form is Session's onion request version 2 (`protocol.md` section 5).
//!
//! ```text
//! client                guard                 middle                exit                 destination
//! wrap() --body-------> peel() = Relay -----> peel() = Relay -----> peel() = Relay ----> peel() = Deliver
//! ReplyOpener::open() <------------------- the same bytes ------------------------------ ReplyKey::seal()
//! ```
//!
//! [`established`] agrees on keys with the hops once, for the requests of ten minutes.
//!
//! Nothing here reads a clock, a socket or a global random generator: bytes and a generator come in, bytes go out.
//!
//! # Security
//!
//! **Requires.** X25519 keys that belong to the nodes named (the roster proves this), a cryptographically secure generator,
//! and a path chosen by [`choose_path`] or a stricter rule. The transport bounds the rate of requests and the size of
//! answers.
//!
//! **Provides.** Each layer is readable by its hop alone and any change to it is noticed there ([`PathError::InvalidCiphertext`],
//! the same for every cause). Every layer has a fresh key pair, so layers cannot be linked by their keys. A hop learns its
//! predecessor and its successor; fields a sender adds beside the known ones are not carried further. The answer is
//! readable by the client alone and comes from the holder of the destination's key.
//!
//! **Does not provide** (of it, [`established`] paths provide padding, replay protection and forward secrecy). Padding: a body shrinks by a little over 200 bytes a layer, so its size hints at how far it has come (a
//! client may start `hop_no` high and pad what it sends). Replay protection by itself: the caller asks a
//! [`ReplayGuard`] about each layer it could decrypt. Cover traffic or mixing: whoever sees both ends can match them in time. Forward secrecy against the theft of a node's
//! long-term key: old recorded layers can then be read. Protection of the answer's size and of the plaintext
//! [`PathError`]s, which any hop can forge.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod cipher;
mod control;
pub mod established;
mod failure;
mod frame;
mod hop;
mod path;
mod peel;
mod replay;
mod reply;
mod wrap;

pub use cipher::{EncType, UnknownEncType};
pub use failure::PathError;
pub use frame::{Frame, FrameError, MAX_BODY_BYTES, MAX_CONTROL_BYTES, MAX_HOP_NO};
pub use hop::{Hop, HopSecret};
pub use path::{
    Candidate, Choice, Diversity, MAJOR_STAKE_PERCENT, PATH_HOPS, PathChoiceError, PathWish, choose_path, is_diverse,
};
pub use peel::{ExitRequest, INVALID_JSON, INVALID_URL, PeelError, Peeled, peel};
pub use replay::{Freshness, NeighbourKind, REPLAY_WINDOW, ReplayGuard, ReplayLimits};
pub use reply::{Answer, OpenError, ReplyBody, ReplyKey, ReplyOpener, SealError};
pub use wrap::{WrapError, WrapOptions, Wrapped, wrap};
