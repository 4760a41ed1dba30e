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
    fn register() -> Weight {
        Weight::from_parts(261_033_000, 0).saturating_add(T::DbWeight::get().reads_writes(22, 22))
    }

    fn contribute() -> Weight {
        Weight::from_parts(176_902_000, 0).saturating_add(T::DbWeight::get().reads_writes(18, 21))
    }

    fn request_unlock() -> Weight {
        Weight::from_parts(28_676_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 2))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(399_214_000, 0).saturating_add(T::DbWeight::get().reads_writes(24, 36))
    }

    fn update_endpoint() -> Weight {
        Weight::from_parts(35_399_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 6))
    }

    fn announce() -> Weight {
        Weight::from_parts(44_574_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 6))
    }

    fn authorize_announce() -> Weight {
        Weight::from_parts(64_517_000, 0).saturating_add(T::DbWeight::get().reads_writes(6, 0))
    }

    fn set_session_keys() -> Weight {
        Weight::from_parts(160_233_000, 0).saturating_add(T::DbWeight::get().reads_writes(4, 2))
    }

    fn retract_session_keys() -> Weight {
        Weight::from_parts(32_108_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 2))
    }

    fn hand_over() -> Weight {
        Weight::from_parts(402_736_000, 0).saturating_add(T::DbWeight::get().reads_writes(26, 98))
    }

    fn work_off_agenda(n: u32) -> Weight {
        Weight::from_parts(30_831_055, 0).saturating_add(T::DbWeight::get().reads_writes(7, 5)).saturating_add(
            Weight::from_parts(917_249_648, 0)
                .saturating_add(T::DbWeight::get().reads_writes(51, 78))
                .saturating_mul(n.into()),
        )
    }
}
