use super::*;
use proptest::{collection::vec, prelude::*};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_primitives::StakerId;
use std::collections::BTreeSet;

const NOW: Moment = 1_800_000_000_000;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn id(number: u8) -> ServiceNodeId {
    ServiceNodeId([number; 32])
}

/// Nodes of `operators`, each on a network of its own.
fn network(operators: &[u8]) -> Vec<Candidate> {
    (1..)
        .zip(operators)
        .map(|(number, operator)| {
            let hop = Hop { id: id(number), x25519: [number; 32] };
            let operator = StakerId([*operator; 32]);
            Candidate::new(hop, [127, 0, number], operator, &[(operator, 1)])
        })
        .collect()
}

fn diverse(count: u8) -> Vec<Candidate> {
    network(&(1..=count).collect::<Vec<_>>())
}

fn to(number: u8) -> Purpose {
    Purpose::Contact(AccountAddress::from_x25519([number; 32]))
}

#[derive(Clone, Debug)]
enum Step {
    Use(Purpose, Vec<u8>),
    Worked(Purpose),
    Failed(Purpose, usize),
    Wait(Moment),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let purpose = || prop_oneof![Just(Purpose::Sending), Just(Purpose::Reading), (0..3_u8).prop_map(to)];
    let step = prop_oneof![
        3 => (purpose(), vec(1..=12_u8, 0..8)).prop_map(|(purpose, to)| Step::Use(purpose, to)),
        1 => purpose().prop_map(Step::Worked),
        3 => (purpose(), 0..PATH_HOPS).prop_map(|(purpose, hop)| Step::Failed(purpose, hop)),
        1 => (0..2 * REST_MS).prop_map(Step::Wait),
    ];
    vec(step, 1..60)
}

proptest! {
    #[test]
    fn whatever_fails_there_is_a_path_to_some_destination(
        operators in vec(1..=12_u8, 4..=12),
        steps in steps(),
        seed: u64,
    ) {
        let candidates = network(&operators);
        let mut book = PathBook::default();
        let (mut now, mut rng) = (NOW, rng(seed));
        for step in steps {
            match step {
                Step::Use(purpose, to) => {
                    let to: Vec<_> = to.into_iter().map(id).collect();
                    let path = book.path(purpose, &to, &candidates, now, &mut rng).unwrap();
                    let hops = path.ids();
                    prop_assert_eq!(BTreeSet::from(hops).len(), PATH_HOPS);
                    prop_assert!(hops.iter().all(|hop| candidates.iter().any(|known| known.hop.id == *hop)));
                    prop_assert!(to.is_empty() || to.iter().any(|node| !hops.contains(node)));
                    // Asked again, it is the same path, unless a better one turned up.
                    let again = book.path(purpose, &to, &candidates, now, &mut rng).unwrap();
                    prop_assert!(again == path || (!path.tested && again.diversity < path.diversity));
                }
                Step::Worked(purpose) => book.worked(purpose),
                Step::Failed(purpose, hop) => {
                    let hop = book.paths.get(&purpose).and_then(|kept| kept.hops[hop]);
                    if let Some(hop) = hop {
                        book.failed(purpose, hop, now);
                    }
                }
                Step::Wait(time) => now += time,
            }
        }
    }

    #[test]
    fn a_failing_hop_is_replaced_alone(hop in 1..PATH_HOPS, seed: u64) {
        let (candidates, mut rng) = (diverse(12), rng(seed));
        let mut book = PathBook::default();
        let before = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
        book.failed(Purpose::Sending, before[hop], NOW);
        let after = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap();
        for (place, (now, then)) in after.ids().iter().zip(&before).enumerate() {
            prop_assert_eq!(now == then, place != hop);
        }
        prop_assert!(!after.tested);
    }

    #[test]
    fn the_guard_stays_until_it_failed_three_times_in_a_row(seed: u64) {
        let (candidates, mut rng) = (diverse(12), rng(seed));
        let mut book = PathBook::default();
        let mut guard = || book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids()[0];
        let first = guard();
        let mut rng = self::rng(seed);
        for _ in 0..2 {
            book.failed(Purpose::Sending, first, NOW);
            prop_assert_eq!(book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids()[0], first);
        }
        // An answer in between starts the count anew.
        book.worked(Purpose::Sending);
        for _ in 0..3 {
            prop_assert_eq!(book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids()[0], first);
            book.failed(Purpose::Sending, first, NOW);
        }
        let path = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap();
        prop_assert!(!path.ids().contains(&first));
    }

    #[test]
    fn contacts_share_a_guard_and_nothing_with_reading(seed: u64) {
        let (candidates, mut rng) = (diverse(12), rng(seed));
        let mut book = PathBook::default();
        let mut hops = |purpose| book.path(purpose, &[], &candidates, NOW, &mut rng).unwrap().ids();
        let (first, second) = (hops(to(1)), hops(to(2)));
        prop_assert_eq!(first[0], second[0]);
        prop_assert_eq!(first[0], hops(Purpose::Sending)[0]);
        prop_assert_eq!(hops(to(1)), first);
        let reading = hops(Purpose::Reading);
        prop_assert!(reading.iter().all(|hop| !first.contains(hop) && !second.contains(hop)));
        // A guard that is given up is given up for all.
        for _ in 0..MOST_FAILURES {
            book.failed(to(1), first[0], NOW);
        }
        let mut hops = |purpose| book.path(purpose, &[], &candidates, NOW, &mut rng).unwrap().ids();
        let second = hops(to(2));
        prop_assert_ne!(second[0], first[0]);
        prop_assert_eq!(second[0], hops(to(1))[0]);
    }

    #[test]
    fn who_listens_at_the_shared_guard_is_reached_by_one_other(seed: u64) {
        let (candidates, mut rng) = (diverse(12), rng(seed));
        let mut book = PathBook::default();
        let mut hops = |number, at: &[_]| book.path(to(number), at, &candidates, NOW, &mut rng).unwrap().ids();
        let [shared, ..] = hops(1, &[]);
        let there = hops(1, &[shared]);
        prop_assert!(!there.contains(&shared));
        for at in [&[][..], &[shared]] {
            prop_assert_eq!(hops(1, at)[0], there[0], "no third one learns the address");
        }
        prop_assert_eq!(hops(2, &[])[0], shared);
    }

    #[test]
    fn sending_and_reading_share_no_hop_where_there_is_room(seed: u64) {
        let (candidates, mut rng) = (diverse(6), rng(seed));
        let mut book = PathBook::default();
        let sending = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
        let reading = book.path(Purpose::Reading, &[], &candidates, NOW, &mut rng).unwrap().ids();
        prop_assert!(reading.iter().all(|hop| !sending.contains(hop)));
    }
}

#[test]
fn a_hop_that_blames_the_others_goes_with_them() {
    let (candidates, mut rng) = (diverse(30), rng(1));
    let mut book = PathBook::default();
    let [guard, liar, _] = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
    for _ in 0..3 {
        let [_, middle, last] = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
        assert_eq!(middle, liar);
        book.failed(Purpose::Sending, last, NOW);
    }
    assert_eq!(book.paths[&Purpose::Sending].hops, [Some(guard), None, None]);
}

#[test]
fn given_up_nodes_come_back_after_a_rest_or_when_nobody_else_is_left() {
    let (candidates, mut rng) = (diverse(4), rng(2));
    let mut book = PathBook::default();
    for _ in 0..3 {
        book.failed(Purpose::Sending, id(1), NOW);
    }
    let path = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap();
    assert!(!path.ids().contains(&id(1)));
    let needed = book.path(Purpose::Reading, &[id(2)], &candidates, NOW, &mut rng).unwrap();
    assert!(needed.ids().contains(&id(1)));
    let hopeless = book.path(Purpose::Reading, &[id(2)], &diverse(3), NOW, &mut rng);
    assert_eq!(hopeless, Err(PathChoiceError::TooFewNodes(2)));
    // A rest.
    book.path(Purpose::Sending, &[], &candidates, NOW + REST_MS, &mut rng).unwrap();
    assert!(book.failures.is_empty());
}

#[test]
fn a_hop_that_left_the_roster_is_replaced_and_what_is_kept_survives_its_text() {
    let (mut candidates, mut rng) = (diverse(12), rng(3));
    let mut book = PathBook::default();
    let before = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
    book.worked(Purpose::Sending);
    let text = serde_json::to_string(&book).unwrap();
    let mut book: PathBook = serde_json::from_str(&text).unwrap();
    let again = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap();
    assert_eq!((again.ids(), again.tested), (before, false));
    candidates.retain(|candidate| candidate.hop.id != before[0]);
    let after = book.path(Purpose::Sending, &[], &candidates, NOW, &mut rng).unwrap().ids();
    assert_eq!(after[1..], before[1..]);
    assert_ne!(after[0], before[0]);
}

#[test]
fn paths_to_contacts_are_bounded_and_survive_their_text() {
    let (candidates, mut rng) = (diverse(12), rng(4));
    let mut book = PathBook::default();
    for number in 0..=MOST_CONTACTS as u8 {
        book.path(to(number), &[], &candidates, NOW + Moment::from(number), &mut rng).unwrap();
    }
    assert_eq!(book.paths.len(), MOST_CONTACTS + 1, "and the one they share the guard of");
    assert!(!book.paths.contains_key(&to(0)) && book.paths.contains_key(&to(1)));
    let text = serde_json::to_string(&book).unwrap();
    let read: PathBook = serde_json::from_str(&text).unwrap();
    assert_eq!(read, book);
    // What an earlier program kept is read, too.
    let before: PathBook =
        serde_json::from_str(r#"{"paths":{"reading":{"hops":[null,null,null],"failures":0}},"failures":{}}"#).unwrap();
    assert!(before.paths.contains_key(&Purpose::Reading));
}

#[test]
fn failures_blame_whom_they_tell_of() {
    let hops = [1, 2, 3].map(|number| Hop { id: id(number), x25519: [number; 32] });
    let blame = |failure: RequestFailure| failure.blame(&hops, &id(9));
    assert_eq!(blame(RequestFailure::Refused(503)), Blame::Hop(id(1)));
    assert_eq!(blame(RequestFailure::Path(PathError::NextNodeNotFound(id(3)))), Blame::Hop(id(3)));
    assert_eq!(blame(RequestFailure::Path(PathError::NextNodeNotFound(id(9)))), Blame::Destination);
    // Nobody looks for the guard, and a stranger's name tells nothing.
    assert_eq!(blame(RequestFailure::Path(PathError::NextNodeNotFound(id(1)))), Blame::Unknown);
    assert_eq!(blame(RequestFailure::Path(PathError::NextNodeNotFound(id(7)))), Blame::Unknown);
    assert_eq!(blame(RequestFailure::Path(PathError::TimedOut)), Blame::Unknown);
    assert_eq!(blame(RequestFailure::Silence), Blame::Unknown);
    assert_eq!(blame(RequestFailure::Malformed), Blame::Destination);
    // On an established path each hop speaks for itself.
    let hop = |at, failure| blame(RequestFailure::Hop { at, failure });
    assert_eq!(hop(0, HopFailure::NextSilent), Blame::Hop(id(2)));
    assert_eq!(hop(1, HopFailure::NextBusy), Blame::Hop(id(3)));
    assert_eq!(hop(1, HopFailure::NextBroken), Blame::Keys(id(3)));
    assert_eq!(hop(2, HopFailure::NextNotFound), Blame::Destination);
    assert_eq!(hop(usize::MAX - 1, HopFailure::NextSilent), Blame::Destination);
    assert_eq!(blame(RequestFailure::Refused(400).of_established()), Blame::Keys(id(1)));
    assert_eq!(blame(RequestFailure::Refused(503).of_established()), Blame::Hop(id(1)));
    assert_eq!(blame(RequestFailure::Forged(0)), Blame::Hop(id(1)));
    assert_eq!(blame(RequestFailure::Forged(2)), Blame::Unknown);
    assert_eq!(blame(RequestFailure::Destination(503)), Blame::Destination);
    assert!(RequestFailure::Refused(404).is_unsupported() && !RequestFailure::Refused(400).is_unsupported());
    assert_eq!(RequestFailure::Refused(429).blame(&[], &id(9)), Blame::Destination);
}
