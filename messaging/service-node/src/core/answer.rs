//! What clients are told, and with which status (`protocol.md` section 4).

use super::Directory;
use serde::Serialize;
use serde_json::json;
use skep_chain_client::RosterView;
use skep_mailbox::{RetrieveRefusal, StoreRefusal};
use skep_primitives::SwarmId;
use skep_proto::{
    account::AccountAddress,
    storage::{PROTOCOL_GENERATION, RequestError, SwarmResponse},
};

/// Text of a 503 for lack of room.
pub const SERVER_BUSY: &str = "Server busy, try again later";

/// An answer of the storage RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status, as HTTP says it.
    pub status: u16,
    /// Body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// JSON, written out.
    Json(String),
    /// Plain text.
    Text(String),
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(json) => Self { status, body: Body::Json(json) },
            // Only maps with keys that are no text fail, and we have none.
            Err(_) => Self::text(500, "request failed"),
        }
    }

    /// A text answer.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self { status, body: Body::Text(text.into()) }
    }

    /// An answer to a request that cannot be read.
    pub fn unreadable(error: &RequestError) -> Self {
        Self::text(400, error.to_string())
    }

    /// For want of room.
    pub fn busy() -> Self {
        Self::text(503, SERVER_BUSY)
    }

    /// The answers to a batch, together.
    pub fn batch(replies: &[Self]) -> Self {
        let mut json = String::from(r#"{"results":["#);
        for (number, reply) in replies.iter().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            json.push_str(&format!(r#"{separator}{{"code":{},"body":"#, reply.status));
            match &reply.body {
                Body::Json(body) => json.push_str(body),
                Body::Text(text) => json.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            }
            json.push('}');
        }
        json.push_str("]}");
        Self { status: 200, body: Body::Json(json) }
    }
}

/// Who keeps the mailbox of `account`: the answer to `get_swarm`, and the body of a 421.
pub fn swarm_response(view: &RosterView, directory: &Directory, account: &AccountAddress, now: u64) -> SwarmResponse {
    let swarm = view.swarm_of(&account.key()).unwrap_or(SwarmId::UNASSIGNED);
    let snodes = view.members(swarm).map(|entry| directory.swarm_node(entry)).collect();
    SwarmResponse { snodes, swarm: swarm.to_string(), t: now, hf: PROTOCOL_GENERATION }
}

/// The answer to a deposit that is not taken. A lack of work is told with what would do: the effort and a fresh block.
pub fn refuse_store(refusal: &StoreRefusal, least_effort: u32, view: &RosterView) -> Reply {
    let status = match refusal {
        StoreRefusal::Lifetime | StoreRefusal::Outbox(_) => 403,
        StoreRefusal::Clock | StoreRefusal::SignatureClock => 406,
        StoreRefusal::SignatureRequired(_) | StoreRefusal::Signature => 401,
        StoreRefusal::Work(_) => {
            let block = hex::encode(view.block_hash());
            return Reply::json(400, &json!({ "reason": "work", "effort": least_effort, "block": block }));
        }
    };
    Reply::text(status, refusal.to_string())
}

/// The answer to somebody who may not read.
pub fn refuse_retrieve(refusal: &RetrieveRefusal) -> Reply {
    let status = match refusal {
        RetrieveRefusal::SignatureRequired | RetrieveRefusal::Signature => 401,
        RetrieveRefusal::SignatureClock => 406,
        RetrieveRefusal::Outbox(_) => 403,
    };
    Reply::text(status, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::storage::BatchResponse;

    #[test]
    fn a_batch_embeds_json_and_quotes_text() {
        let replies = [
            Reply::json(200, &json!({"a": [1, 2]})),
            Reply::text(400, "no \"method\"\n"),
            Reply::json(421, &json!({})),
        ];
        let Body::Json(body) = Reply::batch(&replies).body else { panic!("a batch is JSON") };
        let parsed: BatchResponse = serde_json::from_str(&body).expect("valid JSON");
        let results: Vec<_> = parsed.results.into_iter().map(|result| (result.code, result.body)).collect();
        let expected = [(200, json!({"a": [1, 2]})), (400, json!("no \"method\"\n")), (421, json!({}))];
        assert_eq!(results, expected);
    }
}
