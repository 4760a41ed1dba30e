//! One request to every member of the swarm.

use super::{Node, RosterEntry};
use crate::drive::{budget::Lease, now_ms, occasionally::Occasionally, quic::PeerError};
use futures::{StreamExt, stream::FuturesUnordered};
use skep_mailbox::{Change, Changed, Lane, Order, WriteError};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer,
    storage::{HexKey, MemberFailure, MemberResult, limits::PEER_TIMEOUT},
};
use skep_replication::FanOut;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

impl Node {
    /// Does something here (`own`) and asks `peers` to do the same; `read` judges what they say. Their answers' memory is held
    /// until the leases are dropped.
    pub(super) async fn ask_swarm<R>(
        &self,
        peers: Vec<&RosterEntry>,
        request: peer::request::Request,
        own: impl Future<Output = Result<R, MemberFailure>>,
        read: impl Fn(&ServiceNodeId, peer::Response) -> Result<R, MemberFailure>,
    ) -> (BTreeMap<HexKey, MemberResult<R>>, Vec<Lease>) {
        let (now, started) = (now_ms(), Instant::now());
        let request = &peer::Request { request: Some(request) };
        let mut fan_out = FanOut::new(self.id, peers.iter().map(|peer| peer.id), now);
        let patience = Duration::from_millis(PEER_TIMEOUT);
        let mut answers: FuturesUnordered<_> =
            peers.into_iter().map(async |peer| (peer.id, self.peers.ask(peer, request, patience).await)).collect();
        tokio::pin!(own);
        let (mut own_pending, mut leases) = (true, Vec::new());
        while !fan_out.is_complete() {
            let due = fan_out.poll_timeout().map(|due| started + Duration::from_millis(due.saturating_sub(now)));
            tokio::select! {
                done = &mut own, if own_pending => {
                    own_pending = false;
                    fan_out.handle(self.id, done);
                }
                Some((peer, answer)) = answers.next() => {
                    let result = match answer {
                        Ok((answer, lease)) => {
                            leases.push(lease);
                            read(&peer, answer)
                        }
                        Err(error) => {
                            tracing::debug!(%peer, %error, "a member of the swarm did not do what was asked");
                            Err(failure(&error))
                        }
                    };
                    fan_out.handle(peer, result);
                }
                () = sleep_until(due.unwrap_or(started)), if due.is_some() => {
                    fan_out.handle_timeout(now_after(now, started));
                }
            }
        }
        let swarm = fan_out.finish();
        self.metrics.count_members(&swarm);
        (swarm, leases)
    }
}

impl Node {
    /// Changes the own store. Returns once that is on disk.
    pub(in crate::drive) async fn change(
        &self,
        change: Change,
        order: Option<Order>,
    ) -> Result<Changed, MemberFailure> {
        let (done, outcome) = oneshot::channel();
        self.write(Lane::Clients, change, order, now_ms(), move |outcome| {
            // Nobody waits any more if the client has gone.
            let _ = done.send(outcome);
        });
        written(outcome).await
    }
}

const fn failure(error: &PeerError) -> MemberFailure {
    match error {
        PeerError::Connect(_) | PeerError::Broken(_) | PeerError::TimedOut | PeerError::NoRoom => {
            MemberFailure::Timeout
        }
        PeerError::Unreadable => MemberFailure::BadResponse,
    }
}

static NOT_WRITTEN: Occasionally = Occasionally::new();

/// What the writer says, once it has said it.
pub(super) async fn written<T>(outcome: oneshot::Receiver<Result<T, WriteError>>) -> Result<T, MemberFailure> {
    let error = match outcome.await {
        Ok(Ok(written)) => return Ok(written),
        Ok(Err(error)) => error,
        Err(_) => WriteError::Closed,
    };
    match error {
        WriteError::Busy | WriteError::Closed => Err(MemberFailure::Refused { code: 503, reason: error.to_string() }),
        WriteError::Store(error) => {
            // Clients are not told where the disk is and what it says.
            if let Some(more) = NOT_WRITTEN.due() {
                tracing::error!(%error, more, "the message store did not write");
            }
            Err(MemberFailure::NotStored { reason: Some("the message store failed".into()) })
        }
    }
}

/// `then` (ms) plus what has passed since, by the clock that never jumps.
fn now_after(then: u64, since: Instant) -> u64 {
    then.saturating_add(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}
