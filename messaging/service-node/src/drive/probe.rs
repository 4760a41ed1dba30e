//! Probing another node as clients and nodes use it: HTTPS, QUIC, and an onion request it must pass on.

use super::{
    now_ms,
    quic::{PeerError, Peers},
};
use reqwest::redirect;
use serde::Deserialize;
use skep_onion::{Hop, WrapOptions, Wrapped, wrap};
use skep_primitives::{RosterEntry, ServiceNodeId};
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::Method,
};
use skep_reachability::{Echo, Sighting};
use std::time::Duration;
use tokio::time::timeout;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of `GET /health` that is read.
const MAX_HEALTH: usize = 64 * 1024;

/// Why a node was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Http(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("its answer cannot be read")]
    Unreadable,
    #[error("it refuses with status {0}: {1}")]
    Refused(u32, String),
    #[error("another node answered there: {0}")]
    Other(ServiceNodeId),
    #[error("its key cannot be used for onion requests")]
    Key,
}

/// What a probe brought, and which run of the software answered.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) sighting: Sighting,
    pub(crate) instance: Vec<u8>,
}

/// What one node sees of another. Onion requests go through it to one of `witnesses`, which are tried in turn: a failure must
/// not be the witness'.
pub(crate) async fn probe(peers: &Peers, target: &RosterEntry, witnesses: &[RosterEntry]) -> Seen {
    let (echo, https) = tokio::join!(ping(peers, target), https(target));
    let quic = matches!(echo, Ok(_) | Err(ProbeError::Refused(..) | ProbeError::Unreadable));
    let onion = match quic {
        true if witnesses.is_empty() => None,
        true => Some(passes_on(peers, target, witnesses).await),
        false => Some(false),
    };
    for error in [echo.as_ref().err(), https.as_ref().err()].into_iter().flatten() {
        tracing::debug!(node = %target.id, %error, "a probed node did not answer");
    }
    let (echo, instance) = echo.map_or_else(|_| (None, Vec::new()), |(echo, instance)| (Some(echo), instance));
    Seen { sighting: Sighting { quic, echo, https: https.is_ok(), onion }, instance }
}

/// A ping over QUIC: its answer, and which run of the software gave it.
pub(crate) async fn ping(peers: &Peers, target: &RosterEntry) -> Result<(Echo, Vec<u8>), ProbeError> {
    let request = peer::Request { request: Some(Request::Ping(peer::Ping {})) };
    let asked = now_ms();
    let (answer, _lease) = peers.ask(target, &request, PATIENCE).await?;
    let answered = now_ms();
    match answer.response {
        Some(Response::Pong(peer::Pong { timestamp, version, instance })) => {
            Ok((Echo { asked, answered, timestamp, version: read_version(&version) }, instance.to_vec()))
        }
        Some(Response::Refusal(peer::Refusal { status, reason })) => Err(ProbeError::Refused(status, reason)),
        Some(_) | None => Err(ProbeError::Unreadable),
    }
}

fn read_version(parts: &[u32]) -> Option<[u16; 3]> {
    let [major, minor, patch] = parts else { return None };
    Some([u16::try_from(*major).ok()?, u16::try_from(*minor).ok()?, u16::try_from(*patch).ok()?])
}

/// The answer of `GET /health`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    node: ServiceNodeId,
    /// Its disk takes what is to be kept; nodes that do not tell are believed to.
    #[serde(default = "yes")]
    pub(crate) store_writes: bool,
}

const fn yes() -> bool {
    true
}

/// Asks the target's HTTPS port how it is. The connection stands only with the node that the roster names; whatever status it
/// answers with, it was reached.
pub(crate) async fn https(target: &RosterEntry) -> Result<Health, ProbeError> {
    let failed = |error: reqwest::Error| ProbeError::Http(causes(&error.without_url()));
    let client = reqwest::Client::builder()
        .use_preconfigured_tls(skep_node_tls::client_config(target.id)?)
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(failed)?;
    let url = format!("https://{}:{}/health", target.endpoint.ip(), target.endpoint.https_port);
    let mut response = client.get(url).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_HEALTH {
            return Err(ProbeError::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    let health: Health = serde_json::from_slice(&body).map_err(|_| ProbeError::Unreadable)?;
    if health.node == target.id { Ok(health) } else { Err(ProbeError::Other(health.node)) }
}

/// An error with its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn passes_on(peers: &Peers, target: &RosterEntry, witnesses: &[RosterEntry]) -> bool {
    for witness in witnesses {
        match timeout(PATIENCE, onion(peers, target, witness)).await.unwrap_or(Err(ProbeError::TimedOut)) {
            Ok(()) => return true,
            Err(error) => {
                tracing::debug!(node = %target.id, witness = %witness.id, %error, "an onion request was not passed on");
            }
        }
    }
    false
}

/// Sends a question through the target to the witness, as the first hop of any client's path would get it.
async fn onion(peers: &Peers, target: &RosterEntry, witness: &RosterEntry) -> Result<(), ProbeError> {
    let hop = |entry: &RosterEntry| Hop::from_id(entry.id).ok_or(ProbeError::Key);
    let (target_hop, witness_hop) = (hop(target)?, hop(witness)?);
    let question = serde_json::to_vec(&skep_proto::storage::Request::Single(Method::Info));
    let question = question.map_err(|_| ProbeError::Unreadable)?;
    let Wrapped { body, opener } =
        wrap(&[target_hop], &witness_hop, &question, WrapOptions::default(), &mut rand::rng())
            .map_err(|_| ProbeError::Key)?;
    let request = peer::Request { request: Some(Request::Onion(peer::Onion { body: body.into() })) };
    let (answer, _lease) = peers.ask(target, &request, PATIENCE).await?;
    match answer.response {
        // Only the witness can have sealed this.
        Some(Response::Onion(peer::OnionAnswer { status: 200, body })) => {
            opener.open(&body).map(drop).map_err(|_| ProbeError::Unreadable)
        }
        Some(Response::Onion(peer::OnionAnswer { status, body })) => {
            Err(ProbeError::Refused(status, String::from_utf8_lossy(&body).chars().take(200).collect()))
        }
        Some(Response::Refusal(peer::Refusal { status, reason })) => Err(ProbeError::Refused(status, reason)),
        Some(_) | None => Err(ProbeError::Unreadable),
    }
}
