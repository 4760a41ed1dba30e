//! Paths, swarm lookup, sending and receiving, encrypted local state.
//!
//! ```text
//! Account ---> Client: a task that reads the mailbox and tells what happens
//!
//! Client --+--> conversation   requests, acceptances, messages           pure
//!          +--> direct         what goes straight to a contact           pure
//!          +--> requests       how many strangers may ask               pure
//!          +--> state          one encrypted database                    disk
//!          +--> network        questions through paths                   guards
//!                 +--> roster     proven down to a checkpoint            chain nodes
//!                 +--> paths      which hops, who is to blame            pure
//!                 +--> delivery   whom to ask, when it counts as sent    pure
//!                 +--> transport  HTTPS to a guard, proven by its key
//! ```
//!
//! A message is sealed, queued in the state together with the ratchet that made it, given to members of the recipient's swarm
//! through three hops, and leaves the queue when three members have signed that they keep it. Between two who are both online
//! it goes to the node the recipient listens on instead, without work and stored nowhere, until the recipient acknowledges it.
//!
//! [`Client`] does one thing at a time, for one-shot programs; [`Account`], with its [`Contacts`], [`Conversation`]s and
//! [`EventStream`], is for programs that stay. `examples/echo.rs` is a whole one.
//!
//! # Security
//!
//! **Requires.** A checkpoint whose authorities are honest by two thirds while it is believed (or one's own chain nodes); one
//! chain node that does not keep the newest blocks back; a passphrase nobody guesses.
//!
//! **Provides.** No node learns both who sends and to whom, nor both who reads and what was read from where, unless hops of
//! one path work together. A connection to a guard is a connection to the holder of the key in the roster. Members of a
//! swarm cannot pretend that others keep a message, cannot change one, and cannot have one shown twice.
//!
//! **Does not provide.** Protection against someone who sees the client's connection and a swarm's members at the same time.
//! Hops that fail on purpose can have other hops replaced, though not the guard. A member can keep messages back; two are
//! read.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod account;
mod client;
mod clock;
mod conversation;
mod delivery;
mod direct;
mod event;
mod history;
mod network;
mod paths;
mod requests;
mod roster;
mod state;
mod transport;

pub use account::{Account, AccountError, Closed, ContactSummary, Contacts, Conversation, EventStream, Notice};
pub use client::{
    Client, CreateError, FindContactError, FindMessageError, ReceiveError, SendError, UnsendError, Verification,
};
pub use conversation::{AcceptError, Contact, ContactStatus, RequestError, SayError};
pub use delivery::Receipt;
pub use event::Event;
pub use history::{Message, MessageState};
pub use network::{DeliverError, Delivery, NetworkError, PathHop, PathSurvey, UsedPath, survey_paths};
pub use paths::Purpose;
pub use skep_chain_client::{
    ChainUrls, Checkpoint, ParseProxyError, ParseUrlsError, RosterSource, SocksProxy, Trust, VerifyError,
};
pub use skep_envelope::{
    DisplayName, DisplayNameError, MessageId, ParseMessageIdError, PhraseError, ReceiptKind, SafetyNumber,
};
pub use skep_onion::{Diversity, PathChoiceError};
pub use skep_proto::account::{AccountAddress, ParseAccountError};
pub use state::{Passphrase, PassphraseError, Settings, StateError};
