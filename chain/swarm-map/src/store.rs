//! Where a swarm map is kept.

use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use skep_primitives::{ServiceNodeId, SwarmId};

use crate::N_MIN;

/// Storage of one swarm map: five plain tables, each behind a getter and a setter, so that a chain can keep each in a
/// storage map. They belong to [`SwarmMap`](crate::SwarmMap): nobody else writes them. `None` removes.
pub trait SwarmStore {
    /// How many swarms there are of each size (empty at first).
    fn census(&self) -> Census;
    /// Replaces the census.
    fn set_census(&mut self, census: Census);

    /// The members of a swarm, ordered by id.
    fn members(&self, swarm: SwarmId) -> Option<Vec<ServiceNodeId>>;
    /// Replaces the members of a swarm.
    fn set_members(&mut self, swarm: SwarmId, members: Option<Vec<ServiceNodeId>>);

    /// The swarm a node is in.
    fn swarm_of(&self, node: ServiceNodeId) -> Option<SwarmId>;
    /// Replaces the swarm a node is in.
    fn set_swarm_of(&mut self, node: ServiceNodeId, swarm: Option<SwarmId>);

    /// Where a swarm stands in the indices.
    fn place(&self, swarm: SwarmId) -> Option<Place>;
    /// Replaces where a swarm stands in the indices.
    fn set_place(&mut self, swarm: SwarmId, place: Option<Place>);

    /// The swarm listed in a slot of an index.
    fn slot(&self, slot: Slot) -> Option<SwarmId>;
    /// Replaces the swarm listed in a slot of an index.
    fn set_slot(&mut self, slot: Slot, swarm: Option<SwarmId>);
}

/// Where a swarm stands in the indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Place {
    /// The swarm below it on the ring.
    pub below: SwarmId,
    /// The swarm above it on the ring.
    pub above: SwarmId,
    /// Its rank in the list of swarms of its size.
    pub class_rank: u32,
    /// Its rank in the heap of gaps.
    pub gap_rank: u32,
}

/// An entry of an index over all swarms.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Slot {
    /// One of the swarms of a size, in no particular order.
    Class {
        /// Their size.
        size: u32,
        /// Its rank among them.
        rank: u32,
    },
    /// One entry of the binary heap of swarms, the one with the widest gap above it at rank 0.
    Gap {
        /// Its rank in the heap.
        rank: u32,
    },
}

/// How many swarms there are of each size; sizes no swarm has are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Census(BTreeMap<u32, u32>);

impl Census {
    /// Number of swarms.
    pub fn swarms(&self) -> u32 {
        self.0.values().sum()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> u64 {
        self.0.iter().map(|(size, swarms)| u64::from(*size) * u64::from(*swarms)).sum()
    }

    /// Number of swarms of this size.
    pub fn of_size(&self, size: u32) -> u32 {
        self.0.get(&size).copied().unwrap_or(0)
    }

    /// Every size a swarm has, ascending, with the number of such swarms.
    pub fn classes(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        self.0.iter().map(|(size, swarms)| (*size, *swarms))
    }

    /// Nodes over `N_MIN`, summed over the swarms.
    pub fn excess(&self) -> u64 {
        self.classes().map(|(size, swarms)| u64::from(size.saturating_sub(N_MIN)) * u64::from(swarms)).sum()
    }

    /// Size of the smallest swarm; 0 if there is none.
    pub fn smallest(&self) -> u32 {
        self.0.first_key_value().map_or(0, |(size, _)| *size)
    }

    /// Size of the swarm at this percentile (0 ..= 100) of the swarms ordered by size; 0 if there is none.
    pub fn percentile(&self, percent: u32) -> u32 {
        let index = u64::from(percent) * u64::from(self.swarms().saturating_sub(1)) / 100;
        let mut passed = 0;
        for (size, swarms) in self.classes() {
            passed += u64::from(swarms);
            if index < passed {
                return size;
            }
        }
        0
    }

    pub(crate) fn insert(&mut self, size: u32) {
        let swarms = self.0.entry(size).or_default();
        *swarms = swarms.saturating_add(1);
    }

    pub(crate) fn remove(&mut self, size: u32) {
        if let Some(swarms) = self.0.get_mut(&size) {
            *swarms = swarms.saturating_sub(1);
            if *swarms == 0 {
                self.0.remove(&size);
            }
        }
    }
}

/// A stored swarm map contradicts itself: something other than this crate wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// An index names a swarm that has no record.
    #[error("swarm {0} is named by an index but has no record")]
    MissingSwarm(SwarmId),
    /// The census counts a swarm that an index does not list.
    #[error("the census counts a swarm that {0:?} does not list")]
    MissingSlot(Slot),
    /// The census and the swarms disagree.
    #[error("the census does not count the swarms as they are")]
    WrongCensus,
    /// A swarm stands elsewhere in the indices than its place says, or the ring is not in order there.
    #[error("swarm {0} is not where its place says")]
    WrongPlace(SwarmId),
    /// A node and the swarm it names do not know each other, or its swarm lists it twice or out of order.
    #[error("node {0} and its swarm do not agree")]
    WrongMember(ServiceNodeId),
    /// A swarm has fewer or more members than the rules allow.
    #[error("swarm {swarm} has {size} members, outside the bounds")]
    WrongSize {
        /// The swarm.
        swarm: SwarmId,
        /// Its number of members.
        size: u32,
    },
}
