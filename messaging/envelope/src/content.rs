//! What a message inside a session says.

use crate::{PrekeyBundle, ttl};
use prost::Message;
use rand_core::CryptoRng;
use skep_proto::{account::AccountAddress, message as wire};
use std::fmt;

/// One message inside a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Names the message: one delivered twice is shown once.
    pub id: MessageId,
    /// When it was sent, by the sender's clock (ms).
    pub timestamp: u64,
    /// Whether the sender is online, and how far it has read, if it tells.
    pub sync: Option<Sync>,
    /// What it says. `None` if it carries `sync` only, or something that a later version understands.
    pub body: Option<Body>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A text.
    Text(Text),
    /// Messages have arrived or been read.
    Receipt(ReceiptKind, Vec<MessageId>),
    /// The sender started typing, or stopped.
    Typing(bool),
    /// The friend request is accepted: the first message of a session.
    FriendAccept {
        /// Name of the accepting person.
        display_name: DisplayName,
        /// So that the requester, too, can start a session anew.
        prekeys: PrekeyBundle,
    },
    /// The sender changed name.
    Profile(DisplayName),
    /// The sender's newest prekeys.
    Prekeys(PrekeyBundle),
    /// The recipient should forget these messages of the sender's.
    Unsend(Vec<MessageId>),
    /// From now on messages of both sides disappear this many seconds after they were read; 0: they stay.
    Timer(u32),
    /// The session before was lost: this begins another. With prekeys so that the other side can do the same.
    SessionReset(PrekeyBundle),
}

/// A text of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What it says. Escape control characters before showing it on a terminal.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// After how many seconds it disappears: the sender counts from sending, the recipient from reading. 0: it stays.
    pub disappear_after: u32,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// What happened to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// They reached the recipient's device.
    Delivered,
    /// They were shown.
    Read,
}

/// What every message tells besides its body (`protocol.md` section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    /// Higher than that of any earlier message of the sender to this contact.
    pub stamp: u64,
    /// The highest stamp of the recipient's that the sender has read in its mailbox; 0: none.
    pub heard: u64,
    /// Where the sender listens for direct delivery; `None`: it is not online, or does not tell.
    pub listening: Option<Listening>,
}

/// A listening session, as one contact is told it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Ed25519 key of the node of the listener's swarm.
    pub node: [u8; 32],
    /// Names the session: random, for this contact only.
    pub handle: [u8; 32],
    /// What a delivery has to show: random, for this contact only.
    pub token: [u8; 32],
}

/// Handle and token are secrets of two people.
impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("node", &hex::encode(self.node)).finish_non_exhaustive()
    }
}

/// Names a message within a conversation: random, chosen by the sender.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

/// A person's name: 1 to [`DisplayName::MAX_LEN`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

/// The text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisplayNameError {
    /// Nothing but white space.
    #[error("a display name cannot be empty")]
    Empty,
    /// Too long.
    #[error("a display name has at most {max} bytes, this one has {0}", max = DisplayName::MAX_LEN)]
    TooLong(usize),
    /// Has characters that would not show as written.
    #[error("a display name cannot contain control characters")]
    Control,
}

/// The message was decrypted but says nothing that makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the expected Protocol Buffers message.
    #[error("the content is no valid message")]
    Encoding(#[from] prost::DecodeError),
    /// A field has the wrong length.
    #[error("{field} must have {expected} bytes, not {actual}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        actual: usize,
    },
    /// A part is absent without which the rest means nothing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Written by or for someone else: a contact passes another's session off as its own.
    #[error("the message was not written by this contact to this account")]
    Misdirected,
    /// The name is none.
    #[error(transparent)]
    DisplayName(#[from] DisplayNameError),
}

impl Content {
    /// For how long nodes keep this message for the recipient (ms).
    pub const fn ttl(&self) -> u64 {
        match self.body {
            Some(Body::Typing(_)) => ttl::TYPING,
            Some(
                Body::Text(_)
                | Body::Receipt(..)
                | Body::FriendAccept { .. }
                | Body::Profile(_)
                | Body::Prekeys(_)
                | Body::Unsend(_)
                | Body::Timer(_)
                | Body::SessionReset(_),
            )
            | None => ttl::MESSAGE,
        }
    }

    pub(crate) fn encode(&self, sender: &AccountAddress, recipient: &AccountAddress) -> Vec<u8> {
        let body = self.body.clone().map(Body::into_wire);
        let sync = self.sync.map(wire::Sync::from);
        let [sender, recipient] = [sender, recipient].map(|account| account.as_bytes().to_vec().into());
        let id = self.id.0.to_vec().into();
        wire::Content { id, timestamp: self.timestamp, sync, sender, recipient, body }.encode_to_vec()
    }

    /// Reads what `expected_sender` wrote to `expected_recipient`.
    pub(crate) fn decode(
        bytes: &[u8],
        expected_sender: &AccountAddress,
        expected_recipient: &AccountAddress,
    ) -> Result<Self, ContentError> {
        let wire::Content { id, timestamp, sync, sender, recipient, body } = wire::Content::decode(bytes)?;
        if sender != expected_sender.as_bytes()[..] || recipient != expected_recipient.as_bytes()[..] {
            return Err(ContentError::Misdirected);
        }
        let sync = sync.map(Sync::try_from);
        let body = body.map(Body::of_wire).transpose()?.flatten();
        Ok(Self { id: MessageId(exactly("id", &id)?), timestamp, sync: sync.transpose()?, body })
    }
}

impl Body {
    /// The body alone, to keep it until it is said. Within a message it is encoded otherwise.
    pub fn encode(&self) -> Vec<u8> {
        wire::Content { body: Some(self.clone().into_wire()), ..wire::Content::default() }.encode_to_vec()
    }

    /// A body that was kept.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let body = wire::Content::decode(bytes)?.body.map(Self::of_wire).transpose()?.flatten();
        body.ok_or(ContentError::Missing("body"))
    }

    fn into_wire(self) -> wire::content::Body {
        match self {
            Self::Text(Text { text, reply_to, disappear_after }) => {
                let reply_to = reply_to.map(|id| id.0.to_vec().into()).unwrap_or_default();
                wire::content::Body::Data(wire::DataMessage { text, reply_to, disappear_after })
            }
            Self::Receipt(kind, ids) => {
                let kind = match kind {
                    ReceiptKind::Delivered => wire::receipt::Kind::Delivered,
                    ReceiptKind::Read => wire::receipt::Kind::Read,
                };
                wire::content::Body::Receipt(wire::Receipt { kind: kind.into(), ids: ids_to_wire(ids) })
            }
            Self::Typing(started) => wire::content::Body::Typing(wire::Typing { started }),
            Self::FriendAccept { display_name, prekeys } => wire::content::Body::FriendAccept(wire::FriendAccept {
                display_name: display_name.0,
                prekeys: Some(prekeys.into()),
            }),
            Self::Profile(display_name) => wire::content::Body::Profile(wire::Profile { display_name: display_name.0 }),
            Self::Prekeys(prekeys) => wire::content::Body::Prekeys(prekeys.into()),
            Self::Unsend(ids) => wire::content::Body::Unsend(wire::Unsend { ids: ids_to_wire(ids) }),
            Self::Timer(disappear_after) => wire::content::Body::Timer(wire::Timer { disappear_after }),
            Self::SessionReset(prekeys) => {
                wire::content::Body::SessionReset(wire::SessionReset { prekeys: Some(prekeys.into()) })
            }
        }
    }

    /// `None`: something that a later version understands.
    fn of_wire(body: wire::content::Body) -> Result<Option<Self>, ContentError> {
        Ok(match body {
            wire::content::Body::Data(wire::DataMessage { text, reply_to, disappear_after }) => {
                let reply_to = match reply_to.is_empty() {
                    true => None,
                    false => Some(MessageId(exactly("data.reply_to", &reply_to)?)),
                };
                Some(Self::Text(Text { text, reply_to, disappear_after }))
            }
            wire::content::Body::Receipt(receipt) => {
                let kind = match receipt.kind() {
                    wire::receipt::Kind::Unspecified => None,
                    wire::receipt::Kind::Delivered => Some(ReceiptKind::Delivered),
                    wire::receipt::Kind::Read => Some(ReceiptKind::Read),
                };
                let ids = ids_of_wire("receipt.ids", &receipt.ids)?;
                kind.map(|kind| Self::Receipt(kind, ids))
            }
            wire::content::Body::Typing(wire::Typing { started }) => Some(Self::Typing(started)),
            wire::content::Body::FriendAccept(wire::FriendAccept { display_name, prekeys }) => {
                let prekeys = prekeys.ok_or(ContentError::Missing("friend_accept.prekeys"))?.try_into()?;
                Some(Self::FriendAccept { display_name: display_name.parse()?, prekeys })
            }
            wire::content::Body::Profile(wire::Profile { display_name }) => Some(Self::Profile(display_name.parse()?)),
            wire::content::Body::Prekeys(prekeys) => Some(Self::Prekeys(prekeys.try_into()?)),
            wire::content::Body::Unsend(wire::Unsend { ids }) => Some(Self::Unsend(ids_of_wire("unsend.ids", &ids)?)),
            wire::content::Body::Timer(wire::Timer { disappear_after }) => Some(Self::Timer(disappear_after)),
            wire::content::Body::SessionReset(wire::SessionReset { prekeys }) => {
                let prekeys = prekeys.ok_or(ContentError::Missing("session_reset.prekeys"))?;
                Some(Self::SessionReset(prekeys.try_into()?))
            }
        })
    }
}

impl From<Sync> for wire::Sync {
    fn from(Sync { stamp, heard, listening }: Sync) -> Self {
        let [node, handle, token] = match listening {
            Some(Listening { node, handle, token }) => [node, handle, token].map(|bytes| bytes.to_vec().into()),
            None => Default::default(),
        };
        Self { online: listening.is_some(), node, handle, token, stamp, heard }
    }
}

impl TryFrom<wire::Sync> for Sync {
    type Error = ContentError;

    fn try_from(sync: wire::Sync) -> Result<Self, ContentError> {
        let wire::Sync { online, node, handle, token, stamp, heard } = sync;
        let listening = online.then(|| {
            Ok::<_, ContentError>(Listening {
                node: exactly("sync.node", &node)?,
                handle: exactly("sync.handle", &handle)?,
                token: exactly("sync.token", &token)?,
            })
        });
        Ok(Self { stamp, heard, listening: listening.transpose()? })
    }
}

fn ids_to_wire(ids: Vec<MessageId>) -> Vec<prost::bytes::Bytes> {
    ids.into_iter().map(|id| id.0.to_vec().into()).collect()
}

fn ids_of_wire(field: &'static str, ids: &[prost::bytes::Bytes]) -> Result<Vec<MessageId>, ContentError> {
    ids.iter().map(|id| exactly(field, id).map(MessageId)).collect()
}

impl MessageId {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self(id)
    }
}

/// The text is no message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is named by 32 hexadecimal digits")]
pub struct ParseMessageIdError;

impl std::str::FromStr for MessageId {
    type Err = ParseMessageIdError;

    fn from_str(text: &str) -> Result<Self, ParseMessageIdError> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| ParseMessageIdError)?;
        Ok(Self(id))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl DisplayName {
    /// Most bytes of a name.
    pub const MAX_LEN: usize = 100;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for DisplayName {
    type Err = DisplayNameError;

    /// White space around the name is dropped.
    fn from_str(text: &str) -> Result<Self, DisplayNameError> {
        let name = text.trim();
        if name.is_empty() {
            return Err(DisplayNameError::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(DisplayNameError::TooLong(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(DisplayNameError::Control);
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Exactly `N` bytes.
pub(crate) fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ContentError> {
    bytes.try_into().map_err(|_| ContentError::Length { field, expected: N, actual: bytes.len() })
}

#[cfg(test)]
pub(crate) mod tests;
