//! A chain of balances, the network's numbers and service nodes.

use crate as pallet_service_nodes;
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU128, Contains},
};
use pallet_network::Parameters;
use skep_economics::StakingRequirement;
use skep_primitives::{
    Balance, BlockNumber, Endpoint, Permyriad, Reservation, ServiceNodeId, ServingNodes, SoftwareVersion, StakerId,
    UNIT, signing,
};
use sp_core::{Pair, ed25519};
use sp_runtime::{AccountId32, BuildStorage, DispatchResult, impl_opaque_keys, testing::UintAuthorityId};

pub(crate) const REQUIREMENT: Balance = 100 * UNIT;
/// What every account owns at genesis: enough for several nodes.
pub(crate) const ENDOWMENT: Balance = 1_000 * UNIT;
pub(crate) const EXISTENTIAL_DEPOSIT: Balance = UNIT / 100;
pub(crate) const ACCOUNTS: u8 = 20;

pub(crate) const UNLOCK: BlockNumber = 20;
pub(crate) const SMALL_STAKE_LOCK: BlockNumber = 40;
pub(crate) const POOL_EXPIRY: BlockNumber = 10;
pub(crate) const DEREGISTRATION_LOCK: BlockNumber = 25;

/// What frame-system takes for the hash of its first block without a chain.
pub(crate) const GENESIS: [u8; 32] = [69; 32];

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
        Balances: pallet_balances,
        ServiceNodes: pallet_service_nodes,
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
    type RuntimeHoldReason = RuntimeHoldReason;
}

impl pallet_network::Config for Test {}

impl_opaque_keys! {
    pub struct SessionKeys {
        pub dummy: UintAuthorityId,
    }
}

parameter_types! {
    /// What the listener heard: a node and whether it started.
    pub static Heard: Vec<(ServiceNodeId, bool)> = Vec::new();
    /// The nodes it heard that nothing is left of.
    pub static Gone: Vec<ServiceNodeId> = Vec::new();
    /// The keys it heard that were handed over, and to which.
    pub static HandedOver: Vec<(ServiceNodeId, ServiceNodeId)> = Vec::new();
}

/// What was handed over is a node's former key for good.
pub struct FormerKeys;

impl Contains<ServiceNodeId> for FormerKeys {
    fn contains(key: &ServiceNodeId) -> bool {
        HandedOver::get().iter().any(|(from, _)| from == key)
    }
}

pub struct Listener;

impl ServingNodes for Listener {
    fn started(node: ServiceNodeId) {
        Heard::mutate(|heard| heard.push((node, true)));
    }

    fn stopped(node: ServiceNodeId) {
        Heard::mutate(|heard| heard.push((node, false)));
    }

    fn ended(node: ServiceNodeId) {
        Gone::mutate(|gone| gone.push(node));
    }

    fn handed_over(from: ServiceNodeId, to: ServiceNodeId) {
        HandedOver::mutate(|keys| keys.push((from, to)));
    }
}

impl pallet_service_nodes::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type SessionKeys = SessionKeys;
    type FormerKeys = FormerKeys;
    type Listener = Listener;
    type WeightInfo = pallet_service_nodes::weights::Measured<Self>;
}

/// A network of local addresses, or of public ones.
pub(crate) struct ExtBuilder {
    pub(crate) private_addresses: bool,
}

impl ExtBuilder {
    pub(crate) fn build(self) -> sp_io::TestExternalities {
        let accounts = (1..=ACCOUNTS).map(|number| (account(number), ENDOWMENT));
        let mut externalities: sp_io::TestExternalities = RuntimeGenesisConfig {
            system: Default::default(),
            balances: pallet_balances::GenesisConfig { balances: accounts.collect(), ..Default::default() },
            network: pallet_network::GenesisConfig {
                parameters: Parameters {
                    block_time: 2_000,
                    requirement: StakingRequirement::Fixed { amount: REQUIREMENT },
                    unlock: u64::from(UNLOCK) * 2_000,
                    small_stake_lock: u64::from(SMALL_STAKE_LOCK) * 2_000,
                    pool_expiry: u64::from(POOL_EXPIRY) * 2_000,
                    deregistration_lock: u64::from(DEREGISTRATION_LOCK) * 2_000,
                    private_addresses: self.private_addresses,
                    ..Default::default()
                },
                ..Default::default()
            },
        }
        .build_storage()
        .expect("genesis builds")
        .into();
        Heard::take();
        Gone::take();
        HandedOver::take();
        externalities.execute_with(|| System::set_block_number(1));
        externalities
    }

    /// Runs a test on it; the state must be sound afterwards.
    pub(crate) fn run(self, test: impl FnOnce()) {
        self.build().execute_with(|| {
            test();
            ServiceNodes::check_state().expect("the state is sound");
        });
    }
}

/// Runs a test on a network of local addresses.
pub(crate) fn run(test: impl FnOnce()) {
    ExtBuilder { private_addresses: true }.run(test);
}

pub(crate) fn run_to(block: BlockNumber) {
    System::run_to_block::<AllPalletsWithSystem>(block);
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

pub(crate) fn key(number: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[number; 32])
}

pub(crate) fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId(key(number).public().0)
}

/// A local endpoint of its own for each node.
pub(crate) fn endpoint(number: u8) -> Endpoint {
    Endpoint { ipv4: [127, 0, number, 1], https_port: 22021, quic_port: 22020 }
}

pub(crate) fn fee() -> Permyriad {
    Permyriad::new(1_000).expect("in range")
}

pub(crate) fn proof(node: u8, operator: u8) -> [u8; 64] {
    key(node).sign(&signing::registration(&GENESIS, &staker(operator), fee())).0
}

pub(crate) fn register(operator: u8, number: u8, stake: Balance) -> DispatchResult {
    let (version, proof) = (SoftwareVersion([1, 2, 3]), proof(number, operator));
    let (node, reserved) = (node(number), Default::default());
    ServiceNodes::register(origin(operator), node, proof, fee(), endpoint(number), version, stake, reserved)
}

/// Registers node `number` with spots kept for others.
pub(crate) fn register_with(operator: u8, number: u8, stake: Balance, reserved: &[(u8, Balance)]) -> DispatchResult {
    let reserved = reserved.iter().map(|(who, amount)| Reservation { staker: staker(*who), amount: *amount });
    let reserved = reserved.collect::<Vec<_>>().try_into().expect("at most nine");
    let (version, proof, node) = (SoftwareVersion([1, 2, 3]), proof(number, operator), node(number));
    ServiceNodes::register(origin(operator), node, proof, fee(), endpoint(number), version, stake, reserved)
}

pub(crate) fn contribute(staker: u8, number: u8, amount: Balance) -> DispatchResult {
    ServiceNodes::contribute(origin(staker), node(number), amount)
}

/// What an account has on hold for its stakes.
pub(crate) fn held(number: u8) -> Balance {
    use frame_support::traits::fungible::InspectHold;
    Balances::balance_on_hold(&pallet_service_nodes::HoldReason::Stake.into(), &account(number))
}
