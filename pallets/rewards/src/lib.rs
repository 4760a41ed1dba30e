//! What every block creates and who gets it (`protocol.md` section 1).
//!
//! Each block's reward is split among its producer, one service node and the treasury. Service nodes stand in a queue:
//! whoever begins to serve goes to its back, whoever is paid goes to its back, so the head is always the one whose last
//! reward lies furthest behind. Paying takes the same work whatever the number of nodes. All that is created is paid:
//! rounding, rewards nobody can receive and payouts too small to open an account go to the treasury.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_debug_implementations, unused_qualifications, reason = "FRAME's macros write such items")]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod queue;
#[cfg(test)]
mod tests;
pub mod weights;

pub use pallet::*;
pub use queue::{Place, RewardQueue};
pub use weights::WeightInfo;

use frame_support::{
    defensive,
    pallet_prelude::*,
    traits::{FindAuthor, fungible::Mutate},
};
use frame_system::pallet_prelude::*;
use skep_economics::{split_block_reward, split_payout};
use skep_primitives::{Balance, BlockNumber, NodeRewards, NodeStakes, Reward, ServiceNodeId, ServingNodes, StakerId};
use sp_runtime::{AccountId32, SaturatedConversion};

/// Rewards of one node that are kept: the latest.
pub const MAX_HISTORY: u32 = 32;

/// What a node has earned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Earnings {
    /// All of it.
    pub total: Balance,
    /// The last rewards, oldest first.
    pub last: BoundedVec<Reward, ConstU32<MAX_HISTORY>>,
}

impl Earnings {
    fn add(&mut self, reward: Reward) {
        self.total = self.total.saturating_add(reward.amount);
        if self.last.is_full() {
            self.last.remove(0);
        }
        if self.last.try_push(reward).is_err() {
            defensive!("there is room for one more");
        }
    }
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
        /// Where rewards are created.
        type Currency: Mutate<AccountId32, Balance = Balance>;
        /// Who produced the block.
        type Producer: FindAuthor<AccountId32>;
        /// Who stands behind a node.
        type Stakes: NodeStakes;
        /// The treasury's account.
        type Treasury: Get<AccountId32>;
        /// What the hook costs.
        type WeightInfo: WeightInfo;
        /// Makes service nodes and a producer's claim of a block for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: pallet_network::NodeFactory + Get<sp_runtime::DigestItem>;
    }

    /// The reward queue: position to node. Positions only grow; [`RewardQueue`] owns it.
    #[pallet::storage]
    pub type Queue<T> = StorageMap<_, Twox64Concat, u64, ServiceNodeId, OptionQuery>;

    /// Where each serving node stands in the queue, and when it was paid.
    #[pallet::storage]
    pub type Places<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, Place, OptionQuery>;

    /// Positions in use: from the first that may be taken to the first that was never given.
    #[pallet::storage]
    pub type QueueSpan<T> = StorageValue<_, (u64, u64), ValueQuery>;

    /// What each node has earned since it was registered, until its stakes have returned.
    #[pallet::storage]
    pub type Earned<T> = StorageMap<_, Blake2_128Concat, ServiceNodeId, Earnings, ValueQuery>;

    /// All that was ever created, in smallest units.
    #[pallet::storage]
    pub type Created<T> = StorageValue<_, Balance, ValueQuery>;

    /// Created but not paid yet: what the treasury could not receive while its account did not exist.
    #[pallet::storage]
    pub type Owed<T> = StorageValue<_, Balance, ValueQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The producer of a block was paid.
        ProducerPaid { producer: AccountId32, amount: Balance },
        /// The service node at the head of the queue was paid.
        NodePaid { node: ServiceNodeId, amount: Balance },
        /// A staker got its part of a node's reward, the operator's fee included.
        StakerPaid { node: ServiceNodeId, staker: StakerId, amount: Balance },
        /// The treasury got its share and what nobody else could receive.
        TreasuryPaid { amount: Balance },
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            T::WeightInfo::pay()
        }

        /// Pays at the end of a block: by then its producer is known and its stakes are settled.
        fn on_finalize(now: BlockNumberFor<T>) {
            Self::pay(now.saturated_into());
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Nodes in the order in which they will be paid. Reads the whole queue.
    pub fn upcoming() -> impl Iterator<Item = ServiceNodeId> {
        RewardQueue::<T>::iter()
    }

    /// Block of a node's last reward, or in which it began to serve; `None` if it does not serve.
    pub fn last_rewarded(node: ServiceNodeId) -> Option<BlockNumber> {
        Places::<T>::get(node).map(|place| place.last_rewarded)
    }

    /// What a node has earned, and how long it waits for more. Reads the queue up to it.
    pub fn rewards_of(node: ServiceNodeId) -> NodeRewards {
        let Earnings { total, last } = Earned::<T>::get(node);
        let ahead = Self::upcoming().position(|other| other == node).map(SaturatedConversion::saturated_into);
        NodeRewards { total, ahead, last: last.into() }
    }

    fn pay(now: BlockNumber) {
        let reward =
            pallet_network::Pallet::<T>::emission().block_reward(now, pallet_network::Pallet::<T>::block_time());
        let parts = split_block_reward(reward);
        let digest = frame_system::Pallet::<T>::digest();
        let pre_runtime = digest.logs.iter().filter_map(|item| item.as_pre_runtime());

        let mut left = parts.treasury;
        match T::Producer::find_author(pre_runtime) {
            Some(producer) if Self::create(&producer, parts.producer) => {
                Self::deposit_event(Event::ProducerPaid { producer, amount: parts.producer });
            }
            Some(_) | None => left = left.saturating_add(parts.producer),
        }
        left = left.saturating_add(Self::pay_next_node(parts.service_node, now));
        Self::pay_treasury(left);
        Created::<T>::mutate(|created| *created = created.saturating_add(reward));
    }

    /// Pays the head of the queue; returns what could not be paid.
    fn pay_next_node(reward: Balance, now: BlockNumber) -> Balance {
        let Some(node) = RewardQueue::<T>::rotate(now) else { return reward };
        let Some(payees) = T::Stakes::payees(node) else { return reward };
        Earned::<T>::mutate(node, |earned| earned.add(Reward { at: now, amount: reward }));
        Self::deposit_event(Event::NodePaid { node, amount: reward });

        let payout = split_payout(reward, payees.fee, payees.contributions.iter().map(|stake| stake.amount));
        let mut left = payout.dust;
        let mut fee = payout.fee;
        for (stake, share) in payees.contributions.iter().zip(payout.shares) {
            let is_operator = stake.staker == payees.operator;
            let amount = if is_operator { share.saturating_add(core::mem::take(&mut fee)) } else { share };
            if Self::create(&AccountId32::new(stake.staker.0), amount) {
                Self::deposit_event(Event::StakerPaid { node, staker: stake.staker, amount });
            } else {
                left = left.saturating_add(amount);
            }
        }
        left.saturating_add(fee)
    }

    fn pay_treasury(amount: Balance) {
        let amount = amount.saturating_add(Owed::<T>::take());
        if Self::create(&T::Treasury::get(), amount) {
            Self::deposit_event(Event::TreasuryPaid { amount });
        } else {
            Owed::<T>::put(amount);
        }
    }

    /// Creates an amount on an account; false if it cannot take it (below the existential deposit of a new one).
    fn create(who: &AccountId32, amount: Balance) -> bool {
        amount == 0 || T::Currency::mint_into(who, amount).is_ok()
    }
}

impl<T: Config> ServingNodes for Pallet<T> {
    fn started(node: ServiceNodeId) {
        RewardQueue::<T>::push(node, frame_system::Pallet::<T>::block_number().saturated_into());
    }

    fn stopped(node: ServiceNodeId) {
        RewardQueue::<T>::remove(node);
    }

    fn ended(node: ServiceNodeId) {
        Earned::<T>::remove(node);
    }

    fn handed_over(from: ServiceNodeId, to: ServiceNodeId) {
        if Earned::<T>::contains_key(from) {
            Earned::<T>::insert(to, Earned::<T>::take(from));
        }
    }
}
