//! What has been written and may yet be lost: it is not confirmed to anybody before a sync has ended that began after it was
//! written. What is new shows in its position; here is what is not seen there.

use crate::{ItemName, store::told_expiry};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// A sync may have begun before the end of what is being written.
const WRITING: u64 = u64::MAX;

/// As large as what is written between two syncs.
#[derive(Debug, Default)]
pub(super) struct Unsynced(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Syncs begun.
    syncs: u64,
    /// How many syncs had begun when a name was written.
    names: HashMap<ItemName, u64>,
    /// Likewise when a message was given a longer life, and when it expires if that is lost, by position.
    lives: HashMap<u64, (u64, u64)>,
}

impl Unsynced {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// These names and lives are going to be written: nobody sees them before.
    pub(super) fn begin(&self, names: &[ItemName], lives: &[(u64, u64)]) {
        self.with(|inner| {
            inner.names.extend(names.iter().map(|name| (*name, WRITING)));
            for (position, before) in lives {
                let life = inner.lives.entry(*position).or_insert((WRITING, *before));
                *life = (WRITING, life.1.min(*before));
            }
        });
    }

    /// They have been written, or could not be.
    pub(super) fn end(&self, names: &[ItemName], lives: &[(u64, u64)]) {
        self.with(|inner| {
            inner.names.extend(names.iter().map(|name| (*name, inner.syncs)));
            for (position, _) in lives {
                inner.lives.entry(*position).and_modify(|(written, _)| *written = inner.syncs);
            }
        });
    }

    /// A sync begins: its number.
    pub(super) fn begin_sync(&self) -> u64 {
        self.with(|inner| {
            inner.syncs += 1;
            inner.syncs
        })
    }

    /// A sync has ended.
    pub(super) fn end_sync(&self, number: u64) {
        self.with(|inner| {
            inner.names.retain(|_, written| *written >= number);
            inner.lives.retain(|_, (written, _)| *written >= number);
        });
    }

    pub(super) fn has_name(&self, name: &ItemName) -> bool {
        self.with(|inner| inner.names.contains_key(name))
    }

    /// Until when messages are sure to last that are read with these expiries at `now`, by position. To be asked after they
    /// have been read.
    pub(super) fn settle<'a>(&self, now: u64, read: impl Iterator<Item = (u64, &'a mut u64)>) {
        self.with(|inner| {
            if !inner.lives.is_empty() {
                for (position, expiry) in read {
                    let before = inner.lives.get(&position).map(|(_, before)| *before);
                    *expiry = told_expiry(*expiry, before, now);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let unsynced = Unsynced::default();
        let settled = |mut expiry| {
            unsynced.settle(0, [(1, &mut expiry)].into_iter());
            expiry
        };
        let (names, lives) = ([ItemName::FIRST], [(1, 50)]);
        unsynced.begin(&names, &lives);
        let early = unsynced.begin_sync();
        unsynced.end(&names, &lives);
        unsynced.end_sync(early);
        assert!(unsynced.has_name(&ItemName::FIRST), "it may have come too late for that one");
        assert_eq!((settled(90), settled(40)), (50, 40));
        let late = unsynced.begin_sync();
        let again = [(1, 90)];
        unsynced.begin(&[], &again);
        unsynced.end(&[], &again);
        unsynced.end_sync(late);
        assert!(!unsynced.has_name(&ItemName::FIRST));
        assert_eq!(settled(120), 50, "the least there may be");
        unsynced.end_sync(unsynced.begin_sync());
        assert_eq!(settled(120), 120);
    }
}
