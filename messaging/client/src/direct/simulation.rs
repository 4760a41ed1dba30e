//! Two people with real ratchets, a mailbox and a listening node each, on a virtual clock, while programs end, nodes forget,
//! are busy and lie, and answers get lost.

use super::*;
use crate::{
    conversation::{Contact, Manner, Own, accept, is_acknowledged, may_go_directly, receive, request, say},
    event::Event,
};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_envelope::{Body, DisplayName, Identity, Opened, Payload, Prekeys, ReceiptKind};
use skep_proto::storage::listening::{DeliveredMessage, Handle, SESSION_LIFE, SessionSecret};
use std::collections::{HashMap, HashSet, VecDeque};

/// Milliseconds of one step.
const STEP: Moment = 250;
const START: Moment = 1_800_000_000_000;

/// What goes wrong, in thousandths.
#[derive(Clone, Copy)]
struct Faults {
    /// A program ends, at any moment, and at the worst ones.
    crash: u32,
    /// A listening node forgets everything.
    amnesia: u32,
    /// A message is taken and then lost.
    swallowed: u32,
    /// A message is taken, but the sender does not hear of it.
    unheard: u32,
    busy: u32,
    /// An answer to a listening call is lost.
    silent: u32,
    /// A message is not stored yet.
    slow_mail: u32,
}

const NONE: Faults = Faults { crash: 0, amnesia: 0, swallowed: 0, unheard: 0, busy: 0, silent: 0, slow_mail: 0 };

/// What is on disk, and a program that may be running.
struct Peer {
    account: AccountAddress,
    name: DisplayName,
    prekeys: Prekeys,
    contact: Option<Contact>,
    direct: Vec<(MessageId, Body, Moment)>,
    outbox: VecDeque<Payload>,
    shown: Vec<MessageId>,
    to_acknowledge: Vec<MessageId>,
    said: Vec<MessageId>,
    told_delivered: HashSet<MessageId>,
    /// None while the program does not run.
    lines: Option<Lines>,
    starts_at: Moment,
    reads_at: Moment,
    /// With when they were made, and whether they opened the session.
    calls: Vec<(Call, Moment, bool)>,
}

#[derive(Default)]
struct Listener {
    handles: HashMap<Handle, [u8; 32]>,
    queue: VecDeque<DeliveredMessage>,
    numbered: u64,
    last: Moment,
}

#[derive(Default, Debug)]
struct Counts {
    directly: usize,
    by_mail: usize,
    fallen: usize,
    unreadable: usize,
    twice: usize,
    crashes: usize,
    busy: usize,
}

struct World {
    now: Moment,
    rng: ChaCha20Rng,
    faults: Faults,
    peers: [Peer; 2],
    mailboxes: [VecDeque<Payload>; 2],
    /// Payloads on their direct way, by what stands for them.
    travelling: Vec<Payload>,
    listeners: HashMap<SessionSecret, Listener>,
    counts: Counts,
}

impl Peer {
    fn new(number: u64) -> Self {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(number));
        Self {
            account: identity.account(),
            name: "A".parse().unwrap(),
            prekeys: Prekeys::new(identity.account()),
            contact: None,
            direct: Vec::new(),
            outbox: VecDeque::new(),
            shown: Vec::new(),
            to_acknowledge: Vec::new(),
            said: Vec::new(),
            told_delivered: HashSet::new(),
            lines: None,
            starts_at: 0,
            reads_at: 0,
            calls: Vec::new(),
        }
    }

    fn own(&self) -> Own<'_> {
        Own { account: self.account, name: &self.name, prekeys: &self.prekeys, listening: None }
    }

    fn keep(&mut self, change: crate::conversation::Change) -> Option<Payload> {
        self.contact = change.contact.or(self.contact.take());
        if let Some(prekeys) = change.prekeys {
            self.prekeys = prekeys;
        }
        change.outgoing.map(|outgoing| outgoing.payload)
    }
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let [mut alice, mut bob] = [Peer::new(2 * seed + 1), Peer::new(2 * seed + 2)];
        let asked = request(alice.own(), None, bob.account, "hello".into(), START).unwrap();
        let opened = Opened { source: alice.account, payload: alice.keep(asked).unwrap() };
        let heard = receive(bob.own(), None, opened, Way::Mail, START, &mut rng).unwrap();
        bob.keep(heard);
        let accepted = accept(bob.own(), bob.contact.as_ref().unwrap(), START, &mut rng).unwrap();
        let opened = Opened { source: bob.account, payload: bob.keep(accepted).unwrap() };
        let heard = receive(alice.own(), alice.contact.as_ref(), opened, Way::Mail, START, &mut rng).unwrap();
        alice.keep(heard);
        Self {
            now: START,
            rng,
            faults,
            peers: [alice, bob],
            mailboxes: Default::default(),
            travelling: Vec::new(),
            listeners: HashMap::new(),
            counts: Counts::default(),
        }
    }

    fn happens(&mut self, thousandths: u32) -> bool {
        self.rng.random_range(0..1000) < thousandths
    }

    fn crash(&mut self, who: usize) {
        let (now, down) = (self.now, self.rng.random_range(0..60_000));
        let peer = &mut self.peers[who];
        (peer.lines, peer.starts_at) = (None, now + down);
        peer.calls.clear();
        self.counts.crashes += 1;
    }

    /// Says something as the client does. False: the program ended in the middle.
    fn say(&mut self, who: usize, id: MessageId, body: Option<Body>) -> bool {
        let (now, other) = (self.now, self.peers[1 - who].account);
        let peer = &mut self.peers[who];
        let contact = peer.contact.as_ref().unwrap();
        let Some(lines) = &mut peer.lines else { return false };
        lines.attend(other, now, &mut self.rng);
        let direct = body.as_ref().is_none_or(may_go_directly) && peer.outbox.is_empty();
        let to = lines.address(&other, contact.session().unwrap().stamps, now).filter(|_| direct);
        let way = if to.is_some() { Way::Direct } else { Way::Mail };
        let manner = Manner { way, listening: lines.listening_for(&other) };
        let payload = peer.keep(say(contact, manner, id, body.clone(), now).unwrap()).unwrap();
        peer.lines.as_mut().unwrap().tells(&other);
        let Some(to) = to else {
            peer.outbox.push_back(payload);
            self.counts.by_mail += 1;
            return true;
        };
        let kept = body.as_ref().is_some_and(is_acknowledged);
        if kept {
            peer.direct.push((id, body.clone().unwrap(), now));
        }
        if self.happens(self.faults.crash) {
            self.crash(who);
            return false;
        }
        let given = self.give(Handle(to.handle), to.token, payload);
        if self.happens(self.faults.crash) {
            self.crash(who);
            return false;
        }
        let lines = self.peers[who].lines.as_mut().unwrap();
        let Err(refusal) = given else {
            self.counts.directly += 1;
            if kept {
                lines.given(&other, id, now);
            }
            return true;
        };
        lines.refused(&other, refusal, now, &mut self.rng);
        match (refusal, kept) {
            (Refusal::Dead, _) => {
                self.counts.fallen += 1;
                self.mail_direct(who);
            }
            (Refusal::Busy, true) => {
                let row = self.peers[who].direct.pop().unwrap();
                self.mail(who, row.0, row.1, row.2);
            }
            (Refusal::Busy, false) => {}
        }
        if let Some(body @ Body::Receipt(ReceiptKind::Delivered, _)) = body {
            self.mail(who, id, body, now);
        }
        true
    }

    fn mail(&mut self, who: usize, id: MessageId, body: Body, timestamp: Moment) {
        let other = self.peers[1 - who].account;
        let peer = &mut self.peers[who];
        let lines = peer.lines.as_mut().unwrap();
        let manner = Manner { way: Way::Mail, listening: lines.listening_for(&other) };
        lines.tells(&other);
        let payload = peer.keep(say(peer.contact.as_ref().unwrap(), manner, id, body, timestamp).unwrap());
        peer.outbox.push_back(payload.unwrap());
        self.counts.by_mail += 1;
    }

    fn mail_direct(&mut self, who: usize) {
        for (id, body, timestamp) in std::mem::take(&mut self.peers[who].direct) {
            self.mail(who, id, body, timestamp);
        }
    }

    /// A listening node is given a message.
    fn give(&mut self, handle: Handle, token: [u8; 32], payload: Payload) -> Result<(), Refusal> {
        if self.happens(self.faults.busy) {
            self.counts.busy += 1;
            return Err(Refusal::Busy);
        }
        let swallowed = self.happens(self.faults.swallowed);
        self.forget_sessions();
        let known = self.listeners.values_mut().find(|listener| listener.handles.get(&handle) == Some(&token));
        let listener = known.ok_or(Refusal::Dead)?;
        if !swallowed {
            let data = (self.travelling.len() as u64).to_le_bytes().to_vec();
            self.travelling.push(payload);
            listener.numbered += 1;
            listener.queue.push_back(DeliveredMessage { sequence: listener.numbered, handle, data });
        }
        if self.happens(self.faults.unheard) { Err(Refusal::Dead) } else { Ok(()) }
    }

    fn forget_sessions(&mut self) {
        let now = self.now;
        self.listeners.retain(|_, listener| listener.last + SESSION_LIFE > now);
    }

    /// A call reaches its node.
    fn call(&mut self, who: usize, call: Call) {
        self.forget_sessions();
        let (now, opened) = (self.now, !self.listeners.contains_key(&call.request.session));
        let listener = self.listeners.entry(call.request.session).or_default();
        listener.handles = call.request.contacts.iter().map(|contact| (contact.handle, contact.token.0)).collect();
        listener.queue.retain(|message| message.sequence > call.request.ack);
        listener.last = now + call.request.hold;
        self.peers[who].calls.push((call, now, opened));
    }

    /// Nodes answer the calls that wait.
    fn answer(&mut self, who: usize) {
        let now = self.now;
        let calls = std::mem::take(&mut self.peers[who].calls);
        for (number, (call, since, opened)) in calls.iter().enumerate() {
            let session = call.request.session;
            let newer = calls.iter().skip(number + 1).any(|(other, ..)| other.request.session == session);
            let due = since + call.request.hold.max(STEP) <= now;
            let queue = self.listeners.get(&session).map(|listener| &listener.queue);
            if !(due || newer) && queue.is_some_and(VecDeque::is_empty) {
                self.peers[who].calls.push((call.clone(), *since, *opened));
                continue;
            }
            let (messages, more) = match queue {
                Some(queue) => (queue.iter().take(5).cloned().collect(), queue.len() > 5),
                None => (Vec::new(), false),
            };
            // A node that has forgotten the session since does not answer.
            if queue.is_none() || self.happens(self.faults.silent) {
                let lines = self.peers[who].lines.as_mut().unwrap();
                lines.handle_failed(call, ListenFailure::Silent, now);
                continue;
            }
            let opened = *opened;
            let answer = ListenResponse { opened, messages, more, t: 0, hf: [0; 2], pad: String::new() };
            let Some(lines) = &mut self.peers[who].lines else { return };
            let delivered = lines.handle_listened(call, answer, now);
            for Delivered { data, .. } in delivered {
                let payload =
                    self.travelling[usize::try_from(u64::from_le_bytes(data.try_into().unwrap())).unwrap()].clone();
                self.hear(who, payload, Way::Direct);
            }
            if self.happens(self.faults.crash) {
                return self.crash(who);
            }
            let other = self.peers[1 - who].account;
            let owed = self.peers[who].lines.as_mut().unwrap().owed(&other);
            let id = self.id();
            if !owed.is_empty() && !self.say(who, id, Some(Body::Receipt(ReceiptKind::Delivered, owed))) {
                return;
            }
        }
    }

    fn hear(&mut self, who: usize, payload: Payload, way: Way) {
        let (now, other) = (self.now, self.peers[1 - who].account);
        let peer = &mut self.peers[who];
        let opened = Opened { source: other, payload };
        let change = match receive(peer.own(), peer.contact.as_ref(), opened, way, now, &mut self.rng) {
            Ok(change) => change,
            Err(_) if way == Way::Direct => return,
            Err(_) => return self.counts.unreadable += 1,
        };
        assert!(!change.resend, "no session is started anew");
        let told = change.told.unwrap();
        for event in &change.events {
            if let Event::Message { id, .. } = event {
                if peer.shown.contains(id) {
                    self.counts.twice += 1;
                } else {
                    peer.shown.push(*id);
                }
                if way == Way::Mail {
                    peer.to_acknowledge.push(*id);
                }
            } else if let Event::Receipt { ids, .. } = event {
                peer.direct.retain(|(id, _, _)| !ids.contains(id));
                peer.told_delivered.extend(ids);
                peer.lines.as_mut().unwrap().acknowledged(&other, ids);
            } else {
                panic!("{event:?}");
            }
        }
        peer.keep(change);
        let lines = peer.lines.as_mut().unwrap();
        if told.sync.is_some_and(|sync| sync.listening.is_some()) {
            lines.attend(other, now, &mut self.rng);
        }
        lines.told(&other, &told, way, now);
    }

    fn id(&mut self) -> MessageId {
        MessageId::random(&mut self.rng)
    }

    fn read_mail(&mut self, who: usize) {
        for payload in std::mem::take(&mut self.mailboxes[who]) {
            self.hear(who, payload, Way::Mail);
        }
        let ids = std::mem::take(&mut self.peers[who].to_acknowledge);
        if !ids.is_empty() {
            let id = self.id();
            self.say(who, id, Some(Body::Receipt(ReceiptKind::Delivered, ids)));
        }
    }

    fn step(&mut self, talk: bool) {
        self.now += STEP;
        if self.happens(self.faults.amnesia) {
            self.listeners.clear();
        }
        for who in 0..2 {
            let (now, other) = (self.now, self.peers[1 - who].account);
            if self.peers[who].lines.is_none() {
                if now < self.peers[who].starts_at {
                    continue;
                }
                let mut lines = Lines::default();
                lines.attend(other, now, &mut self.rng);
                self.peers[who].lines = Some(lines);
                self.mail_direct(who);
            }
            if self.happens(self.faults.crash) {
                self.crash(who);
                continue;
            }
            self.answer(who);
            if talk && self.rng.random_range(0..8) == 0 && self.peers[who].lines.is_some() {
                let id = self.id();
                self.peers[who].said.push(id);
                // What a program that ends has not kept was never said; here it always has.
                self.say(who, id, Some(Body::Text("hi".to_owned().into())));
            }
            let Some(lines) = &mut self.peers[who].lines else { continue };
            if !lines.handle_timeout(now, &mut self.rng).is_empty() {
                self.counts.fallen += 1;
                self.mail_direct(who);
            }
            // Mail leaves in its order.
            while !self.happens(self.faults.slow_mail)
                && let Some(payload) = self.peers[who].outbox.pop_front()
            {
                self.mailboxes[1 - who].push_back(payload);
            }
            if now >= self.peers[who].reads_at {
                self.peers[who].reads_at = now + self.rng.random_range(2_000..5_000);
                self.read_mail(who);
            }
            let Some(lines) = &mut self.peers[who].lines else { continue };
            if lines.needs_node(now) {
                let node = ServiceNodeId([self.rng.random_range(1..8); 32]);
                lines.listen_on(node, &mut self.rng);
            }
            if let Some(call) = lines.poll_listen(now, &mut self.rng) {
                self.call(who, call);
            }
            let contact = self.peers[who].contact.as_ref().unwrap();
            let clean = contact.session().unwrap().stamps.is_all_heard();
            let untold = self.peers[who].lines.as_ref().is_some_and(|lines| !lines.to_be_told(now).is_empty());
            if untold && clean {
                let id = self.id();
                self.say(who, id, None);
            }
        }
    }

    /// Runs until this many messages were said, then without faults until nothing is under way.
    fn run(&mut self, messages: usize) {
        while self.peers.iter().map(|peer| peer.said.len()).sum::<usize>() < messages {
            self.step(true);
        }
        self.faults = NONE;
        for _ in 0..20_000 {
            self.step(false);
            let quiet =
                |peer: &Peer| peer.outbox.is_empty() && peer.direct.is_empty() && peer.to_acknowledge.is_empty();
            let empty = |listener: &Listener| listener.queue.is_empty();
            let travelled = self.listeners.values().all(empty) && self.mailboxes.iter().all(VecDeque::is_empty);
            if self.peers.iter().all(quiet) && travelled {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.counts);
    }

    /// Everything that was said was shown, once.
    fn check(&self) {
        for (speaker, listener) in [(0, 1), (1, 0)] {
            let (said, shown) = (&self.peers[speaker].said, &self.peers[listener].shown);
            let once: HashSet<_> = shown.iter().collect();
            assert_eq!(once.len(), shown.len(), "{:?}", self.counts);
            assert_eq!(once, said.iter().collect(), "{:?}", self.counts);
        }
        assert_eq!(self.counts.unreadable, 0, "mail became unreadable: {:?}", self.counts);
    }
}

#[test]
fn ten_thousand_messages_arrive_once_each_while_either_side_drops() {
    let rough = Faults { crash: 2, amnesia: 1, swallowed: 10, unheard: 10, busy: 10, silent: 20, slow_mail: 300 };
    let mut all = Counts::default();
    for seed in 0..10 {
        let mut world = World::new(seed, rough);
        world.run(1_000);
        world.check();
        all.directly += world.counts.directly;
        all.fallen += world.counts.fallen;
        all.twice += world.counts.twice;
        all.crashes += world.counts.crashes;
        all.busy += world.counts.busy;
    }
    // It was not all mail, and what can go wrong did.
    assert!(all.directly > 2_000 && all.fallen > 50 && all.crashes > 50 && all.busy > 20 && all.twice > 10, "{all:?}");
}

#[test]
fn where_nothing_goes_wrong_nearly_everything_goes_directly() {
    let mut world = World::new(77, NONE);
    world.run(400);
    world.check();
    let Counts { directly, by_mail, fallen, twice, .. } = world.counts;
    assert!((fallen, twice) == (0, 0) && by_mail * 10 < directly, "{:?}", world.counts);
    // Each side knows that the other has everything.
    for peer in &world.peers {
        assert!(peer.said.iter().all(|id| peer.told_delivered.contains(id)));
    }
}
