//! What the hook and an era's draw cost.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What the hook and an era's draw cost.
pub trait WeightInfo {
    /// Noting a block's producer, which the runtime does in each.
    fn note_produced() -> Weight;
    /// Forgetting the keys of so many nodes.
    fn forget_departed(nodes: u32) -> Weight;
    /// Drawing a set from so many nodes that are offered.
    fn draw(offered: u32) -> Weight;
}
