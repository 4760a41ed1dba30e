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
        Weight::from_parts(204_692_000, 0).saturating_add(T::DbWeight::get().reads_writes(21, 22))
    }

    fn contribute() -> Weight {
        Weight::from_parts(126_421_000, 0).saturating_add(T::DbWeight::get().reads_writes(16, 19))
    }

    fn request_unlock() -> Weight {
        Weight::from_parts(25_256_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 2))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(398_077_000, 0).saturating_add(T::DbWeight::get().reads_writes(24, 36))
    }

    fn update_endpoint() -> Weight {
        Weight::from_parts(29_278_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 5))
    }

    fn authorize_announce() -> Weight {
        Weight::from_parts(100_000_000, 0).saturating_add(T::DbWeight::get().reads_writes(8, 0))
    }

    fn announce() -> Weight {
        Weight::from_parts(35_000_000, 0).saturating_add(T::DbWeight::get().reads_writes(8, 6))
    }

    fn set_session_keys() -> Weight {
        Weight::from_parts(159_742_000, 0).saturating_add(T::DbWeight::get().reads_writes(4, 2))
    }

    fn retract_session_keys() -> Weight {
        Weight::from_parts(31_793_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 2))
    }

    fn hand_over() -> Weight {
        Weight::from_parts(339_693_000, 0).saturating_add(T::DbWeight::get().reads_writes(26, 57))
    }

    fn work_off_agenda(n: u32) -> Weight {
        Weight::from_parts(6_564_000, 0).saturating_add(T::DbWeight::get().reads_writes(7, 4)).saturating_add(
            Weight::from_parts(938_784_706, 0)
                .saturating_add(T::DbWeight::get().reads_writes(50, 77))
                .saturating_mul(n.into()),
        )
    }
}
