//! Storing and reading messages.

use super::{Node, not_read, swarm::written};
use crate::{
    core::{FULL, NO_ROOM, Reply, refuse_retrieve, refuse_store},
    drive::now_ms,
};
use skep_chain_client::RosterView;
use skep_mailbox::{Lane, Origin, Put, Record, StoreRefusal, Terms, WorkRefusal, may_retrieve};
use skep_proto::{
    peer::{self, request::Request as PeerRequest},
    storage::{
        HexKey, MemberFailure, MemberResult, MemberStored, PROTOCOL_GENERATION, RetrieveRequest, RetrieveResponse,
        StoreRequest, StoreResponse, signed,
    },
};
use skep_replication::{read_stored, swarm_status};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// A client's message that this node takes.
pub(super) struct Admitted {
    view: Arc<RosterView>,
    record: Record,
    now: u64,
}

impl Node {
    /// Judges a message from a client.
    pub(super) async fn take_in(&self, request: StoreRequest) -> Result<Admitted, Reply> {
        let (view, now) = (self.view(), now_ms());
        self.members(&view, &request.account)?;
        let record = self.admit(request, Origin::Client, &view, now).await?;
        Ok(Admitted { view, record, now })
    }

    /// Keeps a message, passes it on to the swarm, and tells who has it. Of several the disk keeps first what is polled first.
    pub(super) async fn store(&self, Admitted { view, record, now }: Admitted) -> Result<Reply, Reply> {
        let peers = self.members(&view, &record.deposit().account)?;
        let hash = record.hash();
        let wire = PeerRequest::Store(record.to_wire());
        let read = |peer: &_, answer| read_stored(peer, hash, answer);
        let (mut swarm, _leases) = self.ask_swarm(peers, wire, self.keep(record, now), read).await;
        let (status, t) = (swarm_status(&swarm), now_ms());
        let hash = match swarm.get_mut(&HexKey(self.id.0)) {
            Some(MemberResult::Done(own)) => {
                own.t = Some(t);
                Some(hash)
            }
            Some(MemberResult::Failed(_)) | None => None,
        };
        Ok(Reply::json(status, &StoreResponse { swarm, hash, t, hf: PROTOCOL_GENERATION }))
    }

    /// Judges a deposit.
    pub(super) async fn admit(
        &self,
        request: StoreRequest,
        origin: Origin,
        view: &RosterView,
        now: u64,
    ) -> Result<Record, Reply> {
        let demand = *self.demand();
        let refuse = |refusal: StoreRefusal| {
            if refusal == StoreRefusal::Work(WorkRefusal::Demanded) {
                self.metrics.count_not_drawn();
            }
            refuse_store(&refusal, demand.effort(), view)
        };
        let is_recent_block = |hash: &[u8; 32]| view.recent_height(hash).is_some();
        let is_spent = |work: &peer::Work| self.spent().contains(work);
        let entrant = Terms::new(&demand, origin, now).weigh(request, &is_recent_block, is_spent).map_err(refuse)?;
        let dice = rand::random();
        let judged = if entrant.asks_the_store() {
            self.read_store(move |store| entrant.judge(store, dice)).await?
        } else {
            entrant.judge(&*self.store, dice).map_err(|error| not_read(&error))?
        };
        judged.map_err(refuse)
    }

    /// The roster once it knows the block a member's deposit was worked over: this node may be a moment behind that member.
    pub(super) async fn view_with_block(&self, work: Option<&peer::Work>) -> Arc<RosterView> {
        /// Less than the member waits for us.
        const PATIENCE: Duration = Duration::from_secs(2);
        let block = work.and_then(|work| <[u8; 32]>::try_from(&work.block_hash[..]).ok());
        if let Some(block) = block {
            let mut roster = self.roster.clone();
            let known = roster.wait_for(|view| view.recent_height(&block).is_some());
            // What is not known by then is judged as unknown.
            let _ = timeout(PATIENCE, known).await;
        }
        self.view()
    }

    /// Puts a record on the own disk. Returns once it is there.
    pub(super) async fn keep(&self, record: Record, now: u64) -> Result<MemberStored, MemberFailure> {
        let hash = record.hash();
        let (done, outcome) = oneshot::channel();
        self.put(Lane::Clients, record, now, move |outcome| {
            // Nobody waits any more if the client has gone.
            let _ = done.send(outcome);
        });
        match written(outcome).await? {
            Put::Stored { expiry, already } => {
                Ok(MemberStored { hash, signature: self.key.sign(&signed::stored(&hash)), expiry, already, t: None })
            }
            Put::Full => Err(MemberFailure::Refused { code: FULL, reason: NO_ROOM.into() }),
            Put::Gone => Err(MemberFailure::Refused { code: 410, reason: "its owner has deleted this message".into() }),
        }
    }

    /// Reads a mailbox, `room` bytes at most, for which the caller has memory.
    pub(super) async fn retrieve(&self, request: RetrieveRequest, room: usize) -> Result<Reply, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        let is_revoked = self.is_revoked(&request.account, request.auth.as_ref().map(|timed| &timed.auth)).await?;
        let mut query = may_retrieve(&request, now, is_revoked).map_err(|refusal| refuse_retrieve(&refusal))?;
        query.window.size = query.window.size.min(room);
        self.read_store(move |store| {
            let page = store.retrieve(&query, now)?;
            let response =
                RetrieveResponse { messages: page.messages, more: page.more, t: now, hf: PROTOCOL_GENERATION };
            Ok(Reply::json(200, &response))
        })
        .await
    }
}
