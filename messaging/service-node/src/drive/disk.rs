//! Whether the disk takes what is to be kept.

use skep_mailbox::{StoreError, WriteError};
use std::sync::atomic::{AtomicBool, Ordering};

/// What an operator is told to do about it (decision 38).
pub(crate) const NEXT: &str = "make room on the disk of `data_dir` if it is full, then restart the node";

/// What the last write has shown. Once its disk was full, a database refuses all that writes until it is opened anew.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    refuses: AtomicBool,
}

impl Disk {
    /// Takes note of what became of something written; `wrote` tells whether it needed the disk.
    pub(crate) fn note<T>(&self, outcome: &Result<T, WriteError>, wrote: impl FnOnce(&T) -> bool) {
        match outcome {
            Ok(done) if wrote(done) => self.refuses.store(false, Ordering::Relaxed),
            Err(WriteError::Store(StoreError::Database { .. })) => self.refuses.store(true, Ordering::Relaxed),
            // A crowd is not the disk's fault, and one damaged entry is not all of them.
            Ok(_) | Err(WriteError::Busy | WriteError::Closed | WriteError::Store(StoreError::Damaged(_))) => {}
        }
    }

    /// Whether nothing is kept at the moment.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_disks_own_refusals_count_and_only_what_it_took_ends_them() {
        let disk = Disk::default();
        let failed = StoreError::Database { doing: "write", reason: "no space left".into() };
        let steps = [
            (Err(WriteError::Busy), false),
            (Err(WriteError::Store(StoreError::Damaged("an entry"))), false),
            (Err(WriteError::Store(failed)), true),
            (Err(WriteError::Closed), true),
            (Ok(false), true),
            (Ok(true), false),
        ];
        for (outcome, refuses) in steps {
            disk.note(&outcome, |wrote| *wrote);
            assert_eq!(disk.refuses(), refuses, "{outcome:?}");
        }
    }
}
