//! One node's turn: every member that should have something of what is kept here.

use crate::{BringUp, Failure, Release, Step, enough, refusals::Refusals};
use skep_mailbox::{ItemName, NameRange, Store};
use skep_primitives::{ServiceNodeId, SwarmId};
use skep_proto::peer::{self, request::Request};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Longest comparison with one member in one round (ms), handing over included; the next round goes on with it.
const LONGEST_COMPARISON: u64 = 120_000;

/// A swarm that owns something kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub swarm: SwarmId,
    /// The names of what it owns.
    pub ranges: Vec<NameRange>,
    /// Its members but this node, in the order they are asked.
    pub members: Vec<ServiceNodeId>,
    /// This node is one of them: nothing is let go of.
    pub is_own: bool,
}

/// Goes through targets one by one, through the members of each at the same time.
///
/// | event | effect |
/// |---|---|
/// | [`Round::begin`] | these targets are to be made equal |
/// | [`Round::poll`] | what to do next |
/// | [`Round::handle`] | a member's answer, or none |
///
/// What has spent its budget or its time rests and goes on in the next round. What a member has no room for, or knows to be
/// deleted, is not offered to it again for some rounds.
#[derive(Debug)]
pub struct Round {
    budget: u64,
    targets: Vec<Target>,
    now: Option<(Target, Phase)>,
    resting: HashMap<(SwarmId, ServiceNodeId), BringUp>,
    refusals: HashMap<(SwarmId, ServiceNodeId), Refusals>,
    handed: u64,
}

#[derive(Debug)]
enum Phase {
    /// Each member is made equal.
    Comparing { members: BTreeMap<ServiceNodeId, Member>, reached: Vec<ServiceNodeId> },
    /// Members confirm what they have, page by page.
    Releasing { release: Release, reached: Vec<ServiceNodeId>, awaited: BTreeSet<ServiceNodeId>, asked: bool },
}

#[derive(Debug)]
struct Member {
    bring_up: BringUp,
    is_awaited: bool,
    handed_before: u64,
    until: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask these members; [`Round::handle`] wants each one's answer.
    Ask(Vec<(ServiceNodeId, Request)>),
    /// Remove these things, which that swarm has now, provided nothing has moved since.
    Forget(SwarmId, Vec<ItemName>),
    /// Answers are awaited.
    Wait,
    /// The round is over.
    Done,
}

impl Round {
    /// No round yet; `budget` is how many bytes may be exchanged with one member in one round.
    pub fn new(budget: u64) -> Self {
        Self { budget, targets: Vec::new(), now: None, resting: HashMap::new(), refusals: HashMap::new(), handed: 0 }
    }

    /// Begins a round. What is left of one before counts no more.
    pub fn begin(&mut self, mut targets: Vec<Target>) {
        targets.reverse();
        self.targets = targets;
        self.now = None;
    }

    /// Swarms have changed: what rests may belong elsewhere, and what was refused may be welcome.
    pub fn start_over(&mut self) {
        self.resting.clear();
        self.refusals.clear();
    }

    /// Things handed over since this was asked last.
    pub fn take_handed(&mut self) -> u64 {
        std::mem::take(&mut self.handed)
    }

    /// What to do at `now` (ms). Whatever fails, fails for one member.
    pub fn poll(&mut self, store: &dyn Store, now: u64) -> Next {
        loop {
            let Some((target, phase)) = self.now.take() else {
                let Some(target) = self.targets.pop() else { return Next::Done };
                let phase = self.compare(&target, now);
                self.now = Some((target, phase));
                continue;
            };
            match phase {
                Phase::Comparing { mut members, mut reached } => {
                    let asks = self.ask_all(&target, &mut members, &mut reached, store, now);
                    let is_over = members.is_empty();
                    if !is_over {
                        self.now = Some((target, Phase::Comparing { members, reached }));
                        return if asks.is_empty() { Next::Wait } else { Next::Ask(asks) };
                    }
                    // This node may be none of the swarm's members.
                    if !target.is_own && reached.len() >= enough(target.members.len()) {
                        let release = Release::new(target.ranges.clone());
                        let phase = Phase::Releasing { release, reached, awaited: BTreeSet::new(), asked: false };
                        self.now = Some((target, phase));
                    }
                }
                Phase::Releasing { mut release, reached, awaited, asked } => {
                    if !awaited.is_empty() {
                        self.now = Some((target, Phase::Releasing { release, reached, awaited, asked }));
                        return Next::Wait;
                    }
                    if asked {
                        let names = release.confirmed(enough(target.members.len()));
                        let swarm = target.swarm;
                        self.now = Some((target, Phase::Releasing { release, reached, awaited, asked: false }));
                        if !names.is_empty() {
                            return Next::Forget(swarm, names);
                        }
                        continue;
                    }
                    // On a failure of the store everything is kept.
                    let Ok(Some(question)) = release.next_page(store) else { continue };
                    let awaited = reached.iter().copied().collect();
                    let asks = reached.iter().map(|member| (*member, question.clone())).collect();
                    self.now = Some((target, Phase::Releasing { release, reached, awaited, asked: true }));
                    return Next::Ask(asks);
                }
            }
        }
    }

    /// Takes a member's answer; `None` if it gave none. What is wrong with it, if anything.
    pub fn handle(
        &mut self,
        store: &dyn Store,
        member: ServiceNodeId,
        answer: Option<peer::Response>,
    ) -> Result<(), Failure> {
        match &mut self.now {
            Some((target, Phase::Comparing { members, .. })) => {
                let Some(running) = members.get_mut(&member).filter(|running| running.is_awaited) else {
                    return Ok(());
                };
                running.is_awaited = false;
                let handled = match answer {
                    Some(answer) => running.bring_up.handle(store, answer),
                    None => Err(Failure::Unexpected),
                };
                if handled.is_err()
                    && let Some(Member { bring_up, handed_before, .. }) = members.remove(&member)
                {
                    self.handed += bring_up.handed().saturating_sub(handed_before);
                    self.refusals.insert((target.swarm, member), bring_up.into_refusals());
                }
                handled
            }
            Some((target, Phase::Releasing { release, awaited, .. })) => {
                let refusals = self.refusals.get(&(target.swarm, member));
                let is_settled = |name: &ItemName| refusals.is_some_and(|refusals| refusals.is_settled(name));
                match (awaited.remove(&member), answer) {
                    (true, Some(answer)) => release.handle(answer, is_settled),
                    // Who does not answer confirms nothing.
                    (true | false, _) => Ok(()),
                }
            }
            None => Ok(()),
        }
    }

    fn compare(&mut self, target: &Target, now: u64) -> Phase {
        let begin = |member: &ServiceNodeId| {
            let key = (target.swarm, *member);
            let mut bring_up = self.resting.remove(&key).unwrap_or_else(|| {
                let fresh = || if target.is_own { Refusals::default() } else { Refusals::of_another_swarm() };
                let refusals = self.refusals.remove(&key).unwrap_or_else(fresh);
                BringUp::knowing(refusals, target.ranges.clone(), self.budget)
            });
            bring_up.resume();
            let handed_before = bring_up.handed();
            let until = now.saturating_add(LONGEST_COMPARISON);
            (*member, Member { bring_up, is_awaited: false, handed_before, until })
        };
        Phase::Comparing { members: target.members.iter().map(begin).collect(), reached: Vec::new() }
    }

    /// The next request to each member that is not awaited; members that are done or rest are taken out.
    fn ask_all(
        &mut self,
        target: &Target,
        members: &mut BTreeMap<ServiceNodeId, Member>,
        reached: &mut Vec<ServiceNodeId>,
        store: &dyn Store,
        now: u64,
    ) -> Vec<(ServiceNodeId, Request)> {
        let mut asks = Vec::new();
        for id in members.keys().copied().collect::<Vec<_>>() {
            let Some(member) = members.get_mut(&id).filter(|member| !member.is_awaited) else { continue };
            let step = if now >= member.until { Ok(Step::Rest) } else { member.bring_up.poll(store, now) };
            if let Ok(Step::Ask(request)) = step {
                member.is_awaited = true;
                asks.push((id, request));
                continue;
            }
            let Some(Member { bring_up, handed_before, .. }) = members.remove(&id) else { continue };
            self.handed += bring_up.handed().saturating_sub(handed_before);
            let key = (target.swarm, id);
            match step {
                Ok(Step::Rest) => {
                    self.resting.insert(key, bring_up);
                    continue;
                }
                Ok(Step::Done { .. }) => reached.push(id),
                Ok(Step::Ask(_)) | Err(_) => {}
            }
            self.refusals.insert(key, bring_up.into_refusals());
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusals::ROUNDS;
    use crate::{
        bring_up::testing::serve,
        session::testing::{NOW, message, store_of},
    };
    use skep_mailbox::{Change, MemoryStore, Order, Quotas, RECORD_BYTES, Record};
    use skep_proto::storage::StoreRequest;

    fn id(number: u8) -> ServiceNodeId {
        ServiceNodeId([number; 32])
    }

    /// Runs a round of `ours` with members that answer, or do not. How many things were offered.
    fn run(round: &mut Round, ours: &MemoryStore, members: &[Option<&MemoryStore>], is_own: bool) -> usize {
        let target = Target {
            swarm: SwarmId(7),
            ranges: vec![NameRange::ALL],
            members: (0..members.len() as u8).map(id).collect(),
            is_own,
        };
        round.begin(vec![target]);
        let mut offered = 0;
        loop {
            match round.poll(ours, NOW) {
                Next::Ask(asks) => {
                    for (member, request) in asks {
                        if let Request::HandOver(peer::HandOver { replicas }) = &request {
                            offered += replicas.len();
                        }
                        let answer = members[usize::from(member.0[0])].map(|store| serve(store, request, NOW));
                        let _ = round.handle(ours, member, answer);
                    }
                }
                Next::Forget(swarm, names) => {
                    assert_eq!(swarm, SwarmId(7));
                    ours.change(&Change::Forget { names }, None, NOW).expect("memory");
                }
                Next::Wait => panic!("every answer has been given"),
                Next::Done => return offered,
            }
        }
    }

    #[test]
    fn a_swarm_becomes_equal_member_by_member() {
        let (ours, a, b) = (store_of(0..300), store_of(100..200), store_of(0..0));
        let mut round = Round::new(u64::MAX);
        run(&mut round, &ours, &[Some(&a), None, Some(&b)], true);
        assert_eq!([&ours, &a, &b].map(|store| store.usage().messages), [300; 3]);
        assert_eq!((round.take_handed(), round.take_handed()), (500, 0));
    }

    #[test]
    fn what_is_anothers_goes_once_enough_of_them_have_it() {
        let (ours, a, b, full) =
            (store_of(0..300), store_of(0..0), store_of(0..0), MemoryStore::new((8 + RECORD_BYTES) * 10));
        let mut round = Round::new(u64::MAX);
        run(&mut round, &ours, &[Some(&a), Some(&b), Some(&full), None], false);
        assert_eq!(ours.usage().messages, 290, "three have only ten");
        let c = store_of(0..0);
        run(&mut round, &ours, &[Some(&a), Some(&b), Some(&full), Some(&c)], false);
        assert_eq!(ours.usage().messages, 0);
        assert!([&a, &b].iter().all(|store| store.usage().messages == 300));
        assert!(c.usage().messages >= 290);
    }

    /// A node comes back in another swarm with what owners have deleted meanwhile, or sent again for longer.
    #[test]
    fn what_is_over_elsewhere_is_let_go_of() {
        let (ours, elsewhere) = (store_of(0..30), [0; 3].map(|_| store_of(0..30)));
        let again = {
            let deposit = message(1).deposit().clone();
            Record::new(StoreRequest { expiry: deposit.expiry + 1, ..deposit })
        };
        for store in &elsewhere {
            let account = message(0).deposit().account;
            let change = Change::Delete { account, messages: vec![message(0).hash()], until: NOW };
            let order = Order { account, signature: [7; 64], request: b"{}".to_vec(), at: NOW };
            store.change(&change, Some(&order), NOW).expect("memory");
            store.put(std::slice::from_ref(&again), NOW).and_then(|_| store.sync()).expect("memory");
        }
        let [a, b, c] = elsewhere.each_ref().map(Some);
        let mut round = Round::new(u64::MAX);
        assert_eq!(run(&mut round, &ours, &[a, b, None], false), 4);
        assert_eq!(ours.usage().messages, 30, "two of them are not enough");
        assert_eq!(run(&mut round, &ours, &[a, b, c], false), 4, "what was deleted is offered to the third only");
        assert_eq!(ours.usage().messages, 0);
        let kept = |store: &MemoryStore| (store.usage().messages, store.has(&again.name()).expect("memory"));
        assert!(elsewhere.iter().all(|store| kept(store) == (29, true)));
    }

    #[test]
    fn too_few_members_take_over_nothing() {
        let (ours, a, b) = (store_of(0..30), store_of(0..0), store_of(0..0));
        let mut round = Round::new(u64::MAX);
        run(&mut round, &ours, &[Some(&a), Some(&b), None], false);
        assert_eq!(ours.usage().messages, 30);
        assert!(a.has(&message(3).name()).expect("memory"), "but they have it already");
    }

    #[test]
    fn what_is_refused_is_not_offered_each_round() {
        let no_unproven = Quotas { unproven_capacity: (8 + RECORD_BYTES) * 10, ..u64::MAX.into() };
        let (ours, full) = (store_of(0..300), MemoryStore::new(no_unproven));
        let mut round = Round::new(u64::MAX);
        let mut offered = || run(&mut round, &ours, &[Some(&full)], true);
        assert_eq!(offered(), 300);
        for _ in 0..ROUNDS {
            assert_eq!(offered(), 0);
        }
        ours.put(&[message(300)], NOW).expect("memory");
        assert_eq!(offered(), 1, "what is new is");
        let again: usize = (0..ROUNDS).map(|_| offered()).sum();
        assert_eq!(again, 290, "once more, later");
        full.set_quotas(u64::MAX.into());
        round.start_over();
        assert_eq!(run(&mut round, &ours, &[Some(&full)], true), 291, "at once where the swarm has changed");
        assert_eq!(full.usage().messages, 301);
    }

    #[test]
    fn a_spent_budget_waits_for_the_next_round() {
        let (ours, a) = (store_of(0..2_000), store_of(0..0));
        let mut round = Round::new(20_000);
        run(&mut round, &ours, &[Some(&a)], true);
        assert!((1..2_000).contains(&a.usage().messages), "{:?}", a.usage());
        for _ in 0..20 {
            run(&mut round, &ours, &[Some(&a)], true);
        }
        assert_eq!(a.usage().messages, 2_000);
    }
}
