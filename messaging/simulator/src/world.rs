//! The clock, the network, and everything that goes wrong.

use crate::{
    Settings, Stats, Violation,
    liar::Lie,
    member::{Asked, Member, Told, refusal},
    owner::{APART, Known, Model, Owner, write},
    roster::Roster,
};
use rand::{
    Rng, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;
use skep_mailbox::{Change, Origin, Query, Record, Store};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::{
    account::AccountAddress,
    peer::{self, request::Request, response::Response},
    storage::{
        Action, ExpiryMode, HexKey, MemberFailure, MemberResult, MemberStored, MessageHash, Namespace, RetrieveWindow,
        Scope, limits::PEER_TIMEOUT,
    },
};
use skep_replication::{FanOut, Next, read_stored};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
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
    is_over: bool,
    stats: Stats,
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let owners: Vec<_> = (0..settings.owners).map(|_| Owner::new(rng.random())).collect();
        let mut members: Vec<_> = (0..settings.members)
            .map(|_| {
                let capacity = if rng.random_bool(0.1) { rng.random_range(3_000..60_000) } else { u64::MAX };
                let skew = rng.random_range(-SKEW..=SKEW);
                // Small enough that much is handed over in several rounds.
                let budget = rng.random_range(6_000..200_000);
                Member::new(rng.random(), capacity, skew, Roster::new(0, BTreeMap::new()), budget)
            })
            .collect();
        // Three that lie in concert are more than a swarm can bear.
        for member in members.iter_mut().take(2) {
            if rng.random_bool(0.5) {
                member.is_small = false;
                member.lie = Some(match rng.random_range(0..5) {
                    0 => Lie::Drop,
                    1 => Lie::Resurrect(Vec::new()),
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

    /// One member asks another one something.
    fn ask(&mut self, node: usize, to: ServiceNodeId, why: Asked, request: Request) {
        let number = self.number();
        self.members[node].asked.insert(number, why);
        self.plan_for(node, PEER_TIMEOUT, Event::Timeout(number));
        let Some(to) = self.index.get(&to).copied() else { return };
        let from_life = self.members[node].life;
        let to_life = self.members[to].life;
        if let Some(delay) = self.travel(node, to) {
            let event = Event::Request { from: node, life: from_life, number, request: Box::new(request) };
            self.plan(delay, Turn::Member(to, to_life, event));
        }
    }

    /// How long a message takes, if it arrives.
    fn travel(&mut self, from: usize, to: usize) -> Option<u64> {
        let is_lost = !self.is_over && self.rng.random_bool(self.settings.loss);
        if self.group[from] != self.group[to] || is_lost {
            self.stats.lost += 1;
            return None;
        }
        let is_slow = !self.is_over && self.rng.random_bool(0.02);
        Some(if is_slow { self.between(1_000, 7_000) } else { self.between(1, 200) })
    }

    fn serve(&mut self, node: usize, from: usize, life: u32, number: u64, request: Request) {
        let (asker, now) = (self.members[from].id, self.now);
        if let Some(lie) = self.members[node].lie.as_ref().and_then(|lie| lie.answer(&request)) {
            return self.reply(node, from, life, number, lie);
        }
        if let (Some(Lie::Drop), Request::Store(wire)) = (&self.members[node].lie, &request) {
            let hash = Record::from_wire(wire.clone()).map(|record| record.hash());
            let response = hash.map_or_else(
                |_| refusal(400, "malformed"),
                |hash| {
                    let MemberStored { signature, .. } = self.members[node].sign(hash, 0, false);
                    Response::Stored(peer::Stored { signature: signature.to_vec().into(), ..peer::Stored::default() })
                },
            );
            return self.reply(node, from, life, number, response);
        }
        let writes = !matches!(request, Request::Reconcile(_));
        let (response, orders) = self.members[node].serve(asker, request, now);
        if writes {
            let told = orders.into_iter().map(|order| Told::World(order.account, order.signature));
            let told: Vec<_> = told.chain([Told::Member(from, life, number, response)]).collect();
            self.tell_once_synced(node, told);
        } else {
            self.reply(node, from, life, number, response);
        }
    }

    fn reply(&mut self, node: usize, to: usize, life: u32, number: u64, response: Response) {
        if let Some(delay) = self.travel(node, to) {
            self.plan(delay, Turn::Member(to, life, Event::Answer { number, response }));
        }
    }

    /// Group commit: what is written while a sync is under way is told of after the next one.
    fn tell_once_synced(&mut self, node: usize, told: Vec<Told>) {
        self.members[node].unsynced.extend(told);
        if !self.members[node].is_syncing {
            self.members[node].is_syncing = true;
            let takes = self.between(1, 50);
            self.plan_for(node, takes, Event::Synced);
        }
    }

    fn synced(&mut self, node: usize) {
        self.members[node].is_syncing = false;
        let _ = self.members[node].disk.sync();
        for told in std::mem::take(&mut self.members[node].unsynced) {
            match told {
                Told::Member(to, life, number, response) => self.reply(node, to, life, number, response),
                Told::World(account, signature) => {
                    self.done.entry(node).or_default().insert(signature, account);
                }
                Told::Stored(number, result) => {
                    let id = self.members[node].id;
                    if let Some(Pending::Store { fan_out, .. }) = self.pending.get_mut(&number) {
                        fan_out.handle(id, Ok(result));
                    }
                    self.conclude(number);
                }
                Told::Ordered(number) => {
                    let id = self.members[node].id;
                    if let Some(Pending::Order { fan_out, .. }) = self.pending.get_mut(&number) {
                        fan_out.handle(id, Ok(()));
                    }
                    self.conclude(number);
                }
            }
        }
    }

    fn answered(&mut self, node: usize, number: u64, response: Option<Response>) {
        match self.members[node].asked.remove(&number) {
            None => {}
            Some(Asked::Round(from)) => {
                let response = response.map(|response| peer::Response { response: Some(response) });
                let Member { round, disk, .. } = &mut self.members[node];
                let _ = round.handle(disk, from, response);
                self.go_on(node);
            }
            Some(Asked::Client(request, from)) => {
                match self.pending.get_mut(&request) {
                    Some(Pending::Store { hash, fan_out, .. }) => {
                        let answer = response.map(|response| peer::Response { response: Some(response) });
                        let read = |answer| read_stored(&from, *hash, answer);
                        fan_out.handle(from, answer.map_or(Err(MemberFailure::Timeout), read));
                    }
                    Some(Pending::Order { fan_out, .. }) => {
                        let is_done = matches!(response, Some(Response::Command(_)));
                        fan_out.handle(from, if is_done { Ok(()) } else { Err(MemberFailure::Timeout) });
                    }
                    None => {}
                }
                self.conclude(request);
            }
        }
    }

    /// A node goes on with its round.
    fn go_on(&mut self, node: usize) {
        while self.members[node].is_in_round {
            let clock = self.members[node].clock(self.now);
            let Member { round, disk, .. } = &mut self.members[node];
            match round.poll(disk, clock) {
                Next::Ask(asks) => {
                    for (to, request) in asks {
                        self.ask(node, to, Asked::Round(to), request);
                    }
                }
                Next::Forget(_, names) => {
                    let member = &self.members[node];
                    // What has moved back since is kept.
                    let own = member.own();
                    let is_own = |name: &_| own.iter().any(|range| range.contains(name));
                    let names: Vec<_> = names.into_iter().filter(|name| !is_own(name)).collect();
                    self.stats.let_go += names.len() as u64;
                    // What comes back to a swarm's former member is new there.
                    let readers = self.readers.iter_mut().filter(|((.., at), _)| *at == node);
                    readers.for_each(|(_, reader)| reader.seen.clear());
                    let _ = member.disk.change(&Change::Forget { names }, None, clock);
                }
                Next::Wait => break,
                Next::Done => self.members[node].is_in_round = false,
            }
            self.stats.handed += self.members[node].round.take_handed();
        }
    }

    /// A lying member says what is not so.
    fn lie(&mut self, node: usize) {
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
    fn fail(&mut self) {
        let node = self.rng.random_range(0..self.members.len());
        match self.rng.random_range(0..4) {
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
            _ => {}
        }
    }

    fn crash(&mut self, node: usize) {
        self.stats.crashes += 1;
        let member = &mut self.members[node];
        member.is_up = false;
        member.life += 1;
        member.is_in_round = false;
        member.is_syncing = false;
        member.unsynced.clear();
        member.asked.clear();
        member.round.start_over();
        member.disk.crash(&mut self.rng);
        // Nobody will tell these clients.
        let lost = self.pending.iter().filter(|(_, pending)| pending.node() == node).map(|(number, _)| *number);
        for number in lost.collect::<Vec<_>>() {
            self.end(number, false);
        }
    }

    /// Nodes join, leave, and change their swarms; swarms begin and are dissolved.
    fn move_swarms(&mut self) {
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
    fn make_peace(&mut self) {
        self.is_over = true;
        self.group.fill(0);
        for node in 0..self.members.len() {
            if !self.members[node].is_up {
                self.members[node].is_up = true;
                self.start(node);
            }
            let roster = self.roster.clone();
            self.plan_for(node, 0, Event::Sees(roster));
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

/// What clients do.
impl World {
    fn act(&mut self) -> Result<(), Violation> {
        let owner = self.rng.random_range(0..self.owners.len());
        match self.rng.random_range(0..10) {
            0..4 => self.store_new(owner),
            4 => self.store_again(owner),
            5..7 => self.order(owner),
            _ => return self.read(owner),
        }
        Ok(())
    }

    /// A member that a client finds in the newest roster, if it answers.
    fn door(&mut self, owner: usize) -> Option<usize> {
        let account = self.owners[owner].account();
        let swarm = self.roster.swarm_of(&account)?;
        let members: Vec<_> = self.roster.members(swarm).map(|id| self.index[&id]).collect();
        members.choose(&mut self.rng).copied().filter(|node| self.members[*node].is_up)
    }

    fn store_new(&mut self, owner: usize) {
        let namespace = BOXES[usize::from(self.rng.random_bool(0.25))];
        let life = if self.rng.random_bool(0.3) { self.between(20, 600) } else { self.between(3_600, 10_800) };
        let data = self.rng.random::<[u8; 16]>().to_vec();
        self.deposit(owner, namespace, life * SECOND, data);
    }

    /// The same bytes again, to last longer than before.
    fn store_again(&mut self, owner: usize) {
        let known: Vec<_> = self.models[owner].messages.values().cloned().collect();
        let Some(known) = known.choose(&mut self.rng).cloned() else { return };
        let until = known.expiry.unwrap_or(self.now).max(self.now + 4 * 60 * MINUTE) + MINUTE;
        self.deposit(owner, known.namespace, until - self.now, known.data);
    }

    fn deposit(&mut self, owner: usize, namespace: Namespace, life: u64, data: Vec<u8>) {
        let Some(node) = self.door(owner) else { return };
        let (now, expiry) = (self.now, self.now + life);
        let record = self.owners[owner].deposit(namespace, now, expiry, data.clone());
        let hash = record.hash();
        let Some(peers) = self.members[node].peers(&record.deposit().account) else { return };
        for member in &mut self.members {
            if let Some(lie) = &mut member.lie {
                lie.hear(&self.owners[owner], &record);
            }
        }
        let is_drop = matches!(self.members[node].lie, Some(Lie::Drop));
        let own = match is_drop {
            true => Ok(self.members[node].sign(hash, expiry, false)),
            false => self.members[node].store(record.deposit().clone(), Origin::Client, now),
        };
        let model = &mut self.models[owner];
        let is_close = model.ordered + APART > now;
        let known = model.messages.entry(hash).or_insert_with(|| Known {
            namespace,
            data,
            stored: now,
            expiry: None,
            is_acknowledged: false,
            is_uncertain: false,
            is_close: false,
        });
        let was_there = known.expiry.filter(|there| *there > now);
        known.stored = now;
        known.expiry = was_there.max(Some(expiry));
        // Until somebody says so, nobody knows that it has been stored.
        known.is_uncertain |= was_there.is_some() && !known.is_acknowledged;
        known.is_acknowledged = false;
        known.is_close |= is_close;

        let number = self.number();
        let me = self.members[node].id;
        let clock = self.members[node].clock(now);
        let mut fan_out = FanOut::new(me, peers.iter().copied(), clock);
        if let Err(status) = &own {
            fan_out.handle(me, Err(MemberFailure::Refused { code: *status as u16, reason: String::new() }));
        }
        self.pending.insert(number, Pending::Store { node, owner, hash, fan_out });
        if let Ok(stored) = own {
            self.tell_once_synced(node, vec![Told::Stored(number, stored)]);
        }
        for peer in peers {
            self.ask(node, peer, Asked::Client(number, peer), Request::Store(record.to_wire()));
        }
    }

    fn order(&mut self, owner: usize) {
        let Some(action) = self.choose_action(owner) else { return };
        let Some(node) = self.door(owner) else { return };
        // What a liar makes of an order nobody knows.
        if self.members[node].lie.is_some() {
            return;
        }
        let now = self.now;
        let command = self.owners[owner].command(action.clone());
        let Some(peers) = self.members[node].peers(&command.account) else { return };
        let Some((change, order)) = self.members[node].stamp(&command, write(command.clone()), now) else { return };
        if self.given.insert(order.signature, (now, action.clone())).is_some() {
            // The same words are signed alike: who has carried out the earlier order has not carried out this one.
            for done in self.done.values_mut() {
                done.remove(&order.signature);
            }
        }
        self.stats.orders += 1;
        let number = self.number();
        let me = self.members[node].id;
        let fan_out = FanOut::new(me, peers.iter().copied(), self.members[node].clock(now));
        self.models[owner].ordered = now;
        self.pending.insert(number, Pending::Order { node, owner, action, at: now, fan_out });
        let wire = peer::Command { request: order.request.clone().into(), at: order.at };
        if self.members[node].carry_out(&change, &order, now) {
            let told = vec![Told::World(order.account, order.signature), Told::Ordered(number)];
            self.tell_once_synced(node, told);
        }
        for peer in peers {
            self.ask(node, peer, Asked::Client(number, peer), Request::Command(wire.clone()));
        }
    }

    fn choose_action(&mut self, owner: usize) -> Option<Action> {
        let now = self.now;
        if self.models[owner].ordered + APART > now {
            return None;
        }
        let some: Vec<_> = self.models[owner].messages.keys().copied().collect();
        let number = self.rng.random_range(1..4);
        let messages: Vec<_> = some.choose_multiple(&mut self.rng, number).copied().collect();
        let scope = if self.rng.random_bool(0.5) { Scope::All } else { Scope::One(BOXES[self.rng.random_range(0..2)]) };
        let in_minutes = self.between(1, 150);
        let expiry = now + in_minutes * MINUTE;
        let mode = [ExpiryMode::Set, ExpiryMode::Extend, ExpiryMode::Shorten][self.rng.random_range(0..3)];
        Some(match self.rng.random_range(0..12) {
            0..4 if !messages.is_empty() => Action::Delete { messages, required: false },
            4 => Action::DeleteAll { scope, timestamp: now },
            5 => Action::DeleteBefore { scope, before: now - self.between(0, 5 * MINUTE) },
            6..10 if !messages.is_empty() => Action::Expire { messages, expiry: vec![expiry], mode },
            10 => Action::ExpireAll { scope, expiry },
            _ => return None,
        })
    }

    /// Ends a client's request if every member is heard of.
    fn conclude(&mut self, number: u64) {
        let is_complete = match self.pending.get(&number) {
            Some(Pending::Store { fan_out, .. }) => fan_out.is_complete(),
            Some(Pending::Order { fan_out, .. }) => fan_out.is_complete(),
            None => false,
        };
        if is_complete {
            self.end(number, true);
        }
    }

    /// A client's request ends, and the client is told, or its node has crashed.
    fn end(&mut self, number: u64, is_told: bool) {
        let reliable = |world: &Self, key: &[u8; 32]| {
            let node = world.index.get(&ServiceNodeId(*key));
            node.is_some_and(|node| world.members[*node].is_reliable())
        };
        match self.pending.remove(&number) {
            Some(Pending::Store { owner, hash, fan_out, .. }) => {
                let kept = fan_out.finish();
                let done = |(member, result): (&HexKey, &MemberResult<_>)| {
                    matches!(result, MemberResult::Done(_)) && reliable(self, &member.0)
                };
                let is_kept = is_told && kept.iter().any(done);
                self.stats.acknowledged += u64::from(is_kept);
                if let Some(known) = self.models[owner].messages.get_mut(&hash) {
                    known.is_acknowledged |= is_kept;
                    known.is_uncertain |= !is_kept;
                }
            }
            Some(Pending::Order { owner, action, at, fan_out, .. }) => {
                let heard = fan_out.finish();
                let done = |(member, result): (&HexKey, &MemberResult<_>)| {
                    matches!(result, MemberResult::Done(())) && reliable(self, &member.0)
                };
                let is_done = is_told && heard.iter().any(done);
                self.models[owner].apply(&action, at, is_done);
            }
            None => {}
        }
    }

    /// Reads on where one reader stopped, at a member whose word counts.
    fn read(&mut self, owner: usize) -> Result<(), Violation> {
        let Some(node) = self.door(owner) else { return Ok(()) };
        let account = self.owners[owner].account();
        if !self.members[node].is_reliable() || self.members[node].peers(&account).is_none() {
            return Ok(());
        }
        let number = self.rng.random_range(0..BOXES.len());
        let (namespace, clock) = (BOXES[number], self.members[node].clock(self.now));
        let disk = &self.members[node].disk;
        let reader = self.readers.entry((owner, number, node)).or_default();
        let is_valid = match reader.after {
            Some(hash) => disk.expiries(&account, &[hash], clock).is_ok_and(|found| !found.is_empty()),
            None => true,
        };
        if !is_valid {
            reader.seen.clear();
        }
        let window = RetrieveWindow { count: self.rng.random_range(1..20), size: usize::MAX };
        let query = Query { account, namespace, after: reader.after, window };
        let page = disk.retrieve(&query, clock).map_err(|error| Violation::new(format!("reading failed: {error}")))?;
        let model = &self.models[owner];
        for message in &page.messages {
            self.stats.read += 1;
            let Some(known) = model.messages.get(&message.hash) else {
                return Err(Violation::new(format!("node {node} shows {}, which nobody stored", message.hash)));
            };
            if message.expiration <= clock {
                return Err(Violation::new(format!("node {node} shows {} after its end", message.hash)));
            }
            if let Some((stored, ends)) = reader.seen.insert(message.hash, (message.timestamp, message.expiration))
                && stored >= message.timestamp
                && ends > clock
            {
                return Err(Violation::new(format!("node {node} shows {} twice to a cursor", message.hash)));
            }
            let deleting = self.done.get(&node).into_iter().flatten().find(|(signature, whose)| {
                let given = self.given.get(*signature).filter(|_| **whose == account);
                given.is_some_and(|(at, action)| known.stored + APART <= *at && deletes(action, &message.hash, known))
            });
            if deleting.is_some() {
                return Err(Violation::new(format!("node {node} shows {}, which it has deleted", message.hash)));
            }
        }
        if let Some(last) = page.messages.last() {
            reader.after = Some(last.hash);
        }
        Ok(())
    }
}

/// Whether an order removes a message stored before it was given.
fn deletes(action: &Action, hash: &MessageHash, known: &Known) -> bool {
    let in_scope = |scope: &Scope| *scope == Scope::All || *scope == Scope::One(known.namespace);
    match action {
        Action::Delete { messages, .. } => messages.contains(hash),
        Action::DeleteAll { scope, .. } => in_scope(scope),
        Action::DeleteBefore { scope, before } => in_scope(scope) && known.stored <= *before,
        Action::Expire { .. } | Action::ExpireAll { .. } | Action::Revoke { .. } | Action::Unrevoke { .. } => false,
    }
}

/// What must hold in the end.
impl World {
    fn check_all(&mut self) -> Result<(), Violation> {
        for (owner, model) in self.owners.iter().zip(&self.models) {
            let account = owner.account();
            let Some(swarm) = self.roster.swarm_of(&account) else { continue };
            let members: Vec<_> = self.roster.members(swarm).map(|id| self.index[&id]).collect();
            let reliable: Vec<_> = members.into_iter().filter(|node| self.members[*node].is_reliable()).collect();
            for (hash, known) in &model.messages {
                if known.is_close {
                    continue;
                }
                let shown = |node: &usize| {
                    let clock = self.members[*node].clock(self.now);
                    let found = self.members[*node].disk.expiries(&account, &[*hash], clock).unwrap_or_default();
                    found.first().map(|(_, expiry)| *expiry)
                };
                let shown: BTreeMap<_, _> = reliable.iter().map(|node| (*node, shown(node))).collect();
                // Clocks differ: what ends now has ended for some.
                let ends_now = |expiry: &u64| expiry.abs_diff(self.now) <= 2 * SKEW.unsigned_abs();
                if shown.values().flatten().chain(&known.expiry).any(ends_now) {
                    continue;
                }
                let all: BTreeSet<_> = shown.values().collect();
                if all.len() > 1 {
                    return Err(Violation::new(format!("members disagree about {hash}: {shown:?}; {known:?}")));
                }
                let expected = known.expiry.filter(|expiry| *expiry > self.now);
                let is_certain = known.is_acknowledged && !known.is_uncertain;
                if is_certain && all.iter().any(|shown| **shown != expected) {
                    return Err(Violation::new(format!("{hash} is to last until {expected:?}: {shown:?}; {known:?}")));
                }
                self.stats.checked += u64::from(is_certain);
            }
        }
        Ok(())
    }
}
