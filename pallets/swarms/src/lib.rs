//! Which service nodes form which swarm.
//!
//! | when | what |
//! |---|---|
//! | a node begins or ends to serve in epoch `e` | it waits in batch `e` |
//! | the first block of epoch `e + 2` | batch `e` is placed by [`SwarmMap::apply`], seeded by fresh randomness |
//! | an epoch was skipped | its batch is placed with the next blocks, one batch a block |
//!
//! The randomness a batch is placed with comes from outputs that producers revealed during epoch `e + 1`, after the batch
//! was closed: whoever registers can neither know nor choose its swarm. The pallet is a [`SwarmStore`] for the pure rules
//! of `skep-swarm-map`; work grows with the change.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

mod store;
#[cfg(test)]
mod tests;

pub use pallet::*;

use alloc::vec::Vec;
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::*;
use skep_primitives::{ServiceNodeId, ServingNodes, SwarmId, SwarmMembers};
use skep_swarm_map::{Census, Place, Slot, SwarmMap};
use sp_runtime::SaturatedConversion;
use store::Store;

/// Most joins and leaves placed together; more wait for the next epoch.
pub const MAX_BATCH: u32 = 256;

/// Epochs from a node's change until it is placed: the randomness of the epoch between is revealed after the change.
pub const PLACEMENT_DELAY: u64 = 2;

/// Consensus randomness, as the runtime wires it.
pub trait EpochRandomness {
    /// Index of the current epoch.
    fn epoch() -> u64;
    /// Randomness made of what producers revealed during the epoch before this one.
    fn fresh() -> [u8; 32];
}

/// What a node waits for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Change {
    /// To be placed in a swarm.
    Join(ServiceNodeId),
    /// To be taken out of its swarm.
    Leave(ServiceNodeId),
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
    }

    /// Changes that wait, by the epoch they were made in.
    #[pallet::storage]
    pub type Waiting<T> =
        StorageMap<_, Twox64Concat, u64, BoundedVec<Change, ConstU32<MAX_BATCH>>, ValueQuery>;

    /// First epoch whose batch may not be placed yet.
    #[pallet::storage]
    pub type WaitingFrom<T> = StorageValue<_, u64, OptionQuery>;

    /// Swarms by size.
    #[pallet::storage]
    pub type Sizes<T> = StorageValue<_, Census, ValueQuery>;

    /// Members of each swarm, ordered by id. At most `skep_swarm_map::N_MAX_ALONE` of them.
    #[pallet::storage]
    pub type Members<T> = StorageMap<_, Twox64Concat, SwarmId, Vec<ServiceNodeId>, OptionQuery>;

    /// The swarm of each placed node.
    #[pallet::storage]
    pub type SwarmOf<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, SwarmId, OptionQuery>;

    /// Where each swarm stands in the indices.
    #[pallet::storage]
    pub type Places<T> = StorageMap<_, Twox64Concat, SwarmId, Place, OptionQuery>;

    /// Indices over all swarms.
    #[pallet::storage]
    pub type Slots<T> = StorageMap<_, Twox64Concat, Slot, SwarmId, OptionQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A batch was placed: every node whose swarm changed, every new swarm, every swarm that is no more.
        Placed { epoch: u64, delta: skep_swarm_map::Delta },
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            Self::place_due(now)
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::check_state().map_err(sp_runtime::TryRuntimeError::Other)
        }
    }
}

impl<T: Config> Pallet<T> {
    /// The swarm a node is in, if it was placed.
    pub fn swarm_of(node: ServiceNodeId) -> Option<SwarmId> {
        SwarmOf::<T>::get(node)
    }

    /// Every swarm, ordered by id. Reads all of them.
    pub fn swarms() -> Vec<SwarmMembers> {
        let mut swarms: Vec<_> = Members::<T>::iter().map(|(id, nodes)| SwarmMembers { id, nodes }).collect();
        swarms.sort_unstable_by_key(|swarm| swarm.id);
        swarms
    }

    /// Places the oldest batch that is due, if there is one.
    fn place_due(now: BlockNumberFor<T>) -> Weight {
        let database = T::DbWeight::get();
        let Some(from) = WaitingFrom::<T>::get() else { return database.reads(1) };
        let Some(last_due) = T::Randomness::epoch().checked_sub(PLACEMENT_DELAY) else { return database.reads(2) };
        // Empty batches are passed over, as many a block as are placed at the most.
        for epoch in (from..=last_due).take(MAX_BATCH as usize) {
            WaitingFrom::<T>::put(epoch.saturating_add(1));
            let batch = Waiting::<T>::take(epoch);
            if !batch.is_empty() {
                return Self::place(epoch, &batch, now);
            }
        }
        database.reads_writes(2 + u64::from(MAX_BATCH), 1)
    }

    fn place(epoch: u64, batch: &[Change], now: BlockNumberFor<T>) -> Weight {
        let changes = batch.iter();
        let joins: Vec<_> = changes.clone().filter_map(|change| match change {
            Change::Join(node) => Some(*node),
            Change::Leave(_) => None,
        }).collect();
        let leaves: Vec<_> = changes.filter_map(|change| match change {
            Change::Leave(node) => Some(*node),
            Change::Join(_) => None,
        }).collect();
        let seed = T::Randomness::fresh();
        match SwarmMap::new(Store::<T>::default()).apply(&joins, &leaves, seed, now.saturated_into()) {
            Ok(delta) => Self::deposit_event(Event::Placed { epoch, delta }),
            Err(inconsistency) => {
                frame_support::defensive!("the swarm map is written only by its own rules", inconsistency);
            }
        }
        // A change moves a node and, by feeding or splitting, a few others: a dozen items each, measured generously.
        let items = 16 * batch.len() as u64 + 64;
        T::DbWeight::get().reads_writes(items, items)
    }

    fn wait(change: Change) {
        let mut epoch = T::Randomness::epoch();
        WaitingFrom::<T>::mutate(|from| *from = Some(from.unwrap_or(epoch).min(epoch)));
        while Waiting::<T>::mutate(epoch, |batch| batch.try_push(change)).is_err() {
            epoch = epoch.saturating_add(1);
        }
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
#[cfg(any(test, feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Every placed node is in exactly one swarm, and the indices agree with the swarms.
    pub fn check_state() -> Result<(), &'static str> {
        let ids: Vec<_> = Self::swarms().into_iter().map(|swarm| swarm.id).collect();
        skep_swarm_map::audit(&Store::<T>::default(), &ids).map_err(|_| "the swarm map contradicts itself")?;
        let members = Members::<T>::iter().map(|(_, nodes)| nodes.len()).sum::<usize>();
        frame_support::ensure!(SwarmOf::<T>::iter().count() == members, "a node is in one swarm");
        Ok(())
    }
}
