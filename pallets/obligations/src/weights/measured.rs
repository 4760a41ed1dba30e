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
        Weight::from_parts(147_850_266, 0)
            .saturating_add(T::DbWeight::get().reads_writes(8, 0))
            .saturating_add(Weight::from_parts(25_393_816, 0).saturating_mul(v.into()))
    }

    fn submit_verdict() -> Weight {
        Weight::from_parts(211_323_000, 0).saturating_add(T::DbWeight::get().reads_writes(19, 24))
    }

    fn within_a_round() -> Weight {
        Weight::from_parts(3_825_000, 0).saturating_add(T::DbWeight::get().reads_writes(1, 0))
    }

    fn begin_round(d: u32) -> Weight {
        Weight::from_parts(17_919_888, 0).saturating_add(T::DbWeight::get().reads_writes(6, 3)).saturating_add(
            Weight::from_parts(2_908_379, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 0))
                .saturating_mul(d.into()),
        )
    }

    fn season(n: u32) -> Weight {
        Weight::from_parts(36_014_304, 0).saturating_add(T::DbWeight::get().reads_writes(5, 5)).saturating_add(
            Weight::from_parts(36_292_580, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 3))
                .saturating_mul(n.into()),
        )
    }

    fn forget_round(f: u32) -> Weight {
        Weight::from_parts(5_865_274, 0).saturating_add(T::DbWeight::get().reads_writes(0, 1)).saturating_add(
            Weight::from_parts(806_289, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 1))
                .saturating_mul(f.into()),
        )
    }
}
