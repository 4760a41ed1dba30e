//! What blocks cost in the Wasm every network runs: a thousand calls against a thousand transfers, an empty block with many
//! nodes against one with few.

use crate::chain::{BLOCK_TIME, CALLS, Chain, account, endpoint, key, node, person, registration};
use codec::{Decode, Encode};
use frame_support::BoundedVec;
use pallet_obligations::DrawnRound;
use sc_executor::WasmExecutor;
use skep_measure::{Aim, Report, time};
use skep_primitives::{
    BlockHash, Endpoint, MAX_TESTERS, Reasons, ServiceNodeId, SoftwareVersion, Subject, UNIT, Vote, signing,
};
use skep_runtime::{
    Block, Hash, Header, Runtime, RuntimeCall, UncheckedExtrinsic, WASM_BINARY, apis::api::dispatch, transactions,
};
use sp_consensus_babe::{
    BABE_ENGINE_ID, Slot,
    digests::{PreDigest, SecondaryPlainPreDigest},
};
use sp_core::{
    Pair, sr25519,
    traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode},
};
use sp_inherents::InherentData;
use sp_io::{SubstrateHostFunctions, TestExternalities};
use sp_runtime::{ApplyExtrinsicResult, Digest, DigestItem, MultiAddress, generic::Preamble, traits::Header as _};
use std::io;

const FIRST_SLOT: u64 = 1_700_000_000;
/// Makes the call of this number.
type Maker = fn(u32) -> RuntimeCall;

/// Empty blocks of one turn: each is short.
const EMPTY: u32 = 10;

pub(crate) fn rows(report: &mut Report) -> io::Result<()> {
    for (row, aim, call) in [
        ("block of 1,000 contribute against 1,000 transfers", Aim::AtMost(1.5), contribute as Maker),
        ("block of 1,000 request_unlock against 1,000 transfers", Aim::AtMost(1.5), request_unlock),
        ("block of 1,000 update_endpoint against 1,000 transfers", Aim::AtMost(1.5), update_endpoint),
        ("block of 1,000 register against 1,000 transfers", Aim::None, register),
    ] {
        if report.wants(row) {
            let mut calls = Chain::with_nodes(2 * CALLS).block_of(call);
            let mut transfers = Chain::with_nodes(2 * CALLS).block_of(transfer);
            report.cost(row, aim, || calls.execute(1), || transfers.execute(1))?;
        }
    }
    let row = "block of 1,000 verdicts of seven votes against 1,000 transfers";
    if report.wants(row) {
        let mut verdicts = Chain::with_nodes(2 * CALLS).block_of_verdicts();
        let mut transfers = Chain::with_nodes(2 * CALLS).block_of(transfer);
        report.cost(row, Aim::None, || verdicts.execute(1), || transfers.execute(1))?;
    }
    let row = "empty block with 10,000 nodes against one with 10";
    if report.wants(row) {
        let mut many = Chain::with_nodes(10_000).block_of_nothing();
        let mut few = Chain::with_nodes(10).block_of_nothing();
        report.cost(row, Aim::AtMost(1.15), || many.execute(EMPTY), || few.execute(EMPTY))?;
    }
    Ok(())
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

/// Blocks on top of a chain.
impl Chain {
    fn block_of(self, call: Maker) -> Ready {
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

    /// A block that lets every complete node serve again: so many are never taken out of service at once.
    fn block_of_verdicts(mut self) -> Ready {
        self.take_out_of_service();
        let transactions = (0..CALLS).map(|number| authorized(verdict(node(2 * number)))).collect();
        self.block_after(begin_round, transactions)
    }

    /// Makes a block natively, so that it can be carried out again and again from the state before it. What comes before it is
    /// the first block, which begins an epoch and has more to do than others.
    fn block(self, transactions: Vec<UncheckedExtrinsic>) -> Ready {
        self.block_after(|| {}, transactions)
    }

    /// As [`Chain::block`], with something changed in the state after the first block.
    fn block_after(mut self, change: impl FnOnce(), transactions: Vec<UncheckedExtrinsic>) -> Ready {
        let first = make(&mut self.state, 1, Hash::default(), Vec::new());
        self.state.execute_with(change);
        self.state.commit_all().expect("commits");
        let block = make(&mut self.state, 2, first.header.hash(), transactions);
        self.state.reset_overlay();
        Ready { state: self.state, block: block.encode(), executor: WasmExecutor::builder().build() }
    }
}

fn make(state: &mut TestExternalities, number: u32, parent: Hash, transactions: Vec<UncheckedExtrinsic>) -> Block {
    let slot = FIRST_SLOT + u64::from(number);
    let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index: 0, slot: Slot::from(slot) });
    let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
    let begun = Header::new(number, Hash::default(), Hash::default(), parent, digest);
    let (header, extrinsics) = state.execute_with(|| {
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
    Block { header, extrinsics }
}

fn native<R: Decode>(method: &str, argument: &impl Encode) -> R {
    let answer = dispatch(method, &argument.encode()).expect("a known method");
    R::decode(&mut answer.as_slice()).expect("decodes")
}

fn signed(signer: &sr25519::Pair, call: RuntimeCall) -> UncheckedExtrinsic {
    let address = MultiAddress::Id(signer.public().0.into());
    transactions::signed(call, 0, Hash::default(), address, |bytes| signer.sign(bytes).into())
}

/// What nobody signs, since what is in it authorizes it.
fn authorized(call: RuntimeCall) -> UncheckedExtrinsic {
    // It carries beside the call what any transaction does.
    let Preamble::Signed(_, _, extension) = signed(&person(0), call.clone()).preamble else {
        panic!("a signed transaction")
    };
    UncheckedExtrinsic::new_transaction(call, extension)
}

/// The number and the block of the round that [`begin_round`] makes: the first one.
const ROUND: (u32, BlockHash) = (1, [1; 32]);

/// A round under way that tests every complete node; its testers are ten of those that gather.
fn begin_round() {
    let (number, block) = ROUND;
    let nodes = |numbers: std::ops::Range<u32>, odd: u32| numbers.map(move |number| node(2 * number + odd));
    let testers = BoundedVec::truncate_from(nodes(0..MAX_TESTERS, 1).collect());
    let targets = BoundedVec::truncate_from(nodes(0..CALLS, 0).collect());
    let round = DrawnRound { block, begins_at: 1, testers, targets };
    pallet_obligations::Rounds::<Runtime>::insert(number, round);
}

/// What seven testers say of a node: it passes.
fn verdict(node: ServiceNodeId) -> RuntimeCall {
    let ((round, block), reasons) = (ROUND, Reasons::NONE);
    let subject = Subject { round, block, node };
    // Nothing before the first block asks for a hash: it is the default one.
    let message = signing::vote(&Hash::default().0, &subject, reasons);
    let vote = |seat: u8| Vote { seat, reasons, signature: key(2 * u32::from(seat) + 1).sign(&message).0 };
    let votes = BoundedVec::truncate_from((0..7).map(vote).collect());
    pallet_obligations::Call::submit_verdict { subject, votes }.into()
}

/// A block and the state it follows.
struct Ready {
    state: TestExternalities,
    block: Vec<u8>,
    executor: WasmExecutor<SubstrateHostFunctions>,
}

impl Ready {
    /// Seconds that carrying it out takes, the mean of some times.
    fn execute(&mut self, times: u32) -> io::Result<f64> {
        let blob = WrappedRuntimeCode(WASM_BINARY.expect("built with its Wasm").into());
        let code = RuntimeCode { code_fetcher: &blob, heap_pages: None, hash: vec![0] };
        let context = CallContext::Onchain { import: false };
        let mut took = 0.0;
        for _ in 0..times {
            let mut externalities = self.state.ext();
            took += time(|| {
                let answer =
                    self.executor.call(&mut externalities, &code, "Core_execute_block", &self.block, context).0;
                answer.expect("the block is right")
            });
            self.state.reset_overlay();
        }
        Ok(took / f64::from(times))
    }
}
