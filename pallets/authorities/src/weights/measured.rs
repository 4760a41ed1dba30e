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
    fn note_produced() -> Weight {
        Weight::from_parts(8_424_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 1))
    }

    fn forget_departed(n: u32) -> Weight {
        Weight::from_parts(3_338_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 1)).saturating_add(
            Weight::from_parts(40_093_842, 0)
                .saturating_add(T::DbWeight::get().reads_writes(5, 6))
                .saturating_mul(n.into()),
        )
    }

    fn draw(c: u32) -> Weight {
        Weight::from_parts(1_377_896_776, 0).saturating_add(T::DbWeight::get().reads_writes(406, 402)).saturating_add(
            Weight::from_parts(18_368_340, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 1))
                .saturating_mul(c.into()),
        )
    }
}
