//! One service node: what it decides is what the real node runs; what it does about sockets, disk and clock is the world's.

use crate::{disk::Disk, liar::Lie, roster::Roster};
use ed25519_dalek::{Signer, SigningKey};
use skep_mailbox::{
    Admission, Change, NameRange, Order, Origin, Put, Record, Store, StoreError, admit, command_of, give, judge_command,
};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::{
    account::AccountAddress,
    peer::{self, request::Request, response::Response},
    storage::{Command, MemberStored, MessageHash, StoreRequest, signed},
};
use skep_replication::{Round, Target, Work, answer, judge, kept_by_swarm, status_of, stretches};
use std::collections::BTreeMap;

/// A node.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: ServiceNodeId,
    key: SigningKey,
    pub(crate) disk: Disk,
    /// Its disk takes little.
    pub(crate) is_small: bool,
    pub(crate) lie: Option<Lie>,
    /// How far its clock is from the true time (ms).
    pub(crate) skew: i64,
    pub(crate) is_up: bool,
    /// Times it has crashed: what was meant for an earlier life is not for it.
    pub(crate) life: u32,
    /// The roster it has seen.
    pub(crate) roster: Roster,
    pub(crate) round: Round,
    pub(crate) is_in_round: bool,
    /// Requests under way, by number.
    pub(crate) asked: BTreeMap<u64, Asked>,
    /// What is to be told after the next sync.
    pub(crate) unsynced: Vec<Told>,
    pub(crate) is_syncing: bool,
}

/// Why a member asked another one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// On behalf of a client: the number of its request, and who was asked.
    Client(u64, ServiceNodeId),
    /// In its round.
    Round(ServiceNodeId),
}

/// What is told once it is on disk.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Another member (its place, in which life): the number of its request, and the answer.
    Member(usize, u32, u64, Response),
    /// The world: this order of an owner has been carried out here.
    World(AccountAddress, [u8; 64]),
    /// A client: its message is kept.
    Stored(u64, MemberStored),
    /// A client: its order has been carried out.
    Ordered(u64),
}

impl Member {
    pub(crate) fn new(seed: [u8; 32], capacity: u64, skew: i64, roster: Roster, budget: u64) -> Self {
        let key = SigningKey::from_bytes(&seed);
        Self {
            id: ServiceNodeId(key.verifying_key().to_bytes()),
            key,
            disk: Disk::new(capacity),
            is_small: capacity < u64::MAX,
            lie: None,
            skew,
            is_up: true,
            life: 0,
            roster,
            round: Round::new(budget),
            is_in_round: false,
            asked: BTreeMap::new(),
            unsynced: Vec::new(),
            is_syncing: false,
        }
    }

    /// Its clock (ms).
    pub(crate) fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    /// Whether it has what honest members with room have.
    pub(crate) fn is_reliable(&self) -> bool {
        self.lie.is_none() && !self.is_small
    }

    /// The other members of the swarm that keeps this mailbox, if this node is one.
    pub(crate) fn peers(&self, account: &AccountAddress) -> Option<Vec<ServiceNodeId>> {
        let swarm = self.roster.swarm_of(account)?;
        if self.roster.swarm_of_node(&self.id) != Some(swarm) {
            return None;
        }
        Some(self.roster.members(swarm).filter(|id| *id != self.id).collect())
    }

    /// The names of what its swarm owns.
    pub(crate) fn own(&self) -> Vec<NameRange> {
        let swarm = self.roster.swarm_of_node(&self.id);
        swarm.map(|swarm| stretches(swarm, self.roster.swarms())).unwrap_or_default()
    }

    /// Its stored word for a message.
    pub(crate) fn sign(&self, hash: MessageHash, expiry: u64, already: bool) -> MemberStored {
        let signature = self.key.sign(&signed::stored(&hash)).to_bytes();
        MemberStored { hash, signature, expiry, already }
    }

    /// Keeps a message, if it is admitted. `Err` tells the status of a refusal.
    pub(crate) fn store(&self, deposit: StoreRequest, origin: Origin, now: u64) -> Result<MemberStored, u32> {
        let now = self.clock(now);
        let admission = Admission { now, origin, is_revoked: false, least_effort: 1, is_recent_block: &|_| true };
        let record = admit(deposit, &admission).map_err(|_| 401_u32)?;
        let hash = record.hash();
        match self.put(record, now) {
            Ok(Put::Stored { expiry, already }) => Ok(self.sign(hash, expiry, already)),
            Ok(put @ (Put::Full | Put::Gone)) => Err(status_of(&put)),
            Err(_) => Err(503),
        }
    }

    fn put(&self, record: Record, now: u64) -> Result<Put, StoreError> {
        self.disk.put(&[record], now)?.first().copied().ok_or(StoreError::Damaged("memory"))
    }

    /// Judges what a client orders, and stamps it.
    pub(crate) fn stamp(&self, command: &Command, request: Vec<u8>, now: u64) -> Option<(Change, Order)> {
        let now = self.clock(now);
        let change = judge_command(command, Origin::Client, now, false).ok()?;
        let newest = self.disk.newest(&change, now).ok()?.unwrap_or(0);
        give(command, request, now.max(newest))
    }

    /// Does what an owner orders.
    pub(crate) fn carry_out(&self, change: &Change, order: &Order, now: u64) -> bool {
        self.disk.change(change, Some(order), self.clock(now)).is_ok()
    }

    /// Answers another member. What it changes is on disk only after a sync.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only what keeps a swarm equal is simulated")]
    pub(crate) fn serve(&self, from: ServiceNodeId, request: Request, now: u64) -> (Response, Vec<Order>) {
        match request {
            Request::Store(wire) => (self.serve_store(from, wire, now), Vec::new()),
            Request::Command(wire) => self.serve_command(from, &wire, now),
            Request::Reconcile(asked) => match answer(&self.disk, &self.own(), &asked) {
                Ok(answers) => (Response::Reconciled(answers), Vec::new()),
                Err(error) => (refusal(400, &error.to_string()), Vec::new()),
            },
            Request::HandOver(peer::HandOver { replicas }) => {
                let mut orders = Vec::new();
                let statuses = replicas.into_iter().map(|replica| self.take(replica, now, &mut orders)).collect();
                (Response::Taken(peer::Taken { statuses }), orders)
            }
            _ => (refusal(400, "not simulated"), Vec::new()),
        }
    }

    fn serve_store(&self, from: ServiceNodeId, wire: peer::Store, now: u64) -> Response {
        let Ok(record) = Record::from_wire(wire) else { return refusal(400, "malformed") };
        if !self.shares(&record.deposit().account, &from) {
            return refusal(421, "elsewhere");
        }
        match self.store(record.deposit().clone(), Origin::Member, now) {
            Ok(MemberStored { signature, expiry, already, .. }) => {
                Response::Stored(peer::Stored { signature: signature.to_vec().into(), expiry, already })
            }
            Err(status) => refusal(status, "not stored"),
        }
    }

    fn serve_command(&self, from: ServiceNodeId, wire: &peer::Command, now: u64) -> (Response, Vec<Order>) {
        let Some(command) = command_of(&wire.request) else { return (refusal(400, "malformed"), Vec::new()) };
        if !self.shares(&command.account, &from) {
            return (refusal(421, "elsewhere"), Vec::new());
        }
        if judge_command(&command, Origin::Member, self.clock(now), false).is_err() {
            return (refusal(401, "refused"), Vec::new());
        }
        match give(&command, wire.request.to_vec(), wire.at) {
            Some((change, order)) if self.carry_out(&change, &order, now) => {
                (Response::Command(peer::CommandDone::default()), vec![order])
            }
            _ => (refusal(503, "not done"), Vec::new()),
        }
    }

    fn take(&self, replica: peer::Replica, now: u64, orders: &mut Vec<Order>) -> u32 {
        let is_here = |account: &AccountAddress| self.peers(account).is_some();
        let work = match judge(&self.disk, replica, is_here, self.clock(now)) {
            Ok(work) => work,
            Err(why) => return why.status(),
        };
        work.into_iter().fold(200, |_, work| match work {
            Work::Put(record) => self.put(record, self.clock(now)).map_or(503, |put| status_of(&put)),
            Work::Change(change, order) => {
                let is_done = self.carry_out(&change, &order, now);
                orders.push(order);
                if is_done { 200 } else { 503 }
            }
        })
    }

    fn shares(&self, account: &AccountAddress, with: &ServiceNodeId) -> bool {
        self.peers(account).is_some_and(|peers| peers.contains(with))
    }

    /// Begins a round.
    pub(crate) fn begin_round(&mut self, shuffle: &mut dyn FnMut(&mut Vec<ServiceNodeId>)) {
        let Ok(kept) = kept_by_swarm(&self.disk, self.roster.swarms()) else { return };
        let own = self.roster.swarm_of_node(&self.id);
        let targets = kept.into_iter().map(|(swarm, ranges): (SwarmId, _)| {
            let mut members: Vec<_> = self.roster.members(swarm).filter(|id| *id != self.id).collect();
            shuffle(&mut members);
            Target { swarm, ranges, members, is_own: own == Some(swarm) }
        });
        let targets = targets.collect();
        self.round.begin(targets);
        self.is_in_round = true;
    }
}

pub(crate) fn refusal(status: u32, reason: &str) -> Response {
    Response::Refusal(peer::Refusal { status, reason: reason.into() })
}
