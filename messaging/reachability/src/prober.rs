//! Whom one node probes when, and what it concludes.
//!
//! | event | effect |
//! |---|---|
//! | a pause is over ([`Prober::poll_timeout`]) | [`Prober::poll_probe`] draws a node at random |
//! | a probe failed in anything | that node is probed again: after one step, two, three, up to the longest pause |
//! | [`Prober::handle_wish`]: a quorum must judge a node | it is probed at that time |
//! | [`Prober::handle_outcome`] | it is remembered; the judgement, if there is one, goes to the ballots |
//! | nearly all nodes drawn fail in something | that is the tester's own fault: it is not judged, and counting begins anew |

use crate::{Outcome, Pace, agenda::Agenda, record::Record, trust::Draws};
use rand::{Rng, seq::IteratorRandom};
use skep_primitives::{Reason, Reasons, ServiceNodeId};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Probes under way at once.
const AT_ONCE: usize = 16;

/// One node's probing of all others. Times are milliseconds of a clock that does not jump.
#[derive(Clone, Debug)]
pub struct Prober {
    pace: Pace,
    started: u64,
    next_draw: u64,
    others: BTreeSet<ServiceNodeId>,
    records: BTreeMap<ServiceNodeId, Record>,
    agenda: Agenda,
    draws: Draws,
    /// Probes under way, and whether their nodes were drawn at random.
    pending: BTreeMap<ServiceNodeId, bool>,
}

/// What a tester may say of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// For these reasons it has failed for too long.
    Failing(Reasons),
    /// Everything is as it should be.
    Passing,
}

impl Prober {
    /// Begins at `now`, knowing nobody.
    pub fn new(pace: Pace, now: u64) -> Self {
        Self {
            pace,
            started: now,
            next_draw: now,
            others: BTreeSet::new(),
            records: BTreeMap::new(),
            agenda: Agenda::default(),
            draws: Draws::default(),
            pending: BTreeMap::new(),
        }
    }

    /// Takes who is tested: every node that serves or is decommissioned, without the prober's own. What is remembered of
    /// others is forgotten.
    pub fn handle_roster(&mut self, others: impl IntoIterator<Item = ServiceNodeId>) {
        self.others = others.into_iter().collect();
        let others = &self.others;
        self.records.retain(|node, _| others.contains(node));
        self.pending.retain(|node, _| others.contains(node));
        self.agenda.retain(|node| others.contains(node));
    }

    /// Wants `node` to be probed at `at`, because this tester must judge it.
    pub fn handle_wish(&mut self, node: ServiceNodeId, at: u64) {
        if self.others.contains(&node) {
            self.agenda.put(node, at);
        }
    }

    /// A node to probe now. Each one given out must come back to [`Self::handle_outcome`].
    pub fn poll_probe(&mut self, now: u64, rng: &mut impl Rng) -> Option<ServiceNodeId> {
        if self.pending.len() >= AT_ONCE {
            return None;
        }
        if self.next_draw <= now {
            self.next_draw = now.saturating_add(self.pace.next_draw(rng));
            let idle = self.others.iter().filter(|node| !self.pending.contains_key(*node));
            if let Some(node) = idle.choose(rng).copied() {
                self.pending.insert(node, true);
                return Some(node);
            }
        }
        loop {
            let node = self.agenda.pop_due(now)?;
            // What is under way will tell as well.
            if let Entry::Vacant(pending) = self.pending.entry(node) {
                pending.insert(false);
                return Some(node);
            }
        }
    }

    /// When [`Self::poll_probe`] has something next, if no outcome comes before.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.pending.len() >= AT_ONCE {
            return None;
        }
        let next_draw = (!self.others.is_empty()).then_some(self.next_draw);
        next_draw.into_iter().chain(self.agenda.next()).min()
    }

    /// Takes what the probe of `node` found, which ended at `now`: what may be said of the node, if anything.
    pub fn handle_outcome(&mut self, now: u64, node: ServiceNodeId, outcome: Outcome) -> Option<Judgement> {
        let was_drawn = self.pending.remove(&node)?;
        if was_drawn {
            self.draws.take(outcome);
        }
        let distrusted = self.draws.distrusted();
        if !distrusted.is_empty() {
            // What was seen until now may have been the own fault, too.
            self.records.values_mut().for_each(|record| record.forgive(distrusted));
        }
        let record = self.records.entry(node).or_default();
        record.take(now, outcome.without(distrusted));
        if record.failures() > 0 {
            self.agenda.put(node, now.saturating_add(self.pace.retry_pause(record.failures())));
        }
        self.judge(now, &node)
    }

    fn judge(&self, now: u64, node: &ServiceNodeId) -> Option<Judgement> {
        if !self.draws.are_enough() {
            return None;
        }
        let record = self.records.get(node)?;
        let failed = record.failed_for(now, self.pace.unreachable());
        if !failed.is_empty() {
            let is_fresh = now.saturating_sub(self.started) < self.pace.fresh();
            return (!is_fresh).then_some(Judgement::Failing(failed));
        }
        record.last().is_pass().then_some(Judgement::Passing)
    }

    /// What nearly everyone seems to fail in, so that it is the own fault: the operator should know.
    pub fn distrusted(&self) -> Reasons {
        // A few unlucky first looks are no reason to alarm anybody.
        if self.draws.are_enough() { self.draws.distrusted() } else { Reasons::NONE }
    }

    /// How many nodes failed for this reason when they were last probed.
    pub fn failing(&self, reason: Reason) -> usize {
        self.records.values().filter(|record| record.last().failed().contains(reason)).count()
    }

    /// Whether `node` answered over QUIC when it was last probed.
    pub fn answers(&self, node: &ServiceNodeId) -> bool {
        self.records.get(node).is_some_and(|record| record.last().passed().contains(Reason::QuicUnreachable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use skep_primitives::TestingTerms;

    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;

    fn id(number: usize) -> ServiceNodeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ServiceNodeId(id)
    }

    /// One prober on a virtual clock; `find` is the world it looks at.
    struct World<F> {
        prober: Prober,
        rng: ChaCha20Rng,
        now: u64,
        find: F,
        probes: Vec<(u64, ServiceNodeId)>,
        judgements: Vec<(u64, ServiceNodeId, Judgement)>,
    }

    impl<F: FnMut(u64, ServiceNodeId) -> Outcome> World<F> {
        fn new(nodes: usize, seed: u64, find: F) -> Self {
            let mut prober = Prober::new(Pace::of(&TestingTerms::default()), 0);
            prober.handle_roster((0..nodes).map(id));
            let rng = ChaCha20Rng::seed_from_u64(seed);
            Self { prober, rng, now: 0, find, probes: Vec::new(), judgements: Vec::new() }
        }

        fn run(&mut self, until: u64) {
            while let Some(next) = self.prober.poll_timeout().filter(|next| *next <= until) {
                self.now = self.now.max(next);
                while let Some(node) = self.prober.poll_probe(self.now, &mut self.rng) {
                    self.probes.push((self.now, node));
                    let outcome = (self.find)(self.now, node);
                    if let Some(judgement) = self.prober.handle_outcome(self.now, node, outcome) {
                        self.judgements.push((self.now, node, judgement));
                    }
                }
            }
            self.now = until;
        }

        fn failing(&self) -> Vec<(u64, ServiceNodeId)> {
            let fails = |judgement: &Judgement| matches!(judgement, Judgement::Failing(_));
            self.judgements
                .iter()
                .filter(|(.., judgement)| fails(judgement))
                .map(|(at, node, _)| (*at, *node))
                .collect()
        }
    }

    fn good() -> Outcome {
        Outcome::new(Outcome::ALWAYS, Reasons::NONE)
    }

    fn dead() -> Outcome {
        Outcome::new(Reasons::NONE, Outcome::ALWAYS)
    }

    #[test]
    fn a_node_is_drawn_about_every_ten_seconds_and_all_get_their_turn() {
        let mut world = World::new(20, 1, |_, _| good());
        world.run(60 * MINUTE);
        assert!((330..390).contains(&world.probes.len()), "{}", world.probes.len());
        let seen: BTreeSet<_> = world.probes.iter().map(|(_, node)| *node).collect();
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn failed_nodes_are_tried_again_ever_more_rarely() {
        let mut world = World::new(30, 2, |_, node| if node == id(7) { dead() } else { good() });
        world.run(60 * MINUTE);
        let of_dead: Vec<_> = world.probes.iter().filter(|(_, node)| *node == id(7)).map(|(at, _)| *at).collect();
        let pauses: Vec<_> = of_dead.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] <= 10 * SECOND && pauses.iter().all(|pause| *pause <= 120 * SECOND), "{pauses:?}");
        assert!((25..80).contains(&of_dead.len()), "{}", of_dead.len());
    }

    #[test]
    fn a_dead_node_fails_within_the_bound_and_nobody_else() {
        let died = 200 * MINUTE;
        let mut world = World::new(30, 3, |now, node| if node == id(7) && now >= died { dead() } else { good() });
        world.run(died);
        // A quorum that must judge it lets it be probed at once.
        world.prober.handle_wish(id(7), died);
        world.run(died + 68 * MINUTE);
        let failing = world.failing();
        let (first, _) = failing[0];
        assert!(first > died + 65 * MINUTE && first <= died + 67 * MINUTE + 10 * SECOND, "{}", first - died);
        assert!(failing.iter().all(|(_, node)| *node == id(7)));
    }

    #[test]
    fn a_fresh_tester_judges_nobody_failing() {
        let mut world = World::new(30, 4, |_, node| if node == id(7) { dead() } else { good() });
        world.run(125 * MINUTE - 1);
        assert!(world.failing().is_empty());
        world.run(128 * MINUTE);
        assert!(!world.failing().is_empty());
    }

    #[test]
    fn a_tester_that_is_cut_off_blames_nobody_then_or_later() {
        let cut = 130 * MINUTE..330 * MINUTE;
        let mut world = World::new(40, 5, |now, _| if cut.contains(&now) { dead() } else { good() });
        world.run(140 * MINUTE);
        assert!(world.prober.distrusted().contains(Reason::QuicUnreachable), "the operator is told");
        world.run(500 * MINUTE);
        assert!(world.failing().is_empty());
        assert_eq!(world.prober.distrusted(), Reasons::NONE);
    }

    #[test]
    fn a_few_first_failures_alarm_nobody() {
        let mut world = World::new(40, 10, |_, _| dead());
        world.run(25 * SECOND);
        assert!(!world.probes.is_empty() && world.prober.distrusted().is_empty());
        world.run(2 * MINUTE);
        assert!(world.prober.distrusted().contains(Reason::QuicUnreachable));
    }

    #[test]
    fn a_tester_whose_own_clock_is_wrong_judges_no_clock_and_lets_nobody_pass() {
        let off = good().with(Reason::Clock, false);
        let mut world = World::new(40, 6, |_, node| if node == id(7) { dead() } else { off });
        world.run(240 * MINUTE);
        assert_eq!(world.prober.distrusted(), Reasons::NONE.with(Reason::Clock));
        assert!(world.failing().iter().all(|(_, node)| *node == id(7)));
        for (.., judgement) in &world.judgements {
            assert!(matches!(judgement, Judgement::Failing(reasons) if !reasons.contains(Reason::Clock)));
        }
    }

    #[test]
    fn a_node_that_came_back_passes_at_once() {
        let back = 300 * MINUTE;
        let mut world = World::new(30, 7, |now, node| if node == id(7) && now < back { dead() } else { good() });
        world.run(back + 3 * MINUTE);
        let last = world.judgements.iter().rfind(|(_, node, _)| *node == id(7)).expect("was probed");
        assert_eq!(last.2, Judgement::Passing);
    }

    #[test]
    fn what_is_remembered_is_bounded_by_the_roster() {
        let mut world = World::new(1_000, 8, |_, _| dead());
        world.run(60 * MINUTE);
        assert!(world.prober.records.len() <= 1_000);
        world.prober.handle_roster([id(1), id(2)]);
        assert!(world.prober.records.len() <= 2);
        world.prober.handle_wish(id(3), 0);
        world.run(70 * MINUTE);
        assert!(world.probes.iter().all(|(at, node)| *at <= 60 * MINUTE || [id(1), id(2)].contains(node)));
        assert_eq!(world.prober.handle_outcome(world.now, id(9), dead()), None, "nobody asked");
    }

    #[test]
    fn probes_at_once_are_bounded() {
        let mut prober = Prober::new(Pace::of(&TestingTerms::default()), 0);
        prober.handle_roster((0..100).map(id));
        (0..100).for_each(|number| prober.handle_wish(id(number), 0));
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut under_way = BTreeSet::new();
        while let Some(node) = prober.poll_probe(0, &mut rng) {
            assert!(under_way.insert(node), "one probe of a node at a time");
        }
        assert_eq!((under_way.len(), prober.poll_timeout()), (AT_ONCE, None));
        let first = *under_way.first().expect("sixteen");
        prober.handle_outcome(1, first, good());
        assert!(prober.poll_timeout().is_some_and(|next| next == 0));
        assert!(prober.poll_probe(1, &mut rng).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        // An honest node may be missed now and then; it is never judged as failing as long as it answers once an hour.
        #[test]
        fn an_honest_live_node_is_never_blamed(seed: u64, lost_percent in 0_u64..60, gone in 0_usize..12) {
            let mut dice = ChaCha20Rng::seed_from_u64(!seed);
            let mut world = World::new(30, seed, |_, node| {
                if node < id(gone) || dice.random_range(0..100) < lost_percent { dead() } else { good() }
            });
            world.run(400 * MINUTE);
            for (_, node) in world.failing() {
                prop_assert!(node < id(gone));
            }
        }

        #[test]
        fn a_dead_node_is_always_found_out(seed: u64, lost_percent in 0_u64..15) {
            let mut dice = ChaCha20Rng::seed_from_u64(!seed);
            let mut world = World::new(20, seed, |_, node| {
                if node == id(0) || dice.random_range(0..100) < lost_percent { dead() } else { good() }
            });
            world.prober.handle_wish(id(0), 0);
            world.run(130 * MINUTE);
            prop_assert!(world.failing().iter().any(|(_, node)| *node == id(0)));
        }
    }
}
