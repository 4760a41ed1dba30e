//! What an owner may order, and what that changes (`protocol.md` section 4).

use crate::{Change, Order, Origin, verify_owner};
use skep_proto::storage::{
    Access, Action, Command, ExpiriesRequest, ExpiryMode, RevokedRequest, TimedAuth,
    limits::{BOUND_TOLERANCE, MAX_TTL_PRIVATE, SIGNATURE_TOLERANCE},
    signed,
};

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
    /// Not signed by the owner, nor by a subaccount with the right to do so.
    #[error("{0} signature verification failed")]
    Signature(&'static str),
}

/// Judges an order at `now` (ms); `is_revoked` tells of the subaccount that signs, if any.
pub fn judge_command(command: &Command, origin: Origin, now: u64, is_revoked: bool) -> Result<Change, CommandRefusal> {
    let Command { account, action, auth } = command;
    let tolerance = origin.signature_tolerance();
    let in_time = |timestamp| in_time(command.name(), timestamp, now, tolerance);
    let signed_by_owner = |name, access| {
        let verified = !is_revoked && verify_owner(account, auth, access, &signed::command(action)).is_ok();
        if verified { Ok(()) } else { Err(CommandRefusal::Signature(name)) }
    };
    let account = *account;
    match action {
        Action::Delete { messages, .. } => {
            signed_by_owner("delete_msgs", Access::DELETE)?;
            Ok(Change::Delete { account, messages: messages.clone() })
        }
        Action::DeleteAll { scope, timestamp } => {
            in_time(*timestamp)?;
            signed_by_owner(command.name(), Access::DELETE)?;
            Ok(Change::DeleteSent { account, scope: *scope, until: u64::MAX })
        }
        Action::DeleteBefore { scope, before } => {
            if *before > now.saturating_add(BOUND_TOLERANCE) {
                return Err(CommandRefusal::BeforeFuture);
            }
            signed_by_owner(command.name(), Access::DELETE)?;
            Ok(Change::DeleteSent { account, scope: *scope, until: *before })
        }
        Action::Expire { messages, expiry, mode } => {
            let latest = now.saturating_add(MAX_TTL_PRIVATE);
            if expiry.iter().any(|expiry| *expiry < now.saturating_sub(BOUND_TOLERANCE)) {
                return Err(CommandRefusal::ExpiryPassed);
            }
            signed_by_owner("expire:", Access::WRITE)?;
            let may_shorten = auth.subaccount.as_ref().is_none_or(|by| by.token.access().includes(Access::DELETE));
            let mode = match mode {
                ExpiryMode::Shorten if !may_shorten => return Err(CommandRefusal::ShortenWithoutDelete),
                ExpiryMode::Set if !may_shorten => ExpiryMode::Extend,
                ExpiryMode::Set | ExpiryMode::Extend | ExpiryMode::Shorten => *mode,
            };
            let expiry = expiry.iter().map(|expiry| *expiry.min(&latest)).collect();
            Ok(Change::SetExpiry { account, messages: messages.clone(), expiry, mode })
        }
        Action::ExpireAll { scope, expiry } => {
            if *expiry < now.saturating_sub(tolerance) {
                return Err(CommandRefusal::LimitPassed);
            }
            signed_by_owner(command.name(), Access::DELETE)?;
            Ok(Change::LimitExpiry { account, scope: *scope, expiry: *expiry })
        }
        Action::Revoke { .. } | Action::Unrevoke { .. } if auth.subaccount.is_some() => {
            Err(CommandRefusal::Signature(command.name()))
        }
        Action::Revoke { tokens, timestamp } => {
            in_time(*timestamp)?;
            signed_by_owner(command.name(), Access::NONE)?;
            Ok(Change::Revoke { account, tokens: tokens.clone(), at: *timestamp })
        }
        Action::Unrevoke { tokens, timestamp } => {
            in_time(*timestamp)?;
            signed_by_owner(command.name(), Access::NONE)?;
            Ok(Change::Unrevoke { account, tokens: tokens.clone() })
        }
    }
}

fn in_time(name: &'static str, timestamp: u64, now: u64, tolerance: u64) -> Result<(), CommandRefusal> {
    if timestamp.abs_diff(now) > tolerance { Err(CommandRefusal::Clock(name)) } else { Ok(()) }
}

/// The order to keep beside what it changed at `now` (ms), if members that missed it must learn of it.
pub fn keep_order(command: &Command, request: Vec<u8>, now: u64) -> Option<Order> {
    match command.action {
        Action::Delete { .. }
        | Action::DeleteAll { .. }
        | Action::DeleteBefore { .. }
        | Action::Revoke { .. }
        | Action::Unrevoke { .. } => Some(Order {
            account: command.account,
            signature: command.auth.signature,
            request,
            expiry: now.saturating_add(MAX_TTL_PRIVATE),
        }),
        // They name no time at which they were given, so members could not tell which of two came last (decision 9).
        Action::Expire { .. } | Action::ExpireAll { .. } => None,
    }
}

/// Judges a question about expiries at `now` (ms); `is_revoked` tells of the subaccount that signs, if any.
pub fn may_ask_expiries(request: &ExpiriesRequest, now: u64, is_revoked: bool) -> Result<(), CommandRefusal> {
    let ExpiriesRequest { account, messages, auth: TimedAuth { auth, timestamp } } = request;
    const NAME: &str = "get_expiries";
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
