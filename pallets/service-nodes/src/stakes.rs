//! Stakes as they join a node, and what the chain tells of them.

use crate::{
    Agenda, Config, Deregistered, DeregisteredNode, Error, Event, HeldStake, HoldReason, NodeRecord, Pallet,
    Reservations, Roster, StakedIn, Unreturned,
};
use alloc::vec::Vec;
use frame_support::{
    ensure,
    pallet_prelude::DispatchError,
    traits::fungible::{InspectHold, MutateHold},
};
use skep_economics::{ContributionError, is_small_stake, keep, operator_minimum};
use skep_primitives::{
    Balance, BlockNumber, NodeState, OpenPool, ServiceNodeId, ServingNodes, Stake, StakeLock, StakerId, StakingTerms,
};
use sp_runtime::AccountId32;

/// The spots that an operator which brings `stake` keeps if it asks for these: each for another, and of amounts that can be
/// kept; `None` if it may not.
pub(crate) fn reserve(
    mut reserved: Reservations,
    operator: StakerId,
    requirement: Balance,
    stake: Balance,
) -> Option<Reservations> {
    let distinct = reserved.iter().enumerate().all(|(place, reservation)| {
        let (staker, earlier) = (reservation.staker, reserved.iter().take(place));
        staker != operator && earlier.map(|other| other.staker).all(|other| other != staker)
    });
    let amounts = reserved.iter().map(|reservation| reservation.amount).collect();
    let kept = keep(requirement, stake, amounts).filter(|_| distinct)?;
    for (reservation, amount) in reserved.iter_mut().zip(kept) {
        reservation.amount = amount;
    }
    Some(reserved)
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
    /// What a registration must bring now.
    pub fn staking_terms() -> StakingTerms {
        let requirement = pallet_network::Pallet::<T>::requirement().at(Self::now(), Self::block_time());
        StakingTerms {
            requirement,
            operator_minimum: operator_minimum(requirement),
            unlock_blocks: Self::unlock_blocks(),
        }
    }

    /// Every stake of one account, ordered by node; what could not be returned with its node as well.
    pub fn stakes(staker: StakerId) -> Vec<Stake> {
        let nodes = StakedIn::<T>::iter_key_prefix(staker);
        let left = Unreturned::<T>::iter_prefix(staker);
        let left = left.map(|(node, amount)| Stake { node, amount, lock: StakeLock::Unreturned });
        let mut stakes: Vec<_> = nodes.filter_map(|node| Self::stake_in(node, staker)).chain(left).collect();
        stakes.sort_by_key(|stake| stake.node);
        stakes
    }

    fn stake_in(node: ServiceNodeId, staker: StakerId) -> Option<Stake> {
        let Some(record) = Roster::get(node) else {
            let DeregisteredNode { stakes, deregistration, .. } = Deregistered::<T>::get(node)?;
            let amount = stakes.iter().find(|stake| stake.staker == staker)?.amount;
            let lock = StakeLock::Deregistered { block: deregistration.stakes_return_at };
            return Some(Stake { node, amount, lock });
        };
        let stake = *record.stake_of(staker)?;
        let end = record.state.leave().map(|leave| leave.leaves_at);
        let lock = match (record.state, stake.leaves_at.into_iter().chain(end).min()) {
            (NodeState::Gathering { expires_at }, _) => StakeLock::Gathering { block: expires_at },
            (_, Some(block)) => StakeLock::Until { block },
            (_, None) => {
                let young = Self::old_enough_at(&record, &stake).filter(|block| *block > Self::now());
                young.map_or(StakeLock::Bonded, |block| StakeLock::Young { block })
            }
        };
        Some(Stake { node, amount: stake.amount, lock })
    }

    /// Block from which a small stake may be asked back; none for another, which always may.
    pub(crate) fn old_enough_at(record: &NodeRecord, stake: &HeldStake) -> Option<BlockNumber> {
        is_small_stake(stake.amount, record.requirement).then(|| {
            let lock = pallet_network::Network::<T>::get().small_stake_lock;
            stake.since.saturating_add(pallet_network::Pallet::<T>::blocks(lock))
        })
    }

    /// Every node that takes stake now, as one account finds it. Reads the whole roster.
    pub fn open_pools(staker: StakerId) -> Vec<OpenPool> {
        Roster::iter().filter_map(|(node, record)| record.open_pool(node, staker)).collect()
    }
}

/// Changes.
impl<T: Config> Pallet<T> {
    /// Holds what the pool accepts of `offered` and notes it in the record, which the caller stores.
    pub(crate) fn join_pool(
        who: &AccountId32,
        node: ServiceNodeId,
        record: &mut NodeRecord,
        offered: Balance,
    ) -> Result<Balance, DispatchError> {
        let staker = StakerId(who.clone().into());
        ensure!(!record.is_left_by(staker), Error::<T>::AlreadyLeaving);
        let (pool, spot) = record.pool_for(staker);
        let accepted = pool.accept_for(spot, offered).map_err(Error::<T>::from)?;
        let reason = HoldReason::Stake.into();
        ensure!(T::Currency::can_hold(&reason, who, accepted), Error::<T>::NotEnoughFree);
        match record.stakes.iter_mut().find(|held| held.staker == staker) {
            Some(held) => held.amount = held.amount.saturating_add(accepted),
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

    /// Stores a record that a stake has joined, and starts the node if that completed it and its address is free.
    pub(crate) fn stake_joined(
        node: ServiceNodeId,
        mut record: NodeRecord,
        staker: StakerId,
        amount: Balance,
    ) -> Result<(), Error<T>> {
        Self::deposit_event(Event::Contributed { node, staker, amount });
        let NodeState::Gathering { expires_at } = record.state else {
            record.settle(Self::now());
            Roster::put(node, &record);
            if record.state.leave().is_none() {
                Self::deposit_event(Event::Refilled { node });
            }
            return Ok(());
        };
        if record.staked() < record.requirement {
            Agenda::<T>::insert(expires_at, node, ());
            Roster::put(node, &record);
            return Ok(());
        }
        ensure!(!Self::is_taken(node, &record.endpoint), Error::<T>::AddressTaken);
        Self::take_sockets(node, &record.endpoint);
        Agenda::<T>::remove(expires_at, node);
        record.state = NodeState::Active { since: Self::now() };
        Roster::put(node, &record);
        Self::deposit_event(Event::Activated { node });
        T::Listener::started(node);
        Ok(())
    }
}
