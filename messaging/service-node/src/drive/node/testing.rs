//! What other nodes ask as testers, and as nodes that want to be tested.

use super::Node;
use crate::{
    VERSION,
    core::{read_votes, write_held},
    drive::{
        now_ms,
        probe::{Seen, probe},
        quic::{Refused, peer_may_ask, refusal},
    },
};
use skep_chain_client::RosterView;
use skep_primitives::ServiceNodeId;
use skep_proto::peer;
use skep_reachability::VotesRefusal;

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

    /// Probes the asker where the roster says that it is.
    pub(super) async fn probe_back(&self, peer: ServiceNodeId, view: &RosterView) -> Result<peer::Probed, Refused> {
        if !peer_may_ask(&self.testing.asked_for, peer) {
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
