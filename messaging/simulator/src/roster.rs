//! Which node is in which swarm.

use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::account::AccountAddress;
use skep_swarm_map::swarm_of_account;
use std::{collections::BTreeMap, sync::Arc};

/// A roster; cheap to hand around.
#[derive(Clone, Debug)]
pub(crate) struct Roster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    swarms: Vec<SwarmId>,
    swarm_of: BTreeMap<ServiceNodeId, SwarmId>,
}

impl Roster {
    /// The roster of this number. Nodes that are not in `swarm_of` are in no swarm.
    pub(crate) fn new(number: u64, swarm_of: BTreeMap<ServiceNodeId, SwarmId>) -> Self {
        let mut swarms: Vec<_> = swarm_of.values().copied().collect();
        swarms.sort_unstable();
        swarms.dedup();
        Self(Arc::new(Inner { number, swarms, swarm_of }))
    }

    /// Later ones have higher numbers.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn swarms(&self) -> &[SwarmId] {
        &self.0.swarms
    }

    pub(crate) fn swarm_of(&self, account: &AccountAddress) -> Option<SwarmId> {
        swarm_of_account(&account.key(), &self.0.swarms)
    }

    pub(crate) fn swarm_of_node(&self, id: &ServiceNodeId) -> Option<SwarmId> {
        self.0.swarm_of.get(id).copied()
    }

    pub(crate) fn members(&self, swarm: SwarmId) -> impl Iterator<Item = ServiceNodeId> {
        self.0.swarm_of.iter().filter(move |(_, in_swarm)| **in_swarm == swarm).map(|(id, _)| *id)
    }
}
