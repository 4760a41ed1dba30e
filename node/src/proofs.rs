//! Proofs of the roster for clients that trust no chain node.
//!
//! | proof | made of | kept |
//! |---|---|---|
//! | warp | GRANDPA's justifications of each authority set change, and of the last finalized block | a few pages of the last finalized block |
//! | head | three values of a finalized block's state | the last few |
//! | roster | both child tries at an epoch boundary, whole, and the way to their roots | those of the last two boundaries |
//!
//! A proof is made once, however many ask; a block that is not provable is refused by its height alone.

use crate::service::FullClient;
use codec::{Decode, DecodeAll, Encode};
use sc_client_api::{BlockBackend, HeaderBackend, ProofProvider, StorageProvider};
use sc_consensus_grandpa::{GrandpaApi, warp_proof::WarpSyncFragment};
use sc_network_sync::strategy::warp::{EncodedProof, WarpSyncProvider};
use skep_primitives::{
    Authority, AuthoritySetError, Checkpoint, HeadProof, Moment, ROSTER_TRIE, RosterProof, SWARMS_TRIE, ServiceNodeId,
    StateNodes, SwarmId,
};
use skep_runtime::{BlockNumber, Hash, OpaqueBlock as Block};
use skep_runtime_api::SkepApi;
use sp_api::ProvideRuntimeApi;
use sp_consensus_babe::BabeApi;
use sp_core::storage::{ChildInfo, StorageKey};
use sp_io::hashing::{twox_64, twox_128};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Most bytes of one page of a warp proof, unless a single step of it is longer.
const MAX_WARP_PAGE: usize = 1024 * 1024;

/// Most bytes of a roster proof: what fits, in hexadecimal, into an answer of the JSON-RPC (15 MiB).
const MAX_ROSTER_PROOF: usize = 7 * 1024 * 1024;

/// A head that many blocks behind the last finalized one is not proven any more: its state may be gone soon.
const RECENT_HEADS: BlockNumber = 128;

/// Pages of warp proofs kept at a time: clients begin at a few releases, or at what they verified last.
const KEPT_PAGES: usize = 8;

/// Heads kept at a time: clients ask for the last one, or for one just before it.
const KEPT_HEADS: usize = 4;

/// Rosters kept at a time: of the two boundaries that are proven.
const KEPT_ROSTERS: usize = 2;

/// Why something cannot be proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Not a block of the finalized chain.
    #[error("block {0:?} is not in this node's finalized chain")]
    NotFinalized(Hash),
    /// Only the last blocks are proven.
    #[error("block {0} is too old to be proven: ask for the last finalized one")]
    TooOld(BlockNumber),
    /// Only epoch boundaries are proven.
    #[error("block {asked} is no epoch boundary that is proven: ask for block {current}")]
    NoBoundary {
        /// Its height.
        asked: BlockNumber,
        /// Height of the last boundary.
        current: BlockNumber,
    },
    /// The roster has outgrown one answer.
    #[error("the roster takes {0} bytes, more than fit into an answer")]
    TooLarge(usize),
    /// GRANDPA's prover says no.
    #[error("no warp proof: {0}")]
    Warp(String),
    /// What the state says is not understood: this node's runtime is newer.
    #[error("this node does not understand its own chain's {0}: update it")]
    NotUnderstood(&'static str),
    /// Authorities that no client would accept.
    #[error("this chain's authorities cannot be a checkpoint's: {0}")]
    Authorities(#[from] AuthoritySetError),
    /// The runtime failed to answer.
    #[error("the runtime did not answer: {0}")]
    Runtime(#[from] sp_api::ApiError),
    /// The database failed, or has pruned the state.
    #[error("the chain's database failed: {0}")]
    Database(#[from] sp_blockchain::Error),
}

/// A proof in SCALE.
pub type Proof = Arc<[u8]>;

/// Makes the proofs.
pub struct Prover {
    client: Arc<FullClient>,
    warp: Arc<dyn WarpSyncProvider<Block>>,
    pages: Kept<(Hash, Hash)>,
    heads: Kept<Hash>,
    rosters: Kept<Hash>,
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").finish_non_exhaustive()
    }
}

impl Prover {
    /// Proves what this client's database holds.
    pub fn new(client: Arc<FullClient>, warp: Arc<dyn WarpSyncProvider<Block>>) -> Self {
        let (pages, heads, rosters) = (Kept::new(KEPT_PAGES), Kept::new(KEPT_HEADS), Kept::new(KEPT_ROSTERS));
        Self { client, warp, pages, heads, rosters }
    }

    /// A page of the warp proof that begins after a finalized block.
    pub fn warp_page(&self, from: Hash) -> Result<Proof, ProveError> {
        self.finalized_number(from)?;
        self.pages.get((from, self.client.info().finalized_hash), || {
            let EncodedProof(proof) = self.warp.generate(from).map_err(|error| ProveError::Warp(error.to_string()))?;
            first_page(proof)
        })
    }

    /// What one of the last finalized blocks says of time and of the last epoch boundary.
    pub fn head(&self, at: Hash) -> Result<Proof, ProveError> {
        let number = self.finalized_number(at)?;
        if number.saturating_add(RECENT_HEADS) < self.client.info().finalized_number {
            return Err(ProveError::TooOld(number));
        }
        self.heads.get(at, || {
            let (_, boundary) = self.boundaries(at)?;
            let mut keys = vec![value_key("Timestamp", "Now"), value_key("Babe", "EpochStart")];
            if boundary < number {
                keys.push(block_hash_key(boundary));
            }
            Ok(HeadProof { state: self.state_nodes(at, &keys)? }.encode())
        })
    }

    /// The roster and the swarms at the last epoch boundary, or at the one before.
    pub fn roster(&self, boundary: Hash) -> Result<Proof, ProveError> {
        let asked = self.finalized_number(boundary)?;
        let (previous, current) = self.boundaries(self.client.info().finalized_hash)?;
        if asked != previous && asked != current {
            return Err(ProveError::NoBoundary { asked, current });
        }
        self.rosters.get(boundary, || {
            let header = self.client.header(boundary)?.ok_or(ProveError::NotFinalized(boundary))?.encode();
            let [nodes, swarms] = [ROSTER_TRIE, SWARMS_TRIE].map(ChildInfo::new_default);
            let roots = [&nodes, &swarms].map(|trie| trie.prefixed_storage_key().into_inner());
            let state = self.state_nodes(boundary, &roots)?;
            let (nodes, swarms) = (self.entries(boundary, &nodes)?, self.entries(boundary, &swarms)?);
            let swarms = swarms.into_iter().map(|(node, swarm)| {
                let swarm = SwarmId::decode_all(&mut &swarm[..]).map_err(|_| ProveError::NotUnderstood("swarms"))?;
                Ok((node, swarm))
            });
            let swarms = swarms.collect::<Result<_, ProveError>>()?;
            let proof = RosterProof { header, state, nodes, swarms }.encode();
            if proof.len() > MAX_ROSTER_PROOF { Err(ProveError::TooLarge(proof.len())) } else { Ok(proof) }
        })
    }

    /// Where a client may begin that believes this node.
    pub fn checkpoint(&self, at: Option<Hash>) -> Result<Checkpoint, ProveError> {
        let info = self.client.info();
        let hash = at.unwrap_or(info.finalized_hash);
        let number = self.finalized_number(hash)?;
        let api = self.client.runtime_api();
        let slot = api.configuration(hash)?.slot_duration;
        let authorities: Vec<Authority> = api
            .grandpa_authorities(hash)?
            .into_iter()
            .map(|(key, weight)| {
                let key: &[u8] = key.as_ref();
                let key = key.try_into().map_err(|_| ProveError::NotUnderstood("authorities"))?;
                Ok(Authority { key, weight })
            })
            .collect::<Result<_, ProveError>>()?;
        let time = match self.value::<Moment>(hash, "Timestamp", "Now")? {
            Some(time) => time,
            // Genesis has no time of its own: that of the first slot.
            None => {
                let first: Option<u64> = self.value(info.finalized_hash, "Babe", "GenesisSlot")?;
                first.unwrap_or_default().saturating_mul(slot)
            }
        };
        Ok(Checkpoint {
            genesis: info.genesis_hash.0,
            number,
            hash: hash.0,
            set_id: api.current_set_id(hash)?,
            authorities: authorities.try_into()?,
            time,
            believed_for: Some(api.believed_for(hash)?),
        })
    }

    /// Height of a block of the finalized chain.
    fn finalized_number(&self, block: Hash) -> Result<BlockNumber, ProveError> {
        let number = self.client.number(block)?.ok_or(ProveError::NotFinalized(block))?;
        let finalized = number <= self.client.info().finalized_number;
        if finalized && self.client.block_hash(number)? == Some(block) {
            Ok(number)
        } else {
            Err(ProveError::NotFinalized(block))
        }
    }

    /// Heights of the last two epoch boundaries as of a block; genesis until there is one.
    fn boundaries(&self, at: Hash) -> Result<(BlockNumber, BlockNumber), ProveError> {
        Ok(self.value(at, "Babe", "EpochStart")?.unwrap_or_default())
    }

    fn value<T: Decode>(&self, at: Hash, pallet: &'static str, item: &'static str) -> Result<Option<T>, ProveError> {
        let Some(value) = self.client.storage(at, &StorageKey(value_key(pallet, item)))? else { return Ok(None) };
        T::decode_all(&mut &value.0[..]).map(Some).map_err(|_| ProveError::NotUnderstood(item))
    }

    fn state_nodes(&self, at: Hash, keys: &[Vec<u8>]) -> Result<StateNodes, ProveError> {
        let proof = self.client.read_proof(at, &mut keys.iter().map(Vec::as_slice))?;
        Ok(proof.into_iter_nodes().collect())
    }

    /// All of a child trie whose keys are node ids.
    fn entries(&self, at: Hash, trie: &ChildInfo) -> Result<Vec<(ServiceNodeId, Vec<u8>)>, ProveError> {
        let keys = self.client.child_storage_keys(at, trie.clone(), None, None)?;
        let entries = keys.map(|key| {
            let node = <[u8; 32]>::try_from(&key.0[..]).map_err(|_| ProveError::NotUnderstood("roster"))?;
            let value = self.client.child_storage(at, trie, &key)?.ok_or(ProveError::NotUnderstood("roster"))?;
            Ok((ServiceNodeId(node), value.0))
        });
        entries.collect()
    }
}

/// The last proofs made. Who asks for one while it is made waits for it; who asks for another one does not.
struct Kept<K> {
    proofs: Mutex<VecDeque<(K, Slot)>>,
    most: usize,
}

/// Where a proof is once it is made; locked by who makes it.
type Slot = Arc<Mutex<Option<Proof>>>;

impl<K: PartialEq> Kept<K> {
    const fn new(most: usize) -> Self {
        Self { proofs: Mutex::new(VecDeque::new()), most }
    }

    fn get(&self, key: K, make: impl FnOnce() -> Result<Vec<u8>, ProveError>) -> Result<Proof, ProveError> {
        let slot = self.slot(key);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = &*kept {
            return Ok(proof.clone());
        }
        let proof: Proof = make()?.into();
        *kept = Some(proof.clone());
        Ok(proof)
    }

    fn slot(&self, key: K) -> Slot {
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = proofs.iter().find(|(known, _)| *known == key) {
            return slot.clone();
        }
        if proofs.len() == self.most {
            proofs.pop_front();
        }
        let slot = Slot::default();
        proofs.push_back((key, slot.clone()));
        slot
    }
}

/// As much of a warp proof as fits into a page, as a proof of its own that is not finished.
fn first_page(proof: Vec<u8>) -> Result<Vec<u8>, ProveError> {
    type Fragments = Vec<WarpSyncFragment<Block>>;
    if proof.len() <= MAX_WARP_PAGE {
        return Ok(proof);
    }
    let (fragments, is_finished) =
        <(Fragments, bool)>::decode_all(&mut &proof[..]).map_err(|_| ProveError::NotUnderstood("warp proof"))?;
    let all = fragments.len();
    let mut bytes = 0;
    let page: Fragments = fragments
        .into_iter()
        .take_while(|fragment| {
            let first = bytes == 0;
            bytes += fragment.encoded_size();
            first || bytes <= MAX_WARP_PAGE
        })
        .collect();
    let is_finished = is_finished && page.len() == all;
    Ok((page, is_finished).encode())
}

/// The storage key of a value.
fn value_key(pallet: &str, item: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

/// The storage key of a block's hash in the state of later blocks.
fn block_hash_key(number: BlockNumber) -> Vec<u8> {
    let number = number.encode();
    [&value_key("System", "BlockHash")[..], &twox_64(&number), &number].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn a_proof_is_made_once_and_nobody_waits_for_another_ones() {
        let kept = &Kept::new(2);
        let ((begun, begins), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
        thread::scope(|scope| {
            let slow = scope.spawn(move || {
                kept.get(1, || {
                    begun.send(()).unwrap();
                    // What fails meanwhile fails, and does not hang.
                    gone.recv_timeout(Duration::from_secs(60)).unwrap();
                    Ok(vec![1])
                })
            });
            begins.recv().unwrap();
            assert_eq!(kept.get(2, || Ok(vec![2])).unwrap()[..], [2]);
            let second = scope.spawn(move || kept.get(1, || Err(ProveError::TooLarge(0))));
            go.send(()).unwrap();
            assert_eq!(slow.join().unwrap().unwrap()[..], [1]);
            assert_eq!(second.join().unwrap().unwrap()[..], [1]);
        });
    }

    #[test]
    fn what_could_not_be_made_is_tried_again_and_the_oldest_gives_way() {
        let kept = Kept::new(2);
        assert!(kept.get(1, || Err(ProveError::TooLarge(0))).is_err());
        assert_eq!(kept.get(1, || Ok(vec![1])).unwrap()[..], [1]);
        for key in [2, 3] {
            kept.get(key, || Ok(vec![key])).unwrap();
        }
        assert_eq!(kept.get(3, || Ok(vec![0])).unwrap()[..], [3]);
        assert_eq!(kept.get(1, || Ok(vec![4])).unwrap()[..], [4], "made anew");
    }
}
