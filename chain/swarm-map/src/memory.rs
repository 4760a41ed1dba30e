//! A swarm map in memory.

use crate::{Census, Place, Slot, SwarmStore};
use alloc::{collections::BTreeMap, vec::Vec};
use skep_primitives::{ServiceNodeId, SwarmId};

/// A [`SwarmStore`] in memory. The indices are lists, as their entries have ranks without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    census: Census,
    members: BTreeMap<SwarmId, Vec<ServiceNodeId>>,
    swarm_of: BTreeMap<ServiceNodeId, SwarmId>,
    places: BTreeMap<SwarmId, Place>,
    classes: BTreeMap<u32, List>,
    gaps: List,
}

impl MemoryStore {
    /// Every swarm in ascending order, with its members.
    pub fn swarms(&self) -> impl ExactSizeIterator<Item = (SwarmId, &[ServiceNodeId])> {
        self.members.iter().map(|(swarm, members)| (*swarm, members.as_slice()))
    }
}

impl SwarmStore for MemoryStore {
    fn census(&self) -> Census {
        self.census.clone()
    }

    fn set_census(&mut self, census: Census) {
        self.census = census;
    }

    fn members(&self, swarm: SwarmId) -> Option<Vec<ServiceNodeId>> {
        self.members.get(&swarm).cloned()
    }

    fn set_members(&mut self, swarm: SwarmId, members: Option<Vec<ServiceNodeId>>) {
        put(&mut self.members, swarm, members);
    }

    fn swarm_of(&self, node: ServiceNodeId) -> Option<SwarmId> {
        self.swarm_of.get(&node).copied()
    }

    fn set_swarm_of(&mut self, node: ServiceNodeId, swarm: Option<SwarmId>) {
        put(&mut self.swarm_of, node, swarm);
    }

    fn place(&self, swarm: SwarmId) -> Option<Place> {
        self.places.get(&swarm).copied()
    }

    fn set_place(&mut self, swarm: SwarmId, place: Option<Place>) {
        put(&mut self.places, swarm, place);
    }

    fn slot(&self, slot: Slot) -> Option<SwarmId> {
        match slot {
            Slot::Class { size, rank } => self.classes.get(&size)?.get(rank),
            Slot::Gap { rank } => self.gaps.get(rank),
        }
    }

    fn set_slot(&mut self, slot: Slot, swarm: Option<SwarmId>) {
        match slot {
            Slot::Class { size, rank } => {
                let class = self.classes.entry(size).or_default();
                class.set(rank, swarm);
                if class.is_empty() {
                    self.classes.remove(&size);
                }
            }
            Slot::Gap { rank } => self.gaps.set(rank, swarm),
        }
    }
}

fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}

/// An index: swarms by rank. Gaps there are only between two writes, so it ends with a swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List(Vec<Option<SwarmId>>);

impl List {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, rank: u32) -> Option<SwarmId> {
        *self.0.get(rank as usize)?
    }

    fn set(&mut self, rank: u32, swarm: Option<SwarmId>) {
        let rank = rank as usize;
        if rank >= self.0.len() {
            self.0.resize(rank + 1, None);
        }
        if let Some(slot) = self.0.get_mut(rank) {
            *slot = swarm;
        }
        let kept = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.0.truncate(kept);
    }
}
