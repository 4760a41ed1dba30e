//! What a new runtime changes in the state it takes over, in the first block it carries out.
//!
//! A migration is a [`VersionedMigration`]: the storage version of the pallet it changes decides whether it runs, so it runs
//! once, whatever runtimes a network skipped. Each says what must be known `before` it and checks `after` it what it did; tests
//! run both around it, and every pallet's `check_state`, on states of a grown chain. What every network has behind it is removed.

use crate::{Network, Runtime};
use alloc::vec::Vec;
use codec::{Decode, Encode};
use frame_support::{migrations::VersionedMigration, traits::UncheckedOnRuntimeUpgrade, weights::Weight};
use pallet_network::Parameters;
use sp_runtime::TryRuntimeError;

/// What the runtime of this build migrates.
#[cfg(not(feature = "rehearsal"))]
pub type Migrations = ();
/// What the runtime of this build migrates.
#[cfg(feature = "rehearsal")]
pub type Migrations = Rehearsal;

/// The migration that `scripts/upgrade` rehearses.
pub type Rehearsal = VersionedMigration<0, 1, LongerUnlock, Network, <Runtime as frame_system::Config>::DbWeight>;

/// Makes the unlock time of stakes half as long again, though never longer than the lock of who is deregistered. What was asked
/// to unlock before frees when it was said to.
#[derive(Debug)]
pub struct LongerUnlock;

impl LongerUnlock {
    fn of(old: &Parameters) -> Parameters {
        let unlock = old.unlock.saturating_add(old.unlock / 2).min(old.deregistration_lock);
        Parameters { unlock, ..old.clone() }
    }

    /// What must be known after the upgrade of the state before it.
    pub fn before() -> Result<Vec<u8>, TryRuntimeError> {
        let old = pallet_network::Network::<Runtime>::get();
        old.validate().map_err(|_| TryRuntimeError::Other("the network's numbers were unsound before"))?;
        Ok(old.encode())
    }

    /// Whether the migration did what it should, and nothing else to the network's numbers.
    pub fn after(mut before: &[u8]) -> Result<(), TryRuntimeError> {
        let old = Parameters::decode(&mut before).map_err(|_| TryRuntimeError::Other("not from before()"))?;
        let new = pallet_network::Network::<Runtime>::get();
        if new != Self::of(&old) {
            return Err(TryRuntimeError::Other("only the unlock time changes, by half"));
        }
        new.validate().map_err(|_| TryRuntimeError::Other("the network's numbers are unsound"))
    }
}

impl UncheckedOnRuntimeUpgrade for LongerUnlock {
    fn on_runtime_upgrade() -> Weight {
        pallet_network::Network::<Runtime>::mutate(|parameters| *parameters = Self::of(parameters));
        <Runtime as frame_system::Config>::DbWeight::get().reads_writes(1, 1)
    }
}
