//! Storing and reading messages.
#![expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]

use super::{
    OwnerAuth, ParamsError, TimedAuth,
    fields::{account, in_milliseconds, integer, namespace, single_expiry, stringified, text, timestamp},
};
use crate::{
    account::AccountAddress,
    peer::Work,
    storage::{
        MessageHash, Namespace, encoding,
        limits::{DEFAULT_RETRIEVE_FRACTION, MAX_MESSAGE_BASE64, MAX_RETRIEVE_BYTES},
        loose::{LooseParams, Scalar},
    },
};
use base64::Engine;
use prost::Message;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// Keep a message for an account.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreRequest {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// When the sender sent it (ms).
    pub timestamp: u64,
    /// Until when it is to be kept (ms).
    pub expiry: u64,
    /// The message, at most [`MAX_MESSAGE_BYTES`](crate::storage::limits::MAX_MESSAGE_BYTES).
    pub data: Vec<u8>,
    /// The owner's signature over [`signed::store`](crate::storage::signed::store), for namespaces that need it.
    pub auth: Option<TimedAuth>,
    /// Proof of work, if the sender did any (a Skep extension: field `work`, the prost message in base64).
    pub work: Option<Work>,
}

/// Read a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrieveRequest {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// Start after this message; from the beginning if the node does not have it.
    pub last_hash: Option<MessageHash>,
    /// At most so many messages; 0 counts as absent.
    pub max_count: Option<i64>,
    /// At most so many bytes; -n means 1/n of [`MAX_RETRIEVE_BYTES`]; 0 counts as absent.
    pub max_size: Option<i64>,
    /// The owner's signature over [`signed::retrieve`](crate::storage::signed::retrieve).
    pub auth: Option<TimedAuth>,
}

/// How much one retrieve returns at most. At least one message is returned whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveWindow {
    /// Messages.
    pub count: usize,
    /// Bytes, counted by [`limits::retrieved_size`](crate::storage::limits::retrieved_size).
    pub size: usize,
}

impl StoreRequest {
    pub(super) fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let data = text("data", &params.data)?;
        let expiry = single_expiry(&params)?;
        let namespace = namespace(&params.namespace)?;
        let sent = stringified("timestamp", &params.timestamp, "integer")?.ok_or(ParamsError::Missing("timestamp"))?;
        let sent = in_milliseconds("timestamp", sent)?;
        let ttl = stringified("ttl", &params.ttl, "positive integer")?;
        let expiry = match (expiry, ttl) {
            (Some(_), Some(_)) => return Err(ParamsError::Conflict("expiry", "ttl")),
            (None, None) => return Err(ParamsError::MissingBoth("expiry", "ttl")),
            (Some(expiry), None) => expiry,
            (None, Some(ttl)) => sent.saturating_add(ttl),
        };
        let account = account(&params.pubkey, &params.pubkey_camel)?;
        let signed_at = timestamp("sig_timestamp", &params.sig_timestamp)?.unwrap_or(sent);
        let auth = match &params.signature {
            Scalar::Absent => None,
            _ => Some(TimedAuth { auth: OwnerAuth::from_params(&account, &params, true)?, timestamp: signed_at }),
        };
        let data = data.ok_or(ParamsError::Missing("data"))?;
        if data.len() > MAX_MESSAGE_BASE64 {
            return Err(ParamsError::DataTooLong);
        }
        let data = encoding::decode_base64(data).ok_or(ParamsError::Data)?;
        let work = match text("work", &params.work)? {
            Some(work) => {
                let bytes = encoding::decode_base64(work).ok_or(ParamsError::Work)?;
                Some(Work::decode(bytes.as_slice()).map_err(|_| ParamsError::Work)?)
            }
            None => None,
        };
        Ok(Self { account, namespace, timestamp: sent, expiry, data, auth, work })
    }
}

impl RetrieveRequest {
    pub(super) fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let namespace_given = !matches!(params.namespace, Scalar::Absent);
        let namespace = namespace(&params.namespace)?;
        let signed_at = timestamp("timestamp", &params.timestamp)?;
        let account = account(&params.pubkey, &params.pubkey_camel)?;
        let wants_auth = signed_at.is_some()
            || !matches!((&params.pubkey_ed25519, &params.signature), (Scalar::Absent, Scalar::Absent))
            || (namespace_given && !namespace.anyone_may_read());
        let auth = match (wants_auth, signed_at) {
            (false, _) => None,
            (true, Some(timestamp)) => {
                Some(TimedAuth { auth: OwnerAuth::from_params(&account, &params, true)?, timestamp })
            }
            (true, None) if matches!(params.signature, Scalar::Absent) => {
                return Err(ParamsError::Missing("signature"));
            }
            (true, None) => return Err(ParamsError::Missing("timestamp")),
        };
        let last_hash = match (text("last_hash", &params.last_hash)?, text("lastHash", &params.last_hash_camel)?) {
            (Some(_), Some(_)) => return Err(ParamsError::Conflict("last_hash", "lastHash")),
            (one, other) => one.or(other).filter(|hash| !hash.is_empty()),
        };
        let last_hash = match last_hash {
            Some(hash) if hash.len() != MessageHash::TEXT_LEN => return Err(ParamsError::LastHashLength),
            Some(hash) => Some(hash.parse().map_err(|_| ParamsError::LastHashEncoding)?),
            None => None,
        };
        let max_size = match (integer("max_size", &params.max_size)?, integer("maxSize", &params.max_size_camel)?) {
            (Some(_), Some(_)) => return Err(ParamsError::Conflict("max_size", "maxSize")),
            (one, other) => one.or(other),
        };
        let max_count = integer("max_count", &params.max_count)?;
        Ok(Self { account, namespace, last_hash, max_count, max_size, auth })
    }

    /// What the request's `max_count` and `max_size` amount to.
    pub fn window(&self) -> RetrieveWindow {
        let whole = MAX_RETRIEVE_BYTES;
        let count = self.max_count.filter(|&count| count != 0);
        let size = match self.max_size.filter(|&size| size != 0) {
            None if count.is_none() => whole / DEFAULT_RETRIEVE_FRACTION,
            None => whole,
            Some(size) => {
                let magnitude = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
                if size < 0 { whole / magnitude } else { magnitude.min(whole) }
            }
        };
        let count = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(1).max(1));
        RetrieveWindow { count, size }
    }
}

impl Serialize for StoreRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        if self.namespace != Namespace::DEFAULT {
            map.serialize_entry("namespace", &self.namespace.0)?;
        }
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("expiry", &self.expiry)?;
        map.serialize_entry("data", &encoding::PADDED.encode(&self.data))?;
        if let Some(auth) = &self.auth {
            auth.serialize_into(&mut map, "sig_timestamp")?;
        }
        if let Some(work) = &self.work {
            map.serialize_entry("work", &encoding::PADDED.encode(work.encode_to_vec()))?;
        }
        map.end()
    }
}

impl Serialize for RetrieveRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        if self.namespace != Namespace::DEFAULT {
            map.serialize_entry("namespace", &self.namespace.0)?;
        }
        if let Some(last_hash) = &self.last_hash {
            map.serialize_entry("last_hash", last_hash)?;
        }
        if let Some(max_count) = self.max_count {
            map.serialize_entry("max_count", &max_count)?;
        }
        if let Some(max_size) = self.max_size {
            map.serialize_entry("max_size", &max_size)?;
        }
        if let Some(auth) = &self.auth {
            auth.serialize_into(&mut map, "timestamp")?;
        }
        map.end()
    }
}
