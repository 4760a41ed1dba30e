//! Properties of a swarm map over whole histories of joins and leaves.

use codec::Encode;
use proptest::{collection::vec, prelude::*};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_swarm_map::{
    Census, Delta, MemoryStore, N_MAX, N_MAX_ALONE, N_MIN, N_TARGET, Place, Slot, SwarmMap, SwarmStore, audit,
};
use std::{cell::Cell, collections::BTreeMap};

/// One change of a history: how many join, how many leave, and the seed.
type Step = (usize, usize, u64);

/// A map together with what it should hold.
#[derive(Default)]
struct World {
    map: SwarmMap<MemoryStore>,
    active: BTreeMap<ServiceNodeId, SwarmId>,
    height: u32,
}

impl World {
    /// Lets new nodes join and random ones leave, and checks the outcome against the model.
    fn step(&mut self, (joins, leaves, seed): Step) -> Delta {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let joins: Vec<_> = (0..joins).map(|_| random_node(&mut random)).collect();
        let mut active: Vec<_> = self.active.keys().copied().collect();
        let leaves: Vec<_> = (0..leaves.min(active.len()))
            .map(|_| active.swap_remove(random.next_u64() as usize % active.len()))
            .collect();
        self.apply(&joins, &leaves, seed)
    }

    fn apply(&mut self, joins: &[ServiceNodeId], leaves: &[ServiceNodeId], seed: u64) -> Delta {
        let before: BTreeMap<_, _> = self.sizes();
        self.height += 1;
        let delta = self.map.apply(joins, leaves, seed_bytes(seed), self.height).expect("consistent");
        self.follow(&delta);
        assert!(joins.iter().all(|node| self.active.contains_key(node)));
        assert!(leaves.iter().all(|node| !self.active.contains_key(node)));
        self.check();
        let after = self.sizes();
        let made: Vec<_> = after.keys().filter(|swarm| !before.contains_key(swarm)).copied().collect();
        let gone: Vec<_> = before.keys().filter(|swarm| !after.contains_key(swarm)).copied().collect();
        assert_eq!((made, gone), (delta.created.clone(), delta.dissolved.clone()));
        delta
    }

    /// Replays the delta on the model: whoever only reads deltas must know the map.
    fn follow(&mut self, delta: &Delta) {
        for step in &delta.moves {
            assert_eq!(self.active.get(&step.node).copied(), step.from);
            assert_ne!(step.from, step.to);
            match step.to {
                Some(swarm) => self.active.insert(step.node, swarm),
                None => self.active.remove(&step.node),
            };
        }
    }

    fn check(&self) {
        let store = self.map.store();
        let ids: Vec<_> = store.swarms().map(|(swarm, _)| swarm).collect();
        assert_eq!(audit(store, &ids), Ok(()));
        let listed: BTreeMap<_, _> =
            store.swarms().flat_map(|(swarm, members)| members.iter().map(move |node| (*node, swarm))).collect();
        assert_eq!(listed, self.active);
        let census = store.census();
        assert_eq!(census.nodes(), self.active.len() as u64);
        // Whatever could be split off has been.
        let due = N_TARGET + (N_TARGET - N_MIN) * census.swarms();
        assert!(census.smallest() < N_MIN || census.excess() < due.into());
    }

    fn sizes(&self) -> BTreeMap<SwarmId, usize> {
        self.map.store().swarms().map(|(swarm, members)| (swarm, members.len())).collect()
    }
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn random_node(random: &mut ChaCha20Rng) -> ServiceNodeId {
    let mut key = [0; 32];
    random.fill_bytes(&mut key);
    ServiceNodeId(key)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_active_node_is_in_exactly_one_swarm_of_lawful_size(
        history in vec((0usize..40, 0usize..40, any::<u64>()), 1..30),
    ) {
        let mut world = World::default();
        for step in history {
            world.step(step);
        }
    }

    #[test]
    fn a_large_network_survives_the_leaving_of_any_part(
        start in 0usize..600, gone in 0usize..600, back in 0usize..600, seeds: [u64; 3],
    ) {
        let mut world = World::default();
        world.step((start, 0, seeds[0]));
        world.step((0, gone, seeds[1]));
        world.step((back, gone / 2, seeds[2]));
    }

    #[test]
    fn the_same_history_gives_the_same_map_whatever_the_order_of_the_lists(
        history in vec((0usize..20, 0usize..20, any::<u64>()), 1..15),
    ) {
        let (mut one, mut other) = (World::default(), World::default());
        for step @ (_, _, seed) in history {
            let delta = one.step(step);
            let mut joins: Vec<_> = delta.moves.iter().filter(|step| step.from.is_none()).map(|step| step.node).collect();
            let mut leaves: Vec<_> = delta.moves.iter().filter(|step| step.to.is_none()).map(|step| step.node).collect();
            joins.reverse();
            leaves.reverse();
            joins.extend_from_within(..joins.len() / 2);
            prop_assert_eq!(other.apply(&joins, &leaves, seed), delta);
        }
        prop_assert_eq!(one.map.store(), other.map.store());
    }
}

#[test]
fn joins_alone_make_a_swarm_of_every_seven() {
    let mut world = World::default();
    for nodes in 1..=300 {
        world.step((1, 0, nodes));
        let census = world.map.store().census();
        assert_eq!(u64::from(census.swarms()), (nodes / 7).max(1), "{nodes} nodes");
    }
}

/// No operator chooses its swarm: over many seeds, and over many blocks, each of the smaller swarms is as likely as another.
#[test]
fn the_seed_and_the_block_decide_where_a_node_goes() {
    /// Draws for each swarm it may go to.
    const DRAWS: u32 = 100;
    let mut world = World::default();
    world.step((140, 0, 1));
    world.step((0, 12, 2));
    let sizes = world.sizes();
    let mut sorted: Vec<_> = sizes.values().copied().collect();
    sorted.sort_unstable();
    // The largest size of the smallest quarter.
    let most = sorted[sorted.len().div_ceil(4) - 1];
    let smaller: Vec<_> = sizes.iter().filter(|(_, size)| **size <= most).map(|(swarm, _)| *swarm).collect();
    assert!(smaller.len() >= 4 && smaller.len() < sizes.len(), "{sizes:?}");

    let node = ServiceNodeId([9; 32]);
    let place = |seed, height| {
        let mut map = world.map.clone();
        let delta = map.apply(&[node], &[], seed_bytes(seed), height).expect("consistent");
        assert_eq!(delta.moves.len(), 1, "nothing but the draw moves it");
        map.store().swarm_of(node).expect("placed")
    };
    let draws = DRAWS * u32::try_from(smaller.len()).expect("few");
    let by_seed: Vec<_> = (0..draws).map(|seed| place(seed.into(), 7)).collect();
    let by_height: Vec<_> = (0..draws).map(|height| place(7, height)).collect();
    for places in [by_seed, by_height] {
        let mut counts: BTreeMap<_, u32> = smaller.iter().map(|swarm| (*swarm, 0)).collect();
        for swarm in places {
            *counts.get_mut(&swarm).expect("one of the smaller swarms") += 1;
        }
        // Pearson's statistic: as large as this in one of some hundred thousand fair draws.
        let squares = counts.values().map(|count| (f64::from(*count) - f64::from(DRAWS)).powi(2) / f64::from(DRAWS));
        let (statistic, freedom) = (squares.sum::<f64>(), (smaller.len() - 1) as f64);
        assert!(statistic < freedom + 6.0 * (2.0 * freedom).sqrt(), "{statistic} of {freedom}: {counts:?}");
    }
}

/// The five tables of a store one after the other, each in the order of its keys, in SCALE.
fn tables(store: &MemoryStore) -> Vec<u8> {
    let members: BTreeMap<_, _> = store.swarms().collect();
    let swarm_of = members.iter().flat_map(|(swarm, nodes)| nodes.iter().map(|node| (*node, *swarm)));
    let places = members.keys().map(|swarm| (*swarm, store.place(*swarm).expect("placed")));
    let census = store.census();
    let classes = census.classes().flat_map(|(size, swarms)| (0..swarms).map(move |rank| Slot::Class { size, rank }));
    let slots = classes.chain((0..census.swarms()).map(|rank| Slot::Gap { rank }));
    let slots = slots.map(|slot| (slot, store.slot(slot).expect("listed")));
    let swarm_of: BTreeMap<_, _> = swarm_of.collect();
    let (places, slots): (BTreeMap<_, _>, BTreeMap<_, _>) = (places.collect(), slots.collect());
    (&census, &members, swarm_of, places, slots).encode()
}

/// Pins the outcome of one history: a change here changes consensus.
#[test]
fn a_fixed_history_gives_the_pinned_map() {
    let mut world = World::default();
    for seed in 0..60 {
        world.step((seed as usize % 11, seed as usize % 5, seed));
    }
    world.step((0, 40, 60));
    let swarms: Vec<String> =
        world.sizes().into_iter().map(|(swarm, size)| format!("{:016x} {size}", swarm.0)).collect();
    assert_eq!(swarms, PINNED_SWARMS);
    let digest = tables(world.map.store())
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    assert_eq!(digest, PINNED_DIGEST, "FNV-1a of the encoded tables");
}

const PINNED_SWARMS: [&str; 24] = [
    "0000000000000000 6",
    "0fffffffffffffff 5",
    "17ffffffffffffff 5",
    "1fffffffffffffff 5",
    "27ffffffffffffff 5",
    "2fffffffffffffff 5",
    "37ffffffffffffff 5",
    "3fffffffffffffff 5",
    "47ffffffffffffff 5",
    "4fffffffffffffff 7",
    "57ffffffffffffff 5",
    "5fffffffffffffff 7",
    "67ffffffffffffff 5",
    "6fffffffffffffff 5",
    "77ffffffffffffff 6",
    "7fffffffffffffff 6",
    "87ffffffffffffff 5",
    "8fffffffffffffff 5",
    "9fffffffffffffff 5",
    "afffffffffffffff 7",
    "bfffffffffffffff 5",
    "cfffffffffffffff 5",
    "dfffffffffffffff 5",
    "efffffffffffffff 5",
];
const PINNED_DIGEST: u64 = 0x753a_f7eb_1f77_f93f;

/// Counts every read and write.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    touches: Cell<usize>,
}

impl Counting {
    fn touch(&self) -> &MemoryStore {
        self.touches.set(self.touches.get() + 1);
        &self.store
    }

    fn touch_mut(&mut self) -> &mut MemoryStore {
        self.touches.set(self.touches.get() + 1);
        &mut self.store
    }
}

impl SwarmStore for Counting {
    fn census(&self) -> Census {
        self.touch().census()
    }
    fn set_census(&mut self, census: Census) {
        self.touch_mut().set_census(census);
    }
    fn members(&self, swarm: SwarmId) -> Option<Vec<ServiceNodeId>> {
        self.touch().members(swarm)
    }
    fn set_members(&mut self, swarm: SwarmId, members: Option<Vec<ServiceNodeId>>) {
        self.touch_mut().set_members(swarm, members);
    }
    fn swarm_of(&self, node: ServiceNodeId) -> Option<SwarmId> {
        self.touch().swarm_of(node)
    }
    fn set_swarm_of(&mut self, node: ServiceNodeId, swarm: Option<SwarmId>) {
        self.touch_mut().set_swarm_of(node, swarm);
    }
    fn place(&self, swarm: SwarmId) -> Option<Place> {
        self.touch().place(swarm)
    }
    fn set_place(&mut self, swarm: SwarmId, place: Option<Place>) {
        self.touch_mut().set_place(swarm, place);
    }
    fn slot(&self, slot: Slot) -> Option<SwarmId> {
        self.touch().slot(slot)
    }
    fn set_slot(&mut self, slot: Slot, swarm: Option<SwarmId>) {
        self.touch_mut().set_slot(slot, swarm);
    }
}

/// Mean and most storage touches of a single join or leave in a network of this many nodes, while it grows so that swarms
/// split, and after it lost its excess so that swarms starve and are dissolved.
fn touches_a_change(nodes: usize) -> (usize, usize) {
    let mut random = ChaCha20Rng::seed_from_u64(nodes as u64);
    let mut active: Vec<_> = (0..nodes).map(|_| random_node(&mut random)).collect();
    let mut map = SwarmMap::new(Counting::default());
    map.apply(&active, &[], [1; 32], 0).expect("consistent");

    let (mut counts, mut created, mut dissolved) = (vec![], 0, 0);
    let mut measure = |map: &mut SwarmMap<Counting>, joins: &[ServiceNodeId], leaves: &[ServiceNodeId], height| {
        map.store().touches.set(0);
        let delta = map.apply(joins, leaves, [1; 32], height).expect("consistent");
        counts.push(map.store().touches.get());
        created += delta.created.len();
        dissolved += delta.dissolved.len();
    };
    for height in 1..=200 {
        let node = random_node(&mut random);
        active.push(node);
        measure(&mut map, &[node], &[], height);
    }
    let excess = map.store().census().excess() as usize;
    let lost: Vec<_> = (0..excess).map(|_| active.swap_remove(random.next_u64() as usize % active.len())).collect();
    map.apply(&[], &lost, [1; 32], 201).expect("consistent");
    for height in 202..=401 {
        let node = active.swap_remove(random.next_u64() as usize % active.len());
        measure(&mut map, &[], &[node], height);
    }
    assert!(created > 20 && dissolved > 20, "{created} created, {dissolved} dissolved");
    (counts.iter().sum::<usize>() / counts.len(), counts.into_iter().max().unwrap_or(0))
}

#[test]
fn the_work_grows_with_the_change_not_with_the_network() {
    let (small_mean, small_most) = touches_a_change(1_000);
    let (large_mean, large_most) = touches_a_change(20_000);
    // A network of 20 000 nodes has twenty times the swarms and four more levels of the heap.
    assert!(large_mean <= small_mean + 10, "mean {small_mean} -> {large_mean}");
    assert!(large_most <= small_most + 100, "most {small_most} -> {large_most}");
    assert!(large_mean < 60 && large_most < 300, "mean {large_mean}, most {large_most}");
}

#[test]
fn the_bounds_are_those_of_the_paper() {
    assert_eq!((N_MIN, N_TARGET, N_MAX, N_MAX_ALONE), (5, 7, 10, 13));
}
