//! Where records are kept.

use crate::{Allowance, Record};
use skep_proto::{
    account::AccountAddress,
    storage::{ExpiryMode, MessageHash, Namespace, RetrieveWindow, RetrievedMessage, Scope, SubaccountToken},
};
use std::fmt::Debug;

/// Keeps records until they expire. Times are Unix milliseconds.
///
/// Messages of one box are ordered by their arrival here. What has expired is never shown, whether or not
/// [`expire`](Self::expire) has removed it yet. What changes the store is called by one [`Writer`](crate::Writer), what only
/// reads it by anyone.
pub trait Store: Debug + Send + Sync + 'static {
    /// Takes records in this order, as far as the quotas allow. A record that is there already only has its expiry extended,
    /// and is proven from then on if it comes with work; one for a public outbox takes the place of all that is there. On an
    /// error nothing counts as taken.
    /// They are visible at once, but durable only after [`sync`](Self::sync).
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError>;

    /// Carries out an owner's order. Its effect is visible at once, but durable only after [`sync`](Self::sync).
    /// `order` is kept beside it, for members that miss it and for replicas that come late.
    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError>;

    /// Makes everything put and changed so far durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Reads from one box.
    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError>;

    /// When those of `messages` that are here expire.
    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError>;

    /// Subaccounts that are revoked, the newest revocation first; at most [`MAX_REVOCATIONS`](skep_proto::storage::limits::MAX_REVOCATIONS).
    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError>;

    /// Shows everything that other members should have too.
    fn visit(&self, now: u64, visit: &mut dyn FnMut(Item)) -> Result<(), StoreError>;

    /// What an item names, if it is still here.
    fn fetch(&self, item: &Item, now: u64) -> Result<Option<Fetched>, StoreError>;

    /// The orders kept of one account.
    fn orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError>;

    /// What is left for an account. The cost does not depend on how much is kept.
    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError>;

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
    /// The store, or the mailbox, has reached a quota. Nothing has changed.
    Full,
}

/// What an owner orders. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Remove messages, in whichever box they are.
    Delete {
        /// Whose.
        account: AccountAddress,
        /// Which.
        messages: Vec<MessageHash>,
    },
    /// Remove what was sent by a time.
    DeleteSent {
        /// Whose.
        account: AccountAddress,
        /// Where.
        scope: Scope,
        /// The time, included.
        until: u64,
    },
    /// Let messages expire at other times.
    SetExpiry {
        /// Whose.
        account: AccountAddress,
        /// Which.
        messages: Vec<MessageHash>,
        /// When: one time for all, or one each.
        expiry: Vec<u64>,
        /// Which changes are wanted.
        mode: ExpiryMode,
    },
    /// Let everything that would expire later expire at a time.
    LimitExpiry {
        /// Whose.
        account: AccountAddress,
        /// Where.
        scope: Scope,
        /// The time.
        expiry: u64,
    },
    /// Remove messages that are another swarm's now.
    Forget {
        /// Which, in which box of whose.
        messages: Vec<(AccountAddress, Namespace, MessageHash)>,
    },
    /// Remember subaccounts as revoked; the newest [`MAX_REVOCATIONS`](skep_proto::storage::limits::MAX_REVOCATIONS) are kept.
    Revoke {
        /// Whose.
        account: AccountAddress,
        /// Which.
        tokens: Vec<SubaccountToken>,
        /// When they were revoked.
        at: u64,
    },
    /// Forget that subaccounts were revoked.
    Unrevoke {
        /// Whose.
        account: AccountAddress,
        /// Which.
        tokens: Vec<SubaccountToken>,
    },
}

/// Most orders kept of one account.
pub(crate) const MAX_ORDERS: usize = 100;
/// Most bytes of them.
pub(crate) const MAX_ORDER_BYTES: usize = 4 * 1024 * 1024;

/// Which of the orders kept of one account make room for one of `size` bytes: those that end first.
pub(crate) fn outlived(mut known: Vec<Order>, size: usize) -> Vec<Order> {
    known.sort_unstable_by_key(|order| order.expiry);
    let mut bytes = known.iter().map(|order| order.request.len()).sum::<usize>();
    let mut left = known.len();
    let makes_room = |order: &Order| {
        let is_full = left >= MAX_ORDERS || bytes.saturating_add(size) > MAX_ORDER_BYTES;
        left -= 1;
        bytes -= order.request.len();
        is_full
    };
    let number = known.iter().map(makes_room).take_while(|is_full| *is_full).count();
    known.truncate(number);
    known
}

/// An owner's order, kept so that members that missed it learn of it and nothing it removed comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// The signature it carries, which names it.
    pub signature: [u8; 64],
    /// The request, in the storage RPC's JSON.
    pub request: Vec<u8>,
    /// Until when it is kept (ms): nothing it could remove lives longer.
    pub expiry: u64,
}

/// Something every member should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A message.
    Message {
        /// Whose.
        account: AccountAddress,
        /// In which box.
        namespace: Namespace,
        /// Which.
        hash: MessageHash,
    },
    /// An order.
    Order {
        /// Whose.
        account: AccountAddress,
        /// Which.
        signature: [u8; 64],
    },
}

impl Item {
    /// Whose it is.
    pub const fn account(&self) -> &AccountAddress {
        match self {
            Self::Message { account, .. } | Self::Order { account, .. } => account,
        }
    }
}

/// What an item names.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
pub enum Fetched {
    /// A message, with when it expires now.
    Message(Record),
    /// An order.
    Order(Order),
}

/// What an order changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The messages it was about.
    Messages(Vec<Touched>),
    /// How many revocations were added or removed.
    Tokens(u64),
    /// The store has reached its capacity.
    Full,
}

/// A message an order was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its box.
    pub namespace: Namespace,
    /// Which.
    pub hash: MessageHash,
    /// When it expires now, or would have.
    pub expiry: u64,
    /// The order changed it; else it was named but left as it is.
    pub changed: bool,
}

/// What one revocation counts towards the capacity.
pub(crate) const REVOCATION_BYTES: u64 = 77;

/// The expiry `change` asks of message `number` of those named.
pub(crate) fn nth_expiry(expiry: &[u64], number: usize) -> Option<u64> {
    match expiry {
        [one] => Some(*one),
        each => each.get(number).copied(),
    }
}

/// Whether `mode` lets a message that expires at `from` expire at `to`.
pub(crate) const fn is_wanted(mode: ExpiryMode, from: u64, to: u64) -> bool {
    match mode {
        ExpiryMode::Set => true,
        ExpiryMode::Extend => from < to,
        ExpiryMode::Shorten => from > to,
    }
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
    /// Their data in bytes, and what revocations take.
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
