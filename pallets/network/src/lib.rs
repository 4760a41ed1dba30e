//! The numbers in which Skep's networks differ, fixed at genesis.
//!
//! One Wasm runs every network: block time, epoch length, durations and amounts are read from here, never compiled in.
//! There is no call and no setter; a network that wants other numbers starts anew, or migrates in a runtime upgrade.
//! Durations are wall-clock milliseconds and become blocks in one place, [`Pallet::blocks`].
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

pub use pallet::*;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod parameters;
mod refused;
#[cfg(test)]
mod tests;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::{CandidateFactory, NodeFactory, ProposalFactory};
pub use parameters::{BLOCK_HASHES, InvalidParameters, Parameters};
pub use refused::Refused;

use core::marker::PhantomData;
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use skep_economics::{EmissionCurve, StakingRequirement};
use skep_primitives::{BlockHash, BlockNumber, Moment};

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
pub mod pallet {
    use super::*;
    use frame_support::pallet_prelude::*;

    /// Rises with each migration of what this pallet keeps.
    const STORAGE_VERSION: StorageVersion = StorageVersion::new(0);

    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// The network's numbers. Written once, at genesis.
    #[pallet::storage]
    pub type Network<T> = StorageValue<_, Parameters, ValueQuery>;

    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The network's numbers.
        pub parameters: Parameters,
        #[serde(skip)]
        #[doc(hidden)]
        pub _config: PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            if let Err(error) = self.parameters.validate() {
                panic!("the genesis of pallet-network is refused: {error}");
            }
            Network::<T>::put(self.parameters.clone());
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Milliseconds between two blocks.
    pub fn block_time() -> Moment {
        Network::<T>::get().block_time
    }

    /// What a node must hold, as a rule of height.
    pub fn requirement() -> StakingRequirement {
        Network::<T>::get().requirement
    }

    /// What a block creates, as a rule of height.
    pub fn emission() -> EmissionCurve {
        Network::<T>::get().emission
    }

    /// Hash of the first block: the network's name in all that node keys sign.
    pub fn genesis_hash() -> BlockHash {
        raw_hash(&frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::default()))
    }

    /// For how long after a block the set that finalizes after it is believed (ms): until the first of its stakes may be free.
    ///
    /// A producer was registered when it was drawn, up to an era and a session before the block, and may have asked for its
    /// stake right then. None (0) where eras are longer than that.
    pub fn believed_for() -> Moment {
        let Parameters { block_time, epoch_blocks, era_sessions, unlock, .. } = Network::<T>::get();
        let epoch = Moment::from(epoch_blocks).saturating_mul(block_time);
        unlock.saturating_sub(Moment::from(era_sessions).saturating_add(1).saturating_mul(epoch))
    }

    /// Blocks as wall-clock milliseconds.
    pub fn duration(blocks: BlockNumber) -> Moment {
        Moment::from(blocks).saturating_mul(Self::block_time())
    }

    /// Wall-clock milliseconds as blocks, rounded up: a lock is never shorter than its duration.
    pub fn blocks(duration: Moment) -> BlockNumber {
        let blocks = duration.div_ceil(Self::block_time().max(1));
        BlockNumber::try_from(blocks).unwrap_or(BlockNumber::MAX)
    }
}

/// A block hash of whatever type as bytes.
pub fn raw_hash(hash: &impl AsRef<[u8]>) -> BlockHash {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, other)| *byte = *other);
    bytes
}

/// Blocks of a BABE epoch, for `pallet_babe::Config::EpochDuration`.
pub struct EpochBlocks<T>(PhantomData<T>);

impl<T: Config> Get<u64> for EpochBlocks<T> {
    fn get() -> u64 {
        Network::<T>::get().epoch_blocks.into()
    }
}

/// Milliseconds between two blocks, for `pallet_babe::Config::ExpectedBlockTime`.
pub struct BlockTime<T>(PhantomData<T>);

impl<T: Config> Get<Moment> for BlockTime<T> {
    fn get() -> Moment {
        Pallet::<T>::block_time()
    }
}

/// Sessions that begin while a stake unlocks, and the one it is asked back in: for so long it can be proven what keys a
/// producer had. For `pallet_grandpa::Config::MaxSetIdSessionEntries` and for how long the roots of sessions are kept.
pub struct ProvableSessions<T>(PhantomData<T>);

impl<T: Config> Get<u32> for ProvableSessions<T> {
    fn get() -> u32 {
        let Parameters { unlock, epoch_blocks, .. } = Network::<T>::get();
        Pallet::<T>::blocks(unlock).div_ceil(epoch_blocks.max(1)).saturating_add(1)
    }
}

impl<T: Config> Get<u64> for ProvableSessions<T> {
    fn get() -> u64 {
        <Self as Get<u32>>::get().into()
    }
}

/// Least milliseconds between two timestamps (half a slot), for `pallet_timestamp::Config::MinimumPeriod`.
pub struct MinimumPeriod<T>(PhantomData<T>);

impl<T: Config> Get<Moment> for MinimumPeriod<T> {
    fn get() -> Moment {
        Pallet::<T>::block_time() / 2
    }
}
