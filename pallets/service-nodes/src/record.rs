//! What the roster holds of one node.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use skep_economics::Pool;
use skep_primitives::{
    Balance, BlockNumber, Contribution, Deregistration, Endpoint, Leave, MAX_CONTRIBUTORS, MAX_STAKES, NodeState,
    OpenPool, Permyriad, Reservation, RosterEntry, ServiceNodeId, SoftwareVersion, Spot, StakerId, SwarmId,
};
use sp_runtime::SaturatedConversion;

/// Most spots an operator may keep for others.
pub const MAX_RESERVATIONS: u32 = MAX_CONTRIBUTORS - 1;

/// Spots that are kept for others.
pub type Reservations = BoundedVec<Reservation, ConstU32<MAX_RESERVATIONS>>;

/// One stake, with its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct HeldStake {
    /// Who locked it.
    pub staker: StakerId,
    /// How much is held, in smallest units.
    pub amount: Balance,
    /// Block in which it was locked.
    pub since: BlockNumber,
    /// Block at which it is returned, once its staker has asked for it.
    pub leaves_at: Option<BlockNumber>,
}

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct NodeRecord {
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee.
    pub fee: Permyriad,
    /// Every stake, the operator's first.
    pub stakes: BoundedVec<HeldStake, ConstU32<MAX_STAKES>>,
    /// Spots kept for others who have not come yet.
    pub reserved: Reservations,
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

/// What is kept of a deregistered node until its stakes return.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct DeregisteredNode {
    /// Who registered it.
    pub operator: StakerId,
    /// Every stake, the operator's first.
    pub stakes: BoundedVec<HeldStake, ConstU32<MAX_STAKES>>,
    /// When it was put off and when its stakes return.
    pub deregistration: Deregistration,
}

impl NodeRecord {
    /// Sum of all stakes, of those who leave as well.
    pub fn staked(&self) -> Balance {
        sum(self.stakes.iter())
    }

    /// Stakes whose owners have not asked for them.
    fn staying(&self) -> impl Iterator<Item = &HeldStake> {
        self.stakes.iter().filter(|stake| stake.leaves_at.is_none())
    }

    /// Sum of the stakes whose owners have not asked for them.
    pub fn staying_stake(&self) -> Balance {
        sum(self.staying())
    }

    /// The pool as `staker` finds it, and its place in it.
    pub fn pool_for(&self, staker: StakerId) -> (Pool, Spot) {
        let others = self.reserved.iter().filter(|reservation| reservation.staker != staker);
        let kept = others.clone().fold(0, |sum: Balance, reservation| sum.saturating_add(reservation.amount));
        let spots = self.staying().count().saturating_add(others.count());
        let pool = Pool {
            requirement: self.requirement,
            reserved: self.staying_stake().saturating_add(kept),
            contributors: spots.saturated_into(),
        };
        let own = self.staying().any(|stake| stake.staker == staker);
        let reservation = self.reserved.iter().find(|reservation| reservation.staker == staker);
        let spot = match reservation {
            _ if own => Spot::Own,
            Some(reservation) => Spot::Reserved(reservation.amount),
            None => Spot::Free,
        };
        (pool, spot)
    }

    /// Whether the operator has not asked for its stake: only then may others take the places of those who leave.
    pub fn operator_stays(&self) -> bool {
        self.staying().any(|stake| stake.staker == self.operator)
    }

    /// When a serving node ends as its stakes are now: when its operator leaves, or when too little stays.
    pub fn ends_at(&self) -> Option<BlockNumber> {
        let is_end = |at: BlockNumber| {
            let left = |stake: &&HeldStake| stake.leaves_at.is_none_or(|leaves_at| leaves_at > at);
            let operator_left = !self.stakes.iter().filter(left).any(|stake| stake.staker == self.operator);
            operator_left || sum(self.stakes.iter().filter(left)) < self.requirement
        };
        self.stakes.iter().filter_map(|stake| stake.leaves_at).filter(|at| is_end(*at)).min()
    }

    /// The state of a node whose stake is complete, after its stakes have changed at `now`.
    pub fn settle(&mut self, now: BlockNumber) {
        let requested_at = self.state.leave().map_or(now, |leave| leave.requested_at);
        let leave = self.ends_at().map(|leaves_at| Leave { requested_at, leaves_at });
        self.state = match (self.state, leave) {
            (NodeState::Decommissioned { since, credit_ends_at, findings, .. }, leave) => {
                NodeState::Decommissioned { since, credit_ends_at, findings, leave }
            }
            (state, Some(leave)) => state.leaving(leave),
            (NodeState::Leaving { .. }, None) => NodeState::Active { since: now },
            (state @ (NodeState::Active { .. } | NodeState::Gathering { .. }), None) => state,
        };
    }

    /// Block from which the node takes no stake any more; `None` if it takes none now. The places of those who leave are open
    /// while their operator stays, in a decommissioned node too.
    pub fn closes_at(&self) -> Option<BlockNumber> {
        match self.state {
            NodeState::Gathering { expires_at } => Some(expires_at),
            NodeState::Active { .. } | NodeState::Leaving { .. } | NodeState::Decommissioned { .. } => {
                self.state.leave().filter(|_| self.operator_stays()).map(|leave| leave.leaves_at)
            }
        }
    }

    /// Whether this account has asked for its stake back: until it has it, it brings none.
    pub fn is_left_by(&self, staker: StakerId) -> bool {
        self.stake_of(staker).is_some_and(|stake| stake.leaves_at.is_some())
    }

    /// The node as `staker` may join it now; `None` if it takes no stake, or none of this account.
    pub fn open_pool(&self, node: ServiceNodeId, staker: StakerId) -> Option<OpenPool> {
        let closes_at = self.closes_at().filter(|_| !self.is_left_by(staker))?;
        let (pool, spot) = self.pool_for(staker);
        (!pool.is_complete()).then(|| OpenPool {
            node,
            operator: self.operator,
            fee: self.fee,
            requirement: self.requirement,
            room: pool.open_room(),
            minimum: pool.minimum_for(spot),
            maximum: pool.maximum_contribution(),
            free_spots: pool.free_spots(),
            reserved: self.reserved.to_vec(),
            closes_at,
            spot,
            state: self.state,
        })
    }

    /// One account's stake.
    pub fn stake_of(&self, staker: StakerId) -> Option<&HeldStake> {
        self.stakes.iter().find(|stake| stake.staker == staker)
    }

    /// Every stake without its age; who leaves earns until then.
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

fn sum<'a>(stakes: impl Iterator<Item = &'a HeldStake>) -> Balance {
    stakes.fold(0, |sum, stake| sum.saturating_add(stake.amount))
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::DecodeAll;
    use skep_primitives::RosterRecord;

    #[test]
    fn who_reads_a_proof_finds_what_is_written_here() {
        let stake = |number: u8| HeldStake {
            staker: StakerId([number; 32]),
            amount: number.into(),
            since: 7,
            leaves_at: Some(8),
        };
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
                reserved: vec![Reservation { staker: StakerId([4; 32]), amount: 6 }].try_into().expect("few"),
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
