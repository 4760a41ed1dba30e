//! Which service nodes form which swarm.
//!
//! | when | what |
//! |---|---|
//! | a node begins or ends to serve in epoch `e` | the change is put at the end of a queue |
//! | the first block of epoch `e + 2` | it is placed by [`SwarmMap::apply`], seeded by fresh randomness |
//! | more than [`MAX_BATCH`] changes are due | the rest waits for the next epoch |
//!
//! The randomness a change is placed with is made of all that producers revealed until then, in epoch `e + 1` too, after it
//! was included: whoever registers can neither know nor choose its swarm. Epochs are counted as they are seen, not by their
//! index: a chain that stood still skips indices, and what is revealed is then older than they tell. A node that ends
//! ceases to serve at once (the roster says so) and stays listed in its swarm until it is placed out of it.
//!
//! The runtime puts this pallet after the one that changes epochs and before the one that ends nodes, so that a change
//! of an epoch's first block belongs to that epoch. The pallet is a [`SwarmStore`] for the pure rules of
//! `skep-swarm-map`; work grows with the change. Which swarm each node is in stands in a child trie of its own
//! ([`Placements`]), so that clients can have it proven whole.
//!
//! [`SwarmStore`]: skep_swarm_map::SwarmStore
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod placements;
mod store;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use placements::Placements;
pub use weights::WeightInfo;

use alloc::{collections::BTreeSet, vec::Vec};
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::*;
use skep_primitives::{ServiceNodeId, ServingNodes, SwarmId, SwarmMembers};
use skep_swarm_map::{Census, Place, Slot, SwarmMap};
use sp_runtime::SaturatedConversion;
use store::Store;

/// Most joins and leaves placed together; more wait for the next epoch.
pub const MAX_BATCH: u32 = 64;

/// Epochs from a node's change until it is placed: the randomness of the epoch between is revealed after the change.
pub const PLACEMENT_DELAY: u32 = 2;

/// Consensus randomness, as the runtime wires it.
pub trait EpochRandomness {
    /// Index of the current epoch.
    fn epoch() -> u64;
    /// Randomness made of what producers revealed up to the parent block.
    fn fresh() -> [u8; 32];
}

/// What a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Change {
    /// To be placed in a swarm.
    Join(ServiceNodeId),
    /// To be taken out of its swarm.
    Leave(ServiceNodeId),
}

/// A change and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct WaitingChange {
    /// The change.
    pub change: Change,
    /// [`SeenEpoch::count`] of the epoch it was made in.
    pub epoch: u32,
}

/// The current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct SeenEpoch {
    /// Its index, which skips over epochs without a block.
    pub index: u64,
    /// How many changes of epoch were seen: one more with each.
    pub count: u32,
}

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
pub mod pallet {
    use super::*;

    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// Consensus randomness.
        type Randomness: EpochRandomness;
        /// What the hook costs.
        type WeightInfo: WeightInfo;
    }

    /// The epoch as this pallet has seen it; none before the first block.
    #[pallet::storage]
    pub type Epoch<T> = StorageValue<_, SeenEpoch, OptionQuery>;

    /// Changes that wait, in the order in which they were made.
    #[pallet::storage]
    pub type Waiting<T> = StorageMap<_, Twox64Concat, u64, WaitingChange, OptionQuery>;

    /// Positions of changes that wait: from the first to the one that is given next.
    #[pallet::storage]
    pub type WaitingSpan<T> = StorageValue<_, (u64, u64), ValueQuery>;

    /// Swarms by size.
    #[pallet::storage]
    pub type Sizes<T> = StorageValue<_, Census, ValueQuery>;

    /// Members of each swarm, ordered by id. At most `skep_swarm_map::N_MAX_ALONE` of them.
    #[pallet::storage]
    pub type Members<T> = StorageMap<_, Twox64Concat, SwarmId, Vec<ServiceNodeId>, OptionQuery>;

    /// Where each swarm stands in the indices.
    #[pallet::storage]
    pub type Places<T> = StorageMap<_, Twox64Concat, SwarmId, Place, OptionQuery>;

    /// Indices over all swarms.
    #[pallet::storage]
    pub type Slots<T> = StorageMap<_, Twox64Concat, Slot, SwarmId, OptionQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// What was due was placed: every node whose swarm changed, every new swarm, every swarm that is no more.
        Placed { epoch: u64, delta: skep_swarm_map::Delta },
        /// The stored map contradicts itself; nothing was placed, and what waits is tried again in the next epoch.
        PlacementFailed { epoch: u64 },
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            Self::place_due(now)
        }
    }
}

impl<T: Config> Pallet<T> {
    /// The swarm a node is in, if it was placed.
    pub fn swarm_of(node: ServiceNodeId) -> Option<SwarmId> {
        Placements::get(node)
    }

    /// Every swarm, ordered by id. Reads all of them.
    pub fn swarms() -> Vec<SwarmMembers> {
        let mut swarms: Vec<_> = Members::<T>::iter().map(|(id, nodes)| SwarmMembers { id, nodes }).collect();
        swarms.sort_unstable_by_key(|swarm| swarm.id);
        swarms
    }

    /// In the first block of an epoch, places what is due.
    fn place_due(now: BlockNumberFor<T>) -> Weight {
        let index = T::Randomness::epoch();
        let Some(seen) = Epoch::<T>::get() else {
            Epoch::<T>::put(SeenEpoch { index, count: 0 });
            return T::WeightInfo::place_due(0);
        };
        if seen.index == index {
            return T::WeightInfo::within_an_epoch();
        }
        let count = seen.count.saturating_add(1);
        Epoch::<T>::put(SeenEpoch { index, count });
        let (start, end) = WaitingSpan::<T>::get();
        let due: Vec<_> = (start..end)
            .take(MAX_BATCH as usize)
            .map_while(Waiting::<T>::get)
            .take_while(|waiting| waiting.epoch.saturating_add(PLACEMENT_DELAY) <= count)
            .map(|waiting| waiting.change)
            .collect();
        if due.is_empty() {
            return T::WeightInfo::place_due(0);
        }
        let taken = due.len() as u64;
        if Self::place(index, due, now) {
            let rest = start.saturating_add(taken);
            (start..rest).for_each(Waiting::<T>::remove);
            WaitingSpan::<T>::put((rest, end));
        }
        T::WeightInfo::place_due(taken.saturated_into())
    }

    /// Places these changes, made in this order; false if that is impossible.
    fn place(epoch: u64, changes: Vec<Change>, now: BlockNumberFor<T>) -> bool {
        let (mut joins, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            match change {
                Change::Join(node) => {
                    joins.insert(node);
                }
                // One that came and went meanwhile is not placed at all; one that went and came again leaves and joins.
                Change::Leave(node) => {
                    joins.remove(&node);
                    leaves.insert(node);
                }
            }
        }
        let (joins, leaves) = (Vec::from_iter(joins), Vec::from_iter(leaves));
        let seed = T::Randomness::fresh();
        let placed = SwarmMap::new(Store::<T>::default()).apply(&joins, &leaves, seed, now.saturated_into());
        let is_placed = placed.is_ok();
        Self::deposit_event(match placed {
            Ok(delta) => Event::Placed { epoch, delta },
            Err(_) => Event::PlacementFailed { epoch },
        });
        is_placed
    }

    fn wait(change: Change) {
        let epoch = Epoch::<T>::get().map_or(0, |seen| seen.count);
        WaitingSpan::<T>::mutate(|(_, end)| {
            Waiting::<T>::insert(*end, WaitingChange { change, epoch });
            *end = end.saturating_add(1);
        });
    }
}

impl<T: Config> ServingNodes for Pallet<T> {
    fn started(node: ServiceNodeId) {
        Self::wait(Change::Join(node));
    }

    fn stopped(node: ServiceNodeId) {
        Self::wait(Change::Leave(node));
    }
}

/// Invariants.
#[cfg(feature = "std")]
impl<T: Config> Pallet<T> {
    /// Every node that is in a swarm once all that waits is placed, ordered by id.
    pub fn destined() -> BTreeSet<ServiceNodeId> {
        let mut nodes: BTreeSet<_> = Members::<T>::iter().flat_map(|(_, nodes)| nodes).collect();
        let (start, end) = WaitingSpan::<T>::get();
        for waiting in (start..end).filter_map(Waiting::<T>::get) {
            match waiting.change {
                Change::Join(node) => nodes.insert(node),
                Change::Leave(node) => nodes.remove(&node),
            };
        }
        nodes
    }

    /// Every placed node is in exactly one swarm, and the indices agree with the swarms.
    pub fn check_state() -> Result<(), &'static str> {
        let ids: Vec<_> = Self::swarms().into_iter().map(|swarm| swarm.id).collect();
        skep_swarm_map::audit(&Store::<T>::default(), &ids).map_err(|_| "the swarm map contradicts itself")?;
        let members = Members::<T>::iter().map(|(_, nodes)| nodes.len()).sum::<usize>();
        frame_support::ensure!(Placements::iter().count() == members, "a node is in one swarm");
        let (start, end) = WaitingSpan::<T>::get();
        let mut last = 0;
        for position in start..end {
            let waiting = Waiting::<T>::get(position).ok_or("no gap among what waits")?;
            frame_support::ensure!(last <= waiting.epoch, "what waits is in order");
            last = waiting.epoch;
        }
        frame_support::ensure!(Waiting::<T>::iter().count() as u64 == end - start, "what waits is in the span");
        Ok(())
    }
}
