//! The mailbox of a service node: what may be stored and read (TTL, clock, namespaces, signatures, proof of work), and
//! where it is kept.
//!
//! ```text
//! StoreRequest --Terms, Entrant--> Record --Writer (one thread, one sync for many)--> Store --> the answer
//! Command ------judge_command()-----> Change --Writer-----------------------> Store --> the answer
//! RetrieveRequest --may_retrieve()--> Query ---------------------------------> Store --> Page
//! ```
//!
//! The rules are pure: time and the chain's recent blocks come in as parameters. A [`Store`] keeps records; the one in
//! memory and the one on RocksDB pass one shared suite. [`Writer`] answers only after the store has synced.
//!
//! # Security
//!
//! **Requires.** A clock within the protocol's tolerances, and a caller that bounds request sizes, rates and the number of
//! concurrent reads.
//!
//! **Provides.** Only the owner writes where the namespace says so and only the owner reads, proven by Ed25519 signatures
//! checked strictly (no small-order keys, no second encodings). Every record keeps what admitted it (work or signature), so
//! that other members can check it again. Quotas bound what one mailbox and all of them hold; mail nobody paid for has a
//! bucket of its own and takes no room from the rest; nothing kept is removed to make room. What was acknowledged survives a
//! crash of the process and of the machine, as far as the disk honours a sync.
//!
//! **Does not provide.** Protection against replays of a signed request within its minute: reading twice shows nothing new
//! and storing twice only extends.

mod admission;
mod command;
mod demand;
mod deposits;
mod entrance;
mod memory;
mod name;
mod owner;
mod quota;
mod record;
mod replica;
#[cfg(feature = "rocksdb")]
mod rocks;
mod ruling;
mod spent;
mod store;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;
mod work;
mod writer;

use admission::{Admission, Weighed, authorize, weigh};
pub use admission::{Origin, RetrieveRefusal, StoreRefusal, may_monitor, may_retrieve};
pub use command::{CommandRefusal, give, judge_command, may_ask_expiries, may_ask_revoked};
pub use demand::Demand;
pub use entrance::{Entrant, Terms};
pub use memory::MemoryStore;
pub use name::{ItemName, NameRange, Tally};
pub use owner::{OwnerError, verify_owner};
pub use quota::{Allowance, Quota, Quotas, Standing, Tallies};
pub use record::{ReadRecordError, Record};
pub use replica::{ReplicaRefusal, SAME_MOMENT, Word, admit_order, admit_replica, command_of, stamp, words};
#[cfg(feature = "rocksdb")]
pub use rocks::{Contents, Fault, FaultKind, OpenError, Recount, RocksStore, database_options};
pub use spent::Spent;
pub use store::{
    Change, Changed, Expired, Fetched, MAX_NAMED, Order, Page, Part, Put, Query, RECORD_BYTES, Store, StoreError,
    Touched, Usage, given_at,
};
pub use work::WorkRefusal;
pub use writer::{Lane, WriteError, Writer};
