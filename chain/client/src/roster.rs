//! The roster at one finalized block, arranged for the questions asked of it.

use skep_primitives::{BlockHash, BlockNumber, RosterEntry, RosterSnapshot, ServiceNodeId, SwarmId};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// How many finalized block hashes a view remembers: work bound to one of these is fresh (`protocol.md` section 8).
/// 600 blocks are one hour on the main network and ten minutes on the fastest preset, so that a phone that slept between
/// solving and sending is still heard.
pub const RECENT_BLOCKS: usize = 600;

/// The service nodes and swarms as of one finalized block, and the hashes of the last finalized blocks.
///
/// Cheap to clone: the roster itself is shared between views until it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterView {
    roster: Arc<Roster>,
    recent: VecDeque<(BlockNumber, BlockHash)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Roster {
    height: BlockNumber,
    block_hash: BlockHash,
    nodes: BTreeMap<ServiceNodeId, RosterEntry>,
    swarms: BTreeMap<SwarmId, Vec<ServiceNodeId>>,
    swarm_ids: Vec<SwarmId>,
}

impl RosterView {
    /// Arranges a roster. The newest block known is the snapshot's own.
    pub fn new(snapshot: RosterSnapshot) -> Self {
        let RosterSnapshot { height, block_hash, nodes } = snapshot;
        let nodes: BTreeMap<_, _> = nodes.into_iter().map(|entry| (entry.id, entry)).collect();
        let mut swarms: BTreeMap<SwarmId, Vec<ServiceNodeId>> = BTreeMap::new();
        for entry in nodes.values().filter(|entry| entry.state.is_serving() && entry.swarm.is_assigned()) {
            swarms.entry(entry.swarm).or_default().push(entry.id);
        }
        let swarm_ids = swarms.keys().copied().collect();
        let roster = Roster { height, block_hash, nodes, swarms, swarm_ids };
        Self { roster: Arc::new(roster), recent: VecDeque::from([(height, block_hash)]) }
    }

    /// The first view of a chain: a roster, and the finalized blocks up to it in ascending order.
    pub(crate) fn beginning(
        snapshot: RosterSnapshot,
        blocks: impl IntoIterator<Item = (BlockNumber, BlockHash)>,
    ) -> Self {
        let Self { roster, recent } = Self::new(snapshot);
        let mut view = Self { roster, recent: VecDeque::new() };
        view.append(blocks);
        view.append(recent);
        view
    }

    /// Height of the newest finalized block known. At least [`Self::roster_height`].
    pub fn height(&self) -> BlockNumber {
        self.recent.back().map_or(self.roster.height, |(height, _)| *height)
    }

    /// Hash of the newest finalized block known.
    pub fn block_hash(&self) -> BlockHash {
        self.recent.back().map_or(self.roster.block_hash, |(_, hash)| *hash)
    }

    /// Height of the block at which the chain last told the roster; it has not changed since.
    pub fn roster_height(&self) -> BlockNumber {
        self.roster.height
    }

    /// One registered node.
    pub fn node(&self, id: &ServiceNodeId) -> Option<&RosterEntry> {
        self.roster.nodes.get(id)
    }

    /// Every registered node, gathering ones included, ordered by id.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &RosterEntry> {
        self.roster.nodes.values()
    }

    /// Every node that serves, ordered by id.
    pub fn serving(&self) -> impl Iterator<Item = &RosterEntry> {
        self.nodes().filter(|entry| entry.state.is_serving())
    }

    /// Every swarm that has members, in ascending order.
    pub fn swarm_ids(&self) -> &[SwarmId] {
        &self.roster.swarm_ids
    }

    /// The members of one swarm, ordered by id; none for a swarm that does not exist.
    pub fn members(&self, swarm: SwarmId) -> impl Iterator<Item = &RosterEntry> {
        self.roster.swarms.get(&swarm).into_iter().flatten().filter_map(|id| self.node(id))
    }

    /// The swarm that keeps the mailbox of an account (its 32-byte public key); none while there is no swarm.
    pub fn swarm_of(&self, account_key: &[u8; 32]) -> Option<SwarmId> {
        skep_swarm_map::swarm_of_account(account_key, self.swarm_ids())
    }

    /// The last finalized blocks, oldest first, at most [`RECENT_BLOCKS`].
    pub fn recent_blocks(&self) -> impl DoubleEndedIterator<Item = (BlockNumber, BlockHash)> {
        self.recent.iter().copied()
    }

    /// Height of a block, if it is one of the last finalized ones.
    pub fn recent_height(&self, hash: &BlockHash) -> Option<BlockNumber> {
        self.recent.iter().rev().find(|(_, recent)| recent == hash).map(|(height, _)| *height)
    }

    /// The same block history with a newer roster. An older roster changes nothing.
    #[must_use]
    pub(crate) fn with_roster(&self, snapshot: RosterSnapshot) -> Self {
        if snapshot.height < self.roster.height {
            return self.clone();
        }
        let Self { roster, recent } = Self::new(snapshot);
        let mut view = Self { roster, recent: self.recent.clone() };
        view.append(recent);
        view
    }

    /// The same roster with more finalized blocks, in ascending order. Heights already known change nothing.
    #[must_use]
    pub(crate) fn with_blocks(&self, blocks: impl IntoIterator<Item = (BlockNumber, BlockHash)>) -> Self {
        let mut view = self.clone();
        view.append(blocks);
        view
    }

    fn append(&mut self, blocks: impl IntoIterator<Item = (BlockNumber, BlockHash)>) {
        for (height, hash) in blocks {
            if self.recent.back().is_none_or(|(newest, _)| *newest < height) {
                self.recent.push_back((height, hash));
            }
        }
        let surplus = self.recent.len().saturating_sub(RECENT_BLOCKS);
        self.recent.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::{Endpoint, NodeState, Permyriad, SoftwareVersion, StakerId};

    fn entry(id: u8, state: NodeState, swarm: SwarmId) -> RosterEntry {
        RosterEntry {
            id: ServiceNodeId([id; 32]),
            operator: StakerId([id; 32]),
            fee: Permyriad::default(),
            contributions: Vec::new(),
            requirement: 0,
            endpoint: Endpoint { ipv4: [127, 0, id, 1], https_port: 22021, quic_port: 22020 },
            version: SoftwareVersion::default(),
            state,
            swarm,
            registered_at: 1,
            last_rewarded_at: 1,
        }
    }

    fn snapshot(height: BlockNumber, nodes: Vec<RosterEntry>) -> RosterSnapshot {
        RosterSnapshot { height, block_hash: hash(height), nodes }
    }

    fn hash(height: BlockNumber) -> BlockHash {
        let mut hash = [7; 32];
        hash[..4].copy_from_slice(&height.to_le_bytes());
        hash
    }

    const ACTIVE: NodeState = NodeState::Active { since: 1 };

    #[test]
    fn only_serving_placed_nodes_make_up_swarms() {
        let view = RosterView::new(snapshot(
            9,
            vec![
                entry(3, ACTIVE, SwarmId(10)),
                entry(1, ACTIVE, SwarmId(10)),
                entry(2, ACTIVE, SwarmId::UNASSIGNED),
                entry(4, NodeState::Gathering { expires_at: 20 }, SwarmId::UNASSIGNED),
                entry(5, NodeState::Leaving { requested_at: 4, leaves_at: 30 }, SwarmId(0)),
            ],
        ));
        assert_eq!(view.swarm_ids(), [SwarmId(0), SwarmId(10)]);
        let members: Vec<_> = view.members(SwarmId(10)).map(|entry| entry.id.0[0]).collect();
        assert_eq!(members, [1, 3]);
        assert_eq!(view.members(SwarmId(11)).count(), 0);
        assert_eq!((view.nodes().len(), view.serving().count()), (5, 4));
        assert_eq!(view.swarm_of(&[0; 32]), Some(SwarmId(0)));
        assert_eq!(RosterView::new(snapshot(1, Vec::new())).swarm_of(&[0; 32]), None);
    }

    #[test]
    fn an_older_roster_never_replaces_a_newer_one() {
        let view = RosterView::new(snapshot(9, vec![entry(1, ACTIVE, SwarmId(0))]));
        assert_eq!(view.with_roster(snapshot(8, Vec::new())), view);
        let newer = view.with_roster(snapshot(10, Vec::new()));
        assert_eq!((newer.roster_height(), newer.height(), newer.nodes().len()), (10, 10, 0));
    }

    #[test]
    fn the_last_blocks_are_remembered_in_order_and_no_more() {
        let view = RosterView::beginning(snapshot(9, Vec::new()), (0..9).map(|height| (height, hash(height))));
        assert_eq!(view.recent_blocks().count(), 10);
        let view = view.with_blocks((5..1000).map(|height| (height, hash(height))));
        assert_eq!((view.height(), view.roster_height(), view.recent_blocks().count()), (999, 9, RECENT_BLOCKS));
        assert_eq!(view.recent_height(&hash(999)), Some(999));
        assert_eq!(view.recent_height(&hash(9)), None);
        let heights: Vec<_> = view.recent_blocks().map(|(height, _)| height).collect();
        assert!(heights.is_sorted_by(|a, b| a + 1 == *b));
    }
}
