//! What travels between two accounts: identity, sealing, friend requests and ratchet sessions; pure.
//!
//! ```text
//! Content --Ratchet::encrypt()--> RatchetMessage --+
//!                                                  +--> Payload --seal()--> bytes to store, of one of a few sizes
//! FriendRequest -----------------------------------+
//!
//! bytes --open()--> (source, Payload) --Ratchet::receive()--> Content
//! ```
//!
//! [`seal`] encrypts to the recipient's account (HPKE, RFC 9180), so that nodes learn neither the sender nor the kind of a
//! message. Inside, a friend request and the first messages of a session are encrypted once more in HPKE's authenticated
//! mode, which proves the sender's account to the recipient and to nobody else; every later message is authenticated by the
//! session (Olm: 3DH and the double ratchet).
//!
//! Two accounts meet so:
//!
//! ```text
//! Alice                                                   Bob
//! Prekeys::bundle()  --- FriendRequest { bundle } --->
//!                                                         Ratchet::start(bundle)
//!                    <-- FriendAccept, session start ---  Ratchet::encrypt()
//! Ratchet::receive() --- message -------------------->    Ratchet::receive()
//! ```
//!
//! Nothing here changes in place: encrypting and receiving return the new state. **Keep the new state on disk before a
//! message leaves or is shown**; a state that went back would use a key twice.
//!
//! # Security
//!
//! **Requires.** Good randomness (passed in; vodozemac draws its own from the operating system). A caller that keeps
//! [`Prekeys`] and [`Ratchet`]s encrypted, hands [`Ratchet::receive`] only what [`open`] gave for that contact, takes session
//! starts only from contacts and accounts it sent a request to, and shows a message of known [`MessageId`] once.
//!
//! **Provides.** Confidentiality and integrity end to end; a padded size; the sender's account proven, deniably: no signature
//! of an account is in any message. Forward secrecy and healing after a compromise for session messages. Who wrote to whom is
//! part of every message, so that nobody can pass another's session off as its own.
//!
//! **Does not provide.** Forward secrecy of the sealing itself: who has an account's key and recorded the traffic learns who
//! wrote to it and reads the friend requests. Whoever has an account's key can also pose to it as anyone in friend requests
//! and session starts (key-compromise impersonation, RFC 9180 section 9.1.1). A session keeps 40 skipped message keys a
//! chain and 5 chains; what is older when it arrives is lost. No protection against quantum computers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod content;
mod encryption;
mod friend_request;
mod identity;
mod mark;
mod padding;
mod payload;
mod phrase;
mod pickle;
mod prekeys;
mod ratchet;
mod safety;

pub use content::{
    Body, Content, ContentError, DisplayName, DisplayNameError, Listening, MessageId, ParseMessageIdError, ReceiptKind,
    Sync, Text,
};
pub use friend_request::{Crossed, FriendRequest, FriendRequestError, crossed_requests};
pub use identity::Identity;
pub use mark::StateMark;
pub use padding::SIZE_CLASSES;
pub use payload::{OpenError, Opened, Payload, SealError, Unsealed, open, seal, unseal};
pub use phrase::PhraseError;
pub use pickle::UnpickleError;
pub use prekeys::{PrekeyBundle, Prekeys};
pub use ratchet::{EncryptError, Ratchet, RatchetMessage, ReceiveError, Received, StartError};
pub use safety::SafetyNumber;

/// Time after which nodes delete what was stored for a recipient (`protocol.md` section 7). Milliseconds.
pub mod ttl {
    /// A friend request.
    pub const FRIEND_REQUEST: u64 = MESSAGE;
    /// A message.
    pub const MESSAGE: u64 = 14 * 24 * 60 * 60 * 1000;
    /// A typing notice.
    pub const TYPING: u64 = 20 * 1000;
}
