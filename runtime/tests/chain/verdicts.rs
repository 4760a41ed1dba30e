//! Verdicts from end to end: the bytes a messaging node sends, through the pool's own check, into a block and what follows.

use super::*;
use skep_chain_client::Authorized;
use skep_primitives::{
    Cause, Reason, Reasons, Stake, StakeLock, Standing, StandingChange, Subject, TestingRound, Verdict, Vote,
    Whereabouts,
};
use skep_runtime::AccountId;
use sp_runtime::transaction_validity::UnknownTransaction;

const FAILS: Reasons = Reasons::NONE.with(Reason::HttpsUnreachable);
const PASSES: Reasons = Reasons::NONE;

fn key(number: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[number; 32])
}

/// The key of one of the nodes [`grow`] registers, or of one that came afterwards.
fn key_of(node: ServiceNodeId) -> ed25519::Pair {
    (1..=NODES + 1).map(key).find(|key| key.public().0 == node.0).expect("one of ours")
}

/// Goes on to the next round, which has a quorum.
fn next_round(chain: &mut Chain) -> TestingRound {
    let rounds = |chain: &mut Chain| chain.call::<Vec<TestingRound>>("SkepApi_testing_rounds", &0u32);
    let last = rounds(chain).last().map(|round| round.round);
    loop {
        chain.make_block(&[]);
        let rounds = rounds(chain);
        let newest = rounds.last().filter(|round| Some(round.round) != last && !round.testers.is_empty());
        if let Some(newest) = newest {
            return newest.clone();
        }
    }
}

/// What the testers of the first seven seats say.
fn verdict(chain: &Chain, round: &TestingRound, node: ServiceNodeId, reasons: Reasons) -> Verdict {
    let subject = Subject { round: round.round, block: round.block, node };
    let message = signing::vote(&chain.genesis.0, &subject, reasons);
    let vote = |seat: u8| {
        let tester = key_of(round.testers[usize::from(seat)]);
        Vote { seat, reasons, signature: tester.sign(&message).0 }
    };
    Verdict { subject, votes: (0..7).map(vote).collect() }
}

fn transaction(chain: &mut Chain, verdict: &Verdict) -> UncheckedExtrinsic {
    authorized(chain, &Authorized::Verdict(verdict.clone()))
}

fn standing(chain: &mut Chain, node: ServiceNodeId) -> Option<Standing> {
    chain.call("SkepApi_standing", &node)
}

fn state(chain: &mut Chain, node: ServiceNodeId) -> Option<NodeState> {
    chain.roster().into_iter().find(|entry| entry.id == node).map(|entry| entry.state)
}

#[test]
fn a_verdict_takes_a_node_out_of_service_and_another_lets_it_back() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let round = next_round(&mut chain);
    assert_eq!((round.testers.len(), round.targets.len()), (10, usize::from(NODES) - 10));
    let node = round.targets[0];
    let failing = verdict(&chain, &round, node, FAILS);
    let out = transaction(&mut chain, &failing);
    let validity = validate(&mut chain, TransactionSource::External, &out).expect("the pool takes it");
    assert!(validity.propagate && validity.longevity <= u64::from(round.ends_at - round.begins_at + 1));
    chain.make_block(std::slice::from_ref(&out));

    let at = chain.head.number;
    let Some(NodeState::Decommissioned { since, credit_ends_at, findings, leave: None }) = state(&mut chain, node)
    else {
        panic!("{:?}", state(&mut chain, node))
    };
    assert!(since == at && credit_ends_at > at && findings.all == FAILS && findings.any == FAILS);
    let upcoming = |chain: &mut Chain| -> Vec<_> {
        chain.state.execute_with(|| pallet_rewards::Pallet::<Runtime>::upcoming().collect())
    };
    assert!(!upcoming(&mut chain).contains(&node), "it is paid no more");
    assert_eq!(
        validate(&mut chain, TransactionSource::External, &out),
        Err(InvalidTransaction::Stale.into()),
        "each verdict once"
    );

    // It is out of its swarm two epochs later, and tested in every round.
    for _ in 0..2 * BLOCKS_OF_AN_EPOCH {
        chain.make_block(&[]);
    }
    assert!(!chain.swarms().iter().any(|swarm| swarm.nodes.contains(&node)));
    let round = next_round(&mut chain);
    assert!(round.targets.contains(&node));
    let passing = verdict(&chain, &round, node, PASSES);
    let back = transaction(&mut chain, &passing);
    validate(&mut chain, TransactionSource::External, &back).expect("the pool takes it");
    chain.make_block(std::slice::from_ref(&back));
    assert_eq!(state(&mut chain, node), Some(NodeState::Active { since: chain.head.number }));
    // The block's reward went to the head of the queue after it came back, and that node is behind it now.
    let queue = upcoming(&mut chain);
    assert_eq!(queue.iter().rev().position(|other| *other == node), Some(1), "it begins at the back");
    let changes: Vec<_> =
        standing(&mut chain, node).expect("registered").history.iter().map(|event| event.change).collect();
    assert_eq!(changes, [StandingChange::Decommissioned, StandingChange::Recommissioned]);
}

/// A node of which somebody leaves whose place was filled holds more than it must, until that stake is free.
#[test]
fn stake_on_its_way_out_is_not_counted_again_when_the_node_comes_back() {
    let mut chain = Chain::begin_as(Engine::Native, presets::DEV, |genesis| {
        let parameters = genesis.pointer_mut("/network/parameters").expect("the network's numbers");
        parameters["unlock"] = parameters["deregistrationLock"].clone();
    });
    grow(std::slice::from_mut(&mut chain));
    let node = ServiceNodeId(key(NODES + 1).public().0);
    let (operator, leaver, successor) = (Sr25519Keyring::Eve, Sr25519Keyring::Ferdie, Sr25519Keyring::Dave);
    let genesis = chain.genesis;
    let nonce = |chain: &mut Chain, who: Sr25519Keyring| {
        chain.state.execute_with(|| frame_system::Pallet::<Runtime>::account_nonce(who.to_account_id()))
    };
    let call = |chain: &mut Chain, who: Sr25519Keyring, call| {
        let nonce = nonce(chain, who);
        chain.make_roomy_block(&[signed(who, nonce, genesis, RuntimeCall::ServiceNodes(call))]);
    };
    let serving = |chain: &mut Chain| {
        let sound = chain.state.execute_with(skep_runtime::check_state);
        assert_eq!(sound, Ok(()));
        chain.call::<skep_primitives::Governance>("SkepApi_governance", &()).serving
    };
    let of_others = serving(&mut chain);
    let with_it = of_others + 100 * UNIT;

    let number = nonce(&mut chain, operator);
    chain.make_roomy_block(&[register(operator, number, genesis, NODES + 1, 50 * UNIT)]);
    assert_eq!(serving(&mut chain), of_others, "it gathers");
    let half = pallet_service_nodes::Call::contribute { node, amount: 50 * UNIT };
    call(&mut chain, leaver, half.clone());
    assert_eq!(serving(&mut chain), with_it);
    call(&mut chain, leaver, pallet_service_nodes::Call::request_unlock { node });
    call(&mut chain, successor, half);
    assert_eq!(serving(&mut chain), with_it, "it holds half as much again, and speaks for what it must hold");

    let judge = |chain: &mut Chain, reasons| loop {
        let round = next_round(chain);
        if round.targets.contains(&node) {
            let verdict = verdict(chain, &round, node, reasons);
            let transaction = transaction(chain, &verdict);
            return chain.make_roomy_block(&[transaction]);
        }
    };
    judge(&mut chain, FAILS);
    assert_eq!(serving(&mut chain), of_others);
    judge(&mut chain, PASSES);
    assert!(matches!(state(&mut chain, node), Some(NodeState::Active { .. })));
    let stakes = |chain: &mut Chain| chain.call::<Vec<Stake>>("SkepApi_stakes", &StakerId(leaver.to_raw_public()));
    let of_the_node = |chain: &mut Chain| stakes(chain).into_iter().find(|stake| stake.node == node);
    assert!(of_the_node(&mut chain).is_some(), "still on its way out");
    assert_eq!(serving(&mut chain), with_it);
    while of_the_node(&mut chain).is_some() {
        chain.make_block(&[]);
    }
    assert_eq!(serving(&mut chain), with_it, "nothing that is free speaks");
    assert!(matches!(state(&mut chain, node), Some(NodeState::Active { .. })));
}

#[test]
fn the_pool_of_the_blob_refuses_what_is_not_a_verdict() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let round = next_round(&mut chain);
    // The state is the same for both; from here on the blob answers.
    chain.engine = blob();
    let node = round.targets[0];
    let good = verdict(&chain, &round, node, FAILS);
    let with_votes = |votes: Vec<Vote>| Verdict { votes, ..good.clone() };
    let forged = Vote { signature: [7; 64], ..good.votes[6] };
    let stranger = verdict(&chain, &round, round.testers[0], FAILS);
    let elsewhere = Verdict { subject: Subject { block: [7; 32], ..good.subject }, ..good.clone() };
    let bad = [
        (with_votes(good.votes[..6].to_vec()), InvalidTransaction::Custom(3).into()),
        (with_votes([&good.votes[..6], &[forged]].concat()), InvalidTransaction::BadProof.into()),
        (stranger, InvalidTransaction::Custom(4).into()),
        (elsewhere, UnknownTransaction::Custom(2).into()),
        (verdict(&chain, &round, node, PASSES), UnknownTransaction::Custom(6).into()),
    ];
    for (verdict, refusal) in bad {
        let transaction = transaction(&mut chain, &verdict);
        assert_eq!(validate(&mut chain, TransactionSource::External, &transaction), Err(refusal), "{verdict:?}");
    }
    let good = transaction(&mut chain, &good);
    validate(&mut chain, TransactionSource::External, &good).expect("the good one is taken");
    // The same call under a signature or bare is no verdict.
    let bare = UncheckedExtrinsic::new_bare(good.function.clone());
    assert!(validate(&mut chain, TransactionSource::External, &bare).is_err());
}

#[test]
fn an_operator_whose_node_equivocates_loses_its_place() {
    let node = ServiceNodeId(key(1).public().0);
    // One of the producers is known by a service node's key, as those drawn from service nodes are.
    let mut chain = Chain::begin_as(Engine::Native, presets::LOCAL, |genesis| {
        let account = serde_json::to_value(AccountId::new(node.0)).expect("JSON");
        let keys =
            genesis.pointer_mut("/session/keys/1").and_then(serde_json::Value::as_array_mut).expect("Bob's keys");
        keys[0] = account.clone();
        keys[1] = account;
    });
    let genesis = chain.genesis;
    chain.make_block(&[register(Sr25519Keyring::Eve, 0, genesis, 1, 100 * UNIT)]);
    assert!(matches!(state(&mut chain, node), Some(NodeState::Active { .. })));
    let bob = AuthorityId::from(Sr25519Keyring::Bob.public());
    let authorities = chain.call::<BabeConfiguration>("BabeApi_configuration", &()).authorities;
    let index = authorities.iter().position(|(authority, _)| *authority == bob).expect("Bob's key produces");
    let report = producers::equivocation(&mut chain, u32::try_from(index).expect("four"));
    chain.make_block(std::slice::from_ref(&report));

    assert_eq!(state(&mut chain, node), None);
    let told = standing(&mut chain, node).expect("its stakes are locked");
    let Whereabouts::Deregistered(gone) = told.whereabouts else { panic!("{told:?}") };
    assert_eq!((told.history[0].change, told.history[0].cause), (StandingChange::Deregistered, Cause::Equivocation));
    let stakes: Vec<Stake> = chain.call("SkepApi_stakes", &StakerId(Sr25519Keyring::Eve.to_raw_public()));
    let lock = StakeLock::Deregistered { block: gone.stakes_return_at };
    assert_eq!(stakes, [Stake { node, amount: 100 * UNIT, lock }]);
    let disabled = chain.state.execute_with(pallet_session::Pallet::<Runtime>::disabled_validators);
    assert_eq!(disabled, [u32::try_from(index).expect("four")]);
    assert_eq!(validate(&mut chain, TransactionSource::Local, &report), Err(InvalidTransaction::Stale.into()));
}
