//! What calls and hooks cost, by hand until the benchmarks run. What the listeners (reward queue, swarms) do is counted with
//! the call.

use core::marker::PhantomData;
use frame_support::weights::Weight;
use pallet_network::counted;

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

/// Weights from counts of reads, writes and signatures, at this runtime's database weight.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for Counted<T> {
    fn authorize_verdict(votes: u32) -> Weight {
        counted::<T>(10, 0, votes.into())
    }

    fn submit_verdict() -> Weight {
        let stakes = u64::from(skep_primitives::MAX_STAKES);
        counted::<T>(30 + stakes, 30 + stakes, 0)
    }

    fn within_a_round() -> Weight {
        counted::<T>(1, 0, 0)
    }

    fn begin_round(drawn: u32, newcomers: u32, forgotten: u32) -> Weight {
        let (drawn, newcomers, forgotten) = (u64::from(drawn), u64::from(newcomers), u64::from(forgotten));
        counted::<T>(8 + drawn + 10 * newcomers + forgotten, 5 + 10 * newcomers + forgotten, 0)
    }
}
