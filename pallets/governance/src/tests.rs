//! Tests of who decides, when it takes effect, and what it costs.

use crate::{Approved, Error, Event, MAX_OPEN_OF_ONE, Open, WorkFloor, mock::*, two_thirds};
use frame_support::{assert_noop, assert_ok};
use proptest::{collection::vec, prelude::*};
use skep_primitives::{
    Balance, CodeHash, Contribution, MAX_OPEN_PROPOSALS, MAX_WORK_FLOOR, Motion, ServingNodes, UNIT,
};

type Errors = Error<Test>;

fn wait(blocks: u32) {
    System::set_block_number(System::block_number() + blocks);
}

/// Two of three operators approve of what the first proposes.
fn carry(motion: Motion) -> u32 {
    let id = propose(1, motion);
    assert_ok!(approve(2, id));
    id
}

#[test]
fn an_upgrade_takes_two_thirds_and_its_delay() {
    run(|| {
        three_operators();
        let id = propose(1, upgrade(7));
        assert_noop!(Governance::enact(origin(9), id), Errors::NotCarried);
        assert_ok!(approve(2, id));
        System::assert_last_event(Event::Carried { proposal: id, enact_from: 1 + UPGRADE_DELAY }.into());
        wait(UPGRADE_DELAY - 1);
        assert_noop!(Governance::enact(origin(9), id), Errors::TooEarly);
        wait(1);
        assert_eq!(Governance::governance().authorized_upgrade, None);
        assert_ok!(Governance::enact(origin(9), id));
        assert_eq!(Governance::governance().authorized_upgrade, Some(CodeHash([7; 32])));
        assert_eq!((held(1), Open::<Test>::get().len()), (0, 0));
        assert_noop!(Governance::enact(origin(9), id), Errors::UnknownProposal);
    });
}

/// Whoever asks for its stake when an upgrade is carried has it back when it may be enacted; a payment waits for no stake.
#[test]
fn only_an_upgrade_waits_until_stakes_can_have_left() {
    run(|| {
        three_operators();
        let (upgrade, payment) = (carry(upgrade(1)), carry(spend(UNIT)));
        wait(DELAY);
        assert_ok!(Governance::enact(origin(9), payment));
        wait(UNLOCK - 1);
        assert_noop!(Governance::enact(origin(9), upgrade), Errors::TooEarly);
        // Somebody left: its node serves no longer, and too little approves.
        stop(2);
        assert_noop!(Governance::enact(origin(9), upgrade), Errors::NotCarried);
    });
}

#[test]
fn a_few_nodes_do_not_decide_for_a_network_to_come() {
    run(|| {
        pallet_network::Network::<Test>::mutate(|network| network.least_electorate = 6 * STAKE);
        start(1, 1, 3 * STAKE);
        let id = propose(1, upgrade(1));
        assert_eq!((Governance::governance().quorum, Open::<Test>::get()[0].enact_from), (4 * STAKE, None));
        start(2, 2, STAKE);
        assert_ok!(approve(2, id));
        assert_eq!(Open::<Test>::get()[0].enact_from, Some(1 + UPGRADE_DELAY));
        // Of more stake than the least it takes two thirds.
        start(3, 3, 3 * STAKE);
        assert_eq!((Governance::governance().quorum, Open::<Test>::get()[0].enact_from), (two_thirds(7 * STAKE), None));
    });
}

#[test]
fn the_treasury_pays_what_it_has() {
    run(|| {
        three_operators();
        let (dear, cheap) = (carry(spend(ENDOWMENT + 1)), carry(spend(30 * UNIT)));
        wait(DELAY);
        assert_noop!(Governance::enact(origin(1), dear), Errors::TreasuryTooSmall);
        assert_ok!(Governance::enact(origin(1), cheap));
        assert_eq!(Balances::free_balance(account(20)), ENDOWMENT + 30 * UNIT);
        assert_eq!(Balances::free_balance(account(TREASURY)), ENDOWMENT - 30 * UNIT);
    });
}

#[test]
fn the_floor_of_work_is_set_within_reason() {
    run(|| {
        three_operators();
        let too_high = Motion::WorkFloor { effort: MAX_WORK_FLOOR + 1 };
        assert_noop!(Governance::propose(origin(1), too_high), Errors::FloorTooHigh);
        let id = carry(Motion::WorkFloor { effort: 50 });
        wait(DELAY);
        assert_eq!(WorkFloor::<Test>::get(), 1);
        assert_ok!(Governance::enact(origin(1), id));
        assert_eq!(Governance::governance().work_floor, 50);
    });
}

#[test]
fn only_operators_take_part() {
    run(|| {
        three_operators();
        let id = propose(1, upgrade(1));
        assert_noop!(Governance::propose(origin(9), upgrade(2)), Errors::NotOperator);
        assert_noop!(approve(9, id), Errors::NotOperator);
        assert_noop!(withdraw(9, id), Errors::NotOperator);
        assert_noop!(approve(1, id), Errors::AlreadyApproved);
        assert_noop!(withdraw(2, id), Errors::NotApproved);
        assert_noop!(approve(2, id + 1), Errors::UnknownProposal);
        assert_noop!(Governance::propose(origin(2), upgrade(1)), Errors::AlreadyProposed);
    });
}

/// Another fork gave the number to another motion, or a chain node said so.
#[test]
fn an_approval_is_of_a_motion() {
    run(|| {
        three_operators();
        let id = propose(1, upgrade(1));
        assert_noop!(Governance::approve(origin(2), id, upgrade(2)), Errors::OtherMotion);
        assert_ok!(Governance::approve(origin(2), id, upgrade(1)));
        assert_noop!(Governance::withdraw_approval(origin(2), id, spend(1)), Errors::OtherMotion);
        assert_ok!(Governance::withdraw_approval(origin(2), id, upgrade(1)));
    });
}

#[test]
fn approval_counts_stake_as_it_serves() {
    run(|| {
        three_operators();
        let id = carry(upgrade(1));
        let approving = || Open::<Test>::get()[0].approving;
        let is_carried = || Open::<Test>::get()[0].enact_from.is_some();
        assert!(is_carried());
        // Somebody else's stake makes the two thirds more.
        start(4, 4, STAKE);
        assert_eq!((approving(), is_carried()), (2 * STAKE, false));
        // The approvers' own makes them enough again, and the delay begins anew.
        wait(3);
        start(2, 5, STAKE);
        assert_eq!((approving(), is_carried()), (3 * STAKE, false));
        start(1, 6, 5 * STAKE);
        assert_eq!(Open::<Test>::get()[0].enact_from, Some(4 + UPGRADE_DELAY));
        // Who no longer operates anything has no say and must approve again.
        [1, 6].into_iter().for_each(stop);
        assert_eq!((approving(), is_carried()), (2 * STAKE, false));
        assert!(Approved::<Test>::get(staker(1)).is_empty());
        start(1, 1, STAKE);
        assert_eq!(approving(), 2 * STAKE);
        assert_ok!(approve(1, id));
        assert_eq!(approving(), 3 * STAKE);
    });
}

#[test]
fn a_withdrawn_approval_stops_what_was_carried() {
    run(|| {
        three_operators();
        let id = carry(upgrade(1));
        wait(UPGRADE_DELAY);
        assert_ok!(withdraw(2, id));
        assert_noop!(Governance::enact(origin(1), id), Errors::NotCarried);
        assert_ok!(approve(3, id));
        assert_noop!(Governance::enact(origin(1), id), Errors::TooEarly);
    });
}

#[test]
fn what_expired_is_cleared_away_by_anyone() {
    run(|| {
        three_operators();
        let (slow, left) = (propose(1, upgrade(1)), carry(upgrade(2)));
        assert_eq!(held(1), 2 * DEPOSIT);
        assert_noop!(Governance::close(origin(9), slow), Errors::StillOpen);
        wait(VOTING);
        assert_noop!(approve(2, slow), Errors::Expired);
        assert_ok!(Governance::close(origin(9), slow));
        // Carried, but nobody enacts it.
        assert_noop!(Governance::close(origin(9), left), Errors::StillOpen);
        wait(UPGRADE_DELAY);
        assert_noop!(Governance::enact(origin(9), left), Errors::Expired);
        assert_ok!(Governance::close(origin(9), left));
        assert_eq!(held(1), 0);
    });
}

#[test]
fn a_proposer_may_give_up_what_nobody_else_approves_of() {
    run(|| {
        three_operators();
        let id = propose(1, upgrade(1));
        assert_noop!(Governance::close(origin(2), id), Errors::StillOpen);
        // Who made it cannot make others begin anew: the same is not proposed twice.
        assert_ok!(approve(2, id));
        assert_noop!(Governance::close(origin(1), id), Errors::StillOpen);
        assert_ok!(withdraw(1, id));
        assert_noop!(Governance::close(origin(1), id), Errors::StillOpen);
        assert_ok!(withdraw(2, id));
        assert_ok!(Governance::close(origin(1), id));
        let id = propose(1, upgrade(1));
        assert_ok!(Governance::close(origin(1), id));
        assert_eq!(held(1), 0);
    });
}

#[test]
fn proposals_are_bounded_and_cost_a_deposit() {
    run(|| {
        start(1, 1, STAKE);
        let most = u8::try_from(MAX_OPEN_OF_ONE).expect("few");
        let first: Vec<_> = (0..most).map(|number| propose(1, upgrade(number))).collect();
        assert_eq!(held(1), Balance::from(most) * DEPOSIT);
        assert_noop!(Governance::propose(origin(1), upgrade(most)), Errors::TooManyOfOne);
        assert_ok!(Governance::close(origin(1), first[0]));
        // What is gone makes room among an operator's approvals, too.
        propose(1, upgrade(most));
        start(2, 2, STAKE);
        let all = Balances::free_balance(account(2));
        assert_ok!(Balances::transfer_allow_death(origin(2), account(3), all - DEPOSIT));
        assert_noop!(Governance::propose(origin(2), upgrade(most + 1)), Errors::NotEnoughFree);
    });
}

#[test]
fn the_weakest_gives_way_to_a_proposer_with_more_stake() {
    run(|| {
        let many = u8::try_from(MAX_OPEN_PROPOSALS).expect("few");
        (1..=5).for_each(|number| start(number, number, STAKE));
        let all: Vec<_> = (0..many).map(|number| propose(1 + number / 4, upgrade(number))).collect();
        assert_ok!(approve(1, all[15]));
        assert_noop!(Governance::propose(origin(5), upgrade(many)), Errors::TooManyOpen);
        start(5, 6, 1);
        let id = propose(5, upgrade(many));
        let open: Vec<_> = Governance::governance().proposals.iter().map(|proposal| proposal.id).collect();
        // The youngest of those that only their proposer approves of.
        assert_eq!(open, [&all[..14], &[all[15], id]].concat());
        assert_eq!((held(4), held(5)), (3 * DEPOSIT, DEPOSIT));
    });
}

#[test]
fn a_word_counts_on_while_a_node_changes_its_key() {
    run(|| {
        three_operators();
        let id = carry(upgrade(1));
        let before = Governance::governance();
        for (from, to) in [(1, 11), (2, 12), (3, 13)] {
            hand_over(from, to);
            assert_eq!(Governance::governance(), before);
        }
        stop(11);
        stop(12);
        assert_noop!(Governance::enact(origin(3), id), Errors::NotCarried);
    });
}

/// What a node holds beside its requirement is about to leave, and nobody is told when it is gone.
#[test]
fn stake_of_those_who_leave_counts_once() {
    run(|| {
        three_operators();
        let leaving = Contribution { staker: staker(9), amount: 3 * STAKE };
        Nodes::mutate(|nodes| nodes.get_mut(&node(1)).map(|payees| payees.contributions.push(leaving)));
        Governance::stopped(node(1));
        Governance::started(node(1));
        assert_eq!(Governance::governance().serving, 3 * STAKE);
        Nodes::mutate(|nodes| nodes.get_mut(&node(1)).map(|payees| payees.contributions.pop()));
    });
}

#[test]
fn nobody_decides_where_nobody_serves() {
    assert_eq!(two_thirds(0), 1);
    assert_eq!((two_thirds(3), two_thirds(4), two_thirds(5)), (2, 3, 4));
    assert_eq!(two_thirds(Balance::MAX), Balance::MAX / 3 * 2);
}

#[derive(Clone, Debug)]
enum Step {
    Start { operator: u8, number: u8, stake: u8 },
    Stop { number: u8 },
    Propose { operator: u8, motion: u8 },
    Approve { operator: u8, proposal: u32 },
    Withdraw { operator: u8, proposal: u32 },
    Enact { proposal: u32 },
    Close { operator: u8, proposal: u32 },
    Wait { blocks: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let (operator, number, proposal) = (1..6u8, 1..9u8, 0..8u32);
    prop_oneof![
        (operator.clone(), number.clone(), 1..9u8).prop_map(|(operator, number, stake)| Step::Start {
            operator,
            number,
            stake
        }),
        number.prop_map(|number| Step::Stop { number }),
        (operator.clone(), 0..6u8).prop_map(|(operator, motion)| Step::Propose { operator, motion }),
        (operator.clone(), proposal.clone()).prop_map(|(operator, proposal)| Step::Approve { operator, proposal }),
        (operator.clone(), proposal.clone()).prop_map(|(operator, proposal)| Step::Withdraw { operator, proposal }),
        proposal.clone().prop_map(|proposal| Step::Enact { proposal }),
        (operator, proposal).prop_map(|(operator, proposal)| Step::Close { operator, proposal }),
        (1..12u32).prop_map(|blocks| Step::Wait { blocks }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_sequence_of_calls_leaves_a_sound_state(steps in vec(step(), 1..60)) {
        run(|| {
            let issued = Balances::total_issuance();
            for step in steps {
                // Refusals are part of the game; what they leave behind is not.
                let _ = match step {
                    Step::Start { operator, number, stake } => {
                        start(operator, number, UNIT * Balance::from(stake));
                        Ok(())
                    }
                    Step::Stop { number } => {
                        stop(number);
                        Ok(())
                    }
                    Step::Propose { operator, motion: 0 } => Governance::propose(origin(operator), spend(UNIT)),
                    Step::Propose { operator, motion } => Governance::propose(origin(operator), upgrade(motion)),
                    Step::Approve { operator, proposal } => approve(operator, proposal),
                    Step::Withdraw { operator, proposal } => withdraw(operator, proposal),
                    Step::Enact { proposal } => Governance::enact(origin(9), proposal),
                    Step::Close { operator, proposal } => Governance::close(origin(operator), proposal),
                    Step::Wait { blocks } => {
                        wait(blocks);
                        Ok(())
                    }
                };
                Governance::check_state().expect("sound after each step");
            }
            assert_eq!(Balances::total_issuance(), issued, "deciding neither makes nor burns");
        });
    }
}
