//! Whole quorums on a virtual clock.

use super::*;
use crate::testing::{ACTIVE, GENESIS, MINUTE, SECOND, decommissioned, id, round, sign};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_obligations::{Census, Outcome as Decided, draw_round, outcome};
use skep_primitives::TestingTerms;
use std::collections::{BTreeMap, BTreeSet};

/// A block every ten seconds, a round every two minutes, as on the main network.
const BLOCK: u64 = 10 * SECOND;
const BLOCKS_A_ROUND: u32 = 12;

/// Some testers, the nodes they test, and a chain that does what verdicts say.
struct Network {
    testers: Vec<Tester>,
    states: BTreeMap<ServiceNodeId, NodeState>,
    now: u64,
    height: BlockNumber,
    rng: ChaCha20Rng,
    /// Who answers nobody.
    down: BTreeSet<usize>,
    /// Who reaches nobody and is reached by nobody.
    cut_off: BTreeSet<usize>,
    /// Credit of whoever is decommissioned, in blocks.
    credit: BlockNumber,
    /// What was carried out: when, and whether it failed the node.
    submitted: Vec<(u64, ServiceNodeId, bool)>,
    /// Verdicts that came too late to change anything.
    late: usize,
}

impl Network {
    fn new(nodes: usize) -> Self {
        let pace = Pace::of(&TestingTerms::default());
        Self {
            testers: (0..nodes).map(|number| Tester::new(id(number), GENESIS, pace, 0)).collect(),
            states: (0..nodes).map(|number| (id(number), ACTIVE)).collect(),
            now: 0,
            height: 1,
            rng: ChaCha20Rng::seed_from_u64(7),
            down: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            credit: 2 * 360,
            submitted: Vec::new(),
            late: 0,
        }
    }

    fn number(&self, node: &ServiceNodeId) -> usize {
        (0..self.testers.len()).find(|number| id(*number) == *node).expect("a node of this network")
    }

    fn reaches(&self, one: usize, other: usize) -> bool {
        let away = |number| self.down.contains(&number) || self.cut_off.contains(&number);
        !away(one) && !away(other)
    }

    /// Runs in steps of a second.
    fn run(&mut self, time: u64) {
        let until = self.now + time;
        while self.now < until {
            if self.now.is_multiple_of(BLOCK) {
                self.next_block();
            }
            for number in 0..self.testers.len() {
                if !self.down.contains(&number) {
                    self.step(number);
                }
            }
            self.now += SECOND;
        }
    }

    fn next_block(&mut self) {
        self.height += 1;
        let drawn = self.height.is_multiple_of(BLOCKS_A_ROUND).then(|| self.draw());
        for number in 0..self.testers.len() {
            let states = self.states.iter().map(|(node, state)| (*node, *state));
            self.testers[number].handle_roster(self.now, self.height, states);
            if let Some(round) = &drawn {
                self.testers[number].handle_round(self.now, round.clone());
            }
        }
    }

    fn draw(&self) -> TestingRound {
        let of = |serving: bool| self.states.iter().filter(move |(_, state)| state.is_serving() == serving);
        let census = Census { seasoned: of(true).count() as u32, fresh: 0, decommissioned: of(false).count() as u32 };
        let nodes: Vec<_> = of(true).chain(of(false)).map(|(node, _)| self.number(node)).collect();
        let number = self.height / BLOCKS_A_ROUND;
        let drawn = draw_round([3; 32], number, &census);
        let of = |drawn: Vec<u32>| drawn.into_iter().map(|place| nodes[place as usize]).collect::<Vec<_>>();
        let life = BLOCKS_A_ROUND * 60;
        TestingRound { ends_at: self.height + life, ..round(number, self.height, of(drawn.testers), of(drawn.targets)) }
    }

    fn step(&mut self, number: usize) {
        while let Some(node) = self.testers[number].poll_probe(self.now, &mut self.rng) {
            let all = Outcome::ALWAYS;
            let outcome = match self.reaches(number, self.number(&node)) {
                true => Outcome::new(all, Reasons::NONE),
                false => Outcome::new(Reasons::NONE, all),
            };
            self.testers[number].handle_outcome(self.now, node, outcome, &sign(number));
        }
        while let Some(offer) = self.testers[number].poll_offer(self.now) {
            let other = self.number(&offer.to);
            if self.reaches(number, other) {
                let (from, now) = (id(number), self.now);
                if let Ok(votes) = self.testers[other].handle_votes(now, &from, &offer.subject, &offer.votes) {
                    self.testers[number].handle_answer(now, &offer, &votes).expect("honest votes count");
                }
            }
        }
        if let Some(verdict) = self.testers[number].poll_verdict(self.now) {
            self.carry_out(&verdict);
        }
    }

    fn carry_out(&mut self, verdict: &Verdict) {
        let node = verdict.subject.node;
        let failed = match outcome(10, &verdict.votes).expect("enough votes") {
            Decided::Passes => false,
            Decided::Fails(_) => true,
        };
        let after = match (self.states.get(&node), failed) {
            (Some(NodeState::Decommissioned { .. }), false) => Some(NodeState::Active { since: self.height }),
            (Some(NodeState::Decommissioned { credit_ends_at, .. }), true) if *credit_ends_at <= self.height => None,
            (Some(NodeState::Active { .. }), true) => Some(decommissioned(self.height, self.height + self.credit)),
            _ => {
                self.late += 1;
                return;
            }
        };
        self.submitted.push((self.now, node, failed));
        match after {
            Some(state) => self.states.insert(node, state),
            None => self.states.remove(&node),
        };
    }

    fn state(&self, number: usize) -> Option<NodeState> {
        self.states.get(&id(number)).copied()
    }
}

#[test]
fn a_dead_node_is_decommissioned_and_comes_back_or_ends() {
    let mut network = Network::new(14);
    network.run(130 * MINUTE);
    assert!(network.submitted.is_empty());
    network.down = [3, 8].into();
    let died = network.now;
    network.run(64 * MINUTE);
    assert!(network.submitted.is_empty(), "not before its time");
    network.run(30 * MINUTE);
    for number in [3, 8] {
        assert!(matches!(network.state(number), Some(NodeState::Decommissioned { .. })), "{number}");
    }
    assert_eq!(network.submitted.len(), 2, "{:?}", network.submitted);
    let (first, ..) = network.submitted[0];
    assert!(first - died > 65 * MINUTE);

    network.down.remove(&3);
    network.run(15 * MINUTE);
    assert!(matches!(network.state(3), Some(NodeState::Active { .. })), "who is back serves again");
    network.run(150 * MINUTE);
    assert_eq!(network.state(8), None, "who stays away is put off the roster");
    let of = |number: usize| network.submitted.iter().filter(|(_, node, _)| *node == id(number)).collect::<Vec<_>>();
    assert_eq!((of(3).len(), of(8).len(), network.submitted.len()), (2, 2, 4));
    assert!(network.late <= 4, "nearly all saw that it was done: {}", network.late);
}

#[test]
fn a_tester_that_is_cut_off_accuses_nobody_and_is_itself_found_out() {
    let mut network = Network::new(14);
    network.run(130 * MINUTE);
    network.cut_off.insert(5);
    network.run(100 * MINUTE);
    assert!(network.testers[5].distrusted().contains(Reason::QuicUnreachable));
    assert!(network.submitted.iter().all(|(_, node, failed)| *node == id(5) && *failed));
    assert_eq!(network.submitted.len(), 1);
    network.cut_off.clear();
    network.run(60 * MINUTE);
    assert!(network.states.values().all(NodeState::is_serving), "{:?}", network.submitted);
    assert_eq!(network.testers[5].distrusted(), Reasons::NONE);
}

#[test]
fn an_outage_of_nearly_all_takes_nobody_down() {
    let mut network = Network::new(14);
    network.run(130 * MINUTE);
    network.down = (1..14).collect();
    network.run(180 * MINUTE);
    network.down.clear();
    network.run(70 * MINUTE);
    assert!(network.submitted.is_empty());
}
