use super::*;
use proptest::{collection::vec, prelude::*};
use skep_proto::storage::listening::{DeliveryToken, Handle};
use std::collections::BTreeMap;

const LIMITS: ListeningLimits = ListeningLimits { sessions: 3, bytes: 1000 };
/// Sessions one neighbour may have.
const SHARE: usize = 2;

type Table = Listening<u8, u8>;

fn secret(number: u8) -> SessionSecret {
    SessionSecret([number; 32])
}

fn contact(number: u8) -> ListenedContact {
    ListenedContact { handle: Handle([number; 32]), token: DeliveryToken([!number; 32]) }
}

fn listen(session: u8, contacts: &[u8], ack: u64, hold: u64) -> ListenRequest {
    ListenRequest { session: secret(session), contacts: contacts.iter().copied().map(contact).collect(), ack, hold }
}

fn deliver(number: u8, data: &[u8]) -> DeliverRequest {
    let ListenedContact { handle, token } = contact(number);
    DeliverRequest { handle, token, data: data.to_vec() }
}

fn texts(heard: &Heard) -> Vec<(u64, &[u8])> {
    heard.messages.iter().map(|message| (message.sequence, message.data.as_slice())).collect()
}

/// What must hold between the parts of a table, whatever happened.
fn check(table: &Table) {
    assert!(table.sessions.len() <= table.limits.sessions);
    let bytes: usize = table.sessions.values().map(|session| session.queued_bytes).sum();
    assert_eq!(table.bytes, bytes);
    assert!(bytes <= table.limits.bytes);
    let mut by_neighbour = HashMap::new();
    let mut contacts = HashMap::new();
    for (secret, session) in &table.sessions {
        *by_neighbour.entry(session.neighbour).or_insert(0) += 1;
        contacts.extend(session.contacts.keys().map(|contact| (*contact, *secret)));
        assert!(session.queue.len() <= MAX_QUEUED && session.queued_bytes <= MAX_QUEUED_BYTES);
        assert_eq!(session.queued_bytes, session.queue.iter().map(|message| message.data.len()).sum::<usize>());
    }
    assert!(by_neighbour.values().all(|count| *count <= SHARE));
    assert_eq!(table.by_neighbour, by_neighbour);
    assert_eq!(table.contacts, contacts);
}

#[test]
fn who_waits_is_woken_and_keeps_a_message_until_it_is_acknowledged() {
    let mut table = Table::new(LIMITS);
    let first = table.listen(&listen(1, &[1, 2], 0, 5000), (9, SHARE), Some(77), 0).unwrap();
    assert!(first.opened && !first.heard);
    assert_eq!(table.deliver(deliver(1, b"one"), 10), Ok(Some(77)));
    assert_eq!(table.deliver(deliver(2, b"two"), 11), Ok(None), "woken once");
    let heard = table.hear(&secret(1), first.ticket, 12);
    assert_eq!(texts(&heard), [(1, &b"one"[..]), (2, b"two")]);
    assert_eq!(heard.messages[1].handle, contact(2).handle);
    // The answer was lost: everything comes again.
    let second = table.listen(&listen(1, &[1, 2], 0, 5000), (9, SHARE), Some(78), 13).unwrap();
    assert!(!second.opened && second.heard);
    assert_eq!(table.hear(&secret(1), second.ticket, 13), heard);
    let third = table.listen(&listen(1, &[1, 2], 1, 0), (9, SHARE), None, 14).unwrap();
    assert_eq!(texts(&table.hear(&secret(1), third.ticket, 14)), [(2, &b"two"[..])]);
    let fourth = table.listen(&listen(1, &[1, 2], 2, 0), (9, SHARE), None, 15).unwrap();
    assert!(!fourth.heard && table.hear(&secret(1), fourth.ticket, 15).messages.is_empty());
    assert_eq!(table.bytes, 0);
    check(&table);
}

#[test]
fn a_newer_call_takes_the_place_of_an_older_one() {
    let mut table = Table::new(LIMITS);
    let older = table.listen(&listen(1, &[1], 0, 5000), (9, SHARE), Some(1), 0).unwrap();
    let newer = table.listen(&listen(1, &[1], 0, 5000), (9, SHARE), Some(2), 1).unwrap();
    assert_eq!((older.replaced, newer.replaced), (None, Some(1)));
    assert_eq!(table.deliver(deliver(1, b"x"), 2), Ok(Some(2)));
    assert_eq!(table.hear(&secret(1), older.ticket, 3), Heard::default());
    assert_eq!(table.hear(&secret(1), newer.ticket, 3).messages.len(), 1);
}

#[test]
fn nobody_delivers_without_handle_and_token() {
    let mut table = Table::new(LIMITS);
    table.listen(&listen(1, &[1], 0, 0), (9, SHARE), None, 0).unwrap();
    let wrong_token = DeliverRequest { token: contact(2).token, ..deliver(1, b"x") };
    let unknown = deliver(2, b"x");
    for refused in [wrong_token, unknown] {
        assert_eq!(table.deliver(refused, 1), Err(DeliverRefusal::NobodyListens));
    }
    // A handle left out is dead, one that is added is alive.
    table.listen(&listen(1, &[2], 0, 0), (9, SHARE), None, 2).unwrap();
    assert_eq!(table.deliver(deliver(1, b"x"), 3), Err(DeliverRefusal::NobodyListens));
    assert_eq!(table.deliver(deliver(2, b"x"), 3), Ok(None));
    // After the end, too.
    assert_eq!(table.unlisten(&secret(1)), None);
    assert_eq!(table.deliver(deliver(2, b"x"), 4), Err(DeliverRefusal::NobodyListens));
    check(&table);
}

#[test]
fn a_session_ends_a_minute_after_it_was_last_answered() {
    let mut table = Table::new(LIMITS);
    let listened = table.listen(&listen(1, &[1], 0, 20_000), (9, SHARE), Some(1), 0).unwrap();
    // It lives while it is held.
    assert_eq!(table.deliver(deliver(1, b"x"), 20_000 + SESSION_LIFE - 1), Ok(Some(1)));
    table.hear(&secret(1), listened.ticket, 20_000);
    let end = 20_000 + SESSION_LIFE;
    assert_eq!(table.deliver(deliver(1, b"y"), end), Err(DeliverRefusal::NobodyListens));
    let again = table.listen(&listen(1, &[1], 0, 0), (9, SHARE), None, end + 1).unwrap();
    assert!(again.opened && !again.heard, "what was queued is lost with the session, and the listener is told");
    table.expire(end + 1 + SESSION_LIFE);
    assert_eq!(table.sessions(), 0);
    check(&table);
}

#[test]
fn sessions_are_bounded_in_all_and_by_neighbour() {
    let mut table = Table::new(LIMITS);
    let open = |table: &mut Table, session: u8, neighbour, now| {
        table.listen(&listen(session, &[session], 0, 0), (neighbour, SHARE), None, now).map(|listened| listened.opened)
    };
    assert_eq!(open(&mut table, 1, 1, 0), Ok(true));
    assert_eq!(open(&mut table, 2, 1, 0), Ok(true));
    assert_eq!(open(&mut table, 3, 1, 0), Err(ListenRefusal::NoRoom), "two are a neighbour's share");
    assert_eq!(open(&mut table, 3, 2, 1000), Ok(true));
    assert_eq!(open(&mut table, 4, 3, 1000), Err(ListenRefusal::NoRoom), "three are all");
    assert_eq!(open(&mut table, 1, 3, 1000), Ok(false), "renewing needs no room, whichever way it comes");
    check(&table);
    assert_eq!(open(&mut table, 4, 3, SESSION_LIFE), Ok(true), "the second one is over by now");
    check(&table);
}

#[test]
fn a_handle_belongs_to_one_session() {
    let mut table = Table::new(LIMITS);
    table.listen(&listen(1, &[1], 0, 0), (1, SHARE), None, 0).unwrap();
    let taken = table.listen(&listen(2, &[2, 1], 0, 0), (1, SHARE), None, 0).unwrap_err();
    assert_eq!(taken, ListenRefusal::HandleTaken);
    assert_eq!(table.deliver(deliver(2, b"x"), 0), Err(DeliverRefusal::NobodyListens), "nothing has changed");
    assert!(table.listen(&listen(2, &[2, 1], 0, 0), (1, SHARE), None, SESSION_LIFE).is_ok(), "the first one is over");
    check(&table);
}

#[test]
fn queues_and_rates_are_bounded() {
    let mut table = Table::new(LIMITS);
    table.listen(&listen(1, &[1, 2], 0, 0), (1, SHARE), None, 0).unwrap();
    assert_eq!(table.deliver(deliver(1, &[0; 600]), 0), Ok(None));
    assert_eq!(table.deliver(deliver(1, &[1; 600]), 0), Err(DeliverRefusal::Full), "the bytes of all sessions");
    assert_eq!(table.deliver(deliver(1, &[0; 600]), 0), Ok(None), "the same again counts once");
    for number in 3..DELIVERY_BURST {
        assert_eq!(table.deliver(deliver(1, &number.to_le_bytes()), 0), Ok(None));
    }
    assert_eq!(table.deliver(deliver(1, b"x"), 0), Err(DeliverRefusal::TooMany));
    assert_eq!(table.deliver(deliver(2, b"x"), 0), Ok(None), "another contact's rate is its own");
    let pause = 1000 / u64::from(DELIVERIES_PER_SECOND);
    assert_eq!(table.deliver(deliver(1, b"x"), pause - 1), Err(DeliverRefusal::TooMany));
    assert_eq!(table.deliver(deliver(1, b"x"), pause), Ok(None));
    assert_eq!(table.deliver(deliver(1, b"y"), pause), Err(DeliverRefusal::TooMany));
    check(&table);
}

#[test]
fn a_full_queue_takes_nothing_more() {
    let mut table = Table::new(ListeningLimits { bytes: usize::MAX, ..LIMITS });
    table.listen(&listen(1, &[1], 0, 0), (1, SHARE), None, 0).unwrap();
    let mut now = 0;
    for number in 0..MAX_QUEUED {
        now += 1000;
        table.listen(&listen(1, &[1], 0, 0), (1, SHARE), None, now).unwrap();
        assert_eq!(table.deliver(deliver(1, &number.to_le_bytes()), now), Ok(None));
    }
    assert_eq!(table.deliver(deliver(1, b"one too many"), now + 1000), Err(DeliverRefusal::Full));
    check(&table);
}

#[derive(Clone, Debug)]
enum Step {
    Listen { session: u8, contacts: Vec<u8>, neighbour: u8, acknowledge: bool },
    Deliver { contact: u8, data: Vec<u8> },
    Unlisten { session: u8 },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u8, vec(0..6_u8, 0..4), 0..3_u8, any::<bool>())
            .prop_map(|(session, contacts, neighbour, acknowledge)| Step::Listen { session, contacts, neighbour, acknowledge }),
        6 => (0..6_u8, vec(any::<u8>(), 1..200)).prop_map(|(contact, data)| Step::Deliver { contact, data }),
        1 => (0..5_u8).prop_map(|session| Step::Unlisten { session }),
        2 => (0..SESSION_LIFE / 2).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Beside the table runs a model of what each session's listener must have heard: everything that was called queued
    /// comes, in order and until it is acknowledged, unless the session ends.
    #[test]
    fn what_is_queued_is_heard_in_order_while_the_session_lives(steps in vec(step(), 1..120)) {
        let mut table = Table::new(LIMITS);
        let mut expected: BTreeMap<u8, Vec<(u64, DeliverRequest)>> = BTreeMap::new();
        let (mut owner, mut last): (BTreeMap<u8, u8>, BTreeMap<u8, u64>) = (BTreeMap::new(), BTreeMap::new());
        let mut now = 0;
        for step in steps {
            match step {
                Step::Listen { session, contacts, neighbour, acknowledge } => {
                    let waiting = expected.get(&session).cloned().unwrap_or_default();
                    let ack = if acknowledge { waiting.first().map_or(0, |(sequence, _)| *sequence) } else { 0 };
                    let Ok(listened) = table.listen(&listen(session, &contacts, ack, 0), (neighbour, SHARE), None, now) else {
                        check(&table);
                        continue;
                    };
                    owner.retain(|_, held| *held != session);
                    owner.extend(contacts.iter().map(|contact| (*contact, session)));
                    let waiting = if listened.opened {
                        last.insert(session, 0);
                        Vec::new()
                    } else {
                        waiting.into_iter().filter(|(sequence, _)| *sequence > ack).collect()
                    };
                    let heard = table.hear(&secret(session), listened.ticket, now);
                    prop_assert_eq!(heard.messages.len(), waiting.len());
                    for (message, (sequence, sent)) in heard.messages.iter().zip(&waiting) {
                        prop_assert_eq!(message.sequence, *sequence);
                        prop_assert_eq!((&message.handle, &message.data), (&sent.handle, &sent.data));
                    }
                    expected.insert(session, waiting);
                }
                Step::Deliver { contact, data } => {
                    let request = deliver(contact, &data);
                    let outcome = table.deliver(request.clone(), now);
                    if outcome.is_ok() {
                        let session = owner[&contact];
                        let queued = expected.entry(session).or_default();
                        if !queued.iter().any(|(_, other)| *other == request) {
                            let sequence = last.entry(session).or_default();
                            *sequence += 1;
                            queued.push((*sequence, request));
                        }
                    }
                }
                Step::Unlisten { session } => {
                    table.unlisten(&secret(session));
                    expected.remove(&session);
                    owner.retain(|_, held| *held != session);
                }
                Step::Wait(time) => now += time,
            }
            check(&table);
        }
    }
}
