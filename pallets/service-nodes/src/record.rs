//! What the roster holds of one node.

use frame_support::{BoundedVec, traits::ConstU32};
pub use skep_primitives::HeldStake;
use skep_primitives::MAX_CONTRIBUTORS;

/// A registered node.
pub type NodeRecord = skep_primitives::NodeRecord<BoundedVec<HeldStake, ConstU32<MAX_CONTRIBUTORS>>>;
