//! The storage RPC clients speak to service nodes (`POST /storage_rpc/v1`, `protocol.md` section 4): requests, answers,
//! what is signed, and the limits.
//!
//! Requests are parsed rather than validated: a [`Request`] cannot hold a malformed account, an oversize message or a
//! signature of the wrong length, and every refusal carries the exact text existing clients know. Reading is bounded by
//! the size of the input: nothing is kept of fields the methods do not have. Requests written by us use the plain
//! (non-alias) field names.

mod encoding;
mod hash;
mod key;
pub mod limits;
pub mod listening;
mod loose;
mod monitor;
mod namespace;
mod request;
mod response;
pub mod signed;
mod subaccount;

pub use encoding::decode_base64;
pub use hash::{MessageHash, ParseMessageHashError};
pub use key::{HexKey, ParseKeyError};
pub use monitor::{MonitorEvent, MonitorResponse};
pub use namespace::{Namespace, Scope};
pub use request::{
    Action, Command, Condition, Delegation, DeliverRequest, ExpiriesRequest, ExpiryMode, IfElse, ListenRequest, Method,
    MonitorRequest, NodeListQuery, OwnerAuth, ParamsError, ReceiptRequest, Request, RequestError, RetrieveRequest,
    RetrieveWindow, RevokedRequest, StoreRequest, TimedAuth, UnlistenRequest,
};
pub use response::{
    BatchResponse, CommandDone, CommandEffect, CommandResponse, ExpiriesResponse, Hashes, IfElseResponse, InfoResponse,
    MemberFailure, MemberResult, MemberStored, NodeListResponse, Receipt, ReceiptResponse, RetrieveResponse,
    RetrievedMessage, RevokedResponse, StoreResponse, SubResponse, SwarmNode, SwarmResponse, Times,
};
pub use subaccount::{Access, ParseTokenError, SubaccountToken};

/// `hf` of every answer: the generation of the storage protocol (major, revision) existing clients should assume. From 19
/// on, retrieval needs a signature.
pub const PROTOCOL_GENERATION: [u16; 2] = [19, 4];
