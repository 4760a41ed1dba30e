//! Service nodes: who may serve, on whose stake, reached where.
//!
//! | state | how it is reached | what happens then |
//! |---|---|---|
//! | gathering | `register` with less than the whole requirement | `contribute` fills it; `withdraw` or the pool's expiry returns stakes |
//! | active | the stake is complete | it serves: [`ServingNodes::started`] tells the swarms and the reward queue |
//! | leaving | one staker's `request_unlock` | it serves and earns until the unlock time is over; `contribute` may fill the place again, then it is active and only that staker leaves |
//! | decommissioned | [`NodeStates::decommission`], by a verdict | it is in no swarm and unpaid, still tested; [`NodeStates::recommission`] lets it serve again |
//! | deregistered, off the roster | [`NodeStates::deregister`], by a verdict or an equivocation | its stakes stay locked, then return by themselves; its key cannot come back meanwhile |
//! | (gone) | the pool expired, its operator withdrew, or the unlock time is over | every stake is returned by itself |
//!
//! Stakes are holds on their owners' accounts, never transfers: `free + held` does not change by staking. The roster is a
//! child trie of its own ([`Roster`]), so that its root moves with each change and proofs of it can be complete. What is
//! due at a block stands in an agenda; a block ends a bounded number of nodes and leaves the rest to the next.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

pub mod announce;
#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
#[cfg(test)]
mod mock;
mod node_key;
mod record;
mod roster;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use record::{DeregisteredNode, HeldStake, MAX_RESERVATIONS, NodeRecord, Reservations};
pub use roster::Roster;
pub use weights::WeightInfo;

use alloc::vec::Vec;
use announce::Announcements;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{InspectHold, MutateHold},
        tokens::Precision,
    },
};
use frame_system::{ensure_authorized, pallet_prelude::*};
use skep_economics::{ContributionError, is_small_stake, operator_minimum};
use skep_primitives::{
    Announcement, Balance, BlockNumber, Candidate, Candidates, Deregistration, Endpoint, Findings, Leave, NodeStakes,
    NodeState, NodeStates, NodeWhereabouts, OpenPool, Payees, Permyriad, ServiceNodeId, ServingNodes, SoftwareVersion,
    Stake, StakeLock, StakerId, StakingTerms, Whereabouts, is_public_v4, signing,
};
use sp_runtime::{AccountId32, SaturatedConversion, traits::OpaqueKeys};

/// Most nodes that one block ends; more wait for the next.
pub const MAX_ENDS_PER_BLOCK: u32 = 16;

/// Most bytes of one node's session keys.
pub const MAX_SESSION_KEYS: u32 = 256;

/// Most nodes that may be offered as block producers: all of them are looked at once an era.
pub const MAX_CANDIDATES: u32 = 4_096;

/// A raw Ed25519 signature.
pub type RawSignature = [u8; 64];

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
#[allow(clippy::too_many_arguments, reason = "a call's arguments are what a wallet shows, one by one")]
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
        /// Makes session keys for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: benchmarking::SessionKeyFactory<Self::SessionKeys>;
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

    /// When a node's endpoint or version last changed, since it registered.
    #[pallet::storage]
    pub type EndpointChangedAt<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, BlockNumber, OptionQuery>;

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

    /// Nodes that were put off the roster and whose stakes are still locked.
    #[pallet::storage]
    pub type Deregistered<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, DeregisteredNode, OptionQuery>;

    /// Nodes whose operators offer to produce blocks: their session keys (in SCALE) and the block of the offer.
    #[pallet::storage]
    pub type AuthorityCandidates<T> = CountedStorageMap<
        _,
        Blake2_128Concat,
        ServiceNodeId,
        (BoundedVec<u8, ConstU32<MAX_SESSION_KEYS>>, BlockNumber),
        OptionQuery,
    >;

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
        /// A stake was returned: its node ended, or its own unlock time is over and others have taken its place.
        Returned { node: ServiceNodeId, staker: StakerId, amount: Balance },
        /// Others have filled the places of those who leave: the node goes on.
        Refilled { node: ServiceNodeId },
        /// A node goes on under another key, with the same stakes.
        HandedOver { from: ServiceNodeId, to: ServiceNodeId },
        /// A node is gone; every stake in it was returned.
        Ended { node: ServiceNodeId, reason: EndReason },
        /// A node serves no longer since it fails; from the given block on a failing verdict deregisters it.
        Decommissioned { node: ServiceNodeId, credit_ends_at: BlockNumber, findings: Findings },
        /// A decommissioned node passed and serves again.
        Recommissioned { node: ServiceNodeId },
        /// A node was put off the roster; its stakes return at the given block.
        Deregistered { node: ServiceNodeId, stakes_return_at: BlockNumber },
        /// A node is reached elsewhere, or runs another version.
        EndpointUpdated { node: ServiceNodeId, endpoint: Endpoint, version: SoftwareVersion },
        /// A node's operator offered to produce blocks with these keys.
        SessionKeysSet { node: ServiceNodeId },
        /// A node is offered as a block producer no longer.
        SessionKeysRetracted { node: ServiceNodeId },
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
        /// It was deregistered, and the time for which its stakes stay locked is over.
        Deregistered,
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
        /// Spots can be kept for at most nine others, each once, with more than nothing, and within three quarters of the
        /// requirement.
        BadReservation,
        /// The node is not in a state in which its key can change: it must serve without anybody leaving.
        NotSteady,
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
        /// The caller has asked for its stake already.
        AlreadyLeaving,
        /// Small stakes cannot unlock in their first 30 days.
        StakeTooYoung,
        /// The session keys did not sign for this node.
        BadSessionKeys,
        /// As many nodes are offered as block producers as may be.
        TooManyCandidates,
        /// The node is not offered as a block producer.
        NotOffered,
        /// The node was deregistered: its stakes return by themselves, and its key cannot be registered until then.
        NodeDeregistered,
        /// The announcement counts no more: the node's endpoint was changed before it in this block, or the address taken.
        Overtaken,
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
        /// requirement the node serves at once, with less it gathers contributions. Spots may be `reserved` for others.
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
            reserved: Reservations,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let operator = StakerId(who.clone().into());
            ensure!(Roster::get(node).is_none(), Error::<T>::AlreadyRegistered);
            ensure!(!Deregistered::<T>::contains_key(node), Error::<T>::NodeDeregistered);
            ensure!(node_key::is_sound(node), Error::<T>::BadNodeKey);
            Self::endpoint_is_free(node, &endpoint)?;
            let message = signing::registration(&pallet_network::Pallet::<T>::genesis_hash(), &operator, fee);
            ensure!(node_key::signed(node, &proof, &message), Error::<T>::BadProof);

            let now = Self::now();
            let requirement = pallet_network::Pallet::<T>::requirement().at(now, Self::block_time());
            ensure!(may_reserve(&reserved, operator, requirement), Error::<T>::BadReservation);
            let state = NodeState::Gathering { expires_at: now.saturating_add(Self::pool_expiry()) };
            let mut record = NodeRecord {
                operator,
                fee,
                stakes: Default::default(),
                reserved,
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

        /// Locks a stake in a node that gathers it, or in the place of one who leaves: at least an even part of the open
        /// room, at most 101 % of it (only the room counts). Whoever a spot is kept for brings at least what was reserved;
        /// whoever has a stake in the node adds to it.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::contribute())]
        pub fn contribute(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            #[pallet::compact] amount: Balance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let staker = StakerId(who.clone().into());
            let mut record = Self::registered(node)?;
            let closes_at = record.closes_at().ok_or(Error::<T>::StakeComplete)?;
            ensure!(Self::now() < closes_at, Error::<T>::PoolExpired);
            let accepted = Self::join_pool(&who, node, &mut record, amount)?;
            Self::stake_joined(node, record, staker, accepted);
            Ok(())
        }

        /// Asks for the caller's stake back, which returns by itself when the unlock time is over; until then it earns. If
        /// nobody fills its place by then, or it is the operator's, the node ends and every stake in it is returned.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::request_unlock())]
        pub fn request_unlock(origin: OriginFor<T>, node: ServiceNodeId) -> DispatchResult {
            let staker = StakerId(ensure_signed(origin)?.into());
            let mut record = Self::registered(node)?;
            let stake = *record.stake_of(staker).ok_or(Error::<T>::NotContributor)?;
            ensure!(record.state.is_tested(), Error::<T>::StillGathering);
            ensure!(stake.leaves_at.is_none(), Error::<T>::AlreadyLeaving);
            let now = Self::now();
            if is_small_stake(stake.amount, record.requirement) {
                let lock = pallet_network::Network::<T>::get().small_stake_lock;
                let old_enough_at = stake.since.saturating_add(pallet_network::Pallet::<T>::blocks(lock));
                ensure!(now >= old_enough_at, Error::<T>::StakeTooYoung);
            }
            let leaves_at = now.saturating_add(Self::unlock_blocks());
            if let Some(held) = record.stakes.iter_mut().find(|held| held.staker == staker) {
                held.leaves_at = Some(leaves_at);
            }
            record.settle(now);
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
            let mut record = Self::registered(node)?;
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

        /// Gives a node another key, for an operator whose server was lost or who moves to a new one: stakes, terms and
        /// endpoint stay, the swarm is left and another joined, and the queue for rewards begins anew. `proof` is the new
        /// key's, as for `register`. A decommissioned node stays decommissioned until it passes under the new key.
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::hand_over())]
        pub fn hand_over(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            to: ServiceNodeId,
            proof: RawSignature,
        ) -> DispatchResult {
            let mut record = Self::operated_by(ensure_signed(origin)?, node)?;
            ensure!(record.state.is_tested(), Error::<T>::NotSteady);
            ensure!(record.stakes.iter().all(|stake| stake.leaves_at.is_none()), Error::<T>::NotSteady);
            ensure!(Roster::get(to).is_none(), Error::<T>::AlreadyRegistered);
            ensure!(!Deregistered::<T>::contains_key(to), Error::<T>::NodeDeregistered);
            ensure!(node_key::is_sound(to), Error::<T>::BadNodeKey);
            let message =
                signing::registration(&pallet_network::Pallet::<T>::genesis_hash(), &record.operator, record.fee);
            ensure!(node_key::signed(to, &proof, &message), Error::<T>::BadProof);

            let serves = record.state.is_serving();
            AuthorityCandidates::<T>::remove(node);
            if serves {
                T::Listener::stopped(node);
                record.state = NodeState::Active { since: Self::now() };
            }
            Roster::remove(node);
            EndpointChangedAt::<T>::remove(node);
            for stake in &record.stakes {
                StakedIn::<T>::remove(stake.staker, node);
                StakedIn::<T>::insert(stake.staker, to, ());
            }
            Self::take_sockets(to, &record.endpoint);
            Roster::put(to, &record);
            // What the key said under an earlier registration says nothing of this one.
            EndpointChangedAt::<T>::insert(to, Self::now());
            T::Listener::handed_over(node, to);
            if serves {
                T::Listener::started(to);
            }
            Self::deposit_event(Event::HandedOver { from: node, to });
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
            let record = Self::operated_by(ensure_signed(origin)?, node)?;
            Self::endpoint_is_free(node, &endpoint)?;
            Self::move_to(node, record, endpoint, version);
            Ok(())
        }

        /// The same in the node's own name, for a server whose address changed.
        ///
        /// Needs no account and costs no fee: the node key's signature over the announcement
        /// ([`skep_primitives::signing::announcement`]) authorizes it. At most once an epoch ([`announce`]).
        #[pallet::call_index(12)]
        #[pallet::weight((T::WeightInfo::announce(), DispatchClass::Normal, Pays::No))]
        #[pallet::authorize(|_source, announcement, signature| Announcements::<T>::authorize(announcement, signature))]
        #[pallet::weight_of_authorize(T::WeightInfo::authorize_announce())]
        pub fn announce(origin: OriginFor<T>, announcement: Announcement, signature: RawSignature) -> DispatchResult {
            ensure_authorized(origin)?;
            // It was verified a moment ago, for this origin.
            let _ = signature;
            let record = Announcements::<T>::judge(&announcement).map_err(|_| Error::<T>::Overtaken)?;
            let Announcement { node, endpoint, version, .. } = announcement;
            Self::move_to(node, record, endpoint, version);
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
            let message = signing::session_keys(&pallet_network::Pallet::<T>::genesis_hash(), &node, &keys);
            ensure!(node_key::signed(node, &node_proof, &message), Error::<T>::BadProof);
            let has_room = AuthorityCandidates::<T>::count() < MAX_CANDIDATES;
            ensure!(has_room || AuthorityCandidates::<T>::contains_key(node), Error::<T>::TooManyCandidates);
            AuthorityCandidates::<T>::insert(node, (keys, Self::now()));
            Self::deposit_event(Event::SessionKeysSet { node });
            Ok(())
        }

        /// Offers a node as a block producer no longer; it leaves the set at the next era. For the operator.
        #[pallet::call_index(10)]
        #[pallet::weight(T::WeightInfo::retract_session_keys())]
        pub fn retract_session_keys(origin: OriginFor<T>, node: ServiceNodeId) -> DispatchResult {
            Self::operated_by(ensure_signed(origin)?, node)?;
            ensure!(AuthorityCandidates::<T>::take(node).is_some(), Error::<T>::NotOffered);
            Self::deposit_event(Event::SessionKeysRetracted { node });
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

/// Whether an operator may keep these spots: each for another, and a quarter of the requirement left for itself.
fn may_reserve(reserved: &Reservations, operator: StakerId, requirement: Balance) -> bool {
    let distinct = reserved.iter().enumerate().all(|(place, reservation)| {
        let (staker, earlier) = (reservation.staker, reserved.iter().take(place));
        staker != operator && earlier.map(|other| other.staker).all(|other| other != staker)
    });
    let kept = reserved.iter().fold(0, |sum: Balance, reservation| sum.saturating_add(reservation.amount));
    let room = requirement.saturating_sub(operator_minimum(requirement));
    distinct && kept <= room && reserved.iter().all(|reservation| reservation.amount > 0)
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

    /// Who registered a node.
    pub fn operator_of(node: ServiceNodeId) -> Option<StakerId> {
        Roster::get(node).map(|record| record.operator)
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
                let Some(record) = Roster::get(node) else {
                    let DeregisteredNode { stakes, deregistration, .. } = Deregistered::<T>::get(node)?;
                    let amount = stakes.iter().find(|stake| stake.staker == staker)?.amount;
                    let lock = StakeLock::Deregistered { block: deregistration.stakes_return_at };
                    return Some(Stake { node, amount, lock });
                };
                let HeldStake { amount, leaves_at: own, .. } = *record.stake_of(staker)?;
                let end = record.state.leave().map(|leave| leave.leaves_at);
                let lock = match (record.state, own.into_iter().chain(end).min()) {
                    (NodeState::Gathering { expires_at }, _) => StakeLock::Gathering { block: expires_at },
                    (_, Some(block)) => StakeLock::Until { block },
                    (_, None) => StakeLock::Bonded,
                };
                Some(Stake { node, amount, lock })
            })
            .collect()
    }

    /// Every node that takes stake now, as one account finds it. Reads the whole roster.
    pub fn open_pools(staker: StakerId) -> Vec<OpenPool> {
        Roster::iter().filter_map(|(node, record)| record.open_pool(node, staker)).collect()
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

    fn registered(node: ServiceNodeId) -> Result<NodeRecord, Error<T>> {
        Roster::get(node).ok_or_else(|| {
            let is_deregistered = Deregistered::<T>::contains_key(node);
            if is_deregistered { Error::<T>::NodeDeregistered } else { Error::<T>::UnknownNode }
        })
    }

    fn operated_by(who: AccountId32, node: ServiceNodeId) -> Result<NodeRecord, Error<T>> {
        let record = Self::registered(node)?;
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
        let staker = StakerId(who.clone().into());
        let (pool, spot) = record.pool_for(staker);
        let accepted = pool.accept_for(spot, offered).map_err(Error::<T>::from)?;
        let reason = HoldReason::Stake.into();
        ensure!(T::Currency::can_hold(&reason, who, accepted), Error::<T>::NotEnoughFree);
        match record.stakes.iter_mut().find(|held| held.staker == staker) {
            Some(held) => {
                ensure!(held.leaves_at.is_none(), Error::<T>::AlreadyLeaving);
                held.amount = held.amount.saturating_add(accepted);
            }
            None => {
                let stake = HeldStake { staker, amount: accepted, since: Self::now(), leaves_at: None };
                record.stakes.try_push(stake).map_err(|_| Error::<T>::NoFreeSpot)?;
            }
        }
        record.reserved.retain(|reservation| reservation.staker != staker);
        T::Currency::hold(&reason, who, accepted)?;
        StakedIn::<T>::insert(staker, node, ());
        Ok(accepted)
    }

    /// Stores a record that a stake has joined, and starts the node if that completed it.
    fn stake_joined(node: ServiceNodeId, mut record: NodeRecord, staker: StakerId, amount: Balance) {
        Self::deposit_event(Event::Contributed { node, staker, amount });
        let NodeState::Gathering { expires_at } = record.state else {
            record.settle(Self::now());
            Roster::put(node, &record);
            if record.state.leave().is_none() {
                Self::deposit_event(Event::Refilled { node });
            }
            return;
        };
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
                Self::work_off(node, record, now);
            } else if let Some(gone) = Deregistered::<T>::get(node)
                && gone.deregistration.stakes_return_at <= now
            {
                Deregistered::<T>::remove(node);
                Self::forget(node, &gone.stakes, EndReason::Deregistered);
            }
            ended += 1;
        }
        AgendaFrom::<T>::put(due);
        ended
    }

    /// What is due for a node at `now`: its end, or only the stakes of those whose places others have taken.
    fn work_off(node: ServiceNodeId, mut record: NodeRecord, now: BlockNumber) {
        match (record.state, record.state.leave()) {
            (NodeState::Gathering { expires_at }, _) if expires_at <= now => {
                Self::end(node, record, EndReason::PoolExpired);
            }
            (NodeState::Gathering { .. }, _) => {}
            (_, Some(Leave { leaves_at, .. })) if leaves_at <= now => Self::end(node, record, EndReason::Unlocked),
            (NodeState::Active { .. } | NodeState::Leaving { .. } | NodeState::Decommissioned { .. }, _) => {
                let is_due = |stake: &HeldStake| stake.leaves_at.is_some_and(|leaves_at| leaves_at <= now);
                for stake in record.stakes.iter().filter(|stake| is_due(stake)) {
                    Self::give_back(node, stake);
                }
                record.stakes.retain(|stake| !is_due(stake));
                Roster::put(node, &record);
            }
        }
    }

    /// Releases a stake, or notes that it could not be.
    fn give_back(node: ServiceNodeId, stake: &HeldStake) {
        let HeldStake { staker, amount, .. } = *stake;
        StakedIn::<T>::remove(staker, node);
        match T::Currency::release(&HoldReason::Stake.into(), &AccountId32::new(staker.0), amount, Precision::Exact) {
            Ok(_) => Self::deposit_event(Event::Returned { node, staker, amount }),
            Err(_) => Unreturned::<T>::mutate(staker, node, |sum| *sum = sum.saturating_add(amount)),
        }
    }

    /// Takes a node off the roster and returns every stake.
    fn end(node: ServiceNodeId, record: NodeRecord, reason: EndReason) {
        Self::leave_roster(node, &record);
        Self::forget(node, &record.stakes, reason);
    }

    fn leave_roster(node: ServiceNodeId, record: &NodeRecord) {
        Self::free_sockets(&record.endpoint);
        AuthorityCandidates::<T>::remove(node);
        EndpointChangedAt::<T>::remove(node);
        Roster::remove(node);
        RosterSize::<T>::mutate(|size| *size = size.saturating_sub(1));
        if record.state.is_serving() {
            T::Listener::stopped(node);
        }
    }

    /// Returns every stake of a node that is off the roster: nothing of it is left.
    fn forget(node: ServiceNodeId, stakes: &[HeldStake], reason: EndReason) {
        for stake in stakes {
            Self::give_back(node, stake);
        }
        T::Listener::ended(node);
        Self::deposit_event(Event::Ended { node, reason });
    }
}

impl<T: Config> NodeStates for Pallet<T> {
    fn decommission(node: ServiceNodeId, credit_ends_at: BlockNumber, findings: Findings) -> bool {
        let Some(mut record) = Roster::get(node).filter(|record| record.state.is_serving()) else { return false };
        let leave = record.state.leave();
        record.state = NodeState::Decommissioned { since: Self::now(), credit_ends_at, findings, leave };
        Roster::put(node, &record);
        Self::deposit_event(Event::Decommissioned { node, credit_ends_at, findings });
        T::Listener::stopped(node);
        true
    }

    fn recommission(node: ServiceNodeId) -> bool {
        let Some(mut record) = Roster::get(node) else { return false };
        let NodeState::Decommissioned { leave, .. } = record.state else { return false };
        let active = NodeState::Active { since: Self::now() };
        record.state = leave.map_or(active, |leave| active.leaving(leave));
        Roster::put(node, &record);
        Self::deposit_event(Event::Recommissioned { node });
        T::Listener::started(node);
        true
    }

    fn deregister(node: ServiceNodeId) -> bool {
        let Some(record) = Roster::get(node) else { return false };
        if let NodeState::Gathering { expires_at } = record.state {
            Agenda::<T>::remove(expires_at, node);
        }
        let at = Self::now();
        let lock = pallet_network::Network::<T>::get().deregistration_lock;
        // Not before anybody's unlock time is over: the lock is as long at least.
        let stakes_return_at = at.saturating_add(pallet_network::Pallet::<T>::blocks(lock));
        for leaves_at in record.stakes.iter().filter_map(|stake| stake.leaves_at) {
            Agenda::<T>::remove(leaves_at, node);
        }
        Agenda::<T>::insert(stakes_return_at, node, ());
        Self::leave_roster(node, &record);
        let deregistration = Deregistration { at, stakes_return_at };
        let gone = DeregisteredNode { operator: record.operator, stakes: record.stakes, deregistration };
        Deregistered::<T>::insert(node, gone);
        Self::deposit_event(Event::Deregistered { node, stakes_return_at });
        true
    }
}

impl<T: Config> NodeStakes for Pallet<T> {
    fn payees(node: ServiceNodeId) -> Option<Payees> {
        let record = Roster::get(node).filter(|record| record.state.is_serving())?;
        let contributions = record.contributions().collect();
        Some(Payees { operator: record.operator, fee: record.fee, contributions })
    }
}

impl<T: Config> NodeWhereabouts for Pallet<T> {
    fn whereabouts(node: ServiceNodeId) -> Option<(StakerId, Whereabouts)> {
        if let Some(record) = Roster::get(node) {
            return Some((record.operator, Whereabouts::Roster(record.state)));
        }
        let gone = Deregistered::<T>::get(node)?;
        Some((gone.operator, Whereabouts::Deregistered(gone.deregistration)))
    }

    fn all() -> Vec<ServiceNodeId> {
        Roster::iter().map(|(node, _)| node).chain(Deregistered::<T>::iter_keys()).collect()
    }
}

impl<T: Config> Candidates for Pallet<T> {
    fn candidates() -> Vec<Candidate> {
        let is_active = |node| Roster::get(node).is_some_and(|record| matches!(record.state, NodeState::Active { .. }));
        AuthorityCandidates::<T>::iter()
            .filter(|(node, _)| is_active(*node))
            .map(|(node, (keys, offered_at))| Candidate { node, keys: keys.into_inner(), offered_at })
            .collect()
    }
}

/// Invariants.
#[cfg(any(feature = "std", feature = "try-runtime"))]
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
            ensure!(!Deregistered::<T>::contains_key(node), "a deregistered node is off the roster");
            ensure!(record.staying_stake() <= record.requirement, "no more stays than is required");
            ensure!(record.state.is_tested() == (record.staked() >= record.requirement), "complete nodes are tested");
            if let NodeState::Gathering { expires_at } = record.state {
                ensure!(Agenda::<T>::contains_key(expires_at, node), "a pool that expires is on the agenda");
                ensure!(record.staying_stake() == record.staked(), "nobody asks for a stake that can be withdrawn");
            }
            let leaves_at = record.state.leave().map(|leave| leave.leaves_at);
            ensure!(record.ends_at() == leaves_at, "a node ends when too little stays");
            for stake in &record.stakes {
                let on_agenda = stake.leaves_at.is_none_or(|block| Agenda::<T>::contains_key(block, node));
                ensure!(on_agenda, "who leaves is on the agenda");
                let kept = record.reserved.iter().any(|reservation| reservation.staker == stake.staker);
                ensure!(!kept, "no spot is kept for one who came");
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
        let is_known = |(node, at): (ServiceNodeId, BlockNumber)| Roster::get(node).is_some() && at <= Self::now();
        ensure!(EndpointChangedAt::<T>::iter().all(is_known), "only nodes of the roster have changed, and not ahead");
        let mut stakes = Roster::iter().map(|(_, record)| record.stakes.len()).sum::<usize>();
        for (node, gone) in Deregistered::<T>::iter() {
            ensure!(Agenda::<T>::contains_key(gone.deregistration.stakes_return_at, node), "locked stakes return");
            stakes += gone.stakes.len();
            for stake in &gone.stakes {
                ensure!(StakedIn::<T>::contains_key(stake.staker, node), "a locked stake is found by its staker");
                let sum = held.entry(stake.staker).or_default();
                *sum = sum.saturating_add(stake.amount);
            }
        }
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
