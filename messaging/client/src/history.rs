//! What was said, as it is kept.

use crate::event::{as_optional_text, as_text, is_zero};
use serde::Serialize;
use skep_envelope::MessageId;
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// One message of a conversation, kept until somebody deletes it, unsends it, or it disappears.
///
/// Texts come from strangers: escape control characters before showing them on a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// With whom; the own account for a note to oneself.
    #[serde(serialize_with = "as_text")]
    pub contact: AccountAddress,
    /// Whether we wrote it.
    pub mine: bool,
    /// Names it within the conversation.
    #[serde(serialize_with = "as_text")]
    pub id: MessageId,
    /// What it says; none once its author unsent it.
    pub text: Option<String>,
    /// When it was written, by its author's clock (ms).
    pub timestamp: Moment,
    /// The message it answers, which may not be here (any more).
    #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// After how many seconds it disappears: ours from sending, theirs from reading. 0: it stays.
    #[serde(skip_serializing_if = "is_zero")]
    pub disappear_after: u32,
    /// When it disappears here (ms); none if never or not before it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Moment>,
    /// How far it has come.
    #[serde(flatten)]
    pub state: MessageState,
    /// Its place in the history of all conversations; later ones have higher numbers.
    pub sequence: i64,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum MessageState {
    /// Ours: waits to be sent.
    Queued,
    /// Ours: kept by the recipient's swarm.
    OnSwarm {
        /// Members that signed that they have it on disk.
        receipts: u32,
    },
    /// Ours: given to the node the recipient listens on; no acknowledgement yet.
    Direct,
    /// Ours: on the recipient's device.
    Delivered {
        /// When we heard of it (ms).
        at: Moment,
    },
    /// Ours: shown to the recipient. Theirs: shown to us.
    Read {
        /// When (ours: when we heard of it; ms).
        at: Moment,
    },
    /// Ours: could not be delivered in time.
    Failed,
    /// Theirs: not shown to us yet.
    Unread,
    /// Ours, to ourselves: it never leaves this machine.
    Note,
}
