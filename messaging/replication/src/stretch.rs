//! Which names are a swarm's.

use skep_mailbox::{ItemName, NameRange, Store, StoreError};
use skep_primitives::SwarmId;
use skep_swarm_map::places_of_swarm;

/// The names of what a swarm keeps: one stretch, or two where the ring closes. `swarms` must be in ascending order.
pub fn stretches(swarm: SwarmId, swarms: &[SwarmId]) -> Vec<NameRange> {
    let up_to = |last: u64| last.checked_add(1).map_or(ItemName::END, ItemName::at);
    match places_of_swarm(swarm, swarms) {
        Some((first, last)) if first <= last => vec![NameRange { from: ItemName::at(first), to: up_to(last) }],
        Some((first, last)) => vec![
            NameRange { from: ItemName::FIRST, to: up_to(last) },
            NameRange { from: ItemName::at(first), to: ItemName::END },
        ],
        None => Vec::new(),
    }
}

/// The swarms whose names are found in a store, and where.
pub fn kept_by_swarm(store: &dyn Store, swarms: &[SwarmId]) -> Result<Vec<(SwarmId, Vec<NameRange>)>, StoreError> {
    let mut kept = Vec::new();
    for swarm in swarms {
        let mut ranges = stretches(*swarm, swarms);
        let mut failed = None;
        ranges.retain(|range| match store.tally(range) {
            Ok(tally) => tally.count > 0,
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if !ranges.is_empty() {
            kept.push((*swarm, ranges));
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_proto::account::AccountAddress;
    use skep_swarm_map::swarm_of_account;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn an_account_lies_in_the_stretch_of_its_swarm(
            swarms in proptest::collection::btree_set(0..u64::MAX, 1..12),
            keys in proptest::collection::vec(any::<[u8; 32]>(), 1..40),
        ) {
            let swarms: Vec<_> = swarms.into_iter().map(SwarmId).collect();
            for key in keys {
                let account = AccountAddress::from_x25519(key);
                let name = ItemName::order(&account, &[0; 64], 0);
                let holding: BTreeSet<_> = swarms
                    .iter()
                    .filter(|swarm| stretches(**swarm, &swarms).iter().any(|range| range.contains(&name)))
                    .copied()
                    .collect();
                prop_assert_eq!(holding, swarm_of_account(&key, &swarms).into_iter().collect());
            }
        }
    }
}
