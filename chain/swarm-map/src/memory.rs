//! A swarm map in memory.

use crate::{Census, Place, Slot, SwarmStore};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, Encode};
use skep_primitives::{ServiceNodeId, SwarmId};

/// A [`SwarmStore`] in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MemoryStore {
    census: Census,
    members: BTreeMap<SwarmId, Vec<ServiceNodeId>>,
    swarm_of: BTreeMap<ServiceNodeId, SwarmId>,
    places: BTreeMap<SwarmId, Place>,
    slots: BTreeMap<Slot, SwarmId>,
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
        self.slots.get(&slot).copied()
    }

    fn set_slot(&mut self, slot: Slot, swarm: Option<SwarmId>) {
        put(&mut self.slots, slot, swarm);
    }
}

fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}
