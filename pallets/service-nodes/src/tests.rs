//! Tests of the calls, of what becomes due, and of what no sequence of calls can break.

mod announcements;
mod standing;

use crate::{Agenda, AuthorityCandidates, EndReason, Error, Event, HandOvers, Roster, RosterSize, Unreturned, mock::*};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::fungible::Inspect};
use skep_economics::Pool;
use skep_primitives::{
    Balance, Candidate, Candidates, Endpoint, MAX_HAND_OVERS, NodeStakes, NodeState, NodeStates, ServiceNodeId,
    SoftwareVersion, Spot, Stake, StakeLock, StakingTerms, UNIT, signing,
};
use sp_core::Pair;
use sp_runtime::{
    DispatchError, TransactionOutcome,
    testing::{TestSignature, UintAuthorityId},
};

type Failure = Error<Test>;

const VERSION: SoftwareVersion = SoftwareVersion([1, 2, 3]);

fn state(number: u8) -> Option<NodeState> {
    Roster::get(node(number)).map(|record| record.state)
}

fn events() -> Vec<Event<Test>> {
    let events = System::events().into_iter().filter_map(|record| match record.event {
        RuntimeEvent::ServiceNodes(event) => Some(event),
        RuntimeEvent::System(_) | RuntimeEvent::Balances(_) => None,
    });
    events.collect()
}

#[test]
fn a_whole_stake_serves_at_once() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_eq!(state(1), Some(NodeState::Active { since: 1 }));
        assert_eq!(held(1), REQUIREMENT);
        assert_eq!(Balances::total_balance(&account(1)), ENDOWMENT);
        assert_eq!(Heard::get(), [(node(1), true)]);
        assert_eq!(RosterSize::<Test>::get(), 1);
        let record = Roster::get(node(1)).expect("registered");
        assert_eq!((record.operator, record.fee, record.endpoint), (staker(1), fee(), endpoint(1)));
        assert_eq!(
            events(),
            [
                Event::Registered { node: node(1), operator: staker(1), requirement: REQUIREMENT },
                Event::Contributed { node: node(1), staker: staker(1), amount: REQUIREMENT },
                Event::Activated { node: node(1) },
            ]
        );
        assert_noop!(register(1, 1, REQUIREMENT), Failure::AlreadyRegistered);
        assert_noop!(contribute(2, 1, UNIT), Failure::StakeComplete);
    });
}

#[test]
fn only_the_node_key_can_register_and_only_for_this_operator_fee_and_chain() {
    run(|| {
        let attempt = |operator: u8, proof| {
            let reserved = Default::default();
            ServiceNodes::register(origin(operator), node(1), proof, fee(), endpoint(1), VERSION, REQUIREMENT, reserved)
        };
        let signed = |key: u8, message: Vec<u8>| crate::mock::key(key).sign(&message).0;
        let for_operator = |operator| signing::registration(&GENESIS, &staker(operator), fee());
        assert_noop!(attempt(1, [0; 64]), Failure::BadProof);
        assert_noop!(attempt(1, signed(2, for_operator(1))), Failure::BadProof);
        assert_noop!(attempt(1, signed(1, for_operator(2))), Failure::BadProof);
        assert_noop!(
            attempt(1, signed(1, signing::registration(&GENESIS, &staker(1), Default::default()))),
            Failure::BadProof
        );
        assert_noop!(attempt(1, signed(1, signing::registration(&[1; 32], &staker(1), fee()))), Failure::BadProof);
        assert_ok!(attempt(1, signed(1, for_operator(1))));
    });
}

#[test]
fn keys_anybody_could_sign_for_are_refused() {
    run(|| {
        let attempt = |key: [u8; 32]| {
            // R = the identity, s = 0: valid under a key of small order for any message, if nobody looks at the key.
            let mut proof = [0; 64];
            proof[0] = 1;
            let node = ServiceNodeId(key);
            ServiceNodes::register(origin(1), node, proof, fee(), endpoint(1), VERSION, REQUIREMENT, Default::default())
        };
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut second_encoding = [0xff; 32];
        second_encoding[0] = 0xee;
        second_encoding[31] = 0x7f;
        let mut no_point = [0; 32];
        no_point[0] = 2;
        for key in [identity, second_encoding, [0; 32], no_point] {
            assert_noop!(attempt(key), Failure::BadNodeKey);
        }
    });
}

#[test]
fn addresses_are_reachable_and_nobody_elses() {
    let attempt = |endpoint: Endpoint| {
        let (proof, reserved) = (proof(2, 2), Default::default());
        ServiceNodes::register(origin(2), node(2), proof, fee(), endpoint, VERSION, REQUIREMENT, reserved)
    };
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_noop!(attempt(Endpoint { https_port: 0, ..endpoint(2) }), Failure::BadEndpoint);
        assert_noop!(attempt(Endpoint { quic_port: 0, ..endpoint(2) }), Failure::BadEndpoint);
        for ipv4 in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert_noop!(attempt(Endpoint { ipv4, ..endpoint(2) }), Failure::BadEndpoint);
        }
        assert_noop!(attempt(Endpoint { https_port: 1, ..endpoint(1) }), Failure::EndpointTaken);
        assert_noop!(attempt(Endpoint { quic_port: 1, ..endpoint(1) }), Failure::EndpointTaken);
        // TCP and UDP do not clash.
        assert_ok!(attempt(Endpoint { https_port: 22020, quic_port: 22021, ..endpoint(1) }));
    });
    ExtBuilder { private_addresses: false }.run(|| {
        for ipv4 in [[127, 0, 2, 1], [192, 168, 1, 1], [100, 64, 0, 1]] {
            assert_noop!(attempt(Endpoint { ipv4, ..endpoint(2) }), Failure::PrivateAddress);
        }
        assert_ok!(attempt(Endpoint { ipv4: [9, 9, 9, 9], ..endpoint(2) }));
    });
}

/// Somebody registers where another is, with a stake it takes back as it pleases.
#[test]
fn a_node_that_gathers_keeps_nobody_from_its_address() {
    run(|| {
        let move_to = |who: u8, number: u8, to| ServiceNodes::update_endpoint(origin(who), node(number), to, VERSION);
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(move_to(1, 1, endpoint(2)));
        assert_ok!(register(2, 2, REQUIREMENT));
        assert!(matches!(state(2), Some(NodeState::Active { .. })));
        ServiceNodes::check_state().expect("sound");
        // The pool goes on, but is not filled while its address is another's.
        assert_ok!(contribute(3, 1, REQUIREMENT / 4));
        assert_noop!(contribute(4, 1, REQUIREMENT / 4), Failure::AddressTaken);
        assert_noop!(move_to(1, 1, endpoint(2)), Failure::EndpointTaken);
        assert_ok!(ServiceNodes::withdraw(origin(3), node(1)));
        assert_ok!(contribute(3, 1, REQUIREMENT / 4));
        assert_ok!(move_to(1, 1, endpoint(1)));
        assert_ok!(contribute(4, 1, REQUIREMENT / 4));
        assert!(matches!(state(1), Some(NodeState::Active { .. })));
        // One that never served takes no address with it.
        assert_ok!(register(5, 5, REQUIREMENT / 2));
        assert_ok!(move_to(5, 5, endpoint(6)));
        assert_ok!(register(6, 6, REQUIREMENT));
        assert_ok!(ServiceNodes::withdraw(origin(5), node(5)));
    });
}

#[test]
fn stakes_keep_within_their_bounds() {
    run(|| {
        assert_noop!(register(1, 1, REQUIREMENT / 4 - 1), Failure::StakeTooSmall);
        assert_noop!(register(1, 1, REQUIREMENT + REQUIREMENT / 100 + 1), Failure::StakeTooLarge);
        assert_ok!(register(1, 1, REQUIREMENT / 4));
        assert_eq!(state(1), Some(NodeState::Gathering { expires_at: 1 + POOL_EXPIRY }));
        assert!(Heard::get().is_empty());
        assert_noop!(contribute(2, 2, UNIT), Failure::UnknownNode);
        let room = REQUIREMENT - REQUIREMENT / 4;
        assert_noop!(contribute(2, 1, room / 9 - 1), Failure::StakeTooSmall);
        assert_noop!(contribute(2, 1, room + room / 100 + 1), Failure::StakeTooLarge);
        // Only the room counts.
        assert_ok!(contribute(2, 1, room + room / 100));
        assert_eq!(held(2), room);
        assert_eq!(state(1), Some(NodeState::Active { since: 1 }));
    });
}

#[test]
fn ten_contributors_fill_a_node() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 4));
        let mut room = REQUIREMENT - REQUIREMENT / 4;
        for number in 2..=10 {
            let part = room / u128::from(11 - number);
            assert_ok!(contribute(number, 1, part));
            room -= part;
        }
        assert_eq!(room, 0);
        assert_eq!(state(1), Some(NodeState::Active { since: 1 }));
        assert_eq!(Heard::get(), [(node(1), true)]);
        let payees = ServiceNodes::payees(node(1)).expect("serves");
        assert_eq!(payees.contributions.len(), 10);
        assert_eq!(payees.contributions[0].staker, payees.operator);
        // Nothing of it is on the agenda any more.
        run_to(2 + POOL_EXPIRY);
        assert_eq!(state(1), Some(NodeState::Active { since: 1 }));
    });
}

#[test]
fn all_but_the_existential_deposit_can_be_staked() {
    run(|| {
        let rest = ENDOWMENT - 9 * REQUIREMENT;
        for number in 1..=9 {
            assert_ok!(register(1, number, REQUIREMENT));
        }
        assert_eq!(rest, REQUIREMENT);
        // The whole balance is too much: the account would end.
        assert_noop!(register(1, 10, rest), Failure::NotEnoughFree);
        assert_ok!(register(1, 10, rest - EXISTENTIAL_DEPOSIT));
        assert_eq!(held(1), ENDOWMENT - EXISTENTIAL_DEPOSIT);
        assert_eq!(Balances::balance(&account(1)), EXISTENTIAL_DEPOSIT);
        // Each stake frees apart from the others.
        assert_ok!(ServiceNodes::withdraw(origin(1), node(10)));
        assert_eq!(held(1), 9 * REQUIREMENT);
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        run_to(1 + UNLOCK);
        assert_eq!(held(1), 8 * REQUIREMENT);
        assert_eq!(Balances::total_balance(&account(1)), ENDOWMENT);
    });
}

#[test]
fn held_stakes_cannot_be_spent() {
    use frame_support::traits::{fungible::Mutate, tokens::Preservation};
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        let free = ENDOWMENT - REQUIREMENT;
        let spend =
            |amount| <Balances as Mutate<_>>::transfer(&account(1), &account(2), amount, Preservation::Expendable);
        assert!(spend(free + 1).is_err());
        assert_ok!(spend(free - EXISTENTIAL_DEPOSIT));
        assert_eq!(held(1), REQUIREMENT);
    });
}

#[test]
fn an_unfilled_pool_returns_every_stake_in_time() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 4));
        run_to(POOL_EXPIRY);
        assert_eq!((held(1), held(2)), (REQUIREMENT / 2, REQUIREMENT / 4));
        run_to(1 + POOL_EXPIRY);
        assert_eq!((held(1), held(2)), (0, 0));
        assert_eq!(state(1), None);
        assert!(Heard::get().is_empty(), "it never served");
        assert_eq!(events().last(), Some(&Event::Ended { node: node(1), reason: EndReason::PoolExpired }));
        // Key and address are free again.
        assert_ok!(register(1, 1, REQUIREMENT));
    });
}

#[test]
fn a_block_ends_a_bounded_number_of_nodes() {
    run(|| {
        let count = crate::MAX_ENDS_PER_BLOCK as u8 + 3;
        for number in 1..=count {
            assert_ok!(register(number % ACCOUNTS + 1, number, REQUIREMENT / 4));
        }
        run_to(1 + POOL_EXPIRY);
        assert_eq!(RosterSize::<Test>::get(), 3);
        ServiceNodes::check_state().expect("the state is sound");
        let late = (1..=count).find(|number| state(*number).is_some()).expect("some wait");
        let stranger = (1..=ACCOUNTS).find(|number| *number != late % ACCOUNTS + 1).expect("there is another");
        assert_noop!(contribute(stranger, late, REQUIREMENT / 4), Failure::PoolExpired);
        run_to(2 + POOL_EXPIRY);
        assert_eq!(RosterSize::<Test>::get(), 0);
    });
}

#[test]
fn stakes_can_be_withdrawn_while_the_node_gathers() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 4));
        assert_ok!(contribute(3, 1, REQUIREMENT / 8));
        assert_noop!(ServiceNodes::withdraw(origin(4), node(1)), Failure::NotContributor);
        assert_noop!(ServiceNodes::withdraw(origin(4), node(2)), Failure::UnknownNode);
        assert_ok!(ServiceNodes::withdraw(origin(2), node(1)));
        assert_eq!((held(1), held(2), held(3)), (REQUIREMENT / 2, 0, REQUIREMENT / 8));
        assert_ok!(contribute(2, 1, REQUIREMENT / 4));
        // The operator ends it for all.
        assert_ok!(ServiceNodes::withdraw(origin(1), node(1)));
        assert_eq!((held(1), held(2), held(3)), (0, 0, 0));
        assert_eq!(state(1), None);
        run_to(1 + POOL_EXPIRY);
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_noop!(ServiceNodes::withdraw(origin(1), node(1)), Failure::NotGathering);
    });
}

#[test]
fn one_request_expires_the_whole_node_which_earns_until_then() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_noop!(ServiceNodes::request_unlock(origin(1), node(1)), Failure::StillGathering);
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        assert_noop!(ServiceNodes::request_unlock(origin(3), node(1)), Failure::NotContributor);
        assert_noop!(ServiceNodes::request_unlock(origin(3), node(2)), Failure::UnknownNode);
        run_to(5);
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
        let leaves_at = 5 + UNLOCK;
        assert_eq!(state(1), Some(NodeState::Leaving { requested_at: 5, leaves_at }));
        run_to(7);
        assert_noop!(ServiceNodes::request_unlock(origin(2), node(1)), Failure::AlreadyLeaving);
        assert_noop!(ServiceNodes::withdraw(origin(2), node(1)), Failure::NotGathering);
        run_to(leaves_at - 1);
        assert!(ServiceNodes::payees(node(1)).is_some());
        assert_eq!((held(1), held(2)), (REQUIREMENT / 2, REQUIREMENT / 2));
        run_to(leaves_at);
        assert_eq!((held(1), held(2)), (0, 0));
        assert!(ServiceNodes::payees(node(1)).is_none());
        assert_eq!(Heard::get(), [(node(1), true), (node(1), false)]);
        assert_eq!(events().last(), Some(&Event::Ended { node: node(1), reason: EndReason::Unlocked }));
    });
}

#[test]
fn small_stakes_wait_thirty_days_from_their_own_first() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT * 3 / 4));
        run_to(4);
        // The operator has most of it; the others are under 24.99 %.
        assert_ok!(contribute(2, 1, REQUIREMENT / 5));
        assert_ok!(contribute(3, 1, REQUIREMENT / 20));
        run_to(3 + SMALL_STAKE_LOCK);
        assert_noop!(ServiceNodes::request_unlock(origin(2), node(1)), Failure::StakeTooYoung);
        let lock = |number| ServiceNodes::stakes(staker(number)).pop().map(|stake| stake.lock);
        assert_eq!(lock(2), Some(StakeLock::Young { block: 4 + SMALL_STAKE_LOCK }));
        assert_eq!(lock(1), Some(StakeLock::Bonded));
        run_to(4 + SMALL_STAKE_LOCK);
        assert_eq!(lock(2), Some(StakeLock::Bonded));
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
    });
}

#[test]
fn the_operator_moves_its_node() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        assert_ok!(register(3, 3, REQUIREMENT));
        let update = |who: u8, number: u8, endpoint| {
            ServiceNodes::update_endpoint(origin(who), node(number), endpoint, SoftwareVersion([2, 0, 0]))
        };
        assert_noop!(update(2, 1, endpoint(9)), Failure::NotOperator);
        assert_noop!(update(1, 2, endpoint(9)), Failure::UnknownNode);
        assert_noop!(update(1, 1, endpoint(3)), Failure::EndpointTaken);
        assert_noop!(update(1, 1, Endpoint { quic_port: 0, ..endpoint(1) }), Failure::BadEndpoint);
        // One port may stay while the other moves.
        let moved = Endpoint { quic_port: 1, ..endpoint(1) };
        assert_ok!(update(1, 1, moved));
        assert_ok!(update(1, 1, endpoint(9)));
        let record = Roster::get(node(1)).expect("registered");
        assert_eq!((record.endpoint, record.version), (endpoint(9), SoftwareVersion([2, 0, 0])));
        // The old address is free.
        assert_ok!(update(3, 3, moved));
    });
}

#[test]
fn session_keys_need_their_own_and_the_nodes_proof() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 4));
        let keys = SessionKeys { dummy: UintAuthorityId(7) };
        let session_proof = |owner: ServiceNodeId| {
            let proof = (TestSignature(7, owner.0.to_vec()),).encode();
            frame_support::BoundedVec::try_from(proof).expect("short")
        };
        let node_proof = |by: u8, of: u8| key(by).sign(&signing::session_keys(&GENESIS, &node(of), &keys.encode())).0;
        let set = |who: u8, number: u8, owner, proof| {
            ServiceNodes::set_session_keys(origin(who), node(number), keys.clone(), session_proof(owner), proof)
        };
        assert_noop!(set(2, 1, node(1), node_proof(1, 1)), Failure::NotOperator);
        assert_noop!(set(1, 2, node(2), node_proof(2, 2)), Failure::UnknownNode);
        // A pool that costs nothing takes no place among those that are offered.
        assert_noop!(set(1, 1, node(1), node_proof(1, 1)), Failure::StillGathering);
        assert_ok!(contribute(1, 1, REQUIREMENT - REQUIREMENT / 4));
        assert_noop!(set(1, 1, node(2), node_proof(1, 1)), Failure::BadSessionKeys);
        assert_noop!(set(1, 1, node(1), node_proof(2, 1)), Failure::BadProof);
        assert_noop!(set(1, 1, node(1), node_proof(1, 2)), Failure::BadProof);
        assert_ok!(set(1, 1, node(1), node_proof(1, 1)));
        assert_eq!(AuthorityCandidates::<Test>::get(node(1)).map(|(keys, _)| keys.to_vec()), Some(keys.encode()));
        assert_noop!(ServiceNodes::retract_session_keys(origin(2), node(1)), Failure::NotOperator);
        assert_ok!(ServiceNodes::retract_session_keys(origin(1), node(1)));
        assert_noop!(ServiceNodes::retract_session_keys(origin(1), node(1)), Failure::NotOffered);
        assert_eq!(AuthorityCandidates::<Test>::count(), 0);
        assert_ok!(set(1, 1, node(1), node_proof(1, 1)));
        for is_active in [false, true] {
            if is_active {
                assert!(ServiceNodes::recommission(node(1)));
            } else {
                assert!(ServiceNodes::decommission(node(1), 40, standing::findings()));
            }
            let keys = keys.encode();
            assert_eq!(ServiceNodes::candidates(), [Candidate { node: node(1), keys, offered_at: 1, is_active }]);
        }
        // Keys go with their node.
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        let candidate = || ServiceNodes::candidates().pop().map(|candidate| (candidate.node, candidate.is_active));
        assert_eq!(candidate(), Some((node(1), false)), "nobody is drawn who leaves");
        run_to(1 + UNLOCK);
        assert_eq!(AuthorityCandidates::<Test>::get(node(1)), None);
    });
}

#[test]
fn the_rosters_root_moves_with_each_change_and_only_then() {
    run(|| {
        let mut roots = vec![Roster::root()];
        let mut changed = |what| {
            let root = Roster::root();
            assert!(!roots.contains(&root), "{what}");
            roots.push(root);
        };
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        changed("registered");
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        changed("active");
        assert_ok!(ServiceNodes::update_endpoint(origin(1), node(1), endpoint(8), VERSION));
        changed("moved");
        run_to(4);
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        changed("leaving");
        let last = Roster::root();
        run_to(3 + UNLOCK);
        assert_eq!(Roster::root(), last);
        let empty = roots[0].clone();
        run_to(4 + UNLOCK);
        assert_eq!(Roster::root(), empty);
    });
}

#[test]
fn the_chain_answers_for_stakes_and_terms() {
    run(|| {
        let (a, b, c) = (node(1), node(2), node(3));
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(register(1, 2, REQUIREMENT));
        assert_ok!(register(2, 3, REQUIREMENT / 2));
        assert_ok!(contribute(1, 3, REQUIREMENT / 4));
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(2)));
        let mut stakes = vec![
            Stake { node: a, amount: REQUIREMENT, lock: StakeLock::Bonded },
            Stake { node: b, amount: REQUIREMENT, lock: StakeLock::Until { block: 1 + UNLOCK } },
            Stake { node: c, amount: REQUIREMENT / 4, lock: StakeLock::Gathering { block: 1 + POOL_EXPIRY } },
        ];
        stakes.sort_by_key(|stake| stake.node);
        assert_eq!(ServiceNodes::stakes(staker(1)), stakes);
        assert_eq!(ServiceNodes::stakes(staker(3)), []);
        let ids: Vec<_> = ServiceNodes::nodes().map(|(id, _)| id).collect();
        assert_eq!(ids, stakes.iter().map(|stake| stake.node).collect::<Vec<_>>());
        let terms = StakingTerms { requirement: REQUIREMENT, operator_minimum: REQUIREMENT / 4, unlock_blocks: UNLOCK };
        assert_eq!(ServiceNodes::staking_terms(), terms);
    });
}

#[test]
fn a_stake_that_could_not_be_returned_waits_for_its_owner() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        // An account so full that nothing more fits in.
        let free = Balances::free_balance(account(1));
        frame_system::Account::<Test>::mutate(account(1), |info| info.data.free = Balance::MAX);
        run_to(1 + UNLOCK);
        assert_eq!(state(1), None);
        assert_eq!(held(1), REQUIREMENT);
        assert!(ServiceNodes::withdraw(origin(1), node(1)).is_err());
        frame_system::Account::<Test>::mutate(account(1), |info| info.data.free = free);
        assert_ok!(ServiceNodes::withdraw(origin(1), node(1)));
        assert_eq!(held(1), 0);
        assert_eq!(Unreturned::<Test>::iter().count(), 0);
        assert_noop!(ServiceNodes::withdraw(origin(1), node(1)), Failure::UnknownNode);
    });
}

#[test]
fn nobody_may_call_without_signing() {
    run(|| {
        let none = RuntimeOrigin::none;
        let bad = DispatchError::BadOrigin;
        assert_noop!(ServiceNodes::contribute(none(), node(1), UNIT), bad);
        assert_noop!(ServiceNodes::request_unlock(none(), node(1)), bad);
        assert_noop!(ServiceNodes::withdraw(none(), node(1)), bad);
        assert_noop!(ServiceNodes::update_endpoint(none(), node(1), endpoint(1), VERSION), bad);
    });
}

#[test]
fn spots_are_kept_for_those_they_are_reserved_for() {
    run(|| {
        let quarter = REQUIREMENT / 4;
        let most = quarter + 3 * quarter / 100;
        for bad in [&[(1, quarter)][..], &[(2, quarter), (2, quarter)], &[(2, 1)], &[(2, 2 * quarter), (3, most + 1)]] {
            assert_noop!(register_with(1, 1, quarter, bad), Failure::BadReservation);
        }
        // A little too much is kept as far as there is room, at the largest one's cost.
        assert_ok!(register_with(3, 3, quarter, &[(1, 2 * quarter), (2, most)]));
        let kept: Vec<_> = Roster::get(node(3)).expect("gathers").reserved.iter().map(|spot| spot.amount).collect();
        assert_eq!(kept, [2 * quarter - 3 * quarter / 100, most]);
        assert_ok!(ServiceNodes::withdraw(origin(3), node(3)));
        assert_ok!(register_with(1, 1, quarter, &[(2, quarter), (3, quarter)]));
        // What is kept for others does not lower what the operator brings.
        assert_noop!(register_with(4, 4, quarter / 9, &[(2, 3 * quarter)]), Failure::StakeTooSmall);
        // A quarter is left for others, who see neither reservation as room.
        let open = |number| ServiceNodes::open_pools(staker(number)).pop().expect("gathers");
        assert_eq!((open(4).room, open(4).minimum, open(4).free_spots), (quarter, quarter / 7, 7));
        assert_eq!((open(2).room, open(2).minimum), (2 * quarter, quarter));
        assert_eq!((open(4).spot, open(2).spot, open(1).spot), (Spot::Free, Spot::Reserved(quarter), Spot::Own));
        // Who computes with what the chain told finds what the call says.
        for (number, offered) in [(4, quarter + quarter / 100 + 1), (2, quarter - 1), (4, quarter), (5, 0)] {
            let told = open(number);
            let accepted = Pool::from(&told).accept_for(told.spot, offered).map_err(Failure::from);
            let called = frame_support::storage::with_transaction(|| {
                TransactionOutcome::Rollback(contribute(number, 1, offered))
            });
            assert_eq!(accepted.map(|_| ()).map_err(DispatchError::from), called, "{offered} of {number}");
        }
        assert_noop!(contribute(4, 1, quarter + quarter / 100 + 1), Failure::StakeTooLarge);
        assert_noop!(contribute(2, 1, quarter - 1), Failure::StakeTooSmall);
        assert_ok!(contribute(4, 1, quarter));
        assert_noop!(contribute(5, 1, quarter), Failure::StakeComplete);
        assert_ok!(contribute(2, 1, quarter));
        assert_eq!(state(1), Some(NodeState::Gathering { expires_at: 1 + POOL_EXPIRY }));
        assert_ok!(contribute(3, 1, quarter));
        assert_eq!(state(1), Some(NodeState::Active { since: 1 }));
        assert_eq!(ServiceNodes::open_pools(staker(9)), []);
    });
}

#[test]
fn a_stake_can_be_added_to() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 4));
        run_to(3);
        assert_ok!(contribute(2, 1, UNIT));
        assert_ok!(contribute(1, 1, UNIT));
        let record = Roster::get(node(1)).expect("gathers");
        assert_eq!(record.stakes.len(), 2);
        assert_eq!(record.stakes[1].since, 1, "the age is that of the first");
        assert_eq!((held(1), held(2)), (REQUIREMENT / 2 + UNIT, REQUIREMENT / 4 + UNIT));
        assert_ok!(contribute(2, 1, REQUIREMENT / 4 - 2 * UNIT));
        assert_eq!(state(1), Some(NodeState::Active { since: 3 }));
        assert_noop!(contribute(2, 1, UNIT), Failure::StakeComplete);
    });
}

#[test]
fn a_place_that_is_filled_again_lets_the_node_live_on() {
    run(|| {
        let half = REQUIREMENT / 2;
        assert_ok!(register(1, 1, half));
        assert_ok!(contribute(2, 1, half));
        run_to(5);
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
        assert_eq!(state(1), Some(NodeState::Leaving { requested_at: 5, leaves_at: 5 + UNLOCK }));
        let open = ServiceNodes::open_pools(staker(3)).pop().expect("a place is open");
        assert_eq!((open.room, open.closes_at, open.state.is_serving()), (half, 5 + UNLOCK, true));
        assert_noop!(contribute(2, 1, half), Failure::AlreadyLeaving);
        assert_noop!(contribute(2, 1, 0), Failure::AlreadyLeaving);
        assert_eq!(ServiceNodes::open_pools(staker(2)), [], "it is not offered a place in the node that it leaves");
        assert_ok!(contribute(3, 1, half / 2));
        assert!(matches!(state(1), Some(NodeState::Leaving { .. })), "half of the place is still open");
        run_to(7);
        assert_ok!(contribute(4, 1, half / 2));
        assert_eq!(events().last(), Some(&Event::Refilled { node: node(1) }));
        assert_eq!(state(1), Some(NodeState::Active { since: 7 }));
        // Who leaves waits out its own time, and earns until then.
        let lock = StakeLock::Until { block: 5 + UNLOCK };
        assert_eq!(ServiceNodes::stakes(staker(2)), [Stake { node: node(1), amount: half, lock }]);
        assert_eq!(ServiceNodes::payees(node(1)).expect("serves").contributions.len(), 4);
        run_to(4 + UNLOCK);
        assert_eq!(held(2), half);
        run_to(5 + UNLOCK);
        assert_eq!((held(2), held(3), held(4)), (0, half / 2, half / 2));
        assert_eq!(state(1), Some(NodeState::Active { since: 7 }));
        assert_eq!(Heard::get(), [(node(1), true)], "it never stopped serving");
        assert_eq!(ServiceNodes::payees(node(1)).expect("serves").contributions.len(), 3);
    });
}

#[test]
fn nobody_takes_the_operators_place() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
        run_to(3);
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        assert_noop!(contribute(3, 1, REQUIREMENT / 2), Failure::StakeComplete);
        assert_eq!(ServiceNodes::open_pools(staker(3)), []);
        run_to(1 + UNLOCK);
        assert_eq!(state(1), None);
        assert_eq!((held(1), held(2)), (0, 0));
    });
}

#[test]
fn a_node_goes_on_under_another_key() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        let hand_over = |who: u8, from: u8, to: u8, by: u8| {
            ServiceNodes::hand_over(origin(who), node(from), node(to), proof(by, 1))
        };
        assert_noop!(hand_over(1, 1, 5, 5), Failure::StillGathering);
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        assert_noop!(hand_over(2, 1, 5, 5), Failure::NotOperator);
        assert_noop!(hand_over(1, 1, 5, 6), Failure::BadProof);
        assert_noop!(hand_over(1, 1, 1, 1), Failure::AlreadyRegistered);
        run_to(3);
        assert_ok!(hand_over(1, 1, 5, 5));
        assert_eq!((state(1), state(5)), (None, Some(NodeState::Active { since: 3 })));
        assert_eq!((held(1), held(2)), (REQUIREMENT / 2, REQUIREMENT / 2));
        assert_eq!(Heard::get(), [(node(1), true), (node(1), false), (node(5), true)]);
        assert_eq!(ServiceNodes::stakes(staker(2)).len(), 1);
        // What the former key signed is answered for: it is nobody's while that is so.
        assert_noop!(register(4, 1, REQUIREMENT), Failure::FormerKey);
        assert_noop!(hand_over(1, 5, 1, 1), Failure::FormerKey);
    });
}

/// A contributor who leaves does not keep the operator from rescuing the node.
#[test]
fn who_leaves_a_node_leaves_it_in_time_under_another_key() {
    run(|| {
        let half = REQUIREMENT / 2;
        assert_ok!(register(1, 1, half));
        assert_ok!(contribute(2, 1, half));
        run_to(5);
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
        run_to(7);
        assert_ok!(ServiceNodes::hand_over(origin(1), node(1), node(3), proof(3, 1)));
        let leaving = NodeState::Leaving { requested_at: 5, leaves_at: 5 + UNLOCK };
        assert_eq!((state(1), state(3)), (None, Some(leaving)));
        ServiceNodes::check_state().expect("sound");
        // Others fill the place, and it is handed over again.
        assert_ok!(contribute(4, 3, half));
        run_to(8);
        assert_ok!(ServiceNodes::hand_over(origin(1), node(3), node(5), proof(5, 1)));
        assert_eq!(state(5), Some(NodeState::Active { since: 8 }));
        assert!(ServiceNodes::decommission(node(5), 40, Default::default()));
        assert_ok!(ServiceNodes::request_unlock(origin(4), node(5)));
        assert_ok!(ServiceNodes::hand_over(origin(1), node(5), node(6), proof(6, 1)));
        run_to(4 + UNLOCK);
        assert_eq!((held(2), held(4)), (half, half));
        run_to(5 + UNLOCK);
        assert_eq!((held(2), held(4)), (0, half));
        run_to(8 + UNLOCK);
        assert_eq!((state(6), held(1), held(4)), (None, 0, 0));
        assert_eq!(Agenda::<Test>::iter().count(), 0, "nothing is left of its former keys");
    });
}

#[test]
fn a_node_is_handed_over_a_few_times_an_unlock_time() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        let hand_over = |from: u8, to: u8| ServiceNodes::hand_over(origin(1), node(from), node(to), proof(to, 1));
        let most = u8::try_from(MAX_HAND_OVERS).expect("few");
        for number in 1..=most {
            run_to(1 + u32::from(number));
            assert_ok!(hand_over(number, number + 1));
        }
        assert_noop!(hand_over(most + 1, most + 2), Failure::HandedOverTooOften);
        // Another node's do not count.
        assert_ok!(register(2, 8, REQUIREMENT));
        assert_ok!(ServiceNodes::hand_over(origin(2), node(8), node(9), proof(9, 2)));
        run_to(1 + UNLOCK);
        assert_noop!(hand_over(most + 1, most + 2), Failure::HandedOverTooOften);
        run_to(2 + UNLOCK);
        assert_ok!(hand_over(most + 1, most + 2));
        assert_noop!(hand_over(most + 2, most + 3), Failure::HandedOverTooOften);
        // A node that is gone leaves nothing behind.
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(most + 2)));
        run_to(2 + 2 * UNLOCK);
        assert!(!HandOvers::<Test>::contains_key(node(most + 2)));
    });
}

mod sequences {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Register { operator: u8, node: u8, percent: u8 },
        Contribute { staker: u8, node: u8, percent: u8 },
        RequestUnlock { staker: u8, node: u8 },
        Withdraw { staker: u8, node: u8 },
        Move { operator: u8, node: u8, to: u8 },
        HandOver { operator: u8, node: u8, to: u8 },
        Decommission { node: u8 },
        Recommission { node: u8 },
        Deregister { node: u8 },
        Wait { blocks: u8 },
    }

    fn step() -> impl Strategy<Value = Step> {
        // Few accounts and nodes, amounts that often fit: most calls meet a node in some state, and many succeed.
        let (staker, node) = (1..=4u8, 1..=3u8);
        let percent = || prop_oneof![Just(100), Just(50), Just(25), 1..=102u8];
        prop_oneof![
            3 => (staker.clone(), node.clone(), percent())
                .prop_map(|(operator, node, percent)| Step::Register { operator, node, percent }),
            5 => (staker.clone(), node.clone(), percent())
                .prop_map(|(staker, node, percent)| Step::Contribute { staker, node, percent }),
            4 => (staker.clone(), node.clone()).prop_map(|(staker, node)| Step::RequestUnlock { staker, node }),
            1 => (staker.clone(), node.clone()).prop_map(|(staker, node)| Step::Withdraw { staker, node }),
            1 => (staker.clone(), node.clone(), 1..=4u8)
                .prop_map(|(operator, node, to)| Step::Move { operator, node, to }),
            1 => (staker, node.clone(), node).prop_map(|(operator, node, to)| Step::HandOver { operator, node, to }),
            2 => (1..=3u8).prop_map(|node| Step::Decommission { node }),
            2 => (1..=3u8).prop_map(|node| Step::Recommission { node }),
            1 => (1..=3u8).prop_map(|node| Step::Deregister { node }),
            3 => (1..=12u8).prop_map(|blocks| Step::Wait { blocks }),
        ]
    }

    fn take(step: Step) -> bool {
        let amount = |percent: u8| REQUIREMENT * u128::from(percent) / 100;
        let done = match step {
            Step::Register { operator, node, percent } => register(operator, node, amount(percent)),
            Step::Contribute { staker, node, percent } => contribute(staker, node, amount(percent)),
            Step::RequestUnlock { staker, node } => {
                ServiceNodes::request_unlock(origin(staker), crate::mock::node(node))
            }
            Step::Withdraw { staker, node } => ServiceNodes::withdraw(origin(staker), crate::mock::node(node)),
            Step::Move { operator, node, to } => {
                ServiceNodes::update_endpoint(origin(operator), crate::mock::node(node), endpoint(to), VERSION)
            }
            Step::HandOver { operator, node, to } => {
                let (from, proof) = (crate::mock::node(node), proof(to, operator));
                ServiceNodes::hand_over(origin(operator), from, crate::mock::node(to), proof)
            }
            Step::Decommission { node } => {
                return ServiceNodes::decommission(crate::mock::node(node), 1_000, standing::findings());
            }
            Step::Recommission { node } => return ServiceNodes::recommission(crate::mock::node(node)),
            Step::Deregister { node } => return ServiceNodes::deregister(crate::mock::node(node)),
            Step::Wait { blocks } => {
                run_to(System::block_number() + u32::from(blocks));
                Ok(())
            }
        };
        done.is_ok()
    }

    /// Until when each stake of a serving node is locked at least: its own time to leave or the node's, and else for the
    /// whole unlock time from now.
    fn locks() -> BTreeMap<(ServiceNodeId, u8), u32> {
        let stakes = ServiceNodes::nodes().flat_map(|(id, record)| {
            let until = match (record.state, record.state.leave()) {
                (NodeState::Gathering { .. }, _) => 0,
                (_, None) => System::block_number() + UNLOCK,
                (_, Some(leave)) => leave.leaves_at,
            };
            record.stakes.into_iter().map(move |stake| {
                let own = stake.leaves_at.unwrap_or(u32::MAX);
                ((id, stake.staker.0[0]), until.min(own))
            })
        });
        let of_deregistered = crate::Deregistered::<Test>::iter().flat_map(|(id, gone)| {
            let until = gone.deregistration.stakes_return_at;
            gone.stakes.into_iter().map(move |stake| ((id, stake.staker.0[0]), until))
        });
        stakes.filter(|(_, until)| *until > 0).chain(of_deregistered).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn keep_every_stake_held_and_no_lock_is_shortened(steps in vec(step(), 1..60)) {
            ExtBuilder { private_addresses: true }.build().execute_with(|| {
                let mut before = BTreeMap::<(ServiceNodeId, u8), u32>::new();
                for step in steps {
                    let root = Roster::root();
                    let is_wait = matches!(step, Step::Wait { .. });
                    let mut handed_over = None;
                    if let Step::HandOver { node, to, .. } = step {
                        handed_over = Some((crate::mock::node(node), crate::mock::node(to)));
                    }
                    if !take(step) {
                        prop_assert_eq!(Roster::root(), root, "a refused call changed the roster");
                        handed_over = None;
                    }
                    prop_assert_eq!(ServiceNodes::check_state(), Ok(()));
                    for number in 1..=6 {
                        prop_assert_eq!(Balances::total_balance(&account(number)), ENDOWMENT);
                    }
                    let (now, after) = (System::block_number(), locks());
                    for (stake, until) in before {
                        // A stake stays where its node goes.
                        let moved = handed_over.filter(|(from, _)| *from == stake.0);
                        let stake = moved.map_or(stake, |(_, to)| (to, stake.1));
                        // A wait may end a node meanwhile, never before its time.
                        let kept = after.get(&stake).is_some_and(|later| *later >= until);
                        prop_assert!(kept || (is_wait && until <= now), "{:?} was locked until {}", stake, until);
                    }
                    before = after;
                }
                // What served was told to have started, what no longer does, to have stopped.
                let mut serving = Vec::new();
                for (id, started) in Heard::take() {
                    if started {
                        prop_assert!(!serving.contains(&id));
                        serving.push(id);
                    } else {
                        prop_assert!(serving.contains(&id));
                        serving.retain(|other| *other != id);
                    }
                }
                let on_roster = ServiceNodes::nodes().filter(|(_, record)| record.state.is_serving());
                let mut on_roster: Vec<_> = on_roster.map(|(id, _)| id).collect();
                serving.sort_unstable();
                on_roster.sort_unstable();
                prop_assert_eq!(serving, on_roster);
                Ok(())
            })?;
        }
    }
}
