//! Getting one message kept by a swarm: whom to ask, and when it counts as sent; pure.
//!
//! Three members are asked (the paper's delivery), each of which passes the message on to all others; one that fails is
//! replaced by another. The message counts as sent once [`COPIES`] members have signed that they have it on disk, whoever
//! brought their signatures: no single member can pretend.

use ed25519_dalek::{Signature, VerifyingKey};
use rand::{Rng, seq::SliceRandom};
use serde::Deserialize;
use skep_onion::Answer;
use skep_primitives::{Moment, ServiceNodeId};
use skep_proto::storage::{HexKey, MemberResult, MessageHash, StoreResponse, signed};
use std::collections::BTreeMap;

/// Members a message is given to, and receipts that make it sent.
pub(crate) const COPIES: usize = 3;

/// A member's signature that it has a message on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The member.
    pub member: ServiceNodeId,
    /// Its Ed25519 signature over the text of the message's hash.
    pub signature: [u8; 64],
    /// Until when it says to keep the message (ms). Not signed.
    pub expiry: Moment,
}

/// What a member's answer amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has taken the message.
    Taken,
    /// It says that the mailbox is another swarm's.
    WrongSwarm,
    /// It demands this effort of work.
    MoreWork(u32),
    /// It says that this clock is wrong.
    WrongClock,
    /// Anything else.
    Refused,
}

/// The deposits of one message with one swarm.
#[derive(Debug)]
pub(crate) struct Deposits {
    hash: MessageHash,
    /// Every member of the swarm, by whether its receipt has come.
    members: BTreeMap<ServiceNodeId, Option<Receipt>>,
    /// Members not asked yet, in random order.
    untried: Vec<ServiceNodeId>,
}

/// The refusal that asks for (more) work: `{"reason":"work","effort":E,"block":H}` (`protocol.md` section 8).
#[derive(Deserialize)]
struct WorkRefusal {
    reason: String,
    effort: u32,
}

impl Deposits {
    /// Of the message `hash` to the swarm with these members.
    pub(crate) fn new(hash: MessageHash, members: impl IntoIterator<Item = ServiceNodeId>, rng: &mut impl Rng) -> Self {
        let members: BTreeMap<_, _> = members.into_iter().map(|member| (member, None)).collect();
        let mut untried: Vec<_> = members.keys().copied().collect();
        untried.shuffle(rng);
        Self { hash, members, untried }
    }

    /// The members to ask now, none of them in `path`: as many as receipts are missing. None: there is nobody left to ask, or
    /// no need to.
    pub(crate) fn next(&mut self, path: &[ServiceNodeId]) -> Vec<ServiceNodeId> {
        let mut next = Vec::new();
        let wanted = self.needed().saturating_sub(self.receipts().count());
        self.untried.retain(|member| {
            let ask = next.len() < wanted && !path.contains(member);
            if ask {
                next.push(*member);
            }
            !ask
        });
        next
    }

    /// The members that may still be asked; none once the message is sent.
    pub(crate) fn untried(&self) -> &[ServiceNodeId] {
        if self.is_sent() { &[] } else { &self.untried }
    }

    /// A member was not asked after all, for no fault of its own.
    pub(crate) fn postpone(&mut self, member: ServiceNodeId) {
        self.untried.push(member);
    }

    /// A member answered.
    pub(crate) fn answered(&mut self, answer: &Answer) -> Verdict {
        match answer.status {
            200 => match serde_json::from_str::<StoreResponse>(&answer.body) {
                Ok(response) => {
                    self.collect(response);
                    Verdict::Taken
                }
                Err(_) => Verdict::Refused,
            },
            400 => match serde_json::from_str(&answer.body) {
                Ok(WorkRefusal { reason, effort }) if reason == "work" => Verdict::MoreWork(effort),
                _ => Verdict::Refused,
            },
            406 => Verdict::WrongClock,
            421 => Verdict::WrongSwarm,
            _ => Verdict::Refused,
        }
    }

    /// Whether enough members have signed: three, or all of a smaller swarm.
    pub(crate) fn is_sent(&self) -> bool {
        !self.members.is_empty() && self.receipts().count() >= self.needed()
    }

    /// Receipts that make the message sent.
    pub(crate) fn needed(&self) -> usize {
        self.members.len().min(COPIES)
    }

    /// The signatures that were verified, ordered by member.
    pub(crate) fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.members.values().flatten()
    }

    fn collect(&mut self, StoreResponse { swarm, .. }: StoreResponse) {
        let message = signed::stored(&self.hash);
        for (HexKey(member), result) in swarm {
            let (MemberResult::Done(stored), member) = (result, ServiceNodeId(member)) else { continue };
            let Some(receipt) = self.members.get_mut(&member).filter(|receipt| receipt.is_none()) else { continue };
            let valid = VerifyingKey::from_bytes(&member.0)
                .is_ok_and(|key| key.verify_strict(&message, &Signature::from_bytes(&stored.signature)).is_ok());
            if valid && stored.hash == self.hash {
                *receipt = Some(Receipt { member, signature: stored.signature, expiry: stored.expiry });
            }
        }
    }
}

#[cfg(test)]
mod tests;
