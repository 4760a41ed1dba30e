//! Tests of who is paid, in which order, and that nothing is lost.

use crate::{self as pallet_rewards, Created, Event, MAX_HISTORY, Owed, RewardQueue};
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU128, FindAuthor},
};
use pallet_network::Parameters;
use proptest::{collection::vec, prelude::*};
use skep_economics::{EmissionCurve, split_block_reward, split_payout};
use skep_primitives::{
    Balance, BlockNumber, Contribution, NodeRewards, NodeStakes, Payees, Permyriad, Reward, ServiceNodeId,
    ServingNodes, StakerId, UNIT,
};
use sp_runtime::{AccountId32, BuildStorage, ConsensusEngineId};
use std::collections::BTreeMap;

const EXISTENTIAL_DEPOSIT: Balance = UNIT / 100;
const BLOCK_TIME: u64 = 2_000;
const PRODUCER: u8 = 90;
const TREASURY: u8 = 91;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
        Balances: pallet_balances,
        Rewards: pallet_rewards,
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
    type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
}

impl pallet_network::Config for Test {}

parameter_types! {
    pub static Author: Option<AccountId32> = Some(account(PRODUCER));
    pub static Nodes: BTreeMap<ServiceNodeId, Payees> = BTreeMap::new();
    pub Treasury: AccountId32 = account(TREASURY);
}

impl FindAuthor<AccountId32> for Author {
    fn find_author<'a, I: IntoIterator<Item = (ConsensusEngineId, &'a [u8])>>(_: I) -> Option<AccountId32> {
        Self::get()
    }
}

impl NodeStakes for Nodes {
    fn payees(node: ServiceNodeId) -> Option<Payees> {
        Self::get().get(&node).cloned()
    }
}

impl pallet_rewards::Config for Test {
    type Currency = Balances;
    type Producer = Author;
    type Stakes = Nodes;
    type Treasury = Treasury;
    type WeightInfo = pallet_rewards::weights::Measured<Self>;
}

fn account(number: u8) -> AccountId32 {
    AccountId32::new([number; 32])
}

fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId([number; 32])
}

/// A node starts to serve, with stakes of accounts; the first is the operator's.
fn start(number: u8, fee: u16, stakes: &[(u8, Balance)]) {
    let contribution =
        |(staker, amount): &(u8, Balance)| Contribution { staker: StakerId([*staker; 32]), amount: *amount };
    let contributions: Vec<_> = stakes.iter().map(contribution).collect();
    let fee = Permyriad::new(fee).expect("in range");
    let (operator, requirement) = (contributions[0].staker, stakes.iter().map(|(_, amount)| amount).sum());
    Nodes::mutate(|nodes| nodes.insert(node(number), Payees { operator, fee, contributions, requirement }));
    Rewards::started(node(number));
}

fn stop(number: u8) {
    Nodes::mutate(|nodes| nodes.remove(&node(number)));
    Rewards::stopped(node(number));
}

fn externalities(emission: EmissionCurve, endowed: &[(u8, Balance)]) -> sp_io::TestExternalities {
    let balances = endowed.iter().map(|(number, amount)| (account(*number), *amount)).collect();
    let mut externalities: sp_io::TestExternalities = RuntimeGenesisConfig {
        system: Default::default(),
        balances: pallet_balances::GenesisConfig { balances, ..Default::default() },
        network: pallet_network::GenesisConfig {
            parameters: Parameters { block_time: BLOCK_TIME, emission, ..Default::default() },
            ..Default::default()
        },
    }
    .build_storage()
    .expect("genesis builds")
    .into();
    Nodes::take();
    Author::set(Some(account(PRODUCER)));
    externalities.execute_with(|| System::set_block_number(1));
    externalities
}

/// What there is beyond genesis is what was created, less what still waits for the treasury's account.
fn check_state(endowed: Balance) {
    RewardQueue::<Test>::check_state().expect("the queue is sound");
    assert_eq!(Balances::total_issuance(), endowed + Created::<Test>::get() - Owed::<Test>::get());
}

/// Runs a test with an emission of one token a block, rising nor falling.
fn run(test: impl FnOnce()) {
    run_with(UNIT, test);
}

fn run_with(reward: Balance, test: impl FnOnce()) {
    externalities(steady(reward), &[(TREASURY, UNIT)]).execute_with(|| {
        test();
        check_state(UNIT);
    });
}

/// A curve that creates this much a block.
fn steady(reward: Balance) -> EmissionCurve {
    let interval = BLOCK_TIME.try_into().expect("not zero");
    EmissionCurve { tail: reward, bonus: 0, interval, ..EmissionCurve::LOKI_2018 }
}

fn run_to(block: BlockNumber) {
    System::run_to_block::<AllPalletsWithSystem>(block);
}

/// Ends this many blocks.
fn finish(blocks: u32) {
    run_to(System::block_number() + blocks);
}

fn balance(number: u8) -> Balance {
    Balances::free_balance(account(number))
}

/// The nodes paid so far, in order.
fn paid() -> Vec<ServiceNodeId> {
    let paid = System::events().into_iter().filter_map(|record| match record.event {
        RuntimeEvent::Rewards(Event::NodePaid { node, .. }) => Some(node),
        RuntimeEvent::Rewards(_) | RuntimeEvent::System(_) | RuntimeEvent::Balances(_) => None,
    });
    paid.collect()
}

#[test]
fn a_block_pays_producer_node_and_treasury() {
    run(|| {
        start(1, 1_000, &[(1, 50), (2, 25), (3, 25)]);
        finish(1);
        let parts = split_block_reward(UNIT);
        assert_eq!(balance(PRODUCER), parts.producer);
        assert_eq!(balance(TREASURY), UNIT + parts.treasury);
        // A tenth is the operator's fee, then half of the rest by stake.
        let (fee, rest) = (parts.service_node / 10, parts.service_node - parts.service_node / 10);
        assert_eq!((balance(1), balance(2), balance(3)), (fee + rest / 2, rest / 4, rest / 4));
        assert_eq!(Created::<Test>::get(), UNIT);
        assert_eq!(Rewards::last_rewarded(node(1)), Some(1));
    });
}

#[test]
fn rounding_goes_to_the_treasury() {
    run_with(UNIT + 7, || {
        start(1, 0, &[(1, 1), (2, 1), (3, 1)]);
        finish(1);
        let parts = split_block_reward(UNIT + 7);
        let share = parts.service_node / 3;
        assert_eq!((balance(1), balance(2), balance(3)), (share, share, share));
        assert_eq!(balance(TREASURY), UNIT + parts.treasury + parts.service_node % 3);
    });
}

#[test]
fn what_nobody_earned_is_the_treasurys() {
    run(|| {
        finish(1);
        let producer = split_block_reward(UNIT).producer;
        assert_eq!(balance(TREASURY), 2 * UNIT - producer);
        Author::set(None);
        finish(1);
        assert_eq!(balance(TREASURY), 3 * UNIT - producer);
        assert_eq!(balance(PRODUCER), producer);
    });
}

#[test]
fn payouts_too_small_to_open_an_account_are_not_lost() {
    // Half a token, of which the small one would get less than an existential deposit.
    run(|| {
        start(1, 0, &[(1, 99), (2, 1)]);
        finish(1);
        let parts = split_block_reward(UNIT);
        let small = parts.service_node / 100;
        assert!(small < EXISTENTIAL_DEPOSIT);
        assert_eq!((balance(1), balance(2)), (parts.service_node - small, 0));
        assert_eq!(balance(TREASURY), UNIT + parts.treasury + small);
    });
}

#[test]
fn a_treasury_without_an_account_is_paid_later() {
    let reward = EXISTENTIAL_DEPOSIT * 5;
    externalities(steady(reward), &[]).execute_with(|| {
        start(1, 0, &[(1, 1)]);
        let part = split_block_reward(reward).treasury;
        let blocks = u32::try_from(EXISTENTIAL_DEPOSIT / part).expect("few");
        finish(blocks - 1);
        assert_eq!((balance(TREASURY), Owed::<Test>::get()), (0, part * u128::from(blocks - 1)));
        check_state(0);
        finish(1);
        assert_eq!((balance(TREASURY), Owed::<Test>::get()), (part * u128::from(blocks), 0));
        check_state(0);
    });
}

#[test]
fn the_longest_unpaid_is_next() {
    run(|| {
        for number in [3, 1, 2] {
            start(number, 0, &[(number, 1)]);
        }
        finish(2);
        // A newcomer goes to the back, behind those already paid.
        start(4, 0, &[(4, 1)]);
        finish(5);
        assert_eq!(paid(), [3, 1, 2, 3, 1, 4, 2].map(node));
        assert_eq!(Rewards::upcoming().collect::<Vec<_>>(), [3, 1, 4, 2].map(node));
    });
}

#[test]
fn who_leaves_is_not_paid_and_who_comes_back_starts_at_the_back() {
    run(|| {
        for number in [1, 2, 3] {
            start(number, 0, &[(number, 1)]);
        }
        stop(1);
        finish(1);
        assert_eq!(Rewards::last_rewarded(node(1)), None);
        start(1, 0, &[(1, 1)]);
        assert_eq!(Rewards::last_rewarded(node(1)), Some(2));
        finish(4);
        assert_eq!(paid(), [2, 3, 2, 1, 3].map(node));
    });
}

#[test]
fn what_a_node_earned_is_told_while_anything_of_it_is_left() {
    run(|| {
        start(1, 0, &[(1, 1)]);
        start(2, 0, &[(2, 1)]);
        finish(3);
        let amount = split_block_reward(UNIT).service_node;
        let rewards = |blocks: &[u32]| blocks.iter().map(|at| Reward { at: *at, amount }).collect::<Vec<_>>();
        let expected = NodeRewards { total: 2 * amount, ahead: Some(1), last: rewards(&[1, 3]) };
        assert_eq!(Rewards::rewards_of(node(1)), expected);
        // A decommissioned node keeps what it earned, and so does one under another key.
        stop(1);
        assert_eq!(Rewards::rewards_of(node(1)), NodeRewards { ahead: None, ..expected.clone() });
        Rewards::handed_over(node(1), node(3));
        assert_eq!(Rewards::rewards_of(node(1)), NodeRewards::default());
        assert_eq!(Rewards::rewards_of(node(3)).last, expected.last);
        Rewards::ended(node(3));
        assert_eq!(Rewards::rewards_of(node(3)), NodeRewards::default());
        // Only the latest are kept; nothing of the sum is lost.
        let blocks = 40;
        finish(blocks);
        let long = Rewards::rewards_of(node(2));
        assert_eq!((long.total, long.last.len()), (u128::from(blocks + 1) * amount, MAX_HISTORY as usize));
        assert!(long.last.is_sorted_by_key(|reward| reward.at));
        assert_eq!(long.last.last().map(|reward| reward.at), Some(System::block_number() - 1));
    });
}

#[test]
fn emission_follows_the_curve() {
    externalities(EmissionCurve::LOKI_2018, &[(TREASURY, UNIT)]).execute_with(|| {
        run_to(11);
        let expected: Balance = (1..=10).map(|height| EmissionCurve::LOKI_2018.block_reward(height, BLOCK_TIME)).sum();
        assert_eq!(Created::<Test>::get(), expected);
        check_state(UNIT);
    });
}

/// What happens between two blocks.
#[derive(Clone, Debug)]
enum Step {
    Start { node: u8, fee: u16, stakes: Vec<Balance> },
    Stop { node: u8 },
    Blocks { count: u8 },
    Producer { known: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let stakes = vec(1..=UNIT, 1..=10);
    prop_oneof![
        4 => (1..=12u8, 0..=10_000u16, stakes).prop_map(|(node, fee, stakes)| Step::Start { node, fee, stakes }),
        2 => (1..=12u8).prop_map(|node| Step::Stop { node }),
        4 => (1..=10u8).prop_map(|count| Step::Blocks { count }),
        1 => any::<bool>().prop_map(|known| Step::Producer { known }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn issuance_is_the_sum_of_rewards_and_turns_are_fair(
        reward in 0..UNIT, steps in vec(step(), 1..30),
    ) {
        externalities(steady(reward), &[]).execute_with(|| {
            // The order as the rule has it: by last reward or activation, then by arrival.
            let mut turns: Vec<ServiceNodeId> = Vec::new();
            let mut expected = Vec::new();
            for step in steps {
                match step {
                    Step::Start { node: number, fee, stakes } => {
                        if Nodes::get().contains_key(&node(number)) {
                            continue;
                        }
                        let stakes: Vec<_> = (0..).map(|i| 20 + number + i).zip(stakes).collect();
                        start(number, fee, &stakes);
                        turns.push(node(number));
                    }
                    Step::Stop { node: number } => {
                        if Nodes::get().contains_key(&node(number)) {
                            stop(number);
                            turns.retain(|other| *other != node(number));
                        }
                    }
                    Step::Blocks { count } => {
                        finish(count.into());
                        for _ in 0..count {
                            if !turns.is_empty() {
                                let next = turns.remove(0);
                                expected.push(next);
                                turns.push(next);
                            }
                        }
                    }
                    Step::Producer { known } => Author::set(known.then(|| account(PRODUCER))),
                }
                check_state(0);
            }
            prop_assert_eq!(paid(), expected);
            prop_assert_eq!(Rewards::upcoming().collect::<Vec<_>>(), turns);
            let blocks = u128::from(System::block_number() - 1);
            prop_assert_eq!(Created::<Test>::get(), reward * blocks);
            Ok(())
        })?;
    }
}

#[test]
fn a_stake_earns_what_the_rules_say_over_many_blocks() {
    run(|| {
        let stakes = [(1, 37), (2, 41), (3, 22)];
        start(1, 1_234, &stakes);
        finish(100);
        let payout = split_payout(
            split_block_reward(UNIT).service_node,
            Permyriad::new(1_234).expect("in range"),
            stakes.map(|(_, amount)| amount),
        );
        assert_eq!(balance(1), 100 * (payout.fee + payout.shares[0]));
        assert_eq!((balance(2), balance(3)), (100 * payout.shares[1], 100 * payout.shares[2]));
    });
}
