//! Proofs of the roster, for clients that trust no chain node (`docs/clients/roster.md`).

use jsonrpsee::{core::RpcResult, proc_macros::rpc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skep_primitives::Checkpoint;
use std::{borrow::Cow, sync::Arc};

/// Proofs of the roster. Blocks are named by their hash (`0x` and 64 hex digits); answers are structures in SCALE, in hex.
///
/// ```text
/// warpProof(checkpoint) --> the last finalized block, proven by the authorities since the checkpoint
/// headProof(that block) --> its time, and the last epoch boundary
/// proof(that boundary)  --> the roster and the swarms there
/// ```
#[rpc(client, server, namespace = "roster")]
pub trait RosterProofs {
    /// A page of the GRANDPA warp sync proof that begins after a finalized block: as the warp sync protocol encodes it, cut
    /// where it is long. Where it is not finished, go on from its last block.
    #[method(name = "warpProof")]
    async fn warp_proof(&self, from: String) -> RpcResult<HexBytes>;

    /// A `HeadProof` of one of the last finalized blocks.
    #[method(name = "headProof")]
    async fn head_proof(&self, at: String) -> RpcResult<HexBytes>;

    /// The `RosterProof` of the last epoch boundary, or of the one before.
    #[method(name = "proof")]
    async fn roster_proof(&self, boundary: String) -> RpcResult<HexBytes>;

    /// A checkpoint to ship with a release or to keep beside a network of one's own: at a finalized block whose state is still
    /// here, or at the last one. It is this node's word: ask only a node of yours.
    #[method(name = "checkpoint")]
    async fn checkpoint(&self, at: Option<String>) -> RpcResult<Checkpoint>;
}

/// Bytes as Substrate's RPC writes them: `0x` and hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Arc<[u8]>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(&text));
        bytes.map(|bytes| Self(bytes.into())).map_err(|_| de::Error::custom("expected 0x and hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_text() {
        let bytes = HexBytes(vec![0, 1, 0xfe].into());
        let json = serde_json::to_string(&bytes).expect("serializes");
        assert_eq!(json, "\"0x0001fe\"");
        assert_eq!(serde_json::from_str::<HexBytes>(&json).expect("parses"), bytes);
        assert!(serde_json::from_str::<HexBytes>("\"0x0\"").is_err());
        assert!(serde_json::from_str::<HexBytes>("\"0xzz\"").is_err());
    }
}
