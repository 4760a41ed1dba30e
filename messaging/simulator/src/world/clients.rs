//! What clients do.

use super::{BOXES, MINUTE, Pending, SECOND, World, invariants::deletes};
use crate::{
    Violation,
    chain::{BLOCK_TIME, block_hash},
    liar::Lie,
    member::{Asked, Refused, Told},
    owner::{APART, Known, Word, pay, write},
};
use rand::{Rng, seq::IndexedRandom};
use skep_mailbox::{Origin, Query, Record, Standing, Store, StoreRefusal, WorkRefusal};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    peer::{self, request::Request},
    storage::{Action, ExpiryMode, HexKey, MemberFailure, MemberResult, Namespace, RetrieveWindow, Scope},
};
use skep_replication::FanOut;
use skep_work::FLOOR;

/// How a deposit is made.
#[derive(Clone, Copy, Debug)]
struct How {
    /// The subaccount that signs, where anybody does.
    by: Option<usize>,
    is_paid: bool,
}

impl World {
    pub(super) fn act(&mut self) -> Result<(), Violation> {
        let owner = self.rng.random_range(0..self.owners.len());
        match self.rng.random_range(0..13) {
            0..4 => self.store_new(owner),
            4 => self.store_again(owner),
            5..7 => {
                if let Some(action) = self.choose_action(owner) {
                    self.order(owner, action);
                }
                Ok(())
            }
            7..10 => self.read(owner),
            10 => {
                self.speak_of_subaccounts(owner);
                Ok(())
            }
            11 => self.ask_as_subaccount(owner),
            _ => self.pay_again(),
        }
    }

    /// A member that a client finds in the newest roster, if it answers.
    pub(super) fn door(&mut self, owner: usize) -> Option<usize> {
        let account = self.owners[owner].account();
        let swarm = self.roster.swarm_of(&account)?;
        let members: Vec<_> = self.roster.members(swarm).map(|id| self.index[&id]).collect();
        members.choose(&mut self.rng).copied().filter(|node| self.members[*node].is_up)
    }

    fn store_new(&mut self, owner: usize) -> Result<(), Violation> {
        let namespace = BOXES[usize::from(self.rng.random_bool(0.25))];
        let life = if self.rng.random_bool(0.3) { self.between(20, 600) } else { self.between(3_600, 10_800) };
        let data = self.rng.random::<[u8; 16]>().to_vec();
        let by = self.rng.random_bool(0.5).then(|| self.any_subaccount());
        // Work takes the time of many other things.
        let how = How { by, is_paid: self.rng.random_bool(0.1) };
        self.deposit(owner, namespace, life * SECOND, data, how)
    }

    /// The same bytes again, to last longer than before.
    fn store_again(&mut self, owner: usize) -> Result<(), Violation> {
        let known: Vec<_> = self.models[owner].messages.values().cloned().collect();
        let Some(known) = known.choose(&mut self.rng).cloned() else { return Ok(()) };
        let until = known.expiry.unwrap_or(self.now).max(self.now + 4 * 60 * MINUTE) + MINUTE;
        // Where room is short, whether it is longer depends on whether it is paid for as before.
        let is_paid = if self.is_cramped { known.is_paid } else { self.rng.random_bool(0.1) };
        self.deposit(owner, known.namespace, until - self.now, known.data, How { by: None, is_paid })
    }

    fn deposit(
        &mut self,
        owner: usize,
        namespace: Namespace,
        life: u64,
        data: Vec<u8>,
        how: How,
    ) -> Result<(), Violation> {
        let Some(node) = self.door(owner) else { return Ok(()) };
        let (now, expiry) = (self.now, self.now + life);
        let mut record = self.owners[owner].deposit(how.by, namespace, (now, expiry), data.clone());
        if how.is_paid && namespace.anyone_may_store() {
            let asked = self.members[node].demand.effort();
            // Clients have patience for so much.
            let effort = if asked <= 2 * FLOOR { asked } else { FLOOR };
            let block = (now - self.between(0, 2 * BLOCK_TIME)) / BLOCK_TIME;
            record = pay(&record, effort, block_hash(block), self.rng.random());
        }
        let hash = record.hash();
        let Some(peers) = self.members[node].peers(&record.deposit().account) else { return Ok(()) };
        let is_drop = matches!(self.members[node].lie, Some(Lie::Drop));
        let dice = self.rng.random();
        let own = match is_drop {
            true => Ok(self.members[node].sign(hash, expiry, false)),
            false => self.members[node].store(record.deposit().clone(), Origin::Client, now, dice),
        };
        let own = match own {
            Ok(stored) => Ok(stored),
            Err(Refused::Store(status)) => Err(status),
            Err(Refused::Admission(refusal)) => {
                self.stats.refused += 1;
                return self.judge_refusal(owner, node, how, &refusal);
            }
        };
        // What is not let in, no other member hears of.
        for member in &mut self.members {
            if let Some(lie) = &mut member.lie {
                lie.hear(&self.owners[owner], &record);
            }
        }
        let is_paid = record.standing() == Standing::Proven && namespace.anyone_may_store();
        if is_paid && own.is_ok() && !is_drop {
            self.stats.paid += 1;
            let life = self.members[node].life;
            self.paid.push((node, life, record.deposit().clone()));
        }
        let model = &mut self.models[owner];
        let is_close = model.ordered + APART > now;
        let known = model.messages.entry(hash).or_insert_with(|| Known {
            namespace,
            data,
            is_paid,
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
        known.is_paid = is_paid;

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
        Ok(())
    }

    /// Whether a client may be told this.
    fn judge_refusal(&self, owner: usize, node: usize, how: How, why: &StoreRefusal) -> Result<(), Violation> {
        let is_right = match why {
            StoreRefusal::Signature => how.by.is_some_and(|by| self.may_be_revoked(owner, by)),
            StoreRefusal::Work(WorkRefusal::Demanded) => {
                let member = &self.members[node];
                !how.is_paid && (self.is_cramped || member.demand.load() > 0 || !member.is_reliable())
            }
            StoreRefusal::Work(WorkRefusal::TooLittle) => self.members[node].demand.effort() > 2 * FLOOR,
            StoreRefusal::Work(WorkRefusal::Block) => how.is_paid && self.members[node].lag > 0,
            StoreRefusal::Work(_)
            | StoreRefusal::Lifetime
            | StoreRefusal::Clock
            | StoreRefusal::SignatureRequired(_)
            | StoreRefusal::SignatureClock => false,
        };
        let told = || Violation::new(format!("node {node} refuses what it should take: {why}"));
        if is_right { Ok(()) } else { Err(told()) }
    }

    /// Work pays once: what its owner has deleted does not come back by it.
    fn pay_again(&mut self) -> Result<(), Violation> {
        let Some((node, life, deposit)) = self.paid.choose(&mut self.rng).cloned() else { return Ok(()) };
        let member = &self.members[node];
        let hash = Record::new(deposit.clone()).hash();
        let found = member.disk.expiries(&deposit.account, &[hash], member.clock(self.now)).unwrap_or_default();
        if !member.is_up || member.life != life || !found.is_empty() {
            return Ok(());
        }
        self.stats.probes += 1;
        match member.admit(deposit, Origin::Client, self.now, 0) {
            Err(_) => Ok(()),
            Ok(_) => Err(Violation::new(format!("node {node} takes the work for {hash} twice"))),
        }
    }

    pub(super) fn order(&mut self, owner: usize, action: Action) {
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
        let is_word = matches!(action, Action::Revoke { .. } | Action::Unrevoke { .. });
        self.stats.orders += 1;
        let number = self.number();
        let me = self.members[node].id;
        let fan_out = FanOut::new(me, peers.iter().copied(), self.members[node].clock(now));
        let wire = peer::Command { request: order.request.clone().into(), at: order.at };
        if is_word {
            self.stats.words += 1;
            self.models[owner].words.push(Word { action: action.clone(), is_done: false });
            self.members.iter_mut().filter_map(|member| member.lie.as_mut()).for_each(|lie| lie.hear_word(&wire));
        } else {
            self.models[owner].ordered = now;
        }
        self.pending.insert(number, Pending::Order { node, owner, action, at: now, fan_out });
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
    pub(super) fn conclude(&mut self, number: u64) {
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
    pub(super) fn end(&mut self, number: u64, is_told: bool) {
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
