//! Who tests whom, what counts as a verdict, and what follows from it (`protocol.md` section 2).
//!
//! | question | answered by |
//! |---|---|
//! | who tests whom in this round? | [`draw_round`], over a [`Census`] |
//! | how many votes decide? | [`votes_needed`] |
//! | do these votes decide, and what? | [`outcome`]; signatures by [`is_signed`]; gathered off chain in a [`Tally`] |
//! | what follows for the node? | [`consequence`], by its credit ([`credit_of`]) |
//! | may so many follow at once? | [`Brake`] |
//!
//! Pure: time, randomness and counts are arguments. Times are wall-clock milliseconds, so that the same rules hold on
//! networks of any block time. Nothing here can panic; sums saturate.
//!
//! *Requires*: a seed no operator can choose; one vote a tester a subject. *Provides*: a node changes state only if
//! seven of ten drawn testers signed for it. *Does not provide*: protection from a hostile majority of testers, or from a
//! block producer that withholds a block to have the quorum drawn again.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

extern crate alloc;

mod brake;
mod credit;
mod quorum;
mod tally;
mod vote;

pub use brake::{Brake, REMOVALS_A_ROUND};
pub use credit::{Consequence, Duty, EARNING_TIME, consequence, credit_after_recommission, credit_of};
pub use quorum::{Census, Drawn, LEAST_TARGETS, LEAST_TESTERS, MAX_TARGETS, draw_round, quorum_size, target_count};
pub use tally::{Tally, TallyError};
pub use vote::{Outcome, OutcomeError, is_signed, outcome, votes_needed};
