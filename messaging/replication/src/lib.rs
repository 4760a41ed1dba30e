//! Members of a swarm keep the same: fan-out, set reconciliation and hand-over.
//!
//! ```text
//! a client's request --FanOut--> every member's signed word
//! what is kept --BringUp: Session (which names does it lack?) -> HandOver--> a member that lacks it
//!                            |                         |
//!                         answer()               judge() -> Work -> its store
//! what another swarm keeps now --BringUp, then Release: who confirms each name?--> let go of
//! Round: one node's turn with everybody who should have something
//! ```
//!
//! Two members compare their sets of names by range-based set reconciliation: who begins asks whether a range is the same at
//! the other, by its number of names and the sum of their ids, and goes into the parts that are not. What is exchanged and
//! what is computed grows with the difference, since a store keeps its sums ([`Store::tally`]). The one who begins learns what
//! the other lacks, and hands it over; as every member begins in its turn, their sets become equal. A node that holds what
//! belongs to another swarm does the same with the members of that swarm, and lets go of each thing once enough of them have
//! confirmed it by name.
//!
//! Pure: no socket, disk, clock or randomness; the store is passed in.
//!
//! # Security
//!
//! **Requires.** That the caller knows who the peer is, and bounds how often it asks.
//!
//! **Provides.** Messages of any content are answered or refused, at bounded cost and size. What is handed over is judged by
//! what admitted it. A lying peer can waste its own share of bandwidth (a budget for each member and round), learn names, and
//! keep from itself what it says to have.
//!
//! **Does not provide.** Protection from members that lie about what they have in concert: what a node lets go of is confirmed
//! by three of them. Sums can be forged by somebody who makes millions of messages for the purpose and has lying members store
//! them unequally; two members may then think a range equal until anything else in it changes.
//!
//! [`Store::tally`]: skep_mailbox::Store::tally

mod answer;
mod bring_up;
mod fan_out;
mod judge;
mod refusals;
mod release;
mod round;
mod session;
mod stretch;
mod wire;

pub use answer::answer;
pub use bring_up::{BringUp, Failure, Step};
pub use fan_out::{FanOut, read_done, read_stored, swarm_status};
pub use judge::{MAX_REPLICAS, NotTaken, Work, judge, status_of};
pub use release::Release;
pub use round::{Next, Round, Target};
pub use session::Session;
pub use stretch::{kept_by_swarm, stretches};
pub use wire::{CompareError, MAX_NAMES, MAX_QUESTIONS, VERSION};

/// Members of another swarm that must have a thing before a node lets go of it, of `members` it has in all.
pub fn enough(members: usize) -> usize {
    /// As many as a client counts for a message that is sent (design, "Acknowledged means kept").
    const CONFIRMATIONS: usize = 3;
    members.clamp(1, CONFIRMATIONS)
}
