//! What another member hands over: judged by what admitted it, not by when it arrives.
#![expect(clippy::wildcard_enum_match_arm, reason = "orders of one kind are sought among all")]

use crate::{Change, Order, Record, admission::judge_proofs, keep_order, verify_owner};
use skep_proto::storage::{
    Access, Action, Command, Method, Request, Scope, SubaccountToken,
    limits::{MAX_TTL_PRIVATE, MIN_TTL, STORE_TOLERANCE, max_ttl},
    signed,
};

/// Why a replica is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaRefusal {
    /// No deposit with such times was ever admitted.
    #[error("the replica's times are impossible")]
    Times,
    /// It has expired.
    #[error("the replica has expired")]
    Expired,
    /// Its owner has deleted it.
    #[error("the owner has deleted this message")]
    Deleted,
    /// Its signature or work does not verify.
    #[error("what should have admitted the replica does not verify")]
    Proof,
    /// Not an order that travels.
    #[error("the order is not one that members pass on")]
    Order,
}

/// Judges a message that another member hands over at `now` (ms). `orders` are those kept of its account.
pub fn admit_replica(record: &Record, orders: &[Order], now: u64) -> Result<(), ReplicaRefusal> {
    let deposit = record.deposit();
    let ttl = deposit.expiry.checked_sub(deposit.timestamp).ok_or(ReplicaRefusal::Times)?;
    let possible = (MIN_TTL..=max_ttl(deposit.namespace)).contains(&ttl)
        && deposit.timestamp <= now.saturating_add(STORE_TOLERANCE)
        && record.expiry() <= now.saturating_add(MAX_TTL_PRIVATE).saturating_add(STORE_TOLERANCE);
    if !possible {
        return Err(ReplicaRefusal::Times);
    }
    if record.expiry() <= now {
        return Err(ReplicaRefusal::Expired);
    }
    if orders.iter().filter_map(action_of).any(|action| deletes(&action, record)) {
        return Err(ReplicaRefusal::Deleted);
    }
    judge_proofs(record).map_err(|()| ReplicaRefusal::Proof)
}

/// What an order amounts to that another member hands over at `now` (ms), and the order to keep: for no longer than that
/// member does (`kept_until`), or members would keep handing it to each other for ever. `orders` are those kept of its
/// account.
pub fn admit_order(
    command: &Command,
    request: Vec<u8>,
    kept_until: u64,
    orders: &[Order],
    now: u64,
) -> Result<(Change, Order), ReplicaRefusal> {
    if kept_until <= now {
        return Err(ReplicaRefusal::Expired);
    }
    let change = replicated_change(command, orders, now)?;
    let order = keep_order(command, request, now).ok_or(ReplicaRefusal::Order)?;
    Ok((change, Order { expiry: kept_until.min(order.expiry), ..order }))
}

fn replicated_change(command: &Command, orders: &[Order], now: u64) -> Result<Change, ReplicaRefusal> {
    let Command { account, action, auth } = command;
    let (access, account) = (Access::DELETE, *account);
    let verified = |access| verify_owner(&account, auth, access, &signed::command(action)).is_ok();
    let latest = now.saturating_add(STORE_TOLERANCE);
    match action {
        Action::Delete { messages, .. } if verified(access) => {
            Ok(Change::Delete { account, messages: messages.clone() })
        }
        Action::DeleteAll { scope, timestamp } if verified(access) => {
            Ok(Change::DeleteSent { account, scope: *scope, until: (*timestamp).min(latest) })
        }
        Action::DeleteBefore { scope, before } if verified(access) => {
            Ok(Change::DeleteSent { account, scope: *scope, until: (*before).min(latest) })
        }
        Action::Revoke { tokens, timestamp } if auth.subaccount.is_none() && verified(Access::NONE) => {
            let tokens = without(tokens, *timestamp, orders, |action| match action {
                Action::Unrevoke { tokens, timestamp } => Some((tokens, *timestamp)),
                _ => None,
            });
            Ok(Change::Revoke { account, tokens, at: (*timestamp).min(latest) })
        }
        Action::Unrevoke { tokens, timestamp } if auth.subaccount.is_none() && verified(Access::NONE) => {
            let tokens = without(tokens, *timestamp, orders, |action| match action {
                Action::Revoke { tokens, timestamp } => Some((tokens, *timestamp)),
                _ => None,
            });
            Ok(Change::Unrevoke { account, tokens })
        }
        Action::Expire { .. } | Action::ExpireAll { .. } => Err(ReplicaRefusal::Order),
        Action::Delete { .. }
        | Action::DeleteAll { .. }
        | Action::DeleteBefore { .. }
        | Action::Revoke { .. }
        | Action::Unrevoke { .. } => Err(ReplicaRefusal::Proof),
    }
}

/// Tokens and when something was said of them.
type Word<'a> = (&'a Vec<SubaccountToken>, u64);

/// The tokens of which no kept order of the other kind (`opposite`) says otherwise after `then`.
fn without(
    tokens: &[SubaccountToken],
    then: u64,
    orders: &[Order],
    opposite: fn(&Action) -> Option<Word<'_>>,
) -> Vec<SubaccountToken> {
    let actions: Vec<_> = orders.iter().filter_map(action_of).collect();
    let later: Vec<_> = actions.iter().filter_map(opposite).filter(|(_, at)| *at > then).collect();
    tokens.iter().filter(|token| !later.iter().any(|(tokens, _)| tokens.contains(token))).copied().collect()
}

fn action_of(order: &Order) -> Option<Action> {
    match Request::parse(&order.request) {
        Ok(Request::Single(Method::Command(command))) => Some(command.action),
        Ok(_) | Err(_) => None,
    }
}

/// Whether `action`, given before a replica of `record` arrives, has deleted it.
fn deletes(action: &Action, record: &Record) -> bool {
    let deposit = record.deposit();
    let in_scope = |scope: &Scope| *scope == Scope::All || *scope == Scope::One(deposit.namespace);
    match action {
        Action::Delete { messages, .. } => messages.contains(&record.hash()),
        Action::DeleteAll { scope, timestamp: until } | Action::DeleteBefore { scope, before: until } => {
            in_scope(scope) && deposit.timestamp <= *until
        }
        Action::Expire { .. } | Action::ExpireAll { .. } | Action::Revoke { .. } | Action::Unrevoke { .. } => false,
    }
}

#[cfg(test)]
mod tests;
