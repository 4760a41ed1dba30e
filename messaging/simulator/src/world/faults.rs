//! What goes wrong.

use super::{Event, MINUTE, SECOND, Turn, World};
use crate::{member::Asked, roster::Roster};
use rand::{
    Rng,
    seq::{IndexedRandom, SliceRandom},
};
use skep_mailbox::Demand;
use skep_primitives::SwarmId;
use skep_proto::peer::{self, request::Request};
use skep_work::FLOOR;
use std::collections::BTreeMap;

impl World {
    /// A lying member says what is not so.
    pub(super) fn lie(&mut self, node: usize) {
        let Some(mut lie) = self.members[node].lie.take() else { return };
        let requests = lie.push(&self.owners, self.now, &mut self.rng);
        self.members[node].lie = Some(lie);
        if requests.is_empty() {
            return;
        }
        let me = self.members[node].id;
        let others: Vec<_> = self.members.iter().map(|member| member.id).filter(|id| *id != me).collect();
        let victims: Vec<_> = others.choose_multiple(&mut self.rng, 2).copied().collect();
        for victim in victims {
            self.stats.lies += 1;
            for request in &requests {
                // Nobody waits for the answer.
                self.ask(node, victim, Asked::Client(0, victim), request.clone());
            }
        }
    }

    /// Something breaks.
    pub(super) fn fail(&mut self) {
        let node = self.rng.random_range(0..self.members.len());
        match self.rng.random_range(0..5) {
            0 | 1 if self.members[node].is_up => {
                self.crash(node);
                let minutes = if self.rng.random_bool(0.2) { 6 } else { 1 };
                let down = self.between(SECOND, minutes * MINUTE);
                self.plan(down, Turn::Restart(node));
            }
            2 => {
                for group in &mut self.group {
                    *group = self.rng.random_range(0..2);
                }
                let lasts = self.between(5 * SECOND, 2 * MINUTE);
                self.plan(lasts, Turn::Heal);
            }
            3 => {
                for _ in 0..self.rng.random_range(2..8) {
                    self.members[node].demand.observe(100);
                }
                let lasts = self.between(5 * SECOND, 3 * MINUTE);
                self.plan(lasts, Turn::Calm(node));
            }
            _ => {}
        }
    }

    fn crash(&mut self, node: usize) {
        self.stats.crashes += 1;
        self.members[node].crash(&mut self.rng);
        // Nobody will tell these clients.
        let lost = self.pending.iter().filter(|(_, pending)| pending.node() == node).map(|(number, _)| *number);
        for number in lost.collect::<Vec<_>>() {
            self.end(number, false);
        }
    }

    /// Nodes join, leave, and change their swarms; swarms begin and are dissolved.
    pub(super) fn move_swarms(&mut self) {
        let wanted = self.rng.random_range(1..=(self.members.len() / 4).max(1));
        let mut order: Vec<_> = (0..self.members.len()).collect();
        order.shuffle(&mut self.rng);
        let mut swarms: Vec<_> = self.roster.swarms().to_vec();
        swarms.shuffle(&mut self.rng);
        swarms.truncate(wanted);
        while swarms.len() < wanted {
            swarms.push(SwarmId(self.rng.random_range(0..u64::MAX)));
        }
        let mut swarm_of = BTreeMap::new();
        for (place, node) in order.into_iter().enumerate() {
            let id = self.members[node].id;
            let before = self.roster.swarm_of_node(&id).filter(|swarm| swarms.contains(swarm));
            let is_left_out = before.is_some() && self.rng.random_bool(0.1);
            // Most stay where they are; every swarm gets its share of the others.
            if let (Some(swarm), false) = (before, is_left_out) {
                swarm_of.insert(id, swarm);
            } else if !is_left_out {
                swarm_of.insert(id, swarms[place % swarms.len()]);
            }
        }
        let roster = Roster::new(self.roster.number() + 1, swarm_of);
        // Each swarm needs members whose word counts.
        let is_sound = |swarm: &SwarmId| {
            let reliable = roster.members(*swarm).filter(|id| self.members[self.index[id]].is_reliable());
            reliable.count() >= 3
        };
        if !swarms.iter().all(is_sound) {
            if self.roster.number() == 0 {
                let all = self.members.iter().map(|member| (member.id, SwarmId(0))).collect();
                self.roster = Roster::new(1, all);
            }
            return;
        }
        self.stats.moves += 1;
        self.roster = roster;
        for node in 0..self.members.len() {
            let after = self.between(0, 10 * SECOND);
            let roster = self.roster.clone();
            self.plan_for(node, after, Event::Sees(roster));
        }
    }

    /// From now on everything works.
    pub(super) fn make_peace(&mut self) {
        self.is_over = true;
        self.group.fill(0);
        for node in 0..self.members.len() {
            self.members[node].demand = Demand::new(FLOOR);
            if !self.members[node].is_up {
                self.members[node].is_up = true;
                self.start(node);
            }
            let roster = self.roster.clone();
            self.plan_for(node, 0, Event::Sees(roster));
        }
    }
}
