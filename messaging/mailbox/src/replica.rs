//! What another member hands over: judged by what admitted it, not by when it arrives.
#![expect(clippy::wildcard_enum_match_arm, reason = "orders of one kind are sought among all")]

use crate::{
    Change, CommandRefusal, Order, Record, Store, StoreError,
    admission::judge_proofs,
    command::{give, judge_at},
    store::{STAMP_TOLERANCE, is_possible_stamp},
};
use skep_proto::storage::{
    Action, Command, Method, Request, SubaccountToken,
    limits::{MIN_TTL, max_ttl},
};
use std::collections::HashSet;

/// Why a replica is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaRefusal {
    /// No deposit with such times was ever admitted, or no order given then.
    #[error("the replica's times are impossible")]
    Times,
    /// It is an order that need no longer be kept.
    #[error("the replica has expired")]
    Expired,
    /// Its signature or work does not verify.
    #[error("what should have admitted the replica does not verify")]
    Proof,
}

/// Judges a message that another member hands over at `now` (ms): whether it was ever admitted. Whether its owner has
/// deleted it since, or it has expired, is for the store to say, which knows the orders.
pub fn admit_replica(record: Record, now: u64) -> Result<Record, ReplicaRefusal> {
    let deposit = record.deposit();
    let ttl = deposit.expiry.checked_sub(deposit.timestamp).ok_or(ReplicaRefusal::Times)?;
    let possible = (MIN_TTL..=max_ttl(deposit.namespace)).contains(&ttl) && is_possible_stamp(deposit.timestamp, now);
    if !possible {
        return Err(ReplicaRefusal::Times);
    }
    judge_proofs(&record, now).map_err(|()| ReplicaRefusal::Proof)?;
    Ok(record.handed_over())
}

/// What an order given at a time amounts to that another member hands over at `now` (ms), and the order to keep.
/// `kept` are those of [`token_orders`].
pub fn admit_order(
    command: &Command,
    request: Vec<u8>,
    at: u64,
    kept: &[Order],
    now: u64,
) -> Result<(Change, Order), ReplicaRefusal> {
    if !is_possible_stamp(at, now) {
        return Err(ReplicaRefusal::Times);
    }
    judge_at(command, at, STAMP_TOLERANCE, false).map_err(|refusal| match refusal {
        CommandRefusal::Signature(_) | CommandRefusal::ShortenWithoutDelete | CommandRefusal::TooMany => {
            ReplicaRefusal::Proof
        }
        CommandRefusal::Clock(_)
        | CommandRefusal::BeforeFuture
        | CommandRefusal::ExpiryPassed
        | CommandRefusal::LimitPassed => ReplicaRefusal::Times,
    })?;
    let (change, order) = give(command, request, at, kept).ok_or(ReplicaRefusal::Proof)?;
    if order.expiry() <= now {
        return Err(ReplicaRefusal::Expired);
    }
    Ok((change, order))
}

/// The orders kept of the account that may say otherwise of subaccounts than `command`: none if it is not about any.
pub fn token_orders(store: &dyn Store, command: &Command, now: u64) -> Result<Vec<Order>, StoreError> {
    match command.action {
        Action::Revoke { .. } | Action::Unrevoke { .. } => store.token_orders(&command.account, now),
        _ => Ok(Vec::new()),
    }
}

/// What is left of a change by what is `kept`. Of subaccounts, the later word counts, whichever is heard first; of two words
/// said at the same time, the one that revokes.
pub(crate) fn as_heard(command: &Command, change: Change, kept: &[Order]) -> Change {
    match (&command.action, change) {
        (Action::Revoke { timestamp, .. }, Change::Revoke { account, tokens, at, given }) => {
            let tokens = without(tokens, kept, |action| match action {
                Action::Unrevoke { tokens, timestamp: then } if then > timestamp => Some(tokens),
                _ => None,
            });
            Change::Revoke { account, tokens, at, given }
        }
        (Action::Unrevoke { timestamp, .. }, Change::Unrevoke { account, tokens }) => {
            let tokens = without(tokens, kept, |action| match action {
                Action::Revoke { tokens, timestamp: then } if then >= timestamp => Some(tokens),
                _ => None,
            });
            Change::Unrevoke { account, tokens }
        }
        (_, change) => change,
    }
}

/// The tokens of which no kept order says `otherwise`.
fn without(
    tokens: Vec<SubaccountToken>,
    kept: &[Order],
    otherwise: impl Fn(&Action) -> Option<&Vec<SubaccountToken>>,
) -> Vec<SubaccountToken> {
    let actions: Vec<_> = kept.iter().filter_map(action_of).collect();
    let others: HashSet<_> = actions.iter().filter_map(otherwise).flatten().collect();
    tokens.into_iter().filter(|token| !others.contains(token)).collect()
}

fn action_of(order: &Order) -> Option<Action> {
    command_of(&order.request).map(|command| command.action)
}

/// The command in an order's request.
pub fn command_of(request: &[u8]) -> Option<Command> {
    match Request::parse(request) {
        Ok(Request::Single(Method::Command(command))) => Some(command),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
