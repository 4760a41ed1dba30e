//! Relaying over real sockets against the bound that the same stack sets: a server that echoes, and the crypto by itself.
//!
//! ```text
//! relay: client --HTTPS--> guard: peel --QUIC--> next: peel, next node not found ---> back
//! echo:  client --HTTPS--> front       --QUIC--> back: answers as much           ---> back
//! crypto: what both nodes peel, from the raw operations, on as many threads
//! ```
//!
//! All of it, the clients too, shares one process and its two threads.

use crate::{
    Outcome,
    nodes::{Nodes, https_client, runtime},
    onion::{SIZES, derive, node, open},
};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use skep_mailbox::{MemoryStore, Store};
use skep_measure::{Aim, Report, Row, duration, quartiles};
use skep_onion::{EncType, Frame, Hop, WrapOptions, wrap};
use skep_trusting_tls::trusting;
use std::{
    error::Error,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use x25519_dalek::PublicKey;

/// Clients at once.
const CLIENTS: usize = 32;
const THREADS: usize = 2;
type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    for (size, words) in SIZES {
        let name = format!("relay over sockets, {words}, vs 1/(1/echo + 1/crypto)");
        if report.wants(&name) {
            let row = row(name, size, report.runs())?;
            report.tell(&row)?;
        }
    }
    Ok(())
}

fn row(name: String, size: usize, runs: usize) -> Result<Row, Box<dyn Error>> {
    let number = if size > 10_000 { 600 } else { 2000 };
    let runtime = runtime()?;
    let stores = (0..2).map(|_| Arc::new(MemoryStore::new(u64::MAX)) as Arc<dyn Store>).collect();
    let nodes = runtime.block_on(Nodes::start(stores))?;
    let guard = format!("https://{}/onion_req/v2", nodes.nodes[0].https_address());
    let (strangers, path) = ([node(101), node(102)], [nodes.hop(0)?, nodes.hop(1)?, node(101).hop]);
    let bodies = || -> Result<Arc<Vec<Bytes>>, Box<dyn Error>> {
        let wrapped = (0..number).map(|_| body(&path, &strangers[1].hop, size));
        Ok(Arc::new(wrapped.collect::<Result<_, _>>()?))
    };
    // What comes back: as much is echoed.
    let first = body(&path, &strangers[1].hop, size)?;
    let answer = runtime.block_on(async {
        let answer = https_client()?.post(&guard).body(first).send().await?;
        let (status, text) = (answer.status(), answer.bytes().await?);
        if status == 502 { Ok(text) } else { Err::<_, Box<dyn Error>>(format!("the relay answered {status}").into()) }
    })?;
    let echo = runtime.block_on(Echo::start(answer.len()))?;
    let echo_url = format!("https://{}/", echo.front);

    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for run in 0..runs {
        let bodies = bodies()?;
        let relay = || runtime.block_on(throughput(&guard, 502, &bodies));
        let echo = || runtime.block_on(throughput(&echo_url, 200, &bodies));
        let (relay, echo) = if run % 2 == 0 {
            let relay = relay()?;
            (relay, echo()?)
        } else {
            let echo = echo()?;
            (relay()?, echo)
        };
        let crypto = crypto(size, number)?;
        ratios.push((echo + crypto) / relay);
        for (times, time) in times.iter_mut().zip([relay, echo, crypto]) {
            times.push(time);
        }
    }
    runtime.block_on(nodes.stop());
    let [relay, echo, crypto] = times.map(|times| duration(quartiles(&times).median));
    let detail = format!("{relay} against {echo} + {crypto}");
    Ok(Row { name, aim: Aim::AtLeast(0.85), ratios, detail })
}

fn body(path: &[Hop], destination: &Hop, size: usize) -> Result<Bytes, Box<dyn Error>> {
    Ok(wrap(path, destination, &vec![7; size], WrapOptions::default(), &mut rand::rng())?.body.into())
}

/// Seconds a request, with all clients at once.
async fn throughput(url: &str, status: u16, bodies: &Arc<Vec<Bytes>>) -> Result<f64, Box<dyn Error>> {
    let next = Arc::new(AtomicUsize::new(0));
    let client = https_client()?;
    // Connections are open before the time counts.
    try_join_all((0..CLIENTS).map(async |_| client.get(url).send().await?.bytes().await)).await?;
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (url, client, bodies, next) = (url.to_owned(), client.clone(), Arc::clone(bodies), Arc::clone(&next));
        tokio::spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = client.post(&url).body(body.clone()).send().await?;
                if answer.status() != status {
                    return Err(Failure::from(format!("{url} answered {}", answer.status())));
                }
                answer.bytes().await?;
            }
            Ok::<_, Failure>(())
        })
    });
    for outcome in try_join_all(clients).await? {
        outcome.map_err(|error| -> Box<dyn Error> { error })?;
    }
    Ok(begun.elapsed().as_secs_f64() / bodies.len() as f64)
}

/// Seconds of raw operations a request on all threads: two layers, as the two nodes open.
fn crypto(size: usize, number: usize) -> Result<f64, Box<dyn Error>> {
    let hops = [node(1).hop, node(2).hop, node(3).hop];
    let body = body(&hops, &node(4).hop, size)?;
    let begun = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let body = body.clone();
            thread::spawn(move || -> Result<(), Failure> {
                let raw = node(1).raw;
                let public = PublicKey::from(&raw);
                let frame = Frame::parse(&body)?;
                let ephemeral = PublicKey::from(frame.ephemeral_key);
                for _ in 0..2 * number / THREADS {
                    let key = derive(EncType::XChaCha20, &raw, &ephemeral, &ephemeral, &public);
                    std::hint::black_box(open(EncType::XChaCha20, &key, std::hint::black_box(frame.ciphertext))?);
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?.map_err(|error| -> Box<dyn Error> { error })?;
    }
    Ok(begun.elapsed().as_secs_f64() / number as f64)
}

/// The same stack without the relay: HTTPS in front, QUIC behind, nothing done with what passes.
struct Echo {
    front: SocketAddr,
}

impl Echo {
    async fn start(answer: usize) -> Result<Self, Box<dyn Error>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate: CertificateDer<'static> =
            CertificateParams::new(vec!["skep.invalid".to_owned()])?.self_signed(&key)?.der().clone();
        let tls = |alpn: &[u8]| -> Result<rustls::ServerConfig, Box<dyn Error>> {
            let mut tls =
                rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .with_safe_default_protocol_versions()?
                    .with_no_client_auth()
                    .with_single_cert(
                        vec![certificate.clone()],
                        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
                    )?;
            tls.alpn_protocols = vec![alpn.to_vec()];
            Ok(tls)
        };

        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls(b"echo")?)?));
        let back = Endpoint::server(config, "127.0.0.1:0".parse()?)?;
        let back_address = back.local_addr()?;
        tokio::spawn(async move {
            while let Some(incoming) = back.accept().await {
                if let Ok(connection) = incoming.await {
                    tokio::spawn(answer_streams(connection, answer));
                }
            }
        });
        let mut trusting = trusting()?;
        trusting.alpn_protocols = vec![b"echo".to_vec()];
        let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(trusting)?));
        let hop = endpoint.connect_with(config, back_address, "skep.invalid")?.await?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(tls(b"http/1.1")?));
        tokio::spawn(async move {
            let _endpoint = endpoint;
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, hop) = (acceptor.clone(), hop.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| pass_on(request, hop.clone()));
                    // A client that goes away ends it.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { front })
    }
}

async fn answer_streams(connection: Connection, answer: usize) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            if receive.read_to_end(usize::MAX).await.is_ok() && send.write_all(&vec![b'e'; answer]).await.is_ok() {
                let _ = send.finish();
            }
        });
    }
}

async fn pass_on(request: Request<Incoming>, hop: Connection) -> Result<Response<Full<Bytes>>, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    if body.is_empty() {
        return Ok(Response::new(Full::default()));
    }
    let (mut send, mut receive) = hop.open_bi().await?;
    send.write_all(&body).await?;
    send.finish()?;
    Ok(Response::new(Full::from(receive.read_to_end(usize::MAX).await?)))
}
