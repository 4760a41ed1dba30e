//! Listening, and giving messages to the nodes on which contacts listen (`protocol.md` section 6).

use super::{Network, NetworkError, Outcome, PrepareError, body};
use crate::{
    direct::{Call, ListenFailure, Refusal},
    paths::{Path, Purpose, RequestFailure},
    state::State,
    transport::ANSWER,
};
use futures::{FutureExt, future::BoxFuture};
use rand::seq::IteratorRandom;
use skep_envelope::Listening;
use skep_onion::Hop;
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    storage::{
        DeliverRequest, Method, UnlistenRequest,
        listening::{DeliveryToken, Handle, ListenResponse},
    },
};
use std::time::Duration;

/// How long a contact's node may take to take a message. It answers at once; somebody waits for it.
const GIVE: Duration = Duration::from_secs(15);

/// What came of a call to the listening node.
#[derive(Debug)]
pub(crate) enum Listened {
    /// This answer.
    Answered(ListenResponse),
    /// None: the node's doing, or the path's.
    Failed(ListenFailure),
}

/// A call that waits for its answer.
pub(crate) type Waiting = BoxFuture<'static, (Call, Listened)>;

impl Network {
    /// A member of the account's own swarm to listen on, another than `avoid` if there is one.
    pub(crate) fn listening_node(
        &self,
        account: &AccountAddress,
        avoid: Option<ServiceNodeId>,
    ) -> Result<ServiceNodeId, NetworkError> {
        let (_, members) = self.swarm_of(account)?;
        // Nobody is reached through itself.
        let guard = self.paths.guard(Purpose::Listening);
        let others = members.iter().filter(|member| Some(**member) != avoid && Some(**member) != guard);
        others.choose(&mut rand::rng()).or(members.first()).copied().ok_or(NetworkError::NoSwarm)
    }

    /// Whether the node is a member of the account's own swarm.
    pub(crate) fn is_own_member(&self, account: &AccountAddress, node: &ServiceNodeId) -> bool {
        self.swarm_of(account).is_ok_and(|(_, members)| members.contains(node))
    }

    /// Makes a call to the listening node. What is returned waits for the answer, which may take as long as an onion request
    /// may.
    pub(crate) async fn listen(&mut self, state: &mut State, call: Call) -> Result<Waiting, NetworkError> {
        let path = self.working_path(state, Purpose::Listening, &[call.node]).await?;
        let request = body(Method::Listen(call.request.clone()));
        let prepared =
            Hop::from_id(call.node).map(|node| self.prepare(Some(Purpose::Listening), &path.hops, &node, &request));
        let prepared = match prepared {
            Some(Ok(prepared)) => prepared,
            Some(Err(PrepareError::Failed(failure))) => {
                return Err(NetworkError::NoPath { failure: failure.to_string() });
            }
            Some(Err(PrepareError::Wrap(_))) | None => {
                return Ok(std::future::ready((call, Listened::Failed(ListenFailure::Refused))).boxed());
            }
        };
        Ok(async move {
            let listened = match prepared.send(ANSWER).await {
                Ok(answer) => match (answer.status, serde_json::from_str(&answer.body)) {
                    (200, Ok(answer)) => Listened::Answered(answer),
                    (503, _) | (200, Err(_)) => Listened::Failed(ListenFailure::Silent),
                    _ => Listened::Failed(ListenFailure::Refused),
                },
                Err(failure) => {
                    tracing::debug!(%failure, "the listening node does not answer");
                    Listened::Failed(ListenFailure::Silent)
                }
            };
            (call, listened)
        }
        .boxed())
    }

    /// A call was not answered: the path is tested before the next one.
    pub(crate) fn doubt_listening(&mut self) {
        self.paths.doubt(Purpose::Listening);
    }

    /// Gives a message to the node on which a contact listens. The path it took.
    pub(crate) async fn give(
        &mut self,
        state: &mut State,
        contact: AccountAddress,
        to: &Listening,
        data: Vec<u8>,
    ) -> Result<Path, Refusal> {
        let node = ServiceNodeId(to.node);
        let (handle, token) = (Handle(to.handle), DeliveryToken(to.token));
        let request = body(Method::Deliver(DeliverRequest { handle, token, data }));
        let purpose = Purpose::Contact(contact);
        let path = match self.working_path(state, purpose, &[node]).await {
            Ok(path) => path,
            Err(error) => {
                tracing::debug!(%error, "there is no path to a contact's listening node");
                return Err(Refusal::Dead);
            }
        };
        let asking = self.ask_through(state, purpose, &path, node, &request);
        match tokio::time::timeout(GIVE, asking).await {
            Ok(Ok(Outcome::Answered(answer))) => match answer.status {
                200 => Ok(path),
                429 | 503 => Err(Refusal::Busy),
                _ => Err(Refusal::Dead),
            },
            Ok(Ok(Outcome::Failed(failure) | Outcome::NotReached(failure))) => {
                tracing::debug!(%failure, "a contact's listening node was not reached");
                Err(Refusal::Dead)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a contact's listening node was not reached");
                Err(Refusal::Dead)
            }
            Err(_) => {
                self.paths.doubt(purpose);
                Err(Refusal::Dead)
            }
        }
    }

    /// Tells a node that a listening session is over. False: it does not know.
    pub(crate) async fn unlisten(&mut self, state: &mut State, node: ServiceNodeId, request: UnlistenRequest) -> bool {
        let request = body(Method::Unlisten(request));
        let Ok(path) = self.working_path(state, Purpose::Listening, &[node]).await else { return false };
        let asked = self.ask_through(state, Purpose::Listening, &path, node, &request).await;
        matches!(asked, Ok(Outcome::Answered(answer)) if answer.status == 200)
    }

    /// Asks one node through the path, once.
    async fn ask_through(
        &mut self,
        state: &mut State,
        purpose: Purpose,
        path: &Path,
        node: ServiceNodeId,
        request: &[u8],
    ) -> Result<Outcome, NetworkError> {
        let outcome = self.round(state, purpose, path, &[node], request).await?.pop();
        Ok(outcome.map_or(Outcome::Failed(RequestFailure::Malformed), |(_, outcome)| outcome))
    }
}
