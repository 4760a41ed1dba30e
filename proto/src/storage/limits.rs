//! Sizes, lifetimes and clock tolerances of the storage RPC (`protocol.md` section 4). Times are milliseconds.

use super::Namespace;

/// Largest message.
pub const MAX_MESSAGE_BYTES: usize = 76_800;
/// Largest message in base64.
pub const MAX_MESSAGE_BASE64: usize = MAX_MESSAGE_BYTES / 3 * 4;
/// Largest request body.
pub const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;
/// Most bytes one retrieve returns, counted as [`retrieved_size`] does.
pub const MAX_RETRIEVE_BYTES: usize = 7_800_000;
/// A retrieve that asks for no size gets this fraction of [`MAX_RETRIEVE_BYTES`].
pub const DEFAULT_RETRIEVE_FRACTION: usize = 5;
/// Most requests in one batch.
pub const MAX_BATCH: usize = 20;
/// Most messages one request may name.
pub const MAX_LISTED_MESSAGES: usize = 32_000;
/// Most subaccounts one request may revoke, and most revocations one account has: the newest count.
pub const MAX_REVOCATIONS: usize = 50;
/// Most revocations one request may take back: many times as many as there can be, and few enough for a node to hold them
/// against everything else that was said of subaccounts.
pub const MAX_UNREVOKED: usize = 1_000;
/// Most messages one request may ask receipts for.
pub const MAX_RECEIPTS: usize = 20;
/// Most names a node list request may give (fields or keys).
pub const MAX_LISTED_NAMES: usize = 1_000;

/// Shortest life of a message.
pub const MIN_TTL: u64 = 10_000;
/// Longest life of a message in a namespace anyone may write to.
pub const MAX_TTL_PUBLIC: u64 = 14 * DAY;
/// Longest life of a message in a namespace only its owner may write to.
pub const MAX_TTL_PRIVATE: u64 = 30 * DAY;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// How far ahead of the node's clock a message's timestamp may be.
pub const STORE_TOLERANCE: u64 = 10_000;
/// How far a signed request's timestamp may be from the node's clock.
pub const SIGNATURE_TOLERANCE: u64 = 60_000;
/// The same for a request another member of the swarm passed on.
pub const SIGNATURE_TOLERANCE_FORWARDED: u64 = 70_000;
/// Time stamps below this were surely given in seconds.
pub const MIN_TIMESTAMP: u64 = 1_000_000_000;

/// How far in the future the bound of `delete_before`, and how far in the past an expiry of `expire`, may be.
pub const BOUND_TOLERANCE: u64 = 60_000;

/// How long a subscription lasts unless it is renewed.
pub const MONITOR_LIFE: u64 = 65 * 60 * 1000;

/// How long a node waits for another member of the swarm.
pub const PEER_TIMEOUT: u64 = 5_000;
/// How long an onion request may take in all.
pub const ONION_TIMEOUT: u64 = 30_000;
/// How long a server outside the network may take: the rest is for the way back.
pub const EXIT_TIMEOUT: u64 = 25_000;

/// Longest life of a message in `namespace`.
pub const fn max_ttl(namespace: Namespace) -> u64 {
    if namespace.anyone_may_store() { MAX_TTL_PUBLIC } else { MAX_TTL_PRIVATE }
}

/// What a message of `data_len` bytes counts towards the size of a retrieve answer: its base64 form, its hash and its
/// share of JSON.
pub const fn retrieved_size(data_len: usize) -> usize {
    const HASH_AND_JSON: usize = 143;
    data_len.div_ceil(3).saturating_mul(4).saturating_add(HASH_AND_JSON)
}
