//! Layers seen before: an honest client never sends the same ephemeral key twice, so whoever does repeats a recorded one to
//! watch where it goes.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    mem::take,
};

/// How long one set collects before it becomes the older one (ms): a layer is remembered for at least as long.
pub const REPLAY_WINDOW: u64 = 10 * 60 * 1000;

/// How many layers are remembered in one set, of which there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// In all.
    pub layers: usize,
    /// From one client.
    pub per_client: usize,
    /// From all clients, of which anybody can be many: they do not use up the memory for what nodes pass on.
    pub clients: usize,
    /// From one node, so that none can use up the memory of all.
    pub per_node: usize,
}

/// What kind of neighbour a layer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourKind {
    /// A client.
    Client,
    /// Another node.
    Node,
}

/// Remembers the layers of the last ten to twenty minutes in two sets, of which the older one is forgotten when the newer
/// one has collected for ten minutes.
///
/// What is kept of a layer is a keyed 64-bit hash of its ephemeral key: small, and of no use to whoever gets hold of it.
#[derive(Debug)]
pub struct ReplayGuard<U> {
    limits: ReplayLimits,
    hasher: RandomState,
    since: u64,
    current: Window<U>,
    previous: Window<U>,
}

#[derive(Debug)]
struct Window<U> {
    seen: HashSet<u64>,
    from_clients: usize,
    by_upstream: HashMap<U, usize>,
}

impl<U> Default for Window<U> {
    fn default() -> Self {
        Self { seen: HashSet::new(), from_clients: 0, by_upstream: HashMap::new() }
    }
}

/// Whether a layer may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was not seen before, as far as is remembered.
    Fresh,
    /// It was.
    Repeated,
    /// There is no room to remember it: it must be shed, or it could be repeated.
    NoRoom,
}

impl<U: Eq + Hash> ReplayGuard<U> {
    /// A guard that has seen nothing. `hasher` keys what is kept; it should be random.
    pub fn new(limits: ReplayLimits, hasher: RandomState) -> Self {
        Self { limits, hasher, since: 0, current: Window::default(), previous: Window::default() }
    }

    /// Judges the layer with this ephemeral key, which `upstream` sent, and remembers it. `now` in ms.
    pub fn check(&mut self, (kind, upstream): (NeighbourKind, U), ephemeral_key: &[u8; 32], now: u64) -> Freshness {
        let age = now.saturating_sub(self.since);
        if age >= REPLAY_WINDOW {
            let full = take(&mut self.current);
            self.previous = if age < 2 * REPLAY_WINDOW { full } else { Window::default() };
            self.since = now;
        }
        let layer = self.hasher.hash_one(ephemeral_key);
        if self.current.seen.contains(&layer) || self.previous.seen.contains(&layer) {
            return Freshness::Repeated;
        }
        let (share, is_full) = match kind {
            NeighbourKind::Client => (self.limits.per_client, self.current.from_clients >= self.limits.clients),
            NeighbourKind::Node => (self.limits.per_node, false),
        };
        if is_full || self.current.seen.len() >= self.limits.layers {
            return Freshness::NoRoom;
        }
        let sent = self.current.by_upstream.entry(upstream).or_insert(0);
        if *sent >= share {
            return Freshness::NoRoom;
        }
        *sent += 1;
        self.current.from_clients += usize::from(kind == NeighbourKind::Client);
        self.current.seen.insert(layer);
        Freshness::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guard(layers: usize, per_node: usize) -> ReplayGuard<u8> {
        ReplayGuard::new(ReplayLimits { layers, per_client: 2, clients: 3, per_node }, RandomState::new())
    }

    const fn node(number: u8) -> (NeighbourKind, u8) {
        (NeighbourKind::Node, number)
    }

    fn key(number: u8) -> [u8; 32] {
        [number; 32]
    }

    #[test]
    fn a_layer_is_remembered_for_ten_minutes_at_least_and_twenty_at_most() {
        let mut guard = guard(100, 100);
        assert_eq!(guard.check(node(1), &key(0), REPLAY_WINDOW), Freshness::Fresh, "the first set begins");
        let sent = REPLAY_WINDOW + 5;
        assert_eq!(guard.check(node(1), &key(1), sent), Freshness::Fresh);
        for later in [0, 1, REPLAY_WINDOW, 2 * REPLAY_WINDOW - 6] {
            assert_eq!(guard.check(node(2), &key(1), sent + later), Freshness::Repeated, "{later}");
        }
        assert_eq!(guard.check(node(1), &key(1), sent + 2 * REPLAY_WINDOW), Freshness::Fresh, "forgotten");
    }

    #[test]
    fn a_long_silence_forgets_everything() {
        let mut guard = guard(100, 100);
        guard.check(node(1), &key(1), REPLAY_WINDOW);
        assert_eq!(guard.check(node(1), &key(1), 9 * REPLAY_WINDOW), Freshness::Fresh);
        assert_eq!(guard.check(node(1), &key(1), 0), Freshness::Repeated, "a clock that jumps back changes nothing");
    }

    #[test]
    fn one_upstream_cannot_use_up_the_room_of_all() {
        let mut guard = guard(5, 3);
        let fresh = |guard: &mut ReplayGuard<u8>, upstream, number| guard.check(node(upstream), &key(number), 1);
        for number in 0..3 {
            assert_eq!(fresh(&mut guard, 1, number), Freshness::Fresh);
        }
        assert_eq!(fresh(&mut guard, 1, 3), Freshness::NoRoom);
        assert_eq!(fresh(&mut guard, 2, 4), Freshness::Fresh);
        assert_eq!(fresh(&mut guard, 2, 5), Freshness::Fresh);
        assert_eq!(fresh(&mut guard, 2, 6), Freshness::NoRoom, "the room of all is used up");
        assert_eq!(fresh(&mut guard, 3, 0), Freshness::Repeated);
    }

    #[test]
    fn clients_cannot_use_up_the_room_of_nodes() {
        let mut guard = guard(5, 5);
        let mut numbers = 0..;
        let mut sends = |guard: &mut ReplayGuard<u8>, from| guard.check(from, &key(numbers.next().unwrap_or(0)), 1);
        let client = |number| (NeighbourKind::Client, number);
        assert_eq!(
            [1, 1, 1].map(|from| sends(&mut guard, client(from))),
            [Freshness::Fresh, Freshness::Fresh, Freshness::NoRoom]
        );
        assert_eq!(
            [2, 2, 3].map(|from| sends(&mut guard, client(from))),
            [Freshness::Fresh, Freshness::NoRoom, Freshness::NoRoom]
        );
        assert_eq!(
            [9, 9, 9].map(|from| sends(&mut guard, node(from))),
            [Freshness::Fresh, Freshness::Fresh, Freshness::NoRoom]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_served_twice_within_ten_minutes(
            layers in proptest::collection::vec((0_u8..20, 0..REPLAY_WINDOW / 4), 1..200),
        ) {
            let (mut guard, mut now) = (guard(10, 10), REPLAY_WINDOW);
            let mut served = HashMap::new();
            for (number, pause) in layers {
                now += pause;
                if guard.check(node(0), &key(number), now) == Freshness::Fresh {
                    let before = served.insert(number, now);
                    prop_assert!(before.is_none_or(|before| now - before >= REPLAY_WINDOW));
                }
            }
        }
    }
}
