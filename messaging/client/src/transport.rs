//! HTTPS to guards.

use crate::{paths::RequestFailure, tls};
use reqwest::{StatusCode, redirect};
use skep_onion::PathError;
use skep_primitives::{Endpoint, ServiceNodeId};
use skep_proto::storage::limits::{MAX_REQUEST_BYTES, ONION_TIMEOUT};
use std::{collections::BTreeMap, time::Duration};

/// How long a guard may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: what nodes allow themselves, and the way to the guard.
pub(crate) const ANSWER: Duration = Duration::from_millis(ONION_TIMEOUT + 5_000);
/// Largest answer read: no node sends more than a request may have, in base64 and sealed.
const MAX_ANSWER_BYTES: usize = MAX_REQUEST_BYTES / 3 * 4 + 4096;
/// A refusal is a line of text.
const MAX_REFUSAL_BYTES: usize = 4096;

/// No connection to a guard, or the other end is not that node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The connection fails.
    #[error("{0}")]
    Http(reqwest::Error),
}

/// What a guard is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Onion requests of version 2.
    OnionRequest,
    /// Frames of established paths.
    Path,
}

impl Route {
    const fn path(self) -> &'static str {
        match self {
            Self::OnionRequest => "/onion_req/v2",
            Self::Path => "/path/v1",
        }
    }
}

/// Connections to guards, each open to one node only.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    clients: BTreeMap<ServiceNodeId, reqwest::Client>,
}

impl Transport {
    /// Who posts to `guard`.
    pub(crate) fn to(
        &mut self,
        guard: ServiceNodeId,
        endpoint: Endpoint,
        route: Route,
    ) -> Result<Door, ConnectFailure> {
        let client = match self.clients.get(&guard) {
            Some(client) => client.clone(),
            None => {
                let client = client(guard)?;
                self.clients.insert(guard, client.clone());
                client
            }
        };
        let url = format!("https://{}:{}{}", endpoint.ip(), endpoint.https_port, route.path());
        Ok(Door { client, url })
    }
}

fn client(guard: ServiceNodeId) -> Result<reqwest::Client, ConnectFailure> {
    reqwest::Client::builder()
        .use_preconfigured_tls(tls::client_config(guard)?)
        .https_only(true)
        // Onion requests go to nodes of the roster, not where the environment or a node points.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .build()
        .map_err(|error| ConnectFailure::Http(error.without_url()))
}

/// One guard's door.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    client: reqwest::Client,
    url: String,
}

impl Door {
    /// Posts an onion request, or a frame; the sealed answer.
    pub(crate) async fn post(&self, body: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, RequestFailure> {
        let request = self.client.post(&self.url).timeout(timeout).body(body);
        let mut response = request.send().await.map_err(|error| {
            let error = error.without_url();
            if error.is_connect() {
                RequestFailure::Guard(ConnectFailure::Http(error))
            } else {
                RequestFailure::Silence
            }
        })?;
        let status = response.status();
        let limit = if status == StatusCode::OK { MAX_ANSWER_BYTES } else { MAX_REFUSAL_BYTES };
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| RequestFailure::Silence)? {
            if answer.len() + chunk.len() > limit {
                return Err(RequestFailure::Undecryptable);
            }
            answer.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK {
            return Ok(answer);
        }
        Err(match PathError::recognise(status.as_u16(), &answer) {
            Some(failure) => RequestFailure::Path(failure),
            None => RequestFailure::Refused(status.as_u16()),
        })
    }
}
