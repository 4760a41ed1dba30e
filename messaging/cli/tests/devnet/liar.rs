//! Chain nodes that lie: each passes a client's questions on to an honest one, and changes one thing in the roster's proof.

use codec::{DecodeAll, Encode};
use jsonrpsee::{
    RpcModule,
    core::client::ClientT,
    server::{Server, ServerHandle},
    types::{ErrorObjectOwned, Params},
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::Value;
use skep_primitives::{RosterProof, ServiceNodeId};
use tokio::runtime::Runtime;

/// What is done to the proof.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// A node is left out.
    Drops,
    /// A node that nobody registered is added.
    Adds,
    /// A node is said to be elsewhere.
    Alters,
}

/// A chain node that lies, until it is dropped.
pub(crate) struct Liar {
    pub(crate) url: String,
    _server: ServerHandle,
    _runtime: Runtime,
}

impl Lie {
    fn tell(self, proof: &str) -> String {
        let bytes = hex::decode(proof.trim_start_matches("0x")).expect("hex");
        let mut proof = RosterProof::decode_all(&mut &bytes[..]).expect("a proof");
        match self {
            Self::Drops => drop(proof.nodes.pop()),
            Self::Adds => {
                let (_, record) = proof.nodes.last().expect("nodes").clone();
                proof.nodes.push((ServiceNodeId([0xff; 32]), record));
            }
            Self::Alters => {
                let (_, record) = proof.nodes.first_mut().expect("nodes");
                // Where a record ends, and with it what the node runs or where it is.
                let last = record.last_mut().expect("bytes");
                *last ^= 1;
            }
        }
        format!("0x{}", hex::encode(proof.encode()))
    }
}

impl Liar {
    pub(crate) fn in_front_of(honest: &str, lie: Lie) -> Self {
        let runtime = Runtime::new().expect("starts");
        let (url, server) = runtime.block_on(async {
            let honest = WsClientBuilder::default().build(honest).await.expect("connects");
            let mut module = RpcModule::new(honest);
            for method in ["chain_getBlockHash", "skep_roster", "roster_warpProof", "roster_headProof"] {
                module
                    .register_async_method(method, move |params, honest, _| pass_on(method, params, honest))
                    .expect("new name");
            }
            module
                .register_async_method("roster_proof", move |params, honest, _| async move {
                    let proof = pass_on("roster_proof", params, honest).await?;
                    Ok::<_, ErrorObjectOwned>(lie.tell(proof.as_str().expect("is text")))
                })
                .expect("new name");
            let server = Server::builder().build("127.0.0.1:0").await.expect("binds");
            (format!("ws://{}", server.local_addr().expect("bound")), server.start(module))
        });
        Self { url, _server: server, _runtime: runtime }
    }
}

async fn pass_on(
    method: &'static str,
    params: Params<'static>,
    honest: std::sync::Arc<WsClient>,
) -> Result<Value, ErrorObjectOwned> {
    let params: Vec<Value> = params.parse().unwrap_or_default();
    honest
        .request(method, params)
        .await
        .map_err(|error| ErrorObjectOwned::owned(-32_000, error.to_string(), None::<()>))
}
