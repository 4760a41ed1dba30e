//! What clients are told, and with which status (`protocol.md` section 4).

use super::{DeliverRefusal, Directory, ListenRefusal};
use serde::Serialize;
use serde_json::json;
use skep_chain_client::RosterView;
use skep_mailbox::{CommandRefusal, RetrieveRefusal, StoreRefusal};
use skep_primitives::SwarmId;
use skep_proto::{
    account::AccountAddress,
    storage::{
        PROTOCOL_GENERATION, RequestError, SwarmResponse,
        listening::{HANDLE_TAKEN, NOBODY_LISTENS},
    },
};
use skep_rpc::node_list::STORAGE_SERVER_VERSION;

/// Text of a 503 for lack of room.
pub const SERVER_BUSY: &str = "Server busy, try again later";

/// Text of a 413.
pub const TOO_LARGE: &str = "Request body too large";

/// Status of a member's refusal for want of room: a quota is reached.
pub const FULL: u16 = 507;
/// Text of it.
pub const NO_ROOM: &str = "no room: the mailbox, or the message store, is full";

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

    /// A JSON answer that is written already.
    pub const fn written(status: u16, json: String) -> Self {
        Self { status, body: Body::Json(json) }
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
            if number > 0 {
                json.push(',');
            }
            reply.embed_into(&mut json);
        }
        json.push_str("]}");
        Self { status: 200, body: Body::Json(json) }
    }

    /// The answer to `ifelse`, with that of the branch taken, if there is one.
    pub fn branch(condition: bool, height: u64, inner: Option<&Self>) -> Self {
        let head =
            json!({ "hf": PROTOCOL_GENERATION, "v": STORAGE_SERVER_VERSION, "height": height, "condition": condition });
        let mut json = head.to_string();
        if let Some(inner) = inner {
            json.truncate(json.len() - 1);
            json.push_str(r#","result":"#);
            inner.embed_into(&mut json);
            json.push('}');
        }
        Self { status: 200, body: Body::Json(json) }
    }

    /// As one of several answers on one connection.
    pub fn embedded(&self) -> String {
        let mut json = String::new();
        self.embed_into(&mut json);
        json
    }

    /// Writes it as a part of another answer: JSON as it is, text as a string.
    fn embed_into(&self, json: &mut String) {
        json.push_str(&format!(r#"{{"code":{},"body":"#, self.status));
        match &self.body {
            Body::Json(body) => json.push_str(body),
            Body::Text(text) => json.push_str(&serde_json::Value::from(text.as_str()).to_string()),
        }
        json.push('}');
    }
}

/// Who keeps the mailbox of `account`: the answer to `get_swarm`, and the body of a 421.
pub fn swarm_response(view: &RosterView, directory: &Directory, account: &AccountAddress, now: u64) -> SwarmResponse {
    let swarm = view.swarm_of(&account.key()).unwrap_or(SwarmId::UNASSIGNED);
    let snodes = view.members(swarm).map(|entry| directory.swarm_node(entry)).collect();
    SwarmResponse { snodes, swarm: swarm.to_string(), t: now, hf: PROTOCOL_GENERATION }
}

/// The answer to a deposit that is not taken. A lack of work is told with what would do: this effort and a fresh block.
pub fn refuse_store(refusal: &StoreRefusal, effort: u32, view: &RosterView) -> Reply {
    let status = match refusal {
        StoreRefusal::Lifetime => 403,
        StoreRefusal::Clock | StoreRefusal::SignatureClock => 406,
        StoreRefusal::SignatureRequired(_) | StoreRefusal::Signature => 401,
        StoreRefusal::Work(_) => {
            let block = hex::encode(view.block_hash());
            return Reply::json(400, &json!({ "reason": "work", "effort": effort, "block": block }));
        }
    };
    Reply::text(status, refusal.to_string())
}

/// The answer to somebody who may not read.
pub fn refuse_retrieve(refusal: &RetrieveRefusal) -> Reply {
    let status = match refusal {
        RetrieveRefusal::SignatureRequired(_) | RetrieveRefusal::Signature(_) => 401,
        RetrieveRefusal::SignatureClock(_) => 406,
    };
    Reply::text(status, refusal.to_string())
}

/// The answer to an order that is not carried out, or a question that is not answered.
pub fn refuse_command(refusal: &CommandRefusal) -> Reply {
    let status = match refusal {
        CommandRefusal::Clock(_) | CommandRefusal::LimitPassed => 406,
        CommandRefusal::BeforeFuture | CommandRefusal::ExpiryPassed | CommandRefusal::Signature(_) => 401,
        CommandRefusal::ShortenWithoutDelete | CommandRefusal::TooMany => 400,
    };
    Reply::text(status, refusal.to_string())
}

/// The answer to somebody who cannot listen.
pub fn refuse_listen(refusal: ListenRefusal) -> Reply {
    match refusal {
        ListenRefusal::NoRoom => Reply::busy(),
        ListenRefusal::HandleTaken => Reply::text(403, HANDLE_TAKEN),
    }
}

/// The answer to a delivery that is not queued.
pub fn refuse_delivery(refusal: DeliverRefusal) -> Reply {
    match refusal {
        DeliverRefusal::NobodyListens => Reply::text(404, NOBODY_LISTENS),
        DeliverRefusal::TooMany => Reply::text(429, ""),
        DeliverRefusal::Full => Reply::busy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::storage::{BatchResponse, IfElseResponse, SubResponse};

    #[test]
    fn a_branch_is_embedded_as_in_a_batch() {
        let read = |reply: Reply| match reply.body {
            Body::Json(body) => serde_json::from_str::<IfElseResponse>(&body).expect("valid JSON"),
            Body::Text(text) => panic!("{text}"),
        };
        let none = read(Reply::branch(false, 7, None));
        assert_eq!(
            (none.hf, none.v, none.height, none.condition),
            (PROTOCOL_GENERATION, STORAGE_SERVER_VERSION, 7, false)
        );
        assert_eq!(none.result, None);
        let inner = Reply::text(421, "a \"text\"");
        let result = read(Reply::branch(true, 7, Some(&inner))).result;
        assert_eq!(result, Some(SubResponse { code: 421, body: json!("a \"text\"") }));
    }

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
