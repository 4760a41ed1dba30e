//! Which service nodes produce blocks, era by era (`design.md`, Authorities).
//!
//! | when | what |
//! |---|---|
//! | genesis | the founders: whoever genesis gives session keys |
//! | a block's end | what its producer revealed is added to [`Revealed`], the randomness of all draws |
//! | an era's last session | the next era's set is drawn among active nodes whose operators offer them |
//! | it has [`ENOUGH_TO_BEGIN`] nodes or more | it produces from the next session on |
//! | it has fewer than [`ENOUGH_TO_GO_ON`] | the founders produce again |
//! | a node of the set produced nothing in its era | it rests: it is not drawn until its operator offers it anew, whatever becomes of it meanwhile |
//! | the session after a change | session keys of nodes that left the set are forgotten |
//!
//! An era is a day on the main network: each change of the set adds a link to every warp proof, so hourly draws would make
//! them grow without need. A set is known one session ahead, as BABE demands. A node is drawn by a hash of its id and of
//! what was revealed up to the block before the draw. Only offers count after which two epochs' worth of blocks was made, so
//! whoever makes a node key and offers it cannot know how it will be drawn. It is blocks that are counted: where they are
//! missing an epoch ends with few, perhaps all of one producer. An offer with other session keys is a new one.
//!
//! BABE's own randomness of an epoch will not do: it takes outputs in whole segments of 256, and an epoch has fewer primary
//! slots than that. What is drawn with it could be known an epoch or more ahead, on test networks a hundred. So outputs are
//! chained here, block by block, secondary slots' as well. An output is one of a key and a slot: a producer cannot try
//! others. It can keep its block back, and so choose between two outcomes for each of the last slots before a draw that are its own.
//!
//! The pallet decides; the runtime's session manager carries out ([`Pallet::plan`]).
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use weights::WeightInfo;

use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::*;
use skep_primitives::{BlockNumber, Candidate, Candidates, ServiceNodeId};
use sp_runtime::{
    AccountId32, SaturatedConversion,
    traits::{BlakeTwo256, Hash},
};
use sp_staking::SessionIndex;

/// Most nodes that produce blocks in an era.
pub const MAX_AUTHORITIES: u32 = 100;

/// Nodes it takes until they produce in the founders' stead.
pub const ENOUGH_TO_BEGIN: usize = 7;

/// Nodes it takes to go on: fewer than to begin, so that one node that comes and goes does not swap the set each era.
pub const ENOUGH_TO_GO_ON: usize = 5;

/// Epochs' worth of blocks from an offer until it counts. With the epoch for which a set is announced that makes the three that BABE
/// wants session keys to be older than the randomness they are used with: its own may be known an epoch or two ahead.
pub const RIPENING_EPOCHS: BlockNumber = 2;

/// Session keys by node, as the runtime keeps them.
pub trait SessionKeyBook {
    /// Notes a node's session keys (in SCALE); false if they are malformed or another's.
    fn set(node: ServiceNodeId, keys: &[u8]) -> bool;
    /// Forgets a node's session keys.
    fn forget(node: ServiceNodeId);
}

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
        /// Which nodes are offered.
        type Candidates: Candidates;
        /// Where session keys are kept.
        type Keys: SessionKeyBook;
        /// The present block's VRF output, as of the block's end; none of a block that has none.
        type Output: Get<Option<[u8; 32]>>;
        /// What the hook and an era's draw cost.
        type WeightInfo: WeightInfo;
        /// Makes candidates for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: pallet_network::CandidateFactory;
    }

    /// Who produces while too few nodes are offered.
    #[pallet::storage]
    pub type Founders<T> = StorageValue<_, BoundedVec<AccountId32, ConstU32<MAX_AUTHORITIES>>, ValueQuery>;

    /// Nodes drawn for the present era; none while the founders produce.
    #[pallet::storage]
    pub type Drawn<T> = StorageValue<_, BoundedVec<ServiceNodeId, ConstU32<MAX_AUTHORITIES>>, ValueQuery>;

    /// Nodes whose session keys are forgotten once the session has begun in which they no longer produce.
    #[pallet::storage]
    pub type Departing<T> = StorageValue<_, BoundedVec<ServiceNodeId, ConstU32<{ 2 * MAX_AUTHORITIES }>>, ValueQuery>;

    /// A hash chain over what the producers of all blocks revealed, up to the last block that ended.
    #[pallet::storage]
    pub type Revealed<T> = StorageValue<_, [u8; 32], ValueQuery>;

    /// Which of the drawn nodes have produced a block in this era.
    #[pallet::storage]
    pub type Produced<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, (), OptionQuery>;

    /// Nodes that produced nothing in an era, and the block in which that was seen; kept as long as that offer stands.
    #[pallet::storage]
    pub type Resting<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, BlockNumber, OptionQuery>;

    /// Producers that were punished for what they signed in a session, so that it is done once; kept while it can be proven.
    #[pallet::storage]
    pub type Punished<T> =
        StorageDoubleMap<_, Twox64Concat, SessionIndex, Blake2_128Concat, AccountId32, (), OptionQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// These many nodes produce blocks from the given session on.
        EraPlanned { session: SessionIndex, nodes: u32 },
        /// Too few nodes are offered: the founders produce blocks from the given session on.
        FoundersReturn { session: SessionIndex },
        /// A node produced nothing in its era; it is not drawn until its operator offers it anew.
        Rests { node: ServiceNodeId },
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        /// The runtime notes the producer elsewhere ([`Pallet::note_produced`]), where nothing is weighed.
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            // The last is for the block's end: the output, and the chain it is added to.
            T::WeightInfo::note_produced().saturating_add(T::DbWeight::get().reads_writes(2, 1))
        }

        /// After BABE's own, which notes the block's output: a pallet's place in the runtime says so.
        fn on_finalize(_: BlockNumberFor<T>) {
            Revealed::<T>::mutate(|revealed| *revealed = BlakeTwo256::hash_of(&(*revealed, T::Output::get())).0);
        }
    }
}

/// Questions.
impl<T: Config> Pallet<T> {
    /// The node behind a producer's account, if it is one of the drawn nodes.
    pub fn drawn_node(producer: &AccountId32) -> Option<ServiceNodeId> {
        let node = ServiceNodeId(producer.clone().into());
        Drawn::<T>::get().contains(&node).then_some(node)
    }

    /// Whether a producer was punished for what it signed in a session.
    pub fn was_punished(session: SessionIndex, producer: &AccountId32) -> bool {
        Punished::<T>::contains_key(session, producer)
    }

    /// Randomness for what `domain` names, made of all that was revealed up to the parent block.
    pub fn randomness(domain: &[u8]) -> [u8; 32] {
        BlakeTwo256::hash_of(&(domain, Revealed::<T>::get())).0
    }

    fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().saturated_into()
    }

    fn rests(candidate: &Candidate) -> bool {
        Resting::<T>::get(candidate.node).is_some_and(|since| is_old(candidate.offered_at, since))
    }
}

/// Changes.
impl<T: Config> Pallet<T> {
    /// Notes who produces while too few nodes are offered. More than [`MAX_AUTHORITIES`] are cut off.
    pub fn found(founders: Vec<AccountId32>) {
        Founders::<T>::put(BoundedVec::truncate_from(founders));
    }

    /// A producer made a block.
    pub fn note_produced(producer: &AccountId32) {
        if let Some(node) = Self::drawn_node(producer)
            && !Produced::<T>::contains_key(node)
        {
            Produced::<T>::insert(node, ());
        }
    }

    /// A producer was punished for what it signed in a session.
    pub fn note_punished(session: SessionIndex, producer: &AccountId32) {
        Punished::<T>::insert(session, producer, ());
    }

    /// Forgets who was punished for what was signed in a session: nobody can prove it any more. The block is charged for it.
    pub fn forget_punished(session: SessionIndex) {
        let forgotten = Punished::<T>::clear_prefix(session, MAX_AUTHORITIES, None).backend;
        charge::<T>(T::DbWeight::get().reads_writes(u64::from(forgotten).saturating_add(1), forgotten.into()));
    }

    /// Who produces from `session` on, if that changes; asked as the session before it begins. The block is charged for it.
    pub fn plan(session: SessionIndex) -> Option<Vec<AccountId32>> {
        charge::<T>(T::WeightInfo::forget_departed(Self::forget_departed()));
        let sessions = pallet_network::Network::<T>::get().era_sessions;
        if !session.is_multiple_of(sessions) {
            return None;
        }
        charge::<T>(T::WeightInfo::draw(T::Candidates::offered()));
        Self::draw(session)
    }

    /// Forgets the keys of nodes that no longer produce; returns of how many.
    pub(crate) fn forget_departed() -> u32 {
        let departing = Departing::<T>::take();
        if departing.is_empty() {
            return 0;
        }
        let drawn = Drawn::<T>::get();
        departing.iter().filter(|node| !drawn.contains(node)).for_each(|node| T::Keys::forget(*node));
        departing.len().saturated_into()
    }

    /// Draws the next era's set, which begins with `session`.
    pub(crate) fn draw(session: SessionIndex) -> Option<Vec<AccountId32>> {
        let candidates = T::Candidates::candidates();
        let present = Drawn::<T>::get();
        let now = Self::now();
        Self::let_rest(&present, &candidates, now);

        let enough = if present.is_empty() { ENOUGH_TO_BEGIN } else { ENOUGH_TO_GO_ON };
        let wait = pallet_network::Network::<T>::get().epoch_blocks.saturating_mul(RIPENING_EPOCHS);
        let is_eligible = |candidate: &Candidate| {
            let is_ripe = candidate.offered_at.saturating_add(wait) <= now;
            is_ripe && candidate.is_active && !Self::rests(candidate)
        };
        let mut eligible: Vec<_> = candidates.into_iter().filter(is_eligible).collect();
        shuffle(&mut eligible, Self::randomness(b"skep/era/1"));
        let mut drawn = BoundedVec::new();
        if eligible.len() >= enough {
            for Candidate { node, keys, .. } in eligible {
                if drawn.is_full() {
                    break;
                }
                // Keys that another has already cannot tell who signed: such a node is passed over.
                if T::Keys::set(node, &keys) {
                    let _ = drawn.try_push(node);
                }
            }
        }
        let mut gone: Vec<_> = present.iter().filter(|node| !drawn.contains(node)).copied().collect();
        if drawn.len() < enough {
            gone.extend(core::mem::take(&mut drawn));
        }
        Departing::<T>::put(BoundedVec::truncate_from(gone));
        Drawn::<T>::put(&drawn);
        if drawn.is_empty() {
            // As before if the founders produce already.
            return (!present.is_empty()).then(|| {
                Self::deposit_event(Event::FoundersReturn { session });
                Founders::<T>::get().into_inner()
            });
        }
        Self::deposit_event(Event::EraPlanned { session, nodes: drawn.len().saturated_into() });
        Some(drawn.into_iter().map(|node| AccountId32::new(node.0)).collect())
    }

    /// Lets those rest who produced nothing, and forgets the rest of those who are offered anew or no longer. One that is
    /// decommissioned meanwhile rests on: coming back is not an offer.
    fn let_rest(present: &[ServiceNodeId], candidates: &[Candidate], now: BlockNumber) {
        for node in present {
            if Produced::<T>::take(node).is_none() {
                Resting::<T>::insert(node, now);
                Self::deposit_event(Event::Rests { node: *node });
            }
        }
        let offers: BTreeMap<_, _> =
            candidates.iter().map(|candidate| (candidate.node, candidate.offered_at)).collect();
        let over: Vec<_> = Resting::<T>::iter()
            .filter(|(node, since)| offers.get(node).is_none_or(|offered_at| !is_old(*offered_at, *since)))
            .map(|(node, _)| node)
            .collect();
        over.into_iter().for_each(Resting::<T>::remove);
    }
}

/// Whether an offer was made before its node was seen to rest. A draw is made before any call of its block.
const fn is_old(offered_at: BlockNumber, since: BlockNumber) -> bool {
    offered_at < since
}

/// Charges the block that is carried out.
fn charge<T: Config>(weight: Weight) {
    frame_system::Pallet::<T>::register_extra_weight_unchecked(weight, DispatchClass::Mandatory);
}

/// Orders candidates by a hash of their id and `seed`: every order is as likely as any other.
fn shuffle(candidates: &mut [Candidate], seed: [u8; 32]) {
    candidates.sort_by_cached_key(|candidate| BlakeTwo256::hash_of(&(b"skep authorities", seed, candidate.node)));
}

/// Invariants.
#[cfg(feature = "std")]
impl<T: Config> Pallet<T> {
    /// Only drawn nodes have produced, and a set is whole or the founders'.
    pub fn check_state() -> Result<(), &'static str> {
        let drawn = Drawn::<T>::get();
        ensure!(Produced::<T>::iter_keys().all(|node| drawn.contains(&node)), "only drawn nodes are marked");
        ensure!(drawn.is_empty() || drawn.len() >= ENOUGH_TO_GO_ON, "a set of nodes is large enough");
        let distinct: alloc::collections::BTreeSet<_> = drawn.iter().collect();
        ensure!(distinct.len() == drawn.len(), "a node is drawn once");
        ensure!(!Departing::<T>::get().iter().any(|node| distinct.contains(node)), "who is drawn does not depart");
        Ok(())
    }
}
