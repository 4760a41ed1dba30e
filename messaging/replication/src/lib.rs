//! What members of a swarm lack of each other, and what a node holds that is another swarm's.
//!
//! ```text
//! everything kept --holdings()--> Holdings per swarm --Session::start--> frame -> peer
//!                                        ^                                  | answer()
//!                                        '---- Session::handle <--- frame --'  -> items the peer lacks
//! ```
//!
//! Two members compare their sets of items by range-based set reconciliation (negentropy, protocol version 1): what is
//! exchanged grows with the difference. The one who begins learns what the other lacks, and hands it over; as every member
//! begins in its turn, their sets become equal. A node that holds what belongs to another swarm compares with the members of
//! that swarm in the same way, and lets go of it once enough of them have it ([`enough`]).
//!
//! Pure: no socket, disk, clock or randomness.
//!
//! # Security
//!
//! **Requires.** That the caller knows who the peer is, bounds how often it asks, and judges what is handed over
//! (`skep_mailbox::admit_replica`).
//!
//! **Provides.** Frames of any content are answered or refused; a frame answered has at most [`MAX_FRAME`] bytes, and a
//! session ends after [`MAX_ROUNDS`]. A lying peer can waste its own share of bandwidth, and learn hashes of items it lacks.
//!
//! **Does not provide.** Cost proportional to the change on disk: a set is built from everything kept.

mod holdings;
mod session;

pub use holdings::{Holdings, ItemId, holdings};
pub use session::{FrameError, MAX_FRAME, MAX_ROUNDS, Next, Session, Step, answer};

/// Members of another swarm that must have everything before a node lets go of it, of `members` it has in all.
pub fn enough(members: usize) -> usize {
    /// As many as a client counts for a message that is sent (design, "Acknowledged means kept").
    const CONFIRMATIONS: usize = 3;
    members.clamp(1, CONFIRMATIONS)
}
