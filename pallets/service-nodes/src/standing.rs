//! What other pallets ask of nodes and decide on them.

use crate::{Agenda, AuthorityCandidates, Config, Deregistered, DeregisteredNode, Event, NodeRecord, Pallet, Roster};
use alloc::vec::Vec;
use skep_primitives::{
    BlockNumber, Candidate, Candidates, Deregistration, Findings, NodeStakes, NodeState, NodeStates, NodeWhereabouts,
    Payees, ServiceNodeId, ServingNodes, StakerId, Whereabouts,
};

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
        let NodeRecord { operator, fee, requirement, .. } = record;
        Some(Payees { operator, fee, contributions, requirement })
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
            .map(|(node, (keys, offered_at))| Candidate {
                node,
                keys: keys.into_inner(),
                offered_at,
                is_active: is_active(node),
            })
            .collect()
    }

    fn offered() -> u32 {
        AuthorityCandidates::<T>::count()
    }
}
