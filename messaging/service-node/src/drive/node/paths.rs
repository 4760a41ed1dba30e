//! Established paths: opened, used and closed at the hop this node is.
//!
//! | frame | what happens | answered |
//! |---|---|---|
//! | Open | the next hop is asked, if there is one; the path is taken up | 200, Opened |
//! | Forward | one layer is opened; the next hop or the destination is asked | 200, Backward |
//! | Close | the path is forgotten; the next hop is told | 200, nothing |
//! | any | not for a path of this neighbour's, changed, repeated | 400, the same for every cause |
//! | any | no room | 503 |
//!
//! What goes wrong further on is told inside the layer this node seals, so that the client knows who says so.

use super::{Node, OnionServed, Upstream};
use crate::{
    core::SERVER_BUSY,
    drive::{budget::Lease, now_ms, quic::PeerError},
};
use bytes::Bytes;
use skep_onion::{
    Freshness,
    established::{Accepted, Forwarded, HopFailure, HopPath, LinkFrame, PathBroken, PathId, PathTable, Refusal},
};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer::{self, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::limits::{ONION_TIMEOUT, PEER_TIMEOUT},
};
use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

/// How long the next hop may take to take up a path: it asks others in its turn.
const OPENING: Duration = Duration::from_millis(2 * PEER_TIMEOUT);
/// How long the next hop may take to hear that a path is over.
const CLOSING: Duration = Duration::from_millis(PEER_TIMEOUT);

impl Node {
    pub(in crate::drive) fn paths(&self) -> MutexGuard<'_, PathTable<Upstream>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a frame that `upstream` sent.
    pub(crate) async fn path(&self, upstream: Upstream, frame: &[u8]) -> OnionServed {
        match LinkFrame::parse(frame) {
            Ok(LinkFrame::Open { handshake }) => self.open_path(upstream, handshake).await,
            Ok(LinkFrame::Forward { path, number, sealed }) => {
                let found = self.paths().find(upstream, path, now_ms());
                match found {
                    Ok(found) => self.forward(upstream, path, &found, number, sealed).await,
                    Err(refusal) => refusal.into(),
                }
            }
            Ok(LinkFrame::Close { path }) => self.close_path(upstream, path).await,
            Err(_) => PathBroken.into(),
        }
    }

    async fn open_path(&self, upstream: Upstream, handshake: &[u8]) -> OnionServed {
        let share = match upstream {
            Upstream::Client(_) => self.path_shares.per_address,
            Upstream::Node(_) => self.path_shares.per_peer,
        };
        if !self.paths().has_room(upstream, share, now_ms()) {
            return Refusal::NoRoom.into();
        }
        let Ok(accepted) = Accepted::read(&self.hop, handshake, &mut rand::rng()) else { return PathBroken.into() };
        // Only now: what could not be read proves nothing about its key.
        match self.replays().check((upstream.kind(), upstream), accepted.ephemeral_key(), now_ms()) {
            Freshness::Fresh => {}
            Freshness::Repeated => return PathBroken.into(),
            Freshness::NoRoom => return Refusal::NoRoom.into(),
        }
        let joined = match accepted.next().cloned() {
            None => accepted.end(),
            Some(next) => match self.ask_path(upstream, next.node, next.frame.into(), OPENING).await {
                Ok((answer, _lease)) => accepted.joined(&answer),
                Err(failure) => return served(accepted.failed(failure, &mut rand::rng()), None),
            },
        };
        let Ok(joined) = joined else { return PathBroken.into() };
        match self.paths().insert(upstream, share, joined, now_ms(), &mut rand::rng()) {
            Ok(frame) => OnionServed { status: 200, body: frame, lease: None },
            Err(refusal) => refusal.into(),
        }
    }

    async fn forward(&self, upstream: Upstream, id: PathId, path: &HopPath, number: u64, sealed: &[u8]) -> OnionServed {
        match path.forward(number, sealed, Vec::with_capacity(sealed.len())) {
            Ok(Forwarded::Relay { next, frame }) => {
                match self.ask_path(upstream, next, frame.into(), Duration::from_millis(ONION_TIMEOUT)).await {
                    Ok((answer, lease)) => match path.relay_back(number, &answer, Vec::with_capacity(answer.len())) {
                        Ok(body) => OnionServed { status: 200, body, lease: Some(lease) },
                        Err(_) => served(path.fail(number, HopFailure::NextInvalid), None),
                    },
                    Err(failure) => {
                        if failure == HopFailure::NextBroken {
                            // It is of no use to anybody any more.
                            self.paths().close(upstream, id);
                        }
                        served(path.fail(number, failure), None)
                    }
                }
            }
            Ok(Forwarded::Deliver { destination, layer, body }) => {
                let body = Bytes::from(layer).slice(body);
                match self.deliver_onion(upstream, destination, body).await {
                    Ok(OnionServed { status, body, lease }) => {
                        served(path.answer(number, status, &body, Vec::new()), lease)
                    }
                    Err(failure) => served(path.fail(number, failure), None),
                }
            }
            Err(broken) => broken.into(),
        }
    }

    async fn close_path(&self, upstream: Upstream, id: PathId) -> OnionServed {
        let closed = self.paths().close(upstream, id);
        let Some(path) = closed else { return Refusal::Unknown.into() };
        if let Some((next, frame)) = path.close_next() {
            // Whether it hears or not, the path ends there by itself.
            let _ = self.ask_path(upstream, next, frame.into(), CLOSING).await;
        }
        OnionServed { status: 200, body: Vec::new(), lease: None }
    }

    /// Hands an onion request to its destination.
    async fn deliver_onion(
        &self,
        upstream: Upstream,
        destination: ServiceNodeId,
        body: Bytes,
    ) -> Result<OnionServed, HopFailure> {
        if destination == self.id {
            return Ok(self.onion(upstream, &body).await);
        }
        let request = PeerRequest::Onion(peer::Onion { body });
        match self.ask_next(upstream, destination, request, Duration::from_millis(ONION_TIMEOUT)).await? {
            (PeerResponse::Onion(peer::OnionAnswer { status, body }), lease) => {
                let status = u16::try_from(status).map_err(|_| HopFailure::NextInvalid)?;
                Ok(OnionServed { status, body: body.into(), lease: Some(lease) })
            }
            (PeerResponse::Refusal(refusal), _) if is_busy(refusal.status) => Err(HopFailure::NextBusy),
            _ => Err(HopFailure::NextInvalid),
        }
    }

    /// Gives a frame to the next hop; what it answers with status 200.
    async fn ask_path(
        &self,
        upstream: Upstream,
        next: ServiceNodeId,
        frame: Bytes,
        patience: Duration,
    ) -> Result<(Bytes, Lease), HopFailure> {
        let request = PeerRequest::Path(peer::PathFrame { frame });
        match self.ask_next(upstream, next, request, patience).await? {
            (PeerResponse::Path(peer::PathAnswer { status: 200, body }), lease) => Ok((body, lease)),
            (PeerResponse::Path(answer), _) if is_busy(answer.status) => Err(HopFailure::NextBusy),
            (PeerResponse::Path(_), _) => Err(HopFailure::NextBroken),
            (PeerResponse::Refusal(refusal), _) if is_busy(refusal.status) => Err(HopFailure::NextBusy),
            // A node that does not know the request cannot read it.
            (PeerResponse::Refusal(peer::Refusal { status: 400, .. }), _) => Err(HopFailure::NextUnsupported),
            _ => Err(HopFailure::NextInvalid),
        }
    }

    async fn ask_next(
        &self,
        upstream: Upstream,
        next: ServiceNodeId,
        request: PeerRequest,
        patience: Duration,
    ) -> Result<(PeerResponse, Lease), HopFailure> {
        let view = self.view();
        let entry = view.node(&next).filter(|entry| entry.state.is_serving()).ok_or(HopFailure::NextNotFound)?;
        match self.ask_for_another(upstream, entry, &peer::Request { request: Some(request) }, patience).await {
            Ok((peer::Response { response: Some(response) }, lease)) => Ok((response, lease)),
            Ok((peer::Response { response: None }, _)) | Err(PeerError::Unreadable) => Err(HopFailure::NextInvalid),
            Err(error @ (PeerError::Connect(_) | PeerError::Broken(_) | PeerError::TimedOut | PeerError::NoRoom)) => {
                tracing::debug!(%next, %error, "the next node of an established path did not answer");
                Err(HopFailure::NextSilent)
            }
        }
    }
}

const fn is_busy(status: u32) -> bool {
    matches!(status, 429 | 503)
}

fn served(frame: Result<Vec<u8>, PathBroken>, lease: Option<Lease>) -> OnionServed {
    match frame {
        Ok(body) => OnionServed { status: 200, body, lease }.grown(),
        Err(broken) => broken.into(),
    }
}

impl From<PathBroken> for OnionServed {
    fn from(broken: PathBroken) -> Self {
        Self { status: PathBroken::STATUS, body: broken.to_string().into_bytes(), lease: None }
    }
}

impl From<Refusal> for OnionServed {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => PathBroken.into(),
            Refusal::NoRoom => Self { status: 503, body: SERVER_BUSY.into(), lease: None },
        }
    }
}
