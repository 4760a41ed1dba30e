//! Proof that this node has messages.

use super::Node;
use crate::{core::Reply, drive::now_ms};
use skep_proto::storage::{HexKey, MessageHash, PROTOCOL_GENERATION, Receipt, ReceiptRequest, ReceiptResponse, signed};
use std::collections::BTreeMap;

impl Node {
    /// Signs for those of the messages that are here. Each is read from the disk for it, and fits its hash.
    pub(super) async fn receipt(&self, request: ReceiptRequest) -> Result<Reply, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        let ReceiptRequest { account, namespace, messages } = request;
        let kept = self
            .read_store(move |store| {
                let mut kept = Vec::new();
                for hash in messages {
                    if let Some(message) = store.message(&account, namespace, &hash, now)?
                        && MessageHash::of(&account, namespace, &message.data) == hash
                    {
                        kept.push((hash, message.expiration));
                    }
                }
                Ok(kept)
            })
            .await?;
        let sign = |(hash, expiry)| {
            let text = signed::receipt(&self.genesis, &account, namespace, &hash, expiry, now);
            (hash, Receipt { expiry, timestamp: now, signature: self.key.sign(&text) })
        };
        let receipts: BTreeMap<_, _> = kept.into_iter().map(sign).collect();
        let (node, genesis) = (HexKey(self.id.0), HexKey(self.genesis));
        Ok(Reply::json(200, &ReceiptResponse { node, genesis, receipts, t: now, hf: PROTOCOL_GENERATION }))
    }
}
