//! What the hook costs.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What the hook costs.
pub trait WeightInfo {
    /// What a block pays, at its end.
    fn pay() -> Weight;
}
