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
        Weight::from_parts(90_164_640, 0)
            .saturating_add(T::DbWeight::get().reads_writes(8, 0))
            .saturating_add(Weight::from_parts(39_440_660, 0).saturating_mul(v.into()))
    }

    fn submit_verdict() -> Weight {
        Weight::from_parts(223_794_000, 0).saturating_add(T::DbWeight::get().reads_writes(18, 23))
    }

    fn within_a_round() -> Weight {
        Weight::from_parts(4_240_000, 0).saturating_add(T::DbWeight::get().reads_writes(1, 0))
    }

    fn begin_round(d: u32) -> Weight {
        Weight::from_parts(19_740_106, 0).saturating_add(T::DbWeight::get().reads_writes(6, 3)).saturating_add(
            Weight::from_parts(2_940_092, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 0))
                .saturating_mul(d.into()),
        )
    }

    fn season(n: u32) -> Weight {
        Weight::from_parts(9_471_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 5)).saturating_add(
            Weight::from_parts(57_538_141, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 3))
                .saturating_mul(n.into()),
        )
    }

    fn forget_round(f: u32) -> Weight {
        Weight::from_parts(6_871_773, 0).saturating_add(T::DbWeight::get().reads_writes(0, 1)).saturating_add(
            Weight::from_parts(815_860, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 1))
                .saturating_mul(f.into()),
        )
    }
}
