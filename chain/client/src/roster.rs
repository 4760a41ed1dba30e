//! The roster at one finalized block, arranged for the questions asked of it.

use skep_primitives::{BlockHash, BlockNumber, RosterEntry, RosterSnapshot, ServiceNodeId, SwarmId};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// How many finalized block hashes a view remembers: work bound to one of these is fresh (`protocol.md` section 8).
/// 256 blocks are 25 minutes on the main network and 4 minutes on the fastest preset, so that a phone that slept
/// between solving and sending is still heard.
pub const RECENT_BLOCKS: usize = 256;

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
