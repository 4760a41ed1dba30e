//! What a member has answered to what it was handed, so that it is not offered it again each round.

use skep_mailbox::ItemName;
use std::{collections::HashSet, mem::take};

/// Rounds for which one set collects before it becomes the older one: a refusal is remembered for at least as many.
pub(crate) const ROUNDS: u32 = 10;
/// Most names in one set. What is refused beyond that is offered again.
pub(crate) const MOST: usize = 32_768;

/// Remembers what one member has answered in the last 10 to 20 rounds, half a MiB of each kind at most.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    rounds: u32,
    useless: Recent,
    /// Where it is asked for.
    settled: Option<Recent>,
}

/// Names in two sets, of which the older one goes.
#[derive(Debug, Default)]
struct Recent {
    current: HashSet<u64>,
    previous: HashSet<u64>,
}

impl Recent {
    fn insert(&mut self, name: &ItemName) {
        if self.current.len() < MOST {
            self.current.insert(short(name));
        }
    }

    fn contains(&self, name: &ItemName) -> bool {
        let short = short(name);
        self.current.contains(&short) || self.previous.contains(&short)
    }

    fn age(&mut self) {
        self.previous = take(&mut self.current);
    }
}

impl Refusals {
    /// Of a member of another swarm, which is to keep instead of this node what it is handed.
    pub(crate) fn of_another_swarm() -> Self {
        Self { settled: Some(Recent::default()), ..Self::default() }
    }

    /// Another round begins.
    pub(crate) fn next_round(&mut self) {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            self.useless.age();
            self.settled.iter_mut().for_each(Recent::age);
            self.rounds = 1;
        }
    }

    /// The member has answered with `status`. Only what stays true for a while is remembered: that it has no room, that its owner
    /// has deleted it, or that the member cannot make anything of this. That another swarm keeps it, or that its store fails, may
    /// be otherwise in a moment.
    pub(crate) fn heard(&mut self, name: &ItemName, status: u32) {
        if matches!(status, 400 | 410 | 507) {
            self.useless.insert(name);
        }
        if let (200 | 410, Some(settled)) = (status, &mut self.settled) {
            settled.insert(name);
        }
    }

    /// Whether offering this would be of no use.
    pub(crate) fn contains(&self, name: &ItemName) -> bool {
        self.useless.contains(name)
    }

    /// Whether the member has done with this what there was to do: it has the message, though perhaps in another deposit and so
    /// under another name, or knows that it is deleted or over.
    pub(crate) fn is_settled(&self, name: &ItemName) -> bool {
        self.settled.as_ref().is_some_and(|settled| settled.contains(name))
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
        let both = vec![1, 2, 5];
        assert_eq!(both, remembered(&refusals));
        for _ in 0..2 * ROUNDS - 1 {
            refusals.next_round();
            assert_eq!(both, remembered(&refusals));
        }
        refusals.next_round();
        assert!(remembered(&refusals).is_empty());
    }

    #[test]
    fn what_is_settled_is_remembered_of_another_swarm() {
        let (mut own, mut other) = (Refusals::default(), Refusals::of_another_swarm());
        for (number, status) in [(1, 200), (2, 410), (3, 507), (4, 421)] {
            own.heard(&message(number).name(), status);
            other.heard(&message(number).name(), status);
        }
        let settled =
            |refusals: &Refusals| (1..5).filter(|n| refusals.is_settled(&message(*n).name())).collect::<Vec<u64>>();
        assert_eq!((settled(&own), settled(&other)), (vec![], vec![1, 2]));
        (0..=2 * ROUNDS).for_each(|_| other.next_round());
        assert!(settled(&other).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        let mut name = message(1).name();
        for _ in 0..MOST + 10 {
            refusals.heard(&name, 507);
            name = name.next();
        }
        assert_eq!(refusals.useless.current.len(), MOST);
        assert!(!refusals.contains(&name));
    }
}
