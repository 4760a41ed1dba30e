//! What the node decides, without touching socket, disk, clock or randomness: whose account is this, whom to pass a message
//! on to and what their answers amount to, what to tell clients.

mod answer;
mod base32z;
mod command;
mod directory;
mod placement;

pub use answer::{Body, Reply, SERVER_BUSY, refuse_command, refuse_retrieve, refuse_store, swarm_response};
pub use command::effect;
pub use directory::{Directory, list_nodes};
pub use placement::{Placement, Readiness, own_swarm, readiness};
