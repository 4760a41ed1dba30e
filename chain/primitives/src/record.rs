//! What the roster's trie holds of one node, for who reads it from a proof.

use crate::{
    Balance, BlockNumber, Contribution, Endpoint, NodeState, Permyriad, Reservation, RosterEntry, ServiceNodeId,
    SoftwareVersion, StakerId, SwarmId,
};
use alloc::vec::Vec;
use codec::{Decode, Encode};

/// A registered node as its bytes in the trie say. `pallet-service-nodes` writes them from a type of its own, which bounds
/// its lists; a test there compares the two.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RosterRecord {
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee.
    pub fee: Permyriad,
    /// Every stake, the operator's first.
    pub stakes: Vec<RecordedStake>,
    /// Spots kept for others who have not come yet.
    pub reserved: Vec<Reservation>,
    /// What it must hold in all, fixed when it registered.
    pub requirement: Balance,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// What it runs.
    pub version: SoftwareVersion,
    /// Where it stands.
    pub state: NodeState,
    /// Block of its registration.
    pub registered_at: BlockNumber,
}

/// One stake, with its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecordedStake {
    /// Who locked it.
    pub staker: StakerId,
    /// How much is held, in smallest units.
    pub amount: Balance,
    /// Block in which it was locked.
    pub since: BlockNumber,
    /// Block at which it is returned, once its staker has asked for it.
    pub leaves_at: Option<BlockNumber>,
}

impl RosterRecord {
    /// The node as the chain publishes it, with the swarm that it is in.
    pub fn into_entry(self, id: ServiceNodeId, swarm: SwarmId) -> RosterEntry {
        let contributions =
            self.stakes.iter().map(|stake| Contribution { staker: stake.staker, amount: stake.amount }).collect();
        RosterEntry {
            id,
            operator: self.operator,
            fee: self.fee,
            contributions,
            requirement: self.requirement,
            endpoint: self.endpoint,
            version: self.version,
            state: self.state,
            swarm,
            registered_at: self.registered_at,
            last_rewarded_at: 0,
        }
    }
}
