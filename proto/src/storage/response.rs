//! Answers of the storage RPC. Times are Unix milliseconds; every answer tells the node's clock (`t`) and the protocol
//! generation (`hf`).

use super::{HexKey, MessageHash, encoding};
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

/// What one member of the swarm did with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MemberResult {
    /// It has the message on disk.
    Stored(MemberStored),
    /// It has not, as far as the answering node knows.
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
}

/// Why a member did not store a message.
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
    /// The node's software.
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
        let stored = |already| MemberResult::Stored(MemberStored { hash, signature: [0; 64], expiry: 7, already });
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
                "22".repeat(32): {"hash": hash, "signature": signature, "expiry": 7, "already": true},
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
            assert!(serde_json::from_value::<MemberResult>(nothing.clone()).is_err(), "{nothing}");
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
