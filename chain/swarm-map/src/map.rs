//! The rules of membership.

use crate::{Inconsistency, N_MAX, N_MIN, N_TARGET, SwarmStore, draft::Draft, draw::Draw};
use alloc::{collections::BTreeSet, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use skep_primitives::{BlockNumber, ServiceNodeId, SwarmId};

/// New nodes go to the swarms up to this percentile by size.
const JOIN_PERCENTILE: u32 = 25;

/// Starving swarms are fed by the swarms from this percentile by size.
const DONOR_PERCENTILE: u32 = 75;

/// Which service nodes form which swarm.
#[derive(Clone, Debug, Default)]
pub struct SwarmMap<S> {
    store: S,
}

/// What a change did, in all: a node that came back to where it was, or a swarm that did not outlive the change, is not
/// told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Delta {
    /// Every node whose swarm changed, ordered by id.
    pub moves: Vec<Move>,
    /// Every new swarm, ordered by id.
    pub created: Vec<SwarmId>,
    /// Every swarm that is no more, ordered by id.
    pub dissolved: Vec<SwarmId>,
}

/// A node's way from one swarm to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Move {
    /// The node.
    pub node: ServiceNodeId,
    /// The swarm it was in, if any.
    pub from: Option<SwarmId>,
    /// The swarm it is in now, if any.
    pub to: Option<SwarmId>,
}

impl<S: SwarmStore> SwarmMap<S> {
    /// The map kept in this store (an empty one to begin with).
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Where it is kept.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Hands the store back.
    pub fn into_store(self) -> S {
        self.store
    }

    /// Changes the map (`protocol.md` section 3): first every leaver goes, then every joiner is placed, then starving
    /// swarms are fed, rich ones split, and those still starving dissolved.
    ///
    /// The order and repetition of `joins` and `leaves` does not matter. A leaver in no swarm and a joiner already in
    /// one are passed over; a node in both lists leaves and joins anew. `seed` must not be known before the lists are
    /// fixed, else an operator could choose its swarm; `domain`, the number of the block of the change, separates
    /// changes made from one seed.
    ///
    /// # Errors
    /// If the store contradicts itself; then nothing is changed.
    pub fn apply(
        &mut self,
        joins: &[ServiceNodeId],
        leaves: &[ServiceNodeId],
        seed: [u8; 32],
        domain: BlockNumber,
    ) -> Result<Delta, Inconsistency> {
        let joins: BTreeSet<_> = joins.iter().copied().collect();
        let leaves: BTreeSet<_> = leaves.iter().copied().collect();
        let mut change = Change { draft: Draft::new(&mut self.store), draw: Draw::new(seed, domain) };
        for node in leaves {
            change.draft.remove(node)?;
        }
        for node in joins {
            change.join(node)?;
        }
        change.feed_the_starving()?;
        change.split_off()?;
        change.dissolve_the_starving()?;
        Ok(change.draft.commit())
    }
}

/// One change of the map under way.
struct Change<'a, S> {
    draft: Draft<'a, S>,
    draw: Draw,
}

impl<S: SwarmStore> Change<'_, S> {
    /// Rules 1 and 2: a new node goes to a random swarm among the smaller ones.
    fn join(&mut self, node: ServiceNodeId) -> Result<(), Inconsistency> {
        if self.draft.swarm_of(node).is_some() {
            return Ok(());
        }
        if self.draft.census().swarms() == 0 {
            self.draft.create()?;
        }
        self.place(node, JOIN_PERCENTILE)
    }

    /// Puts a node into a random swarm up to this percentile by size, then splits off what is too much. While a swarm
    /// starves none is split off, so a long list of joiners could fill the others without end: full swarms are passed
    /// over as long as there is another.
    fn place(&mut self, node: ServiceNodeId, percentile: u32) -> Result<(), Inconsistency> {
        let census = self.draft.census();
        let room_below = census.smallest().max(N_MAX - 1);
        let size = census.percentile(percentile).min(room_below);
        let swarm = self.draft.swarm_up_to(size, &mut self.draw)?;
        self.draft.insert(node, swarm)?;
        self.split_off()
    }

    /// Rule 3: starving swarms, smallest first, take random nodes from the larger swarms; not at all if the whole excess
    /// is less than what the swarm lacks.
    ///
    /// The donors are the swarms *at* or above the percentile (of this moment): were they strictly above it, a network
    /// of equal swarms would have none.
    fn feed_the_starving(&mut self) -> Result<(), Inconsistency> {
        for swarm in self.draft.starving()? {
            let lacking = N_MIN.saturating_sub(self.draft.size(swarm)?);
            if self.draft.census().excess() < lacking.into() {
                continue;
            }
            for _ in 0..lacking {
                let donor_size = self.draft.census().percentile(DONOR_PERCENTILE).max(N_MIN + 1);
                self.take_over(donor_size, swarm)?;
            }
        }
        Ok(())
    }

    /// Rule 4: while nobody starves and the excess fills a new swarm and leaves every old one its margin, a new swarm of
    /// random excess nodes is created.
    fn split_off(&mut self) -> Result<(), Inconsistency> {
        let margin = u64::from(N_TARGET - N_MIN);
        loop {
            let census = self.draft.census();
            let starving = census.smallest() < N_MIN;
            if starving || census.excess() < u64::from(N_TARGET) + margin * u64::from(census.swarms()) {
                return Ok(());
            }
            let Some(swarm) = self.draft.create()? else { return Ok(()) };
            for _ in 0..N_TARGET {
                self.take_over(N_MIN + 1, swarm)?;
            }
        }
    }

    /// Moves a random node of the swarms of at least this size into this swarm.
    fn take_over(&mut self, donor_size: u32, swarm: SwarmId) -> Result<(), Inconsistency> {
        let node = self.draft.node_from(donor_size, &mut self.draw)?;
        self.draft.remove(node)?;
        self.draft.insert(node, swarm)
    }

    /// Rule 5: a swarm still starving, while another exists, is dissolved; its nodes go to the smallest swarms. The last
    /// swarm ends only with its last node.
    fn dissolve_the_starving(&mut self) -> Result<(), Inconsistency> {
        for swarm in self.draft.starving()? {
            let size = self.draft.size(swarm)?;
            let alone = self.draft.census().swarms() == 1;
            if size >= N_MIN || (alone && size > 0) {
                continue;
            }
            for node in self.draft.dissolve(swarm)? {
                self.place(node, 0)?;
            }
        }
        Ok(())
    }
}
