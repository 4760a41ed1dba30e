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
        Weight::from_parts(256_328_000, 0).saturating_add(T::DbWeight::get().reads_writes(23, 22))
    }

    fn contribute() -> Weight {
        Weight::from_parts(169_982_000, 0).saturating_add(T::DbWeight::get().reads_writes(19, 21))
    }

    fn request_unlock() -> Weight {
        Weight::from_parts(25_251_000, 0).saturating_add(T::DbWeight::get().reads_writes(2, 2))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(409_485_000, 0).saturating_add(T::DbWeight::get().reads_writes(24, 38))
    }

    fn update_endpoint() -> Weight {
        Weight::from_parts(35_949_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 6))
    }

    fn announce() -> Weight {
        Weight::from_parts(44_403_000, 0).saturating_add(T::DbWeight::get().reads_writes(5, 6))
    }

    fn authorize_announce() -> Weight {
        Weight::from_parts(65_865_000, 0).saturating_add(T::DbWeight::get().reads_writes(6, 0))
    }

    fn set_session_keys() -> Weight {
        Weight::from_parts(158_982_000, 0).saturating_add(T::DbWeight::get().reads_writes(4, 2))
    }

    fn retract_session_keys() -> Weight {
        Weight::from_parts(30_994_000, 0).saturating_add(T::DbWeight::get().reads_writes(3, 2))
    }

    fn hand_over() -> Weight {
        Weight::from_parts(396_668_000, 0).saturating_add(T::DbWeight::get().reads_writes(27, 98))
    }

    fn work_off_agenda(n: u32) -> Weight {
        Weight::from_parts(6_136_000, 0).saturating_add(T::DbWeight::get().reads_writes(7, 5)).saturating_add(
            Weight::from_parts(936_401_030, 0)
                .saturating_add(T::DbWeight::get().reads_writes(51, 78))
                .saturating_mul(n.into()),
        )
    }
}
