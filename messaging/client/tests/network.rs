//! Clients and whole messaging nodes over real sockets on loopback; only the chain node is a stand-in that tells a roster.

#[path = "network/direct.rs"]
mod direct;
#[path = "network/own_mailbox.rs"]
mod own_mailbox;
#[path = "network/proxy.rs"]
mod proxy;

use jsonrpsee::{
    RpcModule,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use skep_chain_client::RosterView;
use skep_client::{
    Account, ChainUrls, Client, Delivery, Diversity, Event, MessageState, NetworkError, Notice, Passphrase, Purpose,
    ReceiptKind, ReceiveError, RosterSource, SendError, Settings,
};
use skep_mailbox::MemoryStore;
use skep_messaging::{
    NodeKey,
    config::Config,
    drive::{Doors, MessagingNode, NodeParts, supervisor::Sockets},
};
use skep_primitives::{
    Authority, Endpoint, NodeState, Permyriad, RosterEntry, RosterSnapshot, ServiceNodeId, SoftwareVersion, StakerId,
    SwarmId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

const BLOCK: [u8; 32] = [0xbb; 32];
/// The two swarms share the ring evenly.
const SWARMS: [u64; 2] = [0, 1 << 63];

/// Nodes, each on a network and of an operator of its own, and a chain node that tells their roster.
struct Network {
    nodes: Vec<Option<MessagingNode>>,
    stores: Vec<Arc<MemoryStore>>,
    entries: Vec<RosterEntry>,
    roster: watch::Sender<Arc<RosterView>>,
    told: Arc<Mutex<RosterSnapshot>>,
    urls: ChainUrls,
    _chain: ServerHandle,
}

impl Network {
    async fn start(count: u8) -> Self {
        let (roster, receiver) = watch::channel(Arc::new(RosterView::new(snapshot(Vec::new()))));
        let (mut nodes, mut entries, mut stores) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=count {
            let store = Arc::new(MemoryStore::new(u64::MAX));
            let node = start_node(number, Sockets::default(), receiver.clone(), Arc::clone(&store)).await;
            stores.push(store);
            entries.push(entry(number, NodeKey::from_seed(&[number; 32]).id(), &node));
            nodes.push(Some(node));
        }
        let told = Arc::new(Mutex::new(snapshot(entries.clone())));
        let (urls, chain) = chain_node(Arc::clone(&told)).await;
        let network = Self { nodes, stores, entries, roster, told, urls, _chain: chain };
        network.tell(network.entries.clone());
        network
    }

    /// What the chain says from now on.
    fn tell(&self, entries: Vec<RosterEntry>) {
        *self.told.lock().expect("no panic") = snapshot(entries.clone());
        self.roster.send_replace(Arc::new(RosterView::new(snapshot(entries))));
    }

    /// Members of the swarm that keeps `client`'s mail.
    fn swarm(&self, client: &Client) -> Vec<ServiceNodeId> {
        let view = self.roster.borrow();
        let swarm = view.swarm_of(&client.account().key()).expect("there are swarms");
        view.members(swarm).map(|member| member.id).collect()
    }

    /// Waits until so many places of established paths are taken on all nodes together. Hops forget a path that nobody closed
    /// three minutes after its last request, which is longer than this waits.
    async fn serves_paths(&self, expected: usize) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let places: usize = self.counted("established_paths").await.values().sum();
            if places == expected {
                return;
            }
            assert!(Instant::now() < until, "{places} places, not {expected}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What each node that runs counts under a name.
    async fn counted(&self, name: &str) -> BTreeMap<ServiceNodeId, usize> {
        let name = format!("skep_messaging_{name} ");
        let mut counted = BTreeMap::new();
        for (entry, node) in self.entries.iter().zip(&self.nodes) {
            let Some(node) = node else { continue };
            let url = format!("http://{}/metrics", node.metrics_address().expect("enabled"));
            let metrics = reqwest::get(url).await.expect("an answer").text().await.expect("text");
            let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("counted");
            counted.insert(entry.id, count.parse().expect("a number"));
        }
        counted
    }

    async fn stop(&mut self, id: ServiceNodeId) -> usize {
        let number = self.entries.iter().position(|entry| entry.id == id).expect("a node of ours");
        self.nodes[number].take().expect("still running").stop().await;
        number
    }

    /// Stops a node and starts it again: of what was in its memory only the messages are left, as they are on a disk.
    async fn restart(&mut self, id: ServiceNodeId) {
        let number = self.stop(id).await;
        let endpoint = self.entries[number].endpoint;
        // The sockets go with the last of the node's tasks.
        let until = Instant::now() + Duration::from_secs(60);
        let sockets = loop {
            let https = TcpListener::bind((endpoint.ip(), endpoint.https_port));
            match (https, UdpSocket::bind((endpoint.ip(), endpoint.quic_port))) {
                (Ok(https), Ok(quic)) => break Sockets { https: Some(https), quic: Some(quic) },
                (Err(error), _) | (_, Err(error)) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let place = u8::try_from(number + 1).expect("few");
        self.nodes[number] =
            Some(start_node(place, sockets, self.roster.subscribe(), Arc::clone(&self.stores[number])).await);
    }
}

/// Node `number`, on these sockets or any ports.
async fn start_node(
    number: u8,
    sockets: Sockets,
    roster: watch::Receiver<Arc<RosterView>>,
    store: Arc<MemoryStore>,
) -> MessagingNode {
    let config = format!(
        "chain = [\"ws://127.0.0.1:1\"]\n\
         listen = {{ address = \"127.0.{number}.1\", https_port = 0, quic_port = 0 }}\n\
         metrics = {{ address = \"127.0.0.1:0\" }}\n"
    );
    let config = Config::parse(&config).expect("a valid configuration");
    let key = NodeKey::from_seed(&[number; 32]);
    let parts = NodeParts { key, genesis: [1; 32], roster, store };
    let doors = Doors::open(sockets, &config).await.expect("its ports are free");
    MessagingNode::start_at(doors, &config, parts).expect("the node starts")
}

/// Stands in for a chain node: genesis and roster are all a client asks for.
async fn chain_node(told: Arc<Mutex<RosterSnapshot>>) -> (ChainUrls, ServerHandle) {
    let mut module = RpcModule::new(told);
    let genesis = format!("0x{}", "01".repeat(32));
    module
        .register_method("chain_getBlockHash", move |_, _, _| Ok::<_, ErrorObjectOwned>(vec![genesis.clone()]))
        .expect("new name");
    module
        .register_method("skep_roster", |_, told, _| {
            let told = told.lock().expect("no panic").clone();
            serde_json::to_value(told).expect("serializes")
        })
        .expect("new name");
    let server = Server::builder().build("127.0.0.1:0").await.expect("binds");
    let url = format!("ws://{}", server.local_addr().expect("bound"));
    (url.parse().expect("an address"), server.start(module))
}

fn snapshot(nodes: Vec<RosterEntry>) -> RosterSnapshot {
    RosterSnapshot { height: 77 + u32::try_from(nodes.len()).expect("few"), block_hash: BLOCK, nodes }
}

fn entry(number: u8, id: ServiceNodeId, node: &MessagingNode) -> RosterEntry {
    let (https_port, quic_port) = (node.https_address().port(), node.quic_address().port());
    RosterEntry {
        id,
        operator: StakerId([number; 32]),
        fee: Permyriad::WHOLE,
        contributions: Vec::new(),
        requirement: 0,
        endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port, quic_port },
        version: SoftwareVersion([0, 1, 0]),
        state: NodeState::Active { since: 1 },
        swarm: SwarmId(SWARMS[usize::from(number) % SWARMS.len()]),
        registered_at: 1,
        last_rewarded_at: 1,
    }
}

/// Somebody whose program ends and starts again at every step.
struct Person {
    home: PathBuf,
    urls: ChainUrls,
    _directory: TempDir,
}

fn passphrase() -> Passphrase {
    Passphrase::new("secret".to_owned().into()).expect("not empty")
}

impl Person {
    fn new(name: &str, network: &Network) -> Self {
        let directory = TempDir::new().expect("made");
        let person = Self { home: directory.path().join("home"), urls: network.urls.clone(), _directory: directory };
        let name = name.parse().expect("a name");
        Client::create(&person.home, &passphrase(), &name, person.chain()).expect("made");
        person
    }

    /// The stand-in proves nothing, so it has to be believed.
    fn chain(&self) -> RosterSource {
        RosterSource::trusting(self.urls.clone())
    }

    fn client(&self) -> Client {
        Client::open(&self.home, &passphrase(), self.chain()).expect("opens")
    }

    async fn receive(&self) -> Vec<Event> {
        self.client().receive().await.expect("received")
    }

    async fn receive_texts(&self) -> Vec<String> {
        let events = self.receive().await;
        events
            .into_iter()
            .filter(|event| !matches!(event, Event::Receipt { .. }))
            .map(|event| if let Event::Message { text, .. } = event { text } else { panic!("{event:?}") })
            .collect()
    }

    async fn send(&self, to: &Self, text: &str) -> Delivery {
        self.client().send(to.client().account(), text).await.expect("delivered")
    }
}

/// Two people who can write to each other.
async fn met(network: &Network) -> (Person, Person) {
    let (alice, bob) = (Person::new("Alice", network), Person::new("Bob", network));
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    alice.client().request_contact(bob_account, "It is me".into()).await.expect("delivered");
    let events = bob.receive().await;
    assert!(
        matches!(&events[..], [Event::Request { sender, text, .. }] if *sender == alice_account && text == "It is me")
    );
    bob.client().accept(alice_account).await.expect("delivered");
    let events = alice.receive().await;
    assert!(
        matches!(&events[..], [Event::Accepted { sender, name: Some(name), .. }] if *sender == bob_account && name.as_str() == "Bob")
    );
    (alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_write_to_each_other_through_three_hops() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let there = alice.send(&bob, "Is anybody there?").await;
    let swarm = network.swarm(&bob.client());
    assert_eq!(there.diversity, Diversity::Full);
    // Every member of the swarm has it, and signed so.
    assert_eq!(there.stored_on().collect::<Vec<_>>(), swarm);
    // The path is kept across runs of the program.
    let again = alice.send(&bob, "Hello?").await;
    assert_eq!(again.path, there.path);
    assert_eq!(bob.receive_texts().await, ["Is anybody there?", "Hello?"]);
    bob.send(&alice, "Here I am").await;
    assert_eq!(alice.receive_texts().await, ["Here I am"]);
    // Nothing is told twice.
    assert!(alice.receive_texts().await.is_empty() && bob.receive_texts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_is_gone_is_replaced_alone_and_the_guard_in_the_end() {
    let mut network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let before = alice.send(&bob, "one").await.path;
    let [guard, middle, last] = before;
    network.stop(last).await;
    let mended = alice.send(&bob, "two").await.path;
    assert_eq!(mended[..2], [guard, middle]);
    assert_ne!(mended[2], last);
    network.stop(guard).await;
    let guarded_anew = alice.send(&bob, "three").await.path;
    assert!(!guarded_anew.contains(&guard) && !guarded_anew.contains(&last));
    assert_eq!(bob.receive_texts().await, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hops_agree_on_keys_and_agree_anew_when_one_has_lost_them() {
    let mut network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let bob_account = bob.client().account();
    let mut client = alice.client();
    let paths = client.paths().await.expect("they work");
    assert!(paths.iter().all(|path| path.established), "{paths:?}");
    let before = client.send(bob_account, "one").await.expect("delivered").path;
    // Every hop in turn restarts: the others of the same path notice, and nothing is lost.
    for (hop, text) in before.into_iter().zip(["two", "three", "four"]) {
        network.restart(hop).await;
        let again = client.send(bob_account, text).await.expect("delivered").path;
        assert_eq!(again, before, "no hop has failed");
    }
    let paths = client.paths().await.expect("they work");
    assert!(paths.iter().all(|path| path.established), "{paths:?}");
    assert_eq!(bob.receive_texts().await, ["one", "two", "three", "four"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hops_are_told_of_paths_that_are_over() {
    let mut network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let bob_account = bob.client().account();
    network.serves_paths(0).await;
    let mut client = alice.client();
    let hops = client.send(bob_account, "one").await.expect("delivered").path.len();
    let places = hops * client.paths().await.expect("they work").len();
    network.serves_paths(places).await;
    // A hop has lost its keys: the path is opened anew, and the guard need not keep the old one.
    let [.., last] = client.send(bob_account, "two").await.expect("delivered").path;
    network.restart(last).await;
    client.send(bob_account, "three").await.expect("delivered");
    client.paths().await.expect("they work");
    network.serves_paths(places).await;
    drop(client);
    network.serves_paths(0).await;
    let (account, _news) = Account::start(alice.client());
    account.paths().await.expect("they work");
    network.serves_paths(places).await;
    drop(account);
    network.serves_paths(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_nobody_takes_waits_until_somebody_does() {
    let mut network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    // All of Bob's swarm but two: too few for three receipts.
    let swarm = network.swarm(&bob.client());
    for member in &swarm[2..] {
        network.stop(*member).await;
    }
    let lost = alice.client().send(bob.client().account(), "patience").await;
    assert!(matches!(lost, Err(SendError::Undelivered(_))), "{lost:?}");
    // The chain drops that swarm: the mailbox is another one's now.
    let left = network.entries.iter().filter(|entry| !swarm.contains(&entry.id)).cloned().collect();
    network.tell(left);
    assert!(alice.receive().await.is_empty());
    assert_eq!(bob.receive_texts().await, ["patience"]);
}

/// How far the newest message of `person`'s with `other` has come.
fn newest(person: &Person, other: &Person) -> MessageState {
    let other = other.client().account();
    person.client().history(other, None, 1).expect("read").pop().expect("a message").state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_tells_how_far_it_has_come() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let sent = alice.send(&bob, "Are you there?").await;
    let receipts = u32::try_from(sent.receipts.len()).expect("few");
    assert_eq!(newest(&alice, &bob), MessageState::OnSwarm { receipts });
    bob.receive().await;
    assert!(matches!(newest(&bob, &alice), MessageState::Unread));
    alice.receive().await;
    assert!(matches!(newest(&alice, &bob), MessageState::Delivered { .. }));
    let mut client = bob.client();
    let message = client.history(alice_account, None, 1).expect("read").remove(0);
    assert_eq!(client.mark_read(alice_account, message.sequence).expect("written"), 1);
    client.tell_read().await.expect("connected");
    drop(client);
    let events = alice.receive().await;
    assert!(matches!(&events[..], [Event::Receipt { kind: ReceiptKind::Read, .. }]), "{events:?}");
    assert!(matches!(newest(&alice, &bob), MessageState::Read { .. }));

    // Bob does not tell any more what he has read; an answer and an unsent message arrive all the same.
    let mut client = bob.client();
    let settings = client.settings();
    client.set_settings(Settings { read_receipts: false, ..settings }).expect("written");
    drop(client);
    alice.send(&bob, "And now?").await;
    bob.receive().await;
    assert_eq!(bob.client().mark_read(alice_account, i64::MAX).expect("written"), 1);
    bob.receive().await;
    alice.receive().await;
    assert!(matches!(newest(&alice, &bob), MessageState::Delivered { .. }));
    let id = sent.id.expect("named");
    let answer = bob.client().send_text(alice_account, "Here".into(), Some(id)).await.expect("delivered");
    let events = alice.receive().await;
    assert!(matches!(&events[..], [Event::Message { reply_to, .. }] if *reply_to == Some(id)), "{events:?}");
    alice.client().unsend(bob_account, id).await.expect("delivered");
    let events = bob.receive().await;
    assert!(events.contains(&Event::Unsent { sender: alice_account, ids: vec![id] }), "{events:?}");
    // Nobody unsends what the other wrote.
    let theirs = alice.client().unsend(bob_account, answer.id.expect("named")).await;
    assert!(matches!(theirs, Err(SendError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_heals_itself_and_nothing_is_lost() {
    let network = Network::start(12).await;
    let (alice, mut bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    bob.receive().await;
    let backup = bob.home.with_file_name("backup");
    bob.client().backup(&backup, &passphrase()).expect("written");
    bob.send(&alice, "after the backup").await;
    assert_eq!(alice.receive_texts().await, ["after the backup"]);
    // Bob's machine is lost; what Alice writes meanwhile is for a session he does not have any more.
    alice.send(&bob, "while you were away").await;
    bob.home = bob.home.with_file_name("second");
    drop(Client::restore_backup(&bob.home, &backup, &passphrase(), bob.chain()).expect("restored"));
    let events = bob.receive().await;
    assert!(events.contains(&Event::SessionReset { sender: alice_account, ours: true }), "{events:?}");
    let events = alice.receive().await;
    assert!(events.contains(&Event::IdentityChanged { sender: bob_account }), "{events:?}");
    assert!(events.contains(&Event::SessionReset { sender: bob_account, ours: false }), "{events:?}");
    // Whether the old session could still read it or it came once more, it is there once.
    bob.receive().await;
    let texts = bob.client().history(alice_account, None, 10).expect("read");
    let texts: Vec<_> = texts.iter().filter_map(|message| message.text.as_deref()).collect();
    assert_eq!(texts, ["while you were away"]);
    bob.send(&alice, "back again").await;
    assert_eq!(alice.receive_texts().await, ["back again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_restored_from_its_phrase_is_welcome_again() {
    let network = Network::start(12).await;
    let (alice, mut bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let phrase = bob.client().recovery_phrase();
    alice.send(&bob, "Do you still know me?").await;
    bob.home = bob.home.with_file_name("second");
    let name = "Bob".parse().expect("a name");
    drop(Client::restore(&bob.home, &passphrase(), &phrase, &name, bob.chain()).expect("restored"));
    let events = bob.receive().await;
    let unknown = |event: &Event| matches!(event, Event::UnknownSession { sender, .. } if *sender == alice_account);
    assert!(events.iter().any(unknown), "{events:?}");
    // The request of then is still in the mailbox. Its keys are used up: accepting it fails at Alice's, who starts anew with
    // keys Bob has lost, so that Bob does with the only ones that are left.
    assert!(events.iter().any(|event| matches!(event, Event::Request { sender, .. } if *sender == alice_account)));
    bob.client().accept(alice_account).await.expect("delivered");
    let mut news = Vec::new();
    for _ in 0..2 {
        news.extend(alice.receive().await);
        news.extend(bob.receive().await);
    }
    assert!(news.contains(&Event::SessionReset { sender: bob_account, ours: false }), "{news:?}");
    let said = |event: &Event| matches!(event, Event::Message { text, .. } if text == "Do you still know me?");
    assert!(news.iter().any(said), "{news:?}");
    bob.send(&alice, "I do").await;
    assert_eq!(alice.receive_texts().await, ["I do"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_lives_tells_what_happens() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let (alice, _) = Account::start(alice.client());
    let (bob, mut news) = Account::start(bob.client());
    alice.conversation(bob_account).set_typing(true).await.expect("delivered");
    let sent = alice.conversation(bob_account).send("hello".into(), None).await.expect("delivered").expect("sent");
    let told = async {
        let (mut typing, mut text) = (false, None);
        while !typing || text.is_none() {
            match news.next().await.expect("open") {
                Notice::Event(Event::Typing { started, .. }) => typing |= started,
                Notice::Event(Event::Message { sender, id, .. }) => text = Some((sender, Some(id))),
                // A busy machine may be slow to answer; then it is tried again.
                Notice::Event(_) | Notice::Online | Notice::Offline(_) => {}
                missed @ Notice::Missed(_) => panic!("{missed:?}"),
            }
        }
        text
    };
    let text = timeout(Duration::from_secs(180), told).await.expect("told of both");
    assert_eq!(text, Some((alice_account, sent.id)));
    let unread = bob.contacts().list().await.expect("read").remove(0).unread;
    assert_eq!(unread, 1);
    let paths = bob.paths().await.expect("they work");
    // For sending in general, reading, listening, and to Alice; those for sending share their guard, no more is shared.
    let [sending, reading, listening, to_alice] = &paths[..] else { panic!("{paths:?}") };
    assert_eq!(to_alice.purpose, Purpose::Contact(alice_account));
    // Unless Alice listens there: then she is reached through one of her own.
    let listening_at = network.counted("listening_sessions").await;
    assert!(to_alice.hops[0] == sending.hops[0] || listening_at[&sending.hops[0].node] > 0, "{paths:?}");
    let hops: BTreeSet<_> =
        [reading, listening, to_alice].iter().flat_map(|path| path.hops.map(|hop| hop.node)).collect();
    assert_eq!(hops.len(), 9, "no hop is in two of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_nodes_that_contradict_each_other_are_not_believed() {
    let network = Network::start(12).await;
    let agreeing = Arc::clone(&network.told);
    let (second, _second) = chain_node(agreeing).await;
    let lie = {
        let told = network.told.lock().expect("no panic").clone();
        Arc::new(Mutex::new(RosterSnapshot { nodes: told.nodes[..6].to_vec(), ..told }))
    };
    let (liar, _liar) = chain_node(lie).await;
    let urls = |all: &[&ChainUrls]| ChainUrls::new(all.iter().flat_map(|urls| urls.iter())).expect("addresses");
    let mut alice = Person::new("Alice", &network);
    alice.urls = urls(&[&network.urls, &second]);
    assert!(alice.receive().await.is_empty());
    alice.urls = urls(&[&network.urls, &second, &liar]);
    // One that takes long contradicts nobody, so a busy machine has to ask more than once.
    let until = Instant::now() + Duration::from_secs(60);
    let mut told = alice.client().receive().await;
    while told.is_ok() && Instant::now() < until {
        told = alice.client().receive().await;
    }
    let liar = liar.iter().next().expect("one").to_owned();
    assert!(
        matches!(&told, Err(ReceiveError::Network(NetworkError::Contradiction(url, "roster"))) if *url == liar),
        "{told:?}"
    );
    // One that does not answer contradicts nobody.
    alice.urls = urls(&[&network.urls, &"ws://127.0.0.1:1".parse().expect("an address")]);
    assert!(alice.receive().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_node_that_proves_nothing_is_not_believed() {
    let network = Network::start(1).await;
    let alice = Person::new("Alice", &network);
    let checkpoint = skep_client::Checkpoint {
        genesis: [1; 32],
        number: 0,
        hash: [1; 32],
        set_id: 0,
        authorities: vec![Authority { key: [7; 32], weight: 1 }].try_into().expect("a set"),
        time: 0,
        believed_for: None,
    };
    let with = |chain: RosterSource| Client::open(&alice.home, &passphrase(), chain).expect("opens");
    let told = with(RosterSource::proven(alice.urls.clone(), checkpoint.clone())).receive().await;
    let Err(ReceiveError::Network(NetworkError::Unproven(error))) = told else { panic!("{told:?}") };
    assert!(error.to_string().contains("it cannot prove the roster: it must be updated"), "{error}");
    // Too old to say anything: nobody is even asked.
    let old = skep_client::Checkpoint { believed_for: Some(1), ..checkpoint };
    let told = with(RosterSource::proven(alice.urls.clone(), old)).receive().await;
    let Err(ReceiveError::Network(NetworkError::Unproven(error))) = told else { panic!("{told:?}") };
    assert!(error.to_string().contains("authorities are believed for"), "{error}");
    // Nothing is said of what to believe.
    let told = with(alice.urls.clone().into()).receive().await;
    assert!(matches!(told, Err(ReceiveError::Network(NetworkError::NoCheckpoint))), "{told:?}");
}
