//! Where a client has its roster from.

use crate::ChainUrls;
use skep_primitives::Checkpoint;

/// The chain nodes to ask for the roster, and why to believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterSource {
    /// Whom to ask.
    pub urls: ChainUrls,
    /// Why to believe it.
    pub trust: Trust,
}

/// Why a roster is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is proven down to this block.
    Checkpoint(Box<Checkpoint>),
    /// The chain nodes asked are one's own; several are compared with each other.
    ChainNodes,
    /// It is proven down to the block that the release ships. None is shipped before the main network has begun, so that
    /// this is refused where a roster is needed.
    Release,
}

impl RosterSource {
    /// Chain nodes that are not believed.
    pub fn proven(urls: ChainUrls, checkpoint: Checkpoint) -> Self {
        Self { urls, trust: Trust::Checkpoint(Box::new(checkpoint)) }
    }

    /// One's own chain nodes, which are believed.
    pub const fn trusting(urls: ChainUrls) -> Self {
        Self { urls, trust: Trust::ChainNodes }
    }
}

impl From<ChainUrls> for RosterSource {
    fn from(urls: ChainUrls) -> Self {
        Self { urls, trust: Trust::Release }
    }
}
