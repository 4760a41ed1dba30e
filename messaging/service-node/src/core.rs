//! What the node decides, without touching socket, disk, clock or randomness: whose account is this, whom to pass a message
//! on to and what their answers amount to, what to tell clients.

mod answer;
mod base32z;
mod fan_out;
mod node_list;
mod placement;

pub use answer::{Body, Reply, SERVER_BUSY, refuse_retrieve, refuse_store, swarm_response};
pub use fan_out::{FanOut, PeerFailure};
pub use node_list::{Directory, node_list};
pub use placement::{Placement, Readiness, readiness};
