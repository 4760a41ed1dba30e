//! What would be logged with every request is logged once in a while: a full disk must not fill the log as well.

use super::now_ms;
use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds between two lines about the same thing.
const PAUSE: u64 = 10_000;

/// Says when a line is due.
#[derive(Debug)]
pub(crate) struct Occasionally {
    next: AtomicU64,
    left_out: AtomicU64,
}

impl Occasionally {
    pub(crate) const fn new() -> Self {
        Self { next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Whether to log now; and how often it was left out since the last time.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(now_ms())
    }

    fn due_at(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        // A clock that was set back makes it due too.
        let is_due = now >= next || next - now > PAUSE;
        let is_first =
            is_due && self.next.compare_exchange(next, now + PAUSE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_due_now_and_then() {
        let line = Occasionally::new();
        assert_eq!(line.due_at(1_000_000), Some(0));
        assert_eq!([1, 2, 9_999].map(|later| line.due_at(1_000_000 + later)), [None; 3]);
        assert_eq!(line.due_at(1_010_000), Some(3));
        assert_eq!(line.due_at(1_010_001), None);
        assert_eq!(line.due_at(900_000), Some(1), "the clock was set back");
    }
}
