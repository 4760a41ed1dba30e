//! Listening sessions: messages handed to whoever waits for them now (`protocol.md` section 6, a Skep extension).
//!
//! A client that is online opens a session at its *listening node* and tells each contact, inside ratchet messages only, a
//! random [`Handle`] and a [`DeliveryToken`] made for that contact and this session. Whoever has both may deliver. Nothing
//! touches a disk, nothing is replicated, no account is named and none signs.
//!
//! | method | who | what happens |
//! |---|---|---|
//! | `listen` | the listener | opens or renews the session, lets go of what `ack` acknowledges, waits up to `hold` for messages |
//! | `deliver` | a contact | queues one message; answered at once with `queued`, whether or not somebody waits |
//! | `unlisten` | the listener | ends the session; its handles are dead |
//!
//! | method | parameters (JSON) |
//! |---|---|
//! | `listen` | `session`: 64 hex digits; `contacts`: list of at most [`MAX_HANDLES`] texts of 128 hex digits, handle then token; `ack`: number, 0 if absent; `hold`: milliseconds, 0 if absent, at most [`MAX_HOLD`] counts |
//! | `deliver` | `handle`, `token`: 64 hex digits each; `data`: base64 of 1 to [`MAX_DELIVERY_BYTES`] bytes |
//! | `unlisten` | `session` |
//!
//! **Opening and renewing.** Each `listen` names all handles of the session. A handle left out is dead from then on (so it is
//! dropped when its contact falls back to asynchronous delivery); a new one is alive. `opened` in the answer says that the
//! node did not know the session: a first call, or what was queued has been lost with the session. A session ends
//! [`SESSION_LIFE`] after its last `listen` was answered. One `listen` of a session waits at a time: a newer one has the
//! older answered at once, with nothing.
//!
//! **Acknowledging.** Messages come in the order of their arrival, numbered from 1 within the session. They stay queued, and
//! come again with every `listen`, until one says in `ack` that all up to that number have been received. In a batch `hold`
//! counts as 0.
//!
//! **Padding.** The answer to `listen`, written into a JSON string as an onion answer carries it, has one of
//! [`ANSWER_SIZES`] bytes: the smaller one unless the first message does not fit into it. `more` says that there is more:
//! acknowledge and ask again at once. Clients vary `hold`, so that renewals keep no rhythm.
//!
//! | status | text or body | when |
//! |---|---|---|
//! | 200 | [`ListenResponse`], [`DeliverResponse`], [`UnlistenResponse`] | done; `unlisten` of no session is done, too |
//! | 400 | as for every method | a field is missing or malformed |
//! | 403 | [`HANDLE_TAKEN`] | `listen`: another session has one of the handles; nothing changed |
//! | 404 | [`NOBODY_LISTENS`] | `deliver`: no such handle, a dead one, or the wrong token: all the same |
//! | 413 | "Request body too large" | `listen`: more than [`MAX_LISTEN_BYTES`] |
//! | 429 | empty | `deliver`: more than [`DELIVERY_BURST`] at once and [`DELIVERIES_PER_SECOND`] a second with this handle |
//! | 503 | "Server busy, try again later" | `listen`: no room for another session; `deliver`: the session's queue is full |
//!
//! After 404, 429, 503 or no answer the sender goes the asynchronous way. The same bytes delivered again while they are still
//! queued count once; recipients must still expect a message twice.

use super::encoding;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Most handles of one session.
pub const MAX_HANDLES: usize = 32;
/// Largest request to listen: it is held in memory, at each hop, for as long as it waits. One with all handles has less than
/// 5 KiB, and clients pad it to 1 KiB at most. A thousand of these fit into what one neighbour may hold by default.
pub const MAX_LISTEN_BYTES: usize = 16 * 1024;
/// Longest a `listen` is held (ms): less than an onion request may take.
pub const MAX_HOLD: u64 = 25_000;
/// How long a session lives after its last `listen` was answered (ms).
pub const SESSION_LIFE: u64 = 60_000;
/// Largest message delivered.
pub const MAX_DELIVERY_BYTES: usize = 16_384;
/// Most messages queued in one session.
pub const MAX_QUEUED: usize = 128;
/// Most bytes of messages queued in one session.
pub const MAX_QUEUED_BYTES: usize = 512 * 1024;
/// Messages one handle takes at once.
pub const DELIVERY_BURST: u32 = 32;
/// Messages a second one handle takes for long.
pub const DELIVERIES_PER_SECOND: u32 = 4;
/// Sizes of the answer to `listen`, inside a JSON string.
pub const ANSWER_SIZES: [usize; 2] = [4096, 24_576];

/// Text of the 404 to `deliver`.
pub const NOBODY_LISTENS: &str = "Nobody listens under this handle";
/// Text of the 403 to `listen`.
pub const HANDLE_TAKEN: &str = "Another session listens under one of these handles";

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct ParseSecretError;

/// 32 random bytes, written as 64 hexadecimal digits (read in either case) and never shown by `Debug`.
macro_rules! random_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl FromStr for $name {
            type Err = ParseSecretError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseSecretError)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

random_name!(
    /// Names one listening session; known to the listener and its listening node only.
    SessionSecret
);
random_name!(
    /// Where one contact delivers: random, for this contact and session only.
    Handle
);
random_name!(
    /// What the contact proves with that it was given the handle.
    DeliveryToken
);

/// What a session listens under for one contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenedContact {
    /// Where the contact delivers.
    pub handle: Handle,
    /// What it shows.
    pub token: DeliveryToken,
}

/// Written as 128 hexadecimal digits: the handle, then the token.
impl Serialize for ListenedContact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&[hex::encode(self.handle.0), hex::encode(self.token.0)].concat())
    }
}

impl FromStr for ListenedContact {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (handle, token) = text.split_at_checked(64).ok_or(ParseSecretError)?;
        Ok(Self { handle: handle.parse()?, token: token.parse()? })
    }
}

/// Answer to `listen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenResponse {
    /// The node did not know the session before this call.
    pub opened: bool,
    /// What has arrived and is not acknowledged, oldest first.
    pub messages: Vec<DeliveredMessage>,
    /// There is more than that.
    pub more: bool,
    /// The node's clock (ms).
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
    /// Brings the answer to one of [`ANSWER_SIZES`].
    pub pad: String,
}

impl ListenResponse {
    /// The JSON of the answer with `messages`, padded; of them only as many, from the first on, as fit.
    pub fn to_padded_json(&self) -> String {
        let [small, large] = ANSWER_SIZES;
        let first = self.messages.first().map_or(0, DeliveredMessage::written_size);
        let room = if FRAME_BYTES + first <= small { small } else { large };
        let (mut used, mut fitting) = (FRAME_BYTES, 0);
        for message in &self.messages {
            used += message.written_size();
            if used > room {
                break;
            }
            fitting += 1;
        }
        let messages = self.messages.iter().take(fitting).cloned().collect();
        let more = self.more || fitting < self.messages.len();
        let mut answer = Self { messages, more, pad: String::new(), ..*self };
        let unpadded = serde_json::to_string(&answer).unwrap_or_default();
        let quotes = unpadded.bytes().filter(|byte| *byte == b'"').count();
        answer.pad = "0".repeat(room.saturating_sub(unpadded.len() + quotes));
        serde_json::to_string(&answer).unwrap_or_default()
    }
}

/// More than everything but the messages takes in an answer, its quotes counted twice.
const FRAME_BYTES: usize = 256;

/// One message of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredMessage {
    /// Its number within the session, from 1 on.
    pub sequence: u64,
    /// Under which handle it came, and so from which contact.
    pub handle: Handle,
    /// Its bytes, as the contact gave them.
    #[serde(with = "encoding::bytes")]
    pub data: Vec<u8>,
}

impl DeliveredMessage {
    /// No less than what it takes in an answer, its quotes counted twice.
    fn written_size(&self) -> usize {
        const FIELDS: usize = 160;
        self.data.len().div_ceil(3) * 4 + FIELDS
    }
}

/// Answer to `deliver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverResponse {
    /// Always true: the message waits for the listener, in memory only.
    pub queued: bool,
    /// The node's clock (ms).
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// Answer to `unlisten`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistenResponse {
    /// The node's clock (ms).
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn response(sizes: &[usize]) -> ListenResponse {
        let message = |(sequence, size): (u64, &usize)| DeliveredMessage {
            sequence: u64::MAX - sequence,
            handle: Handle([7; 32]),
            data: vec![0xff; *size],
        };
        let messages = (0..).zip(sizes).map(message).collect();
        ListenResponse { opened: false, messages, more: false, t: u64::MAX, hf: [u16::MAX; 2], pad: String::new() }
    }

    fn written_inside(json: &str) -> usize {
        serde_json::to_string(json).unwrap().len() - 2
    }

    proptest! {
        #[test]
        fn every_answer_has_one_of_two_sizes_and_holds_what_comes_first(
            sizes in vec(1..=MAX_DELIVERY_BYTES, 0..6),
            opened: bool,
        ) {
            let whole = ListenResponse { opened, ..response(&sizes) };
            let json = whole.to_padded_json();
            prop_assert!(ANSWER_SIZES.contains(&written_inside(&json)), "{}", written_inside(&json));
            let read: ListenResponse = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.opened, opened);
            prop_assert_eq!(&read.messages[..], &whole.messages[..read.messages.len()]);
            prop_assert_eq!(read.more, read.messages.len() < sizes.len());
            prop_assert!(sizes.is_empty() || !read.messages.is_empty(), "always at least one");
        }
    }

    #[test]
    fn a_short_text_and_nothing_look_alike() {
        assert_eq!(written_inside(&response(&[]).to_padded_json()), ANSWER_SIZES[0]);
        assert_eq!(written_inside(&response(&[2048]).to_padded_json()), ANSWER_SIZES[0]);
        assert_eq!(written_inside(&response(&[4096]).to_padded_json()), ANSWER_SIZES[1]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let contact = ListenedContact { handle: Handle([0xab; 32]), token: DeliveryToken([0xcd; 32]) };
        assert_eq!(format!("{contact:?}"), "ListenedContact { handle: Handle(..), token: DeliveryToken(..) }");
        let text = ["ab".repeat(32), "CD".repeat(32)].concat();
        assert_eq!(text.parse(), Ok(contact));
        for wrong in ["", "ab", &text[1..], &format!("{text}0"), &"é".repeat(64)] {
            assert_eq!(wrong.parse::<ListenedContact>(), Err(ParseSecretError));
        }
    }
}
