//! One message, every member of the swarm: who has it?
//!
//! | event | effect |
//! |---|---|
//! | [`FanOut::new`] | every member is awaited, the node itself included |
//! | [`FanOut::handle_own`] | the node's own word is in |
//! | [`FanOut::handle_answer`] | a peer's word is in, after its signature has been checked |
//! | [`FanOut::handle_failure`] | a peer gave none |
//! | [`FanOut::handle_timeout`] at [`FanOut::poll_timeout`] | peers still awaited have failed; the own disk is waited for |
//! | [`FanOut::is_complete`] | [`FanOut::finish`] tells the client |

use ed25519_dalek::{Signature, VerifyingKey};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer::{self, response::Response},
    storage::{
        HexKey, MemberFailure, MemberResult, MemberStored, MessageHash, PROTOCOL_GENERATION, StoreResponse,
        limits::PEER_TIMEOUT, signed,
    },
};
use std::collections::BTreeMap;

/// Longest reason of a peer that is repeated to a client.
const MAX_REASON: usize = 200;

/// Collects what the members of the swarm did with one message.
#[derive(Debug)]
pub struct FanOut {
    me: ServiceNodeId,
    hash: MessageHash,
    deadline: u64,
    results: BTreeMap<ServiceNodeId, Option<MemberResult>>,
}

/// Why a peer gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// It could not be reached, or not in time.
    Silent,
    /// What it sent is no answer.
    Unreadable,
}

impl FanOut {
    /// A message that `me` took at `now` (ms) and passes on to `peers`.
    pub fn new(me: ServiceNodeId, peers: impl IntoIterator<Item = ServiceNodeId>, hash: MessageHash, now: u64) -> Self {
        let results = peers.into_iter().chain([me]).map(|member| (member, None)).collect();
        Self { me, hash, deadline: now.saturating_add(PEER_TIMEOUT), results }
    }

    /// The node's own result.
    pub fn handle_own(&mut self, result: MemberResult) {
        self.set(self.me, result);
    }

    /// A peer's answer. Only its valid signature counts as having the message.
    pub fn handle_answer(&mut self, peer: ServiceNodeId, answer: peer::Response) {
        let result = match answer.response {
            Some(Response::Stored(stored)) => self.read_stored(&peer, &stored),
            Some(Response::Refusal(refusal)) => Err(MemberFailure::Refused {
                code: u16::try_from(refusal.status).unwrap_or(500),
                reason: refusal.reason.chars().take(MAX_REASON).collect(),
            }),
            Some(Response::Onion(_) | Response::Pong(_)) | None => Err(MemberFailure::BadResponse),
        };
        self.set(peer, result.unwrap_or_else(MemberResult::Failed));
    }

    /// A peer gave no answer.
    pub fn handle_failure(&mut self, peer: ServiceNodeId, failure: PeerFailure) {
        let failure = match failure {
            PeerFailure::Silent => MemberFailure::Timeout,
            PeerFailure::Unreadable => MemberFailure::BadResponse,
        };
        self.set(peer, MemberResult::Failed(failure));
    }

    /// When [`Self::handle_timeout`] is due (ms), if peers are still awaited.
    pub fn poll_timeout(&self) -> Option<u64> {
        let awaited = self.results.iter().any(|(member, result)| *member != self.me && result.is_none());
        awaited.then_some(self.deadline)
    }

    /// Gives up on peers still awaited if it is time.
    pub fn handle_timeout(&mut self, now: u64) {
        if now < self.deadline {
            return;
        }
        let awaited = self.results.iter_mut().filter(|(member, result)| **member != self.me && result.is_none());
        awaited.for_each(|(_, result)| *result = Some(MemberResult::Failed(MemberFailure::Timeout)));
    }

    /// Whether every member's result is in.
    pub fn is_complete(&self) -> bool {
        self.results.values().all(Option::is_some)
    }

    /// The status and answer for the client at `now` (ms): 500 only if nobody has the message. Members not heard of by
    /// now count as silent.
    pub fn finish(self, now: u64) -> (u16, StoreResponse) {
        let silent = || MemberResult::Failed(MemberFailure::Timeout);
        let own = self.results.get(&self.me);
        let hash = matches!(own, Some(Some(MemberResult::Stored(_)))).then_some(self.hash);
        let swarm: BTreeMap<_, _> = self
            .results
            .into_iter()
            .map(|(member, result)| (HexKey(member.0), result.unwrap_or_else(silent)))
            .collect();
        let stored = swarm.values().any(|result| matches!(result, MemberResult::Stored(_)));
        let status = if stored { 200 } else { 500 };
        (status, StoreResponse { swarm, hash, t: now, hf: PROTOCOL_GENERATION })
    }

    /// The first word of a member counts; strangers have none.
    fn set(&mut self, member: ServiceNodeId, result: MemberResult) {
        if let Some(awaited @ None) = self.results.get_mut(&member) {
            *awaited = Some(result);
        }
    }

    fn read_stored(&self, peer: &ServiceNodeId, stored: &peer::Stored) -> Result<MemberResult, MemberFailure> {
        let signature: [u8; 64] = stored.signature.as_ref().try_into().map_err(|_| MemberFailure::BadResponse)?;
        VerifyingKey::from_bytes(&peer.0)
            .and_then(|key| key.verify_strict(&signed::stored(&self.hash), &Signature::from_bytes(&signature)))
            .map_err(|_| MemberFailure::BadResponse)?;
        let (expiry, already) = (stored.expiry, stored.already);
        Ok(MemberResult::Stored(MemberStored { hash: self.hash, signature, expiry, already }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000_000;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn id(number: u8) -> ServiceNodeId {
        ServiceNodeId(key(number).verifying_key().to_bytes())
    }

    fn hash() -> MessageHash {
        [9; 32].into()
    }

    fn stored_by(number: u8, hash: &MessageHash) -> peer::Response {
        let signature = key(number).sign(&signed::stored(hash)).to_bytes().to_vec().into();
        peer::Response { response: Some(Response::Stored(peer::Stored { signature, expiry: 5, already: false })) }
    }

    fn own() -> MemberResult {
        MemberResult::Stored(MemberStored { hash: hash(), signature: [1; 64], expiry: 5, already: false })
    }

    fn fan_out() -> FanOut {
        FanOut::new(id(0), [1, 2, 3].map(id), hash(), NOW)
    }

    fn result_of(number: u8, fan_out: FanOut) -> MemberResult {
        fan_out.finish(NOW).1.swarm[&HexKey(id(number).0)].clone()
    }

    #[test]
    fn every_word_is_collected_and_the_first_counts() {
        let mut fan_out = fan_out();
        fan_out.handle_own(own());
        fan_out.handle_answer(id(1), stored_by(1, &hash()));
        fan_out.handle_failure(id(1), PeerFailure::Silent);
        let refusal = peer::Refusal { status: 421, reason: "x".repeat(10_000) };
        fan_out.handle_answer(id(2), peer::Response { response: Some(Response::Refusal(refusal)) });
        assert!(!fan_out.is_complete());
        fan_out.handle_failure(id(3), PeerFailure::Silent);
        fan_out.handle_answer(id(4), stored_by(4, &hash()));
        assert!(fan_out.is_complete());

        let (status, response) = fan_out.finish(NOW + 7);
        assert_eq!((status, response.hash, response.t), (200, Some(hash()), NOW + 7));
        let of = |number| &response.swarm[&HexKey(id(number).0)];
        assert_eq!(response.swarm.len(), 4, "strangers are not listed");
        assert!(matches!(of(1), MemberResult::Stored(MemberStored { expiry: 5, .. })));
        assert_eq!(*of(2), MemberResult::Failed(MemberFailure::Refused { code: 421, reason: "x".repeat(MAX_REASON) }));
        assert_eq!(*of(3), MemberResult::Failed(MemberFailure::Timeout));
    }

    #[test]
    fn only_the_peers_own_signature_over_this_message_counts() {
        let other = [8; 32].into();
        let short = peer::Stored { signature: vec![0; 63].into(), expiry: 5, already: false };
        for answer in [
            stored_by(2, &hash()),
            stored_by(1, &other),
            peer::Response { response: Some(Response::Stored(short)) },
            peer::Response { response: Some(Response::Pong(peer::Pong::default())) },
            peer::Response { response: None },
        ] {
            let mut fan_out = fan_out();
            fan_out.handle_answer(id(1), answer);
            assert_eq!(result_of(1, fan_out), MemberResult::Failed(MemberFailure::BadResponse));
        }
    }

    #[test]
    fn peers_have_five_seconds_and_the_own_disk_as_long_as_it_needs() {
        let mut fan_out = fan_out();
        assert_eq!(fan_out.poll_timeout(), Some(NOW + 5_000));
        fan_out.handle_timeout(NOW + 4_999);
        assert_eq!(fan_out.poll_timeout(), Some(NOW + 5_000));
        fan_out.handle_timeout(NOW + 5_000);
        assert_eq!(fan_out.poll_timeout(), None);
        assert!(!fan_out.is_complete());
        fan_out.handle_answer(id(1), stored_by(1, &hash()));
        fan_out.handle_own(own());
        assert!(fan_out.is_complete());
        assert_eq!(result_of(1, fan_out), MemberResult::Failed(MemberFailure::Timeout), "too late");
    }

    #[test]
    fn it_fails_only_if_nobody_has_it() {
        let failed = || MemberResult::Failed(MemberFailure::NotStored { reason: None });
        let mut nobody = fan_out();
        nobody.handle_own(failed());
        nobody.handle_timeout(u64::MAX);
        let (status, response) = nobody.finish(NOW);
        assert_eq!((status, response.hash), (500, None));

        let mut somebody = fan_out();
        somebody.handle_own(failed());
        somebody.handle_answer(id(3), stored_by(3, &hash()));
        somebody.handle_timeout(u64::MAX);
        let (status, response) = somebody.finish(NOW);
        assert_eq!((status, response.hash), (200, None));
    }

    proptest! {
        #[test]
        fn in_any_order_it_completes_once_all_are_in(order in Just((0_u8..4).collect::<Vec<_>>()).prop_shuffle()) {
            let mut fan_out = fan_out();
            for member in order {
                prop_assert!(!fan_out.is_complete());
                match member {
                    0 => fan_out.handle_own(own()),
                    1 => fan_out.handle_failure(id(1), PeerFailure::Unreadable),
                    number => fan_out.handle_answer(id(number), stored_by(number, &hash())),
                }
            }
            prop_assert!(fan_out.is_complete());
            prop_assert_eq!(fan_out.poll_timeout(), None);
        }
    }
}
