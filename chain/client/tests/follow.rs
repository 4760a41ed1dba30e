//! Following and asking, against chain nodes that speak the same RPC over real sockets and then go away.

use jsonrpsee::{
    RpcModule, SubscriptionMessage,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use serde_json::json;
use skep_chain_client::{AskError, ChainClient, ChainHealth, ChainUrls, RosterReceiver, follow};
use skep_primitives::{BlockNumber, RosterSnapshot};
use std::time::Duration;
use tokio::sync::watch;

/// A chain whose finalized height the test sets; block `n` has the hash `network` followed by `n`.
struct ChainNode {
    url: String,
    height: watch::Sender<BlockNumber>,
    handle: ServerHandle,
}

#[derive(Clone)]
struct Blocks {
    network: u8,
    height: watch::Receiver<BlockNumber>,
}

impl Blocks {
    fn hash(&self, height: BlockNumber) -> [u8; 32] {
        let mut hash = [self.network; 32];
        hash[28..].copy_from_slice(&height.to_be_bytes());
        hash
    }

    fn hex(&self, height: BlockNumber) -> String {
        format!("0x{}", hex::encode(self.hash(height)))
    }

    fn head(&self) -> serde_json::Value {
        json!({ "number": format!("{:#x}", *self.height.borrow()), "parentHash": self.hex(0) })
    }

    fn roster(&self) -> RosterSnapshot {
        let height = *self.height.borrow();
        RosterSnapshot { height, block_hash: self.hash(height), nodes: Vec::new() }
    }
}

impl ChainNode {
    async fn start(network: u8, at: BlockNumber) -> Self {
        let (height, receiver) = watch::channel(at);
        let mut module = RpcModule::new(Blocks { network, height: receiver });
        module
            .register_method("chain_getBlockHash", |params, blocks, _| {
                let heights: Vec<BlockNumber> = params.one()?;
                let known = *blocks.height.borrow();
                let hashes = heights.into_iter().map(|height| (height <= known).then(|| blocks.hex(height)));
                Ok::<_, ErrorObjectOwned>(hashes.collect::<Vec<_>>())
            })
            .expect("new name");
        module
            .register_method("chain_getFinalizedHead", |_, blocks, _| blocks.hex(*blocks.height.borrow()))
            .expect("new name");
        module.register_method("chain_getHeader", |_, blocks, _| blocks.head()).expect("new name");
        module
            .register_method("system_health", |_, _, _| json!({"peers": 3, "isSyncing": true, "shouldHavePeers": true}))
            .expect("new name");
        module.register_method("state_getStorage", |_, _, _| "0x0068e5cf8b010000").expect("new name");
        module.register_method("skep_roster", |_, blocks, _| json!(blocks.roster())).expect("new name");
        module
            .register_method("skep_stakingRequirement", |_, _, _| {
                Err::<(), _>(ErrorObjectOwned::owned(7, "no such block", None::<()>))
            })
            .expect("new name");
        module
            .register_subscription(
                "chain_subscribeFinalizedHeads",
                "chain_finalizedHead",
                "chain_unsubscribeFinalizedHeads",
                |_, pending, blocks, _| async move { push(pending, &blocks, |blocks| blocks.head()).await },
            )
            .expect("new name");
        module
            .register_subscription(
                "skep_subscribeRoster",
                "skep_rosterChanged",
                "skep_unsubscribeRoster",
                |_, pending, blocks, _| async move { push(pending, &blocks, |blocks| json!(blocks.roster())).await },
            )
            .expect("new name");
        let server = Server::builder().build("127.0.0.1:0").await.expect("binds");
        let url = format!("ws://{}", server.local_addr().expect("bound"));
        Self { url, height, handle: server.start(module) }
    }

    async fn stop(self) {
        self.handle.stop().expect("runs");
        self.handle.stopped().await;
    }
}

async fn push(pending: jsonrpsee::PendingSubscriptionSink, blocks: &Blocks, message: fn(&Blocks) -> serde_json::Value) {
    let Ok(sink) = pending.accept().await else { return };
    let mut height = blocks.height.clone();
    loop {
        let message = SubscriptionMessage::from_json(&message(blocks)).expect("serializes");
        if sink.send(message).await.is_err() || height.changed().await.is_err() {
            return;
        }
    }
}

fn urls(nodes: &[&ChainNode]) -> ChainUrls {
    ChainUrls::new(nodes.iter().map(|node| node.url.clone())).expect("valid")
}

async fn reaches(views: &mut RosterReceiver, height: BlockNumber) {
    tokio::time::timeout(Duration::from_secs(60), views.wait_for(|view| view.height() >= height))
        .await
        .expect("in time")
        .expect("followed");
}

#[tokio::test]
async fn follows_on_when_its_chain_node_stops_and_never_goes_back() {
    let first = ChainNode::start(1, 1_300).await;
    let second = ChainNode::start(1, 1_290).await;
    let mut views = follow(urls(&[&first, &second])).await.expect("follows");
    assert_eq!(views.borrow_and_update().recent_blocks().count(), skep_chain_client::RECENT_BLOCKS);
    first.height.send_replace(1_305);
    reaches(&mut views, 1_305).await;
    let hashes: Vec<_> = views.borrow().recent_blocks().map(|(height, _)| height).collect();
    assert!(hashes.is_sorted_by(|a, b| a + 1 == *b), "no finalized block is skipped");

    first.stop().await;
    // The second node is behind: nothing it says may bring an older height back.
    second.height.send_replace(1_300);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(views.borrow().height(), 1_305);
    second.height.send_replace(1_310);
    reaches(&mut views, 1_310).await;
    assert_eq!(views.borrow().roster_height(), 1_310);
}

#[tokio::test]
async fn a_chain_node_of_another_network_is_passed_over() {
    let ours = ChainNode::start(1, 5).await;
    let other = ChainNode::start(2, 9).await;
    let third = ChainNode::start(1, 6).await;
    let client = ChainClient::connect(urls(&[&ours, &other, &third])).await.expect("connects");
    let genesis = client.genesis_hash();
    assert_eq!(client.finalized().await.expect("answers").height, 5);
    ours.stop().await;
    assert_eq!(client.finalized().await.expect("the third answers").height, 6);
    assert_eq!(client.genesis_hash(), genesis);
    third.stop().await;
    let error = client.roster().await.expect_err("only the other network is left").to_string();
    assert!(error.contains("another network"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_asked_elsewhere() {
    let node = ChainNode::start(1, 5).await;
    let client = ChainClient::connect(urls(&[&node])).await.expect("connects");
    assert_eq!(client.roster().await.expect("answers").height, 5);
    assert!(matches!(client.block_hash(6).await, Ok(None)));
    let refused = client.staking_terms().await;
    assert!(matches!(refused, Err(AskError::Refused { code: 7, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_chain_node_says_how_it_is() {
    let node = ChainNode::start(1, 31).await;
    let client = ChainClient::connect(urls(&[&node])).await.expect("connects");
    let health = client.health().await.expect("answers");
    let best_time = Some(1_700_000_000_000);
    assert_eq!(health, ChainHealth { peers: 3, is_syncing: true, best: 31, best_time, finalized: 31 });
}
