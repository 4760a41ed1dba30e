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
    fn within_an_epoch() -> Weight {
        Weight::from_parts(5_083_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 0))
    }

    fn place_due(c: u32) -> Weight {
        Weight::from_parts(374_065_735, 0).saturating_add(T::DbWeight::get().reads_writes(46, 36)).saturating_add(
            Weight::from_parts(50_034_837, 0)
                .saturating_add(T::DbWeight::get().reads_writes(10, 9))
                .saturating_mul(c.into()),
        )
    }
}
