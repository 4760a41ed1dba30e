//! Session keys of this node that another machine uses, too: a copy of the keystore, nearly always.
//!
//! Once both make blocks in one slot, the service node is deregistered. A copy that still syncs, or follows without
//! `--validator`, makes none, and sees the blocks of the original come in meanwhile: then there is time to stop it.

use crate::service::FullClient;
use futures::StreamExt;
use sc_client_api::{BlockImportNotification, BlockchainEvents};
use sc_consensus_babe::find_pre_digest;
use skep_primitives::{DoubledBlock, DoubledKeys};
use skep_runtime::OpaqueBlock as Block;
use sp_api::ProvideRuntimeApi;
use sp_consensus::BlockOrigin;
use sp_consensus_babe::{BabeApi, Slot, digests::PreDigest};
use sp_core::{ByteArray, crypto::key_types::BABE};
use sp_keystore::KeystorePtr;
use std::sync::{Arc, Mutex, PoisonError};
use substrate_prometheus_endpoint::{Counter, Registry, U64, register};

/// Name of the number of such blocks among the metrics.
const METRIC: &str = "skep_doubled_blocks_total";

/// A public BABE key.
type Key = [u8; 32];

/// What was seen since this node started.
#[derive(Debug)]
pub struct Doubled {
    /// The slot in which this node started: up to it, blocks of its keys may be its own from before.
    since: Slot,
    found: Mutex<Option<DoubledKeys>>,
    metric: Option<Counter<U64>>,
}

/// Who made a block, and when.
#[derive(Clone, Copy, Debug)]
struct Made {
    block: DoubledBlock,
    slot: Slot,
    /// By this node, since it started.
    here: bool,
}

impl Made {
    /// Whether another machine made it with a key of this node, which started in slot `since`.
    fn is_doubled(&self, since: Slot, own: &[Key]) -> bool {
        !self.here && self.slot > since && own.contains(&self.block.key)
    }
}

impl Doubled {
    /// Nothing is found yet; counts in that registry.
    pub fn new(since: Slot, registry: Option<&Registry>) -> Self {
        let metric = registry.and_then(|registry| {
            let help = "Blocks that another machine made with session keys of this node";
            let counted = Counter::new(METRIC, help).and_then(|counter| register(counter, registry));
            counted.inspect_err(|error| log::warn!("{METRIC} is not counted: {error}")).ok()
        });
        Self { since, found: Mutex::default(), metric }
    }

    /// What was found; none while all is well.
    pub fn found(&self) -> Option<DoubledKeys> {
        *self.lock()
    }

    /// Looks at a block; tells whether another machine made it with one of these keys.
    fn look(&self, made: &Made, own: &[Key]) -> bool {
        if !made.is_doubled(self.since, own) {
            return false;
        }
        let mut found = self.lock();
        let count = found.map_or(0, |before| before.count).saturating_add(1);
        *found = Some(DoubledKeys { count, last: made.block });
        if let Some(metric) = &self.metric {
            metric.inc();
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<DoubledKeys>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every block that comes, until the node stops.
pub async fn watch(client: Arc<FullClient>, keystore: KeystorePtr, doubled: Arc<Doubled>) {
    // Those of a sync as well: while it goes on nothing is made here yet.
    let mut imported = client.every_import_notification_stream();
    while let Some(block) = imported.next().await {
        // Most blocks of a sync are from before: the keystore, which is a directory, is not read for them.
        let Ok(digest) = find_pre_digest::<Block>(&block.header) else { continue };
        if digest.slot() <= doubled.since {
            continue;
        }
        let own: Vec<Key> = keystore.sr25519_public_keys(BABE).into_iter().map(|key| key.0).collect();
        // Most nodes have no such key.
        let Some(made) = (!own.is_empty()).then(|| made(&client, &block, &digest)).flatten() else { continue };
        if doubled.look(&made, &own) {
            log::error!(
                "Another machine makes blocks with the session key 0x{} of this node: block {} ({}). Stop one of the two now: \
                 two blocks of one slot deregister the service node and lock its stakes for 30 days. Then make new session \
                 keys on the one that stays (skep-messaging offer).",
                hex::encode(made.block.key),
                made.block.number,
                block.hash,
            );
        }
    }
}

/// Who made a block, if that can be told.
fn made(client: &FullClient, block: &BlockImportNotification<Block>, digest: &PreDigest) -> Option<Made> {
    // Authorities change while the first block of an epoch is carried out, so the block itself knows its own.
    let epoch = client.runtime_api().current_epoch(block.hash);
    let epoch =
        epoch.inspect_err(|error| log::debug!("The producer of block {} is not known: {error}", block.hash)).ok()?;
    let (author, _) = epoch.authorities.get(usize::try_from(digest.authority_index()).ok()?)?;
    let key = author.as_slice().try_into().ok()?;
    let block_made = DoubledBlock { number: block.header.number, hash: block.hash.0, key };
    Some(Made { block: block_made, slot: digest.slot(), here: block.origin == BlockOrigin::Own })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [Key; 2] = [[1; 32], [2; 32]];

    fn by(key: u8, slot: u64, here: bool) -> Made {
        Made { block: DoubledBlock { number: 9, hash: [9; 32], key: [key; 32] }, slot: slot.into(), here }
    }

    #[test]
    fn a_block_of_an_own_key_that_was_not_made_here_is_another_machines() {
        let since = Slot::from(100);
        assert!(by(1, 101, false).is_doubled(since, &OWN) && by(2, 101, false).is_doubled(since, &OWN));
        assert!(!by(1, 101, true).is_doubled(since, &OWN), "made here");
        assert!(!by(3, 101, false).is_doubled(since, &OWN), "by somebody else");
        assert!(!by(1, 100, false).is_doubled(since, &OWN), "perhaps by this node before it started again");
        assert!(!by(1, 101, false).is_doubled(since, &[]), "no keys here");
    }

    #[test]
    fn the_last_one_and_their_number_are_kept() {
        let doubled = Doubled::new(100.into(), Some(&Registry::new()));
        assert!(!doubled.look(&by(1, 101, true), &OWN));
        assert_eq!(doubled.found(), None);
        assert!(doubled.look(&by(1, 102, false), &OWN) && doubled.look(&by(2, 103, false), &OWN));
        assert!(!doubled.look(&by(3, 104, false), &OWN));
        assert_eq!(doubled.found(), Some(DoubledKeys { count: 2, last: by(2, 103, false).block }));
        assert_eq!(doubled.metric.as_ref().map(Counter::get), Some(2));
    }
}
