//! Whole blocks, carried out by the native build and by the Wasm blob every network runs: both must agree on every
//! header, and what the chain then says must be what its rules promise.

#[path = "chain/announcements.rs"]
mod announcements;
#[path = "chain/draws.rs"]
mod draws;
#[path = "chain/genesis.rs"]
mod genesis;
#[path = "chain/producers.rs"]
mod producers;
#[path = "chain/requirement.rs"]
mod requirement;
#[path = "chain/upgrades.rs"]
mod upgrades;
#[path = "chain/verdicts.rs"]
mod verdicts;
#[path = "chain/weights.rs"]
mod weights;

use codec::{Decode, Encode};
use sc_executor::WasmExecutor;
use skep_chain_client::{Authorized, authorized_transaction};
use skep_primitives::{
    Endpoint, NodeState, Permyriad, RosterEntry, ServiceNodeId, SoftwareVersion, StakerId, SwarmMembers, UNIT, signing,
};
use skep_runtime::{
    Balances, Hash, Header, Nonce, Runtime, RuntimeCall, RuntimeEvent, UncheckedExtrinsic, WASM_BINARY,
    apis::api::dispatch, presets, transactions,
};
use sp_consensus_babe::{
    AuthorityId, BABE_ENGINE_ID, BabeConfiguration, Epoch, EquivocationProof, OpaqueKeyOwnershipProof, Slot,
    digests::{PreDigest, SecondaryVRFPreDigest},
    make_vrf_sign_data,
};
use sp_core::{
    OpaqueMetadata, Pair,
    crypto::VrfSecret,
    ed25519, sr25519,
    traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode},
};
use sp_inherents::InherentData;
use sp_io::{SubstrateHostFunctions, TestExternalities};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    ApplyExtrinsicResult, Digest, DigestItem, MultiAddress,
    traits::Header as _,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity},
};
use std::collections::BTreeMap;

/// Who carries out the runtime.
enum Engine {
    Native,
    Wasm(Box<WasmExecutor<SubstrateHostFunctions>>),
}

/// A chain whose first authority produces every block, one a slot.
struct Chain {
    engine: Engine,
    state: TestExternalities,
    genesis: Hash,
    head: Header,
    slot: u64,
    slot_milliseconds: u64,
}

const FIRST_SLOT: u64 = 1_700_000_000;
const BLOCKS_OF_AN_EPOCH: u32 = 10;

impl Chain {
    fn begin(engine: Engine, preset: &str) -> Self {
        Self::begin_as(engine, preset, |_| {})
    }

    /// Begins with the genesis of a preset, changed.
    fn begin_as(engine: Engine, preset: &str, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut chain = Self {
            engine,
            state: TestExternalities::default(),
            genesis: Hash::default(),
            head: Header::new(0, Hash::default(), Hash::default(), Hash::default(), Digest::default()),
            slot: FIRST_SLOT,
            slot_milliseconds: 0,
        };
        let patch: Option<Vec<u8>> = chain.call("GenesisBuilder_get_preset", &Some(preset.to_owned()));
        let mut patch = serde_json::from_slice(&patch.expect("a preset")).expect("JSON");
        change(&mut patch);
        chain.build_genesis(patch);
        chain.slot_milliseconds = chain.call::<BabeConfiguration>("BabeApi_configuration", &()).slot_duration;
        chain.genesis = chain.head.hash();
        chain
    }

    /// The default genesis with `patch` over it.
    fn build_genesis(&mut self, patch: serde_json::Value) {
        let defaults: Option<Vec<u8>> = self.call("GenesisBuilder_get_preset", &None::<String>);
        let mut genesis = serde_json::from_slice(&defaults.expect("a default")).expect("JSON");
        sc_chain_spec::json_merge(&mut genesis, patch);
        let built: Result<(), String> = self.call("GenesisBuilder_build_state", &genesis.to_string().into_bytes());
        built.expect("the genesis is accepted");
        self.state.commit_all().expect("commits");
    }

    fn call<R: Decode>(&mut self, method: &str, argument: &impl Encode) -> R {
        let data = argument.encode();
        let answer = match &self.engine {
            Engine::Native => self.state.execute_with(|| dispatch(method, &data)).expect("a known method"),
            Engine::Wasm(executor) => {
                let blob = WrappedRuntimeCode(wasm().into());
                let code = RuntimeCode { code_fetcher: &blob, heap_pages: None, hash: vec![0] };
                let context = CallContext::Onchain { import: false };
                executor.call(&mut self.state.ext(), &code, method, &data, context).0.expect("the blob answers")
            }
        };
        R::decode(&mut answer.as_slice()).expect("the answer decodes")
    }

    /// The first authority's claim of the next slot.
    fn claim(&mut self) -> DigestItem {
        self.claim_as(0, &Sr25519Keyring::Alice.pair())
    }

    /// The claim of the next slot of the authority of this index.
    fn claim_as(&mut self, authority_index: u32, producer: &sr25519::Pair) -> DigestItem {
        let epoch: Epoch = self.call("BabeApi_current_epoch", &());
        let slot = Slot::from(self.slot + 1);
        let input = make_vrf_sign_data(&epoch.randomness, slot, epoch.epoch_index);
        let vrf_signature = producer.vrf_sign(&input);
        let claim = PreDigest::SecondaryVRF(SecondaryVRFPreDigest { authority_index, slot, vrf_signature });
        DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())
    }

    /// Makes the next block of these transactions, all of which must succeed.
    fn make_block(&mut self, transactions: &[UncheckedExtrinsic]) {
        let claim = self.claim();
        self.carry_out(claim, transactions);
    }

    /// As [`Chain::make_block`], but not in the first block of an epoch, which is full by itself.
    fn make_roomy_block(&mut self, transactions: &[UncheckedExtrinsic]) {
        if self.head.number.is_multiple_of(BLOCKS_OF_AN_EPOCH) {
            self.make_block(&[]);
        }
        self.make_block(transactions);
    }

    fn carry_out(&mut self, claim: DigestItem, transactions: &[UncheckedExtrinsic]) {
        self.slot += 1;
        let digest = Digest { logs: vec![claim] };
        let number = self.head.number + 1;
        let parent = self.head.hash();
        let begun = Header::new(number, Hash::default(), Hash::default(), parent, digest);
        let _: sp_runtime::ExtrinsicInclusionMode = self.call("Core_initialize_block", &begun);

        let mut inherents = InherentData::new();
        let now = sp_timestamp::Timestamp::new(self.slot * self.slot_milliseconds);
        inherents.put_data(sp_timestamp::INHERENT_IDENTIFIER, &now).expect("once");
        let inherents: Vec<UncheckedExtrinsic> = self.call("BlockBuilder_inherent_extrinsics", &inherents);
        for extrinsic in inherents.iter().chain(transactions) {
            let applied: ApplyExtrinsicResult = self.call("BlockBuilder_apply_extrinsic", extrinsic);
            applied.expect("valid").expect("succeeds");
        }
        self.head = self.call("BlockBuilder_finalize_block", &());
        self.state.commit_all().expect("commits");
    }

    /// The number of an account's next transaction.
    fn nonce(&mut self, who: Sr25519Keyring) -> Nonce {
        self.state.execute_with(|| frame_system::Pallet::<Runtime>::account_nonce(who.to_account_id()))
    }

    /// What the last block told.
    fn events(&mut self) -> Vec<RuntimeEvent> {
        let events = self.state.execute_with(frame_system::Pallet::<Runtime>::events);
        events.into_iter().map(|record| record.event).collect()
    }

    fn roster(&mut self) -> Vec<RosterEntry> {
        self.call("SkepApi_roster", &())
    }

    fn swarms(&mut self) -> Vec<SwarmMembers> {
        self.call("SkepApi_swarms", &())
    }
}

fn wasm() -> &'static [u8] {
    WASM_BINARY.expect("build without SKIP_WASM_BUILD: this test runs the blob")
}

fn blob() -> Engine {
    Engine::Wasm(Box::new(WasmExecutor::builder().build()))
}

fn signed(signer: Sr25519Keyring, nonce: Nonce, genesis: Hash, call: RuntimeCall) -> UncheckedExtrinsic {
    let address = MultiAddress::Id(signer.to_account_id());
    transactions::signed(call, nonce, genesis, address, |bytes| signer.sign(bytes).into())
}

/// Registers node `number` of `operator` with `stake`.
fn register(operator: Sr25519Keyring, nonce: Nonce, genesis: Hash, number: u8, stake: u128) -> UncheckedExtrinsic {
    let key = ed25519::Pair::from_seed(&[number; 32]);
    let fee = Permyriad::new(1_000).expect("10 %");
    let staker = StakerId(operator.to_raw_public());
    let proof = key.sign(&signing::registration(&genesis.0, &staker, fee)).0;
    let call = pallet_service_nodes::Call::register {
        node: ServiceNodeId(key.public().0),
        proof,
        fee,
        endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22021, quic_port: 22020 },
        version: SoftwareVersion([0, 1, 0]),
        stake,
        reserved: Default::default(),
    };
    signed(operator, nonce, genesis, RuntimeCall::ServiceNodes(call))
}

const NODES: u8 = 24;

/// A network that grows to [`NODES`] nodes over a few epochs. Every chain carries out the same blocks (claims and
/// signatures are randomized) and must come to the same header.
fn grow(chains: &mut [Chain]) {
    let operators: Vec<_> = Sr25519Keyring::well_known().collect();
    let mut nonces = BTreeMap::<&str, Nonce>::new();
    let genesis = chains[0].genesis;
    for block in 1..=5 * BLOCKS_OF_AN_EPOCH {
        let mut transactions = Vec::new();
        // Two nodes in every even block, until all are there: the first block of an epoch, which is odd, is full by itself.
        let last = u8::try_from(block).expect("few blocks");
        if block % 2 == 0 && last <= NODES {
            for number in [last - 1, last] {
                let operator = operators[usize::from(number) % operators.len()];
                let nonce = nonces.entry(operator.into()).or_default();
                transactions.push(register(operator, *nonce, genesis, number, 100 * UNIT));
                *nonce += 1;
            }
        }
        let claim = chains[0].claim();
        for chain in &mut *chains {
            chain.carry_out(claim.clone(), &transactions);
        }
        // The state root says that swarm map, rewards and the roster's child trie are equal to the last bit.
        for chain in &chains[1..] {
            assert_eq!(chain.head, chains[0].head);
        }
    }
}

#[test]
fn native_and_wasm_make_the_same_blocks() {
    let mut chains = [Chain::begin(Engine::Native, presets::DEV), Chain::begin(blob(), presets::DEV)];
    grow(&mut chains);
    let [mut native, mut wasm] = chains;
    assert!(!native.swarms().is_empty());
    assert_eq!(native.roster(), wasm.roster());
    assert_eq!(native.swarms(), wasm.swarms());
}

#[test]
fn nodes_that_join_are_placed_and_paid() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    let before = chain.state.execute_with(Balances::total_issuance);
    grow(std::slice::from_mut(&mut chain));

    let roster = chain.roster();
    assert_eq!(roster.len(), usize::from(NODES));
    let swarms = chain.swarms();
    assert!(swarms.len() > 1, "{NODES} nodes are more than one swarm holds: {swarms:?}");
    for node in &roster {
        assert!(matches!(node.state, NodeState::Active { .. }), "{node:?}");
        let home: Vec<_> = swarms.iter().filter(|swarm| swarm.nodes.contains(&node.id)).map(|swarm| swarm.id).collect();
        assert_eq!(home, [node.swarm]);
        assert!(node.last_rewarded_at >= node.registered_at);
    }
    // More blocks than nodes have passed since all were there: each was paid.
    assert!(roster.iter().filter(|node| node.last_rewarded_at > 25).count() >= usize::from(NODES));

    let created = chain.state.execute_with(pallet_rewards::Created::<Runtime>::get);
    let owed = chain.state.execute_with(pallet_rewards::Owed::<Runtime>::get);
    let after = chain.state.execute_with(Balances::total_issuance);
    assert_eq!(after + owed, before + created, "fees and rewards neither burn nor mint anything else");
}

/// A transaction that authorizes itself, as `chain/client` makes it of what this runtime tells of itself.
fn authorized(chain: &mut Chain, call: &Authorized) -> UncheckedExtrinsic {
    let versions: Vec<u32> = chain.call("Metadata_metadata_versions", &());
    // The unstable one is numbered u32::MAX.
    let newest = versions.into_iter().filter(|version| *version < u32::MAX).max().expect("some version");
    let metadata: Option<OpaqueMetadata> = chain.call("Metadata_metadata_at_version", &newest);
    let bytes = authorized_transaction(&metadata.expect("it has that version"), &chain.genesis.0, call);
    let bytes = bytes.expect("the metadata knows the call");
    let transaction = UncheckedExtrinsic::decode(&mut bytes.as_slice()).expect("the runtime reads it");
    assert_eq!(transaction.encode(), bytes, "what is carried out is what was sent, to the byte");
    transaction
}

/// What the pool says of a transaction; nothing of the question stays in the state.
fn validate(chain: &mut Chain, source: TransactionSource, transaction: &UncheckedExtrinsic) -> TransactionValidity {
    let question = (source, transaction, chain.head.hash());
    chain.state.execute_with(sp_io::storage::start_transaction);
    let answer = chain.call("TaggedTransactionQueue_validate_transaction", &question);
    chain.state.execute_with(sp_io::storage::rollback_transaction);
    answer
}

#[test]
fn the_metadata_names_what_clients_call() {
    let mut chain = Chain::begin(blob(), presets::DEV);
    let metadata: OpaqueMetadata = chain.call("Metadata_metadata", &());
    // Names stand in SCALE as plain text.
    let metadata = String::from_utf8_lossy(&metadata).into_owned();
    for name in ["ServiceNodes", "register", "contribute", "request_unlock", "withdraw", "CheckMetadataHash"] {
        assert!(metadata.contains(name), "{name}");
    }
    let versions: Vec<u32> = chain.call("Metadata_metadata_versions", &());
    assert!(versions.contains(&14) && versions.contains(&15), "{versions:?}");
}
