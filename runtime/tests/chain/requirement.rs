//! A network that chose a requirement which falls: what each node must hold stays what it was when the node registered.

use super::*;
use skep_primitives::{Governance, Reservation, StakingTerms};

const START: u128 = 200 * UNIT;
const FLOOR: u128 = 100 * UNIT;

/// It falls by 0.3 % in the first block.
fn falling() -> Chain {
    Chain::begin_as(Engine::Native, presets::DEV, |genesis| {
        let requirement = genesis.pointer_mut("/network/parameters/requirement").expect("the network's numbers");
        // A genesis is laid over the default one, whose choice has to be taken out.
        *requirement = serde_json::json!({
            "fixed": null,
            "decaying": { "start": START.to_string(), "floor": FLOOR.to_string(), "half_life": 100_000, "offset": 0 },
        });
    })
}

fn terms(chain: &mut Chain) -> StakingTerms {
    chain.call("SkepApi_staking_terms", &())
}

fn entry(chain: &mut Chain, number: u8) -> RosterEntry {
    let node = ServiceNodeId(ed25519::Pair::from_seed(&[number; 32]).public().0);
    chain.roster().into_iter().find(|entry| entry.id == node).expect("registered")
}

fn held(entry: &RosterEntry) -> u128 {
    entry.contributions.iter().map(|stake| stake.amount).sum()
}

fn call(chain: &mut Chain, who: Sr25519Keyring, call: pallet_service_nodes::Call<Runtime>) {
    let transaction = signed(who, chain.nonce(who), chain.genesis, call.into());
    chain.make_roomy_block(&[transaction]);
    let sound = chain.state.execute_with(skep_runtime::check_state);
    assert_eq!(sound, Ok(()));
}

#[test]
fn a_requirement_that_falls_binds_each_node_as_it_was_when_it_registered() {
    let mut chain = falling();
    let genesis = chain.genesis;
    let (alice, bob, charlie, dave) =
        (Sr25519Keyring::Alice, Sr25519Keyring::Bob, Sr25519Keyring::Charlie, Sr25519Keyring::Dave);
    chain.make_block(&[]);

    // What was asked for a block ago is more than enough now, and only what is enough is held.
    let asked = terms(&mut chain).requirement;
    assert!(asked < START && asked > FLOOR);
    chain.make_block(&[register(alice, 0, genesis, 1, asked)]);
    let solo = entry(&mut chain, 1);
    assert_eq!(solo.requirement, terms(&mut chain).requirement);
    assert!(solo.requirement < asked);
    assert_eq!(held(&solo), solo.requirement);
    assert!(matches!(solo.state, NodeState::Active { .. }));

    // The same with the least stake, and all of the rest kept for others.
    let StakingTerms { requirement, operator_minimum, .. } = terms(&mut chain);
    let rest = requirement - operator_minimum;
    let promised = [(charlie, rest / 2), (dave, rest - rest / 2)];
    let reserved = promised.map(|(who, amount)| Reservation { staker: StakerId(who.to_raw_public()), amount });
    let RuntimeCall::ServiceNodes(pallet_service_nodes::Call::register { node, proof, fee, endpoint, version, .. }) =
        register(bob, 0, genesis, 2, 0).function
    else {
        panic!("a registration")
    };
    let reserved = reserved.to_vec().try_into().expect("two");
    let stake = operator_minimum;
    let pooled = pallet_service_nodes::Call::register { node, proof, fee, endpoint, version, stake, reserved };
    call(&mut chain, bob, pooled);
    let gathering = entry(&mut chain, 2);
    assert!(gathering.requirement < requirement);
    let kept = chain.state.execute_with(|| pallet_service_nodes::Roster::get(node)).expect("registered").reserved;
    let kept: u128 = kept.iter().map(|spot| spot.amount).sum();
    assert_eq!(held(&gathering) + kept, gathering.requirement, "it can be filled, and by them alone");
    for (who, amount) in promised {
        call(&mut chain, who, pallet_service_nodes::Call::contribute { node, amount });
    }
    let filled = entry(&mut chain, 2);
    assert_eq!((filled.requirement, held(&filled)), (gathering.requirement, gathering.requirement));
    assert!(matches!(filled.state, NodeState::Active { .. }));

    // A place that is left is as large as it was, however little a new node needs by then.
    call(&mut chain, dave, pallet_service_nodes::Call::request_unlock { node });
    for _ in 0..3 * BLOCKS_OF_AN_EPOCH {
        chain.make_block(&[]);
    }
    assert!(matches!(entry(&mut chain, 2).state, NodeState::Leaving { .. }));
    let amount = filled.contributions.last().expect("three").amount;
    call(&mut chain, Sr25519Keyring::Eve, pallet_service_nodes::Call::contribute { node, amount });
    let refilled = entry(&mut chain, 2);
    assert!(matches!(refilled.state, NodeState::Active { .. }), "{refilled:?}");
    assert_eq!((refilled.requirement, held(&refilled)), (filled.requirement, filled.requirement + amount));

    // A later node holds less, and speaks with less.
    let stake = terms(&mut chain).requirement;
    let later = register(alice, chain.nonce(alice), genesis, 3, stake);
    chain.make_roomy_block(&[later]);
    let later = entry(&mut chain, 3);
    assert!(later.requirement < refilled.requirement && refilled.requirement < solo.requirement);
    let governance: Governance = chain.call("SkepApi_governance", &());
    assert_eq!(governance.serving, solo.requirement + refilled.requirement + later.requirement);
    assert!(chain.roster().iter().all(|node| node.requirement > FLOOR));
    let sound = chain.state.execute_with(skep_runtime::check_state);
    assert_eq!(sound, Ok(()));
}
