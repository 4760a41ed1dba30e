//! What the operators decide together, by the stake they serve with: runtimes, the treasury, the floor of work.
//!
//! There is no sudo. Operators of active nodes propose and approve; each speaks with the whole stake of the nodes it
//! operates, since its contributors chose it. An approval names its motion beside the number: after a reorganization, or as
//! shown by a chain node that lies, the number may be another's.
//!
//! | step | who | what happens |
//! |---|---|---|
//! | `propose` | an operator | a deposit is held; the proposer approves |
//! | `approve`, `withdraw_approval` | operators | approving stake is counted anew as nodes come and go |
//! | two thirds of all serving stake approve, and of the least electorate | | the delay begins: time to look and object; for an upgrade also to leave, since stakes unlock meanwhile |
//! | `enact` | anyone, after the delay, while two thirds still approve | it takes effect, the deposit is released |
//! | as many are open as may be | | the one with the least approving stake gives way to a proposer with more; nobody has more than [`MAX_OPEN_OF_ONE`] open |
//! | `close` | the proposer while nobody else approves, anyone once it expired | it is gone, the deposit is released |
//!
//! An enacted [`Motion::Upgrade`] only authorizes a code hash: `System.apply_authorized_upgrade` takes the code from anyone
//! and checks that its version is higher. All open proposals are one small bounded value, so that counting costs one read
//! however many operators there are. Approvals live with their operator, at most one for each open proposal.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod electorate;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use weights::WeightInfo;

use electorate::Electorate;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{InspectHold, Mutate, MutateHold},
        tokens::{Precision, Preservation},
    },
};
use frame_system::pallet_prelude::*;
use pallet_network::Parameters;
use skep_primitives::{
    Balance, BlockNumber, CodeHash, Governance, MAX_OPEN_PROPOSALS, MAX_WORK_FLOOR, Motion, NodeStakes, Proposal,
    ProposalId, ServiceNodeId, ServingNodes, StakerId,
};
use sp_core::H256;
use sp_runtime::{AccountId32, SaturatedConversion};

/// Most open proposals of one operator.
pub const MAX_OPEN_OF_ONE: usize = 4;

#[frame_support::pallet]
#[allow(missing_docs, reason = "FRAME's macros write undocumented items")]
pub mod pallet {
    use super::*;

    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config:
        frame_system::Config<AccountId = AccountId32, Hash = H256, RuntimeEvent: From<Event<Self>>>
        + pallet_network::Config
    {
        /// Where deposits are held and the treasury pays from.
        type Currency: Mutate<AccountId32, Balance = Balance>
            + MutateHold<AccountId32, Balance = Balance, Reason = Self::RuntimeHoldReason>;
        /// The runtime's reasons to hold.
        type RuntimeHoldReason: From<HoldReason>;
        /// Who stands behind a node.
        type Stakes: NodeStakes;
        /// The treasury's account.
        #[pallet::constant]
        type Treasury: Get<AccountId32>;
        /// What a proposer holds while its proposal is open.
        #[pallet::constant]
        type Deposit: Get<Balance>;
        /// What calls cost.
        type WeightInfo: WeightInfo;
    }

    /// Why this pallet holds a balance.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// For an open proposal.
        Proposal,
    }

    /// Every open proposal, oldest first.
    #[pallet::storage]
    pub type Open<T> = StorageValue<_, BoundedVec<Proposal, ConstU32<MAX_OPEN_PROPOSALS>>, ValueQuery>;

    /// The next proposal's number.
    #[pallet::storage]
    pub type NextId<T> = StorageValue<_, ProposalId, ValueQuery>;

    /// What each operator approves of. Proposals that are gone may still stand here; their numbers mean nothing any more.
    #[pallet::storage]
    pub type Approved<T> =
        StorageMap<_, Blake2_128Concat, StakerId, BoundedVec<ProposalId, ConstU32<MAX_OPEN_PROPOSALS>>, ValueQuery>;

    /// Who operates each serving node, and the stake it serves with; the electorate's module owns it.
    #[pallet::storage]
    pub type Seats<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, (StakerId, Balance), OptionQuery>;

    /// Stake each operator's nodes serve with.
    #[pallet::storage]
    pub type Voice<T> = StorageMap<_, Blake2_128Concat, StakerId, Balance, ValueQuery>;

    /// Stake all nodes serve with.
    #[pallet::storage]
    pub type Serving<T> = StorageValue<_, Balance, ValueQuery>;

    /// The least effort of work with which a stranger's message is taken.
    #[pallet::storage]
    pub type WorkFloor<T> = StorageValue<_, u32, ValueQuery>;

    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The first floor of work.
        pub work_floor: u32,
        #[serde(skip)]
        #[doc(hidden)]
        pub _config: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            assert!(self.work_floor <= MAX_WORK_FLOOR, "the genesis floor of work is above {MAX_WORK_FLOOR}");
            WorkFloor::<T>::put(self.work_floor);
        }
    }

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// An operator proposed something.
        Proposed { proposal: ProposalId, proposer: StakerId, motion: Motion },
        /// An operator approves; so much stake approves now.
        Approved { proposal: ProposalId, operator: StakerId, approving: Balance },
        /// An operator no longer approves; so much stake approves now.
        ApprovalWithdrawn { proposal: ProposalId, operator: StakerId, approving: Balance },
        /// Two thirds approve: anyone may enact it from the given block, if they still do.
        Carried { proposal: ProposalId, enact_from: BlockNumber },
        /// Less than two thirds approve again.
        Lapsed { proposal: ProposalId },
        /// It took effect.
        Enacted { proposal: ProposalId, motion: Motion },
        /// It is gone without effect.
        Closed { proposal: ProposalId },
    }

    #[pallet::error]
    #[derive(PartialEq, Eq)]
    pub enum Error<T> {
        /// Only operators of serving nodes take part.
        NotOperator,
        /// As many proposals are open as may be, and each has as much approval as the caller has stake: wait for one to be
        /// enacted or closed.
        TooManyOpen,
        /// The same is proposed already: approve that one.
        AlreadyProposed,
        /// No such proposal is open.
        UnknownProposal,
        /// The proposal of this number is another motion: look at what is proposed again.
        OtherMotion,
        /// The caller approves already.
        AlreadyApproved,
        /// The caller does not approve.
        NotApproved,
        /// Its time to gather approval is over.
        Expired,
        /// It is still open, and the caller did not make it or others approve of it.
        StillOpen,
        /// Less than two thirds of the serving stake approve, or of the least that counts as serving.
        NotCarried,
        /// The enactment delay is not over.
        TooEarly,
        /// The floor of work would shut people out.
        FloorTooHigh,
        /// The treasury does not hold so much, or the payment is less than an account can begin with.
        TreasuryTooSmall,
        /// The account's free balance does not cover the deposit.
        NotEnoughFree,
        /// The caller has four proposals open: close one of them.
        TooManyOfOne,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Proposes something and approves of it. A deposit is held until the proposal is gone. Where as many are open as
        /// may be, the one with the least approving stake gives way to a proposer with more.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::propose())]
        pub fn propose(origin: OriginFor<T>, motion: Motion) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let proposer = Self::operator(&who)?;
            if let Motion::WorkFloor { effort } = motion {
                ensure!(effort <= MAX_WORK_FLOOR, Error::<T>::FloorTooHigh);
            }
            let mut open = Open::<T>::get();
            ensure!(!open.iter().any(|proposal| proposal.motion == motion), Error::<T>::AlreadyProposed);
            let own = open.iter().filter(|proposal| proposal.proposer == proposer).count();
            ensure!(own < MAX_OPEN_OF_ONE, Error::<T>::TooManyOfOne);
            if open.is_full() {
                let gone = weakest(&open).filter(|weakest| weakest.approving < Voice::<T>::get(proposer));
                let gone = gone.ok_or(Error::<T>::TooManyOpen)?.clone();
                Self::release_deposit(&gone)?;
                open.retain(|proposal| proposal.id != gone.id);
                Self::deposit_event(Event::Closed { proposal: gone.id });
            }

            let deposit = T::Deposit::get();
            let reason = HoldReason::Proposal.into();
            ensure!(T::Currency::can_hold(&reason, &who, deposit), Error::<T>::NotEnoughFree);
            let id = NextId::<T>::get();
            let expires_at = Self::now().saturating_add(Self::voting_blocks());
            let proposal = Proposal { id, proposer, motion, deposit, approving: 0, expires_at, enact_from: None };
            open.try_push(proposal).map_err(|_| Error::<T>::TooManyOpen)?;
            T::Currency::hold(&reason, &who, deposit)?;
            NextId::<T>::put(id.saturating_add(1));
            Self::deposit_event(Event::Proposed { proposal: id, proposer, motion });
            Self::add_approval(&mut open, id, proposer)?;
            Open::<T>::put(open);
            Ok(())
        }

        /// Approves of a proposal, with all stake the caller's nodes serve with now and later. `motion` is what it must propose.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::approve())]
        pub fn approve(origin: OriginFor<T>, proposal: ProposalId, motion: Motion) -> DispatchResult {
            let operator = Self::operator(&ensure_signed(origin)?)?;
            let mut open = Open::<T>::get();
            let found = Self::found(&mut open, proposal, &motion)?;
            ensure!(!Self::is_expired(found), Error::<T>::Expired);
            Self::add_approval(&mut open, proposal, operator)?;
            Open::<T>::put(open);
            Ok(())
        }

        /// Takes an approval of a proposal back. `motion` is what it must propose.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::withdraw_approval())]
        pub fn withdraw_approval(origin: OriginFor<T>, proposal: ProposalId, motion: Motion) -> DispatchResult {
            let operator = Self::operator(&ensure_signed(origin)?)?;
            let mut open = Open::<T>::get();
            let found = Self::found(&mut open, proposal, &motion)?;
            let mut approved = Approved::<T>::get(operator);
            let place = approved.iter().position(|id| *id == proposal).ok_or(Error::<T>::NotApproved)?;
            approved.remove(place);
            Approved::<T>::insert(operator, approved);
            found.approving = found.approving.saturating_sub(Voice::<T>::get(operator));
            let approving = found.approving;
            Self::deposit_event(Event::ApprovalWithdrawn { proposal, operator, approving });
            Self::count(found, Self::quorum(Serving::<T>::get()));
            Open::<T>::put(open);
            Ok(())
        }

        /// Puts a carried proposal in force. For anyone, once its delay is over.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::enact())]
        pub fn enact(origin: OriginFor<T>, proposal: ProposalId) -> DispatchResult {
            ensure_signed(origin)?;
            let mut open = Open::<T>::get();
            let found = find(&mut open, proposal).ok_or(Error::<T>::UnknownProposal)?.clone();
            ensure!(!Self::is_expired(&found), Error::<T>::Expired);
            let enact_from = found.enact_from.ok_or(Error::<T>::NotCarried)?;
            ensure!(Self::now() >= enact_from, Error::<T>::TooEarly);
            match found.motion {
                Motion::Upgrade { code_hash } => {
                    frame_system::Pallet::<T>::do_authorize_upgrade(H256(code_hash.0), true);
                }
                Motion::Spend { beneficiary, amount } => {
                    let (treasury, to) = (T::Treasury::get(), AccountId32::new(beneficiary.0));
                    T::Currency::transfer(&treasury, &to, amount, Preservation::Expendable)
                        .map_err(|_| Error::<T>::TreasuryTooSmall)?;
                }
                Motion::WorkFloor { effort } => WorkFloor::<T>::put(effort),
            }
            Self::remove(open, &found)?;
            Self::deposit_event(Event::Enacted { proposal, motion: found.motion });
            Ok(())
        }

        /// Gives a proposal up that nobody else approves of, for its proposer, or clears one away that expired, for anyone.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::close())]
        pub fn close(origin: OriginFor<T>, proposal: ProposalId) -> DispatchResult {
            let who = StakerId(ensure_signed(origin)?.into());
            let mut open = Open::<T>::get();
            let found = find(&mut open, proposal).ok_or(Error::<T>::UnknownProposal)?.clone();
            let may_give_up = || found.proposer == who && !Self::others_approve(&found);
            ensure!(Self::is_expired(&found) || may_give_up(), Error::<T>::StillOpen);
            Self::remove(open, &found)?;
            Self::deposit_event(Event::Closed { proposal });
            Ok(())
        }
    }
}

/// Every open proposal.
type OpenProposals = BoundedVec<Proposal, ConstU32<MAX_OPEN_PROPOSALS>>;

fn find(open: &mut OpenProposals, id: ProposalId) -> Option<&mut Proposal> {
    open.iter_mut().find(|proposal| proposal.id == id)
}

/// The open proposal that the least stake approves of; the youngest of equals.
fn weakest(open: &OpenProposals) -> Option<&Proposal> {
    open.iter().min_by_key(|proposal| (proposal.approving, core::cmp::Reverse(proposal.id)))
}

/// The least approving stake of `serving`, or of the least electorate, that carries a proposal: two thirds, rounded up, and
/// never none.
fn two_thirds(serving: Balance) -> Balance {
    let (thirds, rest) = (serving / 3, serving % 3);
    thirds.saturating_mul(2).saturating_add((rest * 2).div_ceil(3)).max(1)
}

/// Questions.
impl<T: Config> Pallet<T> {
    /// What is being decided and what has been.
    pub fn governance() -> Governance {
        let serving = Serving::<T>::get();
        Governance {
            proposals: Open::<T>::get().into_inner(),
            serving,
            quorum: Self::quorum(serving),
            work_floor: WorkFloor::<T>::get(),
            authorized_upgrade: Self::authorized_upgrade(),
        }
    }

    fn authorized_upgrade() -> Option<CodeHash> {
        // Its fields are private, its encoding begins with the hash.
        let authorization = frame_system::Pallet::<T>::authorized_upgrade()?.encode();
        CodeHash::decode(&mut authorization.as_slice()).ok()
    }

    fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().saturated_into()
    }

    fn voting_blocks() -> BlockNumber {
        pallet_network::Pallet::<T>::blocks(pallet_network::Network::<T>::get().voting)
    }

    fn quorum(serving: Balance) -> Balance {
        two_thirds(serving.max(pallet_network::Network::<T>::get().least_electorate))
    }

    /// From when a motion is carried until it may be enacted: whoever asks for its stake while people look at an upgrade has it
    /// back before.
    fn delay_blocks(motion: &Motion) -> BlockNumber {
        let Parameters { enactment_delay, unlock, .. } = pallet_network::Network::<T>::get();
        pallet_network::Pallet::<T>::blocks(match motion {
            Motion::Upgrade { .. } => enactment_delay.saturating_add(unlock),
            Motion::Spend { .. } | Motion::WorkFloor { .. } => enactment_delay,
        })
    }

    /// Too late to gather approval; or carried, and then left lying for as long again.
    fn is_expired(proposal: &Proposal) -> bool {
        let until = proposal.enact_from.map_or(proposal.expires_at, |from| from.saturating_add(Self::voting_blocks()));
        Self::now() >= until
    }

    /// The open proposal of this number, if it is this motion.
    fn found<'a>(open: &'a mut OpenProposals, id: ProposalId, motion: &Motion) -> Result<&'a mut Proposal, Error<T>> {
        let found = find(open, id).ok_or(Error::<T>::UnknownProposal)?;
        ensure!(found.motion == *motion, Error::<T>::OtherMotion);
        Ok(found)
    }

    fn operator(who: &AccountId32) -> Result<StakerId, Error<T>> {
        let operator = StakerId(who.clone().into());
        ensure!(Voice::<T>::contains_key(operator), Error::<T>::NotOperator);
        Ok(operator)
    }
}

/// Changes.
impl<T: Config> Pallet<T> {
    fn add_approval(open: &mut OpenProposals, id: ProposalId, operator: StakerId) -> DispatchResult {
        let mut approved = Approved::<T>::get(operator);
        ensure!(!approved.contains(&id), Error::<T>::AlreadyApproved);
        approved.retain(|id| open.iter().any(|proposal| proposal.id == *id));
        approved.try_push(id).map_err(|_| Error::<T>::TooManyOpen)?;
        Approved::<T>::insert(operator, approved);
        if let Some(proposal) = find(open, id) {
            proposal.approving = proposal.approving.saturating_add(Voice::<T>::get(operator));
            Self::deposit_event(Event::Approved { proposal: id, operator, approving: proposal.approving });
            Self::count(proposal, Self::quorum(Serving::<T>::get()));
        }
        Ok(())
    }

    /// Whether stake of others than the proposer approves.
    fn others_approve(proposal: &Proposal) -> bool {
        let Proposal { id, proposer, approving, .. } = proposal;
        let is_own = Approved::<T>::get(proposer).contains(id);
        let own = if is_own { Voice::<T>::get(proposer) } else { 0 };
        *approving > own
    }

    /// Whether a proposal is carried, now that stake has changed and this much carries one.
    fn count(proposal: &mut Proposal, quorum: Balance) {
        let is_carried = proposal.approving >= quorum;
        match proposal.enact_from {
            None if is_carried && !Self::is_expired(proposal) => {
                let enact_from = Self::now().saturating_add(Self::delay_blocks(&proposal.motion));
                proposal.enact_from = Some(enact_from);
                Self::deposit_event(Event::Carried { proposal: proposal.id, enact_from });
            }
            Some(_) if !is_carried => {
                proposal.enact_from = None;
                Self::deposit_event(Event::Lapsed { proposal: proposal.id });
            }
            None | Some(_) => {}
        }
    }

    fn release_deposit(gone: &Proposal) -> DispatchResult {
        let proposer = AccountId32::new(gone.proposer.0);
        T::Currency::release(&HoldReason::Proposal.into(), &proposer, gone.deposit, Precision::BestEffort)?;
        Ok(())
    }

    fn remove(mut open: OpenProposals, gone: &Proposal) -> DispatchResult {
        Self::release_deposit(gone)?;
        open.retain(|proposal| proposal.id != gone.id);
        Open::<T>::put(open);
        Ok(())
    }
}

impl<T: Config> ServingNodes for Pallet<T> {
    fn started(node: ServiceNodeId) {
        if let Some(payees) = T::Stakes::payees(node) {
            Electorate::<T>::seat(node, &payees);
        }
    }

    fn stopped(node: ServiceNodeId) {
        Electorate::<T>::unseat(node);
    }

    fn handed_over(from: ServiceNodeId, to: ServiceNodeId) {
        Electorate::<T>::reseat(from, to);
    }
}

/// Invariants.
#[cfg(feature = "std")]
impl<T: Config> Pallet<T> {
    /// Stake is counted once, approvals add up, deposits are held.
    pub fn check_state() -> Result<(), &'static str> {
        use alloc::collections::BTreeMap;
        Electorate::<T>::check_state()?;
        let mut deposits = BTreeMap::<StakerId, Balance>::new();
        for proposal in Open::<T>::get() {
            let approvers = Approved::<T>::iter().filter(|(_, ids)| ids.contains(&proposal.id));
            let sum = approvers.fold(0, |sum: Balance, (operator, _)| sum.saturating_add(Voice::<T>::get(operator)));
            ensure!(proposal.approving == sum, "approving stake is the approvers' stake");
            let is_carried = sum >= Self::quorum(Serving::<T>::get());
            ensure!(proposal.enact_from.is_none() || is_carried, "what is carried has its two thirds");
            ensure!(proposal.id < NextId::<T>::get(), "numbers only grow");
            let held = deposits.entry(proposal.proposer).or_default();
            *held = held.saturating_add(proposal.deposit);
        }
        for (proposer, sum) in deposits {
            let account = AccountId32::new(proposer.0);
            let held = T::Currency::balance_on_hold(&HoldReason::Proposal.into(), &account);
            ensure!(held == sum, "deposits are held");
        }
        Ok(())
    }
}
