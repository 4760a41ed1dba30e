//! One request, every member of the swarm: who has done it?
//!
//! | event | effect |
//! |---|---|
//! | [`FanOut::new`] | every member is awaited, the node itself included |
//! | [`FanOut::handle`] | a member's word is in ([`read_stored`], [`read_done`] judge what a peer says) |
//! | [`FanOut::handle_timeout`] at [`FanOut::poll_timeout`] | peers still awaited have failed; the own disk is waited for |
//! | [`FanOut::is_complete`] | [`FanOut::finish`] tells the client |

use ed25519_dalek::{Signature, VerifyingKey};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer::{self, response::Response},
    storage::{
        Command, CommandDone, HexKey, MemberFailure, MemberResult, MemberStored, MessageHash, limits::PEER_TIMEOUT,
        signed,
    },
};
use std::collections::BTreeMap;

/// Longest reason of a peer that is repeated to a client.
const MAX_REASON: usize = 200;

/// Collects what the members of the swarm did with one request.
#[derive(Debug)]
pub struct FanOut<R> {
    me: ServiceNodeId,
    deadline: u64,
    results: BTreeMap<ServiceNodeId, Option<MemberResult<R>>>,
}

impl<R> FanOut<R> {
    /// A request that `me` took at `now` (ms) and passes on to `peers`.
    pub fn new(me: ServiceNodeId, peers: impl IntoIterator<Item = ServiceNodeId>, now: u64) -> Self {
        let results = peers.into_iter().chain([me]).map(|member| (member, None)).collect();
        Self { me, deadline: now.saturating_add(PEER_TIMEOUT), results }
    }

    /// A member's result. Its first word counts; strangers have none.
    pub fn handle(&mut self, member: ServiceNodeId, result: Result<R, MemberFailure>) {
        if let Some(awaited @ None) = self.results.get_mut(&member) {
            *awaited = Some(result.map_or_else(MemberResult::Failed, MemberResult::Done));
        }
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

    /// What every member did. Members not heard of by now count as silent.
    pub fn finish(self) -> BTreeMap<HexKey, MemberResult<R>> {
        let silent = || MemberResult::Failed(MemberFailure::Timeout);
        let told = |(member, result): (ServiceNodeId, Option<_>)| (HexKey(member.0), result.unwrap_or_else(silent));
        self.results.into_iter().map(told).collect()
    }
}

/// The status of an answer that tells what every member did: 500 only if nobody did it.
pub fn swarm_status<R>(swarm: &BTreeMap<HexKey, MemberResult<R>>) -> u16 {
    if swarm.values().any(|result| matches!(result, MemberResult::Done(_))) { 200 } else { 500 }
}

/// What `peer` says to have done with a message. Only its valid signature counts as having it.
pub fn read_stored(
    peer: &ServiceNodeId,
    hash: MessageHash,
    response: peer::Response,
) -> Result<MemberStored, MemberFailure> {
    let Response::Stored(stored) = expected(response)? else { return Err(MemberFailure::BadResponse) };
    let signature: [u8; 64] = stored.signature.as_ref().try_into().map_err(|_| MemberFailure::BadResponse)?;
    verify(peer, &signed::stored(&hash), &signature)?;
    Ok(MemberStored { hash, signature, expiry: stored.expiry, already: stored.already, t: None })
}

/// What `peer` says to have done with a command. Only its valid signature counts as having done it.
pub fn read_done(
    peer: &ServiceNodeId,
    command: &Command,
    response: peer::Response,
) -> Result<CommandDone, MemberFailure> {
    let Response::Command(done) = expected(response)? else { return Err(MemberFailure::BadResponse) };
    let done: CommandDone = serde_json::from_slice(&done.result).map_err(|_| MemberFailure::BadResponse)?;
    let text = signed::done(&command.account, &command.action, &done.effect).ok_or(MemberFailure::BadResponse)?;
    verify(peer, &text, &done.signature)?;
    Ok(done)
}

/// An answer that is no refusal.
fn expected(response: peer::Response) -> Result<Response, MemberFailure> {
    match response.response {
        Some(Response::Refusal(refusal)) => Err(MemberFailure::Refused {
            code: u16::try_from(refusal.status).unwrap_or(500),
            reason: refusal.reason.chars().take(MAX_REASON).collect(),
        }),
        Some(response) => Ok(response),
        None => Err(MemberFailure::BadResponse),
    }
}

fn verify(peer: &ServiceNodeId, message: &[u8], signature: &[u8; 64]) -> Result<(), MemberFailure> {
    VerifyingKey::from_bytes(&peer.0)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .map_err(|_| MemberFailure::BadResponse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use skep_proto::storage::{Action, CommandEffect, Hashes, OwnerAuth};

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

    fn fan_out() -> FanOut<u8> {
        FanOut::new(id(0), [1, 2, 3].map(id), NOW)
    }

    #[test]
    fn every_word_is_collected_and_the_first_counts() {
        let mut fan_out = fan_out();
        fan_out.handle(id(0), Ok(0));
        fan_out.handle(id(1), Ok(1));
        fan_out.handle(id(1), Err(MemberFailure::Timeout));
        fan_out.handle(id(2), Err(MemberFailure::BadResponse));
        assert!(!fan_out.is_complete());
        fan_out.handle(id(3), Err(MemberFailure::Timeout));
        fan_out.handle(id(4), Ok(4));
        assert!(fan_out.is_complete());

        let swarm = fan_out.finish();
        let of = |number| swarm[&HexKey(id(number).0)].clone();
        assert_eq!(swarm.len(), 4, "strangers are not listed");
        assert_eq!((of(0), of(1)), (MemberResult::Done(0), MemberResult::Done(1)));
        assert_eq!(of(2), MemberResult::Failed(MemberFailure::BadResponse));
        assert_eq!(of(3), MemberResult::Failed(MemberFailure::Timeout));
        assert_eq!(swarm_status(&swarm), 200);
    }

    #[test]
    fn only_the_peers_own_signature_over_this_message_counts() {
        assert_eq!(read_stored(&id(1), hash(), stored_by(1, &hash())).map(|stored| stored.expiry), Ok(5));
        let other = [8; 32].into();
        let short = peer::Stored { signature: vec![0; 63].into(), expiry: 5, already: false };
        for answer in [
            stored_by(2, &hash()),
            stored_by(1, &other),
            peer::Response { response: Some(Response::Stored(short)) },
            peer::Response { response: Some(Response::Pong(peer::Pong::default())) },
            peer::Response { response: None },
        ] {
            assert_eq!(read_stored(&id(1), hash(), answer), Err(MemberFailure::BadResponse));
        }
        let refusal = peer::Refusal { status: 421, reason: "x".repeat(10_000) };
        let answer = peer::Response { response: Some(Response::Refusal(refusal)) };
        let refused = MemberFailure::Refused { code: 421, reason: "x".repeat(MAX_REASON) };
        assert_eq!(read_stored(&id(1), hash(), answer), Err(refused));
    }

    #[test]
    fn only_the_peers_own_signature_over_this_command_counts() {
        let action = Action::Delete { messages: vec![hash()], required: false };
        let account = skep_proto::account::AccountAddress::from_x25519([1; 32]);
        let auth = OwnerAuth { signature: [0; 64], ed25519_key: None, subaccount: None };
        let command = Command { account, action, auth };
        let answer = |signer: u8, effect: CommandEffect, signed_effect: &CommandEffect| {
            let text = signed::done(&command.account, &command.action, signed_effect).expect("an effect of it");
            let done = CommandDone { effect, signature: key(signer).sign(&text).to_bytes() };
            let result = serde_json::to_vec(&done).expect("serializes").into();
            peer::Response { response: Some(Response::Command(peer::CommandDone { result })) }
        };
        let deleted = |hashes| CommandEffect::Deleted { deleted: Hashes::List(hashes) };
        let (all, none) = (deleted(vec![hash()]), deleted(vec![]));
        let read = |answer| read_done(&id(1), &command, answer).map(|done| done.effect);
        assert_eq!(read(answer(1, all.clone(), &all)), Ok(all.clone()));
        for bad in [
            answer(2, all.clone(), &all),
            answer(1, all.clone(), &none),
            answer(1, CommandEffect::Unrevoked { count: 1 }, &none),
            stored_by(1, &hash()),
        ] {
            assert_eq!(read(bad), Err(MemberFailure::BadResponse));
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
        fan_out.handle(id(1), Ok(1));
        fan_out.handle(id(0), Ok(0));
        assert!(fan_out.is_complete());
        assert_eq!(fan_out.finish()[&HexKey(id(1).0)], MemberResult::Failed(MemberFailure::Timeout), "too late");
    }

    #[test]
    fn it_fails_only_if_nobody_has_done_it() {
        let failed = || Err(MemberFailure::NotStored { reason: None });
        let mut nobody = fan_out();
        nobody.handle(id(0), failed());
        nobody.handle_timeout(u64::MAX);
        assert_eq!(swarm_status(&nobody.finish()), 500);

        let mut somebody = fan_out();
        somebody.handle(id(0), failed());
        somebody.handle(id(3), Ok(3));
        somebody.handle_timeout(u64::MAX);
        assert_eq!(swarm_status(&somebody.finish()), 200);
    }

    proptest! {
        #[test]
        fn in_any_order_it_completes_once_all_are_in(order in Just((0_u8..4).collect::<Vec<_>>()).prop_shuffle()) {
            let mut fan_out = fan_out();
            for member in order {
                prop_assert!(!fan_out.is_complete());
                fan_out.handle(id(member), if member == 1 { Err(MemberFailure::Timeout) } else { Ok(member) });
            }
            prop_assert!(fan_out.is_complete());
        }
    }
}
