//! Carrying onion requests to servers outside the network: off unless the operator names some.
//!
//! | rule | why |
//! |---|---|
//! | only hosts the operator lists, by name | nobody else's traffic leaves from the operator's address |
//! | only `https`, TLS 1.2 or later, certificates of the public authorities | what is carried is for that server |
//! | only paths `/loki/../lsrpc` and `/oxen/../lsrpc`, no query | what such servers offer, and nothing else of theirs |
//! | only public addresses, judged where the connection goes, after the name was looked up | a name may point inwards |
//! | no redirects, no proxy, no cookies | the answer is the named server's |
//! | bounded in time, size and number | |

use super::{
    budget::{Budget, Holder, Lease},
    node::OnionServed,
};
use crate::config::ExitConfig;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect::Policy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    version::{TLS12, TLS13},
};
use skep_onion::{ExitRequest, PathError};
use skep_primitives::is_public;
use skep_proto::storage::limits::{EXIT_TIMEOUT, MAX_REQUEST_BYTES};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::lookup_host, sync::Semaphore, time::timeout};

/// Requests on their way at once.
const AT_ONCE: usize = 64;
/// Largest answer.
const MAX_ANSWER: usize = MAX_REQUEST_BYTES;
/// Idle connections kept to one server.
const IDLE: usize = 4;
/// Where the kinds of requests are that existing servers take.
const ROOTS: [&str; 2] = ["/loki/", "/oxen/"];
const END: &str = "/lsrpc";

/// The way out.
#[derive(Debug)]
pub(crate) struct Exits {
    client: Client,
    hosts: Vec<String>,
    slots: Semaphore,
    most: usize,
}

/// The exit cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExitError {
    /// TLS.
    #[error("cannot set up TLS for the exit: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client.
    #[error("cannot set up the exit: {0}")]
    Client(#[from] reqwest::Error),
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Carried {
    status: u16,
    body: Vec<u8>,
    lease: Lease,
}

/// Why there is no answer of a server's. Which address its name led to is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitFailure {
    /// Too many requests are on their way.
    Busy,
    /// It did not answer in time.
    TimedOut,
    /// It is not there, not public, not who it should be, or says too much.
    Unreachable,
}

impl Exits {
    /// The way out to the hosts the operator lists; none if there are none.
    pub(crate) fn new(config: &ExitConfig) -> Result<Option<Self>, ExitError> {
        if config.hosts.is_empty() {
            return Ok(None);
        }
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::with(&config.hosts, roots, is_public).map(Some)
    }

    fn with(hosts: &[String], roots: RootCertStore, may_connect: fn(IpAddr) -> bool) -> Result<Self, ExitError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .dns_resolver(Arc::new(Resolver { may_connect }))
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(IDLE)
            .user_agent(concat!("skep-messaging/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { client, hosts, slots: Semaphore::new(AT_ONCE), most: MAX_ANSWER })
    }

    /// Where a request goes, if it may go there.
    pub(crate) fn url(&self, exit: &ExitRequest) -> Option<Url> {
        let ExitRequest { host, target, port, protocol } = exit;
        let host = host.to_ascii_lowercase();
        let is_allowed = protocol == "https"
            && *port != 0
            && self.hosts.contains(&host)
            && ROOTS.iter().any(|root| target.starts_with(root))
            && target.ends_with(END);
        let url = is_allowed.then(|| Url::parse(&format!("https://{host}:{port}{target}")).ok()).flatten()?;
        // Written as it is read: no query, no fragment, no steps upwards.
        let is_as_written = url.path() == target && url.query().is_none() && url.fragment().is_none();
        // An address would be connected to without a look-up, which is where addresses are judged.
        (is_as_written && url.domain().is_some()).then_some(url)
    }

    /// Brings `payload` there and the answer back, which is held for `holder`.
    pub(crate) async fn carry(
        &self,
        holder: Holder,
        url: Url,
        payload: Vec<u8>,
        budget: &Budget,
    ) -> Result<Carried, ExitFailure> {
        let lease = budget.lease(holder, 0).ok_or(ExitFailure::Busy)?;
        let _slot = self.slots.try_acquire().map_err(|_| ExitFailure::Busy)?;
        let carried = timeout(Duration::from_millis(EXIT_TIMEOUT), self.exchange(url, payload, lease)).await;
        carried.unwrap_or(Err(ExitFailure::TimedOut))
    }

    async fn exchange(&self, url: Url, payload: Vec<u8>, mut lease: Lease) -> Result<Carried, ExitFailure> {
        let failed = |error: reqwest::Error| {
            tracing::debug!(error = %error.without_url(), "a server outside the network did not answer");
            ExitFailure::Unreachable
        };
        let request = self.client.post(url).header(CONTENT_TYPE, "application/octet-stream").body(payload);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            let length = body.len() + chunk.len();
            if length > self.most {
                return Err(ExitFailure::Unreachable);
            }
            if !lease.grow(length) {
                return Err(ExitFailure::Busy);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Carried { status, body, lease })
    }
}

impl From<Result<Carried, ExitFailure>> for OnionServed {
    fn from(carried: Result<Carried, ExitFailure>) -> Self {
        let text = |status, text: &str| Self { status, body: text.into(), lease: None };
        match carried {
            Ok(Carried { status, body, lease }) => Self { status, body, lease: Some(lease) },
            Err(ExitFailure::Busy) => text(503, crate::core::SERVER_BUSY),
            Err(ExitFailure::TimedOut) => PathError::TimedOut.into(),
            Err(ExitFailure::Unreachable) => text(502, "Server not reachable"),
        }
    }
}

/// Looks names up and gives only addresses that may be connected to: the client connects to nothing else.
struct Resolver {
    may_connect: fn(IpAddr) -> bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let may_connect = self.may_connect;
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<_> = found.filter(|address| may_connect(address.ip())).collect();
            if addresses.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    };
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A server on loopback, which calls itself `localhost`: its port and certificate.
    async fn server() -> (u16, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("makes");
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS12])
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let router = Router::new()
            .route(
                "/oxen/echo/lsrpc",
                post(async |headers: HeaderMap, body: Bytes| {
                    assert_eq!(headers["content-type"], "application/octet-stream");
                    (axum::http::StatusCode::CREATED, body)
                }),
            )
            .route(
                "/loki/away/lsrpc",
                post(async || (axum::http::StatusCode::FOUND, [("location", "/oxen/echo/lsrpc")], "elsewhere")),
            )
            .route("/oxen/much/lsrpc", post(async || vec![7; 2_000]));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (port, cert.der().clone())
    }

    fn exits(certificate: Option<CertificateDer<'static>>, may_connect: fn(IpAddr) -> bool) -> Exits {
        let mut roots = RootCertStore::empty();
        certificate.into_iter().for_each(|certificate| roots.add(certificate).expect("a certificate"));
        Exits::with(&["LocalHost".to_owned()], roots, may_connect).expect("starts")
    }

    fn request(target: &str, port: u16) -> ExitRequest {
        ExitRequest { host: "localhost".into(), target: target.into(), port, protocol: "https".into() }
    }

    async fn carry(exits: &Exits, target: &str, port: u16) -> Result<(u16, Vec<u8>), ExitFailure> {
        let url = exits.url(&request(target, port)).expect("may go there");
        let carried = exits.carry(Holder::Watchers, url, b"payload".to_vec(), &Budget::new(1 << 20)).await;
        carried.map(|carried| (carried.status, carried.body))
    }

    #[tokio::test]
    async fn what_a_server_answers_passes_back_as_it_is() {
        let (port, certificate) = server().await;
        let mut exits = exits(Some(certificate), |address| address.is_loopback());
        assert_eq!(carry(&exits, "/oxen/echo/lsrpc", port).await, Ok((201, b"payload".to_vec())));
        assert_eq!(carry(&exits, "/loki/away/lsrpc", port).await, Ok((302, b"elsewhere".to_vec())), "not followed");
        assert_eq!(carry(&exits, "/oxen/none/lsrpc", port).await.map(|(status, _)| status), Ok(404));
        exits.most = 1_999;
        assert_eq!(
            carry(&exits, "/oxen/much/lsrpc", port).await,
            Err(ExitFailure::Unreachable),
            "more than it may say"
        );
        exits.slots.close();
        assert_eq!(carry(&exits, "/oxen/echo/lsrpc", port).await, Err(ExitFailure::Busy));
    }

    #[tokio::test]
    async fn neither_strangers_nor_inner_addresses_are_spoken_to() {
        let (port, certificate) = server().await;
        let unknown = exits(None, |address| address.is_loopback());
        assert_eq!(carry(&unknown, "/oxen/echo/lsrpc", port).await, Err(ExitFailure::Unreachable));
        let public_only = exits(Some(certificate), is_public);
        assert_eq!(carry(&public_only, "/oxen/echo/lsrpc", port).await, Err(ExitFailure::Unreachable));
    }

    #[test]
    fn only_listed_hosts_and_their_request_paths_are_let_through() {
        let exits = exits(None, is_public);
        let url = |request: ExitRequest| exits.url(&request).map(|url| url.to_string());
        let good = || request("/oxen/v4/lsrpc", 443);
        assert_eq!(url(good()).as_deref(), Some("https://localhost/oxen/v4/lsrpc"));
        assert_eq!(url(request("/loki/v3/lsrpc", 8443)).as_deref(), Some("https://localhost:8443/loki/v3/lsrpc"));
        for host in ["example.org", "127.0.0.1", "localhost.", "localhost:443", "user@localhost", ""] {
            assert_eq!(url(ExitRequest { host: host.into(), ..good() }), None, "{host}");
        }
        for target in [
            "/lsrpc",
            "/oxen/v4/lsrpc?x=1",
            "/oxen/v4/lsrpc#x/lsrpc",
            "/oxen/?/lsrpc",
            "/oxen/../admin/lsrpc",
            "/oxen/%2e%2e/admin/lsrpc",
            "/oxen/v4/lsrpc/",
            "/Oxen/v4/lsrpc",
            "oxen/v4/lsrpc",
            "/oxen/\r\nHost: x/lsrpc",
            "@example.org/oxen/lsrpc",
        ] {
            assert_eq!(url(request(target, 443)), None, "{target}");
        }
        assert_eq!(url(request("/oxen/v4/lsrpc", 0)), None);
        let hosts = ["127.1", "0x7f000001", "2130706433", "[::1]"].map(str::to_owned);
        let numbers = Exits::with(&hosts, RootCertStore::empty(), is_public).expect("starts");
        for host in hosts {
            assert_eq!(numbers.url(&ExitRequest { host: host.clone(), ..good() }), None, "{host}");
        }
        assert_eq!(url(ExitRequest { protocol: "http".into(), ..good() }), None);
    }
}
