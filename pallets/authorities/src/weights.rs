//! What the hook costs. What an era's plan costs is not told: the session that begins takes a block of its own.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What the hook costs.
pub trait WeightInfo {
    /// Noting a block's producer, which the runtime does in each.
    fn note_produced() -> Weight;
}
