//! What becomes of nodes that fail: in and out of service, and off the roster.

use super::*;
use crate::{Deregistered, StakedIn};
use skep_primitives::{Deregistration, Findings, Leave, NodeWhereabouts, Reason, Reasons, Whereabouts};

const SEEN: Reasons = Reasons::NONE.with(Reason::HttpsUnreachable);

pub(super) fn findings() -> Findings {
    Findings { all: SEEN, any: SEEN.with(Reason::Clock) }
}

fn decommissioned(since: u32, credit_ends_at: u32, leave: Option<Leave>) -> Option<NodeState> {
    Some(NodeState::Decommissioned { since, credit_ends_at, findings: findings(), leave })
}

#[test]
fn a_decommissioned_node_is_unpaid_and_serves_again_once_it_passes() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(4);
        assert!(ServiceNodes::decommission(node(1), 40, findings()));
        assert_eq!(state(1), decommissioned(4, 40, None));
        assert_eq!(ServiceNodes::payees(node(1)), None);
        assert_eq!(held(1), REQUIREMENT);
        let lock = StakeLock::Bonded;
        assert_eq!(ServiceNodes::stakes(staker(1)), [Stake { node: node(1), amount: REQUIREMENT, lock }]);
        assert_noop!(contribute(2, 1, UNIT), Failure::StakeComplete);
        // Its operator may repair it where it is found.
        assert_ok!(ServiceNodes::update_endpoint(origin(1), node(1), endpoint(9), VERSION));
        run_to(7);
        assert!(ServiceNodes::recommission(node(1)));
        assert_eq!(state(1), Some(NodeState::Active { since: 7 }));
        assert!(ServiceNodes::payees(node(1)).is_some());
        assert_eq!(Heard::get(), [(node(1), true), (node(1), false), (node(1), true)]);
        let told = events();
        let expected = Event::Decommissioned { node: node(1), credit_ends_at: 40, findings: findings() };
        assert!(told.contains(&expected));
        assert_eq!(told.last(), Some(&Event::Recommissioned { node: node(1) }));
    });
}

#[test]
fn nothing_becomes_of_a_node_in_another_state() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(register(2, 2, REQUIREMENT));
        let root = Roster::root();
        assert!(!ServiceNodes::decommission(node(1), 40, findings()));
        assert!(!ServiceNodes::recommission(node(1)));
        assert!(!ServiceNodes::recommission(node(2)));
        for act in [ServiceNodes::recommission, ServiceNodes::deregister] {
            assert!(!act(node(3)));
        }
        assert_eq!(Roster::root(), root);
        assert!(ServiceNodes::decommission(node(2), 40, findings()));
        assert!(!ServiceNodes::decommission(node(2), 50, findings()));
        assert_eq!(state(2), decommissioned(1, 40, None));
    });
}

#[test]
fn a_leaving_node_leaves_whether_it_serves_or_not() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(register(2, 2, REQUIREMENT));
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        let leave = Leave { requested_at: 1, leaves_at: 1 + UNLOCK };
        assert!(ServiceNodes::decommission(node(1), 40, findings()));
        assert_eq!(state(1), decommissioned(1, 40, Some(leave)));
        assert_noop!(ServiceNodes::request_unlock(origin(1), node(1)), Failure::AlreadyLeaving);
        run_to(3);
        assert!(ServiceNodes::recommission(node(1)));
        assert_eq!(state(1), Some(NodeState::Leaving { requested_at: 1, leaves_at: 1 + UNLOCK }));
        assert!(ServiceNodes::decommission(node(1), 40, findings()));
        // The stake in one that is decommissioned already may be asked back.
        assert!(ServiceNodes::decommission(node(2), 40, findings()));
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(2)));
        let leave = Leave { requested_at: 3, leaves_at: 3 + UNLOCK };
        assert_eq!(state(2), decommissioned(3, 40, Some(leave)));
        Heard::take();
        run_to(3 + UNLOCK);
        assert_eq!((state(1), state(2), held(1), held(2)), (None, None, 0, 0));
        assert_eq!(Heard::get(), [], "both had stopped before");
        assert_eq!(Gone::get(), [node(1), node(2)]);
    });
}

#[test]
fn a_place_in_a_decommissioned_node_may_be_filled_again() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        assert_ok!(ServiceNodes::request_unlock(origin(2), node(1)));
        assert!(ServiceNodes::decommission(node(1), 40, findings()));
        let open = ServiceNodes::open_pools(staker(3)).pop().expect("a place is open");
        assert_eq!(
            (open.room, open.closes_at, open.state),
            (REQUIREMENT / 2, 1 + UNLOCK, state(1).expect("registered"))
        );
        assert_ok!(contribute(3, 1, REQUIREMENT / 2));
        assert_eq!(state(1), decommissioned(1, 40, None));
        run_to(1 + UNLOCK);
        assert_eq!((held(2), held(3)), (0, REQUIREMENT / 2));
        assert_eq!(state(1), decommissioned(1, 40, None));
    });
}

#[test]
fn stakes_of_a_deregistered_node_stay_locked_and_return_by_themselves() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT / 2));
        assert_ok!(contribute(2, 1, REQUIREMENT / 2));
        run_to(4);
        assert!(ServiceNodes::deregister(node(1)));
        assert_eq!(state(1), None);
        assert_eq!(RosterSize::<Test>::get(), 0);
        assert_eq!(Heard::get(), [(node(1), true), (node(1), false)]);
        let gone = Deregistration { at: 4, stakes_return_at: 4 + DEREGISTRATION_LOCK };
        assert_eq!(ServiceNodes::whereabouts(node(1)), Some((staker(1), Whereabouts::Deregistered(gone))));
        let lock = StakeLock::Deregistered { block: 4 + DEREGISTRATION_LOCK };
        assert_eq!(ServiceNodes::stakes(staker(2)), [Stake { node: node(1), amount: REQUIREMENT / 2, lock }]);
        // Its address is free, its key is not.
        assert_ok!(ServiceNodes::register(
            origin(3),
            node(3),
            proof(3, 3),
            fee(),
            endpoint(1),
            VERSION,
            REQUIREMENT,
            Default::default()
        ));
        assert_noop!(register(1, 1, REQUIREMENT), Failure::NodeDeregistered);
        assert_noop!(ServiceNodes::withdraw(origin(1), node(1)), Failure::NodeDeregistered);
        assert_noop!(ServiceNodes::request_unlock(origin(2), node(1)), Failure::NodeDeregistered);
        assert_noop!(contribute(4, 1, UNIT), Failure::NodeDeregistered);
        assert!(!ServiceNodes::deregister(node(1)));
        run_to(3 + DEREGISTRATION_LOCK);
        assert_eq!((held(1), held(2)), (REQUIREMENT / 2, REQUIREMENT / 2));
        run_to(4 + DEREGISTRATION_LOCK);
        assert_eq!((held(1), held(2)), (0, 0));
        assert_eq!(Gone::get(), [node(1)]);
        assert_eq!(ServiceNodes::whereabouts(node(1)), None);
        assert_eq!(events().last(), Some(&Event::Ended { node: node(1), reason: EndReason::Deregistered }));
        assert_eq!((Deregistered::<Test>::iter().count(), StakedIn::<Test>::iter().count()), (0, 1));
        assert_eq!(Balances::total_balance(&account(1)), ENDOWMENT);
    });
}

#[test]
fn what_was_due_before_returns_nothing_of_a_deregistered_node() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(register(2, 2, REQUIREMENT / 2));
        run_to(2);
        assert_ok!(ServiceNodes::request_unlock(origin(1), node(1)));
        run_to(4);
        assert!(ServiceNodes::deregister(node(1)));
        assert!(ServiceNodes::deregister(node(2)), "one that gathers can be put off as well");
        // An unlock and a pool's expiry were to come before.
        run_to(3 + DEREGISTRATION_LOCK);
        assert_eq!((held(1), held(2)), (REQUIREMENT, REQUIREMENT / 2));
        run_to(4 + DEREGISTRATION_LOCK);
        assert_eq!((held(1), held(2)), (0, 0));
    });
}

#[test]
fn a_block_returns_the_stakes_of_a_bounded_number_of_nodes() {
    run(|| {
        let count = crate::MAX_ENDS_PER_BLOCK as u8 + 2;
        for number in 1..=count {
            assert_ok!(register(number % ACCOUNTS + 1, number, REQUIREMENT));
            assert!(ServiceNodes::deregister(node(number)));
        }
        run_to(1 + DEREGISTRATION_LOCK);
        assert_eq!(Deregistered::<Test>::iter().count(), 2);
        ServiceNodes::check_state().expect("the state is sound");
        run_to(2 + DEREGISTRATION_LOCK);
        assert_eq!(Deregistered::<Test>::iter().count(), 0);
    });
}

#[test]
fn a_decommissioned_node_may_go_on_under_another_key() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(register(3, 3, REQUIREMENT));
        assert!(ServiceNodes::decommission(node(1), 40, findings()));
        assert!(ServiceNodes::deregister(node(3)));
        Heard::take();
        assert_noop!(ServiceNodes::hand_over(origin(1), node(1), node(3), proof(3, 1)), Failure::NodeDeregistered);
        assert_ok!(ServiceNodes::hand_over(origin(1), node(1), node(2), proof(2, 1)));
        assert_eq!((state(1), state(2)), (None, decommissioned(1, 40, None)));
        assert_eq!(Heard::get(), [], "it serves under neither key");
        assert_eq!(HandedOver::get(), [(node(1), node(2))]);
        assert!(ServiceNodes::recommission(node(2)));
    });
}
