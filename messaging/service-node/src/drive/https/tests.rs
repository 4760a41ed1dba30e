use super::*;
use crate::{
    drive::{MessagingNode, connections::Connections, tls},
    testing::{config_with, node_key, start_with, view},
};
use futures::future::join_all;
use rustls::pki_types::ServerName;
use skep_chain_client::RosterView;
use std::{io, net::Ipv4Addr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::watch,
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Enough for what must happen.
const LONG: Duration = Duration::from_secs(60);
/// Soon over.
const SHORT: Duration = Duration::from_millis(200);

/// For what a test is not about: on a slow machine as well, nobody is cut for taking long.
fn unhurried() -> Patience {
    Patience { handshake: LONG, head: LONG, body: LONG, stall: LONG, ..Patience::default() }
}

/// A node, alone in its roster.
struct Alone {
    node: MessagingNode,
    _roster: watch::Sender<Arc<RosterView>>,
}

impl Alone {
    async fn start(changes: &str, patience: Patience) -> Self {
        let (roster, receiver) = watch::channel(Arc::new(view([])));
        let (node, entry) = start_with(1, receiver, &config_with(changes), patience).await;
        roster.send_replace(Arc::new(view([entry])));
        Self { node, _roster: roster }
    }

    async fn connect(&self, source: [u8; 4]) -> TcpStream {
        connect(self.node.https_address(), source).await
    }

    /// A client at `source`, whose connection may be cut at any time.
    async fn client(&self, source: [u8; 4]) -> io::Result<TlsStream<TcpStream>> {
        shake_hands(self.connect(source).await).await
    }

    /// Waits until so many have been: a client may see its end before the node has counted it.
    async fn has_shed(&self, reason: &str, number: u64) {
        self.has_shed_at_least(reason, number).await;
        assert_eq!(self.shed(reason), number);
    }

    async fn has_shed_at_least(&self, reason: &str, number: u64) {
        let counted = async {
            while self.shed(reason) < number {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, counted).await.expect("counted");
    }

    /// How many were turned away or cut off for `reason`.
    fn shed(&self, reason: &str) -> u64 {
        let metrics = self.node.node.metrics();
        let number = metrics.lines().find_map(|line| {
            line.strip_prefix("skep_messaging_shed_total{reason=\"")?.strip_prefix(reason)?.strip_prefix("\"} ")
        });
        number.and_then(|number| number.parse().ok()).expect("counted from the beginning")
    }
}

async fn connect(node: SocketAddr, source: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(source), 0).into()).unwrap();
    timeout(LONG, socket.connect(node)).await.unwrap().unwrap()
}

async fn shake_hands(stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut config = skep_trusting_tls::trusting().unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("skep.invalid").unwrap();
    timeout(LONG, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("shakes hands or ends")
}

/// Asks over a connection that stays open; the status.
async fn ask(client: &mut TlsStream<TcpStream>, head: &str) -> io::Result<u16> {
    client.write_all(format!("{head} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
    answered(client).await
}

/// The status of the next answer, which is read to its end.
async fn answered(client: &mut TlsStream<TcpStream>) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, client.read_u8()).await.expect("an answer or an end")?);
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse());
    let mut body = vec![0; length.unwrap_or(Ok(0)).expect("a number")];
    timeout(LONG, client.read_exact(&mut body)).await.expect("a body or an end")?;
    Ok(head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"))
}

/// Whether the node ends a connection on which nothing comes any more.
async fn is_ended(mut client: impl tokio::io::AsyncRead + Unpin) -> bool {
    !matches!(timeout(LONG, client.read(&mut [0; 64])).await.expect("ends"), Ok(1..))
}

/// The beginning of a request, and of its body.
async fn begin_a_request(client: &mut TlsStream<TcpStream>) {
    let length = 1 + REST.len();
    let begin = format!("POST /storage_rpc/v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{{");
    client.write_all(begin.as_bytes()).await.unwrap();
}

const REST: &[u8] = br#""method":"info","params":{}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn eight_addresses_that_ask_nothing_keep_nobody_out() {
    let alone = Alone::start("[limits]\nconnections = 32\nconnections_per_address = 4", unhurried()).await;
    let mut busy = alone.client([127, 8, 0, 1]).await.unwrap();
    begin_a_request(&mut busy).await;
    let mut old = alone.client([127, 8, 0, 2]).await.unwrap();
    assert_eq!(ask(&mut old, "GET /health").await.unwrap(), 200);

    // Some have asked once, some have not, some do not even shake hands.
    let mut held: Vec<TlsStream<TcpStream>> = Vec::new();
    let mut half_open = Vec::new();
    for host in 1..=8 {
        let source = [127, 9, host, 1];
        half_open.push(alone.connect(source).await);
        for asks in [true, false, true] {
            let mut client = alone.client(source).await.expect("the newest is not cut");
            if asks {
                assert_eq!(ask(&mut client, "GET /health").await.expect("the newest is not cut"), 200);
            }
            held.push(client);
        }
    }
    for host in 1..=40 {
        let mut honest = alone.client([127, 10, host, 1]).await.expect("somebody honest gets in");
        assert_eq!(ask(&mut honest, "GET /health").await.expect("and is answered"), 200);
        held.push(honest);
    }
    // One for each that came.
    alone.has_shed_at_least("idle", 40).await;
    // Who had a request under way is answered, however long ago it began.
    busy.write_all(REST).await.unwrap();
    assert_eq!(answered(&mut busy).await.unwrap(), 200);
    drop((held, half_open));
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_hold_most_are_closed_first() {
    let limits = "[limits]\nconnections = 32\nconnections_per_address = 32";
    let alone = Alone::start(limits, unhurried()).await;
    let mut first = alone.client([127, 8, 0, 1]).await.unwrap();
    assert_eq!(ask(&mut first, "GET /health").await.unwrap(), 200);
    let mut crowd = Vec::new();
    for _ in 0..30 {
        let mut client = alone.client([127, 9, 0, 1]).await.unwrap();
        assert_eq!(ask(&mut client, "GET /health").await.unwrap(), 200);
        crowd.push(client);
    }
    assert_eq!(ask(&mut first, "GET /health").await.expect("still open"), 200);
    assert!(is_ended(crowd.remove(0)).await);
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_keep_out_nobody_who_holds_little() {
    let limits = "[limits]\nconnections = 32\nconnections_per_address = 16";
    let alone = Alone::start(limits, unhurried()).await;
    let mut held = Vec::new();
    for host in 1..=2 {
        for _ in 0..16 {
            let mut client = alone.client([127, 9, host, 1]).await.expect("the newest is not cut");
            begin_a_request(&mut client).await;
            held.push(client);
        }
    }
    for host in 1..=10 {
        let mut honest = alone.client([127, 10, host, 1]).await.expect("somebody honest gets in");
        assert_eq!(ask(&mut honest, "GET /health").await.expect("and is answered"), 200);
    }
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_by_host_and_network() {
    let limits = "[limits]\nconnections_per_address = 2\nconnections_per_subnet = 3";
    let alone = Alone::start(limits, unhurried()).await;
    let [first, second] = [alone.client([127, 9, 0, 1]).await.unwrap(), alone.client([127, 9, 0, 1]).await.unwrap()];
    assert!(alone.client([127, 9, 0, 1]).await.is_err());
    let third = alone.client([127, 9, 0, 2]).await.unwrap();
    assert!(alone.client([127, 9, 0, 3]).await.is_err());
    alone.has_shed("address_connections", 1).await;
    alone.has_shed("subnet_connections", 1).await;
    let mut other = alone.client([127, 9, 1, 1]).await.unwrap();
    assert_eq!(ask(&mut other, "GET /health").await.unwrap(), 200);
    drop((first, second, third));
    // A place is free as soon as the node has noticed.
    let again = async {
        while alone.client([127, 9, 0, 1]).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, again).await.expect("comes in again");
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_takes_a_token() {
    let alone = Alone::start("[limits]\nrequests_per_second = 1\nrequest_burst = 3", unhurried()).await;
    let asked = [("GET /health", 200), ("GET /nothing", 404), ("GET /storage_rpc/v1", 405), ("GET /monitor/v1", 400)];
    for (host, (head, status)) in (1..).zip(asked) {
        let mut client = alone.client([127, 9, host, 1]).await.unwrap();
        let mut statuses = Vec::new();
        // A token comes back each second; a slow machine asks no faster than it must.
        while statuses.last() != Some(&429) && statuses.len() < 100 {
            statuses.push(ask(&mut client, head).await.unwrap());
        }
        assert!(statuses.len() > 3 && statuses[..3] == [status; 3] && statuses.last() == Some(&429), "{statuses:?}");
    }
    alone.has_shed("address_rate", 4).await;
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_take_a_token() {
    let alone = Alone::start("[limits]\nrequests_per_second = 1\nrequest_burst = 3", unhurried()).await;
    // They take their tokens as they come in, before any hands are shaken.
    let began = Instant::now();
    let clients = join_all((0..40).map(|_| alone.client([127, 9, 0, 1]))).await;
    let mut clients: Vec<_> = clients.into_iter().filter_map(Result::ok).collect();
    let most = 6 + 2 * usize::try_from(began.elapsed().as_secs() + 1).unwrap();
    assert!((6..=most.min(39)).contains(&clients.len()), "{} of at most {most}", clients.len());
    alone.has_shed("address_handshakes", 40 - u64::try_from(clients.len()).unwrap()).await;
    assert_eq!(ask(&mut clients[0], "GET /health").await.unwrap(), 200, "who is in may ask");
    assert_eq!(ask(&mut alone.client([127, 9, 0, 2]).await.unwrap(), "GET /health").await.unwrap(), 200);
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shakes_no_hands_is_cut() {
    let alone = Alone::start("", Patience { handshake: SHORT, ..unhurried() }).await;
    assert!(is_ended(alone.connect([127, 9, 0, 1]).await).await);
    alone.has_shed("half_open", 1).await;
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_nothing_is_cut() {
    let alone = Alone::start("", Patience { head: SHORT, ..unhurried() }).await;
    assert!(is_ended(alone.client([127, 9, 0, 1]).await.unwrap()).await);
    let mut slow = alone.client([127, 9, 0, 1]).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nho").await.unwrap();
    assert!(is_ended(slow).await);
    alone.has_shed("half_open", 2).await;
    alone.node.stop().await;

    let alone = Alone::start("", Patience { head: Duration::from_secs(3), ..unhurried() }).await;
    let asked_once = async || {
        let mut client = alone.client([127, 9, 0, 1]).await?;
        assert_eq!(ask(&mut client, "GET /health").await?, 200);
        io::Result::Ok(client)
    };
    // On a slow machine some may be cut before they have asked.
    let mut cut = 0;
    let once = loop {
        match asked_once().await {
            Ok(client) => break client,
            Err(error) => assert!(cut < 20, "{error}"),
        }
        cut += 1;
    };
    assert!(is_ended(once).await);
    // But not this one, which has asked.
    alone.has_shed("half_open", cut).await;
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stalls_is_given_up() {
    let alone = Alone::start("", Patience { stall: SHORT, ..unhurried() }).await;
    let mut client = alone.client([127, 9, 0, 1]).await.unwrap();
    begin_a_request(&mut client).await;
    assert_eq!(answered(&mut client).await.unwrap(), 408);
    assert!(is_ended(client).await);
    alone.has_shed("slow_request", 1).await;
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_dribbles_is_given_up() {
    let alone = Alone::start("", Patience { body: SHORT, ..unhurried() }).await;
    let client = alone.client([127, 9, 0, 1]).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(client);
    writing.write_all(b"POST /onion_req/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n").await.unwrap();
    let dribbling = async {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
        sleep(LONG).await;
    };
    let mut status = [0; 12];
    tokio::select! {
        read = timeout(LONG, reading.read_exact(&mut status)) => drop(read.expect("an answer").unwrap()),
        () = dribbling => panic!("no answer"),
    }
    assert_eq!(&status, b"HTTP/1.1 408");
    alone.has_shed("slow_request", 1).await;
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_lasts_for_good() {
    let alone = Alone::start("", Patience { connection: SHORT, ..unhurried() }).await;
    let mut client = alone.client([127, 9, 0, 1]).await.unwrap();
    let asking = async { while ask(&mut client, "GET /health").await.is_ok() {} };
    timeout(LONG, asking).await.expect("ends though it is used");
    alone.node.stop().await;
}

/// A client that has shaken hands with a connection being served, one of these, and that connection's end.
async fn connected(
    connections: &Connections,
    stop: &CancellationToken,
    patience: Patience,
) -> (TlsStream<TcpStream>, tokio::task::JoinHandle<Result<(), Shed>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(tls::server_config(&node_key(1)).unwrap());
    let (stop, connections) = (stop.clone(), connections.clone());
    let served = tokio::spawn(async move {
        let (stream, address) = listener.accept().await.unwrap();
        let place = connections.enter(address.ip()).await.unwrap();
        let router = Router::new().route("/health", get(async || "well")).route("/large", get(async || vec![7; LARGE]));
        Connection { stream, address, place: Arc::new(place), patience }
            .serve(acceptor, |_: &str| None, router, &stop)
            .await
    });
    (shake_hands(connect(node, [127, 0, 0, 1]).await).await.unwrap(), served)
}

/// More than buffers on the way take.
const LARGE: usize = 32 << 20;

#[tokio::test]
async fn an_answer_that_is_not_read_yet_is_under_way() {
    let connections = Connections::new(&config_with("[limits]\nconnections = 8").limits);
    let (stop, patience) = (CancellationToken::new(), Patience { farewell: Duration::ZERO, ..unhurried() });
    let (mut client, served) = connected(&connections, &stop, patience).await;
    client.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1];
    timeout(LONG, client.read_exact(&mut answer)).await.unwrap().unwrap();
    let mut others = Vec::new();
    for host in 1..8 {
        others.push(connections.enter([127, 9, host, 1].into()).await.unwrap());
    }
    // It was the first to come, and would be the first to go.
    sleep(SHORT).await;
    timeout(LONG, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with(&[7; 64]) && answer.len() > LARGE, "{} bytes", answer.len());
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_has_just_connected_is_answered_by_a_node_that_stops() {
    let stop = CancellationToken::new();
    let patience = Patience { first_request: LONG, ..unhurried() };
    let (mut client, served) = connected(&Connections::new(&config_with("").limits), &stop, patience).await;
    stop.cancel();
    // The connection is told to close before anything has been asked on it.
    tokio::task::yield_now().await;
    client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(LONG, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{answer}");
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_asks_nothing_does_not_hold_up_a_node_that_stops() {
    let stop = CancellationToken::new();
    let patience = Patience { first_request: Duration::ZERO, ..unhurried() };
    let (mut client, served) = connected(&Connections::new(&config_with("").limits), &stop, patience).await;
    stop.cancel();
    let _ = timeout(LONG, client.read_to_end(&mut Vec::new())).await.unwrap();
    served.await.unwrap().unwrap();
}
