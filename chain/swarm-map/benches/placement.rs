//! What one join or leave costs as networks grow, and against doing it by reading everything (`scripts/bench chain`).

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use skep_measure::{Aim, Report, time};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_swarm_map::{MemoryStore, N_MIN, N_TARGET, SwarmMap};
use std::{collections::BTreeMap, io};

/// Joins and leaves of one turn.
const CHANGES: u32 = 200;

fn main() -> io::Result<()> {
    let mut report = Report::from_arguments();
    let growth = "one join or leave at 100,000 nodes against 1,000";
    if report.wants(growth) {
        let (mut large, mut small) = (Network::of(100_000), Network::of(1_000));
        report.cost(growth, Aim::AtMost(2.0), || large.change(), || small.change())?;
    }
    let against_all = "one join at 10,000 nodes against recomputing from the whole list";
    if report.wants(against_all) {
        let mut network = Network::of(10_000);
        let mut whole = Whole::of(&network);
        report.speed(against_all, Aim::AtLeast(100.0), || network.change(), || whole.change())?;
    }
    Ok(())
}

/// A map, and the randomness of its history.
struct Network {
    map: SwarmMap<MemoryStore>,
    nodes: Vec<ServiceNodeId>,
    random: ChaCha20Rng,
    height: u32,
}

impl Network {
    /// Grown as on the chain: 64 joins at a time.
    fn of(size: usize) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let nodes: Vec<_> = (0..size).map(|_| node(&mut random)).collect();
        let mut network = Self { map: SwarmMap::default(), nodes: Vec::new(), random, height: 0 };
        for batch in nodes.chunks(64) {
            network.apply(batch, &[]);
        }
        Self { nodes, ..network }
    }

    fn apply(&mut self, joins: &[ServiceNodeId], leaves: &[ServiceNodeId]) {
        self.height += 1;
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        self.map.apply(joins, leaves, seed, self.height).expect("consistent");
    }

    /// Some nodes join and as many leave, one at a time; seconds one change takes.
    fn change(&mut self) -> io::Result<f64> {
        let changes: Vec<_> = (0..CHANGES / 2)
            .map(|_| {
                let at = self.random.next_u64() as usize % self.nodes.len();
                let (new, old) = (node(&mut self.random), self.nodes[at]);
                self.nodes[at] = new;
                (new, old)
            })
            .collect();
        let took = time(|| {
            for (new, old) in changes {
                self.apply(&[new], &[]);
                self.apply(&[], &[old]);
            }
        });
        Ok(took / f64::from(CHANGES))
    }
}

/// The same rules by reading everything: swarms are gathered from the list of nodes, sizes sorted, excess summed, and the list
/// written anew for each change.
struct Whole {
    nodes: BTreeMap<ServiceNodeId, SwarmId>,
    random: ChaCha20Rng,
}

impl Whole {
    fn of(network: &Network) -> Self {
        let swarms = network.map.store().swarms();
        let nodes = swarms.flat_map(|(id, members)| members.iter().map(move |node| (*node, id))).collect();
        Self { nodes, random: ChaCha20Rng::seed_from_u64(2) }
    }

    /// Seconds one join takes.
    fn change(&mut self) -> io::Result<f64> {
        let new = node(&mut self.random);
        let draw = self.random.next_u64() as usize;
        Ok(time(|| {
            let mut swarms: BTreeMap<SwarmId, Vec<ServiceNodeId>> = BTreeMap::new();
            for (node, swarm) in &self.nodes {
                swarms.entry(*swarm).or_default().push(*node);
            }
            let swarms = join(swarms, new, draw);
            let placed = |(swarm, members): (SwarmId, Vec<_>)| members.into_iter().map(move |node| (node, swarm));
            self.nodes = swarms.into_iter().flat_map(placed).collect();
        }))
    }
}

fn join(
    mut swarms: BTreeMap<SwarmId, Vec<ServiceNodeId>>,
    new: ServiceNodeId,
    draw: usize,
) -> BTreeMap<SwarmId, Vec<ServiceNodeId>> {
    let mut sizes: Vec<_> = swarms.values().map(Vec::len).collect();
    sizes.sort_unstable();
    let quarter = sizes[sizes.len() / 4];
    let mut small: Vec<_> = swarms.iter_mut().filter(|(_, members)| members.len() <= quarter).collect();
    let at = draw % small.len();
    small[at].1.push(new);
    let excess: usize = swarms.values().map(|members| members.len().saturating_sub(N_MIN as usize)).sum();
    if excess >= N_TARGET as usize + 2 * swarms.len() {
        let ids: Vec<_> = swarms.keys().map(|id| id.0).collect();
        let widest = ids.windows(2).max_by_key(|pair| pair[1] - pair[0]).map_or(0, |pair| pair[0] / 2 + pair[1] / 2);
        let taken = swarms.values_mut().filter(|members| members.len() > N_MIN as usize).take(N_TARGET as usize);
        let members = taken.filter_map(Vec::pop).collect();
        swarms.insert(SwarmId(widest), members);
    }
    swarms
}

fn node(random: &mut ChaCha20Rng) -> ServiceNodeId {
    let mut key = [0; 32];
    random.fill_bytes(&mut key);
    ServiceNodeId(key)
}
