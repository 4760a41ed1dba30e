//! How the pallets are wired.

use crate::{
    AccountId, Authorities, Authorship, Babe, Balance, Balances, Block, BlockNumber, Governance, Hash, Historical,
    Moment, Nonce, Obligations, PalletInfo, Rewards, Runtime, RuntimeCall, RuntimeEvent, RuntimeFreezeReason,
    RuntimeHoldReason, RuntimeOrigin, RuntimeTask, ServiceNodes, Session, SessionKeys, Swarms, System, VERSION,
    equivocation::{DisableUpToAThird, PunishProducer},
};
use alloc::vec::Vec;
use codec::Decode;
use frame_support::{
    PalletId, derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    traits::{
        ConstU8, ConstU32, ConstU64, ConstU128, Contains, FindAuthor, Get, KeyOwnerProofSystem, OnUnbalanced,
        VariantCountOf,
        fungible::{Balanced, Credit},
    },
    weights::{ConstantMultiplier, Weight, WeightToFee, constants::ParityDbWeight},
};
use frame_system::limits::{BlockLength, BlockWeights};
use pallet_authorities::MAX_AUTHORITIES;
use pallet_session::SessionInterface;
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use skep_primitives::{MAX_BLOCK_BYTES, SS58_PREFIX, ServiceNodeId, UNIT};
use sp_consensus_babe::{AllowedSlots, AuthorityId as BabeId, BabeEpochConfiguration};
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_core::crypto::KeyTypeId;
use sp_runtime::{
    ConsensusEngineId, FixedPointNumber, Perbill, Perquintill,
    traits::{AccountIdConversion, Bounded, Convert, OpaqueKeys},
};
use sp_staking::SessionIndex;

/// BABE's constants for the first epoch: a primary slot in four, a secondary author with a VRF for each other. BABE makes its own
/// randomness of primary slots only; what secondary authors reveal is chained with the rest by `pallet-authorities`.
pub const BABE_GENESIS_EPOCH_CONFIG: BabeEpochConfiguration =
    BabeEpochConfiguration { c: (1, 4), allowed_slots: AllowedSlots::PrimaryAndSecondaryVRFSlots };

/// Blocks for which a report of equivocation may wait to be included.
const REPORT_LONGEVITY: u64 = 4096;

/// Share of a block open to ordinary calls; the rest is for operational ones.
const NORMAL_SHARE: Perbill = Perbill::from_percent(75);

/// What a block may weigh: a third of the slot, whatever the network's slot is.
pub struct WeightOfASlot;

impl Get<BlockWeights> for WeightOfASlot {
    fn get() -> BlockWeights {
        const PICOSECONDS: u64 = 1_000_000_000;
        let third = pallet_network::Pallet::<Runtime>::block_time() / 3;
        BlockWeights::with_sensible_defaults(
            Weight::from_parts(third.saturating_mul(PICOSECONDS), u64::MAX),
            NORMAL_SHARE,
        )
    }
}

parameter_types! {
    pub const Version: sp_version::RuntimeVersion = VERSION;
    pub const BlockHashCount: BlockNumber = pallet_network::BLOCK_HASHES;
    pub const Ss58Prefix: u16 = SS58_PREFIX;
    pub Length: BlockLength = BlockLength::builder()
        .max_length(MAX_BLOCK_BYTES)
        .modify_max_length_for_class(DispatchClass::Normal, |bytes| *bytes = NORMAL_SHARE * *bytes)
        .build();
    pub Treasury: AccountId = PalletId(*b"skep/tre").into_account_truncating();
}

/// Calls that may be made. Nobody takes session keys away: a drawn node without keys would stay in the set with a key that
/// anybody can sign with, until its era ends.
pub struct AllButPurge;

impl Contains<RuntimeCall> for AllButPurge {
    fn contains(call: &RuntimeCall) -> bool {
        !matches!(call, RuntimeCall::Session(pallet_session::Call::purge_keys {}))
    }
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type BaseCallFilter = AllButPurge;
    type Block = Block;
    type BlockWeights = WeightOfASlot;
    type BlockLength = Length;
    type BlockHashCount = BlockHashCount;
    type AccountId = AccountId;
    type Nonce = Nonce;
    type Hash = Hash;
    type DbWeight = ParityDbWeight;
    type Version = Version;
    type AccountData = pallet_balances::AccountData<Balance>;
    type SS58Prefix = Ss58Prefix;
    type MaxConsumers = ConstU32<16>;
    type SingleBlockMigrations = crate::migrations::Migrations;
}

impl pallet_network::Config for Runtime {}

impl pallet_timestamp::Config for Runtime {
    type Moment = Moment;
    type OnTimestampSet = Babe;
    type MinimumPeriod = pallet_network::MinimumPeriod<Self>;
    type WeightInfo = ();
}

impl pallet_babe::Config for Runtime {
    type EpochDuration = pallet_network::EpochBlocks<Self>;
    type ExpectedBlockTime = pallet_network::BlockTime<Self>;
    type EpochChangeTrigger = pallet_babe::ExternalTrigger;
    type DisabledValidators = Session;
    type WeightInfo = ();
    type MaxAuthorities = ConstU32<MAX_AUTHORITIES>;
    type MaxNominators = ConstU32<0>;
    type KeyOwnerProof = <Historical as KeyOwnerProofSystem<(KeyTypeId, BabeId)>>::Proof;
    type EquivocationReportSystem =
        pallet_babe::EquivocationReportSystem<Self, PunishProducer, Historical, ConstU64<REPORT_LONGEVITY>>;
}

impl pallet_grandpa::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
    type MaxAuthorities = ConstU32<MAX_AUTHORITIES>;
    type MaxNominators = ConstU32<0>;
    type MaxSetIdSessionEntries = pallet_network::ProvableSessions<Self>;
    type KeyOwnerProof = <Historical as KeyOwnerProofSystem<(KeyTypeId, GrandpaId)>>::Proof;
    type EquivocationReportSystem =
        pallet_grandpa::EquivocationReportSystem<Self, PunishProducer, Historical, ConstU64<REPORT_LONGEVITY>>;
}

impl pallet_authorship::Config for Runtime {
    type FindAuthor = pallet_session::FindAccountFromAuthorIndex<Self, Babe>;
    type EventHandler = NoteProducer;
}

impl pallet_balances::Config for Runtime {
    type MaxLocks = ConstU32<50>;
    type MaxReserves = ();
    type ReserveIdentifier = [u8; 8];
    type Balance = Balance;
    type RuntimeEvent = RuntimeEvent;
    type DustRemoval = ();
    type ExistentialDeposit = ConstU128<{ UNIT / 1_000 }>;
    type AccountStore = System;
    type WeightInfo = pallet_balances::weights::SubstrateWeight<Self>;
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
    type RuntimeHoldReason = RuntimeHoldReason;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type DoneSlashHandler = ();
}

/// Transaction fees go to the block's producer, or to the treasury where that account cannot take them.
pub struct ToProducer;

impl OnUnbalanced<Credit<AccountId, Balances>> for ToProducer {
    fn on_nonzero_unbalanced(fees: Credit<AccountId, Balances>) {
        let left = match Authorship::author() {
            Some(producer) => Balances::resolve(&ProducersPayee::of(producer), fees),
            None => Err(fees),
        };
        if let Err(fees) = left {
            // Less than an account can begin with, and no treasury yet: such a fee ceases to exist.
            drop(Balances::resolve(&Treasury::get(), fees));
        }
    }
}

/// A millisecond of computing costs a thousandth of a token.
pub struct FeeOfWeight;

impl WeightToFee for FeeOfWeight {
    type Balance = Balance;

    fn weight_to_fee(weight: &Weight) -> Balance {
        Balance::from(weight.ref_time() / 1_000)
    }
}

parameter_types! {
    pub const TargetFullness: Perquintill = Perquintill::from_percent(25);
    pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
    pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_rational(1, 10);
    pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_transaction_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type OnChargeTransaction = FungibleAdapter<Balances, ToProducer>;
    type WeightToFee = FeeOfWeight;
    type LengthToFee = ConstantMultiplier<Balance, ConstU128<1_000>>;
    type FeeMultiplierUpdate =
        TargetedFeeAdjustment<Self, TargetFullness, AdjustmentVariable, MinimumMultiplier, MaximumMultiplier>;
    type OperationalFeeMultiplier = ConstU8<5>;
    type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Self>;
}

/// Founders and drawn nodes, by `pallet-authorities`' plan.
pub struct DrawnAuthorities;

impl DrawnAuthorities {
    /// Whoever genesis gives keys. They must be named once: a session inherits its proofs' root from the one before.
    fn at_genesis() -> Vec<AccountId> {
        let mut founders: Vec<_> = pallet_session::NextKeys::<Runtime>::iter_keys().collect();
        founders.sort_unstable();
        Authorities::found(founders.clone());
        founders
    }
}

impl pallet_session::SessionManager<AccountId> for DrawnAuthorities {
    fn new_session(index: SessionIndex) -> Option<Vec<AccountId>> {
        Authorities::plan(index)
    }

    fn new_session_genesis(_: SessionIndex) -> Option<Vec<AccountId>> {
        Some(Self::at_genesis())
    }

    fn end_session(_: SessionIndex) {}

    fn start_session(index: SessionIndex) {
        let provable: SessionIndex = pallet_network::ProvableSessions::<Runtime>::get();
        let oldest = index.saturating_sub(provable);
        Historical::prune_up_to(oldest);
        if let Some(forgotten) = oldest.checked_sub(1) {
            Authorities::forget_punished(forgotten);
        }
    }
}

impl pallet_session::historical::SessionManager<AccountId, ()> for DrawnAuthorities {
    fn new_session(index: SessionIndex) -> Option<Vec<(AccountId, ())>> {
        Some(Authorities::plan(index)?.into_iter().map(|producer| (producer, ())).collect())
    }

    fn new_session_genesis(_: SessionIndex) -> Option<Vec<(AccountId, ())>> {
        Some(Self::at_genesis().into_iter().map(|producer| (producer, ())).collect())
    }

    fn start_session(index: SessionIndex) {
        <Self as pallet_session::SessionManager<AccountId>>::start_session(index);
    }

    fn end_session(_: SessionIndex) {}
}

/// Session keys as the session pallet keeps them: a node's account is its id.
pub struct SessionKeysOfNodes;

impl pallet_authorities::SessionKeyBook for SessionKeysOfNodes {
    fn set(node: ServiceNodeId, mut keys: &[u8]) -> bool {
        SessionKeys::decode(&mut keys)
            .is_ok_and(|keys| <Session as SessionInterface>::set_keys(&AccountId::new(node.0), keys).is_ok())
    }

    fn forget(node: ServiceNodeId) {
        // It fails only for one that has none.
        let _ = <Session as SessionInterface>::purge_keys(&AccountId::new(node.0));
    }
}

impl pallet_authorities::Config for Runtime {
    type Candidates = ServiceNodes;
    type Keys = SessionKeysOfNodes;
    type Output = BabeOutput;
    type WeightInfo = pallet_authorities::weights::Measured<Self>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Helper;
}

/// Marks who produced in an era.
pub struct NoteProducer;

impl pallet_authorship::EventHandler<AccountId, BlockNumber> for NoteProducer {
    fn note_author(producer: AccountId) {
        Authorities::note_produced(&producer);
    }
}

/// Whom a block's producer earns for: a node's operator, even if the node has got another key since, or a founder itself.
pub struct ProducersPayee;

impl ProducersPayee {
    fn of(producer: AccountId) -> AccountId {
        let operator = Obligations::operator_behind(ServiceNodeId(producer.clone().into()));
        operator.map_or(producer, |operator| AccountId::new(operator.0))
    }
}

impl FindAuthor<AccountId> for ProducersPayee {
    fn find_author<'a, I>(digests: I) -> Option<AccountId>
    where
        I: 'a + IntoIterator<Item = (ConsensusEngineId, &'a [u8])>,
    {
        pallet_session::FindAccountFromAuthorIndex::<Runtime, Babe>::find_author(digests).map(Self::of)
    }
}

/// Founders and service nodes may have session keys; each is its own producer's id. A node's come with
/// `ServiceNodes::set_session_keys` when it is drawn, for the era: set in the session pallet meanwhile they would change the set of
/// authorities, and with it let a disabled producer back and make proofs of finality grow. [`NodeKeysDeposit`] bars that.
/// Who has keys is known, too, so that those of nodes that are gone can be forgotten.
pub struct FounderOrNode;

impl Convert<AccountId, Option<AccountId>> for FounderOrNode {
    fn convert(account: AccountId) -> Option<AccountId> {
        let is_node = || ServiceNodes::operator_of(ServiceNodeId(account.clone().into())).is_some();
        let is_founder = pallet_authorities::Founders::<Runtime>::get().contains(&account);
        let has_keys = || pallet_session::NextKeys::<Runtime>::contains_key(&account);
        (is_founder || is_node() || has_keys()).then_some(account)
    }
}

/// What the session pallet asks of an account that has no keys of its own there: more than there is. Founders have theirs from
/// genesis on and change them for nothing; a node's are kept for it, so that taking them over would need the deposit.
pub type NodeKeysDeposit = ConstU128<{ Balance::MAX }>;

impl pallet_session::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = AccountId;
    type ValidatorIdOf = FounderOrNode;
    type ShouldEndSession = Babe;
    type NextSessionRotation = Babe;
    type SessionManager = pallet_session::historical::NoteHistoricalRoot<Self, DrawnAuthorities>;
    type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type Keys = SessionKeys;
    type DisablingStrategy = DisableUpToAThird;
    type WeightInfo = pallet_session::weights::SubstrateWeight<Self>;
    type Currency = Balances;
    type KeyDeposit = NodeKeysDeposit;
}

/// A producer is fully known by its account.
pub struct Known;

impl Convert<AccountId, Option<()>> for Known {
    fn convert(_: AccountId) -> Option<()> {
        Some(())
    }
}

impl pallet_session::historical::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type FullIdentification = ();
    type FullIdentificationOf = Known;
}

/// What BABE notes of a block at its end.
pub struct BabeOutput;

impl Get<Option<[u8; 32]>> for BabeOutput {
    fn get() -> Option<[u8; 32]> {
        pallet_babe::AuthorVrfRandomness::<Runtime>::get()
    }
}

/// All that producers have revealed up to the parent block, for each kind of draw another hash of it. Nothing else of a block
/// is in it: a seal, and with it a block's hash, can be made anew until it suits.
pub struct RevealedRandomness;

impl pallet_swarms::EpochRandomness for RevealedRandomness {
    fn epoch() -> u64 {
        pallet_babe::EpochIndex::<Runtime>::get()
    }

    fn fresh() -> [u8; 32] {
        Authorities::randomness(b"skep/swarms/1")
    }
}

impl pallet_obligations::RoundRandomness for RevealedRandomness {
    fn of_parent() -> [u8; 32] {
        Authorities::randomness(b"skep/round/2")
    }
}

impl pallet_obligations::Config for Runtime {
    type Randomness = RevealedRandomness;
    type Nodes = ServiceNodes;
    type WeightInfo = pallet_obligations::weights::Measured<Self>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Helper;
}

impl pallet_swarms::Config for Runtime {
    type Randomness = RevealedRandomness;
    type WeightInfo = pallet_swarms::weights::Measured<Self>;
}

impl pallet_service_nodes::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type SessionKeys = SessionKeys;
    type FormerKeys = Obligations;
    type Listener = (((Swarms, Rewards), Governance), Obligations);
    type WeightInfo = pallet_service_nodes::weights::Measured<Self>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Helper;
}

impl pallet_governance::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Stakes = ServiceNodes;
    type Treasury = Treasury;
    type Deposit = ConstU128<{ 10 * UNIT }>;
    type WeightInfo = pallet_governance::weights::Measured<Self>;
}

impl pallet_rewards::Config for Runtime {
    type Currency = Balances;
    type Producer = ProducersPayee;
    type Stakes = ServiceNodes;
    type Treasury = Treasury;
    type WeightInfo = pallet_rewards::weights::Measured<Self>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Helper;
}
