//! Random calls on the whole runtime, block after block: whatever people do, in whatever order, the chain's promises hold.
//!
//! `scripts/calls N [SEED]` runs any number of calls; the test runs a few thousand. Calls are dispatched without their
//! signatures, which other tests cover, so that most of the time goes into what is tested.

use codec::Encode;
use frame_support::traits::{CallMetadata, Contains, GetCallMetadata, OnFinalize, OnInitialize};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use skep_primitives::{
    Announcement, Balance, CodeHash, Endpoint, Motion, NodeState, Permyriad, Reason, Reasons, Reservation,
    ServiceNodeId, SoftwareVersion, StakerId, Subject, UNIT, Vote, signing,
};
use skep_runtime::{
    AllPalletsWithSystem, Balances, Header, Runtime, RuntimeCall, RuntimeEvent, RuntimeGenesisConfig, RuntimeOrigin,
    SessionKeys, presets,
};
use sp_consensus_babe::{
    BABE_ENGINE_ID, Slot,
    digests::{PreDigest, SecondaryPlainPreDigest},
};
use sp_core::{Pair, ed25519, proof_of_possession::ProofOfPossessionGenerator, sr25519};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{Digest, DigestItem, traits::Dispatchable};
use std::collections::BTreeMap;

type Obligations = pallet_obligations::Pallet<Runtime>;
type ServiceNodes = pallet_service_nodes::Pallet<Runtime>;
type System = frame_system::Pallet<Runtime>;

const FIRST_SLOT: u64 = 1_700_000_000;
const NODES: u8 = 24;
const CALLS_A_BLOCK: usize = 12;

/// One run from a seed.
struct Run {
    random: StdRng,
    people: Vec<Sr25519Keyring>,
    keys: Vec<ed25519::Pair>,
    issued: Balance,
    /// How often each call took effect, by its pallet and name.
    done: BTreeMap<(&'static str, &'static str), u64>,
    /// Until when each stake of a serving node is locked at least.
    locks: BTreeMap<(ServiceNodeId, StakerId), u32>,
}

impl Run {
    fn begin(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            people: Sr25519Keyring::well_known().collect(),
            keys: (1..=NODES).map(|number| ed25519::Pair::from_seed(&[number; 32])).collect(),
            issued: Balances::total_issuance(),
            done: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    fn block(&mut self) {
        let number = System::block_number() + 1;
        let slot = FIRST_SLOT + u64::from(number);
        let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index: 0, slot: Slot::from(slot) });
        let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
        System::reset_events();
        System::initialize(&number, &[7; 32].into(), &digest);
        AllPalletsWithSystem::on_initialize(number);
        let now = slot * pallet_network::Pallet::<Runtime>::block_time();
        self.dispatch(RuntimeOrigin::none(), RuntimeCall::Timestamp(pallet_timestamp::Call::set { now }));
        for _ in 0..CALLS_A_BLOCK {
            let (origin, call) = self.any_call();
            self.dispatch(origin, call);
        }
        if self.random.random_bool(0.02) {
            self.equivocation();
        }
        AllPalletsWithSystem::on_finalize(number);
        // Before the state's root is made: from then on the state answers with the roots it was made of.
        self.check();
        let _: Header = System::finalize();
    }

    fn dispatch(&mut self, origin: RuntimeOrigin, call: RuntimeCall) {
        let CallMetadata { pallet_name, function_name } = call.get_call_metadata();
        if frame_support::storage::with_storage_layer(|| call.dispatch(origin)).is_ok() {
            *self.done.entry((pallet_name, function_name)).or_default() += 1;
        }
    }

    fn node(&mut self) -> ServiceNodeId {
        // Most calls are about nodes that are there.
        let there: Vec<_> = ServiceNodes::nodes().map(|(id, _)| id).collect();
        match there.choose(&mut self.random) {
            Some(node) if self.random.random_bool(0.9) => *node,
            _ => ServiceNodeId(self.keys.choose(&mut self.random).expect("some").public().0),
        }
    }

    /// Whoever would be the right one to call, or anybody.
    fn person_for(&mut self, node: ServiceNodeId) -> Sr25519Keyring {
        let record = pallet_service_nodes::Roster::get(node);
        let stakers = record.map(|record| record.contributions().map(|stake| stake.staker).collect::<Vec<_>>());
        let staker = stakers.and_then(|stakers| stakers.choose(&mut self.random).copied());
        let known = staker.and_then(|staker| Sr25519Keyring::from_raw_public(staker.0));
        match known {
            Some(person) if self.random.random_bool(0.8) => person,
            _ => *self.people.choose(&mut self.random).expect("some"),
        }
    }

    fn stake(&mut self) -> Balance {
        let whole = 100 * UNIT;
        *[whole, whole, whole / 2, whole / 4, whole / 3, self.random.random_range(1..=whole + UNIT)]
            .choose(&mut self.random)
            .expect("some")
    }

    fn any_call(&mut self) -> (RuntimeOrigin, RuntimeCall) {
        use pallet_governance::Call as Govern;
        use pallet_service_nodes::Call as Nodes;
        let node = self.node();
        let person = self.person_for(node);
        let call: RuntimeCall = match self.random.random_range(0..100) {
            0..25 => {
                let key = *self.keys.choose(&mut self.random).expect("some");
                let number = key.public().0[0];
                let (fee, operator) = (Permyriad::new(500).expect("5 %"), StakerId(person.to_raw_public()));
                let genesis = System::block_hash(0);
                let proof = key.sign(&signing::registration(&genesis.0, &operator, fee)).0;
                let kept = self.people.choose(&mut self.random).expect("some").to_raw_public();
                let reserved = match self.random.random_range(0..4) {
                    0 => vec![Reservation { staker: StakerId(kept), amount: self.stake() / 3 }],
                    _ => Vec::new(),
                };
                Nodes::register {
                    node: ServiceNodeId(key.public().0),
                    proof,
                    fee,
                    endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
                    version: SoftwareVersion([0, 1, 0]),
                    stake: self.stake(),
                    reserved: reserved.try_into().expect("one"),
                }
                .into()
            }
            25..50 => Nodes::contribute { node, amount: self.stake() }.into(),
            50..60 => Nodes::request_unlock { node }.into(),
            60..65 => Nodes::withdraw { node }.into(),
            65..70 => {
                let endpoint = Endpoint { ipv4: [127, 0, self.random.random(), 1], https_port: 1, quic_port: 1 };
                let version = SoftwareVersion([0, 2, 0]);
                if self.random.random_bool(0.5) {
                    let after = System::block_number().saturating_sub(self.random.random_range(0..30));
                    let announcement = Announcement { node, endpoint, version, after };
                    let call = Nodes::announce { announcement, signature: [0; 64] };
                    return (frame_system::RawOrigin::Authorized.into(), call.into());
                }
                Nodes::update_endpoint { node, endpoint, version }.into()
            }
            70..71 if self.random.random_bool(0.5) => return self.retract(node),
            70..71 => return self.offer(node),
            71..73 => return self.hand_over(),
            73..79 => return (frame_system::RawOrigin::Authorized.into(), self.verdict()),
            79..85 => {
                let dest = self.people.choose(&mut self.random).expect("some").to_account_id().into();
                let value = self.random.random_range(0..200 * UNIT);
                match self.random.random_bool(0.1) {
                    true => pallet_balances::Call::transfer_all { dest, keep_alive: false }.into(),
                    false => pallet_balances::Call::transfer_allow_death { dest, value }.into(),
                }
            }
            85..88 => {
                let motion = match self.random.random_range(0..3) {
                    0 => Motion::WorkFloor { effort: self.random.random_range(0..5_000) },
                    1 => Motion::Upgrade { code_hash: CodeHash([self.random.random_range(0..4); 32]) },
                    _ => Motion::Spend { beneficiary: StakerId(person.to_raw_public()), amount: self.stake() },
                };
                Govern::propose { motion }.into()
            }
            number => {
                let proposals = pallet_governance::Open::<Runtime>::get();
                let chosen = proposals.choose(&mut self.random);
                let proposal = chosen.map_or(0, |proposal| proposal.id);
                let motion = chosen.map_or(Motion::WorkFloor { effort: 0 }, |proposal| proposal.motion);
                match number {
                    88..94 => Govern::approve { proposal, motion }.into(),
                    94..95 => Govern::withdraw_approval { proposal, motion }.into(),
                    95..99 => Govern::enact { proposal }.into(),
                    _ => {
                        // Whoever made it may, before others approve.
                        let proposer = chosen.map_or(StakerId([0; 32]), |proposal| proposal.proposer);
                        return (RuntimeOrigin::signed(proposer.0.into()), Govern::close { proposal }.into());
                    }
                }
            }
        };
        (RuntimeOrigin::signed(person.to_account_id()), call)
    }

    /// The operator offers a node as a block producer.
    fn offer(&mut self, node: ServiceNodeId) -> (RuntimeOrigin, RuntimeCall) {
        let seed = [self.random.random(); 32];
        let (mut babe, mut grandpa) = (sr25519::Pair::from_seed(&seed), ed25519::Pair::from_seed(&seed));
        let keys = SessionKeys { babe: babe.public().into(), grandpa: grandpa.public().into() };
        let owner = node.as_ref();
        let proof = (babe.generate_proof_of_possession(owner), grandpa.generate_proof_of_possession(owner)).encode();
        let message = signing::session_keys(&System::block_hash(0).0, &node, &keys.encode());
        let key = self.keys.iter().find(|key| key.public().0 == node.0).expect("one of ours");
        let call = pallet_service_nodes::Call::set_session_keys {
            node,
            keys,
            session_proof: proof.try_into().expect("short"),
            node_proof: key.sign(&message).0,
        };
        let operator = ServiceNodes::operator_of(node).unwrap_or(StakerId([0; 32]));
        (RuntimeOrigin::signed(operator.0.into()), call.into())
    }

    /// It was proven that a producer signed two blocks of one slot, whatever key its node has now.
    fn equivocation(&mut self) {
        let key = self.keys.choose(&mut self.random).expect("some").public();
        if Obligations::equivocated(ServiceNodeId(key.0)) {
            *self.done.entry(EQUIVOCATION).or_default() += 1;
        }
    }

    /// The operator offers a node as a block producer no longer: this one, if none is offered.
    fn retract(&mut self, node: ServiceNodeId) -> (RuntimeOrigin, RuntimeCall) {
        let offered: Vec<_> = pallet_service_nodes::AuthorityCandidates::<Runtime>::iter_keys().collect();
        let node = offered.choose(&mut self.random).copied().unwrap_or(node);
        let operator = ServiceNodes::operator_of(node).unwrap_or(StakerId([0; 32]));
        let call = pallet_service_nodes::Call::retract_session_keys { node };
        (RuntimeOrigin::signed(operator.0.into()), call.into())
    }

    /// The operator gives a node another key: mostly a free one to a node whose stake is complete.
    fn hand_over(&mut self) -> (RuntimeOrigin, RuntimeCall) {
        let (mut node, mut key) = (self.node(), *self.keys.choose(&mut self.random).expect("some"));
        if self.random.random_bool(0.8) {
            let complete = ServiceNodes::nodes().filter(|(_, record)| record.state.is_tested());
            let complete: Vec<_> = complete.map(|(id, _)| id).collect();
            let is_free = |key: &&ed25519::Pair| {
                let id = ServiceNodeId(key.public().0);
                Obligations::standing(id).is_none() && !Obligations::contains(&id)
            };
            let free: Vec<_> = self.keys.iter().filter(is_free).copied().collect();
            node = complete.choose(&mut self.random).copied().unwrap_or(node);
            key = free.choose(&mut self.random).copied().unwrap_or(key);
        }
        let record = pallet_service_nodes::Roster::get(node);
        let unknown = (StakerId([0; 32]), Permyriad::default());
        let (operator, fee) = record.map_or(unknown, |record| (record.operator, record.fee));
        let proof = key.sign(&signing::registration(&System::block_hash(0).0, &operator, fee)).0;
        let call = pallet_service_nodes::Call::hand_over { node, to: ServiceNodeId(key.public().0), proof };
        (RuntimeOrigin::signed(operator.0.into()), call.into())
    }

    /// What enough testers of a recent round say of one of its targets, their signatures taken for granted.
    fn verdict(&mut self) -> RuntimeCall {
        let rounds = Obligations::rounds(0);
        let round = rounds.iter().rev().take(4).collect::<Vec<_>>().choose(&mut self.random).copied().cloned();
        let node = round.as_ref().and_then(|round| round.targets.choose(&mut self.random).copied());
        let fails = self.random.random_bool(0.6);
        let reasons = if fails { Reasons::NONE.with(Reason::QuicUnreachable) } else { Reasons::NONE };
        let (number, block) = round.as_ref().map_or((0, [0; 32]), |round| (round.round, round.block));
        let seats = round.map_or(0, |round| round.testers.len());
        let votes = (0..u8::try_from(seats).expect("at most ten"))
            .map(|seat| Vote { seat, reasons, signature: [0; 64] })
            .collect::<Vec<_>>();
        let subject = Subject { round: number, block, node: node.unwrap_or(ServiceNodeId([0; 32])) };
        pallet_obligations::Call::submit_verdict { subject, votes: votes.try_into().expect("at most ten") }.into()
    }

    /// What the chain promises at the end of each block.
    fn check(&mut self) {
        skep_runtime::check_state().expect("sound");

        self.issued -= dust();
        let created = pallet_rewards::Created::<Runtime>::get() - pallet_rewards::Owed::<Runtime>::get();
        let issuance = Balances::total_issuance();
        assert_eq!(issuance, self.issued + created, "only rewards are made, only the dust of ended accounts is lost");

        let entries = ServiceNodes::nodes().map(|(id, record)| (id.0.to_vec(), record.encode())).collect();
        let root = sp_io::trie::blake2_256_root(entries, sp_runtime::StateVersion::V1);
        assert_eq!(pallet_service_nodes::Roster::root(), root.0, "the roster's root is that of its entries");
        self.check_locks();
    }

    /// No stake of a serving node frees earlier than it was said to before.
    fn check_locks(&mut self) {
        let (now, unlock) = (System::block_number(), ServiceNodes::staking_terms().unlock_blocks);
        let mut after = BTreeMap::new();
        for (node, record) in ServiceNodes::nodes() {
            if matches!(record.state, NodeState::Gathering { .. }) {
                continue;
            }
            let until = record.state.leave().map_or(now + unlock, |leave| leave.leaves_at);
            for stake in record.stakes {
                after.insert((node, stake.staker), stake.leaves_at.unwrap_or(u32::MAX).min(until));
            }
        }
        for (node, gone) in pallet_service_nodes::Deregistered::<Runtime>::iter() {
            for stake in gone.stakes {
                after.insert((node, stake.staker), gone.deregistration.stakes_return_at);
            }
        }
        for (stake, until) in renamed(std::mem::take(&mut self.locks)) {
            let kept = after.get(&stake).is_some_and(|later| *later >= until);
            assert!(kept || until <= now, "{stake:?} was locked until {until}, it is block {now}");
        }
        self.locks = after;
    }
}

/// The locks of stakes in nodes that were handed over in this block, under the new key.
fn renamed(mut locks: BTreeMap<(ServiceNodeId, StakerId), u32>) -> BTreeMap<(ServiceNodeId, StakerId), u32> {
    for record in System::events() {
        if let RuntimeEvent::ServiceNodes(pallet_service_nodes::Event::HandedOver { from, to }) = record.event {
            let rename = |((node, staker), until)| ((if node == from { to } else { node }, staker), until);
            locks = locks.into_iter().map(rename).collect();
        }
    }
    locks
}

/// What accounts that ended in this block left behind.
fn dust() -> Balance {
    let mut lost = 0;
    for record in System::events() {
        if let RuntimeEvent::Balances(pallet_balances::Event::DustLost { amount, .. }) = record.event {
            lost += amount;
        }
    }
    lost
}

fn genesis() -> sp_io::TestExternalities {
    use sp_runtime::BuildStorage;
    let patch = presets::get_preset(&presets::DEV.into()).expect("a preset");
    let mut genesis = serde_json::to_value(RuntimeGenesisConfig::default()).expect("JSON");
    sc_chain_spec::json_merge(&mut genesis, serde_json::from_slice(&patch).expect("JSON"));
    let genesis: RuntimeGenesisConfig = serde_json::from_value(genesis).expect("a genesis");
    genesis.build_storage().expect("builds").into()
}

/// Pallets of the SDK, whose calls others test.
const THEIRS: [&str; 6] = ["System", "Timestamp", "Babe", "Balances", "Session", "Grandpa"];

/// What is done without a call.
const EQUIVOCATION: (&str, &str) = ("Babe", "report_equivocation_unsigned");

/// Every call of our own pallets.
fn our_calls() -> impl Iterator<Item = (&'static str, &'static str)> {
    let ours = RuntimeCall::get_module_names().iter().filter(|pallet| !THEIRS.contains(pallet));
    ours.flat_map(|pallet| RuntimeCall::get_call_names(pallet).iter().map(|name| (*pallet, *name)))
}

fn run(seed: u64, calls: usize) -> BTreeMap<(&'static str, &'static str), u64> {
    /// Blocks between two writes to the state's database: each block's root costs what has changed since the last.
    const COMMIT: usize = 16;
    let mut state = genesis();
    let mut run = state.execute_with(|| Run::begin(seed));
    for block in 1..=calls.div_ceil(CALLS_A_BLOCK) {
        state.execute_with(|| run.block());
        if block.is_multiple_of(COMMIT) {
            state.commit_all().expect("nothing is open");
        }
    }
    run.done
}

#[test]
fn the_chains_promises_hold_whatever_is_called() {
    let variable =
        |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (calls, seed) = (variable("SKEP_CALLS", 6_000), variable("SKEP_SEED", 1));
    let done = run(seed, usize::try_from(calls).expect("fits"));
    println!("took effect: {done:?}");
    let all: u64 = done.values().sum();
    assert!(all * 5 > calls, "of {calls} calls only {all} took effect: the run tests too little");
    for call in our_calls().chain([EQUIVOCATION]) {
        assert!(done.contains_key(&call), "{call:?} never took effect: the run tests too little");
    }
}
