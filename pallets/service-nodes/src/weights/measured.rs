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
        Weight::from_parts(200_121_000, 0).saturating_add(T::DbWeight::get().reads_writes(21, 22))
    }

    fn contribute() -> Weight {
        Weight::from_parts(119_369_000, 0).saturating_add(T::DbWeight::get().reads_writes(16, 19))
    }

    fn request_unlock() -> Weight {
        Weight::from_parts(24_945_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 2))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(398_713_000, 0).saturating_add(T::DbWeight::get().reads_writes(24, 38))
    }

    fn update_endpoint() -> Weight {
        Weight::from_parts(33_183_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 6))
    }

    fn announce() -> Weight {
        Weight::from_parts(41_943_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 6))
    }

    fn authorize_announce() -> Weight {
        Weight::from_parts(67_438_000, 0).saturating_add(T::DbWeight::get().reads_writes(6, 0))
    }

    fn set_session_keys() -> Weight {
        Weight::from_parts(163_688_000, 0).saturating_add(T::DbWeight::get().reads_writes(4, 2))
    }

    fn retract_session_keys() -> Weight {
        Weight::from_parts(29_608_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 2))
    }

    fn hand_over() -> Weight {
        Weight::from_parts(325_000_000, 0).saturating_add(T::DbWeight::get().reads_writes(28, 62))
    }

    fn work_off_agenda(n: u32) -> Weight {
        Weight::from_parts(6_732_000, 0).saturating_add(T::DbWeight::get().reads_writes(7, 4)).saturating_add(
            Weight::from_parts(897_734_579, 0)
                .saturating_add(T::DbWeight::get().reads_writes(50, 79))
                .saturating_mul(n.into()),
        )
    }
}
