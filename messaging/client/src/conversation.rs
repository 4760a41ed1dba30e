//! Contacts and what passes between them: requests, acceptances, messages; pure.
//!
//! | contact | what comes or is done | contact afterwards |
//! |---|---|---|
//! | none | we ask | requested |
//! | none | they ask | asking |
//! | requested | they accept | established |
//! | requested | they ask too | established, or requested again: [`crossed_requests`] decides |
//! | asking | we accept | established |
//! | established | messages | established |
//! | established | they ask with a new ratchet identity: their account was restored | asking |
//!
//! Every step returns a [`Change`]. It is kept on disk as a whole before anything of it leaves or is shown.

use rand::CryptoRng;
use serde::Serialize;
use skep_envelope::{
    Body, Content, Crossed, DisplayName, EncryptError, FriendRequest, FriendRequestError, MessageId, Opened, Payload,
    PrekeyBundle, Prekeys, Ratchet, ReceiveError, StartError, crossed_requests, ttl,
};
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// Another account and where we stand with it.
#[derive(Debug)]
pub struct Contact {
    /// The account.
    pub account: AccountAddress,
    /// What the person is called, by their own word; none until they said it. Names are not unique.
    pub name: Option<DisplayName>,
    pub(crate) standing: Standing,
}

/// Where we stand with a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactStatus {
    /// We asked; no answer yet.
    Requested,
    /// They ask; accept or leave it.
    Asking,
    /// Both can write.
    Established,
}

#[derive(Debug)]
pub(crate) enum Standing {
    Requested {
        introduction: String,
    },
    Asking(IncomingRequest),
    Established {
        ratchet: Ratchet,
        /// Their newest prekeys, if they told any.
        theirs: Option<PrekeyBundle>,
        /// Since when, by our clock (ms).
        since: Moment,
    },
}

/// A friend request that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncomingRequest {
    pub(crate) introduction: String,
    /// By their clock (ms).
    pub(crate) timestamp: Moment,
    pub(crate) prekeys: PrekeyBundle,
}

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
        /// They were a contact before and lost their state: until this is accepted neither can write.
        renewed: bool,
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
    /// A message of ours could not be delivered until it expired.
    Expired {
        /// To whom.
        #[serde(serialize_with = "as_text")]
        recipient: AccountAddress,
        /// When it was written (ms).
        timestamp: Moment,
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

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn as_optional_text<S: serde::Serializer>(name: &Option<DisplayName>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => as_text(name, serializer),
        None => serializer.serialize_none(),
    }
}

/// We, as conversations need us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) account: AccountAddress,
    pub(crate) name: &'a DisplayName,
    pub(crate) prekeys: &'a Prekeys,
}

/// What a step changes, sends and tells.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The contact from now on, if it changes.
    pub(crate) contact: Option<Contact>,
    /// Our prekeys from now on, if they change.
    pub(crate) prekeys: Option<Prekeys>,
    /// To be sealed and sent to the contact.
    pub(crate) outgoing: Option<Outgoing>,
    /// To be told to the user.
    pub(crate) events: Vec<Event>,
}

/// A payload and for how long nodes keep it (ms).
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload: Payload,
    pub(crate) ttl: u64,
}

/// A friend request cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// To oneself.
    #[error("this is your own account: ask somebody else")]
    Oneself,
    /// They are a contact already.
    #[error("{0} is a contact already: just send a message")]
    Established(AccountAddress),
    /// They have asked.
    #[error("{0} has asked you already: accept that request")]
    TheyAsked(AccountAddress),
    /// The introduction is too long.
    #[error(transparent)]
    Introduction(#[from] FriendRequestError),
}

/// A friend request cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// There is none.
    #[error("{0} has not asked: send a friend request instead, or receive first")]
    NotAsked(AccountAddress),
    /// Its keys are no good.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its keys are no good.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
}

/// A text cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    /// They have not answered yet.
    #[error("{0} has not accepted your friend request yet: receive, and send when they have")]
    NotAccepted(AccountAddress),
    /// We have not answered yet.
    #[error("{0} asks to talk: accept the request first")]
    NotAnswered(AccountAddress),
    /// It does not fit into a message.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
}

/// What arrived is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// From somebody we did not ask and did not accept, and not a friend request.
    #[error("a session message from a stranger")]
    Stranger,
    /// A copy, or a request overtaken by events.
    #[error("a friend request that is no longer of interest")]
    StaleRequest,
    /// From a contact, but it does not decrypt.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The answer to it cannot be made.
    #[error("a friend request that cannot be answered: {0}")]
    Answer(#[from] AcceptError),
}

impl Contact {
    /// Where we stand with the contact.
    pub const fn status(&self) -> ContactStatus {
        match &self.standing {
            Standing::Requested { .. } => ContactStatus::Requested,
            Standing::Asking(_) => ContactStatus::Asking,
            Standing::Established { .. } => ContactStatus::Established,
        }
    }

    /// What the contact says in the friend request that waits for our answer.
    pub fn introduction(&self) -> Option<&str> {
        match &self.standing {
            Standing::Asking(request) => Some(&request.introduction),
            Standing::Requested { .. } | Standing::Established { .. } => None,
        }
    }
}

/// We ask `account` to talk; again, if we have asked before.
pub(crate) fn request(
    own: Own<'_>,
    known: Option<&Contact>,
    account: AccountAddress,
    introduction: String,
    now: Moment,
) -> Result<Change, RequestError> {
    if account == own.account {
        return Err(RequestError::Oneself);
    }
    match known.map(Contact::status) {
        Some(ContactStatus::Established) => return Err(RequestError::Established(account)),
        Some(ContactStatus::Asking) => return Err(RequestError::TheyAsked(account)),
        Some(ContactStatus::Requested) | None => {}
    }
    let (prekeys, bundle) = own.prekeys.bundle();
    let request = FriendRequest::new(now, introduction.clone(), own.name.clone(), bundle)?;
    let name = known.and_then(|contact| contact.name.clone());
    Ok(Change {
        contact: Some(Contact { account, name, standing: Standing::Requested { introduction } }),
        prekeys: Some(prekeys),
        outgoing: Some(Outgoing { payload: Payload::FriendRequest(request), ttl: ttl::FRIEND_REQUEST }),
        events: Vec::new(),
    })
}

/// We accept the request of `contact`.
pub(crate) fn accept(
    own: Own<'_>,
    contact: &Contact,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, AcceptError> {
    let Standing::Asking(request) = &contact.standing else { return Err(AcceptError::NotAsked(contact.account)) };
    let ratchet = Ratchet::start(own.prekeys, contact.account, &request.prekeys)?;
    let (prekeys, bundle) = own.prekeys.bundle();
    let body = Body::FriendAccept { display_name: own.name.clone(), prekeys: bundle };
    let (ratchet, outgoing, _) = encrypt(&ratchet, body, now, rng)?;
    let standing = Standing::Established { ratchet, theirs: Some(request.prekeys), since: now };
    Ok(Change {
        contact: Some(Contact { account: contact.account, name: contact.name.clone(), standing }),
        prekeys: Some(prekeys),
        outgoing: Some(outgoing),
        events: Vec::new(),
    })
}

/// We write to `contact`. Returns the name of the message, too.
pub(crate) fn say(
    contact: &Contact,
    text: String,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<(Change, MessageId), SayError> {
    let (ratchet, theirs, since) = match &contact.standing {
        Standing::Established { ratchet, theirs, since } => (ratchet, theirs, since),
        Standing::Requested { .. } => return Err(SayError::NotAccepted(contact.account)),
        Standing::Asking(_) => return Err(SayError::NotAnswered(contact.account)),
    };
    let (ratchet, outgoing, id) = encrypt(ratchet, Body::Text(text), now, rng)?;
    let standing = Standing::Established { ratchet, theirs: *theirs, since: *since };
    let contact = Contact { account: contact.account, name: contact.name.clone(), standing };
    Ok((Change { contact: Some(contact), outgoing: Some(outgoing), ..Change::default() }, id))
}

/// Something arrived; `known` is what we know of its source.
pub(crate) fn receive(
    own: Own<'_>,
    known: Option<&Contact>,
    opened: Opened,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, Unusable> {
    let Opened { source, payload } = opened;
    if source == own.account {
        return Err(Unusable::Stranger);
    }
    match payload {
        Payload::FriendRequest(request) => asked(own, known, source, &request, now, rng),
        Payload::Ratchet(message) => {
            let (ratchet, theirs, since) = match known.map(|contact| &contact.standing) {
                Some(Standing::Established { ratchet, theirs, since }) => (Some(ratchet), *theirs, *since),
                Some(Standing::Requested { .. }) => (None, None, now),
                Some(Standing::Asking(_)) | None => return Err(Unusable::Stranger),
            };
            let received = Ratchet::receive(own.prekeys, ratchet, source, &message)?;
            let accepted = ratchet.is_none();
            let name = known.and_then(|contact| contact.name.clone());
            let standing = Standing::Established { ratchet: received.ratchet, theirs, since };
            let contact = Contact { account: source, name, standing };
            let mut change = Change { prekeys: received.prekeys, ..Change::default() };
            if received.identity_changed {
                change.events.push(Event::IdentityChanged { sender: source });
            }
            match received.content {
                Ok(content) => told(contact, content, accepted, &mut change),
                Err(error) => {
                    change.events.push(Event::Unreadable { sender: source, reason: error.to_string() });
                    change.contact = Some(contact);
                }
            }
            Ok(change)
        }
    }
}

/// A friend request arrived.
fn asked(
    own: Own<'_>,
    known: Option<&Contact>,
    source: AccountAddress,
    request: &FriendRequest,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, Unusable> {
    if request.timestamp().saturating_add(ttl::FRIEND_REQUEST) < now {
        return Err(Unusable::StaleRequest);
    }
    let name = request.display_name().clone();
    let incoming = IncomingRequest {
        introduction: request.introduction().to_owned(),
        timestamp: request.timestamp(),
        prekeys: *request.prekeys(),
    };
    let renewed = match known.map(|contact| &contact.standing) {
        None => false,
        Some(Standing::Requested { introduction }) => {
            return match crossed_requests(&own.account, &source) {
                Crossed::AcceptTheirs => {
                    let asking =
                        Contact { account: source, name: Some(name.clone()), standing: Standing::Asking(incoming) };
                    let mut change = accept(own, &asking, now, rng)?;
                    let timestamp = request.timestamp();
                    change.events.push(Event::Accepted { sender: source, name: Some(name), timestamp });
                    Ok(change)
                }
                // A request that was made once can be made again.
                Crossed::KeepOurs => {
                    self::request(own, known, source, introduction.clone(), now).map_err(|_| Unusable::StaleRequest)
                }
            };
        }
        Some(Standing::Asking(earlier)) if incoming.timestamp <= earlier.timestamp => {
            return Err(Unusable::StaleRequest);
        }
        Some(Standing::Asking(_)) => false,
        Some(Standing::Established { theirs, since, .. }) => {
            let restored = theirs.is_some_and(|theirs| theirs.identity_key != incoming.prekeys.identity_key);
            if !restored || incoming.timestamp <= *since {
                return Err(Unusable::StaleRequest);
            }
            true
        }
    };
    let event = Event::Request {
        sender: source,
        name: name.clone(),
        text: incoming.introduction.clone(),
        timestamp: incoming.timestamp,
        renewed,
    };
    let contact = Contact { account: source, name: Some(name), standing: Standing::Asking(incoming) };
    Ok(Change { contact: Some(contact), events: vec![event], ..Change::default() })
}

/// A message of an established contact was decrypted.
fn told(mut contact: Contact, content: Content, accepted: bool, change: &mut Change) {
    let Content { id, timestamp, sync: _, body } = content;
    let sender = contact.account;
    let (mut news, mut name, mut prekeys) = (None, None, None);
    match body {
        Some(Body::Text(text)) => {
            news = Some(Event::Message { sender, name: contact.name.clone(), id, text, timestamp });
        }
        Some(Body::FriendAccept { display_name, prekeys: bundle }) => {
            (name, prekeys) = (Some(display_name), Some(bundle));
        }
        Some(Body::Profile(display_name)) => {
            news = Some(Event::Renamed { sender, name: display_name.clone(), timestamp });
            name = Some(display_name);
        }
        Some(Body::Prekeys(bundle)) => prekeys = Some(bundle),
        Some(Body::Receipt(..) | Body::Typing(_)) | None => {}
    }
    contact.name = name.or(contact.name);
    if let (Standing::Established { theirs, .. }, Some(_)) = (&mut contact.standing, prekeys) {
        *theirs = prekeys;
    }
    if accepted {
        change.events.push(Event::Accepted { sender, name: contact.name.clone(), timestamp });
    }
    change.events.extend(news);
    change.contact = Some(contact);
}

fn encrypt(
    ratchet: &Ratchet,
    body: Body,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<(Ratchet, Outgoing, MessageId), EncryptError> {
    let id = MessageId::random(rng);
    let content = Content { id, timestamp: now, sync: None, body: Some(body) };
    let (ratchet, message) = ratchet.encrypt(&content)?;
    Ok((ratchet, Outgoing { payload: Payload::Ratchet(message), ttl: content.ttl() }, id))
}

#[cfg(test)]
mod tests;
