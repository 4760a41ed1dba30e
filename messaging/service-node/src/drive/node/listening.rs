//! Listening sessions: waiting for messages, and handing them over.

use super::{Node, Upstream};
use crate::{
    core::{Listening, Reply, refuse_delivery, refuse_listen},
    drive::now_ms,
};
use skep_proto::storage::{
    DeliverRequest, ListenRequest, PROTOCOL_GENERATION, UnlistenRequest,
    listening::{DeliverResponse, ListenResponse, UnlistenResponse},
};
use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

impl Node {
    pub(in crate::drive) fn listening(&self) -> MutexGuard<'_, Listening<Upstream, oneshot::Sender<()>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens or renews a session, and waits until there is something for it or its patience is over.
    pub(super) async fn listen(&self, upstream: Upstream, request: ListenRequest) -> Result<Reply, Reply> {
        let share = match upstream {
            Upstream::Client(_) => self.listening_shares.sessions_per_address,
            Upstream::Node(_) => self.listening_shares.sessions_per_peer,
        };
        let (waker, woken) = oneshot::channel();
        let waker = (request.hold > 0).then_some(waker);
        let listened = self.listening().listen(&request, (upstream, share), waker, now_ms()).map_err(refuse_listen)?;
        wake(listened.replaced);
        if !listened.heard && request.hold > 0 {
            tokio::select! {
                _ = timeout(Duration::from_millis(request.hold), woken) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        let now = now_ms();
        let heard = self.listening().hear(&request.session, listened.ticket, now);
        let response = ListenResponse {
            opened: listened.opened,
            messages: heard.messages,
            more: heard.more,
            t: now,
            hf: PROTOCOL_GENERATION,
            pad: String::new(),
        };
        Ok(Reply::written(200, response.to_padded_json()))
    }

    /// Queues a message for whoever listens; answered at once.
    pub(super) fn deliver(&self, request: DeliverRequest) -> Result<Reply, Reply> {
        let now = now_ms();
        let waiter = self.listening().deliver(request, now).map_err(refuse_delivery)?;
        wake(waiter);
        Ok(Reply::json(200, &DeliverResponse { queued: true, t: now, hf: PROTOCOL_GENERATION }))
    }

    /// Ends a session.
    pub(super) fn unlisten(&self, UnlistenRequest { session }: UnlistenRequest) -> Reply {
        wake(self.listening().unlisten(&session));
        Reply::json(200, &UnlistenResponse { t: now_ms(), hf: PROTOCOL_GENERATION })
    }
}

fn wake(waiter: Option<oneshot::Sender<()>>) {
    // Whoever waited may have gone; what is queued stays until it is acknowledged.
    let _ = waiter.map(|waiter| waiter.send(()));
}
