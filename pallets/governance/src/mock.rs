//! A chain of balances, the network's numbers and governance, with nodes as the test likes them.

use crate as pallet_governance;
use frame_support::{derive_impl, parameter_types, traits::ConstU128};
use pallet_network::Parameters;
use skep_primitives::{
    Balance, BlockNumber, CodeHash, Contribution, Motion, NodeStakes, Payees, Permyriad, ProposalId, ServiceNodeId,
    ServingNodes, StakerId, UNIT,
};
use sp_runtime::{AccountId32, BuildStorage, DispatchResult};
use std::collections::BTreeMap;

pub(crate) const ENDOWMENT: Balance = 1_000 * UNIT;
pub(crate) const DEPOSIT: Balance = 10 * UNIT;
pub(crate) const STAKE: Balance = 100 * UNIT;
pub(crate) const TREASURY: u8 = 99;
pub(crate) const VOTING: BlockNumber = 20;
pub(crate) const DELAY: BlockNumber = 5;
/// An upgrade waits until those who want no part in it have their stake back.
pub(crate) const UNLOCK: BlockNumber = 12;
pub(crate) const UPGRADE_DELAY: BlockNumber = DELAY + UNLOCK;
const BLOCK_TIME: u64 = 2_000;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
        Balances: pallet_balances,
        Governance: pallet_governance,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlockU32<Self>;
    type AccountId = AccountId32;
    type Lookup = sp_runtime::traits::IdentityLookup<AccountId32>;
    type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<{ UNIT / 100 }>;
    type RuntimeHoldReason = RuntimeHoldReason;
}

impl pallet_network::Config for Test {}

parameter_types! {
    pub static Nodes: BTreeMap<ServiceNodeId, Payees> = BTreeMap::new();
    pub Treasury: AccountId32 = account(TREASURY);
}

impl NodeStakes for Nodes {
    fn payees(node: ServiceNodeId) -> Option<Payees> {
        Self::get().get(&node).cloned()
    }
}

impl pallet_governance::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Stakes = Nodes;
    type Treasury = Treasury;
    type Deposit = ConstU128<DEPOSIT>;
    type WeightInfo = pallet_governance::weights::Measured<Self>;
}

/// Runs a test; the state must be sound afterwards.
pub(crate) fn run(test: impl FnOnce()) {
    let endowed = (1..=20).chain([TREASURY]).map(|number| (account(number), ENDOWMENT));
    let mut externalities: sp_io::TestExternalities = RuntimeGenesisConfig {
        system: Default::default(),
        balances: pallet_balances::GenesisConfig { balances: endowed.collect(), ..Default::default() },
        network: pallet_network::GenesisConfig {
            parameters: Parameters {
                block_time: BLOCK_TIME,
                voting: u64::from(VOTING) * BLOCK_TIME,
                enactment_delay: u64::from(DELAY) * BLOCK_TIME,
                unlock: u64::from(UNLOCK) * BLOCK_TIME,
                least_electorate: 0,
                private_addresses: true,
                ..Default::default()
            },
            ..Default::default()
        },
        governance: pallet_governance::GenesisConfig { work_floor: 1, ..Default::default() },
    }
    .build_storage()
    .expect("genesis builds")
    .into();
    Nodes::take();
    externalities.execute_with(|| {
        System::set_block_number(1);
        test();
        Governance::check_state().expect("the state is sound");
    });
}

pub(crate) fn account(number: u8) -> AccountId32 {
    AccountId32::new([number; 32])
}

pub(crate) fn staker(number: u8) -> StakerId {
    StakerId([number; 32])
}

pub(crate) fn origin(number: u8) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(number))
}

pub(crate) fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId([number; 32])
}

/// Node `number` of `operator` begins to serve with `stake`.
pub(crate) fn start(operator: u8, number: u8, stake: Balance) {
    let contributions = vec![Contribution { staker: staker(operator), amount: stake }];
    let payees = Payees { operator: staker(operator), fee: Permyriad::default(), contributions, requirement: stake };
    Nodes::mutate(|nodes| nodes.insert(node(number), payees));
    Governance::started(node(number));
}

/// Node `number` serves no longer.
pub(crate) fn stop(number: u8) {
    Governance::stopped(node(number));
    Nodes::mutate(|nodes| nodes.remove(&node(number)));
}

/// Node `from` goes on under another key.
pub(crate) fn hand_over(from: u8, to: u8) {
    Nodes::mutate(|nodes| {
        if let Some(payees) = nodes.remove(&node(from)) {
            nodes.insert(node(to), payees);
        }
    });
    Governance::handed_over(node(from), node(to));
    Governance::stopped(node(from));
    Governance::started(node(to));
}

/// Three operators with a node each.
pub(crate) fn three_operators() {
    (1..=3).for_each(|number| start(number, number, STAKE));
}

pub(crate) fn upgrade(number: u8) -> Motion {
    Motion::Upgrade { code_hash: CodeHash([number; 32]) }
}

pub(crate) fn spend(amount: Balance) -> Motion {
    Motion::Spend { beneficiary: staker(20), amount }
}

/// Proposes as `operator`; returns the number.
pub(crate) fn propose(operator: u8, motion: Motion) -> ProposalId {
    let id = pallet_governance::NextId::<Test>::get();
    Governance::propose(origin(operator), motion).expect("may propose");
    id
}

/// What a number stands for, as everybody sees it.
fn motion_of(proposal: ProposalId) -> Motion {
    let open = pallet_governance::Open::<Test>::get();
    open.iter().find(|other| other.id == proposal).map_or(upgrade(0), |proposal| proposal.motion)
}

pub(crate) fn approve(operator: u8, proposal: ProposalId) -> DispatchResult {
    Governance::approve(origin(operator), proposal, motion_of(proposal))
}

pub(crate) fn withdraw(operator: u8, proposal: ProposalId) -> DispatchResult {
    Governance::withdraw_approval(origin(operator), proposal, motion_of(proposal))
}

pub(crate) fn held(number: u8) -> Balance {
    use frame_support::traits::fungible::InspectHold;
    Balances::balance_on_hold(&pallet_governance::HoldReason::Proposal.into(), &account(number))
}
