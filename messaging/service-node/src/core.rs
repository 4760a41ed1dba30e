//! What the node decides, without touching socket, disk, clock or randomness: whose account is this, whom to pass a message
//! on to and what their answers amount to, what to tell clients.

mod answer;
mod base32z;
mod command;
mod demand;
mod directory;
mod listening;
mod placement;
mod spent;

pub use answer::{
    Body, FULL, NO_ROOM, Reply, SERVER_BUSY, refuse_command, refuse_delivery, refuse_listen, refuse_retrieve,
    refuse_store, swarm_response,
};
pub use command::effect;
pub use demand::Demand;
pub use directory::{Directory, list_nodes};
pub use listening::{DeliverRefusal, Heard, ListenRefusal, Listened, Listening, ListeningLimits, Ticket};
pub use placement::{Placement, Readiness, own_swarm, readiness};
pub use spent::Spent;
