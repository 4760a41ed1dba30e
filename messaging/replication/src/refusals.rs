//! What a member has refused, so that it is not offered it again each round.

use skep_mailbox::ItemName;
use std::{collections::HashSet, mem::take};

/// Rounds for which one set collects before it becomes the older one: a refusal is remembered for at least as many.
pub(crate) const ROUNDS: u32 = 10;
/// Most refusals in one set. What is refused beyond that is offered again.
pub(crate) const MOST: usize = 32_768;

/// Remembers what one member has refused in the last 10 to 20 rounds, in two sets; half a MiB at most.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    rounds: u32,
    current: HashSet<u64>,
    previous: HashSet<u64>,
}

impl Refusals {
    /// Another round begins.
    pub(crate) fn next_round(&mut self) {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            self.previous = take(&mut self.current);
            self.rounds = 1;
        }
    }

    /// The member has answered with `status`. Only what stays true for a while is remembered: that it has no room, or cannot
    /// make anything of this. That another swarm keeps it, or that its store fails, may be otherwise in a moment.
    pub(crate) fn heard(&mut self, name: &ItemName, status: u32) {
        if matches!(status, 400 | 507) && self.current.len() < MOST {
            self.current.insert(short(name));
        }
    }

    /// Whether offering this would be of no use.
    pub(crate) fn contains(&self, name: &ItemName) -> bool {
        let short = short(name);
        self.current.contains(&short) || self.previous.contains(&short)
    }
}

/// Part of the hash a name ends with: to make another name with the same takes 2^64 attempts.
fn short(name: &ItemName) -> u64 {
    name.to_bytes().iter().rev().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::message;

    #[test]
    fn refusals_are_remembered_for_some_rounds() {
        let mut refusals = Refusals::default();
        refusals.next_round();
        for (number, status) in [(1, 507), (2, 400), (3, 421), (4, 503), (5, 410), (6, 406)] {
            refusals.heard(&message(number).name(), status);
        }
        let remembered =
            |refusals: &Refusals| (1..7).filter(|n| refusals.contains(&message(*n).name())).collect::<Vec<u64>>();
        let both = vec![1, 2];
        assert_eq!(both, remembered(&refusals));
        for _ in 0..2 * ROUNDS - 1 {
            refusals.next_round();
            assert_eq!(both, remembered(&refusals));
        }
        refusals.next_round();
        assert!(remembered(&refusals).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        let mut name = message(1).name();
        for _ in 0..MOST + 10 {
            refusals.heard(&name, 507);
            name = name.next();
        }
        assert_eq!(refusals.current.len(), MOST);
        assert!(!refusals.contains(&name));
    }
}
