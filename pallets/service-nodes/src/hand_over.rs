//! A node under another key.
//!
//! Each hand-over puts the node at the back of every queue, and the chain keeps the former key, for which the node still
//! answers. So a node is handed over [`MAX_HAND_OVERS`] times an unlock time at most: queues cannot be filled by one
//! node's fees, and no key is forgotten while what it signed can still be proven.

use crate::{
    Agenda, AuthorityCandidates, Config, EndpointChangedAt, Error, HandOvers, NodeRecord, Pallet, Roster, StakedIn,
};
use skep_primitives::{BlockNumber, MAX_HAND_OVERS, NodeState, ServiceNodeId, ServingNodes};
use sp_runtime::BoundedVec;

impl<T: Config> Pallet<T> {
    /// Moves what belongs to a node to another key, which must be free and have consented.
    pub(crate) fn carry_over(node: ServiceNodeId, mut record: NodeRecord, to: ServiceNodeId) -> Result<(), Error<T>> {
        let blocks = Self::with_one_more(HandOvers::<T>::get(node)).ok_or(Error::<T>::HandedOverTooOften)?;
        HandOvers::<T>::remove(node);
        HandOvers::<T>::insert(to, blocks);

        let serves = record.state.is_serving();
        if serves {
            let active = NodeState::Active { since: Self::now() };
            record.state = record.state.leave().map_or(active, |leave| active.leaving(leave));
        }
        AuthorityCandidates::<T>::remove(node);
        Roster::remove(node);
        EndpointChangedAt::<T>::remove(node);
        for stake in &record.stakes {
            StakedIn::<T>::remove(stake.staker, node);
            StakedIn::<T>::insert(stake.staker, to, ());
            if let Some(leaves_at) = stake.leaves_at {
                Agenda::<T>::remove(leaves_at, node);
                Agenda::<T>::insert(leaves_at, to, ());
            }
        }
        Self::take_sockets(to, &record.endpoint);
        Roster::put(to, &record);
        // What the key said under an earlier registration says nothing of this one.
        EndpointChangedAt::<T>::insert(to, Self::now());
        T::Listener::handed_over(node, to);
        if serves {
            T::Listener::stopped(node);
            T::Listener::started(to);
        }
        Ok(())
    }

    /// The last hand-overs and one now; none if there were too many within an unlock time.
    fn with_one_more(mut blocks: LastHandOvers) -> Option<LastHandOvers> {
        let now = Self::now();
        let is_old = |at: &BlockNumber| at.saturating_add(Self::unlock_blocks()) <= now;
        if blocks.is_full() && blocks.first().is_some_and(is_old) {
            blocks.remove(0);
        }
        blocks.try_push(now).is_ok().then_some(blocks)
    }
}

/// Blocks of a node's last hand-overs, oldest first.
pub type LastHandOvers = BoundedVec<BlockNumber, sp_runtime::traits::ConstU32<MAX_HAND_OVERS>>;
