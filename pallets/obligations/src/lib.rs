//! Testing rounds, verdicts, and how each service node stands (`protocol.md` section 2).
//!
//! | when | what |
//! |---|---|
//! | the first block of a round | the quorum is drawn ([`draw_round`]) from those on the [`Roll`] and kept while its verdicts count |
//! | a node began to serve a tester's wait ago | it may be drawn as a tester from the next round on |
//! | [`submit_verdict`](Pallet::submit_verdict) | seven testers of a round say alike of one of its targets: what follows ([`consequence`]) is carried out at once |
//! | a proven equivocation ([`Pallet::equivocated`]) | the node is deregistered |
//!
//! A verdict is a general transaction that nobody signs and nobody pays for: it is authorized by the testers' signatures in
//! it. Everything else about it is checked first, and what could change nothing never gets into the pool. A vote names its
//! round and the block before the round's first, whose state and randomness drew the quorum: on another fork it counts for
//! nothing. A round older than a node's present state says nothing about it, so a verdict cannot be held back and used when
//! the node was taken out and let back since. While its state stays, votes that it failed count as long as their round does,
//! though it passed rounds that came later: the brake may have held the verdict back.
//!
//! Work is bounded whatever the number of nodes: a round reads whom it draws, never the whole roster.
//!
//! The seed of a draw is made of what producers revealed up to the parent block, and of nothing else in it that its producer
//! could vary. It may withhold its block and so have the quorum drawn again, for the price of its reward: it chooses between
//! two draws. Without an output of the parent's the seed is what was known one block earlier, and nobody's choice.
//!
//! [`draw_round`]: skep_obligations::draw_round
//! [`consequence`]: skep_obligations::consequence
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
mod refusal;
mod roll;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use refusal::Refusal;
pub use roll::{Class, Roll};
pub use weights::WeightInfo;

use alloc::vec::Vec;
use frame_support::{
    defensive,
    pallet_prelude::*,
    traits::{Contains, Defensive},
};
use frame_system::{ensure_authorized, pallet_prelude::*};
use skep_obligations::{Brake, Census, Consequence, Duty, consequence, credit_of, draw_round, outcome};
use skep_primitives::{
    BlockHash, BlockNumber, Cause, Findings, MAX_HAND_OVERS, MAX_TESTERS, Moment, NodeStates, NodeWhereabouts,
    ServiceNodeId, ServingNodes, StakerId, Standing, StandingChange, StandingEvent, Subject, TestingRound,
    TestingTerms, Vote, Whereabouts, signing,
};
use sp_core::ed25519::{Public, Signature};
use sp_runtime::SaturatedConversion;

/// Nodes that may become testers in one round; more wait for the next.
pub const MAX_SEASONED_A_ROUND: u32 = 64;

/// Changes of one node's standing that are kept: the latest.
pub const MAX_HISTORY: u32 = 16;

/// Randomness for draws, as the runtime wires it.
pub trait RoundRandomness {
    /// What producers revealed up to the parent block.
    fn of_parent() -> [u8; 32];
}

/// A round as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct DrawnRound {
    /// [`Subject::block`] of its votes.
    pub block: BlockHash,
    /// Its first block.
    pub begins_at: BlockNumber,
    /// The quorum.
    pub testers: BoundedVec<ServiceNodeId, ConstU32<MAX_TESTERS>>,
    /// Who is tested.
    pub targets: BoundedVec<ServiceNodeId, ConstU32<{ skep_obligations::MAX_TARGETS }>>,
}

/// A node on the roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Tenure {
    /// Block since which it serves, or is decommissioned.
    pub since: BlockNumber,
    /// Its credit then, in milliseconds.
    pub credit: Moment,
}

/// A node that waits until it may be a tester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Newcomer {
    /// The node.
    pub node: ServiceNodeId,
    /// [`Tenure::since`] when it came.
    pub since: BlockNumber,
}

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
pub mod pallet {
    use super::*;

    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> + pallet_network::Config {
        /// Randomness for draws.
        type Randomness: RoundRandomness;
        /// Carries out what becomes of a node.
        type Nodes: NodeStates + NodeWhereabouts;
        /// What calls cost.
        type WeightInfo: WeightInfo;
        /// Makes service nodes and proposals for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: pallet_network::NodeFactory + pallet_network::ProposalFactory;
    }

    /// How many nodes of each class are on the roll; [`Roll`] owns this and the next two.
    #[pallet::storage]
    pub type Counts<T> = StorageValue<_, Census, ValueQuery>;

    /// The roll: seat to node, without gaps. First those who may test, then the fresh, then the decommissioned.
    #[pallet::storage]
    pub type Seats<T> = StorageMap<_, Twox64Concat, u32, ServiceNodeId, OptionQuery>;

    /// Where each node sits.
    #[pallet::storage]
    pub type SeatOf<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, u32, OptionQuery>;

    /// Since when each node of the roll stands as it does, and with what credit.
    #[pallet::storage]
    pub type Tenures<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, Tenure, OptionQuery>;

    /// Fresh nodes in the order in which they may become testers.
    #[pallet::storage]
    pub type Newcomers<T> = StorageMap<_, Twox64Concat, u64, Newcomer, OptionQuery>;

    /// Positions of newcomers: from the first to the one that is given next.
    #[pallet::storage]
    pub type NewcomersSpan<T> = StorageValue<_, (u64, u64), ValueQuery>;

    /// Rounds whose verdicts still count.
    #[pallet::storage]
    pub type Rounds<T> = StorageMap<_, Twox64Concat, u32, DrawnRound, OptionQuery>;

    /// Targets of those rounds on which a verdict was carried out.
    #[pallet::storage]
    pub type Decided<T> = StorageDoubleMap<_, Twox64Concat, u32, Blake2_128Concat, ServiceNodeId, (), OptionQuery>;

    /// Nodes that verdicts removed from service since the present round began.
    #[pallet::storage]
    pub type Removed<T> = StorageValue<_, u32, ValueQuery>;

    /// The last changes of each node's standing, oldest first; kept until the node's stakes have returned.
    #[pallet::storage]
    pub type History<T> =
        StorageMap<_, Blake2_128Concat, ServiceNodeId, BoundedVec<StandingEvent, ConstU32<MAX_HISTORY>>, ValueQuery>;

    /// What a key that was handed over belongs to now, so that an equivocation under it is answered for.
    #[pallet::storage]
    pub type Successor<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, ServiceNodeId, OptionQuery>;

    /// The former keys of a node, oldest first, as many as it may have had within an unlock time.
    #[pallet::storage]
    pub type FormerKeys<T> =
        StorageMap<_, Blake2_128Concat, ServiceNodeId, BoundedVec<ServiceNodeId, ConstU32<MAX_HAND_OVERS>>, ValueQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A testing round began; without testers the network is too small to test itself.
        RoundBegan { round: u32, testers: u32, targets: u32 },
        /// A verdict took a node out of service. It may fail for as long as its credit (in milliseconds) lasts.
        NodeDecommissioned { node: ServiceNodeId, round: u32, credit: Moment, findings: Findings },
        /// A verdict let a node serve again, with this credit (in milliseconds).
        NodeRecommissioned { node: ServiceNodeId, round: u32, credit: Moment },
        /// A node was put off the roster.
        NodeDeregistered { node: ServiceNodeId, cause: Cause },
    }

    #[pallet::error]
    #[derive(PartialEq, Eq)]
    pub enum Error<T> {
        /// The verdict changes nothing any more: another one was carried out before it in this block.
        Overtaken,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            Self::begin_round(now.saturated_into())
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Carries out what enough testers of a round agree on about one of its targets.
        ///
        /// Needs no account and costs no fee: the votes authorize it. They come in the order of their seats, all of them
        /// passing the node or all failing it; each is signed over [`skep_primitives::signing::vote`].
        #[pallet::call_index(0)]
        #[pallet::weight((T::WeightInfo::submit_verdict(), DispatchClass::Operational, Pays::No))]
        #[pallet::authorize(|_source, subject, votes| Self::authorize_verdict(subject, votes))]
        #[pallet::weight_of_authorize(T::WeightInfo::authorize_verdict(votes.len().saturated_into()))]
        pub fn submit_verdict(
            origin: OriginFor<T>,
            subject: Subject,
            votes: BoundedVec<Vote, ConstU32<MAX_TESTERS>>,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            let (_, follows) = Self::judge(&subject, &votes).map_err(|_| Error::<T>::Overtaken)?;
            Decided::<T>::insert(subject.round, subject.node, ());
            Self::carry_out(&subject, follows);
            Ok(())
        }
    }
}

/// Questions.
impl<T: Config> Pallet<T> {
    /// The durations of testing.
    pub fn terms() -> TestingTerms {
        pallet_network::Network::<T>::get().testing
    }

    /// A round whose verdicts still count, or the present one; `None` for another, and before the first.
    pub fn round(number: Option<u32>) -> Option<TestingRound> {
        let terms = Self::terms();
        let round = number.unwrap_or_else(|| Self::number_of(&terms, Self::now()));
        let DrawnRound { block, begins_at, testers, targets } = Rounds::<T>::get(round)?;
        let ends_at = Self::last_block(&terms, begins_at);
        Some(TestingRound { round, block, begins_at, ends_at, testers: testers.into(), targets: targets.into() })
    }

    /// The rounds whose verdicts count now, from number `since` on, oldest first.
    pub fn rounds(since: u32) -> Vec<TestingRound> {
        let terms = Self::terms();
        let present = Self::number_of(&terms, Self::now());
        let oldest = present.saturating_add(1).saturating_sub(terms.vote_rounds);
        (oldest.max(since)..=present).filter_map(|number| Self::round(Some(number))).collect()
    }

    /// How a node stands, and why; `None` if nothing of it is left.
    pub fn standing(node: ServiceNodeId) -> Option<Standing> {
        let (operator, whereabouts) = T::Nodes::whereabouts(node)?;
        let credit = Self::duty(node).map(|duty| credit_of(&Self::terms(), duty));
        Some(Standing { node, operator, whereabouts, credit, history: History::<T>::get(node).into() })
    }

    /// How every node stands. Reads all of them.
    pub fn standings() -> Vec<Standing> {
        T::Nodes::all().into_iter().filter_map(Self::standing).collect()
    }

    fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().saturated_into()
    }

    fn blocks_of_a_round(terms: &TestingTerms) -> BlockNumber {
        pallet_network::Pallet::<T>::blocks(terms.round).max(1)
    }

    fn number_of(terms: &TestingTerms, block: BlockNumber) -> u32 {
        block / Self::blocks_of_a_round(terms)
    }

    /// The last block at which a verdict of a round counts.
    fn last_block(terms: &TestingTerms, begins_at: BlockNumber) -> BlockNumber {
        let blocks = Self::blocks_of_a_round(terms).saturating_mul(terms.vote_rounds);
        begins_at.saturating_add(blocks).saturating_sub(1)
    }

    fn duty(node: ServiceNodeId) -> Option<Duty> {
        let Tenure { since, credit } = Tenures::<T>::get(node)?;
        let elapsed = pallet_network::Pallet::<T>::duration(Self::now().saturating_sub(since));
        Some(match Roll::<T>::class_of(node)? {
            Class::Seasoned | Class::Fresh => Duty::Serving { carried: credit, served: elapsed },
            Class::Decommissioned => Duty::Decommissioned { credit, down: elapsed },
        })
    }
}

/// Verdicts.
impl<T: Config> Pallet<T> {
    /// Everything about a verdict but its signatures: the round it belongs to, and what follows from it.
    fn judge(subject: &Subject, votes: &[Vote]) -> Result<(DrawnRound, Consequence), Refusal> {
        let Subject { round: number, block, node } = *subject;
        let terms = Self::terms();
        let present = Self::number_of(&terms, Self::now());
        ensure!(number.saturating_add(terms.vote_rounds) > present, Refusal::Expired);
        let round = Rounds::<T>::get(number).filter(|round| round.block == block).ok_or(Refusal::OtherHistory)?;
        let outcome = outcome(round.testers.len().saturated_into(), votes).map_err(|_| Refusal::UndecidedVotes)?;
        ensure!(round.targets.contains(&node), Refusal::NotTested);
        ensure!(!Decided::<T>::contains_key(number, node), Refusal::DecidedBefore);
        let tenure = Tenures::<T>::get(node).ok_or(Refusal::NothingToChange)?;
        ensure!(round.begins_at > tenure.since, Refusal::NothingToChange);
        let duty = Self::duty(node).ok_or(Refusal::NothingToChange)?;
        let follows = consequence(&terms, duty, outcome).ok_or(Refusal::NothingToChange)?;
        let brake = Brake { census: Counts::<T>::get(), removed: Removed::<T>::get() };
        let may = match follows {
            Consequence::Decommission { .. } => brake.may_decommission(),
            Consequence::Deregister { .. } => brake.may_deregister(),
            Consequence::Recommission { .. } => true,
        };
        ensure!(may, Refusal::TooManyAtOnce);
        Ok((round, follows))
    }

    /// Whether a verdict may enter the pool and a block: the signatures last.
    fn authorize_verdict(subject: &Subject, votes: &[Vote]) -> TransactionValidityWithRefund {
        let (round, _) = Self::judge(subject, votes).map_err(TransactionValidityError::from)?;
        let genesis = pallet_network::Pallet::<T>::genesis_hash();
        let signed = |vote: &Vote| {
            round.testers.get(usize::from(vote.seat)).is_some_and(|tester| {
                let message = signing::vote(&genesis, subject, vote.reasons);
                let (signature, key) = (Signature::from_raw(vote.signature), Public::from_raw(tester.0));
                sp_io::crypto::ed25519_verify(&signature, &message, &key)
            })
        };
        ensure!(votes.iter().all(signed), TransactionValidityError::from(InvalidTransaction::BadProof));
        let last = Self::last_block(&Self::terms(), round.begins_at);
        let validity = ValidTransaction::with_tag_prefix("skep/verdict")
            .priority(TransactionPriority::MAX / 2)
            .and_provides((subject.round, subject.node))
            .longevity(last.saturating_sub(Self::now()).saturating_add(1).into())
            .propagate(true)
            .build()?;
        Ok((validity, Weight::zero()))
    }

    fn carry_out(subject: &Subject, follows: Consequence) {
        let Subject { round, node, .. } = *subject;
        let now = Self::now();
        match follows {
            Consequence::Decommission { credit, findings } => {
                let credit_ends_at = now.saturating_add(pallet_network::Pallet::<T>::blocks(credit));
                if !T::Nodes::decommission(node, credit_ends_at, findings) {
                    defensive!("who is on the roll as serving serves");
                    return;
                }
                Roll::<T>::put(node, Class::Decommissioned);
                Tenures::<T>::insert(node, Tenure { since: now, credit });
                Removed::<T>::mutate(|removed| *removed = removed.saturating_add(1));
                Self::note(node, StandingChange::Decommissioned, Cause::Verdict { round, findings });
                Self::deposit_event(Event::NodeDecommissioned { node, round, credit, findings });
            }
            Consequence::Recommission { credit } => {
                if !T::Nodes::recommission(node) {
                    defensive!("who is on the roll as decommissioned is so");
                    return;
                }
                Self::begin_tenure(node, credit);
                let cause = Cause::Verdict { round, findings: Findings::default() };
                Self::note(node, StandingChange::Recommissioned, cause);
                Self::deposit_event(Event::NodeRecommissioned { node, round, credit });
            }
            Consequence::Deregister { findings } => {
                Removed::<T>::mutate(|removed| *removed = removed.saturating_add(1));
                Self::deregister(node, Cause::Verdict { round, findings });
            }
        }
    }

    /// Deregisters a node whose equivocation as block producer was proven, whatever key it has now; false if no such node
    /// is registered.
    pub fn equivocated(node: ServiceNodeId) -> bool {
        Self::accountable(node).is_some_and(|node| Self::deregister(node, Cause::Equivocation))
    }

    /// Who answers for what was signed by this key: the node that had it before a hand-over, or the one registered under it.
    pub fn accountable(key: ServiceNodeId) -> Option<ServiceNodeId> {
        let is_registered =
            |node: &ServiceNodeId| matches!(T::Nodes::whereabouts(*node), Some((_, Whereabouts::Roster(_))));
        Successor::<T>::get(key).filter(is_registered).or_else(|| Some(key).filter(is_registered))
    }

    /// Who operates the node that has this key, or had it before a hand-over; nobody if nothing of it is left.
    pub fn operator_behind(key: ServiceNodeId) -> Option<StakerId> {
        let node = Successor::<T>::get(key).unwrap_or(key);
        T::Nodes::whereabouts(node).map(|(operator, _)| operator)
    }

    fn deregister(node: ServiceNodeId, cause: Cause) -> bool {
        if !T::Nodes::deregister(node) {
            return false;
        }
        Self::strike_off(node);
        Self::note(node, StandingChange::Deregistered, cause);
        Self::deposit_event(Event::NodeDeregistered { node, cause });
        true
    }

    fn note(node: ServiceNodeId, change: StandingChange, cause: Cause) {
        History::<T>::mutate(node, |history| {
            if history.is_full() {
                history.remove(0);
            }
            if history.try_push(StandingEvent { at: Self::now(), change, cause }).is_err() {
                defensive!("there is room for one more");
            }
        });
    }
}

/// Keys that were handed over and that a node answers for still: nobody may have them meanwhile, or blame could be moved.
impl<T: Config> Contains<ServiceNodeId> for Pallet<T> {
    fn contains(key: &ServiceNodeId) -> bool {
        Successor::<T>::contains_key(key)
    }
}

/// Rounds.
impl<T: Config> Pallet<T> {
    /// In the first block of a round, draws it, and forgets the one whose verdicts count no more.
    fn begin_round(now: BlockNumber) -> Weight {
        let terms = Self::terms();
        if !now.is_multiple_of(Self::blocks_of_a_round(&terms)) {
            return T::WeightInfo::within_a_round();
        }
        let number = Self::number_of(&terms, now);
        let seasoned = Self::season(&terms, now);
        let forgotten = number.checked_sub(terms.vote_rounds).map_or(0, Self::forget_round);
        Removed::<T>::kill();

        let drawn = draw_round(T::Randomness::of_parent(), number, &Counts::<T>::get());
        let node = |seat: u32| Seats::<T>::get(seat).defensive();
        let round = DrawnRound {
            block: pallet_network::raw_hash(&frame_system::Pallet::<T>::parent_hash()),
            begins_at: now,
            testers: BoundedVec::truncate_from(drawn.testers.into_iter().filter_map(node).collect()),
            targets: BoundedVec::truncate_from(drawn.targets.into_iter().filter_map(node).collect()),
        };
        let (testers, targets) = (round.testers.len().saturated_into(), round.targets.len().saturated_into());
        Rounds::<T>::insert(number, round);
        Self::deposit_event(Event::RoundBegan { round: number, testers, targets });
        T::WeightInfo::begin_round(testers.saturating_add(targets))
            .saturating_add(T::WeightInfo::season(seasoned))
            .saturating_add(T::WeightInfo::forget_round(forgotten))
    }

    /// Returns how many verdicts of it were forgotten.
    fn forget_round(number: u32) -> u32 {
        Rounds::<T>::remove(number);
        Decided::<T>::clear_prefix(number, skep_obligations::MAX_TARGETS, None).backend
    }

    /// Makes those testers who have waited long enough, up to [`MAX_SEASONED_A_ROUND`]; returns at how many it looked.
    fn season(terms: &TestingTerms, now: BlockNumber) -> u32 {
        let wait = pallet_network::Pallet::<T>::blocks(terms.tester_wait);
        let (mut start, end) = NewcomersSpan::<T>::get();
        let mut looked_at = 0;
        while start < end && looked_at < MAX_SEASONED_A_ROUND {
            let Some(Newcomer { node, since }) = Newcomers::<T>::get(start) else {
                start += 1;
                continue;
            };
            if since.saturating_add(wait) > now {
                break;
            }
            // One that has been decommissioned or has left since then, or came again, waits elsewhere or not at all.
            let is_the_same = Tenures::<T>::get(node).is_some_and(|tenure| tenure.since == since);
            if is_the_same && Roll::<T>::class_of(node) == Some(Class::Fresh) {
                Roll::<T>::put(node, Class::Seasoned);
            }
            Newcomers::<T>::remove(start);
            start += 1;
            looked_at += 1;
        }
        NewcomersSpan::<T>::put((start, end));
        looked_at
    }

    /// Puts a node among the fresh, with this credit.
    fn begin_tenure(node: ServiceNodeId, credit: Moment) {
        let since = Self::now();
        Roll::<T>::put(node, Class::Fresh);
        Tenures::<T>::insert(node, Tenure { since, credit });
        NewcomersSpan::<T>::mutate(|(_, end)| {
            Newcomers::<T>::insert(*end, Newcomer { node, since });
            *end = end.saturating_add(1);
        });
    }

    fn strike_off(node: ServiceNodeId) {
        Roll::<T>::remove(node);
        Tenures::<T>::remove(node);
    }
}

impl<T: Config> ServingNodes for Pallet<T> {
    /// Of a recommissioned node this pallet knows already.
    fn started(node: ServiceNodeId) {
        if !Tenures::<T>::contains_key(node) {
            Self::begin_tenure(node, Self::terms().initial_credit);
        }
    }

    /// A node that stops is decommissioned or deregistered, by this pallet itself, or ends.
    fn stopped(_: ServiceNodeId) {}

    fn ended(node: ServiceNodeId) {
        Self::strike_off(node);
        History::<T>::remove(node);
        for former in FormerKeys::<T>::take(node) {
            Successor::<T>::remove(former);
        }
    }

    /// Credit and history go with the node, and so does the blame for what its former keys sign.
    fn handed_over(from: ServiceNodeId, to: ServiceNodeId) {
        match Self::duty(from) {
            Some(duty @ Duty::Serving { .. }) => Self::begin_tenure(to, credit_of(&Self::terms(), duty)),
            Some(Duty::Decommissioned { .. }) => {
                Roll::<T>::put(to, Class::Decommissioned);
                Tenures::<T>::set(to, Tenures::<T>::get(from));
            }
            None => {}
        }
        Self::strike_off(from);
        let history = History::<T>::take(from);
        if !history.is_empty() {
            History::<T>::insert(to, history);
        }
        let mut former = FormerKeys::<T>::take(from);
        if former.is_full() {
            Successor::<T>::remove(former.remove(0));
        }
        if former.try_push(from).is_err() {
            defensive!("there is room for one more");
        }
        former.iter().for_each(|key| Successor::<T>::insert(key, to));
        FormerKeys::<T>::insert(to, former);
    }
}

/// Invariants.
#[cfg(feature = "std")]
impl<T: Config> Pallet<T> {
    /// The roll has no gaps, every node on it has a tenure, and only rounds that count are kept.
    pub fn check_state() -> Result<(), &'static str> {
        Roll::<T>::check_state()?;
        for node in Tenures::<T>::iter_keys() {
            ensure!(SeatOf::<T>::contains_key(node), "who has a tenure is on the roll");
        }
        ensure!(Tenures::<T>::iter().count() == SeatOf::<T>::iter().count(), "who is on the roll has a tenure");
        for (node, _) in SeatOf::<T>::iter() {
            let state = T::Nodes::whereabouts(node).map(|(_, whereabouts)| whereabouts);
            let Some(Whereabouts::Roster(state)) = state else { return Err("who is on the roll is on the roster") };
            let serves = Roll::<T>::class_of(node) != Some(Class::Decommissioned);
            ensure!(state.is_tested() && state.is_serving() == serves, "the roll and the roster agree");
        }
        let (start, end) = NewcomersSpan::<T>::get();
        for position in Newcomers::<T>::iter_keys() {
            ensure!((start..end).contains(&position), "who waits is in the span");
        }
        let terms = Self::terms();
        let present = Self::number_of(&terms, Self::now());
        for (number, round) in Rounds::<T>::iter() {
            let counts = number <= present && number.saturating_add(terms.vote_rounds) > present;
            ensure!(counts, "no round is kept beyond its time");
            ensure!(!round.targets.iter().any(|node| round.testers.contains(node)), "nobody tests itself");
        }
        for (number, node) in Decided::<T>::iter_keys() {
            let round = Rounds::<T>::get(number).ok_or("what was decided belongs to a round")?;
            ensure!(round.targets.contains(&node), "only targets are decided on");
        }
        for node in History::<T>::iter_keys() {
            ensure!(T::Nodes::whereabouts(node).is_some(), "no history of what is gone");
        }
        let mut links = 0;
        for (node, former) in FormerKeys::<T>::iter() {
            ensure!(T::Nodes::whereabouts(node).is_some(), "no former keys of what is gone");
            links += former.len();
            ensure!(former.iter().all(|key| Successor::<T>::get(key) == Some(node)), "a former key leads on");
            ensure!(former.iter().all(|key| T::Nodes::whereabouts(*key).is_none()), "a former key is nobody's");
        }
        ensure!(Successor::<T>::iter().count() == links, "no key leads to a node that does not know it");
        Ok(())
    }
}
