//! A bound on the bytes of requests and answers held at once.

use skep_primitives::ServiceNodeId;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

const UNIT: usize = 1024;
/// How long an answer waits for room that others have.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it waits for what its holder itself has, which keeps nobody else waiting.
const OWN_PATIENCE: Duration = Duration::from_secs(10);

/// A number of permits that may change while some are lent.
#[derive(Clone, Debug)]
struct Permits {
    semaphore: Arc<Semaphore>,
    size: Arc<Mutex<usize>>,
}

impl Permits {
    fn new(size: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(size)), size: Arc::new(Mutex::new(size)) }
    }

    /// How many there are, lent or not.
    fn size(&self) -> usize {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets there be `size` from now on. Those lent beyond that stay so until they come back; nobody new gets any before.
    fn resize(&self, size: usize) {
        let mut current = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if size >= *current {
            self.semaphore.add_permits(size - *current);
        } else {
            let surplus = *current - size;
            let lent = surplus - self.semaphore.forget_permits(surplus);
            if let Ok(lent) = u32::try_from(lent)
                && lent > 0
            {
                let semaphore = Arc::clone(&self.semaphore);
                tokio::spawn(async move {
                    if let Ok(permits) = semaphore.acquire_many_owned(lent).await {
                        permits.forget();
                    }
                });
            }
        }
        *current = size;
    }
}

/// One holder may have this part of the budget, as a divisor.
const SHARES: usize = 4;
/// What is held as one counts for all but this part of a share at most, as a divisor.
const REST: usize = 8;

/// For whom memory is held: so that one who takes answers slowly, or sends much, keeps nobody else out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A client, by its host.
    Client(IpAddr),
    /// Another service node.
    Node(ServiceNodeId),
    /// All to whom new messages are pushed.
    Watchers,
}

/// Memory shared by everything in flight. Each holder has a share of a quarter. In a small budget one request or answer may be
/// larger than that: then it leaves room for small ones beside it only.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    all: Permits,
    shares: Arc<Mutex<HashMap<Holder, Share>>>,
}

/// There is one only while it is used, so that strangers leave nothing behind.
#[derive(Debug)]
struct Share {
    units: Arc<Semaphore>,
    size: usize,
    users: usize,
}

/// A use of a share.
#[derive(Debug)]
struct Claim {
    budget: Budget,
    holder: Holder,
    units: Arc<Semaphore>,
    size: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut shares = self.budget.shares();
        if let Some(share) = shares.get_mut(&self.holder) {
            share.users -= 1;
            if share.users == 0 {
                shares.remove(&self.holder);
            }
        }
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    all: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
    claim: Claim,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { all: Permits::new(bytes / UNIT), shares: Arc::default() }
    }

    /// Lets there be `bytes` from now on. A holder who has something now keeps the share it had until it has nothing.
    pub(crate) fn resize(&self, bytes: usize) {
        self.all.resize(bytes / UNIT);
    }

    /// Bytes there are, lent or not.
    pub(crate) fn size(&self) -> usize {
        self.all.size() * UNIT
    }

    /// The most that answers to one's orders may take: the rest is for those of other members, as they come.
    pub(crate) fn for_orders(&self) -> usize {
        self.size() / 2
    }

    /// Bytes lent now.
    pub(crate) fn in_use(&self) -> usize {
        self.all.size().saturating_sub(self.all.semaphore.available_permits()) * UNIT
    }

    /// Takes `bytes` for `holder`, or nothing if they are not there now.
    pub(crate) fn lease(&self, holder: Holder, bytes: usize) -> Option<Lease> {
        let (claim, units) = (self.claim(holder), units(bytes)?);
        let own = Arc::clone(&claim.units).try_acquire_many_owned(claim.charge(units)?).ok()?;
        let all = Arc::clone(&self.all.semaphore).try_acquire_many_owned(units).ok()?;
        Some(Lease { all, own, claim })
    }

    /// Takes `bytes`, waiting for what the holder itself has, and then a moment for what others have.
    pub(crate) async fn lease_soon(&self, holder: Holder, bytes: usize) -> Option<Lease> {
        let (claim, units) = (self.claim(holder), units(bytes)?);
        let own = Arc::clone(&claim.units).acquire_many_owned(claim.charge(units)?);
        let own = timeout(OWN_PATIENCE, own).await.ok()?.ok()?;
        let all = Arc::clone(&self.all.semaphore).acquire_many_owned(units);
        let all = timeout(PATIENCE, all).await.ok()?.ok()?;
        Some(Lease { all, own, claim })
    }

    /// The same, but what is more than a share does not wait for what others have: those who come next would wait behind it.
    pub(crate) async fn lease_considerately(&self, holder: Holder, bytes: usize) -> Option<Lease> {
        if bytes > self.size() / SHARES { self.lease(holder, bytes) } else { self.lease_soon(holder, bytes).await }
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Holder, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, holder: Holder) -> Claim {
        let mut shares = self.shares();
        let share = shares.entry(holder).or_insert_with(|| {
            let size = (self.all.size() / SHARES).max(1);
            Share { units: Arc::new(Semaphore::new(size)), size, users: 0 }
        });
        share.users += 1;
        Claim { budget: self.clone(), holder, units: Arc::clone(&share.units), size: share.size }
    }
}

fn units(bytes: usize) -> Option<u32> {
    u32::try_from(bytes.div_ceil(UNIT)).ok()
}

impl Claim {
    /// What `units` held as one count for.
    fn charge(&self, units: u32) -> Option<u32> {
        u32::try_from((self.size - self.size / REST).min(units as usize)).ok()
    }
}

impl Lease {
    /// Takes up to `bytes` in all. False if they are not there now; then nothing changes.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(units) = units(bytes) else { return false };
        let Some(charge) = self.claim.charge(units) else { return false };
        let missing = |held: &OwnedSemaphorePermit, wanted: u32| {
            u32::try_from(held.num_permits()).map_or(0, |held| wanted.saturating_sub(held))
        };
        let (missing_own, missing) = (missing(&self.own, charge), missing(&self.all, units));
        let Ok(own) = Arc::clone(&self.claim.units).try_acquire_many_owned(missing_own) else { return false };
        let semaphore = Arc::clone(&self.claim.budget.all.semaphore);
        let Ok(all) = semaphore.try_acquire_many_owned(missing) else { return false };
        self.own.merge(own);
        self.all.merge(all);
        true
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let kept = bytes.div_ceil(UNIT);
        drop(self.all.split(self.all.num_permits().saturating_sub(kept)));
        drop(self.own.split(self.own.num_permits().saturating_sub(kept)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const SOMEBODY: Holder = Holder::Node(ServiceNodeId([1; 32]));

    fn client(number: u8) -> Holder {
        Holder::Client([10, 0, 0, number].into())
    }

    #[test]
    fn leases_bound_what_is_held() {
        let budget = Budget::new(40 * UNIT);
        let mut first = budget.lease(client(1), 3 * UNIT + 1).expect("4 of 40");
        assert!(first.grow(10 * UNIT));
        let others: Vec<_> = (2..5).map(|number| budget.lease(client(number), 9 * UNIT).expect("9 each")).collect();
        assert_eq!(budget.in_use(), 37 * UNIT);
        assert!(budget.lease(client(5), 4 * UNIT).is_none() && !first.grow(14 * UNIT));
        assert_eq!(budget.in_use(), 37 * UNIT, "nothing has changed");
        first.shrink(UNIT);
        assert!(budget.lease(client(1), 9 * UNIT).is_some(), "of its share too");
        drop((first, others));
        assert!(budget.lease(SOMEBODY, 40 * UNIT).is_some());
        assert!(budget.shares().is_empty(), "nobody leaves anything behind");
    }

    #[test]
    fn one_holder_keeps_nobody_out() {
        let budget = Budget::new(40 * UNIT);
        let held: Vec<_> = std::iter::from_fn(|| budget.lease(client(1), 2 * UNIT)).collect();
        assert_eq!(held.len(), 5, "a quarter");
        assert!(budget.lease(client(2), 10 * UNIT).is_some() && budget.lease(Holder::Watchers, UNIT).is_some());
        drop(held);
        // What is larger than a share leaves room for little beside it.
        let mut large = budget.lease(client(1), 5 * UNIT).expect("there is room");
        assert!(large.grow(15 * UNIT));
        let small = budget.lease(client(1), UNIT).expect("a ninth and a tenth unit");
        assert!(budget.lease(client(1), UNIT).is_none());
        large.shrink(5 * UNIT);
        let more = budget.lease(client(1), 3 * UNIT).expect("the share has room again");
        assert!(!large.grow(15 * UNIT), "too much beside it");
        drop((small, more));
        assert!(large.grow(15 * UNIT));
    }

    #[tokio::test]
    async fn who_waits_for_its_own_keeps_nobody_out() {
        let budget = Budget::new(40 * UNIT);
        let held = budget.lease(client(1), 10 * UNIT);
        let waiting = budget.lease_soon(client(1), 30 * UNIT);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(budget.lease(client(2), 30 * UNIT).is_some());
        drop(held);
        let got = waiting.await.expect("its turn");
        assert!(budget.lease(client(2), 11 * UNIT).is_none());
        drop(got);
        assert!(budget.shares().is_empty());
    }

    #[tokio::test]
    async fn what_is_lent_beyond_a_smaller_bound_is_not_lent_again() {
        let budget = Budget::new(10 * UNIT);
        let lent = budget.lease(SOMEBODY, 8 * UNIT).expect("8 of 10");
        budget.resize(4 * UNIT);
        // The task that keeps back what returns has its place in the queue from here on.
        tokio::task::yield_now().await;
        assert!(budget.lease(client(1), 1).is_none());
        assert_eq!(budget.in_use(), 4 * UNIT, "all there is");
        drop(lent);
        assert!(budget.lease_soon(SOMEBODY, 4 * UNIT).await.is_some());
        assert!(budget.lease(SOMEBODY, 5 * UNIT).is_none());
        budget.resize(20 * UNIT);
        assert!(budget.lease(SOMEBODY, 20 * UNIT).is_some());
    }
}
