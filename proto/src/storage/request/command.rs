//! Commands: what an owner orders every member of its swarm to do with its mailbox, and questions about it.

use super::{
    OwnerAuth, ParamsError, TimedAuth,
    auth::signed_account,
    fields::{flag, messages, scope, single_expiry, timestamp, timestamps, tokens},
};
use crate::{
    account::AccountAddress,
    storage::{
        MessageHash, Namespace, Scope, SubaccountToken,
        limits::{MAX_REVOCATIONS, MAX_UNREVOKED},
        loose::{LooseParams, Scalar},
    },
};
use serde::{Serialize, Serializer, ser::SerializeMap};

pub(super) const DELETE: &str = "delete";
pub(super) const DELETE_ALL: &str = "delete_all";
pub(super) const DELETE_BEFORE: &str = "delete_before";
pub(super) const EXPIRE: &str = "expire";
pub(super) const EXPIRE_ALL: &str = "expire_all";
pub(super) const REVOKE: &str = "revoke_subaccount";
pub(super) const UNREVOKE: &str = "unrevoke_subaccount";

/// An owner's order. The signature is over [`signed::command`](crate::storage::signed::command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// What to do.
    pub action: Action,
    /// Who orders it.
    pub auth: OwnerAuth,
}

/// What to do with a mailbox. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete messages.
    Delete {
        /// Which; at least one.
        messages: Vec<MessageHash>,
        /// The answer is 404 if no member had any of them.
        required: bool,
    },
    /// Delete everything.
    DeleteAll {
        /// Where.
        scope: Scope,
        /// When it was signed.
        timestamp: u64,
    },
    /// Delete what was sent by a time.
    DeleteBefore {
        /// Where.
        scope: Scope,
        /// The time, included.
        before: u64,
    },
    /// Let messages expire at other times.
    Expire {
        /// Which; at least one.
        messages: Vec<MessageHash>,
        /// When: one time for all, or one each.
        expiry: Vec<u64>,
        /// Which changes are wanted.
        mode: ExpiryMode,
    },
    /// Let everything expire by a time.
    ExpireAll {
        /// Where.
        scope: Scope,
        /// The time; what expires before it is left as it is.
        expiry: u64,
    },
    /// Let subaccounts act no longer.
    Revoke {
        /// Which.
        tokens: Vec<SubaccountToken>,
        /// When it was signed.
        timestamp: u64,
    },
    /// Let revoked subaccounts act again.
    Unrevoke {
        /// Which.
        tokens: Vec<SubaccountToken>,
        /// When it was signed.
        timestamp: u64,
    },
}

/// Which changes of expiry are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryMode {
    /// All.
    Set,
    /// Only to later times.
    Extend,
    /// Only to earlier times.
    Shorten,
}

impl ExpiryMode {
    /// The mode inside signed strings, and as the name of its flag.
    pub const fn signed_form(self) -> &'static str {
        match self {
            Self::Set => "",
            Self::Extend => "extend",
            Self::Shorten => "shorten",
        }
    }
}

/// Ask when messages expire. The signature is over [`signed::get_expiries`](crate::storage::signed::get_expiries).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiriesRequest {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which messages; at least one.
    pub messages: Vec<MessageHash>,
    /// Who asks.
    pub auth: TimedAuth,
}

/// Ask which subaccounts are revoked (a Skep extension). The signature is over
/// [`signed::revoked_subaccounts`](crate::storage::signed::revoked_subaccounts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedRequest {
    /// Whose.
    pub account: AccountAddress,
    /// The owner; no subaccount may ask.
    pub auth: TimedAuth,
}

impl Command {
    /// The method's name.
    pub const fn name(&self) -> &'static str {
        match self.action {
            Action::Delete { .. } => DELETE,
            Action::DeleteAll { .. } => DELETE_ALL,
            Action::DeleteBefore { .. } => DELETE_BEFORE,
            Action::Expire { .. } => EXPIRE,
            Action::ExpireAll { .. } => EXPIRE_ALL,
            Action::Revoke { .. } => REVOKE,
            Action::Unrevoke { .. } => UNREVOKE,
        }
    }

    /// `None` if there is no such command.
    pub(super) fn from_params<R>(name: &str, params: &LooseParams<'_, R>) -> Option<Result<Self, ParamsError>> {
        let read: fn(&LooseParams<'_, R>) -> Result<Action, ParamsError> = match name {
            DELETE => |params| {
                let required = flag("required", &params.required)?;
                Ok(Action::Delete { messages: messages(params)?, required })
            },
            DELETE_ALL => |params| {
                let timestamp = required("timestamp", &params.timestamp)?;
                Ok(Action::DeleteAll { scope: scope(&params.namespace)?, timestamp })
            },
            DELETE_BEFORE => |params| {
                let before = required("before", &params.before)?;
                Ok(Action::DeleteBefore { scope: scope(&params.namespace)?, before })
            },
            EXPIRE => expire,
            EXPIRE_ALL => |params| {
                let expiry = single_expiry(params)?.ok_or(ParamsError::Missing("expiry"))?;
                Ok(Action::ExpireAll { scope: scope(&params.namespace)?, expiry })
            },
            REVOKE => |params| {
                let tokens = tokens("revoke", &params.revoke)?;
                if tokens.len() > MAX_REVOCATIONS {
                    return Err(ParamsError::TooManyTokens);
                }
                Ok(Action::Revoke { tokens, timestamp: required("timestamp", &params.timestamp)? })
            },
            UNREVOKE => |params| {
                let timestamp = required("timestamp", &params.timestamp)?;
                let tokens = tokens("unrevoke", &params.unrevoke)?;
                if tokens.len() > MAX_UNREVOKED {
                    return Err(ParamsError::TooManyUnrevoked);
                }
                Ok(Action::Unrevoke { tokens, timestamp })
            },
            _ => return None,
        };
        let may_delegate = !matches!(name, REVOKE | UNREVOKE);
        Some(signed_account(params, may_delegate).and_then(|(account, auth)| {
            let action = read(params)?;
            Ok(Self { account, action, auth })
        }))
    }
}

/// A time that must be given.
fn required(field: &'static str, value: &Scalar<'_>) -> Result<u64, ParamsError> {
    timestamp(field, value)?.ok_or(ParamsError::Missing(field))
}

fn expire<R>(params: &LooseParams<'_, R>) -> Result<Action, ParamsError> {
    let expiry = timestamps("expiry", &params.expiry)?.ok_or(ParamsError::Missing("expiry"))?;
    if expiry.is_empty() {
        return Err(ParamsError::NoExpiries);
    }
    let mode = match (flag("shorten", &params.shorten)?, flag("extend", &params.extend)?) {
        (true, true) => return Err(ParamsError::ShortenAndExtend),
        (true, false) => ExpiryMode::Shorten,
        (false, true) => ExpiryMode::Extend,
        (false, false) => ExpiryMode::Set,
    };
    let messages = messages(params)?;
    if expiry.len() > 1 && expiry.len() != messages.len() {
        return Err(ParamsError::ExpiryCount);
    }
    Ok(Action::Expire { messages, expiry, mode })
}

impl ExpiriesRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let (account, auth) = signed_account(params, true)?;
        let timestamp = required("timestamp", &params.timestamp)?;
        Ok(Self { account, messages: messages(params)?, auth: TimedAuth { auth, timestamp } })
    }
}

impl RevokedRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let (account, auth) = signed_account(params, false)?;
        let timestamp = required("timestamp", &params.timestamp)?;
        Ok(Self { account, auth: TimedAuth { auth, timestamp } })
    }
}

/// Writes a scope as requests name it; the default namespace is left out.
fn write_scope<M: SerializeMap>(map: &mut M, scope: Scope) -> Result<(), M::Error> {
    match scope {
        Scope::One(Namespace::DEFAULT) => Ok(()),
        Scope::One(namespace) => map.serialize_entry("namespace", &namespace.0),
        Scope::All => map.serialize_entry("namespace", Scope::ALL),
    }
}

/// Serializes to the parameters.
impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        match &self.action {
            Action::Delete { messages, required } => {
                map.serialize_entry("messages", messages)?;
                if *required {
                    map.serialize_entry("required", required)?;
                }
            }
            Action::DeleteAll { scope, timestamp } => {
                write_scope(&mut map, *scope)?;
                map.serialize_entry("timestamp", timestamp)?;
            }
            Action::DeleteBefore { scope, before } => {
                write_scope(&mut map, *scope)?;
                map.serialize_entry("before", before)?;
            }
            Action::Expire { messages, expiry, mode } => {
                map.serialize_entry("messages", messages)?;
                map.serialize_entry("expiry", expiry)?;
                if *mode != ExpiryMode::Set {
                    map.serialize_entry(mode.signed_form(), &true)?;
                }
            }
            Action::ExpireAll { scope, expiry } => {
                write_scope(&mut map, *scope)?;
                map.serialize_entry("expiry", expiry)?;
            }
            Action::Revoke { tokens, timestamp } => {
                map.serialize_entry("revoke", tokens)?;
                map.serialize_entry("timestamp", timestamp)?;
            }
            Action::Unrevoke { tokens, timestamp } => {
                map.serialize_entry("unrevoke", tokens)?;
                map.serialize_entry("timestamp", timestamp)?;
            }
        }
        self.auth.serialize_into(&mut map)?;
        map.end()
    }
}

impl Serialize for ExpiriesRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        map.serialize_entry("messages", &self.messages)?;
        self.auth.serialize_into(&mut map, "timestamp")?;
        map.end()
    }
}

impl Serialize for RevokedRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        self.auth.serialize_into(&mut map, "timestamp")?;
        map.end()
    }
}
