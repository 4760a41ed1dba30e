//! What calls cost: the storage items a call touches, at the database's own weight.

use core::marker::PhantomData;
use frame_support::weights::Weight;
use pallet_network::counted;

/// What each call costs.
pub trait WeightInfo {
    /// `propose`.
    fn propose() -> Weight;
    /// `approve` and `withdraw_approval`.
    fn approve() -> Weight;
    /// `enact`, with a payment in the worst case.
    fn enact() -> Weight;
    /// `close`.
    fn close() -> Weight;
}

/// Weights from counts of reads and writes, at this runtime's database weight.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for Counted<T> {
    fn propose() -> Weight {
        counted::<T>(8, 6, 0)
    }

    fn approve() -> Weight {
        counted::<T>(6, 3, 0)
    }

    fn enact() -> Weight {
        counted::<T>(9, 8, 0)
    }

    fn close() -> Weight {
        counted::<T>(5, 4, 0)
    }
}
