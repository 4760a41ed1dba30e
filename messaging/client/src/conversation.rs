//! Contacts and what passes between them: requests, acceptances, messages; pure.
//!
//! | contact | what comes or is done | contact afterwards |
//! |---|---|---|
//! | none | we ask | requested |
//! | none | they ask | asking |
//! | requested | they accept | established |
//! | requested | they ask too | established, or requested again: [`crossed_requests`] decides |
//! | asking | we accept | established |
//! | asking | we decline | declined |
//! | declined | they ask, long after | asking |
//! | established | messages | established |
//! | established | they ask with a new ratchet identity: their account was restored | established, in a new session |
//! | established | they write in a session we have lost | established, in a new session |
//!
//! Every step returns a [`Change`]. It is kept on disk as a whole before anything of it leaves or is shown.

use crate::{event::Event, requests};
use rand::CryptoRng;
use serde::Serialize;
use skep_envelope::{
    Body, Content, Crossed, DisplayName, EncryptError, FriendRequest, FriendRequestError, Listening, MessageId, Opened,
    Payload, PrekeyBundle, Prekeys, Ratchet, ReceiptKind, ReceiveError, StartError, Sync, Text, crossed_requests, ttl,
};
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// How long a session that was started anew is left alone (ms): messages of strangers can make it look lost.
pub(crate) const RESET_REST: Moment = 60 * 60 * 1000;

/// How far ahead of ours the clock of somebody who asks may be (ms). With [`ttl::FRIEND_REQUEST`] this bounds how long a request
/// can be shown again, to less than a message that was dealt with is remembered.
const CLOCKS_APART: Moment = 24 * 60 * 60 * 1000;

/// How long somebody whose request waits for an answer may ask again before the user is told once more (ms).
const ASK_REST: Moment = 60 * 60 * 1000;

/// How long somebody who was declined is not heard when asking again (ms).
pub(crate) const DECLINE_REST: Moment = ttl::FRIEND_REQUEST;

/// Another account and where we stand with it.
#[derive(Debug)]
pub struct Contact {
    /// The account.
    pub account: AccountAddress,
    /// What the person is called, by their own word; none until they said it. Names are not unique.
    pub name: Option<DisplayName>,
    pub(crate) standing: Standing,
    pub(crate) blocked: bool,
    /// The safety number that was compared, as text.
    pub(crate) verified: Option<String>,
    pub(crate) disappear_after: u32,
}

/// Where we stand with a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactStatus {
    /// We asked; no answer yet.
    Requested,
    /// They ask; accept or decline it.
    Asking,
    /// They asked; we do not want to. They are not told.
    Declined,
    /// Both can write.
    Established,
}

#[derive(Debug)]
pub(crate) enum Standing {
    Requested {
        introduction: String,
    },
    Asking(IncomingRequest),
    Declined {
        /// By our clock (ms).
        since: Moment,
    },
    Established(Session),
}

/// The session with an established contact, and what is needed to start it anew.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ratchet: Ratchet,
    /// Their newest prekeys, if they told any.
    pub(crate) theirs: Option<PrekeyBundle>,
    /// Since when, by our clock (ms).
    pub(crate) since: Moment,
    /// When we last started it anew, by our clock (ms).
    pub(crate) reset: Moment,
    /// When we last told them a bundle that is not used up, by our clock (ms).
    pub(crate) told: Moment,
    /// When they were last welcomed anew with another ratchet identity, by our clock (ms).
    pub(crate) welcomed: Moment,
    /// It must not be written on: its state is older than what was sent.
    pub(crate) lost: bool,
    pub(crate) stamps: Stamps,
}

/// How far each side has read its mailbox, as far as this conversation goes.
///
/// A ratchet forgets the keys of skipped messages after forty in one chain and after five chains. What waits in a mailbox
/// must not become unreadable because the two talk on directly meanwhile, so nothing goes directly before everything that went
/// by mail was heard of: see [`Self::is_all_heard`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Our newest message's: later ones have higher ones.
    pub(crate) last: u64,
    /// That of our newest message by mail.
    pub(crate) mailed: u64,
    /// The highest of ours by mail that they have told to have read.
    pub(crate) confirmed: u64,
    /// The highest of theirs that has come by mail.
    pub(crate) heard: u64,
}

impl Stamps {
    /// Whether they have read all that we have mailed.
    pub(crate) const fn is_all_heard(&self) -> bool {
        self.confirmed >= self.mailed
    }

    /// What the next message tells, and the stamps once it is said. Stamps are times, so that those of a state that was put
    /// back, or of a new session, are higher, too.
    fn next(self, manner: Manner, timestamp: Moment) -> (Self, Sync) {
        let stamp = timestamp.max(self.last.saturating_add(1));
        let mailed = match manner.way {
            Way::Mail => stamp,
            Way::Direct => self.mailed,
        };
        (Self { last: stamp, mailed, ..self }, Sync { stamp, heard: self.heard, listening: manner.listening })
    }

    /// They have told this.
    fn told(self, sync: &Sync, way: Way) -> Self {
        let heard = match way {
            Way::Mail => self.heard.max(sync.stamp),
            Way::Direct => self.heard,
        };
        Self { heard, confirmed: self.confirmed.max(sync.heard), ..self }
    }
}

/// By which way something is said or comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the swarm.
    #[default]
    Mail,
    /// To the listening node, with nothing stored.
    Direct,
}

/// How something is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) way: Way,
    /// Where we listen for the contact, to tell it; none if we are not online or do not tell.
    pub(crate) listening: Option<Listening>,
}

/// A friend request that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncomingRequest {
    pub(crate) introduction: String,
    /// By their clock, but not later than it came (ms).
    pub(crate) timestamp: Moment,
    /// When the user was last told of it, by our clock (ms).
    pub(crate) told: Moment,
    pub(crate) prekeys: PrekeyBundle,
}

/// We, as conversations need us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) account: AccountAddress,
    pub(crate) name: &'a DisplayName,
    pub(crate) prekeys: &'a Prekeys,
    /// Where we listen for the contact this is about, to tell it.
    pub(crate) listening: Option<Listening>,
}

impl Own<'_> {
    const fn mail(&self) -> Manner {
        Manner { way: Way::Mail, listening: self.listening }
    }
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
    /// What the contact has not received is to be sent once more, in the session from now on.
    pub(crate) resend: bool,
    /// What the contact has told of itself.
    pub(crate) told: Option<Told>,
}

/// What a message of a contact tells besides what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) id: MessageId,
    pub(crate) sync: Option<Sync>,
    /// Whether its sender keeps it until it is acknowledged, if it comes directly.
    pub(crate) acknowledged: bool,
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
    /// Too many were asked lately.
    #[error("you have asked {max} times within the hour: ask again in {minutes} min", max = requests::AN_HOUR,
        minutes = .wait.div_ceil(60_000))]
    TooMany {
        /// How long to wait (ms).
        wait: Moment,
    },
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
    /// We declined.
    #[error("you declined the request of {0}: ask them to talk if you have changed your mind")]
    Declined(AccountAddress),
    /// We do not talk to them.
    #[error("{0} is blocked: unblock them first")]
    Blocked(AccountAddress),
    /// The state is older than what was sent.
    #[error("the session with {0} has to be started anew: receive, then try again")]
    Lost(AccountAddress),
    /// It does not fit into a message.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
}

/// What arrived is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// From somebody we did not ask and did not accept, and not a friend request.
    #[error("a session message from a stranger")]
    Stranger {
        /// Whether the sender's account is certain.
        proven: bool,
    },
    /// From somebody who is blocked, or declined lately.
    #[error("from somebody we do not want to hear")]
    Unwanted,
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
    pub(crate) const fn new(account: AccountAddress, name: Option<DisplayName>, standing: Standing) -> Self {
        Self { account, name, standing, blocked: false, verified: None, disappear_after: 0 }
    }

    /// The same contact at another standing.
    fn at(known: Option<&Self>, account: AccountAddress, standing: Standing) -> Self {
        match known {
            Some(Self { account, name, standing: _, blocked, verified, disappear_after }) => Self {
                account: *account,
                name: name.clone(),
                standing,
                blocked: *blocked,
                verified: verified.clone(),
                disappear_after: *disappear_after,
            },
            None => Self::new(account, None, standing),
        }
    }

    /// Where we stand with the contact.
    pub const fn status(&self) -> ContactStatus {
        match &self.standing {
            Standing::Requested { .. } => ContactStatus::Requested,
            Standing::Asking(_) => ContactStatus::Asking,
            Standing::Declined { .. } => ContactStatus::Declined,
            Standing::Established(_) => ContactStatus::Established,
        }
    }

    /// What the contact says in the friend request that waits for our answer.
    pub fn introduction(&self) -> Option<&str> {
        match &self.standing {
            Standing::Asking(request) => Some(&request.introduction),
            Standing::Requested { .. } | Standing::Declined { .. } | Standing::Established(_) => None,
        }
    }

    /// Whether nothing they send is heard.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// After how many seconds messages of both sides disappear; 0: they stay.
    pub const fn disappear_after(&self) -> u32 {
        self.disappear_after
    }

    pub(crate) const fn session(&self) -> Option<&Session> {
        match &self.standing {
            Standing::Established(session) => Some(session),
            Standing::Requested { .. } | Standing::Asking(_) | Standing::Declined { .. } => None,
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
        Some(ContactStatus::Requested | ContactStatus::Declined) | None => {}
    }
    ask(own, known, account, introduction, now)
}

fn ask(
    own: Own<'_>,
    known: Option<&Contact>,
    account: AccountAddress,
    introduction: String,
    now: Moment,
) -> Result<Change, RequestError> {
    let (prekeys, bundle) = own.prekeys.bundle();
    let request = FriendRequest::new(now, introduction.clone(), own.name.clone(), bundle)?;
    Ok(Change {
        contact: Some(Contact::at(known, account, Standing::Requested { introduction })),
        prekeys: Some(prekeys),
        outgoing: Some(Outgoing { payload: Payload::FriendRequest(request), ttl: ttl::FRIEND_REQUEST }),
        ..Change::default()
    })
}

/// A request of ours was lost before it left: we ask once more. None: we are not waiting for an answer of theirs.
pub(crate) fn ask_again(own: Own<'_>, contact: &Contact, now: Moment) -> Option<Change> {
    let Standing::Requested { introduction } = &contact.standing else { return None };
    ask(own, Some(contact), contact.account, introduction.clone(), now).ok()
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
    welcome(own, contact, (ratchet, Stamps::default()), &request.prekeys, now, rng)
}

/// Sends the acceptance in a session that was just started with `theirs`, with the stamps of the one before.
fn welcome(
    own: Own<'_>,
    contact: &Contact,
    (ratchet, before): (Ratchet, Stamps),
    theirs: &PrekeyBundle,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, AcceptError> {
    let (prekeys, bundle) = own.prekeys.bundle();
    let body = Body::FriendAccept { display_name: own.name.clone(), prekeys: bundle };
    let (ratchet, stamps, outgoing) = encrypt((&ratchet, before), own.mail(), MessageId::random(rng), body, now)?;
    let theirs = Some(theirs.spent());
    let session = Session { ratchet, theirs, since: now, reset: 0, told: now, welcomed: 0, lost: false, stamps };
    Ok(Change {
        contact: Some(Contact::at(Some(contact), contact.account, Standing::Established(session))),
        prekeys: Some(prekeys),
        outgoing: Some(outgoing),
        ..Change::default()
    })
}

/// We do not want to talk to `contact`, who asks. They are not told.
pub(crate) fn decline(contact: &Contact, now: Moment) -> Result<Change, AcceptError> {
    let Standing::Asking(_) = &contact.standing else { return Err(AcceptError::NotAsked(contact.account)) };
    let contact = Contact::at(Some(contact), contact.account, Standing::Declined { since: now });
    Ok(Change { contact: Some(contact), ..Change::default() })
}

/// We write to `contact`: a text, or anything else. `id` names the message; a message that was sent before may be sent again
/// under its name. Without a body, it only tells where we listen.
pub(crate) fn say(
    contact: &Contact,
    manner: Manner,
    id: MessageId,
    body: impl Into<Option<Body>>,
    timestamp: Moment,
) -> Result<Change, SayError> {
    let body = body.into();
    if contact.blocked {
        return Err(SayError::Blocked(contact.account));
    }
    let session = match &contact.standing {
        Standing::Established(session) if session.lost => return Err(SayError::Lost(contact.account)),
        Standing::Established(session) => session,
        Standing::Requested { .. } => return Err(SayError::NotAccepted(contact.account)),
        Standing::Asking(_) => return Err(SayError::NotAnswered(contact.account)),
        Standing::Declined { .. } => return Err(SayError::Declined(contact.account)),
    };
    let timer = if let Some(Body::Timer(after)) = body { Some(after) } else { None };
    let (ratchet, stamps, outgoing) = encrypt((&session.ratchet, session.stamps), manner, id, body, timestamp)?;
    let standing = Standing::Established(Session { ratchet, stamps, ..*session });
    let mut contact = Contact::at(Some(contact), contact.account, standing);
    contact.disappear_after = timer.unwrap_or(contact.disappear_after);
    Ok(Change { contact: Some(contact), outgoing: Some(outgoing), ..Change::default() })
}

/// We tell `contact` new prekeys.
pub(crate) fn replenish(
    own: Own<'_>,
    contact: &Contact,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, SayError> {
    let (prekeys, bundle) = own.prekeys.bundle();
    let mut change = say(contact, own.mail(), MessageId::random(rng), Body::Prekeys(bundle), now)?;
    if let Some(Contact { standing: Standing::Established(session), .. }) = &mut change.contact {
        session.told = now;
    }
    Ok(Change { prekeys: Some(prekeys), ..change })
}

/// Starts the session with `contact` anew, because it is lost: with their prekeys, or, where none are known, with a friend
/// request, which they answer of their own accord. None: not now, or they are no such contact.
pub(crate) fn reset(own: Own<'_>, contact: &Contact, now: Moment, rng: &mut impl CryptoRng) -> Option<Change> {
    let session = contact.session().filter(|session| !rests(session.reset, RESET_REST, now))?;
    if contact.blocked {
        return None;
    }
    let event = Event::SessionReset { sender: contact.account, ours: true };
    let start = |theirs: &PrekeyBundle| {
        let unused = theirs.one_time_key != theirs.fallback_key;
        let started = if unused {
            session.ratchet.renew(own.prekeys, theirs)
        } else {
            session.ratchet.restart(own.prekeys, theirs)
        };
        let (prekeys, bundle) = own.prekeys.bundle();
        let (id, body) = (MessageId::random(rng), Body::SessionReset(bundle));
        let (ratchet, stamps, outgoing) = encrypt((&started.ok()?, session.stamps), own.mail(), id, body, now).ok()?;
        Some((ratchet, stamps, outgoing, prekeys, theirs.spent()))
    };
    let change = match session.theirs.as_ref().and_then(start) {
        Some((ratchet, stamps, outgoing, prekeys, theirs)) => {
            let (theirs, since, welcomed) = (Some(theirs), session.since, session.welcomed);
            let session = Session { ratchet, theirs, since, reset: now, told: now, welcomed, lost: false, stamps };
            Change {
                contact: Some(Contact::at(Some(contact), contact.account, Standing::Established(session))),
                prekeys: Some(prekeys),
                outgoing: Some(outgoing),
                resend: true,
                ..Change::default()
            }
        }
        None => ask(own, Some(contact), contact.account, String::new(), now).ok()?,
    };
    Some(Change { events: vec![event], ..change })
}

/// Something arrived by this way; `known` is what we know of its source.
///
/// What comes directly is a copy of what its sender keeps, so one that cannot be read says nothing about the session.
pub(crate) fn receive(
    own: Own<'_>,
    known: Option<&Contact>,
    opened: Opened,
    way: Way,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, Unusable> {
    let Opened { source, payload } = opened;
    if source == own.account || known.is_some_and(|contact| contact.blocked) {
        return Err(Unusable::Unwanted);
    }
    let message = match payload {
        Payload::FriendRequest(_) if way == Way::Direct => return Err(Unusable::Unwanted),
        Payload::FriendRequest(request) => return asked(own, known, source, &request, now, rng),
        Payload::Ratchet(message) => message,
    };
    let session = match known.map(|contact| &contact.standing) {
        Some(Standing::Established(session)) => Some(session),
        Some(Standing::Requested { .. }) if way == Way::Mail => None,
        Some(Standing::Requested { .. }) => return Err(Unusable::Unwanted),
        Some(Standing::Asking(_) | Standing::Declined { .. }) | None => {
            return Err(Unusable::Stranger { proven: message.starts_session() });
        }
    };
    let received = match Ratchet::receive(own.prekeys, session.map(|session| &session.ratchet), source, &message) {
        Ok(received) => received,
        Err(error) if way == Way::Direct => return Err(error.into()),
        Err(error) => {
            if let Some(Standing::Requested { introduction }) = known.map(|contact| &contact.standing)
                && message.starts_session()
                && error.is_lost_session()
            {
                // They accepted a request whose keys we have lost.
                return ask(own, known, source, introduction.clone(), now).map_err(|_| error.into());
            }
            let lost = known.filter(|_| session.is_some() && error.is_lost_session());
            let Some(mut change) = lost.and_then(|contact| reset(own, contact, now, rng)) else {
                return Err(error.into());
            };
            change.events.insert(0, Event::Unreadable { sender: source, reason: error.to_string() });
            return Ok(change);
        }
    };
    let joined = received.prekeys.is_some();
    let (theirs, since, reset, told, welcomed, lost, stamps) = match session {
        Some(Session { ratchet: _, theirs, since, reset, told, welcomed, lost, stamps }) => {
            (*theirs, *since, *reset, *told, *welcomed, *lost, *stamps)
        }
        None => (None, now, 0, now, 0, false, Stamps::default()),
    };
    // A session they have started leaves nothing of the bundle it was started with.
    let (told, lost) = if joined { (0, false) } else { (told, lost) };
    let sync = received.content.as_ref().ok().and_then(|content| content.sync);
    let stamps = sync.map_or(stamps, |sync| stamps.told(&sync, way));
    let session_now = Session { ratchet: received.ratchet, theirs, since, reset, told, welcomed, lost, stamps };
    let contact = Contact::at(known, source, Standing::Established(session_now));
    let mut change = Change { prekeys: received.prekeys, ..Change::default() };
    if received.identity_changed {
        change.events.push(Event::IdentityChanged { sender: source });
    }
    match received.content {
        Ok(content) => told_by(contact, content, session.is_none(), now, &mut change),
        Err(error) => {
            change.events.push(Event::Unreadable { sender: source, reason: error.to_string() });
            change.contact = Some(contact);
        }
    }
    Ok(change)
}

/// A friend request arrived. Times the asker tells only sort out copies; how often they are heard is measured by our clock.
fn asked(
    own: Own<'_>,
    known: Option<&Contact>,
    source: AccountAddress,
    request: &FriendRequest,
    now: Moment,
    rng: &mut impl CryptoRng,
) -> Result<Change, Unusable> {
    let (earliest, latest) = (now.saturating_sub(ttl::FRIEND_REQUEST), now.saturating_add(CLOCKS_APART));
    if !(earliest..=latest).contains(&request.timestamp()) {
        return Err(Unusable::StaleRequest);
    }
    let name = request.display_name().clone();
    let mut repeated = false;
    let mut incoming = IncomingRequest {
        introduction: request.introduction().to_owned(),
        timestamp: request.timestamp().min(now),
        told: now,
        prekeys: *request.prekeys(),
    };
    match known.map(|contact| &contact.standing) {
        None => {}
        Some(Standing::Requested { introduction }) => {
            return match crossed_requests(&own.account, &source) {
                Crossed::AcceptTheirs => {
                    let mut asking = Contact::at(known, source, Standing::Asking(incoming));
                    asking.name = Some(name.clone());
                    let mut change = accept(own, &asking, now, rng)?;
                    let timestamp = request.timestamp().min(now);
                    change.events.push(Event::Accepted { sender: source, name: Some(name), timestamp });
                    Ok(change)
                }
                // A request that was made once can be made again.
                Crossed::KeepOurs => {
                    ask(own, known, source, introduction.clone(), now).map_err(|_| Unusable::StaleRequest)
                }
            };
        }
        Some(Standing::Asking(earlier)) if incoming.timestamp <= earlier.timestamp => {
            return Err(Unusable::StaleRequest);
        }
        // The newest keys are those that are good.
        Some(Standing::Asking(earlier)) => {
            repeated = rests(earlier.told, ASK_REST, now);
            incoming.told = if repeated { earlier.told } else { now };
        }
        Some(Standing::Declined { since }) if incoming.timestamp <= *since || rests(*since, DECLINE_REST, now) => {
            return Err(Unusable::Unwanted);
        }
        Some(Standing::Declined { .. }) => {}
        // A contact that asks again has lost its state, or never got our acceptance: there is nothing to decide.
        Some(Standing::Established(session)) => {
            let restored = session.ratchet.their_identity() != incoming.prekeys.identity_key;
            // Who was restored is welcome at once, but not again and again: each time costs keys, work and what is sent again.
            let last = if restored { session.welcomed } else { session.since };
            if incoming.timestamp <= session.since || rests(last, RESET_REST, now) {
                return Err(Unusable::StaleRequest);
            }
            let ratchet = session.ratchet.renew(own.prekeys, &incoming.prekeys).map_err(AcceptError::from)?;
            let mut contact = Contact::at(known, source, Standing::Asking(incoming.clone()));
            contact.name = Some(name);
            let mut change = welcome(own, &contact, (ratchet, session.stamps), &incoming.prekeys, now, rng)?;
            if let Some(Contact { standing: Standing::Established(anew), .. }) = &mut change.contact {
                anew.welcomed = if restored { now } else { session.welcomed };
            }
            change.resend = true;
            change.events.extend(restored.then_some(Event::IdentityChanged { sender: source }));
            change.events.push(Event::SessionReset { sender: source, ours: false });
            return Ok(change);
        }
    }
    let event = Event::Request {
        sender: source,
        name: name.clone(),
        text: incoming.introduction.clone(),
        timestamp: incoming.timestamp,
    };
    let mut contact = Contact::at(known, source, Standing::Asking(incoming));
    contact.name = Some(name);
    let events = if repeated { Vec::new() } else { vec![event] };
    Ok(Change { contact: Some(contact), events, ..Change::default() })
}

/// Whether less than `rest` has passed since this time (0: never). A clock that was set back makes nobody wait.
const fn rests(since: Moment, rest: Moment, now: Moment) -> bool {
    since != 0 && since <= now && now < since.saturating_add(rest)
}

/// A message of an established contact was decrypted.
fn told_by(mut contact: Contact, content: Content, accepted: bool, now: Moment, change: &mut Change) {
    let Content { id, timestamp, sync, body } = content;
    let sender = contact.account;
    change.told = Some(Told { id, sync, acknowledged: body.as_ref().is_some_and(is_acknowledged) });
    let (mut news, mut name, mut prekeys) = (None, None, None);
    match body {
        Some(Body::Text(Text { text, reply_to, disappear_after })) => {
            let name = contact.name.clone();
            news = Some(Event::Message { sender, name, id, text, timestamp, reply_to, disappear_after });
        }
        Some(Body::FriendAccept { display_name, prekeys: bundle }) => {
            (name, prekeys) = (Some(display_name), Some(bundle));
        }
        Some(Body::Profile(display_name)) if contact.name.as_ref() == Some(&display_name) => {}
        Some(Body::Profile(display_name)) => {
            news = Some(Event::Renamed { sender, name: display_name.clone(), timestamp });
            name = Some(display_name);
        }
        Some(Body::Prekeys(bundle)) => prekeys = Some(bundle),
        Some(Body::SessionReset(bundle)) => {
            prekeys = Some(bundle);
            change.resend = true;
            news = Some(Event::SessionReset { sender, ours: false });
        }
        Some(Body::Receipt(kind, ids)) => news = Some(Event::Receipt { sender, kind, ids }),
        Some(Body::Unsend(ids)) => news = Some(Event::Unsent { sender, ids }),
        Some(Body::Timer(disappear_after)) => {
            contact.disappear_after = disappear_after;
            news = Some(Event::Timer { sender, disappear_after });
        }
        // Typing of long ago says nothing.
        Some(Body::Typing(started)) if timestamp.saturating_add(ttl::TYPING) >= now => {
            news = Some(Event::Typing { sender, started });
        }
        Some(Body::Typing(_)) | None => {}
    }
    contact.name = name.or(contact.name);
    if let (Standing::Established(session), Some(_)) = (&mut contact.standing, prekeys) {
        session.theirs = prekeys;
    }
    if accepted {
        change.events.push(Event::Accepted { sender, name: contact.name.clone(), timestamp });
    }
    change.events.extend(news);
    change.contact = Some(contact);
}

/// Whether who says this directly keeps it until it is acknowledged. An acknowledgement is not, or there would be no end; nor
/// is what nobody misses.
pub(crate) const fn is_acknowledged(body: &Body) -> bool {
    match body {
        Body::Text(_)
        | Body::Receipt(ReceiptKind::Read, _)
        | Body::Unsend(_)
        | Body::FriendAccept { .. }
        | Body::Profile(_)
        | Body::Prekeys(_)
        | Body::Timer(_)
        | Body::SessionReset(_) => true,
        Body::Receipt(ReceiptKind::Delivered, _) | Body::Typing(_) => false,
    }
}

/// Whether this may go directly: what does not harm if it comes twice. All else always goes by mail.
pub(crate) const fn may_go_directly(body: &Body) -> bool {
    match body {
        Body::Text(_) | Body::Receipt(..) | Body::Unsend(_) | Body::Typing(_) => true,
        Body::FriendAccept { .. } | Body::Profile(_) | Body::Prekeys(_) | Body::Timer(_) | Body::SessionReset(_) => {
            false
        }
    }
}

fn encrypt(
    (ratchet, stamps): (&Ratchet, Stamps),
    manner: Manner,
    id: MessageId,
    body: impl Into<Option<Body>>,
    timestamp: Moment,
) -> Result<(Ratchet, Stamps, Outgoing), EncryptError> {
    let (stamps, sync) = stamps.next(manner, timestamp);
    let content = Content { id, timestamp, sync: Some(sync), body: body.into() };
    let (ratchet, message) = ratchet.encrypt(&content)?;
    Ok((ratchet, stamps, Outgoing { payload: Payload::Ratchet(message), ttl: content.ttl() }))
}

#[cfg(test)]
mod tests;
