//! The roster at a block, read from the runtime once a block however many ask.

use sc_client_api::HeaderBackend;
use skep_primitives::{
    BlockHash, Governance, NodeRewards, OpenPool, RosterEntry, RosterSnapshot, ServiceNodeId, Stake, StakerId,
    StakingTerms, Standing, SwarmMembers, TestingRound, TestingTerms,
};
use skep_runtime::{Hash, OpaqueBlock as Block};
use skep_runtime_api::SkepApi;
use sp_api::ProvideRuntimeApi;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a question about a block has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// No such block here, or its state was pruned.
    #[error("this node does not have block {0:?}, or no longer has its state")]
    UnknownBlock(Hash),
    /// The runtime failed to answer.
    #[error("the runtime did not answer: {0}")]
    Runtime(#[from] sp_api::ApiError),
    /// The database failed.
    #[error("the chain's database failed: {0}")]
    Database(#[from] sp_blockchain::Error),
}

/// Where the front door gets its answers.
pub trait FinalizedState: Send + Sync + 'static {
    /// The last finalized block; told at once.
    fn block(&self) -> BlockHash;
    /// The roster at the last finalized block.
    fn roster(&self) -> Result<Arc<RosterSnapshot>, RosterError>;
    /// What a registration must bring at that block.
    fn staking_terms(&self) -> Result<StakingTerms, RosterError>;
}

/// Asks the runtime.
#[derive(Debug)]
pub struct RosterReader<C> {
    client: Arc<C>,
    newest: Mutex<Option<Arc<RosterSnapshot>>>,
}

impl<C> RosterReader<C>
where
    C: ProvideRuntimeApi<Block> + HeaderBackend<Block> + Send + Sync + 'static,
    C::Api: SkepApi<Block>,
{
    /// Reads through this client.
    pub fn new(client: Arc<C>) -> Self {
        Self { client, newest: Mutex::new(None) }
    }

    /// The last finalized block.
    pub fn finalized(&self) -> Hash {
        self.client.info().finalized_hash
    }

    /// The roster at a block. That of the last final block is kept: who asks while it is read waits for that reading. Another
    /// block's is read each time, and nobody else waits for it.
    pub fn roster_at(&self, block: Hash) -> Result<Arc<RosterSnapshot>, RosterError> {
        let is_asked_for = |known: &&Arc<RosterSnapshot>| known.block_hash == block.0;
        if block != self.finalized() {
            let kept = self.newest.try_lock().ok().and_then(|newest| newest.as_ref().filter(is_asked_for).cloned());
            return kept.map_or_else(|| self.read(block), Ok);
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = newest.as_ref().filter(is_asked_for) {
            return Ok(known.clone());
        }
        let snapshot = self.read(block)?;
        if newest.as_ref().is_none_or(|known| known.height < snapshot.height) {
            *newest = Some(snapshot.clone());
        }
        Ok(snapshot)
    }

    fn read(&self, block: Hash) -> Result<Arc<RosterSnapshot>, RosterError> {
        let height = self.client.number(block)?.ok_or(RosterError::UnknownBlock(block))?;
        let nodes: Vec<RosterEntry> = self.client.runtime_api().roster(block)?;
        Ok(Arc::new(RosterSnapshot { height, block_hash: block.0, nodes }))
    }

    /// Every swarm at a block.
    pub fn swarms_at(&self, block: Hash) -> Result<Vec<SwarmMembers>, RosterError> {
        Ok(self.client.runtime_api().swarms(block)?)
    }

    /// What a registration must bring at a block.
    pub fn terms_at(&self, block: Hash) -> Result<StakingTerms, RosterError> {
        Ok(self.client.runtime_api().staking_terms(block)?)
    }

    /// One account's stakes at a block.
    pub fn stakes_at(&self, block: Hash, staker: StakerId) -> Result<Vec<Stake>, RosterError> {
        Ok(self.client.runtime_api().stakes(block, staker)?)
    }

    /// Every node that takes stake at a block, as one account finds it.
    pub fn open_pools_at(&self, block: Hash, staker: StakerId) -> Result<Vec<OpenPool>, RosterError> {
        Ok(self.client.runtime_api().open_pools(block, staker)?)
    }

    /// What operators decide at a block, and have decided.
    pub fn governance_at(&self, block: Hash) -> Result<Governance, RosterError> {
        Ok(self.client.runtime_api().governance(block)?)
    }

    /// The next nodes to be paid at a block.
    pub fn reward_queue_at(&self, block: Hash, limit: u32) -> Result<Vec<ServiceNodeId>, RosterError> {
        Ok(self.client.runtime_api().reward_queue(block, limit)?)
    }

    /// What a node has earned at a block.
    pub fn rewards_of_at(&self, block: Hash, node: ServiceNodeId) -> Result<NodeRewards, RosterError> {
        Ok(self.client.runtime_api().rewards_of(block, node)?)
    }

    /// The durations of testing at a block.
    pub fn testing_terms_at(&self, block: Hash) -> Result<TestingTerms, RosterError> {
        Ok(self.client.runtime_api().testing_terms(block)?)
    }

    /// The testing rounds whose verdicts count at a block, from number `since` on.
    pub fn testing_rounds_at(&self, block: Hash, since: u32) -> Result<Vec<TestingRound>, RosterError> {
        Ok(self.client.runtime_api().testing_rounds(block, since)?)
    }

    /// How a node stands at a block.
    pub fn standing_at(&self, block: Hash, node: ServiceNodeId) -> Result<Option<Standing>, RosterError> {
        Ok(self.client.runtime_api().standing(block, node)?)
    }

    /// How every node stands at a block.
    pub fn standings_at(&self, block: Hash) -> Result<Vec<Standing>, RosterError> {
        Ok(self.client.runtime_api().standings(block)?)
    }
}

impl<C> FinalizedState for RosterReader<C>
where
    C: ProvideRuntimeApi<Block> + HeaderBackend<Block> + Send + Sync + 'static,
    C::Api: SkepApi<Block>,
{
    fn block(&self) -> BlockHash {
        self.finalized().0
    }

    fn roster(&self) -> Result<Arc<RosterSnapshot>, RosterError> {
        self.roster_at(self.finalized())
    }

    fn staking_terms(&self) -> Result<StakingTerms, RosterError> {
        self.terms_at(self.finalized())
    }
}

/// Whether two readings differ in more than who was rewarded last, which every block changes.
pub fn changed(before: &[RosterEntry], after: &[RosterEntry]) -> bool {
    let same = |(old, new): (&RosterEntry, &RosterEntry)| {
        *old == RosterEntry { last_rewarded_at: old.last_rewarded_at, ..new.clone() }
    };
    before.len() != after.len() || !before.iter().zip(after).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::{Endpoint, NodeState, Permyriad, SoftwareVersion, SwarmId};

    fn entry(number: u8) -> RosterEntry {
        RosterEntry {
            id: ServiceNodeId([number; 32]),
            operator: StakerId([1; 32]),
            fee: Permyriad::default(),
            contributions: Vec::new(),
            requirement: 100,
            endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
            version: SoftwareVersion([0, 1, 0]),
            state: NodeState::Active { since: 1 },
            swarm: SwarmId::UNASSIGNED,
            registered_at: 1,
            last_rewarded_at: 1,
        }
    }

    #[test]
    fn a_reward_alone_is_no_change() {
        let before = [entry(1), entry(2)];
        let rewarded = [RosterEntry { last_rewarded_at: 9, ..entry(1) }, entry(2)];
        assert!(!changed(&before, &rewarded));
        let placed = [entry(1), RosterEntry { swarm: SwarmId::FIRST, ..entry(2) }];
        assert!(changed(&before, &placed));
        assert!(changed(&before, &before[..1]));
        assert!(changed(&before[..1], &before));
    }
}
