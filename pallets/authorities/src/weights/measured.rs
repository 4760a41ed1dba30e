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
        Weight::from_parts(7_906_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 1))
    }

    fn forget_departed(n: u32) -> Weight {
        Weight::from_parts(3_420_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 1)).saturating_add(
            Weight::from_parts(37_255_029, 0)
                .saturating_add(T::DbWeight::get().reads_writes(5, 6))
                .saturating_mul(n.into()),
        )
    }

    fn draw(c: u32) -> Weight {
        Weight::from_parts(1_180_333_043, 0).saturating_add(T::DbWeight::get().reads_writes(405, 402)).saturating_add(
            Weight::from_parts(17_313_280, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 1))
                .saturating_mul(c.into()),
        )
    }
}
