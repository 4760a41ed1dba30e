//! Listening sessions: who waits here for messages delivered directly, and what waits for them (`protocol.md` section 6;
//! the calls are described in [`skep_proto::storage::listening`]).
//!
//! | what happens | what changes |
//! |---|---|
//! | `listen` of an unknown session | it is opened, if there is room for it and for one more of its neighbour's |
//! | `listen` | its handles are exactly those named; what is acknowledged goes; it lives on |
//! | `listen` while another one waits | the older one is woken and gets nothing |
//! | `deliver` | the message is queued behind the others and whoever waits is woken |
//! | the last `listen` was answered [`SESSION_LIFE`] ago, or `unlisten` | session, handles and queue are gone |
//!
//! Everything is in memory and bounded: sessions in all and by the neighbour that opened them, handles and messages of a
//! session, bytes in all, and the rate of each handle. No account, address or sender is known here: a session is whoever
//! has its secret, a contact whoever has its handle and token.

use skep_proto::storage::{
    DeliverRequest, ListenRequest,
    listening::{
        ANSWER_SIZES, DELIVERIES_PER_SECOND, DELIVERY_BURST, DeliveredMessage, ListenedContact, MAX_QUEUED,
        MAX_QUEUED_BYTES, SESSION_LIFE, SessionSecret,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// What a node grants to those who listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningLimits {
    /// Sessions.
    pub sessions: usize,
    /// Bytes queued, in all sessions together.
    pub bytes: usize,
}

/// Why a session cannot listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenRefusal {
    /// There is no room for another session.
    NoRoom,
    /// Another session listens under one of the handles.
    HandleTaken,
}

/// Why a message is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverRefusal {
    /// No session listens under this handle with this token.
    NobodyListens,
    /// The handle is used too often.
    TooMany,
    /// The session, or the node, has no room for more.
    Full,
}

/// What came of a `listen`, so far.
#[derive(Debug)]
pub struct Listened<W> {
    /// The session was unknown before.
    pub opened: bool,
    /// Names this call: messages are for the newest call only.
    pub ticket: Ticket,
    /// Whether there are messages already.
    pub heard: bool,
    /// Who waited before, and is to be woken.
    pub replaced: Option<W>,
}

/// One call of `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What is queued for one call of `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Oldest first, as much as one answer holds.
    pub messages: Vec<DeliveredMessage>,
    /// Whether there is more.
    pub more: bool,
}

/// All sessions of a node. `U` names neighbours, `W` wakes who waits.
#[derive(Debug)]
pub struct Listening<U, W> {
    limits: ListeningLimits,
    sessions: HashMap<SessionSecret, Session<U, W>>,
    /// The session of each live handle and its token. Who guesses learns nothing from the time a look-up takes: the map is
    /// keyed at random.
    contacts: HashMap<Contact, SessionSecret>,
    by_neighbour: HashMap<U, usize>,
    bytes: usize,
    next_ticket: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Contact([u8; 32], [u8; 32]);

impl From<&ListenedContact> for Contact {
    fn from(contact: &ListenedContact) -> Self {
        Self(contact.handle.0, contact.token.0)
    }
}

#[derive(Debug)]
struct Session<U, W> {
    neighbour: U,
    contacts: HashMap<Contact, Bucket>,
    queue: VecDeque<DeliveredMessage>,
    queued_bytes: usize,
    last_sequence: u64,
    ticket: Ticket,
    waiter: Option<W>,
    /// When it ends unless it is renewed (ms).
    until: u64,
}

/// A token bucket, in thousandths of a message.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    since: u64,
}

impl Bucket {
    const MOST: u64 = DELIVERY_BURST as u64 * 1000;

    const fn full(now: u64) -> Self {
        Self { level: Self::MOST, since: now }
    }

    fn take(&mut self, now: u64) -> bool {
        let refill = now.saturating_sub(self.since).saturating_mul(DELIVERIES_PER_SECOND.into());
        self.level = self.level.saturating_add(refill).min(Self::MOST);
        self.since = self.since.max(now);
        match self.level.checked_sub(1000) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

impl<U: Copy + Eq + Hash, W> Listening<U, W> {
    /// Nobody listens yet.
    pub fn new(limits: ListeningLimits) -> Self {
        Self {
            limits,
            sessions: HashMap::new(),
            contacts: HashMap::new(),
            by_neighbour: HashMap::new(),
            bytes: 0,
            next_ticket: 0,
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Opens or renews a session for `neighbour`, which may have `share` of them, so that none can use up the room of all; if
    /// there is nothing for it, `waiter` is woken once there is. Times in ms.
    ///
    /// # Errors
    /// [`ListenRefusal`]; nothing has changed.
    pub fn listen(
        &mut self,
        request: &ListenRequest,
        (neighbour, share): (U, usize),
        waiter: Option<W>,
        now: u64,
    ) -> Result<Listened<W>, ListenRefusal> {
        self.end_if_over(&request.session, now);
        for contact in request.contacts.iter().map(Contact::from) {
            let Some(other) = self.contacts.get(&contact).copied().filter(|other| *other != request.session) else {
                continue;
            };
            self.end_if_over(&other, now);
            if self.contacts.contains_key(&contact) {
                return Err(ListenRefusal::HandleTaken);
            }
        }
        let opened = !self.sessions.contains_key(&request.session);
        if opened {
            self.make_room(neighbour, share, now)?;
            *self.by_neighbour.entry(neighbour).or_default() += 1;
        }
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = Ticket(self.next_ticket);
        let session = self.sessions.entry(request.session).or_insert_with(|| Session {
            neighbour,
            contacts: HashMap::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_sequence: 0,
            ticket,
            waiter: None,
            until: 0,
        });
        session.ticket = ticket;
        session.until = now.saturating_add(request.hold).saturating_add(SESSION_LIFE);
        let before = std::mem::take(&mut session.contacts);
        for contact in request.contacts.iter().map(Contact::from) {
            let bucket = before.get(&contact).copied().unwrap_or(Bucket::full(now));
            session.contacts.insert(contact, bucket);
            self.contacts.insert(contact, request.session);
        }
        for contact in before.keys().filter(|contact| !session.contacts.contains_key(contact)) {
            self.contacts.remove(contact);
        }
        self.bytes -= session.acknowledge(request.ack);
        let heard = !session.queue.is_empty();
        let replaced = std::mem::replace(&mut session.waiter, waiter.filter(|_| !heard));
        Ok(Listened { opened, ticket, heard, replaced })
    }

    /// What is there for a call of `listen`, which is answered now: nothing if a newer one has taken its place.
    pub fn hear(&mut self, session: &SessionSecret, ticket: Ticket, now: u64) -> Heard {
        let Some(session) = self.sessions.get_mut(session).filter(|session| session.ticket == ticket) else {
            return Heard::default();
        };
        session.waiter = None;
        session.until = now.saturating_add(SESSION_LIFE);
        let [_, largest] = ANSWER_SIZES;
        let (mut bytes, mut messages) = (0, Vec::new());
        for message in &session.queue {
            bytes += message.data.len();
            if bytes > largest && !messages.is_empty() {
                break;
            }
            messages.push(message.clone());
        }
        let more = messages.len() < session.queue.len();
        Heard { messages, more }
    }

    /// Queues a message. Whom to wake, if somebody waits for it.
    ///
    /// # Errors
    /// [`DeliverRefusal`]; nothing is queued.
    pub fn deliver(&mut self, request: DeliverRequest, now: u64) -> Result<Option<W>, DeliverRefusal> {
        let DeliverRequest { handle, token, data } = request;
        let contact = Contact(handle.0, token.0);
        let secret = self.contacts.get(&contact).copied().ok_or(DeliverRefusal::NobodyListens)?;
        self.end_if_over(&secret, now);
        let session = self.sessions.get_mut(&secret).ok_or(DeliverRefusal::NobodyListens)?;
        let bucket = session.contacts.get_mut(&contact).ok_or(DeliverRefusal::NobodyListens)?;
        if !bucket.take(now) {
            return Err(DeliverRefusal::TooMany);
        }
        // Nodes may ask each other twice when a connection breaks.
        if session.queue.iter().any(|queued| queued.handle == handle && queued.data == data) {
            return Ok(None);
        }
        let size = data.len();
        if session.queue.len() >= MAX_QUEUED
            || session.queued_bytes + size > MAX_QUEUED_BYTES
            || self.bytes + size > self.limits.bytes
        {
            return Err(DeliverRefusal::Full);
        }
        session.last_sequence += 1;
        session.queue.push_back(DeliveredMessage { sequence: session.last_sequence, handle, data });
        session.queued_bytes += size;
        self.bytes += size;
        Ok(session.waiter.take())
    }

    /// Ends a session. Whom to wake, if somebody waits.
    pub fn unlisten(&mut self, secret: &SessionSecret) -> Option<W> {
        let session = self.sessions.remove(secret)?;
        for contact in session.contacts.keys() {
            self.contacts.remove(contact);
        }
        self.bytes -= session.queued_bytes;
        if let Some(count) = self.by_neighbour.get_mut(&session.neighbour) {
            *count -= 1;
            if *count == 0 {
                self.by_neighbour.remove(&session.neighbour);
            }
        }
        session.waiter
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&mut self, now: u64) {
        let over: Vec<_> =
            self.sessions.iter().filter(|(_, session)| session.until <= now).map(|(secret, _)| *secret).collect();
        for secret in over {
            self.unlisten(&secret);
        }
    }

    fn end_if_over(&mut self, secret: &SessionSecret, now: u64) {
        if self.sessions.get(secret).is_some_and(|session| session.until <= now) {
            self.unlisten(secret);
        }
    }

    fn make_room(&mut self, neighbour: U, share: usize, now: u64) -> Result<(), ListenRefusal> {
        let has_room = |table: &Self| {
            let opened = table.by_neighbour.get(&neighbour).copied().unwrap_or_default();
            table.sessions.len() < table.limits.sessions && opened < share
        };
        if !has_room(self) {
            self.expire(now);
        }
        if has_room(self) { Ok(()) } else { Err(ListenRefusal::NoRoom) }
    }
}

impl<U, W> Session<U, W> {
    /// Lets go of all messages up to a number; how many bytes they had.
    fn acknowledge(&mut self, ack: u64) -> usize {
        let mut freed = 0;
        while let Some(message) = self.queue.pop_front_if(|message| message.sequence <= ack) {
            freed += message.data.len();
        }
        self.queued_bytes -= freed;
        freed
    }
}

#[cfg(test)]
mod tests;
