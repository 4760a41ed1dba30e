//! Storing and reading messages.

use super::{Node, Served, swarm::written};
use crate::{
    core::{Body, Reply, refuse_retrieve, refuse_store},
    drive::now_ms,
};
use skep_chain_client::RosterView;
use skep_mailbox::{Admission, Origin, Put, Record, admit, may_retrieve};
use skep_proto::{
    peer::request::Request as PeerRequest,
    storage::{
        HexKey, MemberFailure, MemberResult, MemberStored, PROTOCOL_GENERATION, RetrieveRequest, RetrieveResponse,
        StoreRequest, StoreResponse, signed,
    },
};
use skep_replication::{read_stored, swarm_status};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

impl Node {
    /// Takes a message from a client, passes it on to the swarm, and tells who has it.
    pub(super) async fn store(&self, request: StoreRequest) -> Result<Reply, Reply> {
        let view = self.view();
        let now = now_ms();
        let peers = self.members(&view, &request.account)?;
        let record = self.admit(request, Origin::Client, &view, now).await?;
        let hash = record.hash();
        let wire = PeerRequest::Store(record.to_wire());
        let read = |peer: &_, answer| read_stored(peer, hash, answer);
        let swarm = self.ask_swarm(peers, wire, self.keep(record, now), read).await;
        let own = swarm.get(&HexKey(self.id.0));
        let hash = matches!(own, Some(MemberResult::Done(_))).then_some(hash);
        let status = swarm_status(&swarm);
        Ok(Reply::json(status, &StoreResponse { swarm, hash, t: now_ms(), hf: PROTOCOL_GENERATION }))
    }

    pub(super) async fn admit(
        &self,
        request: StoreRequest,
        origin: Origin,
        view: &RosterView,
        now: u64,
    ) -> Result<Record, Reply> {
        let is_revoked = self.is_revoked(&request.account, request.auth.as_ref().map(|timed| &timed.auth)).await?;
        let is_recent_block = &|hash: &[u8; 32]| view.recent_height(hash).is_some();
        let least_effort = self.least_effort.load(Ordering::Relaxed);
        admit(request, &Admission { now, origin, is_revoked, least_effort, is_recent_block })
            .map_err(|refusal| refuse_store(&refusal, least_effort, view))
    }

    /// Puts a record on the own disk. Returns once it is there.
    pub(super) async fn keep(&self, record: Record, now: u64) -> Result<MemberStored, MemberFailure> {
        let hash = record.hash();
        let (done, outcome) = oneshot::channel();
        self.writer.put(record, now, move |outcome| {
            // Nobody waits any more if the client has gone.
            let _ = done.send(outcome);
        });
        match written(outcome).await? {
            Put::Stored { expiry, already } => {
                Ok(MemberStored { hash, signature: self.key.sign(&signed::stored(&hash)), expiry, already })
            }
            Put::Full => Err(MemberFailure::NotStored { reason: Some("the message store is full".into()) }),
            Put::Gone => Err(MemberFailure::NotStored { reason: Some("its owner has deleted this message".into()) }),
        }
    }

    /// Reads a mailbox, `room` bytes at most.
    pub(super) async fn retrieve(&self, request: RetrieveRequest, room: usize) -> Result<Served, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        let is_revoked = self.is_revoked(&request.account, request.auth.as_ref().map(|timed| &timed.auth)).await?;
        let mut query = may_retrieve(&request, now, is_revoked).map_err(|refusal| refuse_retrieve(&refusal))?;
        query.window.size = query.window.size.min(room);
        // The messages and their JSON, for a moment at the same time.
        let mut lease = self.budget.lease_soon(2 * query.window.size).await.ok_or_else(|| self.busy())?;
        let reply = self
            .read_store(move |store| {
                let page = store.retrieve(&query, now)?;
                let response =
                    RetrieveResponse { messages: page.messages, more: page.more, t: now, hf: PROTOCOL_GENERATION };
                Ok(Reply::json(200, &response))
            })
            .await?;
        let (Body::Json(text) | Body::Text(text)) = &reply.body;
        lease.shrink(text.len());
        Ok(Served { lease: Some(lease), reply })
    }
}
