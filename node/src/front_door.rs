//! `POST /json_rpc` for existing Session-style clients (`protocol.md` section 4, "Node list").
//!
//! They send no `id` and no Content-Type and demand `application/json` to the letter, which a strict JSON-RPC server
//! refuses: hence a listener of its own. Full lists are the common question: their bytes are made once a finalized block, kept,
//! and sent from where they lie, however many ask. What has to be made for one waits for its turn.

use crate::{
    roster::{FinalizedState, RosterError},
    turns::Turns,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::Response,
    routing::post,
};
use ed25519_dalek::VerifyingKey;
use hyper::{
    body::{Body as HttpBody, Frame, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize;
use serde_json::{Value, json};
use skep_primitives::{BlockHash, RosterSnapshot, ServiceNodeId};
use skep_rpc::node_list::{NodeListQuery, node_list};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tower_http::timeout::TimeoutLayer;

/// Most bytes of a request.
const MAX_REQUEST: usize = 64 * 1024;

/// Longest a request may take, reading included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 128;

/// Answers made at a time. As many wait as have a connection, each for as long as a request may take.
const ANSWERS_AT_A_TIME: usize = 2;

/// Age at which a connection is closed once its request is answered.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Pause after a connection could not be accepted (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most different questions of one block whose answers are kept.
const MAX_KEPT_ANSWERS: usize = 8;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for --front-door: {source}; choose another address or stop what uses it")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Begins to listen, so that a taken address stops the start.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| BindError { address, source })
}

/// Serves until the node stops.
pub async fn serve(listener: std::net::TcpListener, state: Arc<impl FinalizedState>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return log::error!("The front door for existing clients stays closed: {error}. Restart the node.");
        }
    };
    let service = TowerToHyperService::new(router(state));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Without a place, clients wait in the system's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(async move {
                    let mut connection = std::pin::pin!(connection);
                    if timeout(MAX_AGE, connection.as_mut()).await.is_err() {
                        connection.as_mut().graceful_shutdown();
                        drop(timeout(TIMEOUT, connection).await);
                    }
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("The front door could not accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The routes, over any source of finalized state.
pub fn router(state: Arc<impl FinalizedState>) -> Router {
    let door =
        Arc::new(FrontDoor { state, answers: Mutex::default(), turns: Turns::new(ANSWERS_AT_A_TIME, Turns::ALL_WAIT) });
    Router::new()
        .route("/json_rpc", post(answer))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .with_state(door)
}

struct FrontDoor<S> {
    state: Arc<S>,
    answers: Mutex<Answers>,
    turns: Turns,
}

/// What was computed for one block.
#[derive(Default)]
struct Answers {
    block: BlockHash,
    x25519: Arc<BTreeMap<ServiceNodeId, [u8; 32]>>,
    /// The latest results, by what was asked; the oldest makes room, so that odd questions shut nobody out.
    lists: VecDeque<(NodeListQuery, Bytes)>,
}

struct RpcError(i32, String);

impl From<ErrorObjectOwned> for RpcError {
    fn from(error: ErrorObjectOwned) -> Self {
        Self(error.code(), error.message().to_owned())
    }
}

/// What a caller may ask.
enum Question {
    List(NodeListQuery),
    StakingRequirement,
    Info,
}

impl Question {
    fn read(request: &Value) -> Result<Self, RpcError> {
        let method = request["method"]
            .as_str()
            .ok_or_else(|| RpcError(INVALID_REQUEST, "`method` must be given as text".into()))?;
        match method {
            "get_n_service_nodes" | "get_service_nodes" => {
                let params = &request["params"];
                if params.is_null() {
                    return Ok(Self::List(NodeListQuery::default()));
                }
                let query = NodeListQuery::deserialize(params);
                Ok(Self::List(query.map_err(|error| RpcError(INVALID_PARAMS, error.to_string()))?))
            }
            "get_staking_requirement" => Ok(Self::StakingRequirement),
            "get_info" => Ok(Self::Info),
            unknown => {
                let shown: String = unknown.chars().take(64).collect();
                Err(RpcError(METHOD_NOT_FOUND, format!("no method `{shown}`")))
            }
        }
    }
}

async fn answer<S: FinalizedState>(State(door): State<Arc<FrontDoor<S>>>, body: Bytes) -> Response {
    let (id, result) = match serde_json::from_slice::<Value>(&body) {
        Ok(mut request) => (request["id"].take(), result(door, &request).await),
        Err(error) => (Value::Null, Err(RpcError(PARSE_ERROR, format!("not JSON: {error}")))),
    };
    let mut response = Response::new(Body::new(Answer::new(&id, result)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

async fn result<S: FinalizedState>(door: Arc<FrontDoor<S>>, request: &Value) -> Result<Bytes, RpcError> {
    let question = Question::read(request)?;
    if let Some(kept) = door.kept(&question) {
        return Ok(kept);
    }
    let turns = door.turns.clone();
    Ok(turns.take(move || door.find(question)).await?)
}

impl<S: FinalizedState> FrontDoor<S> {
    /// What is known without waiting for anything.
    fn kept(&self, question: &Question) -> Option<Bytes> {
        let Question::List(query) = question else { return None };
        let block = self.state.block();
        let answers = self.answers();
        let (_, bytes) = answers.lists.iter().find(|(known, _)| answers.block == block && known == query)?;
        Some(bytes.clone())
    }

    /// Makes an answer; it may run the runtime, which blocks.
    fn find(&self, question: Question) -> Result<Bytes, RosterError> {
        // Somebody may have asked the same while this waited for its turn.
        if let Some(kept) = self.kept(&question) {
            return Ok(kept);
        }
        let roster = self.state.roster()?;
        Ok(match question {
            Question::List(query) => self.list(&roster, query),
            Question::StakingRequirement => {
                let terms = self.state.staking_terms()?;
                to_bytes(&json!({
                    "status": "OK",
                    "height": roster.height,
                    // A number, as existing clients read it; requirements stay far below 2^63.
                    "staking_requirement": u64::try_from(terms.requirement).unwrap_or(u64::MAX),
                }))
            }
            Question::Info => to_bytes(&json!({
                "status": "OK",
                "height": roster.height,
                "top_block_hash": hex::encode(roster.block_hash),
                "service_node_count": roster.nodes.len(),
                "version": env!("CARGO_PKG_VERSION"),
            })),
        })
    }

    fn list(&self, roster: &RosterSnapshot, query: NodeListQuery) -> Bytes {
        let x25519 = self.keys(roster);
        let convert = |id: &ServiceNodeId| x25519.get(id).copied().unwrap_or_default();
        let list = node_list(roster.height, &roster.block_hash, &roster.nodes, &query, convert, &mut rand::rng());
        let bytes = to_bytes(&list);
        let mut answers = self.answers();
        // A sample is drawn anew for each caller; everything else is the same for all.
        let is_same_for_all = query.limit.unwrap_or(0) == 0;
        if is_same_for_all && answers.block == roster.block_hash {
            if answers.lists.len() == MAX_KEPT_ANSWERS {
                answers.lists.pop_front();
            }
            answers.lists.push_back((query, bytes.clone()));
        }
        bytes
    }

    /// The X25519 keys of this roster, converted once.
    fn keys(&self, roster: &RosterSnapshot) -> Arc<BTreeMap<ServiceNodeId, [u8; 32]>> {
        let known = {
            let answers = self.answers();
            if answers.block == roster.block_hash {
                return answers.x25519.clone();
            }
            answers.x25519.clone()
        };
        // Nobody else waits for this: others answer from what is kept meanwhile.
        let x25519 = keys_of(roster, &known);
        *self.answers() = Answers {
            block: roster.block_hash,
            x25519: x25519.clone(),
            lists: VecDeque::with_capacity(MAX_KEPT_ANSWERS),
        };
        x25519
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The X25519 keys of a roster's nodes; those already converted are taken over.
fn keys_of(
    roster: &RosterSnapshot,
    known: &BTreeMap<ServiceNodeId, [u8; 32]>,
) -> Arc<BTreeMap<ServiceNodeId, [u8; 32]>> {
    let convert = |id: &ServiceNodeId| {
        known.get(id).copied().or_else(|| Some(VerifyingKey::from_bytes(&id.0).ok()?.to_montgomery().to_bytes()))
    };
    Arc::new(roster.nodes.iter().filter_map(|entry| Some((entry.id, convert(&entry.id)?))).collect())
}

/// A result as it is kept, with the brace that closes its answer.
fn to_bytes(value: &Value) -> Bytes {
    format!("{value}}}").into()
}

/// A JSON-RPC answer on its way: what is kept for all is not copied for one.
struct Answer(VecDeque<Bytes>);

impl Answer {
    fn new(id: &Value, result: Result<Bytes, RpcError>) -> Self {
        let (name, rest) = match result {
            Ok(result) => ("result", result),
            Err(RpcError(code, message)) => ("error", to_bytes(&json!({ "code": code, "message": message }))),
        };
        Self([format!(r#"{{"jsonrpc":"2.0","id":{id},"{name}":"#).into(), rest].into())
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|part| part.len() as u64).sum())
    }
}
