//! The pallets' benchmarks, and what they need of each other (feature `runtime-benchmarks`; `scripts/weights` runs them).

use crate::{AllPalletsWithSystem, Authorities, Governance, Obligations, Rewards, ServiceNodes, SessionKeys, Swarms};
use alloc::{string::String, vec::Vec};
use codec::Encode;
use frame_benchmarking::{BenchmarkBatch, BenchmarkConfig, BenchmarkList, define_benchmarks};
use frame_support::traits::{Get, StorageInfo, StorageInfoTrait, WhitelistedStorageKeys};
use pallet_network::{CandidateFactory, NodeFactory, ProposalFactory};
use pallet_service_nodes::benchmarking::SessionKeyFactory;
use skep_primitives::ServiceNodeId;
use sp_consensus_babe::{
    BABE_ENGINE_ID, Slot,
    digests::{PreDigest, SecondaryPlainPreDigest},
};
use sp_runtime::DigestItem;

define_benchmarks!(
    [pallet_authorities, Authorities]
    [pallet_governance, Governance]
    [pallet_obligations, Obligations]
    [pallet_rewards, Rewards]
    [pallet_service_nodes, ServiceNodes]
    [pallet_swarms, Swarms]
);

/// Makes for one pallet's benchmarks what another pallet keeps.
pub struct Helper;

impl NodeFactory for Helper {
    fn serving(number: u32) -> ServiceNodeId {
        ServiceNodes::serving(number)
    }
}

impl CandidateFactory for Helper {
    fn offered(number: u32) -> ServiceNodeId {
        ServiceNodes::offered(number)
    }
}

impl ProposalFactory for Helper {
    fn open(approvers: &[ServiceNodeId]) {
        Governance::open(approvers);
    }
}

impl SessionKeyFactory<SessionKeys> for Helper {
    fn generate(owner: &[u8]) -> (SessionKeys, Vec<u8>) {
        let generated = SessionKeys::generate(owner, None);
        (generated.keys, generated.proof.encode())
    }
}

/// The first founder's claim of a block.
impl Get<DigestItem> for Helper {
    fn get() -> DigestItem {
        let claim = SecondaryPlainPreDigest { authority_index: 0, slot: Slot::from(1) };
        DigestItem::PreRuntime(BABE_ENGINE_ID, PreDigest::SecondaryPlain(claim).encode())
    }
}

/// Every benchmark there is.
pub(crate) fn metadata(extra: bool) -> (Vec<BenchmarkList>, Vec<StorageInfo>) {
    let mut list = Vec::new();
    list_benchmarks!(list, extra);
    (list, AllPalletsWithSystem::storage_info())
}

/// Runs one of them.
pub(crate) fn dispatch(config: &BenchmarkConfig) -> Result<Vec<BenchmarkBatch>, String> {
    let whitelist = AllPalletsWithSystem::whitelisted_storage_keys();
    let mut batches = Vec::new();
    let params = (config, &whitelist);
    add_benchmarks!(params, batches);
    Ok(batches)
}
