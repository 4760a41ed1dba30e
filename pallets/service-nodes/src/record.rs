//! What the roster holds of one node.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use skep_primitives::{
    Balance, BlockNumber, Contribution, Endpoint, MAX_CONTRIBUTORS, NodeState, Permyriad, RosterEntry, ServiceNodeId,
    SoftwareVersion, StakerId, SwarmId,
};

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

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct NodeRecord {
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee.
    pub fee: Permyriad,
    /// Every stake, the operator's first.
    pub stakes: BoundedVec<HeldStake, ConstU32<MAX_CONTRIBUTORS>>,
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

impl NodeRecord {
    /// Sum of all stakes.
    pub fn staked(&self) -> Balance {
        self.stakes.iter().fold(0, |sum, stake| sum.saturating_add(stake.amount))
    }

    /// One account's stake.
    pub fn stake_of(&self, staker: StakerId) -> Option<&HeldStake> {
        self.stakes.iter().find(|stake| stake.staker == staker)
    }

    /// Every stake without its age.
    pub fn contributions(&self) -> impl Iterator<Item = Contribution> {
        self.stakes.iter().map(|stake| Contribution { staker: stake.staker, amount: stake.amount })
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

#[cfg(test)]
mod tests {
    use super::*;
    use codec::DecodeAll;
    use skep_primitives::RosterRecord;

    #[test]
    fn who_reads_a_proof_finds_what_is_written_here() {
        let stake = |number: u8| HeldStake { staker: StakerId([number; 32]), amount: number.into(), since: 7 };
        let states = [
            NodeState::Gathering { expires_at: 9 },
            NodeState::Active { since: 9 },
            NodeState::Leaving { requested_at: 9, leaves_at: 12 },
        ];
        for state in states {
            let record = NodeRecord {
                operator: StakerId([1; 32]),
                fee: Permyriad::new(250).expect("a share"),
                stakes: vec![stake(1), stake(2)].try_into().expect("few"),
                requirement: 100,
                endpoint: Endpoint { ipv4: [127, 0, 0, 1], https_port: 1, quic_port: 2 },
                version: SoftwareVersion([1, 2, 3]),
                state,
                registered_at: 5,
            };
            let read = RosterRecord::decode_all(&mut &record.encode()[..]).expect("understood");
            let (id, swarm) = (ServiceNodeId([3; 32]), SwarmId(4));
            assert_eq!(read.into_entry(id, swarm), record.into_entry(id, swarm, 0));
        }
    }
}
