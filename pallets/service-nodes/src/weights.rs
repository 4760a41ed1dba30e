//! What calls cost.
//!
//! Derived by hand until the benchmarks run: the storage items a call touches at the database's own weight, and the time
//! of the signatures it verifies, rounded up. What the listeners (reward queue, swarms) do is counted with the call.

use core::marker::PhantomData;
use frame_support::weights::Weight;
use pallet_network::counted;

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
    /// `announce`, authorized.
    fn announce() -> Weight;
    /// Authorizing `announce`: one verification.
    fn authorize_announce() -> Weight;
    /// `set_session_keys`: three verifications.
    fn set_session_keys() -> Weight;
    /// `hand_over`: one verification, one key check.
    fn hand_over() -> Weight;
    /// `retract_session_keys`.
    fn retract_session_keys() -> Weight;
    /// Ending `ended` nodes at the start of a block.
    fn work_off_agenda(ended: u32) -> Weight;
}

/// Weights from counts of reads, writes and signatures, at this runtime's database weight.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

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
        counted::<T>(5, 7, 0)
    }

    fn announce() -> Weight {
        counted::<T>(6, 7, 0)
    }

    fn authorize_announce() -> Weight {
        counted::<T>(7, 0, 1)
    }

    fn set_session_keys() -> Weight {
        counted::<T>(2, 2, 3)
    }

    fn hand_over() -> Weight {
        let stakes = u64::from(skep_primitives::MAX_STAKES);
        counted::<T>(20, 24 + 2 * stakes, 2)
    }

    fn retract_session_keys() -> Weight {
        counted::<T>(3, 2, 0)
    }

    fn work_off_agenda(ended: u32) -> Weight {
        let stakes = u64::from(skep_primitives::MAX_STAKES);
        counted::<T>(3, 1, 0)
            .saturating_add(counted::<T>(10 + 2 * stakes, 14 + 3 * stakes, 0).saturating_mul(ended.into()))
    }
}
