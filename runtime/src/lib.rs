//! Skep's runtime: the chain's law as one Wasm program that every network runs.
//!
//! It wires the pallets together ([`configs`]), answers nodes and wallets ([`apis`]), knows how each network begins
//! ([`presets`]) and what it changes in the state of an older one ([`migrations`]). The numbers in which networks differ come from `pallet-network`'s genesis, so the blob is the same
//! everywhere.
#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "256"]
#![allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    reason = "FRAME's macros write undocumented, underived and qualified items"
)]

extern crate alloc;

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

pub mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarks;
pub mod configs;
pub mod equivocation;
pub mod migrations;
pub mod presets;
#[cfg(feature = "std")]
pub mod transactions;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
    MultiAddress, MultiSignature, generic, impl_opaque_keys,
    traits::{BlakeTwo256, IdentifyAccount, Verify},
};
use sp_version::{RuntimeVersion, runtime_version};

pub use skep_primitives::{Balance, BlockNumber, Moment};

/// A signature of any scheme a wallet may use.
pub type Signature = MultiSignature;
/// An account of the chain: a wallet's public key, or the hash of one.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// How a call names an account.
pub type Address = MultiAddress<AccountId, ()>;
/// Number of an account's transactions.
pub type Nonce = u32;
/// A block hash.
pub type Hash = sp_core::H256;
/// A block's header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// A transaction as it travels.
pub type UncheckedExtrinsic = generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// A block as a node handles it: transactions are bytes there, only the runtime reads them.
pub type OpaqueBlock = generic::Block<Header, sp_runtime::OpaqueExtrinsic>;
/// What is signed for a transaction.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// What every transaction carries beside its call.
pub type TxExtension = (
    frame_system::AuthorizeCall<Runtime>,
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckEra<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
    frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
    frame_system::WeightReclaim<Runtime>,
);

/// Carries out blocks.
pub type Executive =
    frame_executive::Executive<Runtime, Block, frame_system::ChainContext<Runtime>, Runtime, AllPalletsWithSystem>;

impl_opaque_keys! {
    /// Keys of a block producer.
    pub struct SessionKeys {
        pub babe: Babe,
        pub grandpa: Grandpa,
    }
}

/// `VERSION` with a literal spec version: the one form in which it also goes into the Wasm for nodes to read.
macro_rules! version {
    ($spec_version:tt) => {
        /// Which runtime this is.
        #[runtime_version]
        pub const VERSION: RuntimeVersion = RuntimeVersion {
            spec_name: Cow::Borrowed("skep"),
            impl_name: Cow::Borrowed("skep-node"),
            authoring_version: 1,
            spec_version: $spec_version,
            impl_version: 1,
            apis: apis::RUNTIME_API_VERSIONS,
            transaction_version: 1,
            system_version: 1,
        };
    };
}

#[cfg(not(feature = "rehearsal"))]
version!(2);
#[cfg(feature = "rehearsal")]
version!(3);

/// The pallets. Their order is the order of their work in a block: the epoch turns (Session), then swarms place who
/// waits, then nodes end (so that they wait in the new epoch), then a testing round is drawn from those that are left,
/// then rewards are paid at the block's end.
#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Network = pallet_network;
    #[runtime::pallet_index(2)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(3)]
    pub type Babe = pallet_babe;
    #[runtime::pallet_index(4)]
    pub type Authorship = pallet_authorship;
    #[runtime::pallet_index(5)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(6)]
    pub type TransactionPayment = pallet_transaction_payment;
    #[runtime::pallet_index(7)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(8)]
    pub type Historical = pallet_session::historical;
    #[runtime::pallet_index(9)]
    pub type Grandpa = pallet_grandpa;
    #[runtime::pallet_index(10)]
    pub type Swarms = pallet_swarms;
    #[runtime::pallet_index(11)]
    pub type ServiceNodes = pallet_service_nodes;
    #[runtime::pallet_index(12)]
    pub type Rewards = pallet_rewards;
    #[runtime::pallet_index(13)]
    pub type Governance = pallet_governance;
    #[runtime::pallet_index(14)]
    pub type Authorities = pallet_authorities;
    #[runtime::pallet_index(15)]
    pub type Obligations = pallet_obligations;
}

/// Whether every pallet's invariants hold in the state at hand; if not, whose and which.
#[cfg(feature = "std")]
pub fn check_state() -> Result<(), alloc::string::String> {
    let checks = [
        ("service nodes", ServiceNodes::check_state()),
        ("swarms", Swarms::check_state()),
        ("rewards", pallet_rewards::RewardQueue::<Runtime>::check_state()),
        ("governance", Governance::check_state()),
        ("authorities", Authorities::check_state()),
        ("obligations", Obligations::check_state()),
    ];
    let serving = ServiceNodes::nodes().filter(|(_, record)| record.state.is_serving()).map(|(node, _)| node);
    let is_provable = |(session, _)| pallet_session::historical::HistoricalSessions::<Runtime>::contains_key(session);
    if !pallet_authorities::Punished::<Runtime>::iter_keys().all(is_provable) {
        return Err("authorities: nobody is remembered as punished for what cannot be proven".into());
    }
    if !serving.eq(Swarms::destined()) {
        return Err("swarms: who serves, and nobody else, is in a swarm or waits to be placed".into());
    }
    checks.into_iter().try_for_each(|(pallet, check)| check.map_err(|broken| alloc::format!("{pallet}: {broken}")))
}
