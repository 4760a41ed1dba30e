//! The rules of membership.

use crate::{Inconsistency, N_MAX, N_MIN, N_TARGET, SwarmStore, draft::Draft};
use alloc::{collections::BTreeSet, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use skep_primitives::{BlockNumber, Draw, ServiceNodeId, SwarmId};

/// New nodes go to the swarms up to this percentile by size.
const JOIN_PERCENTILE: u32 = 25;

/// Starving swarms are fed by the swarms from this percentile by size.
const DONOR_PERCENTILE: u32 = 75;

/// Which service nodes form which swarm.
#[derive(Clone, Debug, Default)]
pub struct SwarmMap<S> {
    store: S,
}

/// What a change did, in all: a node that came back to where it was, or a swarm that did not outlive the change, is not
/// told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Delta {
    /// Every node whose swarm changed, ordered by id.
    pub moves: Vec<Move>,
    /// Every new swarm, ordered by id.
    pub created: Vec<SwarmId>,
    /// Every swarm that is no more, ordered by id.
    pub dissolved: Vec<SwarmId>,
}

/// A node's way from one swarm to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Move {
    /// The node.
    pub node: ServiceNodeId,
    /// The swarm it was in, if any.
    pub from: Option<SwarmId>,
    /// The swarm it is in now, if any.
    pub to: Option<SwarmId>,
}

impl<S: SwarmStore> SwarmMap<S> {
    /// The map kept in this store (an empty one to begin with).
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Where it is kept.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Hands the store back.
    pub fn into_store(self) -> S {
        self.store
    }

    /// Changes the map (`protocol.md` section 3): first every leaver goes, then every joiner is placed, then starving
    /// swarms are fed, rich ones split, and those still starving dissolved.
    ///
    /// The order and repetition of `joins` and `leaves` does not matter. A leaver in no swarm and a joiner already in
    /// one are passed over; a node in both lists leaves and joins anew. `seed` must not be known before the lists are
    /// fixed, else an operator could choose its swarm; `domain`, the number of the block of the change, separates
    /// changes made from one seed.
    ///
    /// # Errors
    /// If the store contradicts itself; then nothing is changed.
    pub fn apply(
        &mut self,
        joins: &[ServiceNodeId],
        leaves: &[ServiceNodeId],
        seed: [u8; 32],
        domain: BlockNumber,
    ) -> Result<Delta, Inconsistency> {
        let joins: BTreeSet<_> = joins.iter().copied().collect();
        let leaves: BTreeSet<_> = leaves.iter().copied().collect();
        let mut change = Change { draft: Draft::new(&mut self.store), draw: Draw::new(seed, domain.into()) };
        for node in leaves {
            change.draft.remove(node)?;
        }
        for node in joins {
            change.join(node)?;
        }
        change.feed_the_starving()?;
        change.split_off()?;
        change.dissolve_the_starving()?;
        Ok(change.draft.commit())
    }
}

/// One change of the map under way.
struct Change<'a, S> {
    draft: Draft<'a, S>,
    draw: Draw,
}

impl<S: SwarmStore> Change<'_, S> {
    /// Rules 1 and 2: a new node goes to a random swarm among the smaller ones.
    fn join(&mut self, node: ServiceNodeId) -> Result<(), Inconsistency> {
        if self.draft.swarm_of(node).is_some() {
            return Ok(());
        }
        if self.draft.census().swarms() == 0 {
            self.draft.create()?;
        }
        self.place(node, JOIN_PERCENTILE)
    }

    /// Puts a node into a random swarm up to this percentile by size, then splits off what is too much. While a swarm
    /// starves none is split off, so a long list of joiners could fill the others without end: full swarms are passed
    /// over as long as there is another.
    fn place(&mut self, node: ServiceNodeId, percentile: u32) -> Result<(), Inconsistency> {
        let census = self.draft.census();
        let room_below = census.smallest().max(N_MAX - 1);
        let size = census.percentile(percentile).min(room_below);
        let swarm = self.draft.swarm_up_to(size, &mut self.draw)?;
        self.draft.insert(node, swarm)?;
        self.split_off()
    }

    /// Rule 3: starving swarms, smallest first, take random nodes from the larger swarms; not at all if the whole excess
    /// is less than what the swarm lacks.
    ///
    /// The donors are the swarms *at* or above the percentile (of this moment): were they strictly above it, a network
    /// of equal swarms would have none.
    fn feed_the_starving(&mut self) -> Result<(), Inconsistency> {
        for swarm in self.draft.starving()? {
            let lacking = N_MIN.saturating_sub(self.draft.size(swarm)?);
            if self.draft.census().excess() < lacking.into() {
                continue;
            }
            for _ in 0..lacking {
                let donor_size = self.draft.census().percentile(DONOR_PERCENTILE).max(N_MIN + 1);
                self.take_over(donor_size, swarm)?;
            }
        }
        Ok(())
    }

    /// Rule 4: while nobody starves and the excess fills a new swarm and leaves every old one its margin, a new swarm of
    /// random excess nodes is created.
    fn split_off(&mut self) -> Result<(), Inconsistency> {
        let margin = u64::from(N_TARGET - N_MIN);
        loop {
            let census = self.draft.census();
            let starving = census.smallest() < N_MIN;
            if starving || census.excess() < u64::from(N_TARGET) + margin * u64::from(census.swarms()) {
                return Ok(());
            }
            let Some(swarm) = self.draft.create()? else { return Ok(()) };
            for _ in 0..N_TARGET {
                self.take_over(N_MIN + 1, swarm)?;
            }
        }
    }

    /// Moves a random node of the swarms of at least this size into this swarm.
    fn take_over(&mut self, donor_size: u32, swarm: SwarmId) -> Result<(), Inconsistency> {
        let node = self.draft.node_from(donor_size, &mut self.draw)?;
        self.draft.remove(node)?;
        self.draft.insert(node, swarm)
    }

    /// Rule 5: a swarm still starving, while another exists, is dissolved; its nodes go to the smallest swarms. The last
    /// swarm ends only with its last node.
    fn dissolve_the_starving(&mut self) -> Result<(), Inconsistency> {
        for swarm in self.draft.starving()? {
            let size = self.draft.size(swarm)?;
            let alone = self.draft.census().swarms() == 1;
            if size >= N_MIN || (alone && size > 0) {
                continue;
            }
            for node in self.draft.dissolve(swarm)? {
                self.place(node, 0)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, N_MAX_ALONE, Slot, audit};

    const SEED: [u8; 32] = [42; 32];

    fn node(number: u32) -> ServiceNodeId {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        ServiceNodeId(key)
    }

    /// A map of swarms of these sizes, in the order of their creation. Swarm `i` holds nodes `1000 * i ..`.
    fn map_of(sizes: &[u32]) -> (SwarmMap<MemoryStore>, Vec<SwarmId>) {
        let mut store = MemoryStore::default();
        let mut draft = Draft::new(&mut store);
        let mut ids = Vec::new();
        for (number, size) in (0..).zip(sizes) {
            let swarm = draft.create().expect("consistent").expect("room on the ring");
            for member in 0..*size {
                draft.insert(node(1_000 * number + member), swarm).expect("consistent");
            }
            ids.push(swarm);
        }
        draft.commit();
        (SwarmMap::new(store), ids)
    }

    fn sizes(map: &SwarmMap<MemoryStore>) -> Vec<(SwarmId, usize)> {
        map.store().swarms().map(|(swarm, members)| (swarm, members.len())).collect()
    }

    fn assert_sound(map: &SwarmMap<MemoryStore>) {
        let ids: Vec<_> = map.store().swarms().map(|(swarm, _)| swarm).collect();
        assert_eq!(audit(map.store(), &ids), Ok(()));
    }

    #[test]
    fn the_first_nodes_form_the_first_swarm() {
        let mut map = SwarmMap::new(MemoryStore::default());
        let delta = map.apply(&[node(1), node(2)], &[], SEED, 0).expect("consistent");
        assert_eq!(sizes(&map), [(SwarmId::FIRST, 2)]);
        assert_eq!(delta.created, [SwarmId::FIRST]);
        let move_of = |number| Move { node: node(number), from: None, to: Some(SwarmId::FIRST) };
        assert_eq!(delta.moves, [move_of(1), move_of(2)]);
        assert_sound(&map);
    }

    #[test]
    fn a_lone_swarm_splits_at_one_over_its_bound() {
        let (mut map, _) = map_of(&[N_MAX_ALONE]);
        let delta = map.apply(&[node(999_999)], &[], SEED, 0).expect("consistent");
        assert_eq!(delta.created, [SwarmId(u64::MAX / 2)]);
        assert_eq!(sizes(&map), [(SwarmId::FIRST, 7), (SwarmId(u64::MAX / 2), 7)]);
        assert_sound(&map);
    }

    #[test]
    fn a_new_node_goes_to_the_smaller_swarms() {
        // Eight swarms, excess too small to split; the second smallest is at the 25th percentile.
        let (map, ids) = map_of(&[9, 6, 9, 6, 9, 7, 7, 7]);
        let mut chosen = BTreeSet::new();
        for seed in 0..100 {
            let delta = map.clone().apply(&[node(999_999)], &[], [seed; 32], 0).expect("consistent");
            assert_eq!(delta.moves.len(), 1);
            chosen.extend(delta.moves[0].to);
        }
        assert_eq!(chosen, BTreeSet::from([ids[1], ids[3]]));
    }

    #[test]
    fn a_starving_swarm_is_fed_by_the_larger_ones() {
        // One leaves the third swarm; the donors are the two at or above the 75th percentile.
        let (map, ids) = map_of(&[8, 6, 5, 8, 6]);
        let mut donors = BTreeSet::new();
        for seed in 0..100 {
            let mut map = map.clone();
            let delta = map.apply(&[], &[node(2_000)], [seed; 32], 0).expect("consistent");
            assert_sound(&map);
            assert!(delta.created.is_empty() && delta.dissolved.is_empty());
            let fed: Vec<_> = delta.moves.iter().filter(|step| step.to == Some(ids[2])).collect();
            assert_eq!((fed.len(), delta.moves.len()), (1, 2));
            donors.extend(fed[0].from);
        }
        assert_eq!(donors, BTreeSet::from([ids[0], ids[3]]));
    }

    #[test]
    fn a_swarm_that_cannot_be_fed_whole_takes_nothing_and_is_dissolved() {
        // Two leave the first swarm; the others have one node to spare between them.
        let (mut map, ids) = map_of(&[5, 5, 6]);
        let delta = map.apply(&[], &[node(0), node(1)], SEED, 0).expect("consistent");
        assert_eq!(delta.dissolved, [ids[0]]);
        // No node of the others has moved; the three left behind went to the smallest.
        assert!(delta.moves.iter().all(|step| step.from == Some(ids[0])));
        let mut left: Vec<_> = sizes(&map).into_iter().map(|(_, size)| size).collect();
        left.sort_unstable();
        assert_eq!(left, [7, 7]);
        assert_sound(&map);
    }

    #[test]
    fn the_nodes_of_a_dissolved_swarm_go_to_the_smallest() {
        // The only node of the first saves the second.
        let (map, ids) = map_of(&[1, 4, 5, 5, 5, 5]);
        for seed in 0..20 {
            let mut map = map.clone();
            let delta = map.apply(&[], &[], [seed; 32], 0).expect("consistent");
            assert_eq!(delta.moves, [Move { node: node(0), from: Some(ids[0]), to: Some(ids[1]) }]);
            assert_eq!(delta.dissolved, [ids[0]]);
            assert_sound(&map);
        }
    }

    #[test]
    fn a_swarm_missing_less_is_fed_even_if_a_smaller_one_cannot_be() {
        // Excess 1: too little for the first (lacks 2), enough for the second (lacks 1).
        let (mut map, ids) = map_of(&[5, 5, 6, 5, 5]);
        let delta = map.apply(&[], &[node(0), node(1), node(1_000)], SEED, 0).expect("consistent");
        assert_eq!(delta.dissolved, [ids[0]]);
        assert!(delta.moves.iter().any(|step| step.from == Some(ids[2]) && step.to == Some(ids[1])));
        assert_sound(&map);
    }

    #[test]
    fn the_last_swarm_starves_on_and_ends_with_its_last_node() {
        let (mut map, _) = map_of(&[2]);
        assert_eq!(map.apply(&[], &[node(0)], SEED, 0).expect("consistent").dissolved, []);
        assert_eq!(sizes(&map), [(SwarmId::FIRST, 1)]);
        assert_eq!(map.apply(&[], &[node(1)], SEED, 1).expect("consistent").dissolved, [SwarmId::FIRST]);
        assert_eq!(map.store(), &MemoryStore::default());
        map.apply(&[node(7)], &[], SEED, 2).expect("consistent");
        assert_eq!(sizes(&map), [(SwarmId::FIRST, 1)]);
    }

    #[test]
    fn full_swarms_take_nobody_while_another_starves() {
        let mut sizes = [N_MAX; 40];
        sizes[0] = 1;
        let (map, _) = map_of(&sizes);
        for seed in 0..100 {
            let mut map = map.clone();
            map.apply(&[1, 2, 3].map(|number| node(999_990 + number)), &[], [seed; 32], 0).expect("consistent");
            assert_sound(&map);
        }
    }

    #[test]
    fn needless_requests_are_passed_over() {
        let (mut map, ids) = map_of(&[6]);
        let before = map.clone();
        let delta = map.apply(&[node(0)], &[node(77)], SEED, 0).expect("consistent");
        assert_eq!((delta, map.store()), (Delta::default(), before.store()));
        // In both lists: leaves and joins anew, here to the only swarm there is.
        let delta = map.apply(&[node(0), node(0)], &[node(0), node(0)], SEED, 0).expect("consistent");
        assert_eq!(delta, Delta::default());
        assert_eq!(sizes(&map), [(ids[0], 6)]);
    }

    #[test]
    fn a_store_that_contradicts_itself_is_left_as_it_is() {
        let (map, _) = map_of(&[6, 6]);
        let mut store = map.into_store();
        store.set_slot(Slot::Class { size: 6, rank: 1 }, None);
        let before = store.clone();
        let mut map = SwarmMap::new(store);
        let outcome = map.apply(&[], &[node(0)], SEED, 0);
        assert_eq!(outcome, Err(Inconsistency::MissingSlot(Slot::Class { size: 6, rank: 1 })));
        assert_eq!(map.store(), &before);
    }
}
