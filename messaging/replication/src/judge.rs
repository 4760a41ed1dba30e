//! What a member makes of what another one hands over.

use skep_mailbox::{
    Change, Order, Put, Record, ReplicaRefusal, Store, StoreError, admit_order, admit_replica, command_of, words,
};
use skep_proto::{
    account::AccountAddress,
    peer::{self, replica::Item},
};

/// Most replicas in one request.
pub const MAX_REPLICAS: usize = 128;

/// What to do with one replica, step by step.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few are held at a time")]
pub enum Work {
    /// Keep a message.
    Put(Record),
    /// Do what an owner ordered, and keep the order.
    Change(Change, Order),
}

/// Why a replica is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It cannot be read.
    #[error("the replica cannot be read")]
    Malformed,
    /// Its mailbox is kept by another swarm.
    #[error("this account's mailbox is not kept here")]
    Elsewhere,
    /// What admitted it does not hold.
    #[error(transparent)]
    Refused(#[from] ReplicaRefusal),
    /// The own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotTaken {
    /// The status another member is told.
    pub const fn status(&self) -> u32 {
        match self {
            Self::Malformed | Self::Refused(ReplicaRefusal::Proof) => 400,
            Self::Refused(ReplicaRefusal::Times) => 406,
            Self::Refused(ReplicaRefusal::Expired) => 410,
            Self::Elsewhere => 421,
            Self::Store(_) => 503,
        }
    }
}

/// The status another member is told of a message that was judged and put. Only 200 says that it is here.
pub const fn status_of(put: &Put) -> u32 {
    match put {
        Put::Stored { .. } => 200,
        Put::Gone => 410,
        Put::Full => 507,
    }
}

/// Judges a replica at `now` (ms); `is_here` tells whose mailboxes are kept here. The steps are to be done in their order.
pub fn judge(
    store: &dyn Store,
    replica: peer::Replica,
    is_here: impl Fn(&AccountAddress) -> bool,
    now: u64,
) -> Result<Vec<Work>, NotTaken> {
    match replica.item.ok_or(NotTaken::Malformed)? {
        Item::Order(order) => Ok(vec![judge_order(store, &order, &is_here, now)?]),
        Item::Message(message) => {
            let record = Record::from_wire(message).map_err(|_| NotTaken::Malformed)?;
            if !is_here(&record.deposit().account) {
                return Err(NotTaken::Elsewhere);
            }
            let mut work = Vec::with_capacity(2);
            if let Some(extension) = &replica.extension {
                work.push(judge_order(store, extension, &is_here, now)?);
            }
            work.push(Work::Put(admit_replica(record, now)?));
            Ok(work)
        }
    }
}

fn judge_order(
    store: &dyn Store,
    wire: &peer::Command,
    is_here: impl Fn(&AccountAddress) -> bool,
    now: u64,
) -> Result<Work, NotTaken> {
    let command = command_of(&wire.request).ok_or(NotTaken::Malformed)?;
    if !is_here(&command.account) {
        return Err(NotTaken::Elsewhere);
    }
    let kept = words(store, &command, now)?;
    let (change, order) = admit_order(&command, wire.request.to_vec(), wire.at, &kept, now)?;
    Ok(Work::Change(change, order))
}
