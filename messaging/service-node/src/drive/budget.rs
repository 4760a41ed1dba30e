//! A bound on the bytes of requests and answers held at once.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

const UNIT: usize = 1024;
/// How long an answer waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// Memory shared by everything in flight.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Takes `bytes`, or nothing if they are not there now.
    pub(crate) fn lease(&self, bytes: usize) -> Option<Lease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(units).ok()?;
        Some(Lease(permit))
    }

    /// Takes `bytes`, waiting a moment for them.
    pub(crate) async fn lease_soon(&self, bytes: usize) -> Option<Lease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(units)).await.ok()?.ok()?;
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
}
