//! Requests of the storage RPC.
#![expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]

use super::{
    HexKey, MessageHash, Namespace, encoding,
    limits::{
        DEFAULT_RETRIEVE_FRACTION, MAX_BATCH, MAX_MESSAGE_BASE64, MAX_MESSAGE_BYTES, MAX_RETRIEVE_BYTES, MIN_TIMESTAMP,
    },
    loose::{self, LooseBatch, LooseEnvelope, LooseNodeList, LooseParams, LooseSubRequest, Names, Scalar, Shape},
};
use crate::{
    account::{AccountAddress, X25519_ACCOUNT},
    peer::Work,
};
use base64::Engine;
use prost::Message;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A request as `/storage_rpc/v1` takes it. Serializes to `{"method", "params"}`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
pub enum Request {
    /// One request.
    Single(Method),
    /// Up to [`MAX_BATCH`] of them, answered together.
    Batch(Vec<Method>),
}

/// One method with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Keep a message for an account.
    Store(StoreRequest),
    /// Read a mailbox.
    Retrieve(RetrieveRequest),
    /// Which swarm keeps an account's mailbox.
    GetSwarm(AccountAddress),
    /// The node's version and clock.
    Info,
    /// The list of service nodes, for clients without access to the chain.
    NodeList(NodeListQuery),
}

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
    /// The message, at most [`MAX_MESSAGE_BYTES`].
    pub data: Vec<u8>,
    /// The owner's signature over [`signed::store`](super::signed::store), for namespaces that need it.
    pub auth: Option<OwnerAuth>,
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
    /// The owner's signature over [`signed::retrieve`](super::signed::retrieve).
    pub auth: Option<OwnerAuth>,
}

/// An owner's signature. Its length and encoding are right; whether it verifies is for the mailbox to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerAuth {
    /// Ed25519 signature.
    pub signature: [u8; 64],
    /// The Ed25519 key whose conversion is the account's X25519 key; absent where the account's key itself signs.
    pub ed25519_key: Option<HexKey>,
    /// When it was signed (ms).
    pub timestamp: u64,
}

/// Which service nodes to list and what to tell of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeListQuery {
    /// Fields wanted; all if empty.
    pub fields: Vec<String>,
    /// Above 0: a random sample of so many; -1: all, shuffled; absent or 0: all in order.
    pub limit: Option<i64>,
    /// Only nodes that serve.
    pub active_only: bool,
    /// Only these nodes, if any are named.
    pub nodes: Vec<HexKey>,
    /// The caller's last block hash (hex): if it is still the latest, the list is left out.
    pub poll_block_hash: Option<String>,
}

/// How much one retrieve returns at most. At least one message is returned whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveWindow {
    /// Messages.
    pub count: usize,
    /// Bytes, counted by [`limits::retrieved_size`](super::limits::retrieved_size).
    pub size: usize,
}

/// Why a request cannot be read. The text is what clients are told, with status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON.
    #[error("invalid json")]
    NotJson,
    /// `method` is missing or no text.
    #[error("invalid json: no `method` field")]
    NoMethod,
    /// `params` is missing or no object.
    #[error("invalid json: no `params` field")]
    NoParams,
    /// No such method.
    #[error("no method {0}")]
    UnknownMethod(String),
    /// The parameters do not fit the method.
    #[error("invalid request: {0}")]
    Params(#[source] ParamsError),
}

/// Why parameters do not fit a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A field is missing.
    #[error("Required field '{0}' missing")]
    Missing(&'static str),
    /// One of two fields is needed.
    #[error("Required field '{0}' or '{1}' missing")]
    MissingBoth(&'static str, &'static str),
    /// Two fields exclude each other.
    #[error("Cannot specify both '{0}' and '{1}'")]
    Conflict(&'static str, &'static str),
    /// A field has the wrong type.
    #[error("Invalid value given for '{field}': expected {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A namespace outside 16 bits.
    #[error("Invalid value given for '{0}': value out of range")]
    OutOfRange(&'static str),
    /// Seconds where milliseconds belong.
    #[error("Invalid timestamp for '{0}': timestamp must be in milliseconds")]
    NotMilliseconds(&'static str),
    /// Not an account.
    #[error("Pubkey must be 66 hex digits (33 bytes) long")]
    Account,
    /// An Ed25519 key beside an account that is not X25519.
    #[error("pubkey_ed25519 is only permitted for 05[...] pubkeys")]
    KeyNotPermitted,
    /// Not 64 digits.
    #[error("Invalid pubkey_ed25519: expected 64 hex char or 32 byte pubkey")]
    KeyLength,
    /// 64 characters, but not hex.
    #[error("invalid pubkey_ed25519: value is not hex")]
    KeyHex,
    /// Not 86 or 88 characters of base64.
    #[error("invalid signature: expected base64 encoded Ed25519 signature")]
    Signature,
    /// The message is not base64.
    #[error("Invalid 'data' value: not base64 encoded")]
    Data,
    /// The message is too long.
    #[error("Message body exceeds maximum allowed length of {MAX_MESSAGE_BYTES} bytes")]
    DataTooLong,
    /// The proof of work is not the base64 of its message.
    #[error("Invalid 'work' value: expected a proof of work in base64")]
    Work,
    /// `last_hash` of the wrong length.
    #[error("Invalid last_hash: expected base64 (43 chars)")]
    LastHashLength,
    /// `last_hash` is not base64.
    #[error("Invalid last_hash: not base64")]
    LastHashEncoding,
    /// Signed by a subaccount.
    #[error("Subaccounts are not supported by this node; sign with the account's own key")]
    Subaccount,
    /// A node key is malformed.
    #[error("Invalid value given for 'service_node_pubkeys': expected 64 hex digits each")]
    NodeKey,
    /// `requests` is no list or empty.
    #[error("Invalid batch request: no valid \"requests\" field")]
    NoBatch,
    /// Too many requests.
    #[error("Invalid batch request: subrequest limit exceeded")]
    BatchTooLong,
    /// An entry is no object.
    #[error("Invalid batch request: requests must be objects")]
    BatchEntry,
    /// An entry without method or params.
    #[error("Invalid batch request: subrequests must have method/params keys")]
    BatchKeys,
    /// An entry whose method does not exist.
    #[error("Invalid batch subrequest: invalid method \"{0}\"")]
    BatchMethod(String),
    /// A batch in a batch.
    #[error("Invalid batch subrequest: subrequests may not contain meta-requests")]
    Nested,
    /// A chain request nobody may make through a service node.
    #[error("Invalid oxend endpoint '{0}'")]
    ChainEndpoint(String),
}

const STORE: &str = "store";
const RETRIEVE: &str = "retrieve";
const GET_SWARM: &str = "get_swarm";
const GET_SWARM_ALIAS: &str = "get_snodes_for_pubkey";
const INFO: &str = "info";
const BATCH: &str = "batch";
const CHAIN_REQUEST: &str = "oxend_request";
const NODE_LIST: &str = "get_service_nodes";

impl Request {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let envelope: Shape<LooseEnvelope<'_>> = loose::read(body).ok_or(RequestError::NotJson)?;
        let Shape::Object(envelope) = envelope else { return Err(RequestError::NoMethod) };
        let Scalar::Text(method) = envelope.method else { return Err(RequestError::NoMethod) };
        let Shape::Object(params) = envelope.params else { return Err(RequestError::NoParams) };
        if method == BATCH {
            return batch(params.requests).map(Self::Batch).map_err(RequestError::Params);
        }
        match Method::from_params(&method, params) {
            Some(parsed) => parsed.map(Self::Single).map_err(RequestError::Params),
            None => Err(RequestError::UnknownMethod(shown(&method))),
        }
    }
}

impl Method {
    /// `None` if there is no such method.
    fn from_params<R>(name: &str, params: LooseParams<'_, R>) -> Option<Result<Self, ParamsError>> {
        Some(match name {
            STORE => StoreRequest::from_params(params).map(Self::Store),
            RETRIEVE => RetrieveRequest::from_params(params).map(Self::Retrieve),
            GET_SWARM | GET_SWARM_ALIAS => account(&params.pubkey, &params.pubkey_camel).map(Self::GetSwarm),
            INFO => Ok(Self::Info),
            CHAIN_REQUEST => NodeListQuery::from_params(params).map(Self::NodeList),
            _ => return None,
        })
    }
}

fn batch(requests: Option<LooseBatch<'_>>) -> Result<Vec<Method>, ParamsError> {
    let Some(LooseBatch::List { requests, excess }) = requests else { return Err(ParamsError::NoBatch) };
    if requests.is_empty() {
        return Err(ParamsError::NoBatch);
    }
    if excess {
        return Err(ParamsError::BatchTooLong);
    }
    requests
        .into_iter()
        .map(|request| {
            let Shape::Object(LooseSubRequest { method, params }) = request else {
                return Err(ParamsError::BatchEntry);
            };
            let (Scalar::Text(method), Shape::Object(params)) = (method, params) else {
                return Err(ParamsError::BatchKeys);
            };
            match Method::from_params(&method, params) {
                Some(parsed) => parsed,
                None if method == BATCH => Err(ParamsError::Nested),
                None => Err(ParamsError::BatchMethod(shown(&method))),
            }
        })
        .collect()
}

impl StoreRequest {
    fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let data = text("data", &params.data)?;
        let expiry = timestamp("expiry", &params.expiry)?;
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
            _ => Some(owner_auth(&account, &params, signed_at)?),
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
    fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let namespace_given = !matches!(params.namespace, Scalar::Absent);
        let namespace = namespace(&params.namespace)?;
        let signed_at = timestamp("timestamp", &params.timestamp)?;
        let account = account(&params.pubkey, &params.pubkey_camel)?;
        let wants_auth = signed_at.is_some()
            || !matches!((&params.pubkey_ed25519, &params.signature), (Scalar::Absent, Scalar::Absent))
            || (namespace_given && !namespace.anyone_may_read());
        let auth = match (wants_auth, signed_at) {
            (false, _) => None,
            (true, Some(signed_at)) => Some(owner_auth(&account, &params, signed_at)?),
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

impl NodeListQuery {
    fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let endpoint = text("endpoint", &params.endpoint)?.ok_or(ParamsError::Missing("endpoint"))?;
        if endpoint != NODE_LIST {
            return Err(ParamsError::ChainEndpoint(shown(endpoint)));
        }
        let Shape::Object(query) = params.params else { return Ok(Self::default()) };
        let LooseNodeList { fields, limit, active_only, service_node_pubkeys, poll_block_hash } = *query;
        let fields = names("fields", fields)?;
        let fields = if fields.iter().any(|field| field == "all") { Vec::new() } else { fields };
        let nodes = names("service_node_pubkeys", service_node_pubkeys)?
            .iter()
            .map(|key| key.parse().map_err(|_| ParamsError::NodeKey))
            .collect::<Result<_, _>>()?;
        let active_only = match active_only {
            Scalar::Absent => false,
            Scalar::Bool(only) => only,
            _ => return Err(ParamsError::Type { field: "active_only", expected: "boolean" }),
        };
        let limit = integer("limit", &limit)?;
        let poll_block_hash = text("poll_block_hash", &poll_block_hash)?.map(str::to_owned);
        Ok(Self { fields, limit, active_only, nodes, poll_block_hash })
    }
}

fn text<'a>(field: &'static str, value: &'a Scalar<'_>) -> Result<Option<&'a str>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        _ => Err(ParamsError::Type { field, expected: "string" }),
    }
}

fn integer(field: &'static str, value: &Scalar<'_>) -> Result<Option<i64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => Ok(Some(i64::try_from(*number).unwrap_or(i64::MAX))),
        Scalar::Negative(number) => Ok(Some(*number)),
        _ => Err(ParamsError::Type { field, expected: "integer" }),
    }
}

/// A number that old clients send as text.
fn stringified(field: &'static str, value: &Scalar<'_>, expected: &'static str) -> Result<Option<u64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => Ok(Some(*number)),
        Scalar::Text(digits) => digits.parse().map(Some).map_err(|_| ParamsError::Type { field, expected }),
        _ => Err(ParamsError::Type { field, expected }),
    }
}

fn timestamp(field: &'static str, value: &Scalar<'_>) -> Result<Option<u64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => in_milliseconds(field, *number).map(Some),
        _ => Err(ParamsError::Type { field, expected: "integer timestamp (in milliseconds)" }),
    }
}

const fn in_milliseconds(field: &'static str, time: u64) -> Result<u64, ParamsError> {
    if time < MIN_TIMESTAMP { Err(ParamsError::NotMilliseconds(field)) } else { Ok(time) }
}

fn namespace(value: &Scalar<'_>) -> Result<Namespace, ParamsError> {
    let wrong_type = ParamsError::Type { field: "namespace", expected: "16-bit integer" };
    let number = integer("namespace", value).map_err(|_| wrong_type)?.unwrap_or(0);
    i16::try_from(number).map(Namespace).map_err(|_| ParamsError::OutOfRange("namespace"))
}

fn account(plain: &Scalar<'_>, camel: &Scalar<'_>) -> Result<AccountAddress, ParamsError> {
    let given = match (text("pubkey", plain)?, text("pubKey", camel)?) {
        (Some(_), Some(_)) => return Err(ParamsError::Conflict("pubkey", "pubKey")),
        (one, other) => one.or(other).ok_or(ParamsError::Missing("pubkey"))?,
    };
    given.parse().map_err(|_| ParamsError::Account)
}

fn owner_auth<R>(
    account: &AccountAddress,
    params: &LooseParams<'_, R>,
    timestamp: u64,
) -> Result<OwnerAuth, ParamsError> {
    let signature = text("signature", &params.signature)?.ok_or(ParamsError::Missing("signature"))?;
    if !matches!(text("subaccount", &params.subaccount)?, None | Some("")) {
        return Err(ParamsError::Subaccount);
    }
    let ed25519_key = match text("pubkey_ed25519", &params.pubkey_ed25519)? {
        None => None,
        Some(_) if account.kind() != X25519_ACCOUNT => return Err(ParamsError::KeyNotPermitted),
        Some(key) if key.len() != 64 => return Err(ParamsError::KeyLength),
        Some(key) => Some(key.parse().map_err(|_| ParamsError::KeyHex)?),
    };
    let well_formed = signature.len() == 86 || (signature.len() == 88 && signature.ends_with("=="));
    let signature = well_formed.then(|| encoding::decode_exactly(signature)).flatten().ok_or(ParamsError::Signature)?;
    Ok(OwnerAuth { signature, ed25519_key, timestamp })
}

fn names(field: &'static str, names: Names<'_>) -> Result<Vec<String>, ParamsError> {
    match names {
        Names::Absent => Ok(Vec::new()),
        Names::List(names) => Ok(names.into_iter().map(Into::into).collect()),
        Names::Other => Err(ParamsError::Type { field, expected: "string array" }),
    }
}

/// A stranger's word as it is repeated in a refusal: not at any length.
fn shown(word: &str) -> String {
    const LONGEST: usize = 64;
    word.chars().take(LONGEST).collect()
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Single(method) => method.serialize(serializer),
            Self::Batch(methods) => {
                debug_assert!(methods.len() <= MAX_BATCH);
                #[derive(Serialize)]
                struct Params<'a> {
                    requests: &'a [Method],
                }
                call(serializer, BATCH, &Params { requests: methods })
            }
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Store(params) => call(serializer, STORE, params),
            Self::Retrieve(params) => call(serializer, RETRIEVE, params),
            Self::GetSwarm(account) => {
                #[derive(Serialize)]
                struct Params {
                    pubkey: String,
                }
                call(serializer, GET_SWARM, &Params { pubkey: account.to_string() })
            }
            Self::Info => {
                #[derive(Serialize)]
                struct Params {}
                call(serializer, INFO, &Params {})
            }
            Self::NodeList(query) => {
                #[derive(Serialize)]
                struct Params<'a> {
                    endpoint: &'static str,
                    params: &'a NodeListQuery,
                }
                call(serializer, CHAIN_REQUEST, &Params { endpoint: NODE_LIST, params: query })
            }
        }
    }
}

fn call<S: Serializer>(serializer: S, method: &str, params: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("method", method)?;
    map.serialize_entry("params", params)?;
    map.end()
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
            auth.serialize_into(&mut map)?;
            map.serialize_entry("sig_timestamp", &auth.timestamp)?;
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
            auth.serialize_into(&mut map)?;
            map.serialize_entry("timestamp", &auth.timestamp)?;
        }
        map.end()
    }
}

impl OwnerAuth {
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("signature", &encoding::PADDED.encode(self.signature))?;
        if let Some(key) = &self.ed25519_key {
            map.serialize_entry("pubkey_ed25519", key)?;
        }
        Ok(())
    }
}

impl Serialize for NodeListQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.fields.is_empty() {
            map.serialize_entry("fields", &self.fields)?;
        }
        if let Some(limit) = self.limit {
            map.serialize_entry("limit", &limit)?;
        }
        map.serialize_entry("active_only", &self.active_only)?;
        if !self.nodes.is_empty() {
            map.serialize_entry("service_node_pubkeys", &self.nodes)?;
        }
        if let Some(hash) = &self.poll_block_hash {
            map.serialize_entry("poll_block_hash", hash)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
