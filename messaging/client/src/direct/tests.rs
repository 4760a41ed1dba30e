use super::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_envelope::Sync;
use skep_proto::storage::listening::{DeliveredMessage, Handle, MAX_HOLD};

const NOW: Moment = 1_800_000_000_000;
const HEARD: Stamps = Stamps { last: 5, mailed: 5, confirmed: 5, heard: 0 };

fn contact(number: u8) -> AccountAddress {
    AccountAddress::from_x25519([number; 32])
}

fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId([number; 32])
}

fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}

fn theirs(number: u8) -> Listening {
    Listening { node: [number; 32], handle: [number; 32], token: [number; 32] }
}

fn told(stamp: u64, listening: Option<Listening>) -> Told {
    Told { id: id(99), sync: Some(Sync { stamp, heard: 0, listening }), acknowledged: true }
}

fn answer(opened: bool, messages: Vec<DeliveredMessage>) -> ListenResponse {
    ListenResponse { opened, messages, more: false, t: 0, hf: [0; 2], pad: String::new() }
}

/// Lines on a node that has answered; the contact 1 is online at 7.
fn online() -> (Lines, ChaCha20Rng) {
    let (mut lines, mut rng) = (Lines::default(), ChaCha20Rng::seed_from_u64(1));
    lines.attend(contact(1), NOW, &mut rng);
    assert!(lines.needs_node(NOW));
    lines.listen_on(node(3), &mut rng);
    let call = lines.poll_listen(NOW, &mut rng).unwrap();
    assert_eq!((call.node, call.request.hold, call.request.contacts.len()), (node(3), 0, 1));
    // Nobody is told of a handle the node may not know.
    assert_eq!(lines.listening_for(&contact(1)), None);
    assert!(lines.handle_listened(&call, answer(true, Vec::new()), NOW).is_empty());
    lines.told(&contact(1), &told(NOW, Some(theirs(7))), Way::Direct, NOW);
    (lines, rng)
}

#[test]
fn nothing_goes_directly_before_all_mail_was_heard_of() {
    let (lines, _) = online();
    assert_eq!(lines.address(&contact(1), HEARD, NOW), Some(theirs(7)));
    assert_eq!(lines.address(&contact(1), Stamps { mailed: 6, ..HEARD }, NOW), None);
    assert_eq!(lines.address(&contact(2), HEARD, NOW), None);
}

#[test]
fn a_line_falls_when_an_acknowledgement_does_not_come_and_rests_longer_each_time() {
    let (mut lines, mut rng) = online();
    let before = lines.listening_for(&contact(1)).unwrap();
    let (mut now, mut dead, mut rests) = (NOW, 7, Vec::new());
    for number in 10..15 {
        lines.given(&contact(1), id(1), now);
        let due = lines.lines[&contact(1)].overdue_at().unwrap();
        assert!(lines.poll_timeout().unwrap() <= due);
        assert!(lines.handle_timeout(due - 1, &mut rng).is_empty());
        assert_eq!(lines.handle_timeout(due, &mut rng), [contact(1)]);
        assert!(lines.in_flight().is_empty());
        // Both handles are dead: theirs whatever is said of it, ours is exchanged.
        lines.told(&contact(1), &told(due + 1, Some(theirs(dead))), Way::Mail, due);
        assert_eq!(lines.address(&contact(1), HEARD, due + 3_600_000), None);
        assert_ne!(lines.listening_for(&contact(1)), Some(before));
        lines.told(&contact(1), &told(due + 2, Some(theirs(number))), Way::Direct, due);
        let rest = (0..).step_by(1000).find(|rest| lines.address(&contact(1), HEARD, due + rest).is_some()).unwrap();
        rests.push(rest);
        (now, dead) = (due + rest, number);
    }
    // Twice in a row it is forgiven.
    assert_eq!(rests[..2], [0, 0]);
    assert!(rests[2] >= 120_000 && rests[3] == 2 * rests[2] && rests[4] == 2 * rests[3], "{rests:?}");
    // An acknowledgement makes up for it.
    lines.given(&contact(1), id(2), now);
    lines.acknowledged(&contact(1), &[id(2)]);
    assert_eq!(lines.handle_timeout(now + 600_000, &mut rng), []);
}

#[test]
fn a_busy_node_rests_a_line_that_stands() {
    let (mut lines, mut rng) = online();
    lines.given(&contact(1), id(1), NOW);
    assert!(!lines.refused(&contact(1), Refusal::Busy, NOW, &mut rng));
    assert_eq!(lines.address(&contact(1), HEARD, NOW), None);
    assert_eq!(lines.in_flight(), BTreeSet::from([contact(1)]));
    assert_eq!(lines.address(&contact(1), HEARD, NOW + 15_000), Some(theirs(7)));
    assert!(lines.refused(&contact(1), Refusal::Dead, NOW, &mut rng));
    assert!(lines.in_flight().is_empty());
}

#[test]
fn only_so_many_messages_wait_to_be_acknowledged() {
    let (mut lines, _) = online();
    let mut number = 0;
    while lines.address(&contact(1), HEARD, NOW).is_some() {
        number += 1;
        lines.given(&contact(1), id(number), NOW);
    }
    // Fewer than the forty skipped keys a ratchet keeps.
    assert!((1..40).contains(&number));
    lines.acknowledged(&contact(1), &[id(1)]);
    assert!(lines.address(&contact(1), HEARD, NOW).is_some());
}

#[test]
fn the_newest_word_counts_and_an_old_one_by_mail_does_not() {
    let (mut lines, _) = online();
    lines.told(&contact(1), &told(NOW - 1, None), Way::Mail, NOW);
    assert!(lines.address(&contact(1), HEARD, NOW).is_some());
    lines.told(&contact(1), &told(NOW + 1, None), Way::Mail, NOW);
    assert!(lines.address(&contact(1), HEARD, NOW).is_none());
    let late = NOW + 24 * 3_600_000;
    lines.told(&contact(1), &told(NOW + 2, Some(theirs(8))), Way::Mail, late);
    assert!(lines.address(&contact(1), HEARD, late).is_none());
}

#[test]
fn what_is_delivered_is_taken_once_and_acknowledged_to_the_node() {
    let (mut lines, mut rng) = online();
    let call = lines.poll_listen(NOW, &mut rng).unwrap();
    assert!((MAX_HOLD / 2..=MAX_HOLD).contains(&call.request.hold));
    assert!(lines.poll_listen(NOW, &mut rng).is_none());
    let ours = lines.listening_for(&contact(1)).unwrap();
    let message = |sequence, handle| DeliveredMessage { sequence, handle: Handle(handle), data: vec![sequence as u8] };
    let messages = vec![message(1, ours.handle), message(2, [0; 32]), message(4, ours.handle)];
    let delivered = lines.handle_listened(&call, answer(false, messages), NOW);
    // Not what came under a handle nobody was given, nor out of turn.
    assert_eq!(delivered, [Delivered { contact: contact(1), data: vec![1] }]);
    let call = lines.poll_listen(NOW, &mut rng).unwrap();
    assert_eq!(call.request.ack, 2);
    let again = vec![message(2, ours.handle), message(3, ours.handle)];
    let delivered = lines.handle_listened(&call, answer(false, again), NOW);
    assert_eq!(delivered, [Delivered { contact: contact(1), data: vec![3] }]);
    // A node that has forgotten counts anew.
    let call = lines.poll_listen(NOW, &mut rng).unwrap();
    let delivered = lines.handle_listened(&call, answer(true, vec![message(1, ours.handle)]), NOW);
    assert_eq!(delivered.len(), 1);
    // What was owed is owed once.
    lines.told(&contact(1), &told(NOW + 1, None), Way::Direct, NOW);
    lines.told(&contact(1), &told(NOW + 2, None), Way::Direct, NOW);
    assert_eq!((lines.debtors(), lines.owed(&contact(1))), (vec![contact(1)], vec![id(99)]));
    assert!(lines.debtors().is_empty());
}

#[test]
fn a_node_that_is_silent_twice_is_left_for_another_and_told_so() {
    let (mut lines, mut rng) = online();
    lines.tells(&contact(1));
    assert_eq!(lines.believers(), [contact(1)]);
    let mut now = NOW;
    for _ in 0..2 {
        let call = lines.poll_listen(now, &mut rng).unwrap();
        lines.handle_failed(&call, ListenFailure::Silent, now);
        assert!(lines.poll_listen(now, &mut rng).is_none(), "a pause");
        now += 600_000;
    }
    assert!(lines.needs_node(now) && lines.listening_for(&contact(1)).is_none());
    let (left, request) = lines.poll_unlisten().unwrap();
    assert_eq!(left, node(3));
    // A goodbye that was lost is repeated.
    lines.still_ended(left, request);
    assert_eq!(lines.poll_unlisten(), Some((left, request)));
    lines.listen_on(node(4), &mut rng);
    let call = lines.poll_listen(now, &mut rng).unwrap();
    assert_eq!(call.request.contacts.len(), 1);
    lines.handle_listened(&call, answer(true, Vec::new()), NOW);
    // The contact is online and has to hear of it; once it has, it needs not.
    assert_eq!(lines.to_be_told(now), [contact(1)]);
    lines.tells(&contact(1));
    assert!(lines.to_be_told(now).is_empty());
}

#[test]
fn the_line_longest_unused_gives_way_and_idle_ones_end() {
    let (mut lines, mut rng) = online();
    for number in 0..MOST_LINES {
        lines.attend(contact(100 + number as u8), NOW + 1, &mut rng);
    }
    assert_eq!(lines.lines.len(), MOST_LINES);
    assert!(!lines.lines.contains_key(&contact(1)));
    lines.given(&contact(100), id(1), NOW + 1);
    lines.handle_timeout(NOW + 2, &mut rng);
    lines.acknowledged(&contact(100), &[id(1)]);
    lines.attend(contact(100), NOW + 590_000, &mut rng);
    lines.handle_timeout(NOW + 601_000, &mut rng);
    assert_eq!(lines.lines.keys().collect::<Vec<_>>(), [&contact(100)]);
}

#[test]
fn who_has_gone_offline_tells_nobody_a_handle() {
    let (mut lines, _) = online();
    lines.tells(&contact(1));
    assert!(lines.listening_for(&contact(1)).is_some());
    lines.silence();
    assert!(lines.listening_for(&contact(1)).is_none());
    lines.hang_up();
    assert!(lines.poll_unlisten().is_some() && lines.address(&contact(1), HEARD, NOW).is_none());
}

#[test]
fn a_node_that_answers_with_nothing_at_once_is_not_called_without_a_pause() {
    let promises = |opened| ListenResponse { more: true, ..answer(opened, Vec::new()) };
    for empty in [answer(false, Vec::new()), answer(true, Vec::new()), promises(false), promises(true)] {
        let (mut lines, mut rng) = online();
        let call = lines.poll_listen(NOW, &mut rng).unwrap();
        assert!(call.request.hold > 0);
        assert!(lines.handle_listened(&call, empty.clone(), NOW + 10).is_empty());
        assert!(lines.poll_listen(NOW + 10, &mut rng).is_none(), "a pause");
        // Once it may have restarted; who does so again is left.
        let call = lines.poll_listen(NOW + 600_000, &mut rng).unwrap();
        assert!(call.request.hold > 0, "nothing was given that there could be more of");
        lines.handle_listened(&call, empty, NOW + 600_010);
        assert!(lines.needs_node(NOW + 1_200_000));
    }
    // What comes when it is due is no failure, nor an answer because a newer call has come.
    let (mut lines, mut rng) = online();
    let mut now = NOW;
    for _ in 0..5 {
        let call = lines.poll_listen(now, &mut rng).unwrap();
        now += call.request.hold;
        lines.handle_listened(&call, answer(false, Vec::new()), now);
    }
    let first = lines.poll_listen(now, &mut rng).unwrap();
    lines.attend(contact(2), now, &mut rng);
    let second = lines.poll_listen(now, &mut rng).unwrap();
    lines.handle_listened(&first, answer(false, Vec::new()), now);
    lines.handle_listened(&second, answer(false, Vec::new()), now);
    assert!(lines.poll_listen(now, &mut rng).is_some());
}
