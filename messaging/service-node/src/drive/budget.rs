//! Bounds on what is held at once: bytes of requests and answers, and connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

const UNIT: usize = 1024;
/// How long an answer waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// A number of permits that may change while some are lent.
#[derive(Clone, Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    size: Arc<Mutex<usize>>,
}

impl Permits {
    pub(crate) fn new(size: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(size)), size: Arc::new(Mutex::new(size)) }
    }

    /// How many there are, lent or not.
    pub(crate) fn size(&self) -> usize {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, waiting for it.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).acquire_owned().await.ok()
    }

    /// Lets there be `size` from now on. Those lent beyond that stay so until they come back; nobody new gets any before.
    pub(crate) fn resize(&self, size: usize) {
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

/// Memory shared by everything in flight.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Permits);

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Permits::new(bytes / UNIT))
    }

    /// Lets there be `bytes` from now on.
    pub(crate) fn resize(&self, bytes: usize) {
        self.0.resize(bytes / UNIT);
    }

    /// Bytes there are, lent or not.
    pub(crate) fn size(&self) -> usize {
        self.0.size() * UNIT
    }

    /// Bytes lent now.
    pub(crate) fn in_use(&self) -> usize {
        self.0.size().saturating_sub(self.0.semaphore.available_permits()) * UNIT
    }

    /// Takes `bytes`, or nothing if they are not there now.
    pub(crate) fn lease(&self, bytes: usize) -> Option<Lease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = Arc::clone(&self.0.semaphore).try_acquire_many_owned(units).ok()?;
        Some(Lease(permit))
    }

    /// Takes `bytes`, waiting a moment for them.
    pub(crate) async fn lease_soon(&self, bytes: usize) -> Option<Lease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = timeout(PATIENCE, Arc::clone(&self.0.semaphore).acquire_many_owned(units)).await.ok()?.ok()?;
        Some(Lease(permit))
    }
}

impl Lease {
    /// Takes up to `bytes` in all. False if they are not there now; then nothing changes.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize, budget: &Budget) -> bool {
        let missing = bytes.div_ceil(UNIT).saturating_sub(self.0.num_permits());
        if missing > 0 {
            let Some(more) = budget.lease(missing * UNIT) else { return false };
            self.0.merge(more.0);
        }
        true
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(surplus));
    }

    /// Puts two together.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_bound_what_is_held() {
        let budget = Budget::new(10 * UNIT);
        let mut first = budget.lease(3 * UNIT + 1).expect("4 of 10");
        assert!(budget.lease(7 * UNIT).is_none());
        assert!(first.grow(6 * UNIT, &budget));
        assert!(!first.grow(11 * UNIT, &budget));
        let second = budget.lease(4 * UNIT).expect("the other 4");
        assert!(budget.lease(1).is_none());
        first.shrink(UNIT);
        first.merge(second);
        drop(budget.lease(5 * UNIT).expect("5 are free"));
        drop(first);
        assert!(budget.lease(10 * UNIT).is_some());
    }

    #[tokio::test]
    async fn what_is_lent_beyond_a_smaller_bound_is_not_lent_again() {
        let budget = Budget::new(10 * UNIT);
        let lent = budget.lease(8 * UNIT).expect("8 of 10");
        budget.resize(4 * UNIT);
        // The task that keeps back what returns has its place in the queue from here on.
        tokio::task::yield_now().await;
        assert!(budget.lease(1).is_none());
        assert_eq!(budget.in_use(), 4 * UNIT, "all there is");
        drop(lent);
        assert!(budget.lease_soon(4 * UNIT).await.is_some());
        assert!(budget.lease(5 * UNIT).is_none());
        budget.resize(20 * UNIT);
        assert!(budget.lease(20 * UNIT).is_some());
    }
}
