//! What an account's owner is told.

use serde::Serialize;
use skep_envelope::{DisplayName, MessageId, ReceiptKind};
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// What has arrived. Texts and names come from strangers: escape control characters before showing them on a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Somebody asks to talk.
    Request {
        /// Who, proven.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// What they are called, by their own word.
        #[serde(serialize_with = "as_text")]
        name: DisplayName,
        /// What they say.
        text: String,
        /// When, by their clock (ms).
        timestamp: Moment,
    },
    /// A contact accepted our request, or asked at the same time as we did.
    Accepted {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// What they are called, if they have said so.
        #[serde(serialize_with = "as_optional_text")]
        name: Option<DisplayName>,
        /// When, by their clock (ms).
        timestamp: Moment,
    },
    /// A contact wrote.
    Message {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// What they are called, if they have said so.
        #[serde(serialize_with = "as_optional_text")]
        name: Option<DisplayName>,
        /// Names the message within the conversation.
        #[serde(serialize_with = "as_text")]
        id: MessageId,
        /// What they wrote.
        text: String,
        /// When, by their clock (ms).
        timestamp: Moment,
        /// The message it answers.
        #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
        /// After how many seconds from being read it disappears; 0: it stays.
        #[serde(skip_serializing_if = "is_zero")]
        disappear_after: u32,
    },
    /// Messages of ours reached a contact, or were read.
    Receipt {
        /// Who says so.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// What happened.
        #[serde(serialize_with = "as_kind")]
        kind: ReceiptKind,
        /// To which messages. Those of which it was not known.
        #[serde(serialize_with = "as_texts")]
        ids: Vec<MessageId>,
    },
    /// A contact is writing a message to us, or has stopped.
    Typing {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// Writing; else stopped.
        started: bool,
    },
    /// A contact wants messages of theirs forgotten. What they said is gone here, too.
    Unsent {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// Which messages.
        #[serde(serialize_with = "as_texts")]
        ids: Vec<MessageId>,
    },
    /// A contact has set after how many seconds messages of both sides disappear.
    Timer {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// After how many seconds from being read; 0: they stay.
        disappear_after: u32,
    },
    /// The session with a contact was lost and has been started anew. What it had not received yet is sent again.
    SessionReset {
        /// With whom.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// Who noticed: we; else the contact.
        ours: bool,
    },
    /// Somebody writes to us as to a contact, but is none: this account was restored from its recovery phrase, or the other
    /// side errs. If they are known, ask them to talk.
    UnknownSession {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// Whether it is certain that this account wrote it.
        proven: bool,
    },
    /// A contact took another name.
    Renamed {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// The new name.
        #[serde(serialize_with = "as_text")]
        name: DisplayName,
        /// When, by their clock (ms).
        timestamp: Moment,
    },
    /// A contact has another ratchet identity than before: its account was restored or moved to another device. The account's
    /// key vouches for it.
    IdentityChanged {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
    },
    /// Something of ours could not be delivered until it expired.
    Expired {
        /// To whom.
        #[serde(serialize_with = "as_text")]
        recipient: AccountAddress,
        /// When it was written (ms).
        timestamp: Moment,
    },
    /// This account's state is older than what it has sent: it was put back from a copy. All sessions are started anew, so that
    /// nothing is encrypted twice with one key; messages that arrived after the copy was made may be missing.
    StateRolledBack {
        /// The own account.
        #[serde(serialize_with = "as_text")]
        account: AccountAddress,
    },
    /// A message of a contact could not be read.
    Unreadable {
        /// Who.
        #[serde(serialize_with = "as_text")]
        sender: AccountAddress,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// Whom it is about.
    pub const fn contact(&self) -> &AccountAddress {
        match self {
            Self::Request { sender, .. }
            | Self::Accepted { sender, .. }
            | Self::Message { sender, .. }
            | Self::Receipt { sender, .. }
            | Self::Typing { sender, .. }
            | Self::Unsent { sender, .. }
            | Self::Timer { sender, .. }
            | Self::SessionReset { sender, .. }
            | Self::UnknownSession { sender, .. }
            | Self::Renamed { sender, .. }
            | Self::IdentityChanged { sender }
            | Self::Unreadable { sender, .. } => sender,
            Self::Expired { recipient, .. } => recipient,
            Self::StateRolledBack { account } => account,
        }
    }
}

pub(crate) fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
pub(crate) fn as_optional_text<S: serde::Serializer, T: std::fmt::Display>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => as_text(value, serializer),
        None => serializer.serialize_none(),
    }
}

fn as_texts<S: serde::Serializer>(ids: &[MessageId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ids.iter().map(ToString::to_string))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
fn as_kind<S: serde::Serializer>(kind: &ReceiptKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match kind {
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Read => "read",
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
pub(crate) const fn is_zero(number: &u32) -> bool {
    *number == 0
}
