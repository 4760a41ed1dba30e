//! What the roster's trie holds of one node.

use crate::{
    Balance, BlockNumber, Contribution, Endpoint, NodeState, Permyriad, RosterEntry, ServiceNodeId, SoftwareVersion,
    StakerId, SwarmId,
};
use alloc::vec::Vec;
use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// One stake, with its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct HeldStake {
    /// Who locked it.
    pub staker: StakerId,
    /// How much is held, in smallest units.
    pub amount: Balance,
    /// Block in which it was locked.
    pub since: BlockNumber,
}

/// A registered node. The pallet that owns it bounds the list of stakes by its type; who reads it from a proof takes a
/// plain list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct NodeRecord<Stakes = Vec<HeldStake>> {
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee.
    pub fee: Permyriad,
    /// Every stake, the operator's first.
    pub stakes: Stakes,
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

impl<Stakes: AsRef<[HeldStake]>> NodeRecord<Stakes> {
    fn held(&self) -> &[HeldStake] {
        self.stakes.as_ref()
    }

    /// Sum of all stakes.
    pub fn staked(&self) -> Balance {
        self.held().iter().fold(0, |sum, stake| sum.saturating_add(stake.amount))
    }

    /// One account's stake.
    pub fn stake_of(&self, staker: StakerId) -> Option<&HeldStake> {
        self.held().iter().find(|stake| stake.staker == staker)
    }

    /// Every stake without its age.
    pub fn contributions(&self) -> impl Iterator<Item = Contribution> {
        self.held().iter().map(|stake| Contribution { staker: stake.staker, amount: stake.amount })
    }

    /// The node as the chain publishes it, with what other rooms know of it.
    pub fn into_entry(self, id: ServiceNodeId, swarm: SwarmId, last_rewarded_at: BlockNumber) -> RosterEntry {
        RosterEntry {
            id,
            operator: self.operator,
            fee: self.fee,
            contributions: self.contributions().collect(),
            requirement: self.requirement,
            endpoint: self.endpoint,
            version: self.version,
            state: self.state,
            swarm,
            registered_at: self.registered_at,
            last_rewarded_at,
        }
    }
}
