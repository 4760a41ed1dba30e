//! What the hook costs.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What the hook costs.
pub trait WeightInfo {
    /// A block in which no epoch begins.
    fn within_an_epoch() -> Weight;
    /// The first block of an epoch, with so many changes to place.
    fn place_due(changes: u32) -> Weight;
}
