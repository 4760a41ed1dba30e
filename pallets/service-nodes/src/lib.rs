//! Service nodes: who may serve, on whose stake, reached where.
//!
//! | state | how it is reached | what happens then |
//! |---|---|---|
//! | gathering | `register` with less than the whole requirement | `contribute` fills it; `withdraw` or the pool's expiry returns stakes |
//! | active | the stake is complete | it serves: [`ServingNodes::started`] tells the swarms and the reward queue |
//! | leaving | one staker's `request_unlock` | it serves and earns until the unlock time is over |
//! | (gone) | the pool expired, its operator withdrew, or the unlock time is over | every stake is returned by itself |
//!
//! Stakes are holds on their owners' accounts, never transfers: `free + held` does not change by staking. The roster is a
//! child trie of its own ([`Roster`]), so that its root moves with each change and proofs of it can be complete. What is
//! due at a block stands in an agenda; a block ends a bounded number of nodes and leaves the rest to the next.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(test)]
mod mock;
mod node_key;
mod record;
mod roster;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use record::{HeldStake, NodeRecord};
pub use roster::{ROSTER_TRIE, Roster};
pub use weights::WeightInfo;

use alloc::vec::Vec;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{InspectHold, MutateHold},
        tokens::Precision,
    },
};
use frame_system::pallet_prelude::*;
use skep_economics::{ContributionError, Pool, is_small_stake, operator_minimum};
use skep_primitives::{
    Balance, BlockHash, BlockNumber, Endpoint, NodeStakes, NodeState, Payees, Permyriad, ServiceNodeId, ServingNodes,
    SoftwareVersion, Stake, StakeLock, StakerId, StakingTerms, is_public_v4, signing,
};
use sp_runtime::{
    AccountId32, SaturatedConversion,
    traits::{OpaqueKeys, Zero},
};

/// Most nodes that one block ends; more wait for the next.
pub const MAX_ENDS_PER_BLOCK: u32 = 16;

/// Most bytes of one node's session keys.
pub const MAX_SESSION_KEYS: u32 = 256;

/// A raw Ed25519 signature.
pub type RawSignature = [u8; 64];

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
pub mod pallet {
    use super::*;

    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config:
        frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> + pallet_network::Config
    {
        /// Where stakes are held.
        type Currency: MutateHold<AccountId32, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's reasons to hold.
        type RuntimeHoldReason: From<HoldReason>;
        /// Keys a node signs blocks and votes with.
        type SessionKeys: OpaqueKeys + Parameter;
        /// Told when a node begins or ends to serve.
        type Listener: ServingNodes;
        /// What calls cost.
        type WeightInfo: WeightInfo;
    }

    /// Why this pallet holds a balance.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// It is staked in service nodes.
        Stake,
    }

    /// Number of nodes in the roster, gathering ones included; proves a copy of the roster complete.
    #[pallet::storage]
    pub type RosterSize<T> = StorageValue<_, u32, ValueQuery>;

    /// Which nodes an account has staked in.
    #[pallet::storage]
    pub type StakedIn<T> =
        StorageDoubleMap<_, Blake2_128Concat, StakerId, Blake2_128Concat, ServiceNodeId, (), OptionQuery>;

    /// Addresses and ports in use: no two nodes share one.
    #[pallet::storage]
    pub type Sockets<T> = StorageMap<_, Blake2_128Concat, Socket, ServiceNodeId, OptionQuery>;

    /// Nodes that end at a block: pools that expire, unlocks that are due.
    #[pallet::storage]
    pub type Agenda<T> =
        StorageDoubleMap<_, Twox64Concat, BlockNumber, Blake2_128Concat, ServiceNodeId, (), OptionQuery>;

    /// First block whose agenda may not be empty.
    #[pallet::storage]
    pub type AgendaFrom<T> = StorageValue<_, BlockNumber, ValueQuery>;

    /// Stakes of ended nodes that could not be released with them; `withdraw` tries again.
    #[pallet::storage]
    pub type Unreturned<T> =
        StorageDoubleMap<_, Blake2_128Concat, StakerId, Blake2_128Concat, ServiceNodeId, Balance, ValueQuery>;

    /// Session keys (in SCALE) of nodes whose operators offer to produce blocks.
    #[pallet::storage]
    pub type AuthorityCandidates<T> =
        StorageMap<_, Blake2_128Concat, ServiceNodeId, BoundedVec<u8, ConstU32<MAX_SESSION_KEYS>>, OptionQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A node was registered.
        Registered { node: ServiceNodeId, operator: StakerId, requirement: Balance },
        /// A stake was locked in a node.
        Contributed { node: ServiceNodeId, staker: StakerId, amount: Balance },
        /// A node's stake is complete; it serves from now on.
        Activated { node: ServiceNodeId },
        /// A staker asked to unlock; the node serves until the given block.
        UnlockRequested { node: ServiceNodeId, staker: StakerId, leaves_at: BlockNumber },
        /// A staker took its stake back from a node that had not gathered its whole stake.
        Withdrawn { node: ServiceNodeId, staker: StakerId, amount: Balance },
        /// A stake was returned since its node ended.
        Returned { node: ServiceNodeId, staker: StakerId, amount: Balance },
        /// A node left the roster; every stake in it was returned.
        Ended { node: ServiceNodeId, reason: EndReason },
        /// A node is reached elsewhere, or runs another version.
        EndpointUpdated { node: ServiceNodeId, endpoint: Endpoint, version: SoftwareVersion },
        /// A node's operator offered to produce blocks with these keys.
        SessionKeysSet { node: ServiceNodeId },
    }

    /// Why a node left the roster.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
    pub enum EndReason {
        /// It did not gather its whole stake in time.
        PoolExpired,
        /// Its operator withdrew before the stake was complete.
        OperatorWithdrew,
        /// A staker's unlock time is over.
        Unlocked,
    }

    #[pallet::error]
    #[derive(PartialEq, Eq)]
    pub enum Error<T> {
        /// The node key is no valid Ed25519 key, or one of small order: make a new one with `skep-messaging keygen`.
        BadNodeKey,
        /// The node key did not sign this registration: run `skep-messaging prove` for this chain, operator and fee.
        BadProof,
        /// The node is registered already.
        AlreadyRegistered,
        /// No such node is registered.
        UnknownNode,
        /// Only the node's operator may do this.
        NotOperator,
        /// The caller has no stake in this node.
        NotContributor,
        /// The caller has a stake in this node already.
        AlreadyContributes,
        /// Ports must not be zero, and the HTTPS and QUIC ports must be given for a unicast address.
        BadEndpoint,
        /// Loopback, private and reserved addresses cannot be reached by others: register a public address.
        PrivateAddress,
        /// Another node is registered at this address and port.
        EndpointTaken,
        /// The stake is complete: choose a node that still gathers stake.
        StakeComplete,
        /// The node has as many contributors as it may have: choose another node.
        NoFreeSpot,
        /// The stake is below the minimum of this moment.
        StakeTooSmall,
        /// The stake is more than the node has room for.
        StakeTooLarge,
        /// The pool's time is over and its stakes are being returned: choose another node.
        PoolExpired,
        /// The account's free balance does not cover the stake and the existential deposit that must stay free.
        NotEnoughFree,
        /// The node does not serve yet: take the stake back with `withdraw`.
        StillGathering,
        /// The node serves: ask for the stake back with `request_unlock`.
        NotGathering,
        /// The node's unlock was requested already.
        AlreadyLeaving,
        /// Small stakes cannot unlock in their first 30 days.
        StakeTooYoung,
        /// The session keys did not sign for this node.
        BadSessionKeys,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            let ended = Self::work_off_agenda(now.saturated_into());
            T::WeightInfo::work_off_agenda(ended)
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::check_state().map_err(sp_runtime::TryRuntimeError::Other)
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Registers a node and locks the operator's stake in it.
        ///
        /// `proof` is the node key's signature over the genesis hash, the caller and the fee
        /// ([`skep_primitives::signing::registration`]). `stake` is at least 25 % of the requirement; with the whole
        /// requirement the node serves at once, with less it gathers contributions.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::register())]
        pub fn register(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            proof: RawSignature,
            fee: Permyriad,
            endpoint: Endpoint,
            version: SoftwareVersion,
            #[pallet::compact] stake: Balance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let operator = StakerId(who.clone().into());
            ensure!(Roster::get(node).is_none(), Error::<T>::AlreadyRegistered);
            ensure!(node_key::is_sound(node), Error::<T>::BadNodeKey);
            Self::endpoint_is_free(node, &endpoint)?;
            let message = signing::registration(&Self::genesis_hash(), &operator, fee);
            ensure!(node_key::signed(node, &proof, &message), Error::<T>::BadProof);

            let now = Self::now();
            let requirement = pallet_network::Pallet::<T>::requirement().at(now, Self::block_time());
            let state = NodeState::Gathering { expires_at: now.saturating_add(Self::pool_expiry()) };
            let mut record = NodeRecord {
                operator,
                fee,
                stakes: Default::default(),
                requirement,
                endpoint,
                version,
                state,
                registered_at: now,
            };
            let accepted = Self::join_pool(&who, node, &mut record, stake)?;
            RosterSize::<T>::mutate(|size| *size = size.saturating_add(1));
            Self::take_sockets(node, &endpoint);
            Self::deposit_event(Event::Registered { node, operator, requirement });
            Self::stake_joined(node, record, operator, accepted);
            Ok(())
        }

        /// Locks a stake in a node that still gathers it: at least an even part of the open room, at most 101 % of it
        /// (only the room counts).
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::contribute())]
        pub fn contribute(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            #[pallet::compact] amount: Balance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let staker = StakerId(who.clone().into());
            let mut record = Roster::get(node).ok_or(Error::<T>::UnknownNode)?;
            ensure!(record.stake_of(staker).is_none(), Error::<T>::AlreadyContributes);
            if let NodeState::Gathering { expires_at } = record.state {
                ensure!(Self::now() < expires_at, Error::<T>::PoolExpired);
            }
            let accepted = Self::join_pool(&who, node, &mut record, amount)?;
            Self::stake_joined(node, record, staker, accepted);
            Ok(())
        }

        /// Asks for the caller's stake back. The node serves and earns until the unlock time is over; then it ends and
        /// every stake in it is returned by itself.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::request_unlock())]
        pub fn request_unlock(origin: OriginFor<T>, node: ServiceNodeId) -> DispatchResult {
            let staker = StakerId(ensure_signed(origin)?.into());
            let mut record = Roster::get(node).ok_or(Error::<T>::UnknownNode)?;
            let stake = *record.stake_of(staker).ok_or(Error::<T>::NotContributor)?;
            match record.state {
                NodeState::Gathering { .. } => return Err(Error::<T>::StillGathering.into()),
                NodeState::Leaving { .. } => return Err(Error::<T>::AlreadyLeaving.into()),
                NodeState::Active { .. } => {}
            }
            let now = Self::now();
            if is_small_stake(stake.amount, record.requirement) {
                let lock = pallet_network::Network::<T>::get().small_stake_lock;
                let old_enough_at = stake.since.saturating_add(pallet_network::Pallet::<T>::blocks(lock));
                ensure!(now >= old_enough_at, Error::<T>::StakeTooYoung);
            }
            let leaves_at = now.saturating_add(Self::unlock_blocks());
            record.state = NodeState::Leaving { requested_at: now, leaves_at };
            Roster::put(node, &record);
            Agenda::<T>::insert(leaves_at, node, ());
            Self::deposit_event(Event::UnlockRequested { node, staker, leaves_at });
            Ok(())
        }

        /// Takes the caller's stake back from a node that has not gathered its whole stake. If the caller is the
        /// operator the node ends and every stake is returned. Also takes back what an ended node could not return.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::withdraw())]
        pub fn withdraw(origin: OriginFor<T>, node: ServiceNodeId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let staker = StakerId(who.clone().into());
            let unreturned = Unreturned::<T>::take(staker, node);
            if unreturned > 0 {
                T::Currency::release(&HoldReason::Stake.into(), &who, unreturned, Precision::Exact)?;
                Self::deposit_event(Event::Returned { node, staker, amount: unreturned });
                return Ok(());
            }
            let mut record = Roster::get(node).ok_or(Error::<T>::UnknownNode)?;
            let stake = *record.stake_of(staker).ok_or(Error::<T>::NotContributor)?;
            let NodeState::Gathering { expires_at } = record.state else {
                return Err(Error::<T>::NotGathering.into());
            };
            if staker == record.operator {
                Agenda::<T>::remove(expires_at, node);
                Self::end(node, record, EndReason::OperatorWithdrew);
                return Ok(());
            }
            T::Currency::release(&HoldReason::Stake.into(), &who, stake.amount, Precision::Exact)?;
            record.stakes.retain(|held| held.staker != staker);
            StakedIn::<T>::remove(staker, node);
            Roster::put(node, &record);
            Self::deposit_event(Event::Withdrawn { node, staker, amount: stake.amount });
            Ok(())
        }

        /// Tells where a node is reached now and what it runs. For the operator.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::update_endpoint())]
        pub fn update_endpoint(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            endpoint: Endpoint,
            version: SoftwareVersion,
        ) -> DispatchResult {
            let mut record = Self::operated_by(ensure_signed(origin)?, node)?;
            Self::endpoint_is_free(node, &endpoint)?;
            Self::free_sockets(&record.endpoint);
            Self::take_sockets(node, &endpoint);
            record.endpoint = endpoint;
            record.version = version;
            Roster::put(node, &record);
            Self::deposit_event(Event::EndpointUpdated { node, endpoint, version });
            Ok(())
        }

        /// Offers a node as a block producer. `session_proof` is the session keys' own proof of ownership for this node
        /// id, `node_proof` the node key's signature over them ([`skep_primitives::signing::session_keys`]). For the
        /// operator.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::set_session_keys())]
        pub fn set_session_keys(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            keys: T::SessionKeys,
            session_proof: BoundedVec<u8, ConstU32<1024>>,
            node_proof: RawSignature,
        ) -> DispatchResult {
            Self::operated_by(ensure_signed(origin)?, node)?;
            ensure!(keys.ownership_proof_is_valid(node.as_ref(), &session_proof), Error::<T>::BadSessionKeys);
            let keys = BoundedVec::try_from(keys.encode()).map_err(|_| Error::<T>::BadSessionKeys)?;
            let message = signing::session_keys(&Self::genesis_hash(), &node, &keys);
            ensure!(node_key::signed(node, &node_proof, &message), Error::<T>::BadProof);
            AuthorityCandidates::<T>::insert(node, keys);
            Self::deposit_event(Event::SessionKeysSet { node });
            Ok(())
        }
    }
}

/// An address and port of one transport, which only one node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Socket {
    ipv4: [u8; 4],
    port: u16,
    transport: Transport,
}

/// What listens on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
enum Transport {
    Https,
    Quic,
}

fn sockets(endpoint: &Endpoint) -> [Socket; 2] {
    let Endpoint { ipv4, https_port, quic_port } = *endpoint;
    [
        Socket { ipv4, port: https_port, transport: Transport::Https },
        Socket { ipv4, port: quic_port, transport: Transport::Quic },
    ]
}

impl<T: Config> From<ContributionError> for Error<T> {
    fn from(error: ContributionError) -> Self {
        match error {
            ContributionError::StakeComplete => Self::StakeComplete,
            ContributionError::NoFreeSpot => Self::NoFreeSpot,
            ContributionError::TooLittle { .. } => Self::StakeTooSmall,
            ContributionError::TooMuch { .. } => Self::StakeTooLarge,
        }
    }
}

/// Questions.
impl<T: Config> Pallet<T> {
    /// Every registered node, ordered by id. Reads the whole roster.
    pub fn nodes() -> impl Iterator<Item = (ServiceNodeId, NodeRecord)> {
        Roster::iter()
    }

    /// What a registration must bring now.
    pub fn staking_terms() -> StakingTerms {
        let requirement = pallet_network::Pallet::<T>::requirement().at(Self::now(), Self::block_time());
        StakingTerms {
            requirement,
            operator_minimum: operator_minimum(requirement),
            unlock_blocks: Self::unlock_blocks(),
        }
    }

    /// Every stake of one account, ordered by node.
    pub fn stakes(staker: StakerId) -> Vec<Stake> {
        let mut nodes: Vec<_> = StakedIn::<T>::iter_key_prefix(staker).collect();
        nodes.sort_unstable();
        nodes
            .into_iter()
            .filter_map(|node| {
                let record = Roster::get(node)?;
                let amount = record.stake_of(staker)?.amount;
                let lock = match record.state {
                    NodeState::Gathering { expires_at } => StakeLock::Gathering { block: expires_at },
                    NodeState::Active { .. } => StakeLock::Bonded,
                    NodeState::Leaving { leaves_at, .. } => StakeLock::Until { block: leaves_at },
                };
                Some(Stake { node, amount, lock })
            })
            .collect()
    }

    fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().saturated_into()
    }

    fn block_time() -> skep_primitives::Moment {
        pallet_network::Pallet::<T>::block_time()
    }

    fn unlock_blocks() -> BlockNumber {
        pallet_network::Pallet::<T>::blocks(pallet_network::Network::<T>::get().unlock)
    }

    fn pool_expiry() -> BlockNumber {
        pallet_network::Pallet::<T>::blocks(pallet_network::Network::<T>::get().pool_expiry)
    }

    fn genesis_hash() -> BlockHash {
        let hash = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
        let mut bytes = [0; 32];
        let len = hash.as_ref().len().min(bytes.len());
        bytes[..len].copy_from_slice(&hash.as_ref()[..len]);
        bytes
    }

    fn operated_by(who: AccountId32, node: ServiceNodeId) -> Result<NodeRecord, Error<T>> {
        let record = Roster::get(node).ok_or(Error::<T>::UnknownNode)?;
        ensure!(record.operator == StakerId(who.into()), Error::<T>::NotOperator);
        Ok(record)
    }

    fn endpoint_is_free(node: ServiceNodeId, endpoint: &Endpoint) -> Result<(), Error<T>> {
        let ip = endpoint.ip();
        let unicast = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
        ensure!(endpoint.https_port != 0 && endpoint.quic_port != 0 && unicast, Error::<T>::BadEndpoint);
        ensure!(is_public_v4(ip) || pallet_network::Network::<T>::get().private_addresses, Error::<T>::PrivateAddress);
        let taken = |socket: &Socket| Sockets::<T>::get(socket).is_some_and(|holder| holder != node);
        ensure!(!sockets(endpoint).iter().any(taken), Error::<T>::EndpointTaken);
        Ok(())
    }
}

/// Changes.
impl<T: Config> Pallet<T> {
    /// Holds what the pool accepts of `offered` and notes it in the record, which the caller stores.
    fn join_pool(
        who: &AccountId32,
        node: ServiceNodeId,
        record: &mut NodeRecord,
        offered: Balance,
    ) -> Result<Balance, DispatchError> {
        let pool = Pool {
            requirement: record.requirement,
            reserved: record.staked(),
            contributors: record.stakes.len().saturated_into(),
        };
        let accepted = pool.accept(offered).map_err(Error::<T>::from)?;
        let reason = HoldReason::Stake.into();
        ensure!(T::Currency::can_hold(&reason, who, accepted), Error::<T>::NotEnoughFree);
        let staker = StakerId(who.clone().into());
        let stake = HeldStake { staker, amount: accepted, since: Self::now() };
        record.stakes.try_push(stake).map_err(|_| Error::<T>::NoFreeSpot)?;
        T::Currency::hold(&reason, who, accepted)?;
        StakedIn::<T>::insert(staker, node, ());
        Ok(accepted)
    }

    /// Stores a record that a stake has joined, and starts the node if that completed it.
    fn stake_joined(node: ServiceNodeId, mut record: NodeRecord, staker: StakerId, amount: Balance) {
        Self::deposit_event(Event::Contributed { node, staker, amount });
        let NodeState::Gathering { expires_at } = record.state else { return };
        if record.staked() < record.requirement {
            Agenda::<T>::insert(expires_at, node, ());
            Roster::put(node, &record);
            return;
        }
        Agenda::<T>::remove(expires_at, node);
        record.state = NodeState::Active { since: Self::now() };
        Roster::put(node, &record);
        Self::deposit_event(Event::Activated { node });
        T::Listener::started(node);
    }

    fn take_sockets(node: ServiceNodeId, endpoint: &Endpoint) {
        for socket in sockets(endpoint) {
            Sockets::<T>::insert(socket, node);
        }
    }

    fn free_sockets(endpoint: &Endpoint) {
        for socket in sockets(endpoint) {
            Sockets::<T>::remove(socket);
        }
    }

    /// Ends what is due, up to [`MAX_ENDS_PER_BLOCK`]; returns how many nodes ended.
    fn work_off_agenda(now: BlockNumber) -> u32 {
        let mut ended = 0;
        let mut due = AgendaFrom::<T>::get();
        while due <= now {
            let Some(node) = Agenda::<T>::iter_key_prefix(due).next() else {
                due = due.saturating_add(1);
                continue;
            };
            if ended == MAX_ENDS_PER_BLOCK {
                break;
            }
            Agenda::<T>::remove(due, node);
            if let Some(record) = Roster::get(node) {
                let reason = if record.state.is_serving() { EndReason::Unlocked } else { EndReason::PoolExpired };
                Self::end(node, record, reason);
            }
            ended += 1;
        }
        AgendaFrom::<T>::put(due);
        ended
    }

    /// Takes a node off the roster and returns every stake.
    fn end(node: ServiceNodeId, record: NodeRecord, reason: EndReason) {
        for HeldStake { staker, amount, .. } in record.stakes {
            let held = HoldReason::Stake.into();
            let owner = AccountId32::new(staker.0);
            StakedIn::<T>::remove(staker, node);
            match T::Currency::release(&held, &owner, amount, Precision::Exact) {
                Ok(_) => Self::deposit_event(Event::Returned { node, staker, amount }),
                Err(_) => Unreturned::<T>::mutate(staker, node, |sum| *sum = sum.saturating_add(amount)),
            }
        }
        Self::free_sockets(&record.endpoint);
        AuthorityCandidates::<T>::remove(node);
        Roster::remove(node);
        RosterSize::<T>::mutate(|size| *size = size.saturating_sub(1));
        if record.state.is_serving() {
            T::Listener::stopped(node);
        }
        Self::deposit_event(Event::Ended { node, reason });
    }
}

impl<T: Config> NodeStakes for Pallet<T> {
    fn payees(node: ServiceNodeId) -> Option<Payees> {
        let record = Roster::get(node).filter(|record| record.state.is_serving())?;
        let contributions = record.contributions().collect();
        Some(Payees { operator: record.operator, fee: record.fee, contributions })
    }
}

/// Invariants.
#[cfg(any(test, feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Holds equal stakes, indices equal the roster, and every state is legal.
    pub fn check_state() -> Result<(), &'static str> {
        use alloc::collections::BTreeMap;
        let mut held = BTreeMap::<StakerId, Balance>::new();
        let mut size = 0;
        for (node, record) in Roster::iter() {
            size += 1;
            ensure!(
                record.stakes.first().map(|stake| stake.staker) == Some(record.operator),
                "the operator's stake is first"
            );
            ensure!(record.staked() <= record.requirement, "no more is held than required");
            ensure!(record.state.is_serving() == (record.staked() == record.requirement), "complete nodes serve");
            let due = match record.state {
                NodeState::Gathering { expires_at } => Some(expires_at),
                NodeState::Leaving { leaves_at, .. } => Some(leaves_at),
                NodeState::Active { .. } => None,
            };
            if let Some(block) = due {
                ensure!(Agenda::<T>::contains_key(block, node), "what ends is on the agenda");
            }
            for socket in sockets(&record.endpoint) {
                ensure!(Sockets::<T>::get(socket) == Some(node), "a node owns its sockets");
            }
            for stake in &record.stakes {
                ensure!(StakedIn::<T>::contains_key(stake.staker, node), "a stake is found by its staker");
                let sum = held.entry(stake.staker).or_default();
                *sum = sum.saturating_add(stake.amount);
            }
        }
        ensure!(RosterSize::<T>::get() == size, "the size counts the roster");
        ensure!(Sockets::<T>::iter().count() == 2 * size as usize, "no socket without a node");
        let stakes = Roster::iter().map(|(_, record)| record.stakes.len()).sum::<usize>();
        ensure!(StakedIn::<T>::iter().count() == stakes, "no staker without a stake");
        for (staker, _, amount) in Unreturned::<T>::iter() {
            let sum = held.entry(staker).or_default();
            *sum = sum.saturating_add(amount);
        }
        for (staker, sum) in held {
            let on_hold = T::Currency::balance_on_hold(&HoldReason::Stake.into(), &AccountId32::new(staker.0));
            ensure!(on_hold == sum, "what is held is what is staked");
        }
        Ok(())
    }
}
