//! The direct line with one contact.

use crate::conversation::Way;
use skep_envelope::{Listening, MessageId, Sync};
use skep_primitives::Moment;
use std::collections::VecDeque;

/// How long a message may take to be acknowledged (ms): two ways through three hops, and a slow machine at their end.
const ACKNOWLEDGE: Moment = 20_000;
/// How long a line rests after it has fallen, at first and at most (ms); each time in a row it is twice as long.
const REST: (Moment, Moment) = (30_000, 15 * 60 * 1000);
/// Falls in a row after which a new place where they listen does not end the rest.
const FALLS_FORGIVEN: u32 = 2;
/// How long a line rests after the contact's node was busy (ms).
const BUSY_REST: Moment = 10_000;
/// How old a word of where a contact listens may be when it comes by mail (ms): what is older is likely not true any more.
const FRESH: Moment = 10 * 60 * 1000;
/// Messages that wait to be acknowledged; more go by mail. Fewer than the keys a ratchet keeps for skipped messages.
const MOST_IN_FLIGHT: usize = 24;
/// Messages owed an acknowledgement; a contact that sends more without waiting sends them again by mail.
const MOST_OWED: usize = 500;

/// Why a node did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has too much to do.
    Busy,
    /// Nobody listens, or the node does not answer.
    Dead,
}

#[derive(Debug)]
pub(super) struct Line {
    /// Where they listen for us.
    theirs: Option<Listening>,
    /// The stamp of the newest word of theirs about that.
    newest: u64,
    /// Their handle that is not to be used any more, whatever is said later about it.
    dead: Option<[u8; 32]>,
    /// What they were told last about where we listen.
    told: Option<Listening>,
    /// Given to their node and not acknowledged, oldest first, with the time.
    in_flight: VecDeque<(MessageId, Moment)>,
    owed: Vec<MessageId>,
    rest_until: Moment,
    /// In a row.
    falls: u32,
    used: Moment,
}

impl Line {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            theirs: None,
            newest: 0,
            dead: None,
            told: None,
            in_flight: VecDeque::new(),
            owed: Vec::new(),
            rest_until: 0,
            falls: 0,
            used: now,
        }
    }

    pub(super) fn attend(&mut self, now: Moment) {
        self.used = self.used.max(now);
    }

    /// When something was said last.
    pub(super) const fn used(&self) -> Moment {
        self.used
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn told(&mut self, sync: &Sync, way: Way, now: Moment) {
        self.used = self.used.max(now);
        // Mail is read from several members, not always in the order in which it was written.
        if sync.stamp < self.newest {
            return;
        }
        self.newest = sync.stamp;
        let fresh = match way {
            Way::Direct => true,
            Way::Mail => sync.stamp.saturating_add(FRESH) >= now,
        };
        let before = self.theirs.map(|theirs| theirs.handle);
        self.theirs = sync.listening.filter(|theirs| fresh && Some(theirs.handle) != self.dead);
        // Who listens anew was away and is there again; who falls again and again is left alone.
        let is_new = self.theirs.is_some_and(|theirs| Some(theirs.handle) != before);
        if is_new && self.falls <= FALLS_FORGIVEN {
            self.rest_until = self.rest_until.min(now);
        }
    }

    /// Where to give the next message.
    pub(super) fn address(&self, now: Moment) -> Option<Listening> {
        let ready = now >= self.rest_until && self.in_flight.len() < MOST_IN_FLIGHT;
        self.theirs.filter(|_| ready)
    }

    pub(super) fn given(&mut self, id: MessageId, now: Moment) {
        if self.in_flight.iter().all(|(known, _)| *known != id) {
            self.in_flight.push_back((id, now));
        }
    }

    pub(super) fn acknowledged(&mut self, ids: &[MessageId]) {
        let before = self.in_flight.len();
        self.in_flight.retain(|(id, _)| !ids.contains(id));
        if self.in_flight.len() < before {
            self.falls = 0;
        }
    }

    /// When the oldest message in flight has waited too long.
    pub(super) fn overdue_at(&self) -> Option<Moment> {
        self.in_flight.iter().map(|(_, given)| given.saturating_add(ACKNOWLEDGE)).min()
    }

    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        self.overdue_at().is_some_and(|at| at <= now)
    }

    pub(super) fn rest(&mut self, now: Moment) {
        self.rest_until = self.rest_until.max(now.saturating_add(BUSY_REST));
    }

    pub(super) fn fall(&mut self, now: Moment) {
        let (shortest, longest) = REST;
        let rest = shortest.saturating_mul(1 << self.falls.min(16)).min(longest);
        self.rest_until = now.saturating_add(rest);
        self.falls = self.falls.saturating_add(1);
        self.dead = self.theirs.take().map(|theirs| theirs.handle).or(self.dead);
        self.in_flight.clear();
        self.told = None;
    }

    pub(super) fn owes(&mut self, id: MessageId) {
        if self.owed.len() < MOST_OWED && !self.owed.contains(&id) {
            self.owed.push(id);
        }
    }

    pub(super) fn is_in_debt(&self) -> bool {
        !self.owed.is_empty()
    }

    pub(super) fn take_owed(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.owed)
    }

    /// A message to them carries this.
    pub(super) fn tells(&mut self, listening: Option<Listening>) {
        self.told = listening;
    }

    pub(super) fn has_told(&self, ours: &Listening) -> bool {
        self.told.as_ref() == Some(ours)
    }

    /// Whether they believe us to be online.
    pub(super) const fn is_believed(&self) -> bool {
        self.told.is_some()
    }
}
