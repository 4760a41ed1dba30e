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

mod agenda;
pub mod announce;
#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod endpoints;
mod hand_over;
#[cfg(feature = "std")]
mod invariants;
#[cfg(test)]
mod mock;
mod node_key;
mod record;
mod roster;
mod stakes;
mod standing;
#[cfg(test)]
mod tests;
pub mod weights;

pub use agenda::MAX_ENDS_PER_BLOCK;
pub use endpoints::Socket;
pub use hand_over::LastHandOvers;
pub use pallet::*;
pub use record::{DeregisteredNode, HeldStake, MAX_RESERVATIONS, NodeRecord, Reservations};
pub use roster::Roster;
pub use weights::WeightInfo;

use announce::Announcements;
use frame_support::{
    pallet_prelude::*,
    traits::{Contains, fungible::MutateHold, tokens::Precision},
};
use frame_system::{ensure_authorized, pallet_prelude::*};
use skep_economics::operator_minimum;
use skep_primitives::{
    Announcement, Balance, BlockNumber, Endpoint, Findings, NodeState, Permyriad, ServiceNodeId, ServingNodes,
    SoftwareVersion, StakerId, signing,
};
use sp_runtime::{AccountId32, SaturatedConversion, traits::OpaqueKeys};

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
        /// Keys that were handed over and that their nodes answer for still.
        type FormerKeys: Contains<ServiceNodeId>;
        /// Told when a node begins or ends to serve.
        type Listener: ServingNodes;
        /// What calls cost.
        type WeightInfo: WeightInfo;
        /// Makes session keys and proposals for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: benchmarking::SessionKeyFactory<Self::SessionKeys> + pallet_network::ProposalFactory;
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

    /// Addresses and ports of nodes whose stake is complete: no two share one.
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

    /// Blocks of each node's last hand-overs, oldest first: there may be so many within an unlock time.
    #[pallet::storage]
    pub type HandOvers<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, LastHandOvers, ValueQuery>;

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
        /// Ports must not be zero, and the HTTPS and QUIC ports must be given for a unicast address.
        BadEndpoint,
        /// Loopback, private and reserved addresses cannot be reached by others: register a public address.
        PrivateAddress,
        /// Another node serves at this address and port.
        EndpointTaken,
        /// This stake would complete the node, but another serves at its address by now: its operator must give it another
        /// (`skep stake endpoint`), or every stake returns when the pool expires. Yours can be taken back with `withdraw`.
        AddressTaken,
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
        /// A node was handed over from this key and answers for what it signed: make a new one with `skep-messaging keygen`.
        FormerKey,
        /// The node was handed over four times within the unlock time: wait until the first of them is that old.
        HandedOverTooOften,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            let ended = Self::work_off_agenda(now.saturated_into());
            T::WeightInfo::work_off_agenda(ended)
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Registers a node and locks the operator's stake in it.
        ///
        /// `proof` is the node key's signature over the genesis hash, the caller and the fee
        /// ([`skep_primitives::signing::registration`]). `stake` is at least 25 % of the requirement; with the whole
        /// requirement the node serves at once, with less it gathers contributions. Spots may be `reserved` for others, each
        /// for as much at least as a contributor would have to bring in its turn; where the requirement has fallen since
        /// they were computed, the largest gives way by up to 1 %.
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
            Self::key_is_free(node)?;
            ensure!(node_key::is_sound(node), Error::<T>::BadNodeKey);
            Self::endpoint_is_free(node, &endpoint)?;
            let message = signing::registration(&pallet_network::Pallet::<T>::genesis_hash(), &operator, fee);
            ensure!(node_key::signed(node, &proof, &message), Error::<T>::BadProof);

            let now = Self::now();
            let requirement = pallet_network::Pallet::<T>::requirement().at(now, Self::block_time());
            ensure!(stake >= operator_minimum(requirement), Error::<T>::StakeTooSmall);
            let reserved = stakes::reserve(reserved, operator, requirement, stake).ok_or(Error::<T>::BadReservation)?;
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
            Self::deposit_event(Event::Registered { node, operator, requirement });
            Self::stake_joined(node, record, operator, accepted)?;
            Ok(())
        }

        /// Locks a stake in a node that gathers it, or in the place of one who leaves: at least an even part of the open
        /// room, at most 101 % of it (only the room counts). Whoever a spot is kept for brings at least what was reserved;
        /// whoever has a stake in the node adds to it. What would complete a node whose address another has taken meanwhile is
        /// refused.
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
            Self::stake_joined(node, record, staker, accepted)?;
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
            let is_old_enough = Self::old_enough_at(&record, &stake).is_none_or(|block| now >= block);
            ensure!(is_old_enough, Error::<T>::StakeTooYoung);
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
        /// endpoint stay, who leaves leaves when it would have, the swarm is left and another joined, and the queue for rewards
        /// begins anew. `proof` is the new key's, as for `register`. A decommissioned node stays decommissioned until it passes
        /// under the new key. At most four times within an unlock time.
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::hand_over())]
        pub fn hand_over(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            to: ServiceNodeId,
            proof: RawSignature,
        ) -> DispatchResult {
            let record = Self::operated_by(ensure_signed(origin)?, node)?;
            ensure!(record.state.is_tested(), Error::<T>::StillGathering);
            Self::key_is_free(to)?;
            ensure!(node_key::is_sound(to), Error::<T>::BadNodeKey);
            let message =
                signing::registration(&pallet_network::Pallet::<T>::genesis_hash(), &record.operator, record.fee);
            ensure!(node_key::signed(to, &proof, &message), Error::<T>::BadProof);

            Self::carry_over(node, record, to)?;
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

        /// Offers a node as a block producer. `session_proof` is the session keys' own proof of ownership for this node id,
        /// `node_proof` the node key's signature over them ([`skep_primitives::signing::session_keys`]). Only once its stake
        /// is complete. For the operator.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::set_session_keys())]
        pub fn set_session_keys(
            origin: OriginFor<T>,
            node: ServiceNodeId,
            keys: T::SessionKeys,
            session_proof: BoundedVec<u8, ConstU32<1024>>,
            node_proof: RawSignature,
        ) -> DispatchResult {
            let record = Self::operated_by(ensure_signed(origin)?, node)?;
            ensure!(record.state.is_tested(), Error::<T>::StillGathering);
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

    /// Whether no node has this key, nor had it and answers for it still.
    fn key_is_free(key: ServiceNodeId) -> Result<(), Error<T>> {
        ensure!(Roster::get(key).is_none(), Error::<T>::AlreadyRegistered);
        ensure!(!Deregistered::<T>::contains_key(key), Error::<T>::NodeDeregistered);
        ensure!(!T::FormerKeys::contains(&key), Error::<T>::FormerKey);
        Ok(())
    }

    fn operated_by(who: AccountId32, node: ServiceNodeId) -> Result<NodeRecord, Error<T>> {
        let record = Self::registered(node)?;
        ensure!(record.operator == StakerId(who.into()), Error::<T>::NotOperator);
        Ok(record)
    }
}
