//! What follows from a change of the own store. It follows on the writer's thread once the change is on disk, whether or not
//! whoever asked for it still waits: a client that hangs up changes nothing about it.

use super::Node;
use skep_mailbox::{Change, Changed, Lane, Order, Put, Record, WriteError};
use std::sync::{Arc, PoisonError};

impl Node {
    /// Queues a record. Once it is kept its work is spent, and if it is new here those who watch its box are told.
    pub(super) fn put(
        &self,
        lane: Lane,
        record: Record,
        now: u64,
        done: impl FnOnce(Result<Put, WriteError>) + Send + 'static,
    ) {
        let work = record.deposit().work.clone();
        let push = self.monitors.watched(&record, &self.budget);
        let (disk, spent, monitors) = (Arc::clone(&self.disk), Arc::clone(&self.spent), self.monitors.clone());
        self.writer.put_for(lane, record, now, move |outcome| {
            disk.note(&outcome, |put| matches!(put, Put::Stored { already: false, .. }));
            if let Ok(Put::Stored { expiry, already }) = outcome {
                // Also where it paid for what was here already: once that is deleted, it has been spent.
                if let Some(work) = &work {
                    spent.lock().unwrap_or_else(PoisonError::into_inner).spend(work, now);
                }
                if let Some(push) = push.filter(|_| !already) {
                    monitors.publish(push, expiry, now);
                }
            }
            done(outcome);
        });
    }

    /// Queues a change. Who is revoked by it watches no longer.
    pub(super) fn write(
        &self,
        lane: Lane,
        change: Change,
        order: Option<Order>,
        now: u64,
        done: impl FnOnce(Result<Changed, WriteError>) + Send + 'static,
    ) {
        let revoked =
            if let Change::Revoke { account, tokens, .. } = &change { Some((*account, tokens.clone())) } else { None };
        let (disk, is_order, monitors) = (Arc::clone(&self.disk), order.is_some(), self.monitors.clone());
        self.writer.change_for(lane, change, order, now, move |outcome| {
            disk.note(&outcome, |_| is_order);
            if let (Some((account, tokens)), Ok(_)) = (revoked, &outcome) {
                monitors.revoke(&account, &tokens);
            }
            done(outcome);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drive::node::monitors::Subscription,
        testing::{start, view},
    };
    use futures::FutureExt;
    use skep_proto::{
        account::AccountAddress,
        peer::Work,
        storage::{Access, Namespace, StoreRequest, SubaccountToken},
    };
    use std::time::Duration;
    use tokio::{sync::watch, time::timeout};

    /// Enough for what must happen.
    const LONG: Duration = Duration::from_secs(60);
    const NOW: u64 = 1_700_000_000_000;

    fn record(number: u8) -> Record {
        let work = Work { nonce: vec![number; 16].into(), ..Work::default() };
        Record::new(StoreRequest {
            account: AccountAddress::from_x25519([7; 32]),
            namespace: Namespace::DEFAULT,
            timestamp: NOW,
            expiry: NOW + 60_000,
            data: vec![number],
            auth: None,
            work: Some(work),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_hangs_up_changes_nothing_about_what_follows() {
        let (views, roster) = watch::channel(Arc::new(view([])));
        let (running, entry) = start(1, roster).await;
        views.send_replace(Arc::new(view([entry])));
        let node = &running.node;
        let account = AccountAddress::from_x25519([7; 32]);
        let token = SubaccountToken::new(5, Access::READ, &[1; 32]);
        let watch = |subaccount| Subscription { account, namespace: Namespace::DEFAULT, subaccount, until: u64::MAX };
        let (mut owner, mut revoked) = (node.monitors.open().unwrap(), node.monitors.open().unwrap());
        assert!(owner.subscribe(watch(None)) && revoked.subscribe(watch(Some(token))));

        // Each is begun, and nobody waits for its end.
        let revoke = Change::Revoke { account, tokens: vec![token], at: NOW, given: NOW };
        let _ = node.change(revoke, None).now_or_never();
        let _ = node.keep(record(1), NOW).now_or_never();
        let told = timeout(LONG, owner.next()).await.expect("told").expect("open");
        assert!(told.text.as_str().contains(&record(1).hash().to_string()));
        let is_spent = |number| node.spent().contains(record(number).deposit().work.as_ref().unwrap());
        assert!(is_spent(1) && !is_spent(2));
        assert!(revoked.next().now_or_never().is_none(), "revoked before the message came");
        drop((owner, revoked));
        running.stop().await;
    }
}
