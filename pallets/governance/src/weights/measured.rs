//! Measured by `scripts/weights` (20 steps, 20 runs each), which writes this file: change the benchmarks.
//!
//! Time is the Wasm's own; reads and writes count at the runtime's database weight. No proof of a block is ever
//! made here, so that none is weighed.

use super::WeightInfo;
use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// Weights as they were measured, at this runtime's database weight.
#[derive(Debug)]
pub struct Measured<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for Measured<T> {
    fn propose() -> Weight {
        Weight::from_parts(122_438_000, 0).saturating_add(T::DbWeight::get().reads_writes(9, 6))
    }

    fn approve() -> Weight {
        Weight::from_parts(32_926_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 2))
    }

    fn withdraw_approval() -> Weight {
        Weight::from_parts(30_820_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 2))
    }

    fn enact() -> Weight {
        Weight::from_parts(91_395_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 4))
    }

    fn close() -> Weight {
        Weight::from_parts(56_864_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 2))
    }
}
