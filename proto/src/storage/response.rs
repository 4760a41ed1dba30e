//! Answers of the storage RPC. Times are Unix milliseconds. Answers tell the node's clock (`t`) and the protocol generation
//! (`hf`), except as existing nodes leave them out: `get_expiries`, `batch` and `sequence` tell neither, `ifelse` no clock.

use super::{HexKey, MessageHash, Namespace, SubaccountToken, encoding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Answer to `store`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreResponse {
    /// What became of the message at each member of the swarm, by its Ed25519 key.
    pub swarm: BTreeMap<HexKey, MemberResult>,
    /// The message's hash, if the answering node itself stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<MessageHash>,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// What one member of the swarm did with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MemberResult<R = MemberStored> {
    /// It is done, and durable.
    Done(R),
    /// It is not, as far as the answering node knows.
    Failed(MemberFailure),
}

/// One member's signed word that it has a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStored {
    /// The message.
    pub hash: MessageHash,
    /// The member's Ed25519 signature over [`signed::stored`](super::signed::stored).
    #[serde(with = "encoding::signature")]
    pub signature: [u8; 64],
    /// Until when it is kept.
    pub expiry: u64,
    /// The member had it before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub already: bool,
    /// The clock of the node that was asked, in its own result only: as storage servers tell it, who once told it there alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t: Option<u64>,
}

/// Answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResponse {
    /// What each member of the swarm did, by its Ed25519 key.
    pub swarm: BTreeMap<HexKey, MemberResult<CommandDone>>,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// One member's signed word on a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDone {
    /// What it changed.
    #[serde(flatten)]
    pub effect: CommandEffect,
    /// The member's Ed25519 signature over [`signed::done`](super::signed::done).
    #[serde(with = "encoding::signature")]
    pub signature: [u8; 64],
}

/// What a command changed at one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandEffect {
    /// Messages are gone.
    Deleted {
        /// Which.
        deleted: Hashes,
    },
    /// Messages expire at another time.
    Expired {
        /// When: what was applied, one for all or one for each of `updated`.
        expiry: Times,
        /// Which, sorted by their text.
        updated: Vec<MessageHash>,
        /// When the others that were named and are here expire; only told where changes were restricted to one direction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unchanged: Option<BTreeMap<MessageHash, u64>>,
    },
    /// Messages expire earlier.
    Updated {
        /// Which.
        updated: Hashes,
    },
    /// Subaccounts may act again.
    Unrevoked {
        /// How many of them were revoked.
        count: u64,
    },
    /// Subaccounts may act no longer.
    Revoked {},
}

/// Messages of one namespace, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Hashes {
    /// Of the one that was named; sorted by their text.
    List(Vec<MessageHash>),
    /// Of each.
    ByNamespace(#[serde(with = "by_namespace")] BTreeMap<Namespace, Vec<MessageHash>>),
}

impl Hashes {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MessageHash> {
        let (list, map) = match self {
            Self::List(list) => (Some(list), None),
            Self::ByNamespace(map) => (None, Some(map)),
        };
        list.into_iter().flatten().chain(map.into_iter().flat_map(|map| map.values().flatten()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// One time for all, or one each (ms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Times {
    /// For all.
    One(u64),
    /// One each.
    Each(Vec<u64>),
}

impl Times {
    /// The times.
    pub const fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(time) => std::slice::from_ref(time),
            Self::Each(times) => times.as_slice(),
        }
    }
}

/// Namespaces as keys of a JSON object.
mod by_namespace {
    use super::{BTreeMap, MessageHash, Namespace};
    use serde::{Deserialize, Deserializer, Serializer, de};

    type Map = BTreeMap<Namespace, Vec<MessageHash>>;

    pub(super) fn serialize<S: Serializer>(map: &Map, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(namespace, hashes)| (namespace.0.to_string(), hashes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        let by_text = BTreeMap::<String, Vec<MessageHash>>::deserialize(deserializer)?;
        let read = |(namespace, hashes): (String, _)| Some((Namespace(namespace.parse().ok()?), hashes));
        let map = by_text.into_iter().map(read).collect::<Option<_>>();
        map.ok_or_else(|| de::Error::custom("expected namespaces as keys"))
    }
}

/// Answer to `get_expiries`: alone among all, it tells neither `t` nor `hf`, as clients know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiriesResponse {
    /// When those messages that are here expire.
    pub expiries: BTreeMap<MessageHash, u64>,
}

/// Answer to `revoked_subaccounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedResponse {
    /// Tokens, newest revocation first.
    pub revoked: Vec<SubaccountToken>,
    /// The same, by the name under which a storage server tells it.
    #[serde(default)]
    pub revoked_subaccounts: Vec<SubaccountToken>,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// Answer to `receipt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptResponse {
    /// Who signs: the node's Ed25519 key.
    pub node: HexKey,
    /// The network: hash of its chain's first block.
    pub genesis: HexKey,
    /// One for each message that was named and is here.
    pub receipts: BTreeMap<MessageHash, Receipt>,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// A node's proof that it has a message: it has just read it from its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Until when it is kept.
    pub expiry: u64,
    /// When this was signed.
    pub timestamp: u64,
    /// The node's Ed25519 signature over [`signed::receipt`](super::signed::receipt).
    #[serde(with = "encoding::signature")]
    pub signature: [u8; 64],
}

/// Answer to `ifelse`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IfElseResponse {
    /// Protocol generation.
    pub hf: [u16; 2],
    /// What the node can do, as the release of the storage server that can.
    pub v: [u16; 3],
    /// The chain's height, as the node sees it.
    pub height: u64,
    /// Whether the condition held.
    pub condition: bool,
    /// The answer of the branch, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<SubResponse>,
}

/// Why a member did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireFailure", into = "WireFailure")]
pub enum MemberFailure {
    /// No answer in time.
    Timeout,
    /// It refused.
    Refused {
        /// Status, as HTTP would say it.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// Its answer could not be read or its signature is wrong.
    BadResponse,
    /// Its disk refused.
    NotStored {
        /// What went wrong, if the member tells.
        reason: Option<String>,
    },
}

/// Answer to `retrieve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrieveResponse {
    /// Oldest arrival first.
    pub messages: Vec<RetrievedMessage>,
    /// There are more: ask again from the last hash.
    pub more: bool,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// One message of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrievedMessage {
    /// Its hash; the next retrieve may start after it.
    pub hash: MessageHash,
    /// When it was sent, in the sender's words.
    pub timestamp: u64,
    /// Until when it is kept.
    pub expiration: u64,
    /// Its content.
    #[serde(with = "encoding::bytes")]
    pub data: Vec<u8>,
}

/// Answer to `get_swarm`, and body of a 421.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmResponse {
    /// The swarm's members.
    pub snodes: Vec<SwarmNode>,
    /// The swarm in hex without padding; `ffffffffffffffff` when there is none.
    pub swarm: String,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// One member of a swarm and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmNode {
    /// IPv4 address.
    pub ip: String,
    /// HTTPS port, as text for old clients.
    pub port: String,
    /// HTTPS port.
    pub port_https: u16,
    /// What upstream calls its message queue's port; here the QUIC port too.
    pub port_omq: u16,
    /// QUIC port.
    pub port_quic: u16,
    /// The node's key.
    pub pubkey_ed25519: HexKey,
    /// Its conversion to X25519, for onion layers.
    pub pubkey_x25519: HexKey,
    /// Here the same as `pubkey_ed25519`: Skep nodes have one key.
    pub pubkey_legacy: HexKey,
    /// The key in base32z and `.snode`, for old clients.
    pub address: String,
}

/// Answer to `info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoResponse {
    /// What the node can do, as the release of the storage server that can.
    pub version: [u16; 3],
    /// The node's clock.
    pub timestamp: u64,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// Answer to `batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// One answer a request, in their order.
    pub results: Vec<SubResponse>,
}

/// One answer inside a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubResponse {
    /// Status.
    pub code: u16,
    /// The answer, or a text on errors.
    pub body: serde_json::Value,
}

/// Answer to `oxend_request` for `get_service_nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeListResponse {
    /// The list.
    pub result: serde_json::Value,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// The flags existing clients read.
#[derive(Serialize, Deserialize)]
struct WireFailure {
    failed: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    timeout: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<WireCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    bad_peer_response: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    query_failure: bool,
}

/// The storage server writes a member's status as text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireCode {
    Text(String),
    Number(u16),
}

impl From<MemberFailure> for WireFailure {
    fn from(failure: MemberFailure) -> Self {
        let none = Self {
            failed: true,
            timeout: false,
            code: None,
            reason: None,
            bad_peer_response: false,
            query_failure: false,
        };
        match failure {
            MemberFailure::Timeout => Self { timeout: true, ..none },
            MemberFailure::Refused { code, reason } => {
                Self { code: Some(WireCode::Text(code.to_string())), reason: Some(reason), ..none }
            }
            MemberFailure::BadResponse => Self { bad_peer_response: true, ..none },
            MemberFailure::NotStored { reason } => Self { query_failure: true, reason, ..none },
        }
    }
}

impl TryFrom<WireFailure> for MemberFailure {
    type Error = &'static str;

    fn try_from(wire: WireFailure) -> Result<Self, Self::Error> {
        let code = match &wire.code {
            Some(WireCode::Number(code)) => Some(*code),
            Some(WireCode::Text(text)) => Some(text.parse().map_err(|_| "`code` is no status")?),
            None => None,
        };
        match (wire, code) {
            (WireFailure { failed: false, .. }, _) => Err("neither stored nor failed"),
            (WireFailure { timeout: true, .. }, _) => Ok(Self::Timeout),
            (WireFailure { reason, .. }, Some(code)) => Ok(Self::Refused { code, reason: reason.unwrap_or_default() }),
            (WireFailure { bad_peer_response: true, .. }, None) => Ok(Self::BadResponse),
            (WireFailure { reason, .. }, None) => Ok(Self::NotStored { reason }),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_store_answer_in_the_form_clients_read() {
        let hash = "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs".parse().unwrap();
        let stored = |already: bool| {
            let t = already.then_some(5);
            MemberResult::Done(MemberStored { hash, signature: [0; 64], expiry: 7, already, t })
        };
        let refused = MemberFailure::Refused { code: 421, reason: "elsewhere".into() };
        let response = StoreResponse {
            swarm: [
                (HexKey([0x11; 32]), stored(false)),
                (HexKey([0x22; 32]), stored(true)),
                (HexKey([0x33; 32]), MemberResult::Failed(MemberFailure::Timeout)),
                (HexKey([0x44; 32]), MemberResult::Failed(refused)),
                (HexKey([0x55; 32]), MemberResult::Failed(MemberFailure::BadResponse)),
                (HexKey([0x66; 32]), MemberResult::Failed(MemberFailure::NotStored { reason: None })),
            ]
            .into(),
            hash: Some(hash),
            t: 5,
            hf: [19, 4],
        };
        let signature = format!("{}==", "A".repeat(86));
        let json = json!({
            "swarm": {
                "11".repeat(32): {"hash": hash, "signature": signature, "expiry": 7},
                "22".repeat(32): {"hash": hash, "signature": signature, "expiry": 7, "already": true, "t": 5},
                "33".repeat(32): {"failed": true, "timeout": true},
                "44".repeat(32): {"failed": true, "code": "421", "reason": "elsewhere"},
                "55".repeat(32): {"failed": true, "bad_peer_response": true},
                "66".repeat(32): {"failed": true, "query_failure": true},
            },
            "hash": "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs",
            "t": 5,
            "hf": [19, 4],
        });
        assert_eq!(serde_json::to_value(&response).unwrap(), json);
        assert_eq!(serde_json::from_value::<StoreResponse>(json).unwrap(), response);
    }

    #[test]
    fn a_member_that_says_nothing_is_refused() {
        for nothing in [json!({}), json!({"failed": false}), json!({"hash": "x"}), json!({"failed": true, "code": "x"})]
        {
            assert!(serde_json::from_value::<MemberResult<MemberStored>>(nothing.clone()).is_err(), "{nothing}");
        }
    }

    #[test]
    fn effects_in_the_form_clients_read() {
        let hash = "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs".parse::<MessageHash>().unwrap();
        let signature = format!("{}==", "A".repeat(86));
        for (effect, json) in [
            (CommandEffect::Deleted { deleted: Hashes::List(vec![hash]) }, json!({"deleted": [hash]})),
            (
                CommandEffect::Deleted { deleted: Hashes::ByNamespace([(Namespace(-10), vec![hash])].into()) },
                json!({"deleted": {"-10": [hash]}}),
            ),
            (CommandEffect::Updated { updated: Hashes::List(vec![]) }, json!({"updated": []})),
            (CommandEffect::Updated { updated: Hashes::ByNamespace([].into()) }, json!({"updated": {}})),
            (
                CommandEffect::Expired { expiry: Times::One(5), updated: vec![hash], unchanged: None },
                json!({"expiry": 5, "updated": [hash]}),
            ),
            (
                CommandEffect::Expired {
                    expiry: Times::Each(vec![]),
                    updated: vec![],
                    unchanged: Some([(hash, 7)].into()),
                },
                json!({"expiry": [], "updated": [], "unchanged": {hash.to_string(): 7}}),
            ),
            (CommandEffect::Unrevoked { count: 2 }, json!({"count": 2})),
            (CommandEffect::Revoked {}, json!({})),
        ] {
            let mut json = json;
            json["signature"] = signature.clone().into();
            let done = CommandDone { effect, signature: [0; 64] };
            assert_eq!(serde_json::to_value(&done).unwrap(), json);
            assert_eq!(serde_json::from_value::<CommandDone>(json).unwrap(), done);
        }
    }

    #[test]
    fn messages_expire_under_the_name_clients_read() {
        let message = RetrievedMessage { hash: [0; 32].into(), timestamp: 1, expiration: 2, data: b"hi".to_vec() };
        let json = json!({"hash": "A".repeat(43), "timestamp": 1, "expiration": 2, "data": "aGk="});
        assert_eq!(serde_json::to_value(&message).unwrap(), json);
        assert_eq!(serde_json::from_value::<RetrievedMessage>(json).unwrap(), message);
    }
}
