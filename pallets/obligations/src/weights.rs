//! What calls and hooks cost. What the listeners (reward queue, swarms) do is measured with the call.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What each call and hook costs.
pub trait WeightInfo {
    /// Checking a verdict of so many votes.
    fn authorize_verdict(votes: u32) -> Weight;
    /// Carrying it out: at worst a deregistration.
    fn submit_verdict() -> Weight;
    /// A block in which no round begins.
    fn within_a_round() -> Weight;
    /// Drawing a round of so many testers and targets.
    fn begin_round(drawn: u32) -> Weight;
    /// Looking at so many newcomers.
    fn season(newcomers: u32) -> Weight;
    /// Forgetting a round with so many verdicts.
    fn forget_round(verdicts: u32) -> Weight;
}
