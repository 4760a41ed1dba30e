//! A change in the making: reads through to the store, keeps every write back until the change is complete.
//!
//! Each operation leaves members, census, size lists, ring and heap in agreement.

use crate::{
    Census, Inconsistency, N_MIN, Place, Slot, SwarmStore,
    map::{Delta, Move},
    ring,
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::cmp::Reverse;
use skep_primitives::{Draw, ServiceNodeId, SwarmId};

pub(crate) struct Draft<'a, S> {
    store: &'a mut S,
    census: Census,
    members: Table<SwarmId, Vec<ServiceNodeId>>,
    swarm_of: Table<ServiceNodeId, SwarmId>,
    places: Table<SwarmId, Place>,
    slots: Table<Slot, SwarmId>,
}

impl<'a, S: SwarmStore> Draft<'a, S> {
    pub(crate) fn new(store: &'a mut S) -> Self {
        Self {
            census: store.census(),
            store,
            members: Table::default(),
            swarm_of: Table::default(),
            places: Table::default(),
            slots: Table::default(),
        }
    }

    /// Writes what changed, and tells it.
    pub(crate) fn commit(self) -> Delta {
        let Self { store, census, members, swarm_of, places, slots } = self;
        let mut delta = Delta::default();
        for (node, from, to) in swarm_of.changes() {
            store.set_swarm_of(node, to);
            delta.moves.push(Move { node, from, to });
        }
        for (swarm, before, after) in members.changes() {
            match (&before, &after) {
                (None, Some(_)) => delta.created.push(swarm),
                (Some(_), None) => delta.dissolved.push(swarm),
                (None, None) | (Some(_), Some(_)) => {}
            }
            store.set_members(swarm, after);
        }
        for (swarm, _, place) in places.changes() {
            store.set_place(swarm, place);
        }
        for (slot, _, swarm) in slots.changes() {
            store.set_slot(slot, swarm);
        }
        if store.census() != census {
            store.set_census(census);
        }
        delta
    }

    pub(crate) fn census(&self) -> &Census {
        &self.census
    }

    pub(crate) fn swarm_of(&mut self, node: ServiceNodeId) -> Option<SwarmId> {
        *self.swarm_of.entry(node, |node| self.store.swarm_of(node))
    }

    pub(crate) fn size(&mut self, swarm: SwarmId) -> Result<u32, Inconsistency> {
        Ok(self.members(swarm)?.len() as u32)
    }

    /// Puts a node that is in no swarm into this one.
    pub(crate) fn insert(&mut self, node: ServiceNodeId, swarm: SwarmId) -> Result<(), Inconsistency> {
        let members = self.members(swarm)?;
        let Err(rank) = members.binary_search(&node) else { return Err(Inconsistency::WrongMember(node)) };
        members.insert(rank, node);
        let size = members.len() as u32;
        *self.swarm_of.entry(node, |node| self.store.swarm_of(node)) = Some(swarm);
        self.leave_class(swarm, size - 1)?;
        self.join_class(swarm, size)
    }

    /// Takes a node out of its swarm; nothing happens to one that is in none.
    pub(crate) fn remove(&mut self, node: ServiceNodeId) -> Result<(), Inconsistency> {
        let Some(swarm) = self.swarm_of(node) else { return Ok(()) };
        let members = self.members(swarm)?;
        let Ok(rank) = members.binary_search(&node) else { return Err(Inconsistency::WrongMember(node)) };
        members.remove(rank);
        let size = members.len() as u32;
        *self.swarm_of.entry(node, |node| self.store.swarm_of(node)) = None;
        self.leave_class(swarm, size + 1)?;
        self.join_class(swarm, size)
    }

    /// A new empty swarm in the middle of the widest gap (the lowest of equals), or with the first id if it is the
    /// first; `None` if the ring is full.
    pub(crate) fn create(&mut self) -> Result<Option<SwarmId>, Inconsistency> {
        let swarm = if self.census.swarms() == 0 {
            self.enter_heap(SwarmId::FIRST, SwarmId::FIRST, SwarmId::FIRST)?;
            SwarmId::FIRST
        } else {
            let below = self.slot(Slot::Gap { rank: 0 })?;
            let above = self.place(below)?.above;
            let Some(swarm) = ring::middle(below, ring::gap(below, above)) else { return Ok(None) };
            self.place(below)?.above = swarm;
            self.place(above)?.below = swarm;
            self.settle_in_heap(below)?;
            self.enter_heap(swarm, below, above)?;
            swarm
        };
        *self.members.entry(swarm, |swarm| self.store.members(swarm)) = Some(vec![]);
        self.join_class(swarm, 0)?;
        Ok(Some(swarm))
    }

    /// Ends a swarm and hands back its nodes, which are then in none.
    pub(crate) fn dissolve(&mut self, swarm: SwarmId) -> Result<Vec<ServiceNodeId>, Inconsistency> {
        let nodes = self.members(swarm)?.clone();
        for node in &nodes {
            *self.swarm_of.entry(*node, |node| self.store.swarm_of(node)) = None;
        }
        self.leave_heap(swarm)?;
        let Place { below, above, .. } = *self.place(swarm)?;
        if below != swarm {
            self.place(below)?.above = above;
            self.place(above)?.below = below;
            self.settle_in_heap(below)?;
        }
        self.leave_class(swarm, nodes.len() as u32)?;
        *self.places.entry(swarm, |swarm| self.store.place(swarm)) = None;
        *self.members.entry(swarm, |swarm| self.store.members(swarm)) = None;
        Ok(nodes)
    }

    /// A random swarm among those of at most this size.
    pub(crate) fn swarm_up_to(&mut self, size: u32, draw: &mut Draw) -> Result<SwarmId, Inconsistency> {
        let classes = self.census.classes().take_while(|(class, _)| *class <= size);
        let swarms = classes.map(|(size, swarms)| (size, u64::from(swarms)));
        let (size, rank) = pick(swarms, draw).ok_or(Inconsistency::WrongCensus)?;
        self.slot(Slot::Class { size, rank: rank as u32 })
    }

    /// A random node of the swarms of at least this size, each node as likely as any other.
    pub(crate) fn node_from(&mut self, size: u32, draw: &mut Draw) -> Result<ServiceNodeId, Inconsistency> {
        let classes = self.census.classes().skip_while(|(class, _)| *class < size);
        let nodes = classes.map(|(size, swarms)| (size, u64::from(size) * u64::from(swarms)));
        let (size, index) = pick(nodes, draw).ok_or(Inconsistency::WrongCensus)?;
        let rank = index / u64::from(size);
        let swarm = self.slot(Slot::Class { size, rank: rank as u32 })?;
        let member = index % u64::from(size);
        self.members(swarm)?.get(member as usize).copied().ok_or(Inconsistency::WrongCensus)
    }

    /// The swarms under `N_MIN`, smallest first, equals by id.
    pub(crate) fn starving(&mut self) -> Result<Vec<SwarmId>, Inconsistency> {
        let mut starving = vec![];
        for size in 0..N_MIN {
            let first = starving.len();
            for rank in 0..self.census.of_size(size) {
                starving.push(self.slot(Slot::Class { size, rank })?);
            }
            starving[first..].sort_unstable();
        }
        Ok(starving)
    }

    fn members(&mut self, swarm: SwarmId) -> Result<&mut Vec<ServiceNodeId>, Inconsistency> {
        let members = self.members.entry(swarm, |swarm| self.store.members(swarm));
        members.as_mut().ok_or(Inconsistency::MissingSwarm(swarm))
    }

    fn place(&mut self, swarm: SwarmId) -> Result<&mut Place, Inconsistency> {
        let place = self.places.entry(swarm, |swarm| self.store.place(swarm));
        place.as_mut().ok_or(Inconsistency::MissingSwarm(swarm))
    }

    fn slot(&mut self, slot: Slot) -> Result<SwarmId, Inconsistency> {
        self.slots.entry(slot, |slot| self.store.slot(slot)).ok_or(Inconsistency::MissingSlot(slot))
    }

    /// Rewrites a slot that holds `before`: nothing has to be read for it.
    fn set_slot(&mut self, slot: Slot, before: Option<SwarmId>, swarm: Option<SwarmId>) {
        *self.slots.entry(slot, |_| before) = swarm;
    }

    /// Lists a swarm last among those of this size.
    fn join_class(&mut self, swarm: SwarmId, size: u32) -> Result<(), Inconsistency> {
        let rank = self.census.of_size(size);
        self.set_slot(Slot::Class { size, rank }, None, Some(swarm));
        self.place(swarm)?.class_rank = rank;
        self.census.insert(size);
        Ok(())
    }

    /// Strikes a swarm from the list of those of this size; the last takes its rank.
    fn leave_class(&mut self, swarm: SwarmId, size: u32) -> Result<(), Inconsistency> {
        let rank = self.place(swarm)?.class_rank;
        let last = Slot::Class { size, rank: self.census.of_size(size).saturating_sub(1) };
        let moved = self.slot(last)?;
        self.set_slot(Slot::Class { size, rank }, Some(swarm), Some(moved));
        self.place(moved)?.class_rank = rank;
        self.set_slot(last, Some(moved), None);
        self.census.remove(size);
        Ok(())
    }

    /// Gives a new swarm its place between its neighbours and in the heap. The census does not count it yet.
    fn enter_heap(&mut self, swarm: SwarmId, below: SwarmId, above: SwarmId) -> Result<(), Inconsistency> {
        let gap_rank = self.census.swarms();
        let place = Place { below, above, class_rank: 0, gap_rank };
        *self.places.entry(swarm, |swarm| self.store.place(swarm)) = Some(place);
        self.set_slot(Slot::Gap { rank: gap_rank }, None, Some(swarm));
        self.settle_in_heap(swarm)
    }

    /// Strikes a swarm from the heap; the last takes its rank and settles. The census still counts the swarm.
    fn leave_heap(&mut self, swarm: SwarmId) -> Result<(), Inconsistency> {
        let rank = self.place(swarm)?.gap_rank;
        let last = self.census.swarms().saturating_sub(1);
        let moved = self.slot(Slot::Gap { rank: last })?;
        self.set_slot(Slot::Gap { rank: last }, Some(moved), None);
        if moved == swarm {
            return Ok(());
        }
        self.set_gap_rank(moved, rank)?;
        self.settle_in_heap(moved)
    }

    /// Moves a swarm whose gap changed up or down the heap until each parent's gap is at least its children's.
    fn settle_in_heap(&mut self, swarm: SwarmId) -> Result<(), Inconsistency> {
        let mut rank = self.place(swarm)?.gap_rank;
        let key = self.gap_key(swarm)?;
        while rank > 0 {
            let parent = self.slot(Slot::Gap { rank: (rank - 1) / 2 })?;
            if self.gap_key(parent)? >= key {
                break;
            }
            self.set_gap_rank(parent, rank)?;
            rank = (rank - 1) / 2;
        }
        loop {
            let mut widest = None;
            for child_rank in [2 * rank + 1, 2 * rank + 2] {
                if let Some(child) = *self.slots.entry(Slot::Gap { rank: child_rank }, |slot| self.store.slot(slot)) {
                    widest = widest.max(Some((self.gap_key(child)?, child, child_rank)));
                }
            }
            match widest {
                Some((child_key, child, child_rank)) if child_key > key => {
                    self.set_gap_rank(child, rank)?;
                    rank = child_rank;
                }
                Some(_) | None => break,
            }
        }
        self.set_gap_rank(swarm, rank)
    }

    fn set_gap_rank(&mut self, swarm: SwarmId, rank: u32) -> Result<(), Inconsistency> {
        *self.slots.entry(Slot::Gap { rank }, |slot| self.store.slot(slot)) = Some(swarm);
        self.place(swarm)?.gap_rank = rank;
        Ok(())
    }

    /// Orders the heap: by the gap above a swarm, the lower id first among equals.
    fn gap_key(&mut self, swarm: SwarmId) -> Result<(u64, Reverse<SwarmId>), Inconsistency> {
        Ok(gap_key(swarm, self.place(swarm)?))
    }
}

/// See [`Draft::gap_key`].
pub(crate) fn gap_key(swarm: SwarmId, place: &Place) -> (u64, Reverse<SwarmId>) {
    (ring::gap(swarm, place.above), Reverse(swarm))
}

/// A random member of weighted classes: its class and its index there. `None` if all weigh nothing.
fn pick(classes: impl Iterator<Item = (u32, u64)> + Clone, draw: &mut Draw) -> Option<(u32, u64)> {
    let mut index = draw.below(classes.clone().map(|(_, weight)| weight).sum())?;
    for (class, weight) in classes {
        match index.checked_sub(weight) {
            Some(beyond) => index = beyond,
            None => return Some((class, index)),
        }
    }
    None
}

/// What a change read from one table of the store, as it was and as it is to be.
struct Table<K, V>(BTreeMap<K, (Option<V>, Option<V>)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, V: Clone + PartialEq> Table<K, V> {
    /// The entry as it is to be, read from the store the first time.
    fn entry(&mut self, key: K, read: impl FnOnce(K) -> Option<V>) -> &mut Option<V> {
        let (_, after) = self.0.entry(key).or_insert_with(|| {
            let before = read(key);
            (before.clone(), before)
        });
        after
    }

    /// Every entry that differs: its key, how it was and how it is to be, in ascending order.
    fn changes(self) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
        self.0
            .into_iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(key, (before, after))| (key, before, after))
    }
}
