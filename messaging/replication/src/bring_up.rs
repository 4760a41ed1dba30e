//! Making one member equal: finding what it lacks, and handing that over.

use crate::{MAX_REPLICAS, Session, refusals::Refusals, wire::CompareError};
use prost::Message;
use skep_mailbox::{Fetched, ItemName, NameRange, Order, Store, StoreError};
use skep_proto::peer::{self, replica::Item, request::Request, response::Response};

/// Bytes of messages in one request, give or take one.
const BATCH_BYTES: usize = 256 * 1024;

/// Brings one member up to what this node has in some ranges.
///
/// | event | effect |
/// |---|---|
/// | [`BringUp::poll`] | what to ask the member, or that it is done, or that its budget is spent |
/// | [`BringUp::handle`] | the member's answer |
/// | [`BringUp::resume`] | it goes on where it rested, with a new budget |
///
/// One request is under way at a time. After a failure nothing of it is of use any more.
#[derive(Debug)]
pub struct BringUp {
    session: Session,
    handing: Vec<ItemName>,
    handed: u64,
    refused: u64,
    refusals: Refusals,
    spent: u64,
    budget: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
pub enum Step {
    /// Ask the member this.
    Ask(Request),
    /// The member has everything but what it refused: so many things.
    Done {
        /// How many.
        refused: u64,
    },
    /// The budget is spent.
    Rest,
}

/// Why a member cannot be made equal now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its answer is of no use.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// It answers something else.
    #[error("its answer is none to what was asked")]
    Unexpected,
    /// It refuses to answer.
    #[error("it refuses with status {status}: {reason}")]
    Refused {
        /// As HTTP would say it.
        status: u32,
        /// In its words.
        reason: String,
    },
    /// The own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BringUp {
    /// Begins with a member of which no refusals are known; `budget` is how many bytes may be exchanged until it rests, give or
    /// take one request.
    pub fn new(ranges: Vec<NameRange>, budget: u64) -> Self {
        Self::knowing(Refusals::default(), ranges, budget)
    }

    /// Begins with a member that has refused these things.
    pub(crate) fn knowing(refusals: Refusals, ranges: Vec<NameRange>, budget: u64) -> Self {
        let session = Session::new(ranges);
        Self { session, handing: Vec::new(), handed: 0, refused: 0, refusals, spent: 0, budget }
    }

    /// Goes on with a new budget, in another round.
    pub fn resume(&mut self) {
        self.spent = 0;
        self.refusals.next_round();
    }

    /// What the member has refused so far.
    pub(crate) fn into_refusals(self) -> Refusals {
        self.refusals
    }

    /// Things handed over so far.
    pub const fn handed(&self) -> u64 {
        self.handed
    }

    /// Bytes exchanged since it began or was resumed.
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// What to do at `now` (ms).
    pub fn poll(&mut self, store: &dyn Store, now: u64) -> Result<Step, Failure> {
        if self.spent >= self.budget {
            return Ok(Step::Rest);
        }
        loop {
            let mut gifts = self.session.take_gifts(store, MAX_REPLICAS)?;
            if gifts.is_empty() {
                break;
            }
            let found = gifts.len();
            gifts.retain(|name| !self.refusals.contains(name));
            self.refused = self.refused.saturating_add((found - gifts.len()) as u64);
            let replicas = self.fetch(store, gifts, now)?;
            if !replicas.is_empty() {
                return Ok(self.asking(Request::HandOver(peer::HandOver { replicas })));
            }
        }
        Ok(match self.session.ask(store)? {
            Some(questions) => self.asking(Request::Reconcile(questions)),
            None => Step::Done { refused: self.refused },
        })
    }

    /// Takes the member's answer.
    pub fn handle(&mut self, store: &dyn Store, answer: peer::Response) -> Result<(), Failure> {
        self.spent = self.spent.saturating_add(answer.encoded_len() as u64);
        match answer.response {
            Some(Response::Reconciled(answers)) if self.handing.is_empty() => {
                Ok(self.session.handle(store, &answers)?)
            }
            Some(Response::Taken(peer::Taken { statuses })) if statuses.len() == self.handing.len() => {
                for (name, status) in self.handing.drain(..).zip(&statuses) {
                    self.refusals.heard(&name, *status);
                }
                let taken = statuses.iter().filter(|status| **status == 200).count() as u64;
                self.handed = self.handed.saturating_add(taken);
                self.refused = self.refused.saturating_add(statuses.len() as u64 - taken);
                Ok(())
            }
            Some(Response::Refusal(peer::Refusal { status, reason })) => Err(Failure::Refused { status, reason }),
            Some(_) | None => Err(Failure::Unexpected),
        }
    }

    fn asking(&mut self, request: Request) -> Step {
        let whole = peer::Request { request: Some(request) };
        self.spent = self.spent.saturating_add(whole.encoded_len() as u64);
        whole.request.map_or(Step::Rest, Step::Ask)
    }

    /// What these names stand for, as far as one request takes it: orders first, since they say what becomes of messages.
    fn fetch(&mut self, store: &dyn Store, gifts: Vec<ItemName>, now: u64) -> Result<Vec<peer::Replica>, Failure> {
        let (mut orders, mut messages) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut gifts = gifts.into_iter();
        for name in gifts.by_ref() {
            // What is not there any more has expired or been deleted meanwhile.
            let Some(fetched) = store.fetch(&name, now)? else { continue };
            let replica = match fetched {
                Fetched::Message { record, extension } => {
                    let item = Some(Item::Message(record.to_wire()));
                    peer::Replica { item, extension: extension.map(command) }
                }
                Fetched::Order(order) => peer::Replica { item: Some(Item::Order(command(order))), extension: None },
            };
            bytes += replica.encoded_len();
            let kind = if matches!(replica.item, Some(Item::Order(_))) { &mut orders } else { &mut messages };
            kind.push((name, replica));
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        self.session.put_back(gifts);
        let (names, replicas) = orders.into_iter().chain(messages).unzip();
        self.handing = names;
        Ok(replicas)
    }
}

fn command(order: Order) -> peer::Command {
    peer::Command { request: order.request.into(), at: order.at }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
