//! Everything through a SOCKS5 proxy.

use super::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use skep_client::SocksProxy;
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A host that only the proxy knows.
const CHAIN_NODE: &str = "chain.test";

/// A SOCKS5 server (RFC 1928: no authentication, CONNECT) in a world of its own: it alone knows where hosts are.
struct Proxy {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start(hosts: BTreeMap<String, SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let served = Arc::new(AtomicUsize::new(0));
        let (hosts, counted) = (Arc::new(hosts), Arc::clone(&served));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hosts, counted) = (Arc::clone(&hosts), Arc::clone(&counted));
                tokio::spawn(async move {
                    if serve(stream, &hosts, &counted).await.is_err() {
                        // The client sees a closed connection.
                    }
                });
            }
        });
        Self { address, served }
    }
}

async fn serve(mut client: TcpStream, hosts: &BTreeMap<String, SocketAddr>, served: &AtomicUsize) -> io::Result<()> {
    let (version, methods) = (client.read_u8().await?, client.read_u8().await?);
    let mut offered = vec![0; usize::from(methods)];
    client.read_exact(&mut offered).await?;
    if version != 5 || !offered.contains(&0) {
        return client.write_all(&[5, 0xff]).await;
    }
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request {
        [5, 1, 0, 1] => Ipv4Addr::from(client.read_u32().await?).to_string(),
        [5, 1, 0, 3] => {
            let mut name = vec![0; usize::from(client.read_u8().await?)];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        _ => return client.write_all(&[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]).await,
    };
    let _port = client.read_u16().await?;
    let Some(address) = hosts.get(&host) else {
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    let mut there = TcpStream::connect(address).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    served.fetch_add(1, Ordering::Relaxed);
    copy_bidirectional(&mut client, &mut there).await.map(drop)
}

/// TLS in front of a chain node, with a certificate for [`CHAIN_NODE`]. Where it is, and the certificate.
async fn encrypt(chain: SocketAddr) -> (SocketAddr, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed([CHAIN_NODE.to_owned()]).expect("a certificate");
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut there = TcpStream::connect(chain).await?;
                copy_bidirectional(&mut stream, &mut there).await
            });
        }
    });
    (address, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_node_behind_tls_is_reached_through_the_proxy_if_its_certificate_is_good() {
    let network = Network::start(12).await;
    let chain: SocketAddr = network.urls.to_string().trim_start_matches("ws://").parse().expect("an address");
    let (encrypted, certificate) = encrypt(chain).await;
    let nodes = network.entries.iter().map(|entry| {
        let Endpoint { ipv4, https_port, .. } = entry.endpoint;
        (Ipv4Addr::from(ipv4).to_string(), SocketAddr::from((ipv4, https_port)))
    });
    let hosts = nodes.chain([(CHAIN_NODE.to_owned(), encrypted), ("another.test".to_owned(), encrypted)]).collect();
    let proxy = Proxy::start(hosts).await;
    let through: SocksProxy = format!("socks5h://{}", proxy.address).parse().expect("a proxy");
    let believing = through.clone().believing(certificate);
    let url =
        |scheme: &str, host: &str| -> ChainUrls { format!("{scheme}://{host}:9944").parse().expect("an address") };

    let mut alice = Person::new("Alice", &network);
    alice.urls = url("wss", CHAIN_NODE).through(believing.clone());
    assert_eq!(alice.receive().await, []);
    for (case, urls, reason) in [
        ("nobody vouches", url("wss", CHAIN_NODE).through(through), "UnknownIssuer"),
        ("for another", url("wss", "another.test").through(believing.clone()), "not valid for name"),
        ("not encrypted", url("ws", CHAIN_NODE).through(believing), ""),
    ] {
        alice.urls = urls;
        let failed = alice.client().receive().await;
        let Err(ReceiveError::Network(error @ NetworkError::Connect(_))) = failed else { panic!("{case}: {failed:?}") };
        assert!(error.to_string().contains(reason), "{case}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_through_the_proxy_and_nothing_around_it() {
    let network = Network::start(12).await;
    let chain: SocketAddr = network.urls.to_string().trim_start_matches("ws://").parse().expect("an address");
    // Clients are told addresses (of documentation, RFC 5737) at which nobody can be reached but through the proxy.
    let mut hosts = BTreeMap::from([(CHAIN_NODE.to_owned(), chain)]);
    let elsewhere = |number: u8| Ipv4Addr::new(192, 0, 2, number);
    let mut told = network.told.lock().expect("no panic").clone();
    for (number, entry) in (1..).zip(&mut told.nodes) {
        let Endpoint { ipv4, https_port, quic_port } = entry.endpoint;
        hosts.insert(elsewhere(number).to_string(), SocketAddr::from((ipv4, https_port)));
        entry.endpoint = Endpoint { ipv4: elsewhere(number).octets(), https_port, quic_port };
    }
    *network.told.lock().expect("no panic") = told;
    let proxy = Proxy::start(hosts).await;
    let through: SocksProxy = format!("socks5h://{}", proxy.address).parse().expect("a proxy");
    let urls: ChainUrls = format!("ws://{CHAIN_NODE}:9944").parse().expect("an address");

    let [mut alice, mut bob] = ["Alice", "Bob"].map(|name| Person::new(name, &network));
    (alice.urls, bob.urls) = (urls.clone().through(through.clone()), urls.clone().through(through));
    alice.client().request_contact(bob.client().account(), "through a proxy".into()).await.expect("delivered");
    let events = bob.receive().await;
    assert!(matches!(&events[..], [Event::Request { text, .. }] if text == "through a proxy"), "{events:?}");
    // The chain and a guard at least, for each run of each.
    assert!(proxy.served.load(Ordering::Relaxed) >= 4);

    // Without the proxy, or with one that is gone, nothing works: there is no other way out.
    let gone: SocksProxy = "socks5h://127.0.0.1:1".parse().expect("a proxy");
    for urls in [urls.clone(), urls.through(gone.clone()), network.urls.clone().through(gone)] {
        bob.urls = urls;
        let failed = bob.client().receive().await;
        assert!(matches!(failed, Err(ReceiveError::Network(NetworkError::Connect(_)))), "{failed:?}");
    }
}
