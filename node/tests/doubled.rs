//! A session key on two machines, as real chain nodes notice it.

mod support;

use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
use skep_chain_client::ChainClient;
use skep_primitives::DoubledKeys;
use std::{path::Path, process::Command};
use support::{ChainNode, until, write_chain};

const ALICE: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

/// Where others reach a node.
async fn address(node: &ChainNode) -> String {
    let url = node.urls.iter().next().expect("one");
    let rpc = WsClientBuilder::default().build(url).await.expect("connects");
    until("the node listens for others", async || {
        rpc.request::<Vec<String>, _>("system_localListenAddresses", rpc_params![]).await.expect("told").pop()
    })
    .await
}

/// What a node says once it knows so many blocks.
async fn told(node: &ChainNode, best: u32) -> Option<DoubledKeys> {
    let chain = ChainClient::connect(node.urls.clone()).await.expect("connects");
    until("the chain grows", async || (chain.health().await.expect("told").best >= best).then_some(())).await;
    chain.doubled_keys().await.expect("told")
}

async fn found(node: &ChainNode) -> DoubledKeys {
    let chain = ChainClient::connect(node.urls.clone()).await.expect("connects");
    until("the other machine is noticed", async || chain.doubled_keys().await.expect("told")).await
}

/// As a keystore that was put back from a copy.
fn copy_of_alices_key(chain: &Path, data: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_skep-node"))
        .args(["key", "insert", "--key-type", "babe", "--scheme", "sr25519", "--suri", "//Alice"])
        .args(["--chain", chain.to_str().expect("UTF-8"), "--base-path", data.to_str().expect("UTF-8")])
        .status()
        .expect("runs");
    assert!(status.success());
}

#[tokio::test]
async fn a_key_on_two_machines_is_noticed_even_before_both_make_blocks() {
    let scratch = tempfile::tempdir().expect("a directory");
    let chain = write_chain(scratch.path());
    let data = |name: &str| scratch.path().join(name);
    let original = ChainNode::start(&chain, &data("original"), &["--alice"]);
    let address = address(&original).await;
    assert_eq!(told(&original, 3).await, None, "its own blocks");

    // One that follows without making blocks sees the original's.
    copy_of_alices_key(&chain, &data("standby"));
    let standby = ChainNode::start(&chain, &data("standby"), &["--bootnodes", &address]);
    let seen = found(&standby).await;
    assert_eq!(hex::encode(seen.last.key), ALICE);
    let block = ChainClient::connect(original.urls.clone()).await.expect("connects");
    assert_eq!(block.block_hash(seen.last.number).await.expect("told"), Some(seen.last.hash));
    assert_eq!(block.doubled_keys().await.expect("told"), None, "the standby makes none");
    drop(standby);

    // Who has no keys sees nothing amiss.
    let follower = ChainNode::start(&chain, &data("follower"), &["--bootnodes", &address]);
    assert_eq!(told(&follower, seen.last.number + 2).await, None);
    drop(follower);

    // A second producer, and each notices the other.
    let twin = ChainNode::start(&chain, &data("twin"), &["--alice", "--bootnodes", &address]);
    for node in [&original, &twin] {
        assert_eq!(hex::encode(found(node).await.last.key), ALICE);
    }
}
