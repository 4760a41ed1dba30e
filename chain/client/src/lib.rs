//! Talking to the chain from outside it: follow the finalized roster, ask about stakes, submit signed calls.
//!
//! ```text
//! ChainUrls --> follow() ------> watch::Receiver<Arc<RosterView>>   messaging nodes and clients
//!           \-> ChainClient ---> roster(), stakes(), finalized()    one-off questions
//!           |-> Submitter -----> register(), contribute(), ...      signed by a StakerKey
//!           \-> submit_verdict()                                    signed by the testers in it
//! ```
//!
//! Every door takes several chain nodes and goes on with the next one when one is gone; all must share a genesis block.
//! The nodes asked are trusted to tell the truth about finalized blocks: what they say is checked for shape, size and
//! order only.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod account;
mod client;
mod connection;
mod follow;
mod govern;
mod key;
mod roster;
mod submit;
mod urls;
mod verdict;

pub use account::{ContributionError, ParseAccountError, Pool, parse_account, ss58};
pub use client::{AskError, ChainClient, Finalized, MadeSessionKeys};
pub use connection::ConnectError;
pub use follow::{FollowError, RosterReceiver, SessionError, follow};
pub use key::{KeyError, StakerKey};
pub use roster::{RECENT_BLOCKS, RosterView};
pub use submit::{Included, Registration, SessionKeys, SubmitError, Submitter, Wait};
pub use urls::{ChainUrls, ParseUrlsError};
pub use verdict::{submit_verdict, verdict_transaction};
