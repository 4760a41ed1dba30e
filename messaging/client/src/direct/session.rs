//! Our listening session.

use super::Delivered;
use rand::{CryptoRng, Rng};
use skep_envelope::Listening;
use skep_primitives::{Moment, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    storage::{
        ListenRequest, UnlistenRequest,
        listening::{DeliveryToken, Handle, ListenResponse, ListenedContact, MAX_HOLD, SessionSecret},
    },
};
use std::collections::BTreeMap;

/// A call is held between this share of the longest hold and the longest: jittered, so that renewals keep no rhythm.
const SHORTEST_HOLD: u64 = MAX_HOLD / 2;
/// Calls that may fail in a row before the node is given up.
const MOST_FAILURES: u32 = 2;

/// A call to the listening node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) node: ServiceNodeId,
    pub(crate) request: ListenRequest,
    /// When it was made (ms).
    made: Moment,
    /// Names the call within this program's run.
    number: u64,
}

/// Why a call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenFailure {
    /// The node does not want the session.
    Refused,
    /// No answer, or none of use.
    Silent,
}

#[derive(Debug)]
pub(super) struct Session {
    node: ServiceNodeId,
    secret: SessionSecret,
    ack: u64,
    ears: BTreeMap<AccountAddress, Ear>,
    /// The newest call that is out.
    waiting: Option<u64>,
    /// Handles have changed since the newest call.
    changed: bool,
    /// There is more to fetch.
    more: bool,
    calls: u64,
    /// In a row.
    failures: u32,
}

/// What a contact delivers to.
#[derive(Debug)]
struct Ear {
    contact: ListenedContact,
    /// The node has said that it knows the handle.
    known: bool,
}

impl Session {
    pub(super) fn new(node: ServiceNodeId, rng: &mut impl CryptoRng) -> Self {
        Self {
            node,
            secret: SessionSecret(random(rng)),
            ack: 0,
            ears: BTreeMap::new(),
            waiting: None,
            changed: true,
            more: false,
            calls: 0,
            failures: 0,
        }
    }

    pub(super) const fn node(&self) -> ServiceNodeId {
        self.node
    }

    pub(super) fn listen_for(&mut self, contact: AccountAddress, rng: &mut impl CryptoRng) {
        let Self { ears, changed, .. } = self;
        ears.entry(contact).or_insert_with(|| {
            *changed = true;
            let contact = ListenedContact { handle: Handle(random(rng)), token: DeliveryToken(random(rng)) };
            Ear { contact, known: false }
        });
    }

    pub(super) fn drop_handle(&mut self, contact: &AccountAddress) {
        self.changed |= self.ears.remove(contact).is_some();
    }

    /// What the contact may be told, once the node knows it.
    pub(super) fn listening_for(&self, contact: &AccountAddress) -> Option<Listening> {
        let Ear { contact: ListenedContact { handle, token }, known } = self.ears.get(contact)?;
        known.then_some(Listening { node: self.node.0, handle: handle.0, token: token.0 })
    }

    pub(super) const fn wants_call(&self) -> bool {
        self.waiting.is_none() || self.changed
    }

    /// The next call. A change of handles does not wait for the call that is out: the node answers that one then.
    pub(super) fn poll_call(&mut self, now: Moment, rng: &mut impl CryptoRng) -> Option<Call> {
        if !self.wants_call() {
            return None;
        }
        let hold = if self.changed || self.more { 0 } else { rng.random_range(SHORTEST_HOLD..=MAX_HOLD) };
        self.calls = self.calls.saturating_add(1);
        (self.waiting, self.changed, self.more) = (Some(self.calls), false, false);
        let contacts = self.ears.values().map(|ear| ear.contact).collect();
        let request = ListenRequest { session: self.secret, contacts, ack: self.ack, hold };
        Some(Call { node: self.node, request, made: now, number: self.calls })
    }

    /// Whether the call was this session's.
    pub(super) fn made(&self, call: &Call) -> bool {
        call.request.session == self.secret
    }

    /// What a call brought. None: nothing, long before its time; a node that answers so would be called without a pause.
    pub(super) fn answered(&mut self, call: &Call, answer: ListenResponse, now: Moment) -> Option<Vec<Delivered>> {
        // A node answers a call at once when a newer one comes, or when it was asked to.
        let held = call.request.hold == 0 || now.saturating_sub(call.made) >= call.request.hold / 2;
        let due = held || self.waiting != Some(call.number);
        self.done(call);
        if answer.opened {
            // The node counts from one again. What it had queued is lost; its senders will notice.
            self.ack = 0;
        }
        for ear in self.ears.values_mut() {
            ear.known |= call.request.contacts.contains(&ear.contact);
        }
        let mut delivered = Vec::new();
        for message in answer.messages {
            // One that a call before this brought, too, or out of turn.
            if message.sequence != self.ack.saturating_add(1) {
                continue;
            }
            self.ack = message.sequence;
            let contact = self.ears.iter().find(|(_, ear)| ear.contact.handle == message.handle);
            if let Some((contact, _)) = contact {
                delivered.push(Delivered { contact: *contact, data: message.data });
            }
        }
        // Who says that there is more has given something.
        self.more |= answer.more && !delivered.is_empty();
        if delivered.is_empty() && !due {
            return None;
        }
        self.failures = 0;
        Some(delivered)
    }

    /// Whether the session is over.
    pub(super) fn failed(&mut self, call: &Call, failure: ListenFailure) -> bool {
        self.done(call);
        self.failures = self.failures.saturating_add(1);
        match failure {
            ListenFailure::Refused => true,
            ListenFailure::Silent => self.failures >= MOST_FAILURES,
        }
    }

    fn done(&mut self, call: &Call) {
        if self.waiting == Some(call.number) {
            self.waiting = None;
        }
    }

    pub(super) fn end(self) -> (ServiceNodeId, UnlistenRequest) {
        (self.node, UnlistenRequest { session: self.secret })
    }
}

fn random(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}
