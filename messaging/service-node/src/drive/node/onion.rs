//! Onion requests: a layer is peeled and passed on, or answered here.

use super::{Node, OnionServed, Served, Upstream};
use crate::{
    core::{Body, Readiness, Reply, SERVER_BUSY},
    drive::{budget::Lease, now_ms, quic::PeerError},
};
use skep_onion::{Frame, Freshness, INVALID_JSON, INVALID_URL, PathError, PeelError, Peeled, ReplyBody, ReplyKey};
use skep_primitives::{RosterEntry, ServiceNodeId};
use skep_proto::{
    peer::{self, request::Request as PeerRequest, response::Response as PeerResponse},
    storage::limits::ONION_TIMEOUT,
};
use std::time::Duration;

impl Node {
    /// Peels one layer of a body of `POST /onion_req/v2` that `upstream` sent, and does what it says.
    pub(crate) async fn onion(&self, upstream: Upstream, body: &[u8]) -> OnionServed {
        let serves = match self.readiness() {
            Readiness::Ready => true,
            // Its testers send it onion requests to pass on: that it does so again is how it comes back.
            Readiness::Decommissioned => false,
            Readiness::Unregistered | Readiness::Gathering => return self.not_ready(),
        };
        let frame = match Frame::parse(body) {
            Ok(frame) => frame,
            Err(error) => return PathError::from(error).into(),
        };
        let peeled = match frame.peel(&self.hop) {
            Ok(peeled) => Ok(peeled),
            Err(PeelError::BadLayer { reply, .. }) => Err(reply),
            Err(PeelError::Path(error)) => return error.into(),
        };
        // Only now: what could not be decrypted proves nothing about its ephemeral key.
        match self.replays().check((upstream.kind(), upstream), &frame.ephemeral_key, now_ms()) {
            Freshness::Fresh => {}
            Freshness::Repeated => return PathError::InvalidCiphertext.into(),
            Freshness::NoRoom => {
                return OnionServed { status: 503, body: SERVER_BUSY.into(), lease: None };
            }
        }
        match peeled {
            Err(reply) => seal(&reply, Reply::text(400, INVALID_JSON).into()),
            Ok(Peeled::Relay { next, body }) => self.relay(upstream, next, body).await,
            Ok(Peeled::Deliver { .. } | Peeled::Exit { .. }) if !serves => self.not_ready(),
            Ok(Peeled::Deliver { request, reply }) => seal(&reply, self.storage_rpc(upstream, &request).await),
            Ok(Peeled::Exit { exit, payload, reply }) => {
                match self.exits.as_ref().and_then(|exits| Some((exits, exits.url(&exit)?))) {
                    Some((exits, url)) => exits.carry(upstream.into(), url, payload, &self.budget).await.into(),
                    None => seal(&reply, Reply::text(400, INVALID_URL).into()),
                }
            }
        }
    }

    fn not_ready(&self) -> OnionServed {
        let body = format!("Snode not ready: {}", self.id).into_bytes();
        OnionServed { status: 503, body, lease: None }
    }

    async fn relay(&self, upstream: Upstream, next: ServiceNodeId, body: Vec<u8>) -> OnionServed {
        let view = self.view();
        let Some(entry) = view.node(&next).filter(|entry| entry.state.is_serving()) else {
            return PathError::NextNodeNotFound(next).into();
        };
        let request = peer::Request { request: Some(PeerRequest::Onion(peer::Onion { body: body.into() })) };
        match self.ask_onion(upstream, entry, &request).await {
            Ok((PeerResponse::Onion(answer), lease)) => match u16::try_from(answer.status) {
                Ok(status) => OnionServed { status, body: answer.body.into(), lease: Some(lease) },
                Err(_) => PathError::InvalidResponse.into(),
            },
            Ok((PeerResponse::Refusal(peer::Refusal { status, reason }), lease)) => OnionServed {
                status: u16::try_from(status).unwrap_or(500),
                body: reason.into_bytes(),
                lease: Some(lease),
            },
            Ok((
                PeerResponse::Stored(_)
                | PeerResponse::Command(_)
                | PeerResponse::Path(_)
                | PeerResponse::Pong(_)
                | PeerResponse::Reconciled(_)
                | PeerResponse::Taken(_)
                | PeerResponse::Votes(_)
                | PeerResponse::Probed(_)
                | PeerResponse::Shown(_)
                | PeerResponse::AuditsTold(_),
                _,
            )) => PathError::InvalidResponse.into(),
            Err(error) => error.into(),
        }
    }

    async fn ask_onion(
        &self,
        upstream: Upstream,
        next: &RosterEntry,
        request: &peer::Request,
    ) -> Result<(PeerResponse, Lease), PathError> {
        match self.ask_for_another(upstream, next, request, Duration::from_millis(ONION_TIMEOUT)).await {
            Ok((peer::Response { response: Some(response) }, lease)) => Ok((response, lease)),
            Ok((peer::Response { response: None }, _)) | Err(PeerError::Unreadable) => Err(PathError::InvalidResponse),
            Err(error @ (PeerError::Connect(_) | PeerError::Broken(_) | PeerError::TimedOut | PeerError::NoRoom)) => {
                tracing::debug!(next = %next.id, %error, "the next node of an onion request did not answer");
                Err(PathError::TimedOut)
            }
        }
    }
}

/// Seals an answer for the client at the other end of the path.
fn seal(reply: &ReplyKey, served: Served) -> OnionServed {
    let Served { reply: Reply { status, body }, lease } = served;
    let body = match &body {
        Body::Text(text) => ReplyBody::Text(text),
        Body::Json(json) => ReplyBody::Json(json),
    };
    match reply.seal(status, body, &mut rand::rng()) {
        Ok(body) => OnionServed { status: 200, body, lease }.grown(),
        Err(_) => PathError::InvalidResponse.into(),
    }
}
