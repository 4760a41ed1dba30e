//! One service node: what it decides is what the real node runs; what it does about sockets, disk and clock is the world's.

use crate::{chain::is_recent, disk::Disk, liar::Lie, roster::Roster};
use ed25519_dalek::{Signer, SigningKey};
use skep_mailbox::{
    Change, Changed, Demand, NameRange, Order, Origin, Put, Quotas, Record, Spent, Standing, Store, StoreError,
    StoreRefusal, Terms, command_of, give, given_at, judge_command, may_retrieve, stamp, words,
};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::{
    account::AccountAddress,
    peer::{self, request::Request, response::Response},
    storage::{Command, MemberStored, MessageHash, OwnerAuth, RetrieveRequest, StoreRequest, signed},
};
use skep_replication::{Round, Target, Work, answer, judge, kept_by_swarm, status_of, stretches};
use skep_work::FLOOR;
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
    /// The work it asks for.
    pub(crate) demand: Demand,
    spent: Spent,
    /// How long after they are made it hears of blocks (ms).
    pub(crate) lag: u64,
    /// What it had no room for.
    pub(crate) turned_away: BTreeMap<MessageHash, Standing>,
}

/// Why a deposit is not kept.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not let in.
    Admission(StoreRefusal),
    /// The store does not take it; the status another member is told.
    Store(u32),
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
    pub(crate) fn new(seed: [u8; 32], quotas: Quotas, (skew, lag): (i64, u64), budget: u64) -> Self {
        let key = SigningKey::from_bytes(&seed);
        Self {
            id: ServiceNodeId(key.verifying_key().to_bytes()),
            key,
            disk: Disk::new(quotas),
            is_small: quotas.capacity < u64::MAX,
            lie: None,
            skew,
            is_up: true,
            life: 0,
            roster: Roster::new(0, BTreeMap::new()),
            round: Round::new(budget),
            is_in_round: false,
            asked: BTreeMap::new(),
            unsynced: Vec::new(),
            is_syncing: false,
            demand: Demand::new(FLOOR),
            spent: Spent::default(),
            lag,
            turned_away: BTreeMap::new(),
        }
    }

    /// What it had in memory is gone, and of what was not synced all but a beginning.
    pub(crate) fn crash(&mut self, rng: &mut impl rand::Rng) {
        self.is_up = false;
        self.life += 1;
        self.is_in_round = false;
        self.is_syncing = false;
        self.unsynced.clear();
        self.asked.clear();
        self.round.start_over();
        self.demand = Demand::new(FLOOR);
        self.spent = Spent::default();
        self.disk.crash(rng);
    }

    /// Its clock (ms).
    pub(crate) fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    /// Whether it does what it says.
    pub(crate) const fn is_honest(&self) -> bool {
        self.lie.is_none()
    }

    /// Whether it has what honest members with room have.
    pub(crate) const fn is_reliable(&self) -> bool {
        self.is_honest() && !self.is_small
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
        MemberStored { hash, signature, expiry, already, t: None }
    }

    /// Whether a deposit is let in; `dice` is random.
    pub(crate) fn admit(
        &self,
        deposit: StoreRequest,
        origin: Origin,
        now: u64,
        dice: u32,
    ) -> Result<Record, StoreRefusal> {
        /// How long it waits for a block that a member has heard of (ms).
        const PATIENCE: u64 = 2_000;
        let heard = if origin == Origin::Member { now + PATIENCE } else { now };
        let is_recent = |hash: &[u8; 32]| is_recent(hash, heard, self.lag);
        let terms = Terms::new(&self.demand, origin, self.clock(now));
        let entrant = terms.weigh(deposit, &is_recent, |work| self.spent.contains(work))?;
        // Memory does not fail.
        entrant.judge(&self.disk, dice).unwrap_or(Err(StoreRefusal::Signature))
    }

    /// Keeps a message, if it is let in.
    pub(crate) fn store(
        &mut self,
        deposit: StoreRequest,
        origin: Origin,
        now: u64,
        dice: u32,
    ) -> Result<MemberStored, Refused> {
        let record = self.admit(deposit, origin, now, dice).map_err(Refused::Admission)?;
        let (hash, work) = (record.hash(), record.deposit().work.clone());
        match self.put(record, now) {
            Ok(Put::Stored { expiry, already }) => {
                if let Some(work) = &work {
                    self.spent.spend(work, self.clock(now));
                }
                Ok(self.sign(hash, expiry, already))
            }
            Ok(put @ (Put::Full | Put::Gone)) => Err(Refused::Store(status_of(&put))),
            Err(_) => Err(Refused::Store(503)),
        }
    }

    fn put(&mut self, record: Record, now: u64) -> Result<Put, StoreError> {
        let (hash, standing) = (record.hash(), record.standing());
        let put = self.disk.put(&[record], self.clock(now))?.first().copied().ok_or(StoreError::Damaged("memory"))?;
        if put == Put::Full {
            self.turned_away.insert(hash, standing);
        }
        Ok(put)
    }

    /// Whether it lets a mailbox be read.
    pub(crate) fn lets_read(&self, request: &RetrieveRequest, now: u64) -> bool {
        let auth = request.auth.as_ref().map(|timed| &timed.auth);
        let is_revoked = auth.is_some_and(|auth| self.has_revoked(&request.account, auth));
        may_retrieve(request, self.clock(now), is_revoked).is_ok()
    }

    fn has_revoked(&self, account: &AccountAddress, auth: &OwnerAuth) -> bool {
        let revoked = self.disk.revoked(account).unwrap_or_default();
        auth.subaccount.as_ref().is_some_and(|by| revoked.contains(&by.token))
    }

    /// Judges what a client orders, and stamps it.
    pub(crate) fn stamp(&self, command: &Command, request: Vec<u8>, now: u64) -> Option<(Change, Order)> {
        let now = self.clock(now);
        let change = judge_command(command, Origin::Client, now, false).ok()?;
        let newest = self.disk.newest(&change, now).ok()?;
        let kept = words(&self.disk, command, now).ok()?;
        give(command, request, stamp(command, now, newest, &kept), &kept)
    }

    /// Does what an owner orders.
    pub(crate) fn carry_out(&self, change: &Change, order: &Order, now: u64) -> bool {
        let changed = self.disk.change(change, Some(order), self.clock(now));
        matches!(changed, Ok(Changed::Messages(_) | Changed::Tokens(_)))
    }

    /// Answers another member. What it changes is on disk only after a sync.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only what keeps a swarm equal is simulated")]
    pub(crate) fn serve(&mut self, from: ServiceNodeId, request: Request, now: u64) -> (Response, Vec<Order>) {
        match request {
            Request::Store(wire) => (self.serve_store(from, wire, now), Vec::new()),
            Request::Command(wire) => self.serve_command(from, &wire, now),
            Request::Reconcile(asked) => match answer(&self.disk, &self.own(), &asked) {
                Ok(answers) => (Response::Reconciled(answers), Vec::new()),
                Err(error) => (refusal(400, &error.to_string()), Vec::new()),
            },
            Request::HandOver(peer::HandOver { replicas }) => {
                let mut orders = Vec::new();
                let mut statuses = Vec::with_capacity(replicas.len());
                for replica in replicas {
                    statuses.push(self.take(replica, now, &mut orders));
                }
                (Response::Taken(peer::Taken { statuses }), orders)
            }
            _ => (refusal(400, "not simulated"), Vec::new()),
        }
    }

    fn serve_store(&mut self, from: ServiceNodeId, wire: peer::Store, now: u64) -> Response {
        let Ok(record) = Record::from_wire(wire) else { return refusal(400, "malformed") };
        if !self.shares(&record.deposit().account, &from) {
            return refusal(421, "elsewhere");
        }
        match self.store(record.deposit().clone(), Origin::Member, now, 0) {
            Ok(MemberStored { signature, expiry, already, .. }) => {
                Response::Stored(peer::Stored { signature: signature.to_vec().into(), expiry, already })
            }
            Err(Refused::Admission(why)) => refusal(401, &why.to_string()),
            Err(Refused::Store(status)) => refusal(status, "not stored"),
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
        let Some(at) = given_at(wire.at, self.clock(now)) else { return (refusal(406, "in the future"), Vec::new()) };
        let kept = words(&self.disk, &command, self.clock(now)).unwrap_or_default();
        match give(&command, wire.request.to_vec(), at, &kept) {
            Some((change, order)) if self.carry_out(&change, &order, now) => {
                (Response::Command(peer::CommandDone::default()), vec![order])
            }
            _ => (refusal(503, "not done"), Vec::new()),
        }
    }

    fn take(&mut self, replica: peer::Replica, now: u64, orders: &mut Vec<Order>) -> u32 {
        let is_here = |account: &AccountAddress| self.peers(account).is_some();
        let work = match judge(&self.disk, replica, is_here, self.clock(now)) {
            Ok(work) => work,
            Err(why) => return why.status(),
        };
        let mut last = 200;
        for step in work {
            last = match step {
                Work::Put(record) => self.put(record, now).map_or(503, |put| status_of(&put)),
                Work::Change(change, order) => {
                    let is_done = self.carry_out(&change, &order, now);
                    orders.push(order);
                    if is_done { 200 } else { 503 }
                }
            };
        }
        last
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
