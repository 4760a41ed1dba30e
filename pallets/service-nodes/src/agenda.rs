//! What is due at a block: pools that expire, stakes whose unlock time is over, locks of deregistered nodes.

use crate::{
    Agenda, AgendaFrom, AuthorityCandidates, Config, Deregistered, EndReason, EndpointChangedAt, Event, HandOvers,
    HeldStake, HoldReason, NodeRecord, Pallet, Roster, RosterSize, StakedIn, Unreturned,
};
use frame_support::traits::{fungible::MutateHold, tokens::Precision};
use skep_primitives::{BlockNumber, Leave, NodeState, ServiceNodeId, ServingNodes};
use sp_runtime::AccountId32;

/// Most nodes that one block ends; more wait for the next.
pub const MAX_ENDS_PER_BLOCK: u32 = 16;

impl<T: Config> Pallet<T> {
    /// Ends what is due, up to [`MAX_ENDS_PER_BLOCK`]; returns how many nodes ended.
    pub(crate) fn work_off_agenda(now: BlockNumber) -> u32 {
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
    pub(crate) fn end(node: ServiceNodeId, record: NodeRecord, reason: EndReason) {
        Self::leave_roster(node, &record);
        Self::forget(node, &record.stakes, reason);
    }

    pub(crate) fn leave_roster(node: ServiceNodeId, record: &NodeRecord) {
        Self::free_sockets(record);
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
        HandOvers::<T>::remove(node);
        T::Listener::ended(node);
        Self::deposit_event(Event::Ended { node, reason });
    }
}
