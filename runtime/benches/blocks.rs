//! What blocks cost in the Wasm every network runs (`scripts/bench chain`): a thousand calls against a thousand transfers,
//! an empty block with many nodes against one with few.

use codec::{Decode, Encode};
use sc_executor::WasmExecutor;
use skep_measure::{Aim, Bench, time};
use skep_primitives::{Endpoint, Permyriad, ServiceNodeId, SoftwareVersion, StakerId, UNIT, signing};
use skep_runtime::{
    AccountId, Block, Hash, Header, Nonce, RuntimeCall, RuntimeGenesisConfig, RuntimeOrigin, SignedPayload,
    TxExtension, UncheckedExtrinsic, VERSION, WASM_BINARY, apis::api::dispatch, presets,
};
use sp_consensus_babe::{
    BABE_ENGINE_ID, Slot,
    digests::{PreDigest, SecondaryPlainPreDigest},
};
use sp_core::{
    Pair, ed25519, sr25519,
    traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode},
};
use sp_inherents::InherentData;
use sp_io::{SubstrateHostFunctions, TestExternalities};
use sp_runtime::{
    ApplyExtrinsicResult, BuildStorage, Digest, DigestItem, MultiAddress, generic::Era, traits::Dispatchable,
    traits::Header as _,
};
use std::time::Duration;

const CALLS: u32 = 1_000;
const FIRST_SLOT: u64 = 1_700_000_000;
const BLOCK_TIME: u64 = 6_000;

fn main() {
    let mut bench = Bench::from_arguments();
    for (row, aim, call) in [
        ("block of 1,000 contribute against 1,000 transfers", Aim::AtMost(1.5), contribute as fn(u32) -> RuntimeCall),
        ("block of 1,000 request_unlock against 1,000 transfers", Aim::AtMost(1.5), request_unlock),
        ("block of 1,000 update_endpoint against 1,000 transfers", Aim::AtMost(1.5), update_endpoint),
        ("block of 1,000 register against 1,000 transfers", Aim::None, register),
    ] {
        if bench.wants(row) {
            let mut calls = Chain::with_nodes(2 * CALLS).block_of(call);
            let mut transfers = Chain::with_nodes(2 * CALLS).block_of(transfer);
            bench.cost(row, aim, 7, || calls.execute(), || transfers.execute());
        }
    }
    let row = "empty block with 10,000 nodes against one with 10";
    if bench.wants(row) {
        let mut many = Chain::with_nodes(10_000).block_of_nothing();
        let mut few = Chain::with_nodes(10).block_of_nothing();
        bench.cost(row, Aim::AtMost(1.15), 51, || many.execute(), || few.execute());
    }
}

/// Whoever signs call `number`; each has an account, and the even ones operate a node that is complete, the odd ones one that
/// gathers.
fn person(number: u32) -> sr25519::Pair {
    let mut seed = [1; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    sr25519::Pair::from_seed(&seed)
}

fn account(number: u32) -> AccountId {
    person(number).public().0.into()
}

fn key(number: u32) -> ed25519::Pair {
    let mut seed = [2; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    ed25519::Pair::from_seed(&seed)
}

fn node(number: u32) -> ServiceNodeId {
    ServiceNodeId(key(number).public().0)
}

fn endpoint(number: u32) -> Endpoint {
    let [_, a, b, c] = number.to_be_bytes();
    Endpoint { ipv4: [10, a, b, c], https_port: 22_021, quic_port: 22_020 }
}

fn registration(number: u32, genesis: Hash) -> RuntimeCall {
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

fn transfer(number: u32) -> RuntimeCall {
    let dest = MultiAddress::Id(account(number + CALLS));
    pallet_balances::Call::transfer_keep_alive { dest, value: UNIT }.into()
}

fn contribute(number: u32) -> RuntimeCall {
    // Somebody else's node that gathers.
    pallet_service_nodes::Call::contribute { node: node(2 * number + 1), amount: 10 * UNIT }.into()
}

fn request_unlock(number: u32) -> RuntimeCall {
    pallet_service_nodes::Call::request_unlock { node: node(2 * number) }.into()
}

fn update_endpoint(number: u32) -> RuntimeCall {
    let endpoint = Endpoint { https_port: 1, ..endpoint(2 * number) };
    pallet_service_nodes::Call::update_endpoint {
        node: node(2 * number),
        endpoint,
        version: SoftwareVersion([0, 2, 0]),
    }
    .into()
}

fn register(number: u32) -> RuntimeCall {
    // Nothing before the first block asks for a hash: it is the default one.
    registration(100_000 + number, Hash::default())
}

/// Who signs a call: nodes' calls are their operators'.
fn signer(call: &RuntimeCall, number: u32) -> u32 {
    use pallet_service_nodes::Call as Nodes;
    if matches!(call, RuntimeCall::ServiceNodes(Nodes::register { .. })) {
        100_000 + number
    } else if matches!(call, RuntimeCall::ServiceNodes(Nodes::request_unlock { .. } | Nodes::update_endpoint { .. })) {
        2 * number
    } else {
        200_000 + number
    }
}

/// A chain with so many nodes after its genesis.
struct Chain {
    state: TestExternalities,
}

impl Chain {
    fn with_nodes(nodes: u32) -> Self {
        let patch = presets::get_preset(&presets::DEV.into()).expect("a preset");
        let mut genesis = serde_json::to_value(RuntimeGenesisConfig::default()).expect("JSON");
        sc_chain_spec::json_merge(&mut genesis, serde_json::from_slice(&patch).expect("JSON"));
        genesis["network"]["parameters"]["blockTime"] = BLOCK_TIME.into();
        genesis["network"]["parameters"]["unlock"] = 1_000_000_000_u64.into();
        genesis["network"]["parameters"]["poolExpiry"] = 1_000_000_000_u64.into();
        let mut genesis: RuntimeGenesisConfig = serde_json::from_value(genesis).expect("a genesis");
        let people = (0..nodes).chain(100_000..100_000 + CALLS).chain(200_000..200_000 + CALLS);
        genesis.balances.balances.extend(people.map(|number| (account(number), 1_000 * UNIT)));
        let mut state: TestExternalities = genesis.build_storage().expect("builds").into();
        state.execute_with(|| {
            for number in 0..nodes {
                let origin = RuntimeOrigin::signed(account(number));
                registration(number, Hash::default()).dispatch(origin).expect("registers");
            }
        });
        state.commit_all().expect("commits");
        Self { state }
    }

    fn block_of(self, call: fn(u32) -> RuntimeCall) -> Ready {
        let transactions = (0..CALLS).map(|number| {
            let call = call(number);
            signed(&person(signer(&call, number)), call)
        });
        let transactions = transactions.collect();
        self.block(transactions)
    }

    fn block_of_nothing(self) -> Ready {
        self.block(Vec::new())
    }

    /// Makes block 1 natively, so that it can be carried out again and again from the state before it.
    fn block(mut self, transactions: Vec<UncheckedExtrinsic>) -> Ready {
        let slot = FIRST_SLOT;
        let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index: 0, slot: Slot::from(slot) });
        let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
        let begun = Header::new(1, Hash::default(), Hash::default(), Hash::default(), digest);
        let (header, extrinsics) = self.state.execute_with(|| {
            native::<sp_runtime::ExtrinsicInclusionMode>("Core_initialize_block", &begun);
            let mut inherents = InherentData::new();
            let now = sp_timestamp::Timestamp::new(slot * BLOCK_TIME);
            inherents.put_data(sp_timestamp::INHERENT_IDENTIFIER, &now).expect("once");
            let mut extrinsics: Vec<UncheckedExtrinsic> = native("BlockBuilder_inherent_extrinsics", &inherents);
            extrinsics.extend(transactions);
            for extrinsic in &extrinsics {
                native::<ApplyExtrinsicResult>("BlockBuilder_apply_extrinsic", extrinsic)
                    .expect("valid")
                    .expect("succeeds");
            }
            let header: Header = native("BlockBuilder_finalize_block", &());
            (header, extrinsics)
        });
        self.state.reset_overlay();
        Ready {
            state: self.state,
            block: Block { header, extrinsics }.encode(),
            executor: WasmExecutor::builder().build(),
        }
    }
}

fn native<R: Decode>(method: &str, argument: &impl Encode) -> R {
    let answer = dispatch(method, &argument.encode()).expect("a known method");
    R::decode(&mut answer.as_slice()).expect("decodes")
}

fn signed(signer: &sr25519::Pair, call: RuntimeCall) -> UncheckedExtrinsic {
    let nonce: Nonce = 0;
    let extension: TxExtension = (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    );
    let (spec, transactions, genesis) = (VERSION.spec_version, VERSION.transaction_version, Hash::default());
    let implicit = ((), (), spec, transactions, genesis, genesis, (), (), (), None, ());
    let payload = SignedPayload::from_raw(call.clone(), extension.clone(), implicit);
    let signature = payload.using_encoded(|bytes| signer.sign(bytes));
    UncheckedExtrinsic::new_signed(call, MultiAddress::Id(signer.public().0.into()), signature.into(), extension)
}

/// A block and the state it follows.
struct Ready {
    state: TestExternalities,
    block: Vec<u8>,
    executor: WasmExecutor<SubstrateHostFunctions>,
}

impl Ready {
    fn execute(&mut self) -> Duration {
        let blob = WrappedRuntimeCode(WASM_BINARY.expect("built with its Wasm").into());
        let code = RuntimeCode { code_fetcher: &blob, heap_pages: None, hash: vec![0] };
        let context = CallContext::Onchain { import: false };
        let mut externalities = self.state.ext();
        let took = time(|| {
            let answer = self.executor.call(&mut externalities, &code, "Core_execute_block", &self.block, context).0;
            answer.expect("the block is right")
        });
        self.state.reset_overlay();
        took
    }
}
