use super::*;
use crate::testing::{ACTIVE, GENESIS, decommissioned, id, round, sign};
use skep_obligations::{Outcome, outcome};
use skep_primitives::Reason;

const FAILING: Judgement = Judgement::Failing(Reasons::NONE.with(Reason::QuicUnreachable));
const TARGET: usize = 20;

fn pace() -> Pace {
    Pace::of(&TestingTerms::default())
}

/// The ballots of tester `number`, who knows round 3 at block 40: testers 0 to 9, target 20.
fn ballots(number: usize, state: NodeState) -> Ballots {
    let mut ballots = Ballots::new(id(number), GENESIS, pace());
    ballots.handle_roster(0, 40, [(id(TARGET), state)]);
    assert!(ballots.handle_round(round(3, 31, 0..10, [TARGET])));
    ballots
}

fn subject() -> Subject {
    Subject { round: 3, block: [3; 32], node: id(TARGET) }
}

fn vote(seat: usize, reasons: Reasons) -> Vote {
    let signature = sign(seat)(&signing::vote(&GENESIS, &subject(), reasons));
    Vote { seat: seat as u8, reasons, signature }
}

fn failing(seat: usize) -> Vote {
    vote(seat, Reasons::NONE.with(Reason::QuicUnreachable))
}

#[test]
fn a_vote_is_offered_to_every_other_tester_until_it_is_taken() {
    let mut mine = ballots(0, ACTIVE);
    mine.cast(0, id(TARGET), FAILING, &sign(0));
    let offers: Vec<_> = std::iter::from_fn(|| mine.poll_offer(0)).collect();
    assert_eq!(offers.iter().map(|offer| offer.to).collect::<Vec<_>>(), (1..10).map(id).collect::<Vec<_>>());
    assert!(offers.iter().all(|offer| offer.votes == [failing(0)] && offer.subject == subject()));
    for offer in &offers[1..] {
        mine.handle_answer(10, offer, &[]).expect("an answer");
    }
    let again = mine.poll_timeout().expect("one is owed still");
    assert_eq!(mine.poll_offer(again - 1), None);
    assert_eq!(mine.poll_offer(again).map(|offer| offer.to), Some(id(1)));
    let later = mine.poll_timeout().expect("and once more");
    assert!(later - again > again, "ever more rarely");
    mine.cast(later, id(TARGET), FAILING, &sign(0));
    assert_eq!(mine.poll_timeout(), Some(later), "one vote says it");
}

#[test]
fn who_takes_votes_tells_those_the_other_lacks() {
    let mut mine = ballots(0, ACTIVE);
    mine.cast(0, id(TARGET), FAILING, &sign(0));
    let held = mine.handle_votes(0, &id(4), &subject(), &[failing(4)]).expect("counted");
    assert_eq!(held, [failing(0)]);
    let offer = Offer { to: id(5), subject: subject(), votes: vec![failing(0)] };
    mine.handle_answer(0, &offer, &[failing(5), failing(6)]).expect("counted");
    let held = mine.handle_votes(0, &id(7), &subject(), &[failing(7)]).expect("counted");
    assert_eq!(held, [0, 4, 5, 6].map(failing));
}

#[test]
fn forged_and_foreign_votes_are_refused() {
    let mut mine = ballots(0, ACTIVE);
    let refused = |mine: &mut Ballots, from, subject: Subject, votes: &[Vote]| {
        mine.handle_votes(0, &id(from), &subject, votes).expect_err("refused")
    };
    let good = [failing(4)];
    assert_eq!(refused(&mut mine, 4, Subject { round: 4, ..subject() }, &good), VotesRefusal::Round(4));
    assert_eq!(refused(&mut mine, 4, Subject { block: [7; 32], ..subject() }, &good), VotesRefusal::Block(3));
    assert_eq!(refused(&mut mine, 4, Subject { node: id(21), ..subject() }, &good), VotesRefusal::Node(3));
    assert_eq!(refused(&mut mine, 11, subject(), &good), VotesRefusal::Stranger(3));
    assert_eq!(refused(&mut mine, 4, subject(), &[failing(4); MAX_VOTES + 1]), VotesRefusal::TooMany(21));
    let forged = Vote { seat: 5, ..failing(4) };
    assert_eq!(refused(&mut mine, 4, subject(), &[forged]), TallyError::NotSigned(5).into());
    let nobodys = Vote { seat: 10, ..failing(4) };
    assert_eq!(refused(&mut mine, 4, subject(), &[nobodys]), TallyError::NoSeat(10).into());
    assert_eq!(mine.handle_votes(0, &id(4), &subject(), &[]), Ok(vec![]), "nothing was counted");
    assert_eq!(mine.poll_verdict(u64::MAX), None);
}

#[test]
fn seven_votes_make_a_verdict_and_testers_take_turns() {
    let mut turns = Vec::new();
    for number in 0..10 {
        let mut mine = ballots(number, ACTIVE);
        let others: Vec<_> = (0..10).filter(|other| *other != number).map(failing).collect();
        mine.handle_votes(1_000, &id((number + 1) % 10), &subject(), &others[..6]).expect("counted");
        assert_eq!(mine.poll_verdict(u64::MAX), None, "six are too few");
        mine.handle_votes(1_000, &id((number + 1) % 10), &subject(), &others[6..7]).expect("counted");
        let due = mine.poll_timeout().expect("a turn");
        assert_eq!(mine.poll_verdict(due - 1), None);
        let verdict = mine.poll_verdict(due).expect("its turn");
        assert!(matches!(outcome(10, &verdict.votes), Ok(Outcome::Fails(_))));
        assert_eq!(verdict.subject, subject());
        assert_eq!(mine.poll_verdict(due), None, "once");
        assert!(mine.poll_verdict(due + 10 * pace().submission_pause()).is_some(), "again if it changed nothing");
        mine.handle_roster(due, 45, [(id(TARGET), decommissioned(44, 80))]);
        assert_eq!(mine.poll_verdict(u64::MAX), None, "it has changed something");
        turns.push(due);
    }
    turns.sort_unstable();
    let expected: Vec<_> = (0..10).map(|place| 1_000 + place * pace().submission_pause()).collect();
    assert_eq!(turns, expected);
}

#[test]
fn the_next_rounds_verdict_has_its_turn_when_the_oldest_was_in_vain() {
    let mut mine = ballots(0, NodeState::Leaving { requested_at: 20, leaves_at: 900 });
    assert!(mine.handle_round(round(4, 33, 0..10, [TARGET])));
    let later = Subject { round: 4, block: [4; 32], ..subject() };
    let vote = |seat: usize, subject: &Subject| {
        let reasons = Reasons::NONE.with(Reason::Clock);
        Vote { seat: seat as u8, reasons, signature: sign(seat)(&signing::vote(&GENESIS, subject, reasons)) }
    };
    for subject in [later, subject()] {
        let votes: Vec<_> = (0..10).map(|seat| vote(seat, &subject)).collect();
        mine.handle_votes(0, &id(1), &subject, &votes).expect("counted");
    }
    let all = 20 * pace().submission_pause();
    assert_eq!(mine.poll_verdict(all).map(|verdict| verdict.subject.round), Some(3));
    mine.handle_roster(all, 50, [(id(TARGET), NodeState::Leaving { requested_at: 20, leaves_at: 900 })]);
    let rounds: BTreeSet<_> =
        std::iter::from_fn(|| mine.poll_verdict(3 * all)).map(|verdict| verdict.subject.round).collect();
    assert_eq!(rounds, [3, 4].into());
}

#[test]
fn a_decommissioned_node_comes_back_by_passing_and_ends_when_its_credit_does() {
    let mut mine = ballots(0, decommissioned(20, 60));
    let passing: Vec<_> = (0..10).map(|seat| vote(seat, Reasons::NONE)).collect();
    let failing: Vec<_> = (0..10).map(failing).collect();
    mine.handle_votes(0, &id(1), &subject(), &failing).expect("counted");
    assert_eq!(mine.poll_verdict(u64::MAX), None, "there is credit left");
    let mut spent = mine.clone();
    spent.handle_roster(5_000, 60, [(id(TARGET), decommissioned(20, 60))]);
    let verdict = spent.poll_verdict(u64::MAX).expect("its credit is spent");
    assert!(matches!(outcome(10, &verdict.votes), Ok(Outcome::Fails(_))));

    mine.handle_votes(0, &id(1), &subject(), &passing).expect("counted");
    let verdict = mine.poll_verdict(u64::MAX).expect("it passes");
    assert_eq!(outcome(10, &verdict.votes), Ok(Outcome::Passes));
}

#[test]
fn what_was_seen_before_a_node_came_back_is_over() {
    let mut mine = ballots(0, ACTIVE);
    let votes: Vec<_> = (0..10).map(failing).collect();
    mine.handle_votes(0, &id(1), &subject(), &votes).expect("counted");
    assert!(mine.clone().poll_verdict(u64::MAX).is_some());
    // Another round's verdict was carried out meanwhile, and the node has passed since.
    mine.handle_roster(0, 50, [(id(TARGET), NodeState::Active { since: 49 })]);
    assert_eq!(mine.poll_verdict(u64::MAX), None);
    mine.cast(0, id(TARGET), FAILING, &sign(0));
    assert_eq!(mine.poll_offer(0), None, "nor is it voted on in a round that began before");
}

#[test]
fn votes_are_cast_only_where_they_can_change_something() {
    for (state, judgement, votes) in [
        (ACTIVE, FAILING, 1),
        (ACTIVE, Judgement::Passing, 0),
        (NodeState::Leaving { requested_at: 39, leaves_at: 99 }, FAILING, 1),
        (decommissioned(20, 60), Judgement::Passing, 1),
        (decommissioned(20, 60), FAILING, 1),
        (decommissioned(35, 60), FAILING, 0),
        (decommissioned(35, 60), Judgement::Passing, 0),
        (NodeState::Gathering { expires_at: 90 }, FAILING, 0),
    ] {
        let mut mine = ballots(0, state);
        mine.cast(0, id(TARGET), judgement, &sign(0));
        assert_eq!(mine.poll_offer(0).map_or(0, |offer| offer.votes.len()), votes, "{state:?} {judgement:?}");
    }
}

#[test]
fn rounds_end_and_are_bounded() {
    let mut mine = ballots(0, ACTIVE);
    assert!(!mine.handle_round(round(3, 31, 0..10, [TARGET])), "known");
    assert!(!mine.handle_round(round(5, 31, 1..11, [TARGET])), "another quorum's");
    assert!(mine.handle_round(TestingRound { block: [8; 32], ..round(3, 31, 0..10, [TARGET]) }), "another history's");
    mine.handle_roster(0, 130, [(id(TARGET), ACTIVE)]);
    assert_eq!(mine.rounds(), 1, "its last block");
    mine.handle_roster(0, 131, [(id(TARGET), ACTIVE)]);
    assert_eq!(mine.rounds(), 0);
    assert!(!mine.handle_round(round(3, 31, 0..10, [TARGET])), "over");
    for number in 0..2_000 {
        mine.handle_round(round(number, 200, 0..10, [TARGET]));
    }
    assert_eq!(mine.rounds(), MAX_ROUNDS);
}
