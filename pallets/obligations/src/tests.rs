//! Tests of rounds and verdicts, of what is refused, and of what no sequence of them can break.

use crate::{Class, Decided, Error, Event, History, MAX_HISTORY, Newcomers, Refusal, Roll, Rounds, mock::*};
use frame_support::{assert_noop, assert_ok, traits::Contains};
use skep_obligations::is_signed;
use skep_primitives::{
    Cause, Findings, NodeState, Reason, Reasons, ServiceNodeId, StandingChange, StandingEvent, Subject, TestingRound,
    Verdict, Vote, Whereabouts, signing,
};
use sp_core::{Pair, ed25519};
use sp_runtime::{
    DispatchError,
    traits::Dispatchable,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};

const FAILS: Reasons = Reasons::NONE.with(Reason::QuicUnreachable);
const PASSES: Reasons = Reasons::NONE;

fn findings() -> Findings {
    Findings { all: FAILS, any: FAILS }
}

fn refused(refusal: Refusal) -> Result<(), TransactionValidityError> {
    Err(refusal.into())
}

fn validity(verdict: &Verdict) -> Result<(), TransactionValidityError> {
    validate(verdict).map(drop)
}

fn events() -> Vec<Event<Test>> {
    let events = System::events().into_iter().filter_map(|record| match record.event {
        RuntimeEvent::Obligations(event) => Some(event),
        RuntimeEvent::System(_) => None,
    });
    events.collect()
}

fn credit_in_blocks(node: ServiceNodeId) -> Option<u64> {
    Obligations::standing(node)?.credit.map(|credit| credit / BLOCK_TIME)
}

/// A network of twelve in which one node, by its number, has just been decommissioned.
fn one_decommissioned() -> (TestingRound, u8) {
    let round = grown(12);
    let failing = round.targets[0];
    assert_ok!(carry_out(&verdict(&round, failing, FAILS)), Ok(()));
    (round, number_of(failing))
}

/// The next round that tests this node.
fn next_round_that_tests(node: ServiceNodeId) -> TestingRound {
    (0..1_000)
        .map(|_| next_round())
        .find(|round| round.targets.contains(&node))
        .expect("everybody is tested in a thousand rounds")
}

#[test]
fn a_round_begins_every_so_many_blocks_and_is_kept_while_its_verdicts_count() {
    run(|| {
        (1..=12).for_each(start);
        assert_eq!(Obligations::round(None), None);
        let fresh = next_round();
        assert_eq!((fresh.round, fresh.begins_at, fresh.ends_at), (1, ROUND, ROUND + VOTE_ROUNDS * ROUND - 1));
        assert!(fresh.testers.is_empty() && fresh.targets.is_empty(), "all are too fresh to test");
        let round = grown(0);
        assert_eq!((round.testers.len(), round.targets.len()), (10, 2));
        assert_eq!(events().last(), Some(&Event::RoundBegan { round: round.round, testers: 10, targets: 2 }));
        run_to(round.begins_at + ROUND - 1);
        assert_eq!(Obligations::round(None), Some(round.clone()));
        run_to(round.ends_at);
        assert_eq!(Obligations::round(Some(round.round)), Some(round.clone()));
        run_to(round.ends_at + 1);
        assert_eq!(Obligations::round(Some(round.round)), None);
        assert_eq!(Rounds::<Test>::iter().count(), VOTE_ROUNDS as usize);
    });
}

#[test]
fn rounds_and_seeds_draw_other_quorums() {
    let drawn = |seed: u8| {
        let mut rounds = Vec::new();
        run(|| {
            Seed::set([seed; 32]);
            grown(40);
            rounds = (0..2).map(|_| next_round()).map(|round| (round.testers, round.targets)).collect();
        });
        rounds
    };
    let (one, other) = (drawn(1), drawn(2));
    assert_ne!(one[0], one[1]);
    assert_ne!(one[0], other[0]);
    assert_eq!(one, drawn(1));
}

#[test]
fn a_network_too_small_to_test_itself_draws_nobody() {
    run(|| {
        let round = grown(4);
        assert_eq!((round.testers.len(), round.targets.len()), (0, 0));
        start(5);
        let round = next_round();
        // The fifth need not be seasoned to be tested.
        assert_eq!((round.testers.len(), round.targets), (4, vec![node(5)]));
    });
}

#[test]
fn seven_of_ten_decommission_a_failing_node_and_let_it_serve_again() {
    run(|| {
        let (round, number) = one_decommissioned();
        let (now, id) = (System::block_number(), node(number));
        // It had its first credit, and a little it earned since.
        let credit = (CREDIT + (now - 1) / 30) as u64 * BLOCK_TIME;
        let ends = now + u32::try_from(credit.div_ceil(BLOCK_TIME)).expect("few blocks");
        let Some(Whereabouts::Roster(NodeState::Decommissioned { since, credit_ends_at, findings: found, leave })) =
            whereabouts(number)
        else {
            panic!("{:?}", whereabouts(number))
        };
        assert_eq!((since, found, leave), (now, findings(), None));
        assert!(credit_ends_at.abs_diff(ends) <= 1, "{credit_ends_at} {ends}");
        assert_eq!(Roll::<Test>::class_of(id), Some(Class::Decommissioned));
        assert!(matches!(events().last(), Some(Event::NodeDecommissioned { node, .. }) if *node == id));

        let back = next_round();
        assert!(back.targets.contains(&id), "the decommissioned are drawn first");
        let down = u64::from(back.begins_at - now);
        assert_ok!(carry_out(&verdict(&back, id, PASSES)), Ok(()));
        assert_eq!(whereabouts(number), Some(Whereabouts::Roster(NodeState::Active { since: back.begins_at })));
        assert_eq!(credit_in_blocks(id), Some(u64::from(CREDIT) - 2 * down));
        assert_eq!(Roll::<Test>::class_of(id), Some(Class::Fresh));

        let note =
            |at, change, round, findings| StandingEvent { at, change, cause: Cause::Verdict { round, findings } };
        let history = Obligations::standing(id).expect("registered").history;
        assert_eq!(
            history,
            [
                note(now, StandingChange::Decommissioned, round.round, findings()),
                note(back.begins_at, StandingChange::Recommissioned, back.round, Findings::default()),
            ]
        );
    });
}

#[test]
fn with_little_credit_a_failing_node_is_deregistered() {
    run(|| {
        let (_, number) = one_decommissioned();
        assert_ok!(carry_out(&verdict(&next_round(), node(number), PASSES)), Ok(()));
        let round = next_round_that_tests(node(number));
        assert_ok!(carry_out(&verdict(&round, node(number), FAILS)), Ok(()));
        assert!(matches!(whereabouts(number), Some(Whereabouts::Deregistered(_))));
        assert_eq!(Roll::<Test>::class_of(node(number)), None);
        let cause = Cause::Verdict { round: round.round, findings: findings() };
        assert_eq!(events().last(), Some(&Event::NodeDeregistered { node: node(number), cause }));
        let standing = Obligations::standing(node(number)).expect("its stakes are locked");
        assert_eq!((standing.credit, standing.history.len()), (None, 3));
        assert_eq!(standing.history[2].change, StandingChange::Deregistered);
        // Why is told until nothing of it is left.
        end(number);
        assert_eq!(Obligations::standing(node(number)), None);
        assert_eq!(History::<Test>::iter().count(), 0);
    });
}

#[test]
fn a_decommissioned_node_is_deregistered_once_its_credit_is_spent() {
    run(|| {
        let (_, number) = one_decommissioned();
        let since = System::block_number();
        let round = next_round();
        assert_eq!(validity(&verdict(&round, node(number), FAILS)), refused(Refusal::NothingToChange));
        run_to(since + CREDIT + ROUND);
        let round = next_round();
        assert_eq!(credit_in_blocks(node(number)), Some(0));
        assert_ok!(carry_out(&verdict(&round, node(number), FAILS)), Ok(()));
        assert!(matches!(whereabouts(number), Some(Whereabouts::Deregistered(_))));
    });
}

#[test]
fn who_comes_back_late_comes_back_with_nothing() {
    run(|| {
        let (_, number) = one_decommissioned();
        run_to(System::block_number() + 3 * CREDIT);
        assert_ok!(carry_out(&verdict(&next_round(), node(number), PASSES)), Ok(()));
        assert_eq!(credit_in_blocks(node(number)), Some(0));
        assert!(matches!(whereabouts(number), Some(Whereabouts::Roster(NodeState::Active { .. }))));
    });
}

#[test]
fn a_verdict_tells_the_pool_what_it_is_and_for_how_long() {
    run(|| {
        let round = grown(12);
        let [one, other] = round.targets[..] else { panic!("two are tested") };
        let first = validate(&verdict(&round, one, FAILS)).expect("valid");
        assert!(first.propagate && first.requires.is_empty() && first.priority > 0);
        assert_eq!(first.longevity, u64::from(VOTE_ROUNDS * ROUND));
        run_to(round.ends_at);
        assert_eq!(validate(&verdict(&round, one, FAILS)).expect("valid").longevity, 1);
        // Other votes on the same do not stand beside it, another node's verdict does.
        let mut rest = verdict(&round, one, FAILS);
        rest.votes = (3..10).map(|seat| vote(&round, &rest.subject, seat, FAILS)).collect();
        assert_eq!(validate(&rest).expect("valid").provides, first.provides);
        assert_ne!(validate(&verdict(&round, other, FAILS)).expect("valid").provides, first.provides);
    });
}

#[test]
fn bad_verdicts_are_refused_before_they_enter_the_pool() {
    run(|| {
        let round = grown(12);
        let target = round.targets[0];
        let good = verdict(&round, target, FAILS);
        assert_eq!(validity(&good), Ok(()));
        let with = |votes: Vec<Vote>| Verdict { votes, ..good.clone() };

        let short = with(good.votes[..6].to_vec());
        let repeated = with([&good.votes[..6], &good.votes[5..6]].concat());
        let stranger = with([&good.votes[..6], &[Vote { seat: 10, ..good.votes[6] }]].concat());
        let mixed = with([&good.votes[..6], &[vote(&round, &good.subject, 6, PASSES)]].concat());
        for undecided in [with(Vec::new()), short, repeated, stranger, mixed] {
            assert_eq!(validity(&undecided), refused(Refusal::UndecidedVotes));
        }

        let forged = with([&good.votes[..6], &[Vote { signature: [0; 64], ..good.votes[6] }]].concat());
        let changed =
            with([&good.votes[..6], &[Vote { reasons: FAILS.with(Reason::Clock), ..good.votes[6] }]].concat());
        let other_seat = with([&good.votes[..6], &[Vote { seat: 7, ..good.votes[6] }]].concat());
        for unsigned in [forged, changed, other_seat] {
            assert_eq!(validity(&unsigned), Err(InvalidTransaction::BadProof.into()));
        }

        assert_eq!(validity(&verdict(&round, round.testers[0], FAILS)), refused(Refusal::NotTested));
        assert_eq!(validity(&verdict(&round, ServiceNodeId([9; 32]), FAILS)), refused(Refusal::NotTested));
        assert_eq!(validity(&verdict(&round, target, PASSES)), refused(Refusal::NothingToChange));
        run_to(round.ends_at + 1);
        assert_eq!(validity(&good), refused(Refusal::Expired));
    });
}

#[test]
fn votes_of_another_history_count_for_nothing() {
    run(|| {
        let round = grown(12);
        let target = round.targets[0];
        // The same quorum, drawn after another block.
        let reorganised = TestingRound { block: [7; 32], ..round.clone() };
        assert_eq!(validity(&verdict(&reorganised, target, FAILS)), refused(Refusal::OtherHistory));
        // A round this fork has not come to.
        let ahead = TestingRound { round: round.round + 1, ..round.clone() };
        assert_eq!(validity(&verdict(&ahead, target, FAILS)), refused(Refusal::OtherHistory));
        let far = TestingRound { round: u32::MAX, ..round.clone() };
        assert_eq!(validity(&verdict(&far, target, FAILS)), refused(Refusal::OtherHistory));
        // Votes on one of them cannot be passed off as votes on the other.
        let mut stolen = verdict(&reorganised, target, FAILS);
        stolen.subject = subject(&round, target);
        assert_eq!(validity(&stolen), Err(InvalidTransaction::BadProof.into()));
    });
}

#[test]
fn each_verdict_counts_once_and_none_outlives_what_it_was_about() {
    run(|| {
        let (round, number) = one_decommissioned();
        let id = node(number);
        assert_eq!(validity(&verdict(&round, id, FAILS)), refused(Refusal::DecidedBefore));
        assert_eq!(validity(&verdict(&round, id, PASSES)), refused(Refusal::DecidedBefore));
        let back = next_round();
        assert!(back.targets.contains(&id));
        assert_ok!(carry_out(&verdict(&back, id, PASSES)), Ok(()));
        // What testers saw before the node came back says nothing about it now.
        let between = (round.round + 1..back.round).filter_map(|number| Obligations::round(Some(number)));
        for old in between.chain([back]).filter(|old| old.targets.contains(&id)) {
            let late = validity(&verdict(&old, id, FAILS));
            assert!([refused(Refusal::NothingToChange), refused(Refusal::DecidedBefore)].contains(&late));
        }
    });
}

#[test]
fn a_verdict_held_back_does_not_hit_a_node_that_has_recovered() {
    run(|| {
        let first = grown(60);
        let id = first.targets[0];
        // Two rounds in which it fails; the verdict of the second is held back.
        let second = next_round_that_tests(id);
        let held_back = verdict(&second, id, FAILS);
        assert_eq!(validity(&held_back), Ok(()));
        let third = next_round_that_tests(id);
        assert!(third.round < second.round + VOTE_ROUNDS - 2, "the first still counts");
        assert_ok!(carry_out(&verdict(&third, id, FAILS)), Ok(()));
        let back = next_round();
        assert_ok!(carry_out(&verdict(&back, id, PASSES)), Ok(()));
        assert_eq!(validity(&held_back), refused(Refusal::NothingToChange));
    });
}

#[test]
fn only_what_was_authorized_is_carried_out() {
    run(|| {
        let round = grown(12);
        let good = verdict(&round, round.targets[0], FAILS);
        for origin in [RuntimeOrigin::none(), RuntimeOrigin::root(), RuntimeOrigin::signed(1)] {
            assert_noop!(call(&good).dispatch(origin), DispatchError::BadOrigin);
        }
        assert_ok!(carry_out(&good), Ok(()));
        let authorized = RuntimeOrigin::from(frame_system::RawOrigin::Authorized);
        assert_noop!(call(&good).dispatch(authorized), Error::<Test>::Overtaken);
    });
}

#[test]
fn an_outage_of_many_takes_out_few_a_round_and_never_more_than_a_third() {
    run(|| {
        let round = grown(14);
        let [one, other, ..] = round.targets[..] else { panic!("four are tested") };
        assert_ok!(carry_out(&verdict(&round, one, FAILS)), Ok(()));
        assert_eq!(validity(&verdict(&round, other, FAILS)), refused(Refusal::TooManyAtOnce));
        // The verdict counts as soon as there is room again.
        next_round();
        assert_ok!(carry_out(&verdict(&round, other, FAILS)), Ok(()));
        // Everybody fails, for ever.
        for _ in 0..60 {
            let round = next_round();
            for node in round.targets.clone() {
                let _ = carry_out(&verdict(&round, node, FAILS));
            }
        }
        let (mut serving, mut deregistered) = (0, 0);
        for standing in Obligations::standings() {
            match standing.whereabouts {
                Whereabouts::Roster(state) => serving += u32::from(state.is_serving()),
                Whereabouts::Deregistered(_) => deregistered += 1,
            }
        }
        assert_eq!((serving, deregistered), (10, 0), "four of fourteen are out, and nobody lost its place");
    });
}

#[test]
fn an_equivocation_deregisters_at_once() {
    run(|| {
        let round = grown(12);
        let id = round.testers[0];
        assert!(Obligations::equivocated(id));
        assert!(matches!(whereabouts(number_of(id)), Some(Whereabouts::Deregistered(_))));
        assert_eq!(events().last(), Some(&Event::NodeDeregistered { node: id, cause: Cause::Equivocation }));
        assert_eq!(Obligations::standing(id).expect("locked").history[0].cause, Cause::Equivocation);
        assert!(!Obligations::equivocated(id), "there is nothing left to deregister");
        assert!(!Obligations::equivocated(ServiceNodeId([9; 32])));
        // It was drawn before: its vote of that round still counts, as it was given.
        assert_eq!(validity(&verdict(&round, round.targets[0], FAILS)), Ok(()));
    });
}

#[test]
fn testers_have_served_for_a_while() {
    run(|| {
        grown(12);
        start(13);
        let since = System::block_number();
        let is_tester = |number| Roll::<Test>::class_of(node(number)) == Some(Class::Seasoned);
        run_to(since + WAIT - 1);
        assert!(!is_tester(13));
        next_round();
        assert!(is_tester(13));
        // Who is recommissioned waits again.
        let round = next_round_that_tests(node(13));
        assert_ok!(carry_out(&verdict(&round, node(13), FAILS)), Ok(()));
        assert_ok!(carry_out(&verdict(&next_round(), node(13), PASSES)), Ok(()));
        let since = System::block_number();
        run_to(since + WAIT - 1);
        assert!(!is_tester(13));
        next_round();
        assert!(is_tester(13));
        assert_eq!(Newcomers::<Test>::iter().count(), 0);
    });
}

#[test]
fn one_that_left_and_came_again_waits_for_its_second_time() {
    run(|| {
        grown(12);
        start(13);
        run_to(System::block_number() + WAIT - ROUND);
        end(13);
        start(13);
        let since = System::block_number();
        run_to(since + WAIT - 1);
        assert_eq!(Roll::<Test>::class_of(node(13)), Some(Class::Fresh));
        next_round();
        assert_eq!(Roll::<Test>::class_of(node(13)), Some(Class::Seasoned));
    });
}

#[test]
fn another_key_brings_no_new_credit() {
    run(|| {
        let (_, number) = one_decommissioned();
        // Out of service it stays so, under whatever key.
        let since = System::block_number();
        hand_over(number, 100);
        assert_eq!(Obligations::standing(node(number)), None);
        assert_eq!(Roll::<Test>::class_of(node(100)), Some(Class::Decommissioned));
        assert_eq!(Obligations::standing(node(100)).expect("registered").history.len(), 1);
        let back = next_round();
        assert_ok!(carry_out(&verdict(&back, node(100), PASSES)), Ok(()));
        let credit = u64::from(CREDIT) - 2 * u64::from(back.begins_at - since);
        assert_eq!(credit_in_blocks(node(100)), Some(credit));
        // In service it begins anew as a tester, with the credit it had.
        hand_over(100, 101);
        assert_eq!(credit_in_blocks(node(101)), Some(credit));
        assert_eq!(Roll::<Test>::class_of(node(101)), Some(Class::Fresh));
        let round = next_round_that_tests(node(101));
        assert_ok!(carry_out(&verdict(&round, node(101), FAILS)), Ok(()));
        assert!(matches!(whereabouts(101), Some(Whereabouts::Deregistered(_))));
        assert_eq!(Obligations::standing(node(101)).expect("locked").history.len(), 3);
    });
}

#[test]
fn a_node_answers_for_its_last_keys() {
    run(|| {
        grown(12);
        let keys = [1, 101, 102, 103, 104, 105];
        for step in keys.windows(2) {
            hand_over(step[0], step[1]);
            Obligations::check_state().expect("sound");
        }
        assert_eq!(Obligations::accountable(node(1)), None, "five keys ago");
        for key in &keys[1..] {
            assert_eq!(Obligations::accountable(node(*key)), Some(node(105)));
        }
        assert!(Obligations::equivocated(node(104)), "under the key before the last");
        assert!(matches!(whereabouts(105), Some(Whereabouts::Deregistered(_))));
        assert!(!Obligations::equivocated(node(104)), "once is enough");
        let operators = || [105, 104].map(|key| Obligations::operator_behind(node(key)).is_some());
        assert_eq!(operators(), [true, true], "until its stakes have returned");
        end(105);
        assert_eq!(operators(), [false, false]);
        assert_eq!(crate::Successor::<Test>::iter().count(), 0);
    });
}

/// Whoever took it up would take over the blame for what it signed, or hand it on.
#[test]
fn a_former_key_is_nobodys_while_it_is_answered_for() {
    run(|| {
        grown(12);
        let is_spent = |key: u8| Obligations::contains(&node(key));
        let keys = [1, 101, 102, 103, 104];
        for step in keys.windows(2) {
            hand_over(step[0], step[1]);
        }
        assert_eq!(keys.map(is_spent), [true, true, true, true, false]);
        hand_over(104, 105);
        assert_eq!([1, 101, 104, 105].map(is_spent), [false, true, true, false], "four keys are remembered");
        end(105);
        assert_eq!([101, 104].map(is_spent), [false, false]);
    });
}

#[test]
fn only_the_latest_of_a_long_history_are_kept() {
    run(|| {
        let (_, number) = one_decommissioned();
        let id = node(number);
        for _ in 0..MAX_HISTORY {
            // Failing without credit would deregister it.
            let round = next_round_that_tests(id);
            let reasons = if Roll::<Test>::class_of(id) == Some(Class::Decommissioned) { PASSES } else { FAILS };
            crate::Tenures::<Test>::mutate(id, |tenure| {
                tenure.as_mut().expect("on the roll").credit = 100 * BLOCK_TIME
            });
            assert_ok!(carry_out(&verdict(&round, id, reasons)), Ok(()));
        }
        let history = Obligations::standing(id).expect("registered").history;
        assert_eq!(history.len(), MAX_HISTORY as usize);
        assert!(history.is_sorted_by_key(|event| event.at));
        assert_eq!(history[0].change, StandingChange::Recommissioned, "the first was forgotten");
    });
}

/// Signatures on which implementations differ: keys and commitments of small order or with a second encoding.
#[test]
fn signatures_are_judged_alike_on_and_off_chain() {
    let subject = Subject { round: 1, block: [2; 32], node: ServiceNodeId([3; 32]) };
    let message = signing::vote(&GENESIS, &subject, FAILS);
    let point = |first: u8, fill: u8, last: u8| {
        let mut bytes = [fill; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let points = [
        point(1, 0, 0),
        point(1, 0, 0x80),
        point(0, 0, 0),
        point(0, 0, 0x80),
        point(0xee, 0xff, 0x7f),
        point(0xee, 0xff, 0xff),
        point(0xed, 0xff, 0x7f),
        point(0xec, 0xff, 0x7f),
        point(2, 0, 0),
        key(1).public().0,
    ];
    let scalars = [[0; 32], point(1, 0, 0), [0xff; 32]];
    let mut good = key(1).sign(&message).0;
    let mut signatures = vec![good];
    good[63] |= 0x80;
    signatures.push(good);
    for commitment in points {
        signatures.extend(scalars.map(|scalar| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&commitment);
            signature[32..].copy_from_slice(&scalar);
            signature
        }));
    }
    let mut accepted = 0;
    sp_io::TestExternalities::default().execute_with(|| {
        for key in points {
            for signature in &signatures {
                let (raw, public) = (ed25519::Signature::from_raw(*signature), ed25519::Public::from_raw(key));
                let on_chain = sp_io::crypto::ed25519_verify(&raw, &message, &public);
                let vote = Vote { seat: 0, reasons: FAILS, signature: *signature };
                assert_eq!(
                    is_signed(&GENESIS, &subject, &ServiceNodeId(key), &vote),
                    on_chain,
                    "{key:?} {signature:?}"
                );
                accepted += u32::from(on_chain);
            }
        }
    });
    assert!(accepted > 1, "some of these are the odd ones that verify");
}

mod sequences {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[derive(Clone, Debug)]
    enum Step {
        Start { node: u8 },
        End { node: u8 },
        Wait { blocks: u8 },
        Verdict { rounds_ago: u32, target: usize, fails: bool },
        Equivocation { node: u8 },
        HandOver { from: u8, to: u8 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..=24u8).prop_map(|node| Step::Start { node }),
            1 => (1..=24u8).prop_map(|node| Step::End { node }),
            4 => (1..=12u8).prop_map(|blocks| Step::Wait { blocks }),
            8 => (0..4u32, 0..12usize, any::<bool>())
                .prop_map(|(rounds_ago, target, fails)| Step::Verdict { rounds_ago, target, fails }),
            1 => (1..=24u8).prop_map(|node| Step::Equivocation { node }),
            1 => (1..=24u8, 1..=24u8).prop_map(|(from, to)| Step::HandOver { from, to }),
        ]
    }

    /// Whether a node may be registered under this key.
    fn is_free(number: u8) -> bool {
        whereabouts(number).is_none() && !Obligations::contains(&crate::mock::node(number))
    }

    fn take(step: &Step) {
        match *step {
            Step::Start { node } if is_free(node) => start(node),
            Step::End { node } if whereabouts(node).is_some() => end(node),
            Step::Start { .. } | Step::End { .. } => {}
            Step::Wait { blocks } => run_to(System::block_number() + u32::from(blocks)),
            Step::Verdict { rounds_ago, target, fails } => {
                let number = (System::block_number() / ROUND).saturating_sub(rounds_ago);
                let Some(round) = Obligations::round(Some(number)) else { return };
                let Some(node) = round.targets.get(target) else { return };
                let verdict = verdict(&round, *node, if fails { FAILS } else { PASSES });
                let before = whereabouts(number_of(*node));
                match carry_out(&verdict) {
                    Ok(done) => {
                        assert_ok!(done);
                        assert_ne!(whereabouts(number_of(*node)), before, "a verdict that is taken changes something");
                        assert!(Decided::<Test>::contains_key(number, node));
                        assert_eq!(validity(&verdict), refused(Refusal::DecidedBefore));
                    }
                    Err(_) => assert_eq!(whereabouts(number_of(*node)), before),
                }
            }
            Step::Equivocation { node } => {
                let accountable = Obligations::accountable(crate::mock::node(node));
                assert_eq!(Obligations::equivocated(crate::mock::node(node)), accountable.is_some());
                if let Some(node) = accountable {
                    assert!(matches!(whereabouts(number_of(node)), Some(Whereabouts::Deregistered(_))));
                }
            }
            Step::HandOver { from, to } => {
                if matches!(whereabouts(from), Some(Whereabouts::Roster(_))) && is_free(to) {
                    hand_over(from, to);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn keep_the_roll_sound_and_most_of_the_network_in_service(steps in vec(step(), 1..80)) {
            externalities().execute_with(|| {
                grown(16);
                for step in steps {
                    take(&step);
                    prop_assert_eq!(Obligations::check_state(), Ok(()), "{:?}", step);
                    let census = crate::Counts::<Test>::get();
                    // Others may leave after them, so this bound is looser than the rule for one more.
                    let registered = Registry::get().len() as u32;
                    prop_assert!(census.total() <= registered);
                    for standing in Obligations::standings() {
                        prop_assert!(standing.credit.is_none_or(|credit| credit <= 10 * u64::from(CREDIT) * BLOCK_TIME));
                        prop_assert!(standing.history.is_sorted_by_key(|event| event.at));
                    }
                }
                Ok(())
            })?;
        }
    }
}
