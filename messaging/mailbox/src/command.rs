//! What an owner may order, and what that changes (`protocol.md` section 4).

use crate::{
    Change, Order, Origin,
    replica::{Word, as_heard},
    store::{MAX_NAMED, STAMP_TOLERANCE},
    verify_owner,
};
use skep_proto::storage::{
    Access, Action, Command, ExpiriesRequest, ExpiryMode, MessageHash, OwnerAuth, RevokedRequest, TimedAuth,
    limits::{BOUND_TOLERANCE, MAX_TTL_PRIVATE, SIGNATURE_TOLERANCE},
    signed,
};
use std::collections::HashSet;

/// Why an order is not carried out, or a question not answered. The text is what clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefusal {
    /// Signed too long ago or in the future.
    #[error("{0} timestamp too far from current time")]
    Clock(&'static str),
    /// Everything until a time that has not come.
    #[error("delete_before timestamp too far in the future")]
    BeforeFuture,
    /// To expire in the past.
    #[error("expire: timestamp should be >= current time")]
    ExpiryPassed,
    /// To expire in the past.
    #[error("expire_all timestamp should be >= current time")]
    LimitPassed,
    /// A subaccount that may not delete shortens lives.
    #[error("expire: shorten parameter cannot be used with this subaccount token (missing delete access)")]
    ShortenWithoutDelete,
    /// More messages than one order or question may name.
    #[error("messages has more than {MAX_NAMED} entries: send several requests")]
    TooMany,
    /// Not signed by the owner, nor by a subaccount with the right to do so.
    #[error("{0} signature verification failed")]
    Signature(&'static str),
}

/// Judges an order at `now` (ms); `is_revoked` tells of the subaccount that signs, if any. What it changes if it is given now.
pub fn judge_command(command: &Command, origin: Origin, now: u64, is_revoked: bool) -> Result<Change, CommandRefusal> {
    judge_at(command, now, origin.signature_tolerance(), is_revoked)
}

/// Judges an order that is given at a time (ms), give or take a tolerance.
pub(crate) fn judge_at(command: &Command, at: u64, tolerance: u64, is_revoked: bool) -> Result<Change, CommandRefusal> {
    let Command { account, action, auth } = command;
    let in_time = |timestamp| in_time(command.name(), timestamp, at, tolerance);
    let signed_by_owner = |name, access| {
        let verified = !is_revoked && verify_owner(account, auth, access, &signed::command(action)).is_ok();
        if verified { Ok(()) } else { Err(CommandRefusal::Signature(name)) }
    };
    if let Action::Delete { messages, .. } | Action::Expire { messages, .. } = action {
        may_name(messages)?;
    }
    match action {
        Action::Delete { .. } => signed_by_owner("delete_msgs", Access::DELETE)?,
        Action::DeleteAll { timestamp, .. } => {
            in_time(*timestamp)?;
            signed_by_owner(command.name(), Access::DELETE)?;
        }
        Action::DeleteBefore { before, .. } => {
            if *before > at.saturating_add(BOUND_TOLERANCE) {
                return Err(CommandRefusal::BeforeFuture);
            }
            signed_by_owner(command.name(), Access::DELETE)?;
        }
        Action::Expire { expiry, .. } => {
            let earliest = at.saturating_sub(BOUND_TOLERANCE.max(tolerance));
            if expiry.iter().any(|expiry| *expiry < earliest) {
                return Err(CommandRefusal::ExpiryPassed);
            }
            signed_by_owner("expire:", Access::WRITE)?;
        }
        Action::ExpireAll { expiry, .. } => {
            if *expiry < at.saturating_sub(tolerance) {
                return Err(CommandRefusal::LimitPassed);
            }
            signed_by_owner(command.name(), Access::DELETE)?;
        }
        Action::Revoke { .. } | Action::Unrevoke { .. } if auth.subaccount.is_some() => {
            return Err(CommandRefusal::Signature(command.name()));
        }
        Action::Revoke { timestamp, .. } | Action::Unrevoke { timestamp, .. } => {
            in_time(*timestamp)?;
            signed_by_owner(command.name(), Access::NONE)?;
        }
    }
    change_of(command, at).ok_or(CommandRefusal::ShortenWithoutDelete)
}

/// What a command changes if it is given at a time (ms), without judging it; `None` if a subaccount asks for what it may not.
pub(crate) fn change_of(command: &Command, at: u64) -> Option<Change> {
    let Command { account, action, auth } = command;
    let account = *account;
    Some(match action {
        Action::Delete { messages, .. } => Change::Delete { account, messages: messages.clone(), until: at },
        // Who hands it in again later reaches no further.
        Action::DeleteAll { scope, timestamp } => {
            Change::DeleteSent { account, scope: *scope, until: at.min(timestamp.saturating_add(STAMP_TOLERANCE)) }
        }
        // What is sent from now on is not meant, whatever time is named.
        Action::DeleteBefore { scope, before } => Change::DeleteSent { account, scope: *scope, until: at.min(*before) },
        Action::Expire { messages, expiry, mode } => {
            let latest = at.saturating_add(MAX_TTL_PRIVATE);
            let (messages, expiry) = each_once(messages, expiry);
            let expiry = expiry.into_iter().map(|expiry| expiry.min(latest)).collect();
            Change::SetExpiry { account, messages, expiry, mode: permitted(*mode, auth)?, at }
        }
        Action::ExpireAll { scope, expiry } => Change::LimitExpiry { account, scope: *scope, expiry: *expiry, at },
        Action::Revoke { tokens, timestamp } => {
            Change::Revoke { account, tokens: tokens.clone(), at: *timestamp, given: at }
        }
        Action::Unrevoke { tokens, .. } => Change::Unrevoke { account, tokens: tokens.clone() },
    })
}

/// Messages and when they are to expire (one time for all, or one each): of a message named twice, the last word counts.
fn each_once(messages: &[MessageHash], expiry: &[u64]) -> (Vec<MessageHash>, Vec<u64>) {
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = messages.iter().enumerate().rev().filter(|(_, hash)| seen.insert(**hash)).collect();
    kept.reverse();
    let each = expiry.len() > 1;
    let times = kept.iter().filter_map(|(number, _)| expiry.get(if each { *number } else { 0 }).copied());
    let times = if each { times.collect() } else { expiry.to_vec() };
    (kept.into_iter().map(|(_, hash)| *hash).collect(), times)
}

/// A subaccount that may not delete only lets lives be longer.
fn permitted(mode: ExpiryMode, auth: &OwnerAuth) -> Option<ExpiryMode> {
    let may_shorten = auth.subaccount.as_ref().is_none_or(|by| by.token.access().includes(Access::DELETE));
    match mode {
        _ if may_shorten => Some(mode),
        ExpiryMode::Shorten => None,
        ExpiryMode::Set | ExpiryMode::Extend => Some(ExpiryMode::Extend),
    }
}

fn may_name(messages: &[MessageHash]) -> Result<(), CommandRefusal> {
    if messages.len() > MAX_NAMED { Err(CommandRefusal::TooMany) } else { Ok(()) }
}

fn in_time(name: &'static str, timestamp: u64, now: u64, tolerance: u64) -> Result<(), CommandRefusal> {
    if timestamp.abs_diff(now) > tolerance { Err(CommandRefusal::Clock(name)) } else { Ok(()) }
}

/// What a command that has been judged changes if it is given at a time (ms), and the order to keep beside it, so that
/// members that miss it learn of it. `None` as [`judge_command`] would refuse it.
///
/// `at` is what the member that takes it from a client says ([`stamp`](crate::stamp)). `kept` is what the account's owner said of
/// subaccounts otherwise ([`words`](crate::words)): requests overtake each other, on the way here and between members.
pub fn give(command: &Command, request: Vec<u8>, at: u64, kept: &[Word]) -> Option<(Change, Order)> {
    let order = Order { account: command.account, signature: command.auth.signature, request, at };
    Some((as_heard(command, at, change_of(command, at)?, kept), order))
}

/// Judges a question about expiries at `now` (ms); `is_revoked` tells of the subaccount that signs, if any.
pub fn may_ask_expiries(request: &ExpiriesRequest, now: u64, is_revoked: bool) -> Result<(), CommandRefusal> {
    let ExpiriesRequest { account, messages, auth: TimedAuth { auth, timestamp } } = request;
    const NAME: &str = "get_expiries";
    may_name(messages)?;
    in_time(NAME, *timestamp, now, SIGNATURE_TOLERANCE)?;
    let message = signed::get_expiries(*timestamp, messages);
    if is_revoked || verify_owner(account, auth, Access::READ, &message).is_err() {
        return Err(CommandRefusal::Signature(NAME));
    }
    Ok(())
}

/// Judges a question about revoked subaccounts at `now` (ms).
pub fn may_ask_revoked(request: &RevokedRequest, now: u64) -> Result<(), CommandRefusal> {
    let RevokedRequest { account, auth: TimedAuth { auth, timestamp } } = request;
    const NAME: &str = "revoked_subaccounts";
    in_time(NAME, *timestamp, now, SIGNATURE_TOLERANCE)?;
    let message = signed::revoked_subaccounts(*timestamp);
    if auth.subaccount.is_some() || verify_owner(account, auth, Access::NONE, &message).is_err() {
        return Err(CommandRefusal::Signature(NAME));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
