//! The own mailbox besides reading messages: deleting, and the marks by which a state that was put back is noticed.

use super::{Network, NetworkError, Outcome};
use crate::{clock, paths::Purpose, state::State};
use rand::seq::IteratorRandom;
use skep_envelope::Identity;
use skep_onion::Answer;
use skep_primitives::Moment;
use skep_proto::storage::{
    Action, BatchResponse, Command, HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveRequest,
    RetrieveResponse, RetrievedMessage, StoreRequest, TimedAuth, limits::MAX_TTL_PRIVATE, signed,
};

/// Where marks are kept: only the owner writes and reads there.
const MARKS: Namespace = Namespace(7301);
/// How long (ms): what the swarm allows, less what clocks may differ.
const MARK_LIFE: Moment = MAX_TTL_PRIVATE - 60 * 60 * 1000;
/// Members asked at once: one may be behind, or keep something back.
const ASKED: usize = 2;

impl Network {
    /// Deletes messages of the own mailbox, at every member. False: no member says to have done it.
    pub(crate) async fn delete_own(
        &mut self,
        state: &mut State,
        identity: &Identity,
        messages: Vec<MessageHash>,
    ) -> Result<bool, NetworkError> {
        let action = Action::Delete { messages, required: false };
        let auth = owner_auth(identity, &signed::command(&action));
        let command = Command { account: identity.account(), action, auth };
        let answers = self.ask_own(state, identity, 1, &super::body(Method::Command(command))).await?;
        Ok(answers.iter().any(|answer| answer.status == 200))
    }

    /// Puts a mark into the own mailbox. The marks that were there, by the word of those members that answered; none: no member
    /// has.
    pub(crate) async fn leave_mark(
        &mut self,
        state: &mut State,
        identity: &Identity,
        mark: Vec<u8>,
    ) -> Result<Option<Vec<RetrievedMessage>>, NetworkError> {
        let now = self.clocks.corrected(clock::now());
        let timed = |message: &[u8]| Some(TimedAuth { auth: owner_auth(identity, message), timestamp: now });
        let (account, namespace) = (identity.account(), MARKS);
        let read = RetrieveRequest {
            account,
            namespace,
            last_hash: None,
            max_count: None,
            max_size: None,
            auth: timed(&signed::retrieve(namespace, now)),
        };
        let store = StoreRequest {
            account,
            namespace,
            timestamp: now,
            expiry: now.saturating_add(MARK_LIFE),
            data: mark,
            auth: timed(&signed::store(namespace, now)),
            work: None,
        };
        let request = Request::Sequence(vec![Method::Retrieve(read), Method::Store(store)]);
        let request = super::padded(serde_json::to_vec(&request).unwrap_or_default());
        let answers = self.ask_own(state, identity, ASKED, &request).await?;
        let (mut found, mut answered) = (Vec::new(), false);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let Ok(BatchResponse { results }) = serde_json::from_str(&answer.body) else { continue };
            let read = results.into_iter().next().filter(|read| read.code == 200);
            let Some(Ok(page)) = read.map(|read| serde_json::from_value::<RetrieveResponse>(read.body)) else {
                continue;
            };
            answered = true;
            found.extend(page.messages);
        }
        Ok(answered.then_some(found))
    }

    /// What a mark is stored as.
    pub(crate) fn mark_hash(identity: &Identity, mark: &[u8]) -> MessageHash {
        MessageHash::of(&identity.account(), MARKS, mark)
    }

    /// Asks some members of the own swarm at once.
    async fn ask_own(
        &mut self,
        state: &mut State,
        identity: &Identity,
        count: usize,
        request: &[u8],
    ) -> Result<Vec<Answer>, NetworkError> {
        let (_, members) = self.swarm_of(&identity.account())?;
        let path = self.working_path(state, Purpose::Reading, &members).await?;
        let outside = members.into_iter().filter(|member| !path.ids().contains(member));
        let asked = outside.choose_multiple(&mut rand::rng(), count);
        let outcomes = self.round(state, Purpose::Reading, &path, &asked, request).await?;
        let answers = outcomes.into_iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Failed(_) | Outcome::NotReached(_) => None,
        });
        Ok(answers.collect())
    }
}

fn owner_auth(identity: &Identity, message: &[u8]) -> OwnerAuth {
    let ed25519_key = Some(HexKey(identity.ed25519_key()));
    OwnerAuth { signature: identity.sign_request(message), ed25519_key, subaccount: None }
}
