//! Whether a stored map is what the rules make: for tests, and for the chain's own checks.

use crate::{Census, Inconsistency, N_MAX, N_MAX_ALONE, N_MIN, Slot, SwarmStore, draft::gap_key};
use skep_primitives::SwarmId;

/// Looks at the whole map: every node in the one swarm that lists it, sizes within bounds, every index in agreement.
/// `swarms` are all swarms of the store in ascending order. The work grows with the network.
pub fn audit<S: SwarmStore>(store: &S, swarms: &[SwarmId]) -> Result<(), Inconsistency> {
    let bounds = if swarms.len() > 1 { N_MIN..=N_MAX } else { 1..=N_MAX_ALONE };
    let census = store.census();
    let mut counted = Census::default();
    let neighbours = swarms.iter().cycle();
    let below = neighbours.clone().skip(swarms.len().saturating_sub(1));
    let above = neighbours.skip(1);
    for ((swarm, below), above) in swarms.iter().copied().zip(below).zip(above) {
        let members = store.members(swarm).ok_or(Inconsistency::MissingSwarm(swarm))?;
        let place = store.place(swarm).ok_or(Inconsistency::MissingSwarm(swarm))?;
        let size = members.len() as u32;
        counted.insert(size);
        if !bounds.contains(&size) {
            return Err(Inconsistency::WrongSize { swarm, size });
        }
        for (index, node) in members.iter().enumerate() {
            let in_order = members.get(index + 1).is_none_or(|next| node < next);
            if !in_order || store.swarm_of(*node) != Some(swarm) {
                return Err(Inconsistency::WrongMember(*node));
            }
        }
        let class = Slot::Class { size, rank: place.class_rank };
        let gap = Slot::Gap { rank: place.gap_rank };
        let listed = place.class_rank < census.of_size(size)
            && place.gap_rank < census.swarms()
            && store.slot(class) == Some(swarm)
            && store.slot(gap) == Some(swarm);
        if !listed || (place.below, place.above) != (*below, *above) {
            return Err(Inconsistency::WrongPlace(swarm));
        }
        if let Some(rank) = place.gap_rank.checked_sub(1) {
            let slot = Slot::Gap { rank: rank / 2 };
            let parent = store.slot(slot).ok_or(Inconsistency::MissingSlot(slot))?;
            let parent_place = store.place(parent).ok_or(Inconsistency::MissingSwarm(parent))?;
            if gap_key(parent, &parent_place) < gap_key(swarm, &place) {
                return Err(Inconsistency::WrongPlace(swarm));
            }
        }
    }
    if counted == census { Ok(()) } else { Err(Inconsistency::WrongCensus) }
}
