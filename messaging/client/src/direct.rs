//! Direct delivery: whether what is said goes straight to a contact's listening node, and listening for contacts ourselves
//! (`protocol.md` section 6); pure.
//!
//! ```text
//! ours told, theirs told, all mail heard of ---> direct --- acknowledged ---> direct
//!                                                  |
//!              nobody listens, or no acknowledgement in time: the line falls
//!                                                  |
//!                    what is in flight goes by mail, both handles are dead, the line rests
//! ```
//!
//! *Never lost.* What goes directly is kept on disk until the contact acknowledges it, end to end. If the line falls, or the
//! program ends, it is encrypted once more, under its name, and goes by mail.
//!
//! *Never twice.* A message has one name by either way; whoever has it acknowledges a copy and shows nothing.
//!
//! *Never unreadable.* A ratchet forgets keys that are skipped for too long, so mail that waits must not be overtaken by many
//! direct messages. Whoever has mailed something goes on by mail until the contact has told that it was read
//! ([`Stamps`](crate::conversation::Stamps)).
//!
//! A node that is busy is no reason to give up a line: that message goes by mail and the line rests a little.

mod line;
mod session;

use crate::conversation::{Stamps, Told, Way};
use line::Line;
pub(crate) use line::Refusal;
use rand::CryptoRng;
use session::Session;
pub(crate) use session::{Call, ListenFailure};
use skep_envelope::{Listening, MessageId};
use skep_primitives::{Moment, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    storage::{
        UnlistenRequest,
        listening::{ListenResponse, MAX_HANDLES},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Contacts listened for at a time; the one not heard of for longest gives way. Fewer than a session may have handles, so that
/// one can be exchanged for another.
pub(crate) const MOST_LINES: usize = MAX_HANDLES / 2;
/// How long a line is kept that nothing is said on (ms).
const IDLE: Moment = 10 * 60 * 1000;
/// The first pause after listening has failed, and the longest (ms).
const PAUSE: (Moment, Moment) = (2_000, 5 * 60 * 1000);

/// The direct lines of a client that is online.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<AccountAddress, Line>,
    session: Option<Session>,
    /// Sessions that have ended; their nodes are to be told.
    ended: Vec<(ServiceNodeId, UnlistenRequest)>,
    pause_until: Moment,
    failures: u32,
    /// Contacts are told that we are not online.
    silent: bool,
}

/// What came directly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Under whose handle: who claims to have sent it.
    pub(crate) contact: AccountAddress,
    pub(crate) data: Vec<u8>,
}

impl Lines {
    /// Something is said to a contact, or was heard of it: listen for it from now on.
    pub(crate) fn attend(&mut self, contact: AccountAddress, now: Moment, rng: &mut impl CryptoRng) {
        if !self.lines.contains_key(&contact) && self.lines.len() >= MOST_LINES {
            let resting = self.lines.iter().filter(|(_, line)| line.in_flight() == 0);
            let longest = resting.min_by_key(|(_, line)| line.used()).map(|(contact, _)| *contact);
            let Some(longest) = longest else { return };
            self.forget(&longest);
        }
        self.lines.entry(contact).or_insert_with(|| Line::new(now)).attend(now);
        if let Some(session) = &mut self.session {
            session.listen_for(contact, rng);
        }
    }

    /// What a contact is told of where we listen for it; none: we are not online to it.
    pub(crate) fn listening_for(&self, contact: &AccountAddress) -> Option<Listening> {
        self.session.as_ref().filter(|_| !self.silent).and_then(|session| session.listening_for(contact))
    }

    /// A message to a contact told it where we listen for it, or that we do not.
    pub(crate) fn tells(&mut self, contact: &AccountAddress) {
        let listening = self.listening_for(contact);
        if let Some(line) = self.lines.get_mut(contact) {
            line.tells(listening);
        }
    }

    /// A contact's message told this.
    pub(crate) fn told(&mut self, contact: &AccountAddress, told: &Told, way: Way, now: Moment) {
        let Some(line) = self.lines.get_mut(contact) else { return };
        if let Some(sync) = &told.sync {
            line.told(sync, way, now);
        }
        if way == Way::Direct && told.acknowledged {
            line.owes(told.id);
        }
    }

    /// Where to give the next message to a contact; none: by mail.
    pub(crate) fn address(&self, contact: &AccountAddress, stamps: Stamps, now: Moment) -> Option<Listening> {
        let line = self.lines.get(contact)?;
        if stamps.is_all_heard() { line.address(now) } else { None }
    }

    /// A message to be acknowledged was given to the contact's node.
    pub(crate) fn given(&mut self, contact: &AccountAddress, id: MessageId, now: Moment) {
        if let Some(line) = self.lines.get_mut(contact) {
            line.given(id, now);
        }
    }

    /// The contact has these messages.
    pub(crate) fn acknowledged(&mut self, contact: &AccountAddress, ids: &[MessageId]) {
        if let Some(line) = self.lines.get_mut(contact) {
            line.acknowledged(ids);
        }
    }

    /// The contact's node did not take a message.
    pub(crate) fn refused(
        &mut self,
        contact: &AccountAddress,
        refusal: Refusal,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> bool {
        match refusal {
            Refusal::Busy => {
                if let Some(line) = self.lines.get_mut(contact) {
                    line.rest(now);
                }
                false
            }
            Refusal::Dead => {
                self.fall(contact, now, rng);
                true
            }
        }
    }

    /// The direct way to a contact does not work: both handles are dead. What was given to its node and not acknowledged has to
    /// go by mail.
    pub(crate) fn fall(&mut self, contact: &AccountAddress, now: Moment, rng: &mut impl CryptoRng) {
        let Some(line) = self.lines.get_mut(contact) else { return };
        line.fall(now);
        if let Some(session) = &mut self.session {
            session.drop_handle(contact);
            session.listen_for(*contact, rng);
        }
    }

    /// Messages of a contact that came directly and are to be acknowledged.
    pub(crate) fn owed(&mut self, contact: &AccountAddress) -> Vec<MessageId> {
        self.lines.get_mut(contact).map(Line::take_owed).unwrap_or_default()
    }

    /// Contacts to whom acknowledgements are owed.
    pub(crate) fn debtors(&self) -> Vec<AccountAddress> {
        self.lines.iter().filter(|(_, line)| line.is_in_debt()).map(|(contact, _)| *contact).collect()
    }

    /// Contacts that are online and do not know where we listen for them, though we do.
    pub(crate) fn to_be_told(&self, now: Moment) -> Vec<AccountAddress> {
        let untold = |contact: &AccountAddress, line: &Line| {
            line.address(now).is_some() && self.listening_for(contact).is_some_and(|ours| !line.has_told(&ours))
        };
        self.lines.iter().filter(|(contact, line)| untold(contact, line)).map(|(contact, _)| *contact).collect()
    }

    /// Contacts that believe us to be online.
    pub(crate) fn believers(&self) -> Vec<AccountAddress> {
        self.lines.iter().filter(|(_, line)| line.is_believed()).map(|(contact, _)| *contact).collect()
    }

    /// Time has passed: the contacts whose lines have fallen because an acknowledgement did not come.
    pub(crate) fn handle_timeout(&mut self, now: Moment, rng: &mut impl CryptoRng) -> Vec<AccountAddress> {
        let overdue = self.lines.iter().filter(|(_, line)| line.is_overdue(now));
        let overdue: Vec<_> = overdue.map(|(contact, _)| *contact).collect();
        for contact in &overdue {
            self.fall(contact, now, rng);
        }
        let idle =
            self.lines.iter().filter(|(_, line)| line.in_flight() == 0 && line.used().saturating_add(IDLE) <= now);
        let idle: Vec<_> = idle.map(|(contact, _)| *contact).collect();
        for contact in idle {
            self.forget(&contact);
        }
        overdue
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_listen`] has something to do of its own accord.
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        let overdue = self.lines.values().filter_map(Line::overdue_at);
        let listen = self.session.as_ref().filter(|session| session.wants_call()).map(|_| self.pause_until);
        overdue.chain(listen).min()
    }

    /// Whether a listening node has to be chosen.
    pub(crate) fn needs_node(&self, now: Moment) -> bool {
        self.session.is_none() && now >= self.pause_until
    }

    /// The listening node, if there is one.
    pub(crate) fn node(&self) -> Option<ServiceNodeId> {
        self.session.as_ref().map(Session::node)
    }

    /// Listens on this node of the own swarm from now on.
    pub(crate) fn listen_on(&mut self, node: ServiceNodeId, rng: &mut impl CryptoRng) {
        self.end_session();
        let mut session = Session::new(node, rng);
        for contact in self.lines.keys() {
            session.listen_for(*contact, rng);
        }
        self.session = Some(session);
    }

    /// The call to make to the listening node now.
    pub(crate) fn poll_listen(&mut self, now: Moment, rng: &mut impl CryptoRng) -> Option<Call> {
        if now < self.pause_until {
            return None;
        }
        self.session.as_mut()?.poll_call(now, rng)
    }

    /// A call was answered.
    pub(crate) fn handle_listened(&mut self, call: &Call, answer: ListenResponse, now: Moment) -> Vec<Delivered> {
        let Some(session) = self.session.as_mut().filter(|session| session.made(call)) else { return Vec::new() };
        if let Some(delivered) = session.answered(call, answer, now) {
            self.failures = 0;
            return delivered;
        }
        self.handle_failed(call, ListenFailure::Silent, now);
        Vec::new()
    }

    /// A call failed. A session whose node is gone, or does not want it, is over; another node is to be chosen after a pause.
    pub(crate) fn handle_failed(&mut self, call: &Call, failure: ListenFailure, now: Moment) {
        let Some(session) = self.session.as_mut().filter(|session| session.made(call)) else { return };
        let over = session.failed(call, failure);
        self.pause(now);
        if over {
            self.end_session();
        }
    }

    /// There is no way to a listening node now.
    pub(crate) fn pause(&mut self, now: Moment) {
        let (shortest, longest) = PAUSE;
        let pause = shortest.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.pause_until = now.saturating_add(pause);
        self.failures = self.failures.saturating_add(1);
    }

    /// From now on contacts are told that we are not online.
    pub(crate) const fn silence(&mut self) {
        self.silent = true;
    }

    /// We are online no more. What is in flight has to go by mail.
    pub(crate) fn hang_up(&mut self) {
        self.lines.clear();
        self.end_session();
    }

    /// A contact is listened for no more.
    pub(crate) fn forget(&mut self, contact: &AccountAddress) {
        self.lines.remove(contact);
        if let Some(session) = &mut self.session {
            session.drop_handle(contact);
        }
    }

    /// The next session whose end is to be told to its node. One that cannot be told is given back, and asked for again.
    pub(crate) fn poll_unlisten(&mut self) -> Option<(ServiceNodeId, UnlistenRequest)> {
        self.ended.pop()
    }

    /// It could not be told.
    pub(crate) fn still_ended(&mut self, node: ServiceNodeId, request: UnlistenRequest) {
        /// By the time there are more, nodes have forgotten the first.
        const MOST: usize = 4;
        self.ended.insert(0, (node, request));
        self.ended.truncate(MOST);
    }

    /// Contacts whose messages wait to be acknowledged.
    pub(crate) fn in_flight(&self) -> BTreeSet<AccountAddress> {
        self.lines.iter().filter(|(_, line)| line.in_flight() > 0).map(|(contact, _)| *contact).collect()
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.ended.push(session.end());
        }
        self.lines.values_mut().for_each(|line| line.tells(None));
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
