//! Work that has been spent: it pays for a message once, not again after the message was deleted; pure.

use skep_proto::peer::Work;
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    mem::take,
};

/// How long one set collects before it becomes the older one (ms). Longer than a block stays recent on any network, so
/// that work is remembered for as long as it could be shown again.
const WINDOW: u64 = 90 * 60 * 1000;
/// Most remembered in one set, of which there are two. Beyond this the older set is forgotten early.
const MOST: usize = 500_000;

/// Remembers the work of the last hour and a half at least. What is kept of it is a keyed 64-bit hash.
#[derive(Debug, Default)]
pub struct Spent {
    hasher: RandomState,
    since: u64,
    current: HashSet<u64>,
    previous: HashSet<u64>,
}

impl Spent {
    /// Remembers at `now` (ms) that `work` has paid for a message.
    pub fn spend(&mut self, work: &Work, now: u64) {
        let age = now.saturating_sub(self.since);
        if age >= WINDOW || self.current.len() >= MOST {
            let full = take(&mut self.current);
            self.previous = if age < 2 * WINDOW { full } else { HashSet::new() };
            self.since = now;
        }
        self.current.insert(self.name(work));
    }

    /// Whether `work` has paid for a message, as far as is remembered.
    pub fn contains(&self, work: &Work) -> bool {
        let name = self.name(work);
        self.current.contains(&name) || self.previous.contains(&name)
    }

    /// Another message has other work: what else it says is bound to nonce and solution.
    fn name(&self, work: &Work) -> u64 {
        self.hasher.hash_one((&work.nonce[..], &work.solution[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_remembered_for_as_long_as_its_block_is_recent() {
        let work = |number: u8| Work { nonce: vec![number; 16].into(), ..Work::default() };
        let mut spent = Spent::default();
        assert!(!spent.contains(&work(1)));
        spent.spend(&work(0), WINDOW);
        spent.spend(&work(1), WINDOW + 1);
        spent.spend(&work(2), 2 * WINDOW + 1);
        assert!((0..3).all(|number| spent.contains(&work(number))));
        assert!(!spent.contains(&Work { effort: 9, solution: vec![1; 16].into(), ..work(1) }));
        spent.spend(&work(3), 9 * WINDOW);
        assert!(!(0..3).any(|number| spent.contains(&work(number))), "forgotten");
    }
}
