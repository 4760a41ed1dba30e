//! From payloads to bytes a node stores, and back.

use crate::{
    FriendRequest, FriendRequestError, Identity, RatchetMessage, SIZE_CLASSES,
    encryption::{self, Context},
    padding,
};
use prost::Message;
use rand_core::CryptoRng;
use skep_proto::{
    account::{AccountAddress, X25519_ACCOUNT},
    message::{Envelope, envelope::Kind},
};
use zeroize::Zeroizing;

/// What one account sends to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The first words.
    FriendRequest(FriendRequest),
    /// A message of their conversation.
    Ratchet(RatchetMessage),
}

/// What arrived, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The sender's account. Proven for a friend request and for a message that starts a session; for any other message it is
    /// proven when it decrypts in the conversation with this account.
    pub source: AccountAddress,
    /// What it sent.
    pub payload: Payload,
}

/// The payload cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient is not a person's account.
    #[error("{0} cannot receive messages: accounts begin with 05")]
    NotAPerson(AccountAddress),
    /// The recipient's key is of small order.
    #[error("{0} is not a safe account: its key keeps no secrets")]
    WeakKey(AccountAddress),
    /// Longer than the largest size class.
    #[error("the message is too long to be stored")]
    TooLong,
}

/// The bytes are no message to this account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Of a size no sealed message has.
    #[error("not a sealed message: {0} bytes")]
    Size(usize),
    /// Encrypted to another account or on another network, or changed on the way.
    #[error("not encrypted to this account on this network, or changed on the way")]
    Foreign,
    /// The recipient can decrypt it but not make sense of it.
    #[error("the sender's program is broken: {0} is malformed")]
    Malformed(&'static str),
    /// A kind a later version knows.
    #[error("a message of kind {0}, which this version does not know; update to read it")]
    UnknownKind(i32),
    /// Not from the account it names.
    #[error("the message claims to be from {0} but is not")]
    Forged(AccountAddress),
    /// A friend request that breaks the rules.
    #[error("the friend request is invalid")]
    FriendRequest(#[from] FriendRequestError),
}

/// Pads and encrypts `payload` to `recipient`, on the network with this genesis hash. The result has one of
/// [`SIZE_CLASSES`] and is what nodes store.
pub fn seal(
    sender: &Identity,
    genesis: &[u8; 32],
    recipient: &AccountAddress,
    payload: &Payload,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if recipient.kind() != X25519_ACCOUNT {
        return Err(SealError::NotAPerson(*recipient));
    }
    let (kind, inner, authenticated) = match payload {
        Payload::FriendRequest(request) => (Kind::FriendRequest, request.encode(), true),
        Payload::Ratchet(message) if message.starts_session() => (Kind::SessionStart, message.encode(), true),
        Payload::Ratchet(message) => (Kind::SessionMessage, message.encode(), false),
    };
    let inner = Zeroizing::new(inner);
    let encrypt = |secret: Option<&[u8; 32]>, label: &[u8], plaintext: &[u8], rng: &mut _| {
        let info = info(label, genesis, recipient);
        encryption::encrypt(secret, &recipient.key(), Context { info: &info, aad: &[] }, plaintext, rng)
            .map_err(|_| SealError::WeakKey(*recipient))
    };
    let content = match authenticated {
        true => encrypt(Some(sender.agreement_key()), label(kind), &inner, rng)?,
        false => inner.to_vec(),
    };
    let source = sender.account().as_bytes().to_vec().into();
    let envelope = Envelope { kind: kind.into(), source, content: content.into() };
    let padded = padding::pad(envelope.encode_to_vec()).ok_or(SealError::TooLong)?;
    encrypt(None, SEAL, &padded, rng)
}

/// Decrypts what was stored for `recipient` on the network with this genesis hash.
pub fn open(recipient: &Identity, genesis: &[u8; 32], sealed: &[u8]) -> Result<Opened, OpenError> {
    unseal(recipient, genesis, sealed)?.open()
}

/// Decrypts what hides the sender, and no more.
pub fn unseal<'a>(recipient: &'a Identity, genesis: &'a [u8; 32], sealed: &[u8]) -> Result<Unsealed<'a>, OpenError> {
    if !SIZE_CLASSES.contains(&sealed.len()) {
        return Err(OpenError::Size(sealed.len()));
    }
    let padded = decrypt(recipient, genesis, None, SEAL, sealed).map_err(|_| OpenError::Foreign)?;
    let envelope = padding::unpad(&padded).ok_or(OpenError::Malformed("the padding"))?;
    let Envelope { kind, source, content } =
        Envelope::decode(envelope).map_err(|_| OpenError::Malformed("the envelope"))?;
    let source = AccountAddress::from_slice(&source).map_err(|_| OpenError::Malformed("the source"))?;
    if source.kind() != X25519_ACCOUNT {
        return Err(OpenError::Malformed("the source"));
    }
    Ok(Unsealed { recipient, genesis, source, kind, content: content.into() })
}

/// What arrived, with nothing of it proven: half the work of opening it, so that what is not wanted costs no more.
#[derive(Debug)]
pub struct Unsealed<'a> {
    recipient: &'a Identity,
    genesis: &'a [u8; 32],
    source: AccountAddress,
    kind: i32,
    content: Vec<u8>,
}

impl Unsealed<'_> {
    /// Who the sender claims to be.
    pub const fn claimed_source(&self) -> AccountAddress {
        self.source
    }

    /// Whether it claims to be a friend request.
    pub fn is_friend_request(&self) -> bool {
        self.kind == i32::from(Kind::FriendRequest)
    }

    /// Opens it.
    pub fn open(self) -> Result<Opened, OpenError> {
        let Self { recipient, genesis, source, kind, content } = self;
        let authentic = |kind| {
            let inner = decrypt(recipient, genesis, Some(source.key()), label(kind), &content);
            inner.map(Zeroizing::new).map_err(|_| OpenError::Forged(source))
        };
        let payload = match Kind::try_from(kind) {
            Ok(kind @ Kind::FriendRequest) => Payload::FriendRequest(FriendRequest::decode(&authentic(kind)?)?),
            Ok(kind @ Kind::SessionStart) => {
                let message = RatchetMessage::decode_start(&authentic(kind)?);
                Payload::Ratchet(message.map_err(|_| OpenError::Malformed("the session start"))?)
            }
            Ok(Kind::SessionMessage) => {
                let message = RatchetMessage::decode(&content);
                Payload::Ratchet(message.map_err(|_| OpenError::Malformed("the session message"))?)
            }
            Ok(Kind::Unspecified) | Err(_) => return Err(OpenError::UnknownKind(kind)),
        };
        Ok(Opened { source, payload })
    }
}

fn decrypt(
    recipient: &Identity,
    genesis: &[u8; 32],
    sender: Option<[u8; 32]>,
    label: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, encryption::NotAuthentic> {
    let info = info(label, genesis, &recipient.account());
    encryption::decrypt(sender.as_ref(), recipient.agreement_key(), Context { info: &info, aad: &[] }, ciphertext)
}

const SEAL: &[u8] = b"skep seal v1";

/// Separates the authenticated encryptions from each other: one cannot be passed off as another.
const fn label(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::FriendRequest => b"skep friend request v1",
        Kind::SessionStart => b"skep session start v1",
        Kind::SessionMessage | Kind::Unspecified => b"skep session message v1",
    }
}

/// HPKE's `info`: what for, on which network, for whom. Only the label's length varies and no label begins another.
fn info(label: &[u8], genesis: &[u8; 32], recipient: &AccountAddress) -> Vec<u8> {
    [label, genesis, recipient.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
