//! The roster of a real chain node, proven to a client that believes nothing but genesis, and every lie about it caught.

mod support;

use codec::{DecodeAll, Encode};
use ed25519_dalek::{Signer, SigningKey};
use jsonrpsee::{
    RpcModule,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use skep_chain_client::{
    AskError, ChainClient, ChainUrls, Checkpoint, HearError, Lie, ProvenRoster, Registration, RosterVerifier,
    Submitter, Wait, difference,
    proof::{RosterProofError, follow, read_head, read_roster},
};
use skep_primitives::{
    Endpoint, Moment, NodeState, Permyriad, RosterProof, RosterSnapshot, ServiceNodeId, SoftwareVersion, UNIT, signing,
};
use std::time::{SystemTime, UNIX_EPOCH};
use support::{ChainNode, LIMIT, until, write_chain};

fn now() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    now.try_into().expect("before long")
}

async fn register(chain: &ChainClient, submitter: &Submitter, number: u8, stake: u128) -> ServiceNodeId {
    let key = SigningKey::from_bytes(&[number; 32]);
    let (node, fee) = (ServiceNodeId(key.verifying_key().to_bytes()), Permyriad::default());
    let message = signing::registration(&chain.genesis_hash(), &submitter.staker(), fee);
    let registration = Registration {
        reserved: Vec::new(),
        node,
        proof: key.sign(&message).to_bytes(),
        fee,
        endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
        version: SoftwareVersion([0, 1, 0]),
        stake,
    };
    let registered = submitter.register(&registration, Wait::InBlock).await.expect("registered");
    assert_eq!(
        registered.locked.amount,
        stake.min(registered.requirement),
        "what is above the requirement is not taken"
    );
    node
}

/// What an honest chain node sends.
#[derive(Clone)]
struct Sent {
    genesis: [u8; 32],
    warp: Vec<u8>,
    head: Vec<u8>,
    roster: Vec<u8>,
    plain: RosterSnapshot,
}

impl Sent {
    /// A chain node that sends this, whoever asks.
    async fn serve(self) -> (String, ServerHandle) {
        let mut module = RpcModule::new(self);
        let text = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
        module
            .register_method("chain_getBlockHash", move |_, sent, _| {
                Ok::<_, ErrorObjectOwned>(vec![text(&sent.genesis)])
            })
            .expect("new name");
        module.register_method("roster_warpProof", move |_, sent, _| text(&sent.warp)).expect("new name");
        module.register_method("roster_headProof", move |_, sent, _| text(&sent.head)).expect("new name");
        module.register_method("roster_proof", move |_, sent, _| text(&sent.roster)).expect("new name");
        module
            .register_method("skep_roster", |_, sent, _| serde_json::to_value(&sent.plain).expect("serializes"))
            .expect("new name");
        let server = Server::builder().build("127.0.0.1:0").await.expect("binds");
        (format!("ws://{}", server.local_addr().expect("bound")), server.start(module))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roster_of_a_real_chain_is_proven_and_lies_about_it_are_caught() {
    let scratch = tempfile::tempdir().expect("creates");
    let node = ChainNode::start(&write_chain(scratch.path()), &scratch.path().join("chain"), &["--alice"]);
    let chain = until("the chain node answers", async || ChainClient::connect(node.urls.clone()).await.ok()).await;
    until("a block is final", async || (chain.finalized().await.ok()?.height > 0).then_some(())).await;
    let submitter = Submitter::connect(&node.urls, "//Alice".parse().expect("a key")).await.expect("connects");
    let serving = register(&chain, &submitter, 1, 101 * UNIT).await;
    let gathering = register(&chain, &submitter, 2, 40 * UNIT).await;

    let genesis = chain.checkpoint(&chain.genesis_hash()).await.expect("told");
    assert_eq!((genesis.number, genesis.hash, genesis.set_id), (0, chain.genesis_hash(), 0));
    assert!(genesis.time.abs_diff(now()) < 10 * 60 * 1_000, "genesis is now: {}", genesis.time);
    assert_eq!(
        genesis.believed_for,
        Some(76 * 1_000),
        "the dev preset's unlock time of two minutes, less an era of ten epochs of four seconds, and one"
    );
    let genesis = Checkpoint { believed_for: None, ..genesis };

    let mut verifier = RosterVerifier::new(&node.urls, 3, genesis.clone(), None);
    let proven = until("both nodes are proven, one in a swarm", async || {
        let proven = verifier.refresh(now()).await.ok()?;
        let node = proven.view().node(&serving).cloned();
        node.is_some_and(|node| node.swarm.is_assigned()).then_some(proven)
    })
    .await;
    assert!(
        proven
            .snapshot
            .nodes
            .iter()
            .any(|node| node.id == gathering && matches!(node.state, NodeState::Gathering { .. }))
    );
    // What is proven is what the runtime answers.
    let plain = chain.roster_at(&proven.snapshot.block_hash).await.expect("told");
    assert_eq!(plain.height, proven.snapshot.height);
    assert!(difference(&proven.snapshot.nodes, &plain.nodes).is_none());
    assert_eq!(proven.view().height(), proven.head.number);
    assert!(proven.age(now()) < LIMIT.as_millis().try_into().expect("small"));

    what_is_kept_is_used_again(&node, &genesis, &verifier, &proven).await;
    what_cannot_be_proven_is_refused(&chain).await;
    // Where the machine is so slow that epochs pass between two questions, they are asked again.
    let sent = until("all is sent", async || recorded(&chain, &genesis).await).await;
    altered_bytes_are_refused(&sent, &genesis);
    liars_are_named(&node, &genesis, sent).await;
}

/// A program that starts again begins with what was proven last, even where its release's checkpoint is too old.
async fn what_is_kept_is_used_again(
    node: &ChainNode,
    genesis: &Checkpoint,
    verifier: &RosterVerifier,
    proven: &ProvenRoster,
) {
    let memory = verifier.memory().clone();
    assert_eq!(memory.roster.as_ref().map(|(boundary, _)| *boundary), Some(proven.snapshot.block_hash));
    assert!(memory.checkpoint.number >= proven.head.number);
    let old =
        Checkpoint { time: 0, believed_for: Some(LIMIT.as_millis().try_into().expect("small")), ..genesis.clone() };
    assert!(RosterVerifier::new(&node.urls, 1, old.clone(), None).refresh(now()).await.is_err());
    let memory = skep_chain_client::Memory {
        checkpoint: Checkpoint { believed_for: old.believed_for, ..memory.checkpoint },
        ..memory
    };
    let again = until("the roster is proven again", async || {
        RosterVerifier::new(&node.urls, 1, old.clone(), Some(memory.clone())).refresh(now()).await.ok()
    })
    .await;
    assert!(again.head.number >= proven.head.number);
}

async fn what_cannot_be_proven_is_refused(chain: &ChainClient) {
    let refused = |outcome: Result<_, AskError>| {
        let Err(AskError::Refused { message, .. }) = outcome.map(|_: std::sync::Arc<[u8]>| ()) else {
            panic!("answered")
        };
        message
    };
    let message = refused(chain.warp_proof(&[0xab; 32]).await);
    assert!(message.contains("not in this node's finalized chain"), "{message}");
    let message = refused(chain.head_proof(&[0xab; 32]).await);
    assert!(message.contains("not in this node's finalized chain"), "{message}");
    // Long past: epochs have begun since.
    let message = refused(chain.roster_proof(&chain.genesis_hash()).await);
    assert!(message.contains("no epoch boundary"), "{message}");
}

/// What the chain node sends to a client that knows nothing but genesis.
async fn recorded(chain: &ChainClient, genesis: &Checkpoint) -> Option<Sent> {
    let warp = chain.warp_proof(&genesis.hash).await.ok()?.to_vec();
    let followed = follow(genesis, &warp, [1; 32]).expect("final");
    assert!(followed.is_finished);
    let block = followed.block.expect("a head");
    let head = chain.head_proof(&block.hash).await.ok()?.to_vec();
    let boundary = read_head(&block, &head).expect("proven").boundary_hash;
    let roster = chain.roster_proof(&boundary).await.ok()?.to_vec();
    let plain = chain.roster_at(&boundary).await.ok()?;
    Some(Sent { genesis: genesis.genesis, warp, head, roster, plain })
}

fn altered_bytes_are_refused(sent: &Sent, genesis: &Checkpoint) {
    let block = follow(genesis, &sent.warp, [1; 32]).expect("final").block.expect("a head");
    let head = read_head(&block, &sent.head).expect("proven");
    read_roster(&head, &sent.roster).expect("whole");
    let altered = |bytes: &[u8], is_refused: &dyn Fn(&[u8]) -> bool| {
        for place in (0..bytes.len()).step_by(5) {
            let mut altered = bytes.to_vec();
            altered[place] ^= 1 << (place % 8);
            assert!(is_refused(&altered), "byte {place} of {}", bytes.len());
        }
    };
    altered(&sent.warp, &|warp| follow(genesis, warp, [1; 32]).is_err());
    altered(&sent.head, &|proof| read_head(&block, proof).is_err());
    altered(&sent.roster, &|proof| read_roster(&head, proof).is_err());
}

async fn liars_are_named(node: &ChainNode, genesis: &Checkpoint, sent: Sent) {
    let mut proof = RosterProof::decode_all(&mut &sent.roster[..]).expect("whole");
    proof.nodes.pop();
    let (drops, _drops) = Sent { roster: proof.encode(), ..sent.clone() }.serve().await;
    // Its proof is right, and what it tells without one is not.
    let mut plain = sent.plain.clone();
    plain.nodes[0].endpoint.ipv4 = [127, 0, 99, 1];
    let (alters, _alters) = Sent { plain, ..sent.clone() }.serve().await;
    let mut warp = sent.warp.clone();
    let middle = warp.len() / 2;
    warp[middle] ^= 1;
    let (forges, _forges) = Sent { warp, ..sent.clone() }.serve().await;
    let (stranger, _stranger) = Sent { genesis: [7; 32], ..sent.clone() }.serve().await;
    let honest = node.urls.iter().next().expect("one").to_owned();
    let asked = [&drops[..], &alters, &forges, &stranger, &honest, "ws://127.0.0.1:1"];
    let urls = ChainUrls::new(asked).expect("addresses");

    let mut verifier = RosterVerifier::new(&urls, 16, genesis.clone(), None);
    let (testimonies, proven) = until("everybody answers, and the honest one proves its roster", async || {
        let (testimonies, proven) = verifier.examine(now()).await.expect("one chain");
        // A busy machine may keep any of them from answering in time.
        let answers = testimonies.iter().all(|testimony| {
            let is_silent = matches!(testimony.head, Err(HearError::Connect(_) | HearError::Ask(_) | HearError::Late));
            !is_silent || testimony.url == "ws://127.0.0.1:1"
        });
        let honest = testimonies.iter().find(|testimony| testimony.url == honest)?;
        (answers && matches!(honest.roster, Some(Ok(_)))).then_some((testimonies, proven))
    })
    .await;
    let said: Vec<_> = testimonies.iter().map(|testimony| testimony.url.as_str()).collect();
    assert_eq!(said, asked);
    let [drops, alters, forges, stranger, honest, silent] = &testimonies[..] else { panic!("{testimonies:?}") };
    assert!(matches!(drops.lie(), Some(Lie::Roster(RosterProofError::OtherRoster))), "{drops:?}");
    assert!(matches!(forges.lie(), Some(Lie::Finality(_))), "{forges:?}");
    assert!(matches!(stranger.head, Err(HearError::OtherNetwork(_))) && stranger.lie().is_none(), "{stranger:?}");
    assert!(matches!(silent.head, Err(HearError::Connect(_))) && silent.lie().is_none(), "{silent:?}");
    for proving in [alters, honest] {
        assert!(matches!(proving.roster, Some(Ok(2))) && proving.lie().is_none(), "{proving:?}");
    }
    let recorded = ProvenRoster { head: alters.head.as_ref().copied().expect("proven"), snapshot: sent.plain.clone() };
    let told = verifier.plain_difference(&alters.url, &recorded).await.expect("told");
    assert_eq!((told.missing.len(), told.added.len(), told.altered), (0, 0, vec![sent.plain.nodes[0].id]));

    // A client goes on with those that prove what they say.
    let proven = proven.expect("proven");
    let roster = until("a roster is proven", async || {
        RosterVerifier::new(&urls, 16, genesis.clone(), None).refresh(now()).await.ok()
    })
    .await;
    assert!(roster.head.number >= proven.head.number);
    assert_eq!(roster.snapshot.nodes.len(), 2);
    // Of liars alone nothing is believed, and each is named.
    let alone = ChainUrls::new([drops.url.as_str(), forges.url.as_str()]).expect("addresses");
    let error = RosterVerifier::new(&alone, 16, genesis.clone(), None).refresh(now()).await.expect_err("refused");
    let error = error.to_string();
    assert!(error.contains(&format!("{}: it lies", forges.url)) && error.contains(&drops.url), "{error}");
}
