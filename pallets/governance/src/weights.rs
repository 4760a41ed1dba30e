//! What calls cost.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What each call costs.
pub trait WeightInfo {
    /// `propose`.
    fn propose() -> Weight;
    /// `approve`.
    fn approve() -> Weight;
    /// `withdraw_approval`.
    fn withdraw_approval() -> Weight;
    /// `enact`, with a payment in the worst case.
    fn enact() -> Weight;
    /// `close`.
    fn close() -> Weight;
}
