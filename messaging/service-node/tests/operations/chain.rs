//! A chain node for one messaging node: it tells one finalized block and one roster, over the real RPC.

use jsonrpsee::{
    PendingSubscriptionSink, RpcModule, SubscriptionMessage,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use serde_json::{Value, json};
use skep_primitives::{
    Endpoint, Governance, NodeState, Permyriad, RosterEntry, RosterSnapshot, ServiceNodeId, SoftwareVersion, StakerId,
    SwarmId,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

const HEIGHT: u32 = 5;

pub(crate) struct Chain {
    pub(crate) url: String,
    /// The floor of work that operators have decided on.
    pub(crate) work_floor: Arc<AtomicU32>,
    _server: ServerHandle,
}

#[derive(Clone)]
struct Told(RosterSnapshot);

impl Told {
    fn hash(&self) -> String {
        format!("0x{}", hex::encode(self.0.block_hash))
    }

    fn head(&self) -> Value {
        json!({ "number": format!("{:#x}", self.0.height), "parentHash": self.hash() })
    }
}

impl Chain {
    /// Its roster holds `node`, reachable at these addresses.
    pub(crate) async fn start(node: ServiceNodeId, https: SocketAddr, quic: SocketAddr) -> Self {
        let endpoint = Endpoint { ipv4: [127, 0, 0, 1], https_port: https.port(), quic_port: quic.port() };
        let entry = RosterEntry {
            id: node,
            operator: StakerId([1; 32]),
            fee: Permyriad::WHOLE,
            contributions: Vec::new(),
            requirement: 0,
            endpoint,
            version: SoftwareVersion([0, 1, 0]),
            state: NodeState::Active { since: 1 },
            swarm: SwarmId(0),
            registered_at: 1,
            last_rewarded_at: 1,
        };
        let mut module =
            RpcModule::new(Told(RosterSnapshot { height: HEIGHT, block_hash: [0xbb; 32], nodes: vec![entry] }));
        module
            .register_method("chain_getBlockHash", |params, told, _| {
                let heights: Vec<u32> = params.one()?;
                let hashes = heights.into_iter().map(|height| (height <= HEIGHT).then(|| told.hash()));
                Ok::<_, ErrorObjectOwned>(hashes.collect::<Vec<_>>())
            })
            .expect("a new name");
        module.register_method("chain_getFinalizedHead", |_, told, _| told.hash()).expect("a new name");
        module.register_method("chain_getHeader", |_, told, _| told.head()).expect("a new name");
        module.register_method("skep_roster", |_, told, _| json!(told.0)).expect("a new name");
        module
            .register_subscription(
                "chain_subscribeFinalizedHeads",
                "chain_finalizedHead",
                "chain_unsubscribeFinalizedHeads",
                |_, pending, told, _| async move { tell_once(pending, &told.head()).await },
            )
            .expect("a new name");
        module
            .register_subscription(
                "skep_subscribeRoster",
                "skep_rosterChanged",
                "skep_unsubscribeRoster",
                |_, pending, told, _| async move { tell_once(pending, &json!(told.0)).await },
            )
            .expect("a new name");
        let work_floor = Arc::new(AtomicU32::new(1));
        let floor = Arc::clone(&work_floor);
        module
            .register_method("skep_governance", move |_, _, _| {
                json!(Governance {
                    proposals: Vec::new(),
                    serving: 0,
                    quorum: 0,
                    work_floor: floor.load(Ordering::Relaxed),
                    authorized_upgrade: None,
                })
            })
            .expect("a new name");
        let server = Server::builder().build("127.0.0.1:0").await.expect("binds");
        let url = format!("ws://{}", server.local_addr().expect("bound"));
        Self { url, work_floor, _server: server.start(module) }
    }
}

async fn tell_once(pending: PendingSubscriptionSink, message: &Value) {
    let Ok(sink) = pending.accept().await else { return };
    let message = SubscriptionMessage::from_json(message).expect("serializes");
    if sink.send(message).await.is_ok() {
        sink.closed().await;
    }
}
