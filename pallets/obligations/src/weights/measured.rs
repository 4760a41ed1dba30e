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
    fn authorize_verdict(v: u32) -> Weight {
        Weight::from_parts(33_097_450, 0)
            .saturating_add(T::DbWeight::get().reads_writes(8, 0))
            .saturating_add(Weight::from_parts(37_790_216, 0).saturating_mul(v.into()))
    }

    fn submit_verdict() -> Weight {
        Weight::from_parts(165_918_000, 0).saturating_add(T::DbWeight::get().reads_writes(18, 24))
    }

    fn within_a_round() -> Weight {
        Weight::from_parts(3_853_000, 0).saturating_add(T::DbWeight::get().reads_writes(1, 0))
    }

    fn begin_round(d: u32) -> Weight {
        Weight::from_parts(20_062_196, 0).saturating_add(T::DbWeight::get().reads_writes(6, 3)).saturating_add(
            Weight::from_parts(2_765_232, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 0))
                .saturating_mul(d.into()),
        )
    }

    fn season(n: u32) -> Weight {
        Weight::from_parts(46_900_854, 0).saturating_add(T::DbWeight::get().reads_writes(5, 5)).saturating_add(
            Weight::from_parts(36_435_232, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 3))
                .saturating_mul(n.into()),
        )
    }

    fn forget_round(f: u32) -> Weight {
        Weight::from_parts(5_969_841, 0).saturating_add(T::DbWeight::get().reads_writes(0, 1)).saturating_add(
            Weight::from_parts(811_753, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 1))
                .saturating_mul(f.into()),
        )
    }
}
