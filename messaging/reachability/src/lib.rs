//! Who tests whom, what a tester concludes, and how votes become verdicts: sans-io.
//!
//! ```text
//! chain --rounds, roster--> Tester --poll_probe()--> the node's probes over HTTPS, QUIC and an onion path
//!                            |  ^----- Outcome <---- Sighting::judge()
//!                            |--poll_offer()----> other testers of the round --votes--> handle_votes()
//!                            '--poll_verdict()--> chain: enough signed votes change how a node stands
//! ```
//!
//! Every node probes others all the time ([`Prober`]), so that it has looked on for long when a round makes it a tester. Only
//! what has failed for the network's `unreachable` time, in every probe, counts as failing; whatever passes counts at once.
//! The rules of quorums, votes and consequences are `chain/obligations`; this crate is what a tester does about them.
//!
//! Pure: no socket, disk, clock or randomness.
//!
//! # Security
//!
//! **Requires.** Rounds and rosters of the finalized chain; that the caller knows by whom votes are sent (they are refused from
//! anyone but testers of the round), and bounds how often it is asked.
//!
//! **Provides.** A vote is cast only at the end of a probe that failed, for what has failed without a break; a tester that sees
//! nearly everyone fail says nothing and begins to count anew, so that one that was cut off accuses nobody, then or after.
//! Votes are counted once a tester, and only with its signature. What is kept is bounded by the roster and by the rounds for
//! which votes live.
//!
//! **Does not provide.** A tester cannot be told from one that abstains, so nobody is accused of missing votes. A node that
//! answers testers only passes. Seven testers of a round that lie together decide as they like.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod agenda;
mod audit;
mod ballot;
mod heard;
mod outcome;
mod pace;
mod prober;
mod record;
mod tester;
#[cfg(test)]
mod testing;
mod trust;

pub use audit::{Audited, Audits, Report, storage_finding, testee};
pub use ballot::{Ballots, MAX_VOTES, Offer, Sign, VotesRefusal};
pub use heard::{Heard, Hearing};
pub use outcome::{CLOCK_TOLERANCE, Echo, Outcome, Sighting};
pub use pace::Pace;
pub use prober::{Judgement, Prober};
pub use tester::Tester;
