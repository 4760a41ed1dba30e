//! What calls and hooks cost.
//!
//! Derived by hand until the benchmarks run: the storage items each touches at the database's own weight, and the time
//! of the signatures it verifies, rounded up. What the listeners (reward queue, swarms) do is counted with the call.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What each call and hook costs.
pub trait WeightInfo {
    /// Checking a verdict of so many votes.
    fn authorize_verdict(votes: u32) -> Weight;
    /// Carrying it out: at worst a deregistration, which touches every stake of the node.
    fn submit_verdict() -> Weight;
    /// A block in which no round begins.
    fn within_a_round() -> Weight;
    /// Drawing a round of so many testers and targets, after looking at so many newcomers and forgetting so many
    /// verdicts.
    fn begin_round(drawn: u32, newcomers: u32, forgotten: u32) -> Weight;
}

/// Picoseconds to verify one signature (about 50 µs measured on common servers, doubled).
const VERIFY: u64 = 100_000_000;

/// Picoseconds of a call's own work.
const BASE: u64 = 40_000_000;

/// Picoseconds to draw one node and to write it into the round.
const DRAW: u64 = 1_000_000;

/// Proof bytes of one storage item (no parachain proves them; it only keeps the weight honest).
const ITEM_PROOF: u64 = 1_024;

/// Weights from counts of reads, writes and signatures, at this runtime's database weight.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

fn counted<T: frame_system::Config>(reads: u64, writes: u64, time: u64) -> Weight {
    Weight::from_parts(time, reads * ITEM_PROOF).saturating_add(T::DbWeight::get().reads_writes(reads, writes))
}

impl<T: frame_system::Config> WeightInfo for Counted<T> {
    fn authorize_verdict(votes: u32) -> Weight {
        counted::<T>(10, 0, BASE + u64::from(votes) * VERIFY)
    }

    fn submit_verdict() -> Weight {
        let stakes = u64::from(skep_primitives::MAX_CONTRIBUTORS);
        counted::<T>(30 + stakes, 30 + stakes, BASE)
    }

    fn within_a_round() -> Weight {
        counted::<T>(1, 0, 0)
    }

    fn begin_round(drawn: u32, newcomers: u32, forgotten: u32) -> Weight {
        counted::<T>(8, 5, BASE)
            .saturating_add(counted::<T>(1, 0, DRAW).saturating_mul(drawn.into()))
            .saturating_add(counted::<T>(10, 10, 0).saturating_mul(newcomers.into()))
            .saturating_add(counted::<T>(1, 1, 0).saturating_mul(forgotten.into()))
    }
}
