use super::{testing::serve, *};
use crate::session::testing::{NOW, message, store_of};
use skep_mailbox::{MemoryStore, RECORD_BYTES};

/// Runs until it is done or rests.
fn run(bring_up: &mut BringUp, ours: &MemoryStore, theirs: &MemoryStore, now: u64) -> Step {
    loop {
        match bring_up.poll(ours, now).expect("reads") {
            Step::Ask(request) => bring_up.handle(ours, serve(theirs, request, now)).expect("honest"),
            step @ (Step::Done { .. } | Step::Rest) => return step,
        }
    }
}

#[test]
fn a_member_gets_what_it_lacks() {
    let (ours, theirs) = (store_of(0..700), store_of(500..900));
    let mut bring_up = BringUp::new(vec![NameRange::ALL], u64::MAX);
    assert_eq!(run(&mut bring_up, &ours, &theirs, NOW), Step::Done { refused: 0 });
    assert_eq!(bring_up.handed(), 500);
    assert_eq!(theirs.usage().messages, 900);
    let mut again = BringUp::new(vec![NameRange::ALL], u64::MAX);
    assert_eq!(run(&mut again, &ours, &theirs, NOW), Step::Done { refused: 0 });
    assert_eq!(again.handed(), 0);
}

#[test]
fn a_spent_budget_lets_it_rest_and_it_goes_on_where_it_was() {
    let (ours, theirs) = (store_of(0..2_000), store_of(0..0));
    const BUDGET: u64 = 20_000;
    let mut bring_up = BringUp::new(vec![NameRange::ALL], BUDGET);
    let (mut rests, mut sent) = (0, 0);
    while run(&mut bring_up, &ours, &theirs, NOW) == Step::Rest {
        assert!(bring_up.spent() < BUDGET + 50_000, "{}", bring_up.spent());
        sent += bring_up.spent();
        rests += 1;
        bring_up.resume();
    }
    assert!(rests > 3);
    assert_eq!((theirs.usage().messages, bring_up.handed()), (2_000, 2_000));
    let mut at_once = BringUp::new(vec![NameRange::ALL], u64::MAX);
    run(&mut at_once, &ours, &store_of(0..0), NOW);
    assert!(sent + bring_up.spent() <= at_once.spent() + 1_000, "nothing is sent twice");
}

#[test]
fn a_full_member_does_not_count_as_having_it() {
    let (ours, theirs) = (store_of(0..10), MemoryStore::new(5 * (8 + RECORD_BYTES)));
    let mut bring_up = BringUp::new(vec![NameRange::ALL], u64::MAX);
    assert_eq!(run(&mut bring_up, &ours, &theirs, NOW), Step::Done { refused: 5 });
    assert_eq!(bring_up.handed(), 5);
}

#[test]
fn what_expires_meanwhile_is_not_handed_over() {
    let (ours, theirs) = (store_of(0..10), store_of(0..0));
    let mut bring_up = BringUp::new(vec![NameRange::ALL], u64::MAX);
    assert_eq!(run(&mut bring_up, &ours, &theirs, message(0).deposit().expiry), Step::Done { refused: 0 });
    assert_eq!((bring_up.handed(), theirs.usage().messages), (0, 0));
}

#[test]
fn other_answers_end_it() {
    let ours = store_of(0..10);
    let refusal = peer::Refusal { status: 505, reason: "another version".into() };
    for (response, failure) in [
        (Some(Response::Pong(peer::Pong::default())), Failure::Unexpected),
        (Some(Response::Taken(peer::Taken { statuses: vec![200] })), Failure::Unexpected),
        (None, Failure::Unexpected),
        (Some(Response::Refusal(refusal)), Failure::Refused { status: 505, reason: "another version".into() }),
    ] {
        let mut bring_up = BringUp::new(vec![NameRange::ALL], u64::MAX);
        assert!(matches!(bring_up.poll(&ours, NOW), Ok(Step::Ask(Request::Reconcile(_)))));
        assert_eq!(bring_up.handle(&ours, peer::Response { response }), Err(failure));
    }
}
