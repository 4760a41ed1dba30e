//! The encrypted conversation with one contact.

use crate::{
    Content, ContentError, PrekeyBundle, Prekeys,
    pickle::{self, UnpickleError},
};
use serde::{Deserialize, Serialize};
use skep_proto::account::AccountAddress;
use std::{fmt, iter};
use vodozemac::{
    Curve25519PublicKey, DecodeError,
    olm::{
        DecryptionError, EncryptionError, Message, OlmMessage, PreKeyMessage, Session, SessionConfig,
        SessionCreationError, SessionPickle,
    },
};
use zeroize::Zeroizing;

/// The whole message authentication code, not the 8 bytes of version 1.
const CONFIG: SessionConfig = SessionConfig::version_2();

/// The Olm sessions with one contact. There is more than one when both sides start one at the same time, or one side lost
/// its state; the one that was last heard on is written on.
pub struct Ratchet {
    owner: AccountAddress,
    contact: AccountAddress,
    /// Never empty; the one to write on first.
    sessions: Vec<Session>,
    their_identity: Curve25519PublicKey,
}

#[derive(Serialize, Deserialize)]
struct RatchetPickle {
    #[serde(with = "pickle::account")]
    owner: AccountAddress,
    #[serde(with = "pickle::account")]
    contact: AccountAddress,
    sessions: Vec<SessionPickle>,
    their_identity: Curve25519PublicKey,
}

/// A message of a [`Ratchet`]: start of a session, as long as nothing was heard from the other side, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatchetMessage(pub(crate) OlmMessage);

/// What a message brought.
#[derive(Debug)]
pub struct Received {
    /// The conversation from now on.
    pub ratchet: Ratchet,
    /// Our prekeys from now on, if they changed: a one-time key is used up.
    pub prekeys: Option<Prekeys>,
    /// What the message says.
    pub content: Result<Content, ContentError>,
    /// The contact has another ratchet identity than before: it restored its account or moved to another device. Its account
    /// vouches for it; tell the user.
    pub identity_changed: bool,
}

/// The session cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the contact's prekeys cannot be used; it has to send new ones")]
pub struct StartError(#[from] SessionCreationError);

/// The message cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// Longer than any node stores.
    #[error("the message has {0} bytes; at most {max} can be sent at once", max = Ratchet::MAX_CONTENT)]
    TooLong(usize),
    /// The contact's keys are no good.
    #[error("the contact's ratchet key cannot be used; start the session anew")]
    Key(#[from] EncryptionError),
}

/// The message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There is no session with this contact, and the message starts none.
    #[error("the message belongs to a session that is not known")]
    NoSession,
    /// It starts a session but not with keys of ours that are still good.
    #[error("the message starts a session that cannot be joined: it was joined before, or our state was lost")]
    Start(#[source] SessionCreationError),
    /// No session decrypts it: a duplicate, damaged, or older than what the session still knows.
    #[error("the message does not decrypt: it was read before, is too old, or was changed")]
    Decrypt(#[source] DecryptionError),
    /// The contact passes another's session off as its own.
    #[error("the message was not written by this contact to this account")]
    Misdirected,
}

impl Ratchet {
    /// Most bytes of an encoded [`Content`]: with everything around it, this fills the largest of
    /// [`SIZE_CLASSES`](crate::SIZE_CLASSES).
    pub const MAX_CONTENT: usize = 76_000;
    /// Sessions kept with one contact; an older one goes.
    const MAX_SESSIONS: usize = 4;

    /// Starts the first session with someone who sent a [`FriendRequest`](crate::FriendRequest): uses the one-time key of
    /// their bundle. The first message, to be sent at once, should be the acceptance.
    pub fn start(own: &Prekeys, contact: AccountAddress, theirs: &PrekeyBundle) -> Result<Self, StartError> {
        let session = outbound(own, theirs, theirs.one_time_key)?;
        Ok(Self { owner: own.owner, contact, sessions: vec![session], their_identity: theirs.identity_key.into() })
    }

    /// Starts a session anew with a contact whose messages no longer decrypt: uses the fallback key of their bundle.
    /// Messages under way in the old sessions still arrive.
    pub fn restart(&self, own: &Prekeys, theirs: &PrekeyBundle) -> Result<Self, StartError> {
        let session = outbound(own, theirs, theirs.fallback_key)?;
        Ok(self.with_first(session, theirs.identity_key.into()))
    }

    /// Starts a session anew with the one-time key of a bundle that has just come from the contact, as in [`Self::start`].
    /// Messages under way in the old sessions still arrive.
    pub fn renew(&self, own: &Prekeys, theirs: &PrekeyBundle) -> Result<Self, StartError> {
        let session = outbound(own, theirs, theirs.one_time_key)?;
        Ok(self.with_first(session, theirs.identity_key.into()))
    }

    /// With whom.
    pub const fn contact(&self) -> AccountAddress {
        self.contact
    }

    /// The contact's ratchet identity: of the installation it was last heard or restarted on.
    pub fn their_identity(&self) -> [u8; 32] {
        self.their_identity.to_bytes()
    }

    /// Encrypts a message to the contact. Keep the new state before the message leaves.
    pub fn encrypt(&self, content: &Content) -> Result<(Self, RatchetMessage), EncryptError> {
        let plaintext = Zeroizing::new(content.encode(&self.owner, &self.contact));
        if plaintext.len() > Self::MAX_CONTENT {
            return Err(EncryptError::TooLong(plaintext.len()));
        }
        let mut next = self.copy();
        let session = next.sessions.first_mut().ok_or(EncryptionError::NonContributoryKey)?;
        let message = session.encrypt(plaintext.as_slice())?;
        Ok((next, RatchetMessage(message)))
    }

    /// Takes a message in that [`open`](crate::open) gave with this `source`. `known` is the conversation with the source, if
    /// there is one. Keep the new states before the content is shown; on an error, nothing changes.
    pub fn receive(
        own: &Prekeys,
        known: Option<&Self>,
        source: AccountAddress,
        message: &RatchetMessage,
    ) -> Result<Received, ReceiveError> {
        let known = known.filter(|known| known.contact == source);
        match &message.0 {
            OlmMessage::Normal(_) => known.ok_or(ReceiveError::NoSession)?.decrypt(&message.0),
            OlmMessage::PreKey(start) => {
                let joined = known.filter(|known| known.knows(start));
                match joined {
                    Some(joined) => joined.decrypt(&message.0),
                    None => Self::join(own, known, source, start),
                }
            }
        }
    }

    /// The state to keep. It holds secrets: store it encrypted.
    pub fn pickle(&self) -> Zeroizing<Vec<u8>> {
        let Self { owner, contact, sessions, their_identity } = self;
        pickle::pickle(&RatchetPickle {
            owner: *owner,
            contact: *contact,
            sessions: sessions.iter().map(Session::pickle).collect(),
            their_identity: *their_identity,
        })
    }

    /// The state that was kept.
    pub fn unpickle(bytes: &[u8]) -> Result<Self, UnpickleError> {
        let RatchetPickle { owner, contact, sessions, their_identity } = pickle::unpickle("conversation", bytes)?;
        let sessions = sessions.into_iter().map(Session::from_pickle).collect();
        Ok(Self { owner, contact, sessions, their_identity })
    }

    /// Whether a session that `start` starts is among ours.
    fn knows(&self, start: &PreKeyMessage) -> bool {
        self.sessions.iter().any(|session| session.session_keys() == start.session_keys())
    }

    fn decrypt(&self, message: &OlmMessage) -> Result<Received, ReceiveError> {
        let mut next = self.copy();
        let mut failure = ReceiveError::NoSession;
        for (position, session) in next.sessions.iter_mut().enumerate() {
            match session.decrypt(message) {
                Ok(plaintext) => {
                    if let Some(heard) = next.sessions.get_mut(..=position) {
                        heard.rotate_right(1);
                    }
                    return received(next, None, plaintext, false);
                }
                // The error of the newest session says most.
                Err(error) if position == 0 => failure = ReceiveError::Decrypt(error),
                Err(_) => {}
            }
        }
        Err(failure)
    }

    fn join(
        own: &Prekeys,
        known: Option<&Self>,
        contact: AccountAddress,
        start: &PreKeyMessage,
    ) -> Result<Received, ReceiveError> {
        let mut prekeys = own.copy();
        let identity = start.identity_key();
        let joined = prekeys.olm.create_inbound_session(CONFIG, identity, start).map_err(ReceiveError::Start)?;
        let identity_changed = known.is_some_and(|known| known.their_identity != identity);
        let none = || Self { owner: own.owner, contact, sessions: Vec::new(), their_identity: identity };
        let ratchet = known.map_or_else(none, Self::copy).with_first(joined.session, identity);
        received(ratchet, Some(prekeys), joined.plaintext, identity_changed)
    }

    fn with_first(&self, session: Session, their_identity: Curve25519PublicKey) -> Self {
        let older = self.copy().sessions;
        let sessions = iter::once(session).chain(older).take(Self::MAX_SESSIONS).collect();
        Self { sessions, their_identity, ..*self }
    }

    fn copy(&self) -> Self {
        let sessions = self.sessions.iter().map(|session| Session::from_pickle(session.pickle())).collect();
        Self { sessions, ..*self }
    }
}

impl ReceiveError {
    /// Whether the contact may be writing in a session we have lost: starting one anew would help. Anybody can provoke this
    /// for a message inside a session, so do not do it often.
    pub const fn is_lost_session(&self) -> bool {
        match self {
            Self::NoSession | Self::Start(_) => true,
            // Nothing of the session fits; a duplicate or a late message fits but its key is gone.
            Self::Decrypt(error) => {
                matches!(error, DecryptionError::InvalidMAC(_) | DecryptionError::TooBigMessageGap(..))
            }
            Self::Misdirected => false,
        }
    }
}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ratchet").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl RatchetMessage {
    /// Whether this starts a session. Take it from contacts and from accounts that were sent a request only.
    pub const fn starts_session(&self) -> bool {
        matches!(self.0, OlmMessage::PreKey(_))
    }

    pub(crate) fn decode_start(bytes: &[u8]) -> Result<Self, DecodeError> {
        PreKeyMessage::from_bytes(bytes).map(|message| Self(OlmMessage::PreKey(message)))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Message::from_bytes(bytes).map(|message| Self(OlmMessage::Normal(message)))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match &self.0 {
            OlmMessage::PreKey(message) => message.to_bytes(),
            OlmMessage::Normal(message) => message.to_bytes(),
        }
    }
}

fn outbound(own: &Prekeys, theirs: &PrekeyBundle, key: [u8; 32]) -> Result<Session, StartError> {
    Ok(own.olm.create_outbound_session(CONFIG, theirs.identity_key.into(), key.into())?)
}

fn received(
    ratchet: Ratchet,
    prekeys: Option<Prekeys>,
    plaintext: Vec<u8>,
    identity_changed: bool,
) -> Result<Received, ReceiveError> {
    match Content::decode(&Zeroizing::new(plaintext), &ratchet.contact, &ratchet.owner) {
        Err(ContentError::Misdirected) => Err(ReceiveError::Misdirected),
        // A contact's nonsense moves the ratchet on as sense does: the state must be kept either way.
        content => Ok(Received { ratchet, prekeys, content, identity_changed }),
    }
}

#[cfg(test)]
mod tests;
