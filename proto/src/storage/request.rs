//! Requests of the storage RPC.

mod auth;
mod command;
mod compose;
mod extension;
mod fields;
mod listening;
mod messages;
mod node_list;

pub use auth::{Delegation, OwnerAuth, TimedAuth};
pub use command::{Action, Command, ExpiriesRequest, ExpiryMode, RevokedRequest};
pub use compose::{Condition, IfElse};
pub use extension::{MonitorRequest, ReceiptRequest};
pub use listening::{DeliverRequest, ListenRequest, UnlistenRequest};
pub use messages::{RetrieveRequest, RetrieveWindow, StoreRequest};
pub use node_list::NodeListQuery;

use super::{
    limits::{MAX_LISTED_MESSAGES, MAX_MESSAGE_BYTES, MAX_RECEIPTS, MAX_REVOCATIONS, MAX_UNREVOKED},
    listening::{MAX_DELIVERY_BYTES, MAX_HANDLES},
    loose::{self, LooseEnvelope, LooseNested, LooseParams, Scalar, Shape},
};
use crate::account::AccountAddress;
use compose::List;
use fields::{account, shown};
use node_list::{NODE_LIST, RESOLVE_NAME};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A request as `/storage_rpc/v1` takes it. Serializes to `{"method", "params"}`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time")]
pub enum Request {
    /// One request.
    Single(Method),
    /// Up to [`MAX_BATCH`](super::limits::MAX_BATCH) of them, answered together.
    Batch(Vec<Method>),
    /// The same, one after the other until one fails.
    Sequence(Vec<Method>),
    /// One of two requests.
    IfElse(Box<IfElse>),
}

/// One method with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Keep a message for an account.
    Store(StoreRequest),
    /// Read a mailbox.
    Retrieve(RetrieveRequest),
    /// Change a mailbox.
    Command(Command),
    /// When messages expire.
    Expiries(ExpiriesRequest),
    /// Which subaccounts are revoked.
    Revoked(RevokedRequest),
    /// Proof that a node has messages.
    Receipt(ReceiptRequest),
    /// Push new messages (over a WebSocket only).
    Monitor(MonitorRequest),
    /// Which swarm keeps an account's mailbox.
    GetSwarm(AccountAddress),
    /// The node's version and clock.
    Info,
    /// The list of service nodes, for clients without access to the chain.
    NodeList(NodeListQuery),
    /// Which account a name stands for. No chain of Skep keeps names.
    ResolveName,
    /// Wait for messages delivered directly.
    Listen(ListenRequest),
    /// Hand a message to a client that listens.
    Deliver(DeliverRequest),
    /// Wait no longer.
    Unlisten(UnlistenRequest),
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
    /// Likewise, where its swarm is asked for: other words for the same, which clients know.
    #[error("Pubkey must be 66 hex digits/33 bytes long")]
    SwarmAccount,
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
    /// A subaccount without the owner's signature.
    #[error("invalid subaccount: subaccount_sig is required when using subaccount")]
    NoSubaccountSignature,
    /// A text where a number may be given as text, and it is none.
    #[error("Invalid value given for '{field}': {given}")]
    NoNumber {
        /// The field.
        field: &'static str,
        /// The text, as a JSON string.
        given: String,
    },
    /// Not a subaccount's token.
    #[error("invalid subaccount: expected base64 or hex-encoded subaccount token")]
    SubaccountToken,
    /// Not 86 or 88 characters of base64.
    #[error("invalid subaccount signature: expected base64 encoded Ed25519 signature")]
    SubaccountSignature,
    /// Not a token to revoke or unrevoke.
    #[error("invalid {0}: expected base64 or hex-encoded subaccount tag")]
    Token(&'static str),
    /// More subaccounts to revoke than are remembered.
    #[error("invalid revoke: cannot revoke more than {MAX_REVOCATIONS} subaccounts at once")]
    TooManyTokens,
    /// More revocations to take back than a request may name.
    #[error("invalid unrevoke: cannot unrevoke more than {MAX_UNREVOKED} subaccounts at once")]
    TooManyUnrevoked,
    /// No message is named.
    #[error("messages does not contain any message hashes")]
    NoMessages,
    /// Not a message hash.
    #[error("invalid message hash: {0}")]
    MessageHash(String),
    /// Too many messages to give receipts for.
    #[error("messages has more than {MAX_RECEIPTS} entries: send several requests")]
    TooManyReceipts,
    /// Too long a list.
    #[error("a list has more than {MAX_LISTED_MESSAGES} entries: send several requests")]
    TooManyListed,
    /// No expiry is given.
    #[error("'expiry' does not contain any expiration timestamps")]
    NoExpiries,
    /// Neither one expiry nor one a message.
    #[error("'expiry' must be a single expiry, or the same length as 'messages'")]
    ExpiryCount,
    /// Two modes exclude each other.
    #[error("cannot specify both 'shorten' and 'extend'")]
    ShortenAndExtend,
    /// A node key is malformed.
    #[error("Invalid value given for 'service_node_pubkeys': expected 64 hex digits each")]
    NodeKey,
    /// A handle, a token or the name of a session is malformed.
    #[error("invalid {0}: expected 64 hex digits")]
    Secret(&'static str),
    /// An entry of `contacts` is malformed.
    #[error("invalid contacts: expected 128 hex digits each, handle and token")]
    ListenedContact,
    /// Too many handles.
    #[error("invalid contacts: a session listens under at most {MAX_HANDLES} handles")]
    TooManyHandles,
    /// A message that is empty or too long to be delivered directly.
    #[error("invalid data: expected 1 to {MAX_DELIVERY_BYTES} bytes")]
    DeliverySize,
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
    /// `if` is missing or no object.
    #[error("Invalid ifelse request: no valid \"if\" field")]
    NoCondition,
    /// `if` asks nothing.
    #[error("Invalid ifelse request: must specify at least one \"if\" condition")]
    NoBound,
    /// Neither branch is there.
    #[error("Invalid ifelse request: at least one of \"then\"/\"else\" required")]
    NoBranch,
    /// A branch is no object.
    #[error("Invalid ifelse request: {0} must be an object")]
    BranchShape(&'static str),
    /// A branch without method or params.
    #[error("Invalid ifelse request: {0} must have method/params keys")]
    BranchKeys(&'static str),
    /// A branch whose method does not exist.
    #[error("Invalid ifelse request method \"{0}\"")]
    BranchMethod(&'static str),
    /// A chain request nobody may make through a service node.
    #[error("Invalid oxend endpoint '{0}'")]
    ChainEndpoint(String),
}

const STORE: &str = "store";
const RETRIEVE: &str = "retrieve";
const GET_EXPIRIES: &str = "get_expiries";
const REVOKED: &str = "revoked_subaccounts";
const RECEIPT: &str = "receipt";
const MONITOR: &str = "monitor";
const GET_SWARM: &str = "get_swarm";
const GET_SWARM_ALIAS: &str = "get_snodes_for_pubkey";
const INFO: &str = "info";
const CHAIN_REQUEST: &str = "oxend_request";
const LISTEN: &str = "listen";
const DELIVER: &str = "deliver";
const UNLISTEN: &str = "unlisten";
const BATCH: &str = "batch";
const SEQUENCE: &str = "sequence";
const IFELSE: &str = "ifelse";
/// Requests made of requests; a batch holds none of them.
const META: [&str; 3] = [BATCH, SEQUENCE, IFELSE];

impl Request {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let envelope: Shape<LooseEnvelope<'_>> = loose::read(body).ok_or(RequestError::NotJson)?;
        let Shape::Object(envelope) = envelope else { return Err(RequestError::NoMethod) };
        let Scalar::Text(method) = envelope.method else { return Err(RequestError::NoMethod) };
        let Shape::Object(params) = envelope.params else { return Err(RequestError::NoParams) };
        match Self::from_params(&method, params) {
            Some(parsed) => parsed.map_err(RequestError::Params),
            None => Err(RequestError::UnknownMethod(shown(&method))),
        }
    }

    /// `None` if there is no such method.
    fn from_params(name: &str, params: LooseParams<'_, LooseNested<'_>>) -> Option<Result<Self, ParamsError>> {
        match name {
            BATCH => Some(compose::list(params.requests).map(Self::Batch)),
            SEQUENCE => Some(compose::list(params.requests).map(Self::Sequence)),
            IFELSE => Some(IfElse::from_params(params).map(|ifelse| Self::IfElse(Box::new(ifelse)))),
            _ => Method::from_params(name, params).map(|parsed| parsed.map(Self::Single)),
        }
    }
}

impl Method {
    /// `None` if there is no such method.
    fn from_params<R>(name: &str, params: LooseParams<'_, R>) -> Option<Result<Self, ParamsError>> {
        Some(match name {
            STORE => StoreRequest::from_params(params).map(Self::Store),
            RETRIEVE => RetrieveRequest::from_params(params).map(Self::Retrieve),
            GET_EXPIRIES => ExpiriesRequest::from_params(&params).map(Self::Expiries),
            REVOKED => RevokedRequest::from_params(&params).map(Self::Revoked),
            GET_SWARM | GET_SWARM_ALIAS => account(&params.pubkey, &params.pubkey_camel)
                .map(Self::GetSwarm)
                .map_err(|error| if error == ParamsError::Account { ParamsError::SwarmAccount } else { error }),
            INFO => Ok(Self::Info),
            RECEIPT => ReceiptRequest::from_params(&params).map(Self::Receipt),
            MONITOR => MonitorRequest::from_params(params).map(Self::Monitor),
            CHAIN_REQUEST => node_list::chain_request(params),
            LISTEN => ListenRequest::from_params(&params).map(Self::Listen),
            DELIVER => DeliverRequest::from_params(&params).map(Self::Deliver),
            UNLISTEN => UnlistenRequest::from_params(&params).map(Self::Unlisten),
            _ => return Command::from_params(name, &params).map(|parsed| parsed.map(Self::Command)),
        })
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Single(method) => method.serialize(serializer),
            Self::Batch(methods) => call(serializer, BATCH, &List::new(methods)),
            Self::Sequence(methods) => call(serializer, SEQUENCE, &List::new(methods)),
            Self::IfElse(ifelse) => call(serializer, IFELSE, ifelse),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Store(params) => call(serializer, STORE, params),
            Self::Retrieve(params) => call(serializer, RETRIEVE, params),
            Self::Command(command) => call(serializer, command.name(), command),
            Self::Expiries(params) => call(serializer, GET_EXPIRIES, params),
            Self::Revoked(params) => call(serializer, REVOKED, params),
            Self::Receipt(params) => call(serializer, RECEIPT, params),
            Self::Monitor(params) => call(serializer, MONITOR, params),
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
            Self::ResolveName => {
                #[derive(Serialize)]
                struct Params {
                    endpoint: &'static str,
                }
                call(serializer, CHAIN_REQUEST, &Params { endpoint: RESOLVE_NAME })
            }
            Self::Listen(params) => call(serializer, LISTEN, params),
            Self::Deliver(params) => call(serializer, DELIVER, params),
            Self::Unlisten(params) => call(serializer, UNLISTEN, params),
        }
    }
}

fn call<S: Serializer>(serializer: S, method: &str, params: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("method", method)?;
    map.serialize_entry("params", params)?;
    map.end()
}

#[cfg(test)]
mod tests;
