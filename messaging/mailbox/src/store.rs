//! Where records are kept.

use crate::Record;
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrieveWindow, RetrievedMessage},
};
use std::fmt::Debug;

/// Keeps records until they expire. Times are Unix milliseconds.
///
/// Messages of one box are ordered by their arrival here. What has expired is never shown, whether or not
/// [`expire`](Self::expire) has removed it yet. [`put`](Self::put), [`sync`](Self::sync) and [`expire`](Self::expire) are
/// called by one [`Writer`](crate::Writer); [`retrieve`](Self::retrieve) by anyone.
pub trait Store: Debug + Send + Sync + 'static {
    /// Takes records in this order, all or (on an error) none. A record that is there already only has its expiry extended.
    /// They are visible at once, but durable only after [`sync`](Self::sync).
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError>;

    /// Makes everything put so far durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Reads from one box.
    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError>;

    /// Removes at most `limit` expired records; the work done is proportional to what is removed.
    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError>;

    /// What is kept.
    fn usage(&self) -> Usage;
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept.
    Stored {
        /// Until when.
        expiry: u64,
        /// It was there before.
        already: bool,
    },
    /// The store has reached its capacity.
    Full,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// Only what arrived after this message; everything if it is not there (any more).
    pub after: Option<MessageHash>,
    /// How much at most.
    pub window: RetrieveWindow,
}

/// Messages in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages; at least one if there is any.
    pub messages: Vec<RetrievedMessage>,
    /// The window closed before the end.
    pub more: bool,
}

/// What one round of expiry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Records removed.
    pub removed: usize,
    /// Index entries looked at.
    pub examined: usize,
    /// There are more to remove.
    pub more: bool,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records, expired ones not yet removed included.
    pub messages: u64,
    /// Their data in bytes.
    pub bytes: u64,
}

/// The disk failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database reports an error.
    #[error("the message store failed to {doing}: {reason}. Check the disk and restart the node")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        reason: String,
    },
    /// Something the store wrote itself cannot be read.
    #[error("the message store is damaged: {0} cannot be read. Restore the data directory or start with an empty one")]
    Damaged(&'static str),
}
