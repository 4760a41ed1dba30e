//! The chain's storage as the store of a swarm map.

use crate::{Config, Members, Placements, Places, Sizes, Slots};
use alloc::vec::Vec;
use core::marker::PhantomData;
use frame_support::StorageMap;
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_swarm_map::{Census, Place, Slot, SwarmStore};

pub(crate) struct Store<T>(PhantomData<T>);

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

fn set<M, K, V>(key: K, value: Option<V>)
where
    M: StorageMap<K, V>,
    K: codec::FullEncode,
    V: codec::FullCodec,
{
    match value {
        Some(value) => M::insert(key, value),
        None => M::remove(key),
    }
}

impl<T: Config> SwarmStore for Store<T> {
    fn census(&self) -> Census {
        Sizes::<T>::get()
    }

    fn set_census(&mut self, census: Census) {
        Sizes::<T>::put(census);
    }

    fn members(&self, swarm: SwarmId) -> Option<Vec<ServiceNodeId>> {
        Members::<T>::get(swarm)
    }

    fn set_members(&mut self, swarm: SwarmId, members: Option<Vec<ServiceNodeId>>) {
        set::<Members<T>, _, _>(swarm, members);
    }

    fn swarm_of(&self, node: ServiceNodeId) -> Option<SwarmId> {
        Placements::get(node)
    }

    fn set_swarm_of(&mut self, node: ServiceNodeId, swarm: Option<SwarmId>) {
        Placements::set(node, swarm);
    }

    fn place(&self, swarm: SwarmId) -> Option<Place> {
        Places::<T>::get(swarm)
    }

    fn set_place(&mut self, swarm: SwarmId, place: Option<Place>) {
        set::<Places<T>, _, _>(swarm, place);
    }

    fn slot(&self, slot: Slot) -> Option<SwarmId> {
        Slots::<T>::get(slot)
    }

    fn set_slot(&mut self, slot: Slot, swarm: Option<SwarmId>) {
        set::<Slots<T>, _, _>(slot, swarm);
    }
}
