//! Which node is due when.

use skep_primitives::ServiceNodeId;
use std::collections::{BTreeMap, BTreeSet};

/// At most one time for each node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    due: BTreeMap<ServiceNodeId, u64>,
    order: BTreeSet<(u64, ServiceNodeId)>,
}

impl Agenda {
    /// Lets `node` be due at `at` (ms), if it is not due earlier.
    pub(crate) fn put(&mut self, node: ServiceNodeId, at: u64) {
        match self.due.get(&node) {
            Some(known) if *known <= at => return,
            Some(known) => self.order.remove(&(*known, node)),
            None => false,
        };
        self.due.insert(node, at);
        self.order.insert((at, node));
    }

    /// Takes the node that has been due for longest at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<ServiceNodeId> {
        let (at, node) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.order.remove(&(at, node));
        self.due.remove(&node);
        Some(node)
    }

    /// When the next node is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Forgets all other nodes.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ServiceNodeId) -> bool) {
        self.due.retain(|node, _| keep(node));
        self.order.retain(|(_, node)| keep(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ServiceNodeId {
        ServiceNodeId([number; 32])
    }

    #[test]
    fn the_earliest_time_counts_and_comes_first() {
        let mut agenda = Agenda::default();
        agenda.put(id(1), 30);
        agenda.put(id(2), 20);
        agenda.put(id(1), 10);
        agenda.put(id(2), 25);
        assert_eq!(agenda.next(), Some(10));
        assert_eq!(agenda.pop_due(9), None);
        assert_eq!(agenda.pop_due(20), Some(id(1)));
        assert_eq!(agenda.pop_due(20), Some(id(2)));
        assert_eq!((agenda.pop_due(100), agenda.next()), (None, None));
    }

    #[test]
    fn nodes_that_have_gone_are_forgotten() {
        let mut agenda = Agenda::default();
        (1..=4).for_each(|number| agenda.put(id(number), number.into()));
        agenda.retain(|node| *node == id(3));
        assert_eq!((agenda.pop_due(100), agenda.pop_due(100)), (Some(id(3)), None));
    }
}
