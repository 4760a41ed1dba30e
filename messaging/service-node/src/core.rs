//! What the node decides, without touching socket, disk, clock or randomness: whose account is this, whom to pass a message
//! on to and what their answers amount to, what to tell clients.

mod answer;
mod audit;
mod base32z;
mod command;
mod directory;
mod doctor;
mod listening;
mod placement;
mod votes;

pub use answer::{
    Body, FULL, NO_ROOM, Reply, SERVER_BUSY, TOO_LARGE, refuse_command, refuse_delivery, refuse_listen,
    refuse_retrieve, refuse_store, swarm_response,
};
pub use audit::{NONCE_LEN, proof, read_audit, read_report, write_report};
pub use command::effect;
pub use directory::{Directory, list_nodes};
pub use doctor::{Answering, Check, Diagnosis, Facts, Level, PeerView, Probed};
pub use listening::{DeliverRefusal, Heard, ListenRefusal, Listened, Listening, ListeningLimits, Ticket};
pub use placement::{Placement, Readiness, own_swarm, readiness};
pub use votes::{ReadVotesError, read_held, read_votes, write_held, write_votes};
