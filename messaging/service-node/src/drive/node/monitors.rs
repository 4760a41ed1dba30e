//! Who is told of messages as they are stored.

use super::Node;
use crate::{
    config::Limits,
    core::{Placement, Reply, refuse_retrieve},
    drive::{
        budget::{Budget, Holder, Lease},
        now_ms,
    },
};
use axum::extract::ws::Utf8Bytes;
use skep_mailbox::{Record, may_monitor};
use skep_proto::{
    account::AccountAddress,
    storage::{
        MonitorEvent, MonitorRequest, MonitorResponse, Namespace, PROTOCOL_GENERATION, RetrievedMessage,
        SubaccountToken, limits::MONITOR_LIFE,
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

/// Boxes one connection may watch.
const PER_CONNECTION: usize = 100;
/// Messages that may wait for one connection. A connection that does not take them in time is cut.
const QUEUED: usize = 64;

/// What the node grants to watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MonitorLimits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Boxes watched, over all connections.
    pub(crate) subscriptions: usize,
}

/// Every subscription of the node.
#[derive(Clone, Debug)]
pub(crate) struct Monitors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    registry: RwLock<Registry>,
}

#[derive(Debug)]
struct Registry {
    limits: MonitorLimits,
    /// Names the next connection.
    next: u64,
    connections: usize,
    subscriptions: usize,
    by_box: BTreeMap<BoxId, Vec<Subscriber>>,
}

type BoxId = (AccountAddress, Namespace);

#[derive(Debug)]
struct Subscriber {
    connection: u64,
    subscription: Subscription,
    queue: mpsc::Sender<Arc<Frame>>,
    cut: CancellationToken,
}

/// One box watched by one connection.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) account: AccountAddress,
    pub(crate) namespace: Namespace,
    /// Who watches, if not the owner.
    pub(crate) subaccount: Option<SubaccountToken>,
    /// When it ends (ms).
    pub(crate) until: u64,
}

/// A message on its way to those who watch its box, and the memory it takes until the last of them has it.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) text: Utf8Bytes,
    _lease: Lease,
}

/// A message that is watched for.
#[derive(Debug)]
pub(crate) struct Push {
    of_box: BoxId,
    /// Nothing if there is no memory for it: then nobody must believe to have seen everything.
    message: Option<(RetrievedMessage, Lease)>,
}

/// One connection's end of its subscriptions. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    monitors: Monitors,
    connection: u64,
    boxes: HashSet<BoxId>,
    sender: mpsc::Sender<Arc<Frame>>,
    queue: mpsc::Receiver<Arc<Frame>>,
    cut: CancellationToken,
}

impl MonitorLimits {
    pub(crate) const fn of(limits: &Limits) -> Self {
        Self { connections: limits.monitors, subscriptions: limits.monitored_boxes }
    }
}

impl Monitors {
    pub(crate) fn new(limits: MonitorLimits) -> Self {
        let (by_box, next) = (BTreeMap::new(), 0);
        let registry = Registry { limits, next, connections: 0, subscriptions: 0, by_box };
        Self(Arc::new(Shared { registry: RwLock::new(registry) }))
    }

    /// Grants `limits` from now on. Nobody who watches is cut off.
    pub(crate) fn change(&self, limits: MonitorLimits) {
        self.write().limits = limits;
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.0.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.0.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, if there may be one more.
    pub(crate) fn open(&self) -> Option<Watcher> {
        let mut registry = self.write();
        if registry.connections >= registry.limits.connections {
            return None;
        }
        registry.connections += 1;
        registry.next += 1;
        let (sender, queue) = mpsc::channel(QUEUED);
        let (monitors, connection) = (self.clone(), registry.next);
        Some(Watcher { monitors, connection, boxes: HashSet::new(), sender, queue, cut: CancellationToken::new() })
    }

    /// What watchers of its box are told of `record` once it is stored; nothing if there are none.
    pub(crate) fn watched(&self, record: &Record, budget: &Budget) -> Option<Push> {
        let deposit = record.deposit();
        let of_box = (deposit.account, deposit.namespace);
        if !self.read().by_box.contains_key(&of_box) {
            return None;
        }
        // The data stands in it in base64, beside a few fields.
        let lease = budget.lease(Holder::Watchers, deposit.data.len() * 3 / 2 + 1024);
        let message = lease.map(|lease| {
            let (timestamp, expiration, data) = (deposit.timestamp, deposit.expiry, deposit.data.clone());
            (RetrievedMessage { hash: record.hash(), timestamp, expiration, data }, lease)
        });
        Some(Push { of_box, message })
    }

    /// Tells everyone who watches its box that it is kept until `expiry`, at `now` (ms). Who has too much waiting already is
    /// cut.
    pub(crate) fn publish(&self, Push { of_box, message }: Push, expiration: u64, now: u64) {
        let frame = message.and_then(|(message, lease)| {
            let event = MonitorEvent::message(&of_box.0, of_box.1, RetrievedMessage { expiration, ..message });
            let text = serde_json::to_string(&event).ok()?.into();
            Some(Arc::new(Frame { text, _lease: lease }))
        });
        for subscriber in self.read().by_box.get(&of_box).into_iter().flatten() {
            if subscriber.subscription.until <= now {
                continue;
            }
            let told = frame.as_ref().map(|frame| subscriber.queue.try_send(Arc::clone(frame)));
            match told {
                None | Some(Err(TrySendError::Full(_))) => subscriber.cut.cancel(),
                Some(Ok(()) | Err(TrySendError::Closed(_))) => {}
            }
        }
    }

    /// Ends what revoked subaccounts watch.
    pub(crate) fn revoke(&self, account: &AccountAddress, tokens: &[SubaccountToken]) {
        let revoked = |subscriber: &Subscriber| {
            subscriber.subscription.subaccount.as_ref().is_some_and(|token| tokens.contains(token))
        };
        let boxes = (*account, Namespace(i16::MIN))..=(*account, Namespace(i16::MAX));
        self.write()
            .remove(boxes, |(_, namespace), subscriber| !namespace.outlives_revocation() && revoked(subscriber));
    }
}

impl Registry {
    fn watches(&self, connection: u64, id: &BoxId) -> bool {
        self.by_box.get(id).into_iter().flatten().any(|subscriber| subscriber.connection == connection)
    }

    /// Removes the subscribers of these boxes that are `unwanted`.
    fn remove(&mut self, boxes: std::ops::RangeInclusive<BoxId>, unwanted: impl Fn(&BoxId, &Subscriber) -> bool) {
        let mut empty = Vec::new();
        for (id, subscribers) in self.by_box.range_mut(boxes) {
            let before = subscribers.len();
            subscribers.retain(|subscriber| !unwanted(id, subscriber));
            self.subscriptions -= before - subscribers.len();
            if subscribers.is_empty() {
                empty.push(*id);
            }
        }
        for id in empty {
            self.by_box.remove(&id);
        }
    }
}

impl Watcher {
    /// Begins to watch a box, or goes on doing so. False if there is no room for one more.
    #[must_use]
    pub(crate) fn subscribe(&mut self, subscription: Subscription) -> bool {
        let id = (subscription.account, subscription.namespace);
        let mut registry = self.monitors.write();
        let known = registry.by_box.get_mut(&id).map(|subscribers| subscribers.iter_mut());
        let is_mine = |subscriber: &&mut Subscriber| subscriber.connection == self.connection;
        if let Some(subscriber) = known.and_then(|mut subscribers| subscribers.find(is_mine)) {
            subscriber.subscription = subscription;
            return true;
        }
        if registry.subscriptions >= registry.limits.subscriptions
            || (self.boxes.len() >= PER_CONNECTION && !self.boxes.contains(&id))
        {
            return false;
        }
        let subscriber =
            Subscriber { connection: self.connection, subscription, queue: self.sender.clone(), cut: self.cut.clone() };
        registry.by_box.entry(id).or_default().push(subscriber);
        registry.subscriptions += 1;
        drop(registry);
        self.boxes.insert(id);
        true
    }

    /// Watches a box no longer.
    fn unsubscribe(&mut self, id: BoxId) {
        let connection = self.connection;
        self.monitors.write().remove(id..=id, |_, subscriber| subscriber.connection == connection);
        self.boxes.remove(&id);
    }

    /// The next message, whenever it comes.
    pub(crate) async fn next(&mut self) -> Option<Arc<Frame>> {
        self.queue.recv().await
    }

    /// Returns once this connection has fallen behind.
    pub(crate) fn fallen_behind(&self) -> impl Future<Output = ()> + use<> {
        self.cut.clone().cancelled_owned()
    }

    /// Ends what is over at `now` (ms), and what is `elsewhere`; tells the latter.
    pub(crate) fn sweep(&mut self, now: u64, elsewhere: impl Fn(&AccountAddress) -> bool) -> Vec<BoxId> {
        let moved: Vec<_> = self.boxes.iter().filter(|(account, _)| elsewhere(account)).copied().collect();
        let mut registry = self.monitors.write();
        let connection = self.connection;
        for id in &self.boxes {
            let is_over = |subscriber: &Subscriber| moved.contains(id) || subscriber.subscription.until <= now;
            registry.remove(*id..=*id, |_, subscriber| subscriber.connection == connection && is_over(subscriber));
        }
        self.boxes.retain(|id| registry.watches(connection, id));
        moved
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut registry = self.monitors.write();
        registry.connections -= 1;
        for id in &self.boxes {
            registry.remove(*id..=*id, |_, subscriber| subscriber.connection == self.connection);
        }
    }
}

impl Node {
    /// Lets `watcher` have what is stored into a box from now on.
    pub(crate) async fn monitor(&self, watcher: &mut Watcher, request: MonitorRequest) -> Result<Reply, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        let is_revoked = self.is_revoked(&request.account, request.auth.as_ref().map(|timed| &timed.auth)).await?;
        may_monitor(&request, now, is_revoked).map_err(|refusal| refuse_retrieve(&refusal))?;
        let MonitorRequest { account, namespace, ref auth } = request;
        let auth = auth.as_ref().map(|timed| &timed.auth);
        let subaccount = auth.and_then(|auth| auth.subaccount.as_ref()).map(|delegation| delegation.token);
        let until = now.saturating_add(MONITOR_LIFE);
        if !watcher.subscribe(Subscription { account, namespace, subaccount, until }) {
            return Err(Reply::busy());
        }
        // A revocation from here on ends the subscription; one that came since it was looked for does not.
        let still_may = match self.is_revoked(&account, auth).await {
            Ok(false) => Ok(()),
            Ok(true) => may_monitor(&request, now, true).map_err(|refusal| refuse_retrieve(&refusal)),
            Err(failed) => Err(failed),
        };
        if let Err(refused) = still_may {
            watcher.unsubscribe((account, namespace));
            return Err(refused);
        }
        let (pubkey, namespace) = (account.to_string(), namespace.0);
        Ok(Reply::json(200, &MonitorResponse { pubkey, namespace, until, t: now, hf: PROTOCOL_GENERATION }))
    }

    /// Ends what `watcher` watches that is over or another swarm's now; what it is to be told of the latter.
    pub(crate) fn sweep(&self, watcher: &mut Watcher) -> Vec<String> {
        let view = self.view();
        let elsewhere =
            |account: &AccountAddress| matches!(Placement::of(&view, &self.id, account), Placement::Elsewhere);
        let moved = watcher.sweep(now_ms(), elsewhere);
        let tell = |(account, namespace): &BoxId| {
            serde_json::to_string(&MonitorEvent::moved(account, *namespace, self.swarm_of(account))).ok()
        };
        moved.iter().filter_map(tell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::storage::{Access, StoreRequest};

    const LIMITS: MonitorLimits = MonitorLimits { connections: 2, subscriptions: 102 };

    fn account(number: u8) -> AccountAddress {
        AccountAddress::from_x25519([number; 32])
    }

    fn subscription(account: AccountAddress, namespace: i16) -> Subscription {
        Subscription { account, namespace: Namespace(namespace), subaccount: None, until: 100 }
    }

    fn stored(account: AccountAddress, namespace: i16, number: u8) -> Record {
        let (namespace, data) = (Namespace(namespace), vec![number]);
        Record::new(StoreRequest { account, namespace, timestamp: 1, expiry: 99, data, auth: None, work: None })
    }

    /// Tells of a message; whether anybody watched for it.
    fn tell(monitors: &Monitors, record: &Record, now: u64) -> bool {
        let push = monitors.watched(record, &Budget::new(1 << 20));
        push.map(|push| monitors.publish(push, 77, now)).is_some()
    }

    fn told(watcher: &mut Watcher) -> Vec<String> {
        std::iter::from_fn(|| watcher.queue.try_recv().ok()).map(|frame| frame.text.as_str().to_owned()).collect()
    }

    #[test]
    fn watchers_are_told_of_their_boxes_only() {
        let monitors = Monitors::new(LIMITS);
        let (mut one, mut other) = (monitors.open().unwrap(), monitors.open().unwrap());
        assert!(monitors.open().is_none(), "two connections at most");
        assert!(one.subscribe(subscription(account(1), 0)) && other.subscribe(subscription(account(1), 10)));
        assert!(!tell(&monitors, &stored(account(2), 0, 1), 0));
        assert!(tell(&monitors, &stored(account(1), 0, 2), 0));
        let messages = told(&mut one);
        assert_eq!((messages.len(), told(&mut other).len()), (1, 0));
        for part in [r#""event":"message""#, r#""data":"Ag==""#, r#""expiration":77"#] {
            assert!(messages[0].contains(part), "{messages:?}");
        }
        assert!(tell(&monitors, &stored(account(1), 0, 3), 100) && told(&mut one).is_empty(), "it is over");
        assert_eq!(one.sweep(100, |_| false), []);
        assert!(!tell(&monitors, &stored(account(1), 0, 4), 100));
        drop(other);
        assert!(!tell(&monitors, &stored(account(1), 10, 5), 0));
        assert_eq!(monitors.read().subscriptions, 0);
        assert!(monitors.open().is_some(), "its place is free again");
    }

    #[test]
    fn subscriptions_are_bounded_and_renewed() {
        let monitors = Monitors::new(LIMITS);
        let (mut one, mut other) = (monitors.open().unwrap(), monitors.open().unwrap());
        for namespace in 0..100 {
            assert!(one.subscribe(subscription(account(1), namespace)));
        }
        assert!(!one.subscribe(subscription(account(1), 100)), "a hundred a connection");
        assert!(one.subscribe(Subscription { until: 500, ..subscription(account(1), 5) }), "renewed");
        assert!(other.subscribe(subscription(account(1), 0)) && other.subscribe(subscription(account(1), 1)));
        assert!(!other.subscribe(subscription(account(1), 2)), "no more in all");
        one.sweep(100, |_| false);
        assert!(other.subscribe(subscription(account(1), 2)), "what is over makes room");
        assert!(tell(&monitors, &stored(account(1), 5, 1), 400));
        assert_eq!(told(&mut one).len(), 1);
        assert_eq!(one.sweep(400, |_| true), [(account(1), Namespace(5))], "it has moved");
    }

    #[test]
    fn who_does_not_listen_is_cut_and_nobody_else() {
        let monitors = Monitors::new(LIMITS);
        let (mut slow, mut quick) = (monitors.open().unwrap(), monitors.open().unwrap());
        assert!(slow.subscribe(subscription(account(1), 0)) && quick.subscribe(subscription(account(1), 0)));
        for number in 0..=QUEUED {
            tell(&monitors, &stored(account(1), 0, number as u8), 0);
            assert_eq!(told(&mut quick).len(), 1);
        }
        assert!(slow.cut.is_cancelled() && !quick.cut.is_cancelled());
        let push = monitors.watched(&stored(account(1), 0, 1), &Budget::new(0)).unwrap();
        monitors.publish(push, 77, 0);
        assert!(quick.cut.is_cancelled(), "what cannot be told is not passed over in silence");
    }

    #[test]
    fn revoked_subaccounts_watch_no_longer() {
        let monitors = Monitors::new(LIMITS);
        let mut watcher = monitors.open().unwrap();
        let token = SubaccountToken::new(5, Access::READ, &[1; 32]);
        for namespace in [0, -11] {
            let by_token = Subscription { subaccount: Some(token), ..subscription(account(1), namespace) };
            assert!(watcher.subscribe(by_token));
        }
        assert!(watcher.subscribe(subscription(account(1), 5)));
        monitors.revoke(&account(1), &[token]);
        assert_eq!(
            [0, -11, 5].map(|namespace| tell(&monitors, &stored(account(1), namespace, 1), 0)),
            [false, true, true]
        );
    }
}
