//! Members that do not do what they say.

use crate::owner::{Owner, SUBACCOUNTS};
use rand::{Rng, seq::IndexedRandom};
use skep_mailbox::Record;
use skep_proto::{
    peer::{self, replica::Item, request::Request, response::Response},
    storage::{Action, ExpiryMode, MessageHash, Namespace, Scope, StoreRequest},
};

/// Most things a liar brings up at once.
const AT_ONCE: usize = 5;

/// What a member lies about.
#[derive(Debug)]
pub(crate) enum Lie {
    /// It says that it has everything, and keeps nothing.
    Drop,
    /// It hands over everything it ever had, and what was once said of subaccounts, whatever has been ordered since.
    Resurrect(Vec<peer::Store>, Vec<peer::Command>),
    /// It brings everything it ever had once more, as if a client had just brought it.
    Repeat(Vec<peer::Store>),
    /// It hands over messages and orders that nobody signed.
    Inject(Vec<MessageHash>),
    /// It hands over orders that let messages last longer, or end sooner, than their owners said.
    Extend(Vec<(Owner, MessageHash)>),
}

impl Lie {
    /// What is answered instead of the truth.
    pub(crate) fn answer(&self, request: &Request) -> Option<Response> {
        match (self, request) {
            (Self::Drop, Request::HandOver(peer::HandOver { replicas })) => {
                Some(Response::Taken(peer::Taken { statuses: vec![200; replicas.len()] }))
            }
            (Self::Drop, Request::Reconcile(asked)) => {
                let answers = asked.questions.iter().map(|question| {
                    let answer = match &question.question {
                        Some(peer::question::Question::Names(_)) => {
                            peer::answer::Answer::Missing(peer::Missing { positions: Vec::new() })
                        }
                        Some(peer::question::Question::Range(_)) | None => peer::answer::Answer::Equal(peer::Equal {}),
                    };
                    peer::Answer { answer: Some(answer) }
                });
                Some(Response::Reconciled(peer::Reconciled { answers: answers.collect() }))
            }
            (Self::Drop | Self::Resurrect(..) | Self::Repeat(_) | Self::Inject(_) | Self::Extend(_), _) => None,
        }
    }

    /// Takes note of what a client stores.
    pub(crate) fn hear(&mut self, owner: &Owner, record: &Record) {
        match self {
            Self::Resurrect(heard, _) | Self::Repeat(heard) => heard.push(record.to_wire()),
            Self::Extend(heard) => heard.push((owner.clone(), record.hash())),
            Self::Drop | Self::Inject(_) => {}
        }
    }

    /// Takes note of what is said of subaccounts.
    pub(crate) fn hear_word(&mut self, word: &peer::Command) {
        if let Self::Resurrect(_, words) = self {
            words.push(word.clone());
        }
    }

    /// What it says to others unasked.
    pub(crate) fn push(&mut self, owners: &[Owner], now: u64, rng: &mut impl Rng) -> Vec<Request> {
        if let Self::Repeat(heard) = self {
            return heard.choose_multiple(rng, AT_ONCE).map(|wire| Request::Store(wire.clone())).collect();
        }
        let replicas = self.hand_over(owners, now, rng);
        if replicas.is_empty() { Vec::new() } else { vec![Request::HandOver(peer::HandOver { replicas })] }
    }

    /// What it hands over, as if the others lacked it.
    fn hand_over(&mut self, owners: &[Owner], now: u64, rng: &mut impl Rng) -> Vec<peer::Replica> {
        match self {
            Self::Drop | Self::Repeat(_) => Vec::new(),
            Self::Resurrect(heard, words) => {
                let some = heard.choose_multiple(rng, AT_ONCE).cloned().map(message);
                let mut all: Vec<_> = some.collect();
                for word in words.choose_multiple(rng, AT_ONCE) {
                    let at = if rng.random_bool(0.5) { now } else { word.at };
                    all.push(order(word.request.to_vec(), at));
                }
                all
            }
            Self::Inject(forged) => {
                let [victim, other] = owners.choose_multiple(rng, 2).collect::<Vec<_>>()[..] else { return Vec::new() };
                let auth = rng.random_bool(0.5).then(|| other.signed_store(None, Namespace(5), now));
                let record = Record::new(StoreRequest {
                    account: victim.account(),
                    namespace: Namespace(5),
                    timestamp: now,
                    expiry: now + 3_600_000,
                    data: rng.random::<[u8; 16]>().to_vec(),
                    auth,
                    work: None,
                });
                forged.push(record.hash());
                let delete = other.forged(victim, Action::DeleteAll { scope: Scope::All, timestamp: now });
                let tokens = (0..SUBACCOUNTS).map(|number| victim.token(number)).collect();
                let said = match rng.random_bool(0.5) {
                    true => Action::Revoke { tokens, timestamp: now },
                    false => Action::Unrevoke { tokens, timestamp: now },
                };
                vec![message(record.to_wire()), order(delete, now), order(other.forged(victim, said), now)]
            }
            Self::Extend(heard) => {
                let some: Vec<_> = heard.choose_multiple(rng, AT_ONCE).cloned().collect();
                let forge = |(owner, hash): (Owner, MessageHash)| {
                    let (mode, expiry) = (ExpiryMode::Set, now + rng.random_range(0..7_200_000));
                    let other = owners.choose(rng)?;
                    let action = Action::Expire { messages: vec![hash], expiry: vec![expiry], mode };
                    (other.account() != owner.account()).then(|| order(other.forged(&owner, action), now))
                };
                some.into_iter().filter_map(forge).collect()
            }
        }
    }
}

fn message(wire: peer::Store) -> peer::Replica {
    peer::Replica { item: Some(Item::Message(wire)), extension: None }
}

fn order(request: Vec<u8>, at: u64) -> peer::Replica {
    peer::Replica { item: Some(Item::Order(peer::Command { request: request.into(), at })), extension: None }
}
