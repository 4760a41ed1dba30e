//! A chain of the network's numbers and obligations, with nodes that do as they are told.

use crate::{self as pallet_obligations, RoundRandomness};
use frame_support::{derive_impl, parameter_types, traits::Authorize};
use pallet_network::Parameters;
use skep_primitives::{
    BlockNumber, Deregistration, Findings, NodeState, NodeStates, NodeWhereabouts, Reasons, ServiceNodeId,
    ServingNodes, StakerId, Subject, TestingRound, TestingTerms, Verdict, Vote, Whereabouts, signing,
};
use sp_core::{Pair, ed25519};
use sp_runtime::{
    BuildStorage, DispatchResult,
    traits::Dispatchable,
    transaction_validity::{TransactionSource, TransactionValidityError, ValidTransaction},
};
use std::{collections::BTreeMap, sync::LazyLock};

pub(crate) const BLOCK_TIME: u64 = 2_000;
/// Blocks of a round.
pub(crate) const ROUND: BlockNumber = 5;
/// Rounds for which a vote counts.
pub(crate) const VOTE_ROUNDS: u32 = 6;
/// Blocks until a node may test.
pub(crate) const WAIT: BlockNumber = 10;
/// Credit of a new node, in blocks.
pub(crate) const CREDIT: BlockNumber = 30;

/// What frame-system takes for the hash of its first block without a chain.
pub(crate) const GENESIS: [u8; 32] = [69; 32];

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
        Obligations: pallet_obligations,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlockU32<Self>;
}

impl pallet_network::Config for Test {}

parameter_types! {
    /// Every registered node, and those that were deregistered.
    pub static Registry: BTreeMap<ServiceNodeId, Whereabouts> = BTreeMap::new();
    pub static Seed: [u8; 32] = [0; 32];
}

pub struct Randomness;

impl RoundRandomness for Randomness {
    fn of_parent() -> [u8; 32] {
        Seed::get()
    }
}

/// Tells the pallet what the real one tells its listeners.
pub struct Nodes;

fn swap(node: ServiceNodeId, change: impl FnOnce(NodeState) -> Option<Whereabouts>) -> bool {
    let Some(Whereabouts::Roster(state)) = Registry::get().get(&node).copied() else { return false };
    let Some(after) = change(state) else { return false };
    Registry::mutate(|registry| registry.insert(node, after));
    true
}

impl NodeStates for Nodes {
    fn decommission(node: ServiceNodeId, credit_ends_at: BlockNumber, findings: Findings) -> bool {
        let since = System::block_number();
        let state = NodeState::Decommissioned { since, credit_ends_at, findings, leave: None };
        let done = swap(node, |before| before.is_serving().then_some(Whereabouts::Roster(state)));
        if done {
            Obligations::stopped(node);
        }
        done
    }

    fn recommission(node: ServiceNodeId) -> bool {
        let state = NodeState::Active { since: System::block_number() };
        let done = swap(node, |before| {
            matches!(before, NodeState::Decommissioned { .. }).then_some(Whereabouts::Roster(state))
        });
        if done {
            Obligations::started(node);
        }
        done
    }

    fn deregister(node: ServiceNodeId) -> bool {
        let gone = Deregistration { at: System::block_number(), stakes_return_at: BlockNumber::MAX };
        let done = swap(node, |_| Some(Whereabouts::Deregistered(gone)));
        if done {
            Obligations::stopped(node);
        }
        done
    }
}

impl NodeWhereabouts for Nodes {
    fn whereabouts(node: ServiceNodeId) -> Option<(StakerId, Whereabouts)> {
        Registry::get().get(&node).map(|whereabouts| (StakerId([7; 32]), *whereabouts))
    }

    fn all() -> Vec<ServiceNodeId> {
        Registry::get().into_keys().collect()
    }
}

impl pallet_obligations::Config for Test {
    type Randomness = Randomness;
    type Nodes = Nodes;
    type WeightInfo = pallet_obligations::weights::Measured<Self>;
}

pub(crate) fn externalities() -> sp_io::TestExternalities {
    let milliseconds = |blocks: BlockNumber| u64::from(blocks) * BLOCK_TIME;
    let testing = TestingTerms {
        round: milliseconds(ROUND),
        vote_rounds: VOTE_ROUNDS,
        tester_wait: milliseconds(WAIT),
        initial_credit: milliseconds(CREDIT),
        least_credit: milliseconds(CREDIT),
        most_credit: milliseconds(10 * CREDIT),
        ..TestingTerms::default()
    };
    let parameters = Parameters { block_time: BLOCK_TIME, testing, ..Default::default() };
    let mut externalities: sp_io::TestExternalities = RuntimeGenesisConfig {
        system: Default::default(),
        network: pallet_network::GenesisConfig { parameters, ..Default::default() },
    }
    .build_storage()
    .expect("genesis builds")
    .into();
    Registry::take();
    Seed::take();
    externalities.execute_with(|| System::set_block_number(1));
    externalities
}

/// Runs a test; the state must be sound afterwards.
pub(crate) fn run(test: impl FnOnce()) {
    externalities().execute_with(|| {
        test();
        Obligations::check_state().expect("the state is sound");
    });
}

pub(crate) fn run_to(block: BlockNumber) {
    System::run_to_block::<AllPalletsWithSystem>(block);
}

/// The first block of the next round.
pub(crate) fn next_round() -> TestingRound {
    run_to((System::block_number() / ROUND + 1) * ROUND);
    Obligations::round(None).expect("it was drawn")
}

pub(crate) fn key(number: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[number; 32])
}

pub(crate) fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId(key(number).public().0)
}

pub(crate) fn number_of(node: ServiceNodeId) -> u8 {
    static NUMBERS: LazyLock<BTreeMap<ServiceNodeId, u8>> =
        LazyLock::new(|| (0..=u8::MAX).map(|number| (self::node(number), number)).collect());
    NUMBERS[&node]
}

pub(crate) fn start(number: u8) {
    let state = NodeState::Active { since: System::block_number() };
    Registry::mutate(|registry| registry.insert(node(number), Whereabouts::Roster(state)));
    Obligations::started(node(number));
}

/// The node's unlock time is over, or its locked stakes return.
pub(crate) fn end(number: u8) {
    Registry::mutate(|registry| registry.remove(&node(number)));
    Obligations::stopped(node(number));
    Obligations::ended(node(number));
}

/// The node goes on under another key.
pub(crate) fn hand_over(from: u8, to: u8) {
    let whereabouts = Registry::mutate(|registry| registry.remove(&node(from))).expect("registered");
    Registry::mutate(|registry| registry.insert(node(to), whereabouts));
    Obligations::handed_over(node(from), node(to));
    if matches!(whereabouts, Whereabouts::Roster(state) if state.is_serving()) {
        Obligations::stopped(node(from));
        Obligations::started(node(to));
    }
}

/// Starts nodes 1 ..= `count` and waits until they may all test.
pub(crate) fn grown(count: u8) -> TestingRound {
    (1..=count).for_each(start);
    run_to(System::block_number() + WAIT);
    next_round()
}

pub(crate) fn subject(round: &TestingRound, node: ServiceNodeId) -> Subject {
    Subject { round: round.round, block: round.block, node }
}

pub(crate) fn vote(round: &TestingRound, subject: &Subject, seat: u8, reasons: Reasons) -> Vote {
    let tester = key(number_of(round.testers[usize::from(seat)]));
    Vote { seat, reasons, signature: tester.sign(&signing::vote(&GENESIS, subject, reasons)).0 }
}

/// What the first seven of a round's testers say of a node.
pub(crate) fn verdict(round: &TestingRound, node: ServiceNodeId, reasons: Reasons) -> Verdict {
    let subject = subject(round, node);
    let needed = skep_obligations::votes_needed(round.testers.len() as u32) as u8;
    Verdict { subject, votes: (0..needed).map(|seat| vote(round, &subject, seat, reasons)).collect() }
}

pub(crate) fn call(verdict: &Verdict) -> RuntimeCall {
    let votes = verdict.votes.clone().try_into().expect("at most ten votes");
    pallet_obligations::Call::submit_verdict { subject: verdict.subject, votes }.into()
}

/// What the pool says of it.
pub(crate) fn validate(verdict: &Verdict) -> Result<ValidTransaction, TransactionValidityError> {
    let answer = call(verdict).authorize(TransactionSource::External).expect("the call can be authorized");
    answer.map(|(validity, _)| validity)
}

/// Carries it out as a block does: authorized first, then dispatched.
pub(crate) fn carry_out(verdict: &Verdict) -> Result<DispatchResult, TransactionValidityError> {
    validate(verdict)?;
    let dispatched = call(verdict).dispatch(frame_system::RawOrigin::Authorized.into());
    Ok(dispatched.map(drop).map_err(|error| error.error))
}

pub(crate) fn whereabouts(number: u8) -> Option<Whereabouts> {
    Registry::get().get(&node(number)).copied()
}
