//! What holds of the pallet's state after every block.

use crate::{
    Agenda, Config, Deregistered, EndpointChangedAt, HandOvers, HoldReason, Pallet, Roster, RosterSize, Sockets,
    StakedIn, Unreturned, endpoints::sockets,
};
use alloc::collections::BTreeMap;
use frame_support::{ensure, traits::fungible::InspectHold};
use skep_primitives::{Balance, BlockNumber, NodeState, ServiceNodeId, StakerId};
use sp_runtime::AccountId32;

impl<T: Config> Pallet<T> {
    /// Holds equal stakes, indices equal the roster, and every state is legal.
    pub fn check_state() -> Result<(), &'static str> {
        let mut held = BTreeMap::<StakerId, Balance>::new();
        let (mut size, mut complete) = (0, 0);
        for (node, record) in Roster::iter() {
            size += 1;
            ensure!(
                record.stakes.first().map(|stake| stake.staker) == Some(record.operator),
                "the operator's stake is first"
            );
            let least = skep_economics::operator_minimum(record.requirement);
            ensure!(record.stakes.first().is_some_and(|stake| stake.amount >= least), "the operator brings a quarter");
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
            if record.state.is_tested() {
                complete += 1;
                for socket in sockets(&record.endpoint) {
                    ensure!(Sockets::<T>::get(socket) == Some(node), "a complete node owns its sockets");
                }
            }
            for stake in &record.stakes {
                ensure!(StakedIn::<T>::contains_key(stake.staker, node), "a stake is found by its staker");
                let sum = held.entry(stake.staker).or_default();
                *sum = sum.saturating_add(stake.amount);
            }
        }
        ensure!(RosterSize::<T>::get() == size, "the size counts the roster");
        ensure!(Sockets::<T>::iter().count() == 2 * complete, "no socket without a complete node");
        let is_known = |(node, at): (ServiceNodeId, BlockNumber)| Roster::get(node).is_some() && at <= Self::now();
        ensure!(EndpointChangedAt::<T>::iter().all(is_known), "only nodes of the roster have changed, and not ahead");
        for (node, blocks) in HandOvers::<T>::iter() {
            ensure!(!blocks.is_empty() && blocks.is_sorted(), "hand-overs are in order");
            ensure!(blocks.iter().all(|at| *at <= Self::now()), "no hand-over is ahead");
            let is_known = Roster::get(node).is_some() || Deregistered::<T>::contains_key(node);
            ensure!(is_known, "no hand-overs of what is gone");
        }
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
