//! A chain with nodes, in memory.

use skep_obligations::Census;
use skep_primitives::{
    BlockNumber, Endpoint, Findings, NodeStates, Permyriad, Reasons, ServiceNodeId, SoftwareVersion, StakerId, UNIT,
    signing,
};
use skep_runtime::{
    AccountId, Hash, Runtime, RuntimeCall, RuntimeGenesisConfig, RuntimeOrigin, ServiceNodes, System, presets,
};
use sp_core::{Pair, ed25519, sr25519};
use sp_io::TestExternalities;
use sp_runtime::{BuildStorage, traits::Dispatchable};

/// How many people there are beside the nodes' operators, of each of two kinds.
pub(crate) const CALLS: u32 = 1_000;
/// Milliseconds: long enough for a block of a thousand of each call.
pub(crate) const BLOCK_TIME: u64 = 10_000;

/// Whoever signs call `number`; each has an account, and the even ones operate a node that is complete, the odd ones one that
/// gathers.
pub(crate) fn person(number: u32) -> sr25519::Pair {
    let mut seed = [1; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    sr25519::Pair::from_seed(&seed)
}

pub(crate) fn account(number: u32) -> AccountId {
    person(number).public().0.into()
}

pub(crate) fn key(number: u32) -> ed25519::Pair {
    let mut seed = [2; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    ed25519::Pair::from_seed(&seed)
}

pub(crate) fn node(number: u32) -> ServiceNodeId {
    ServiceNodeId(key(number).public().0)
}

pub(crate) fn endpoint(number: u32) -> Endpoint {
    let [_, a, b, c] = number.to_be_bytes();
    Endpoint { ipv4: [10, a, b, c], https_port: 22_021, quic_port: 22_020 }
}

pub(crate) fn registration(number: u32, genesis: Hash) -> RuntimeCall {
    let fee = Permyriad::default();
    let operator = StakerId(person(number).public().0);
    let stake = if number.is_multiple_of(2) { 100 * UNIT } else { 50 * UNIT };
    pallet_service_nodes::Call::register {
        node: node(number),
        proof: key(number).sign(&signing::registration(&genesis.0, &operator, fee)).0,
        fee,
        endpoint: endpoint(number),
        version: SoftwareVersion([0, 1, 0]),
        stake,
        reserved: Default::default(),
    }
    .into()
}

/// A chain with so many nodes after its genesis.
pub(crate) struct Chain {
    pub(crate) state: TestExternalities,
}

impl Chain {
    pub(crate) fn with_nodes(nodes: u32) -> Self {
        let patch = presets::get_preset(&presets::DEV.into()).expect("a preset");
        let mut genesis = serde_json::to_value(RuntimeGenesisConfig::default()).expect("JSON");
        sc_chain_spec::json_merge(&mut genesis, serde_json::from_slice(&patch).expect("JSON"));
        genesis["network"]["parameters"]["blockTime"] = BLOCK_TIME.into();
        for long in ["unlock", "deregistrationLock", "poolExpiry"] {
            genesis["network"]["parameters"][long] = 1_000_000_000_u64.into();
        }
        let mut genesis: RuntimeGenesisConfig = serde_json::from_value(genesis).expect("a genesis");
        let people = (0..nodes).chain(100_000..100_000 + CALLS).chain(200_000..200_000 + CALLS);
        genesis.balances.balances.extend(people.map(|number| (account(number), 1_000 * UNIT)));
        let mut state: TestExternalities = genesis.build_storage().expect("builds").into();
        state.execute_with(|| {
            // Before the first block, genesis has a hash of its own.
            let genesis = System::block_hash(0);
            for number in 0..nodes {
                let origin = RuntimeOrigin::signed(account(number));
                registration(number, genesis).dispatch(origin).expect("registers");
            }
        });
        state.commit_all().expect("commits");
        Self { state }
    }

    /// Decommissions every node that is complete.
    pub(crate) fn take_out_of_service(&mut self) {
        let findings = Findings { all: Reasons::NONE, any: Reasons::NONE };
        self.state.execute_with(|| {
            for node in ServiceNodes::nodes().filter(|(_, record)| record.state.is_serving()).map(|(node, _)| node) {
                assert!(ServiceNodes::decommission(node, BlockNumber::MAX, findings), "it served");
            }
            // All sit in the roll already: only what they are is another class.
            pallet_obligations::Counts::<Runtime>::mutate(|census| {
                *census = Census { decommissioned: census.total(), ..Census::default() };
            });
        });
        self.state.commit_all().expect("commits");
    }
}
