//! What calls cost.
//!
//! Derived by hand until the benchmarks run: the storage items a call touches at the database's own weight, and the time
//! of the signatures it verifies, rounded up. What the listeners (reward queue, swarms) do is counted with the call.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What each call and hook costs.
pub trait WeightInfo {
    /// `register`: one Ed25519 verification, one key check.
    fn register() -> Weight;
    /// `contribute`.
    fn contribute() -> Weight;
    /// `request_unlock`.
    fn request_unlock() -> Weight;
    /// `withdraw`, returning every stake in the worst case.
    fn withdraw() -> Weight;
    /// `update_endpoint`.
    fn update_endpoint() -> Weight;
    /// `set_session_keys`: three verifications.
    fn set_session_keys() -> Weight;
    /// Ending `ended` nodes at the start of a block.
    fn work_off_agenda(ended: u32) -> Weight;
}

/// Picoseconds to verify one signature (about 50 µs measured on common servers, doubled).
const VERIFY: u64 = 100_000_000;

/// Picoseconds of a call's own work.
const BASE: u64 = 40_000_000;

/// Proof bytes of one storage item (no parachain proves them; it only keeps the weight honest).
const ITEM_PROOF: u64 = 1_024;

/// Weights from counts of reads, writes and signatures, at this runtime's database weight.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

fn counted<T: frame_system::Config>(reads: u64, writes: u64, signatures: u64) -> Weight {
    Weight::from_parts(BASE + signatures * VERIFY, reads * ITEM_PROOF)
        .saturating_add(T::DbWeight::get().reads_writes(reads, writes))
}

impl<T: frame_system::Config> WeightInfo for Counted<T> {
    fn register() -> Weight {
        counted::<T>(16, 16, 2)
    }

    fn contribute() -> Weight {
        counted::<T>(12, 14, 0)
    }

    fn request_unlock() -> Weight {
        counted::<T>(3, 3, 0)
    }

    fn withdraw() -> Weight {
        Self::work_off_agenda(1)
    }

    fn update_endpoint() -> Weight {
        counted::<T>(5, 6, 0)
    }

    fn set_session_keys() -> Weight {
        counted::<T>(2, 2, 3)
    }

    fn work_off_agenda(ended: u32) -> Weight {
        let stakes = u64::from(skep_primitives::MAX_CONTRIBUTORS);
        counted::<T>(3, 1, 0)
            .saturating_add(counted::<T>(10 + 2 * stakes, 14 + 3 * stakes, 0).saturating_mul(ended.into()))
    }
}
