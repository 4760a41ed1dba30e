//! Talking to the chain from outside it: follow the finalized roster, ask about stakes, submit signed calls.
//!
//! ```text
//! ChainUrls --> follow() ------> watch::Receiver<Arc<RosterView>>   messaging nodes and clients
//!           \-> ChainClient ---> roster(), stakes(), finalized()    one-off questions
//!           |-> Submitter -----> register(), contribute(), ...      signed by a StakerKey
//!           \-> submit_authorized()                                 signed by testers, or by a node's key
//! ```
//!
//! Every door takes several chain nodes and goes on with the next one when one is gone; all must share a genesis block.
//! The nodes these ask are trusted to tell the truth about finalized blocks: what they say is checked for shape, size and
//! order only.
//!
//! Who trusts no chain node asks through a [`RosterVerifier`], which checks everything down to a [`Checkpoint`] with the
//! rules of [`proof`].
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod account;
mod authorized;
mod call;
mod client;
mod connection;
mod follow;
mod govern;
mod health;
mod key;
pub mod proof;
mod proxy;
mod roster;
mod source;
mod submit;
mod urls;
mod verifier;

pub use account::{ContributionError, ParseAccountError, Pool, parse_account, ss58};
pub use authorized::{Authorized, authorized_transaction, submit_authorized};
pub use call::{Call, describes_calls};
pub use client::{AskError, ChainClient, Finalized, MadeSessionKeys};
pub use connection::ConnectError;
pub use follow::{FollowError, RosterReceiver, SessionError, follow};
pub use health::ChainHealth;
pub use key::{KeyError, StakerKey};
pub use proxy::{ParseProxyError, SocksProxy};
pub use roster::{RECENT_BLOCKS, RosterView};
pub use skep_primitives::{AuthoritySet, Checkpoint};
pub use source::{RosterSource, Trust};
pub use submit::{Included, Locked, Registered, Registration, SessionKeys, SubmitError, Submitter, Wait};
pub use urls::{ChainUrls, ParseUrlsError};
pub use verifier::{
    Difference, HearError, Lie, Memory, ProvenRoster, RosterVerifier, STALE, Testimony, VerifyError, difference,
};
