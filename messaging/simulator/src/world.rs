//! The clock, the network, and everything that goes wrong.

mod clients;
mod faults;
mod invariants;
mod network;
mod subaccounts;

use crate::{
    Settings, Stats, Violation,
    chain::BLOCK_TIME,
    liar::Lie,
    member::Member,
    owner::{Model, Owner},
    roster::Roster,
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use skep_mailbox::{Demand, Quota, Quotas, Store};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    peer::{request::Request, response::Response},
    storage::{Action, MemberStored, MessageHash, Namespace, StoreRequest},
};
use skep_replication::FanOut;
use skep_work::FLOOR;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// When a run begins (ms).
const START: u64 = 1_700_000_000_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// How far a clock is off at most (ms).
const SKEW: i64 = 3_000;
/// Where messages are stored: one box for everybody, one for its owner.
const BOXES: [Namespace; 2] = [Namespace(0), Namespace(5)];

/// Something that happens to a node, if it has not crashed since it was planned.
#[derive(Debug)]
enum Event {
    Request { from: usize, life: u32, number: u64, request: Box<Request> },
    Answer { number: u64, response: Response },
    Timeout(u64),
    Synced,
    Round,
    Expire,
    Sees(Roster),
}

/// Something that happens to the world.
#[derive(Debug)]
enum Turn {
    Client,
    Fault,
    Heal,
    Restart(usize),
    /// A node that was under load is so no longer.
    Calm(usize),
    Move,
    Member(usize, u32, Event),
}

/// A client's request under way.
#[derive(Debug)]
enum Pending {
    Store { node: usize, owner: usize, hash: MessageHash, fan_out: FanOut<MemberStored> },
    Order { node: usize, owner: usize, action: Action, at: u64, fan_out: FanOut<()> },
}

/// Reads one box of one account at one member, on and on.
#[derive(Debug, Default)]
struct Reader {
    after: Option<MessageHash>,
    /// What was shown: the timestamp of its deposit, and its end. What was deleted and is stored again is another one; what had
    /// ended here, though its owner had it last longer elsewhere, arrives anew.
    seen: BTreeMap<MessageHash, (u64, u64)>,
}

pub(crate) struct World {
    rng: ChaCha8Rng,
    settings: Settings,
    now: u64,
    numbers: u64,
    turns: BinaryHeap<Reverse<(u64, u64)>>,
    planned: BTreeMap<(u64, u64), Turn>,
    members: Vec<Member>,
    index: BTreeMap<ServiceNodeId, usize>,
    /// The group each node can reach.
    group: Vec<u8>,
    roster: Roster,
    owners: Vec<Owner>,
    models: Vec<Model>,
    pending: BTreeMap<u64, Pending>,
    readers: BTreeMap<(usize, usize, usize), Reader>,
    /// Orders given: by signature, when and what.
    given: BTreeMap<[u8; 64], (u64, Action)>,
    /// Orders that a node has on disk.
    done: BTreeMap<usize, BTreeMap<[u8; 64], AccountAddress>>,
    /// Mailboxes have little room for mail that nobody paid for.
    is_cramped: bool,
    /// Deposits that were paid for, and the node (in which life) that has taken them.
    paid: Vec<(usize, u32, StoreRequest)>,
    is_over: bool,
    stats: Stats,
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let owners: Vec<_> = (0..settings.owners).map(|_| Owner::new(rng.random())).collect();
        let is_cramped = rng.random_bool(0.5);
        let unproven = Quota { messages: if is_cramped { rng.random_range(4..24) } else { u64::MAX }, bytes: u64::MAX };
        let mut members: Vec<_> = (0..settings.members)
            .map(|_| {
                let capacity: u64 = if rng.random_bool(0.1) { rng.random_range(3_000..60_000) } else { u64::MAX };
                let quotas = Quotas { unproven, ..capacity.into() };
                let clocks = (rng.random_range(-SKEW..=SKEW), rng.random_range(0..3 * BLOCK_TIME));
                // Small enough that much is handed over in several rounds.
                let budget = rng.random_range(6_000..200_000);
                Member::new(rng.random(), quotas, clocks, budget)
            })
            .collect();
        // Three that lie in concert are more than a swarm can bear.
        for member in members.iter_mut().take(2) {
            if rng.random_bool(0.5) {
                member.is_small = false;
                member.lie = Some(match rng.random_range(0..5) {
                    0 => Lie::Drop,
                    1 => Lie::Resurrect(Vec::new(), Vec::new()),
                    2 => Lie::Repeat(Vec::new()),
                    3 => Lie::Inject(Vec::new()),
                    _ => Lie::Extend(Vec::new()),
                });
            }
        }
        let index = members.iter().enumerate().map(|(number, member)| (member.id, number)).collect();
        let models = owners.iter().map(|_| Model::default()).collect();
        let mut world = Self {
            rng,
            settings,
            now: START,
            numbers: 0,
            turns: BinaryHeap::new(),
            planned: BTreeMap::new(),
            group: vec![0; members.len()],
            members,
            index,
            roster: Roster::new(0, BTreeMap::new()),
            owners,
            models,
            pending: BTreeMap::new(),
            readers: BTreeMap::new(),
            given: BTreeMap::new(),
            done: BTreeMap::new(),
            is_cramped,
            paid: Vec::new(),
            is_over: false,
            stats: Stats::default(),
        };
        world.move_swarms();
        for node in 0..world.members.len() {
            world.members[node].roster = world.roster.clone();
            world.start(node);
        }
        world.plan(0, Turn::Client);
        world.plan(0, Turn::Fault);
        let first_move = world.rng.random_range(2 * MINUTE..8 * MINUTE);
        world.plan(first_move, Turn::Move);
        world
    }

    /// Lets everything happen, and checks what must hold.
    pub(crate) fn run(mut self) -> Result<Stats, Violation> {
        let (over, end) = (START + self.settings.minutes * MINUTE, START + (self.settings.minutes + 11) * MINUTE);
        while let Some(Reverse(key)) = self.turns.pop() {
            let Some(turn) = self.planned.remove(&key) else { continue };
            self.now = key.0;
            if self.now >= over && !self.is_over {
                self.make_peace();
            }
            if self.now >= end {
                break;
            }
            self.stats.events += 1;
            self.take(turn)?;
        }
        self.check_all()?;
        Ok(self.stats)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn plan(&mut self, after: u64, turn: Turn) {
        let key = (self.now + after, self.number());
        self.turns.push(Reverse(key));
        self.planned.insert(key, turn);
    }

    fn plan_for(&mut self, node: usize, after: u64, event: Event) {
        let life = self.members[node].life;
        self.plan(after, Turn::Member(node, life, event));
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.rng.random_range(from..to)
    }

    fn take(&mut self, turn: Turn) -> Result<(), Violation> {
        match turn {
            Turn::Client => {
                if !self.is_over {
                    self.act()?;
                    let pause = self.between(500, self.settings.pause);
                    self.plan(pause, Turn::Client);
                }
            }
            Turn::Fault => {
                if !self.is_over {
                    self.fail();
                    let pause = self.between(5 * SECOND, 90 * SECOND);
                    self.plan(pause, Turn::Fault);
                }
            }
            Turn::Heal => self.group.fill(0),
            Turn::Restart(node) => {
                if !self.members[node].is_up {
                    self.members[node].is_up = true;
                    self.start(node);
                }
            }
            Turn::Calm(node) => self.members[node].demand = Demand::new(FLOOR),
            Turn::Move => {
                if !self.is_over {
                    self.move_swarms();
                    let pause = self.between(2 * MINUTE, 8 * MINUTE);
                    self.plan(pause, Turn::Move);
                }
            }
            Turn::Member(node, life, event) => {
                if self.members[node].is_up && self.members[node].life == life {
                    self.happens(node, event);
                }
            }
        }
        Ok(())
    }

    /// A node has started.
    fn start(&mut self, node: usize) {
        let first = self.between(0, 60 * SECOND);
        self.plan_for(node, first, Event::Round);
        self.plan_for(node, 10 * SECOND, Event::Expire);
        let roster = self.roster.clone();
        let after = self.between(0, 5 * SECOND);
        self.plan_for(node, after, Event::Sees(roster));
    }

    fn happens(&mut self, node: usize, event: Event) {
        match event {
            Event::Request { from, life, number, request } => self.serve(node, from, life, number, *request),
            Event::Answer { number, response } => self.answered(node, number, Some(response)),
            Event::Timeout(number) => self.answered(node, number, None),
            Event::Synced => self.synced(node),
            Event::Round => {
                if !self.members[node].is_in_round {
                    let rng = &mut self.rng;
                    self.members[node].begin_round(&mut |members| members.shuffle(rng));
                    self.go_on(node);
                }
                self.lie(node);
                let next = self.between(45 * SECOND, 75 * SECOND);
                self.plan_for(node, next, Event::Round);
            }
            Event::Expire => {
                let clock = self.members[node].clock(self.now);
                let _ = self.members[node].disk.expire(clock, 50);
                self.plan_for(node, 10 * SECOND, Event::Expire);
            }
            Event::Sees(roster) => {
                if roster.number() > self.members[node].roster.number() {
                    self.members[node].roster = roster;
                    self.members[node].round.start_over();
                    let member = &self.members[node];
                    if let Some(done) = self.done.get_mut(&node) {
                        done.retain(|_, account| member.peers(account).is_some());
                    }
                }
            }
        }
    }
}

impl Pending {
    const fn node(&self) -> usize {
        match self {
            Self::Store { node, .. } | Self::Order { node, .. } => *node,
        }
    }
}
