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
        Weight::from_parts(75_643_333, 0)
            .saturating_add(T::DbWeight::get().reads_writes(8, 0))
            .saturating_add(Weight::from_parts(34_321_833, 0).saturating_mul(v.into()))
    }

    fn submit_verdict() -> Weight {
        Weight::from_parts(175_884_000, 0).saturating_add(T::DbWeight::get().reads_writes(18, 23))
    }

    fn within_a_round() -> Weight {
        Weight::from_parts(3_896_000, 0).saturating_add(T::DbWeight::get().reads_writes(1, 0))
    }

    fn begin_round(d: u32) -> Weight {
        Weight::from_parts(18_732_137, 0).saturating_add(T::DbWeight::get().reads_writes(6, 3)).saturating_add(
            Weight::from_parts(2_831_300, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 0))
                .saturating_mul(d.into()),
        )
    }

    fn season(n: u32) -> Weight {
        Weight::from_parts(19_689_947, 0).saturating_add(T::DbWeight::get().reads_writes(5, 5)).saturating_add(
            Weight::from_parts(37_554_570, 0)
                .saturating_add(T::DbWeight::get().reads_writes(3, 3))
                .saturating_mul(n.into()),
        )
    }

    fn forget_round(f: u32) -> Weight {
        Weight::from_parts(5_488_973, 0).saturating_add(T::DbWeight::get().reads_writes(0, 1)).saturating_add(
            Weight::from_parts(821_778, 0)
                .saturating_add(T::DbWeight::get().reads_writes(1, 1))
                .saturating_mul(f.into()),
        )
    }
}
