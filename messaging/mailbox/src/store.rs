//! Where records are kept.

use crate::{Allowance, ItemName, NameRange, Quotas, Record, Tally};
use skep_proto::{
    account::AccountAddress,
    storage::{
        ExpiryMode, MessageHash, Namespace, RetrieveWindow, RetrievedMessage, Scope, SubaccountToken,
        limits::{MAX_TTL_PRIVATE, SIGNATURE_TOLERANCE_FORWARDED, STORE_TOLERANCE},
    },
};
use std::fmt::Debug;

/// Keeps records until they expire. Times are Unix milliseconds.
///
/// Messages of one box are ordered by their arrival here. What has expired is never shown, whether or not
/// [`expire`](Self::expire) has removed it yet. What changes the store is called by one [`Writer`](crate::Writer), what only
/// reads it by anyone.
pub trait Store: Debug + Send + Sync + 'static {
    /// Takes records in this order, as far as the quotas allow. Of two deposits of one message the one that lasts longer is
    /// kept, of two that last equally long the one that was paid for, then the later one; its place among arrivals stays. A
    /// record for a public outbox takes the place of all that is there, unless another member hands it over and what is there
    /// is newer. Every record is held against the orders kept, whoever brings it. On an error nothing counts as taken.
    /// What is kept is shown to readers, and durable, only after [`sync`](Self::sync).
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError>;

    /// Carries out an owner's order. Its effect is visible at once, but for longer lives, and durable only after
    /// [`sync`](Self::sync).
    /// `order` is kept beside it, for members that miss it and for replicas that come late. Where there is no room for orders, the
    /// oldest of the account with most of them makes room, if it is older than this one (decision 54); else the answer is
    /// [`Changed::Unkept`]: the order has been carried out. What is kept has always been carried out: nothing is
    /// refused for want of room, and where there is none for a revocation, the other account with most of them loses its
    /// oldest (decision 57).
    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError>;

    /// Carries out a part of an order about a whole scope, so that nobody waits for all of it: `change` does what is left, and
    /// keeps the order. Goes on at `from`, where the part before has ended. A store that is quick enough leaves it all to `change`.
    fn change_part(&self, _change: &Change, _from: Option<Vec<u8>>, _now: u64) -> Result<Part, StoreError> {
        Ok(Part::default())
    }

    /// Makes everything put and changed so far durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// Reads from one box what has been synced: what a crash could take back and bring again elsewhere would be shown twice.
    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError>;

    /// One message that has been synced, by the hash it is kept under.
    fn message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError>;

    /// When those of `messages` that are here expire. Like all that readers are told of an expiry, it holds whatever a crash
    /// takes back.
    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError>;

    /// Subaccounts that are revoked, the newest revocation first; at most
    /// [`MAX_REVOCATIONS`](skep_proto::storage::limits::MAX_REVOCATIONS).
    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError>;

    /// The newest timestamp among the messages a change is about, if there are any (ms).
    fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError>;

    /// Counts what other members should have too, by its names. The work does not grow with what is kept.
    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError>;

    /// The first `limit` names of a range, in order.
    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError>;

    /// Where to cut a range into at most `parts` parts of about as many names each. In order, all inside; none only if there
    /// is at most one name.
    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError>;

    /// Whether something of this name is here and has been synced: others let go of what they have on this word.
    fn has(&self, name: &ItemName) -> Result<bool, StoreError>;

    /// What a name stands for, if it is still here.
    fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError>;

    /// The orders kept of one account that are about subaccounts.
    fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError>;

    /// What is left for an account. The cost does not depend on how much is kept.
    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError>;

    /// Removes at most `limit` expired records; the work done is proportional to what is removed.
    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError>;

    /// What is kept.
    fn usage(&self) -> Usage;

    /// Changes how much is kept at most. What is there already stays.
    fn set_quotas(&self, quotas: Quotas);
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
    /// Its owner has deleted it, or let it expire, or an outbox holds something newer.
    Gone,
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
        /// Sent by this time.
        until: u64,
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
        /// When this was ordered.
        at: u64,
    },
    /// Let everything that would expire later expire at a time.
    LimitExpiry {
        /// Whose.
        account: AccountAddress,
        /// Where.
        scope: Scope,
        /// The time.
        expiry: u64,
        /// When this was ordered.
        at: u64,
    },
    /// Remove what is another swarm's now.
    Forget {
        /// Which messages and orders.
        names: Vec<ItemName>,
    },
    /// Remember subaccounts as revoked; the newest [`MAX_REVOCATIONS`](skep_proto::storage::limits::MAX_REVOCATIONS) are kept.
    Revoke {
        /// Whose.
        account: AccountAddress,
        /// Which.
        tokens: Vec<SubaccountToken>,
        /// When they were revoked, as the owner signed it.
        at: u64,
        /// When a member was told so, which orders those of one moment.
        given: u64,
    },
    /// Forget that subaccounts were revoked.
    Unrevoke {
        /// Whose.
        account: AccountAddress,
        /// Which.
        tokens: Vec<SubaccountToken>,
    },
}

impl Change {
    /// Whether it is about all there is in some scope, however much that is.
    pub(crate) const fn is_scoped(&self) -> bool {
        matches!(self, Self::DeleteSent { .. } | Self::LimitExpiry { .. })
    }

    /// How much work it is, in messages put.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Delete { messages, .. } | Self::SetExpiry { messages, .. } => messages.len().max(1),
            Self::Forget { names } => names.len().max(1),
            // Done part by part.
            Self::DeleteSent { .. } | Self::LimitExpiry { .. } | Self::Revoke { .. } | Self::Unrevoke { .. } => 1,
        }
    }
}

/// How far ahead of a member's clock the stamp of an order may be: the clock of the member that stamped it, or a message's
/// timestamp it had taken.
pub(crate) const STAMP_TOLERANCE: u64 = SIGNATURE_TOLERANCE_FORWARDED + STORE_TOLERANCE;

/// Whether a member can have stamped something so (ms), as the clock says here.
pub(crate) const fn is_possible_stamp(at: u64, now: u64) -> bool {
    at <= now.saturating_add(STAMP_TOLERANCE)
}

/// When an order was given (ms) that another member of the swarm passes on with this stamp: who does not tell (zero) gives
/// it now.
/// `None` if no member can have stamped it so.
pub fn given_at(stamp: u64, now: u64) -> Option<u64> {
    match stamp {
        0 => Some(now),
        _ => is_possible_stamp(stamp, now).then_some(stamp),
    }
}

/// Most messages one order, or question about expiries, may name: looking each up keeps the disk from everybody else.
pub const MAX_NAMED: usize = 1_000;
/// Most orders kept of one account.
pub(crate) const MAX_ORDERS: u64 = 4_000;
/// Most bytes of them.
pub(crate) const MAX_ORDER_BYTES: u64 = 4 * 1024 * 1024;

/// An owner's order, kept so that members that missed it learn of it and nothing it removed comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// The signature it carries, which names it.
    pub signature: [u8; 64],
    /// The request, in the storage RPC's JSON.
    pub request: Vec<u8>,
    /// When it was given (ms), as the member says that took it from a client.
    pub at: u64,
}

impl Order {
    /// Bytes it counts towards the capacity for orders ([`Quotas::orders`]).
    pub const fn charged(&self) -> u64 {
        charged_for_orders(1, self.request.len() as u64)
    }

    /// Until when it is kept (ms): nothing it is about lives longer.
    pub const fn expiry(&self) -> u64 {
        self.at.saturating_add(MAX_TTL_PRIVATE)
    }

    /// Its name among members.
    pub fn name(&self) -> ItemName {
        ItemName::order(&self.account, &self.signature, self.at)
    }
}

/// What so many orders with so many bytes of requests count. A message that is named takes 46 bytes in a request, and three
/// times as much in the index of what was said of it.
pub(crate) const fn charged_for_orders(number: u64, bytes: u64) -> u64 {
    number.saturating_mul(RECORD_BYTES).saturating_add(bytes.saturating_mul(4))
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
pub enum Fetched {
    /// A message.
    Message {
        /// As it was deposited.
        record: Record,
        /// The order by which it outlives its deposit, if it does.
        extension: Option<Order>,
    },
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
    /// This, but there is no room to keep the order.
    Unkept(Box<Self>),
}

impl Changed {
    /// With what parts done before have touched.
    pub(crate) fn after(self, mut touched: Vec<Touched>) -> Self {
        match self {
            Self::Messages(last) => {
                touched.extend(last);
                Self::Messages(touched)
            }
            Self::Unkept(changed) => Self::Unkept(Box::new(changed.after(touched))),
            Self::Tokens(_) => self,
        }
    }
}

/// Most messages changed in one part of an order about a whole scope, and by all such orders before what others ask for comes
/// first again: some milliseconds.
pub(crate) const PART_CHANGED: usize = 512;
/// Most messages looked at in one, and likewise by all.
pub(crate) const PART_READ: usize = 8_192;

/// A part of what an order about a whole scope changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The messages it was about.
    pub touched: Vec<Touched>,
    /// How many messages were looked at.
    pub read: usize,
    /// Where the next part goes on, in the store's own terms; `None` if this was the last.
    pub next: Option<Vec<u8>>,
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

/// What one revocation counts towards the room for them: its entry, and its share of the index.
pub(crate) const REVOCATION_BYTES: u64 = 128;

/// When readers are told that a message expires that is here at `now`: a longer life that has not been synced is not
/// promised yet.
pub(crate) fn told_expiry(expiry: u64, before: Option<u64>, now: u64) -> u64 {
    before.map_or(expiry, |before| expiry.min(before.max(now.saturating_add(1))))
}

/// How many revocations are displaced before `grown` more make `number` of them, of which there may be `most`. Where the
/// room has shrunk it is made bit by bit: nobody waits for all of it.
pub(crate) fn most_displaced(number: u64, grown: u64, most: u64) -> u64 {
    number.saturating_sub(most).min(grown.saturating_mul(2))
}

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
    /// Their data in bytes.
    pub bytes: u64,
}

impl Usage {
    /// Bytes it counts towards a capacity: what is kept of an empty message takes room, too.
    pub const fn charged(&self) -> u64 {
        self.bytes.saturating_add(self.messages.saturating_mul(RECORD_BYTES))
    }

    /// One message more.
    pub(crate) const fn enter(&mut self, size: u64) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
    }

    /// One message less.
    pub(crate) const fn leave(&mut self, size: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// What a message takes on disk besides its data, about: its entry, its name, its place in the indexes, and what admitted it.
pub const RECORD_BYTES: u64 = 512;

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
