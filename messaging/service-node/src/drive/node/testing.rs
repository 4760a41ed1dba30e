//! What other nodes ask as testers, and as nodes that want to be tested.

use super::Node;
use crate::{
    VERSION,
    core::{own_swarm, proof, read_audit, read_votes, write_held, write_report},
    drive::{
        now_ms,
        probe::{Seen, probe},
        quic::{Refused, refusal},
    },
};
use skep_chain_client::RosterView;
use skep_mailbox::Fetched;
use skep_primitives::ServiceNodeId;
use skep_proto::peer;
use skep_reachability::{Report, VotesRefusal};
use std::time::Instant;

impl Node {
    /// Says to `peer` that this node is there.
    pub(super) fn pong(&self, peer: ServiceNodeId) -> peer::Pong {
        // Its own `doctor` says nothing about the way from outside.
        if peer != self.id {
            self.testing.handle_ping();
        }
        peer::Pong {
            timestamp: now_ms(),
            version: VERSION.map(u32::from).to_vec(),
            instance: self.testing.instance.to_vec().into(),
        }
    }

    /// Takes another tester's votes; tells it those it lacks.
    pub(super) fn votes_of(&self, peer: ServiceNodeId, wire: &peer::Votes) -> Result<peer::VotesHeld, peer::Response> {
        let (subject, votes) = read_votes(wire).map_err(|error| refusal(400, error.to_string()))?;
        let taken = self.testing.handle_votes(&peer, &subject, &votes);
        match taken.ok_or_else(|| refusal(503, "this node tests nobody yet"))? {
            Ok(held) => Ok(write_held(&held)),
            Err(error) => {
                let status = match error {
                    VotesRefusal::Round(_) => 425,
                    VotesRefusal::Stranger(_) => 403,
                    VotesRefusal::Block(_)
                    | VotesRefusal::Node(_)
                    | VotesRefusal::TooMany(_)
                    | VotesRefusal::Vote(_) => 400,
                };
                Err(refusal(status, error.to_string()))
            }
        }
    }

    /// Shows a message to another member of the swarm.
    pub(super) async fn show(
        &self,
        peer: ServiceNodeId,
        wire: &peer::Audit,
        view: &RosterView,
    ) -> Result<peer::Shown, peer::Response> {
        let own = own_swarm(view, &self.id);
        if own.is_none() || own != own_swarm(view, &peer) {
            return Err(refusal(421, "we are in no swarm together"));
        }
        let (name, nonce) = read_audit(wire).ok_or_else(|| refusal(400, "the audit cannot be read"))?;
        let fetched = self.read_store(move |store| store.fetch(&name, now_ms())).await;
        let shown = match fetched.map_err(|_| Refused::BUSY.into_response())? {
            Some(Fetched::Message { record, .. }) => proof(&nonce, &name, &record).to_vec(),
            Some(Fetched::Order(_)) | None => Vec::new(),
        };
        Ok(peer::Shown { proof: shown.into() })
    }

    /// Tells what this node's audits of a member found.
    pub(super) fn audits_of(&self, member: &[u8]) -> peer::AuditsTold {
        let member = member.try_into().map(ServiceNodeId);
        let report = member.map_or(Report::Unknown, |member| self.testing.report(&member));
        peer::AuditsTold { report: write_report(report) }
    }

    /// Probes the asker where the roster says that it is.
    pub(super) async fn probe_back(&self, peer: ServiceNodeId, view: &RosterView) -> Result<peer::Probed, Refused> {
        if !self.testing.asked_for.allows(peer, Instant::now()) {
            return Err(Refused { status: 429, reason: "you were probed a moment ago" });
        }
        let Ok(_slot) = self.testing.probes_for_others.try_acquire() else { return Err(Refused::BUSY) };
        let entry = view.node(&peer).ok_or(Refused { status: 403, reason: "you are not registered" })?;
        let Seen { sighting, instance } = probe(&self.peers, entry, &self.witnesses(view, &peer)).await;
        Ok(peer::Probed {
            quic: sighting.quic,
            https: sighting.https,
            onion: sighting.onion.unwrap_or_default(),
            clock_offset: sighting.echo.map(|echo| echo.clock_offset()),
            instance: instance.into(),
        })
    }
}
