//! What members ask each other, and what becomes of it.

use super::{Event, Pending, Turn, World};
use crate::{
    liar::Lie,
    member::{Asked, Member, Told, refusal},
};
use rand::Rng;
use skep_mailbox::{Change, Record, Store};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::{MemberFailure, MemberStored, limits::PEER_TIMEOUT},
};
use skep_replication::{Next, read_stored};

impl World {
    /// One member asks another one something.
    pub(super) fn ask(&mut self, node: usize, to: ServiceNodeId, why: Asked, request: Request) {
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

    pub(super) fn serve(&mut self, node: usize, from: usize, life: u32, number: u64, request: Request) {
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
    pub(super) fn tell_once_synced(&mut self, node: usize, told: Vec<Told>) {
        self.members[node].unsynced.extend(told);
        if !self.members[node].is_syncing {
            self.members[node].is_syncing = true;
            let takes = self.between(1, 50);
            self.plan_for(node, takes, Event::Synced);
        }
    }

    pub(super) fn synced(&mut self, node: usize) {
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

    pub(super) fn answered(&mut self, node: usize, number: u64, response: Option<Response>) {
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
    pub(super) fn go_on(&mut self, node: usize) {
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
}
