//! What members hear of each other, in whatever sequence.

use super::*;

fn delete(number: u8, messages: &[&Record], at: u64) -> (Change, Order) {
    let messages = messages.iter().map(|record| record.hash()).collect();
    ordered(number, Action::Delete { messages, required: false }, at)
}

fn expire(number: u8, record: &Record, mode: ExpiryMode, expiry: u64, at: u64) -> (Change, Order) {
    ordered(number, Action::Expire { messages: vec![record.hash()], expiry: vec![expiry], mode }, at)
}

fn expiry_of(store: &impl Store, record: &Record, now: u64) -> Option<u64> {
    store.expiries(&account(1), &[record.hash()], now).unwrap().first().map(|(_, expiry)| *expiry)
}

/// The same message, sent again.
fn again(record: &Record, timestamp: u64, expiry: u64) -> Record {
    Record::new(StoreRequest { timestamp, expiry, ..record.deposit().clone() })
}

pub(crate) fn tells_everything_others_should_have(store: impl Store) {
    let names = || store.names(&NameRange::ALL, usize::MAX).unwrap();
    let (lasting, brief) = (record(1, 0, 1, LATER), record(2, -10, 2, MINUTE));
    put_all(&store, &[lasting.clone(), brief.clone()], 0).unwrap();
    let nothing = |number, at| delete(number, &[&record(1, 0, 100 + u64::from(number), 0)], at);
    for (number, at) in [(7, 5), (8, 0), (7, 5)] {
        carry_out(&store, &nothing(number, at), 0);
    }
    let (_, seven) = nothing(7, 5);
    let mut expected = vec![lasting.name(), brief.name(), seven.name(), nothing(8, 0).1.name()];
    expected.sort_unstable();
    assert_eq!(names(), expected, "each order once");
    let size = seven.request.len() as u64;
    assert_eq!(store.usage().bytes, 16);
    assert_eq!(store.allowance(&account(1)).unwrap().orders, 2 * (RECORD_BYTES + 4 * size));
    assert_eq!(store.tally(&NameRange::ALL).unwrap(), expected.iter().collect::<Tally>());
    assert!(expected.iter().all(|name| store.has(name).unwrap()) && !store.has(&ItemName::FIRST).unwrap());
    assert_eq!(store.names(&NameRange::ALL, 3).unwrap(), expected[..3]);
    let inner = NameRange { from: expected[1], to: expected[3] };
    assert_eq!(store.names(&inner, 9).unwrap(), expected[1..3], "the end is not included");
    assert_eq!(store.tally(&inner).unwrap(), expected[1..3].iter().collect::<Tally>());
    assert_eq!(store.cuts(&NameRange::ALL, 2).unwrap().len(), 1);
    assert!(store.cuts(&NameRange { from: expected[0], to: expected[1] }, 16).unwrap().is_empty());

    assert_eq!(store.fetch(&seven.name(), 0).unwrap(), Some(Fetched::Order(seven.clone())));
    assert_eq!(store.fetch(&seven.name(), seven.expiry()).unwrap(), None);
    let message = Fetched::Message { record: lasting.clone(), extension: None };
    assert_eq!(store.fetch(&lasting.name(), 0).unwrap(), Some(message));
    assert_eq!(store.fetch(&brief.name(), MINUTE).unwrap(), None, "expired");
    let extend = expire(9, &lasting, ExpiryMode::Extend, 2 * LATER, 10);
    carry_out(&store, &extend, 0);
    let message = Fetched::Message { record: lasting.clone(), extension: Some(extend.1.clone()) };
    assert_eq!(store.fetch(&lasting.name(), 0).unwrap(), Some(message), "with what proves how long it lasts");

    let later = nothing(7, 6).1;
    carry_out(&store, &nothing(7, 6), 0);
    assert!(store.has(&later.name()).unwrap() && !store.has(&seven.name()).unwrap(), "the same order, given again");
    store.expire(seven.expiry() - 5, 10).unwrap();
    assert!(!store.has(&nothing(8, 0).1.name()).unwrap() && !store.has(&brief.name()).unwrap());
    assert!(store.has(&later.name()).unwrap());
}

pub(crate) fn lets_go_of_what_is_anothers(store: impl Store) {
    let (one, other) = (record(1, 0, 1, LATER), record(1, 5, 2, LATER));
    put_all(&store, &[one.clone(), other.clone()], 0).unwrap();
    let order = delete(1, &[&record(1, 0, 3, 0)], 5);
    carry_out(&store, &order, 0);
    let names = vec![one.name(), order.1.name(), ItemName::FIRST];
    let Changed::Messages(gone) = store.change(&Change::Forget { names }, None, 0).unwrap() else { panic!("messages") };
    assert_eq!(gone.len(), 1);
    assert_eq!(store.names(&NameRange::ALL, 9).unwrap(), [other.name()]);
    assert_eq!(put(&store, &one, 0), Put::Stored { expiry: LATER, already: false });
}

pub(crate) fn keeps_orders_within_bounds(store: impl Store) {
    let about_tokens = |number: u16| {
        let (change, order) = ordered(0, Action::Unrevoke { tokens: vec![], timestamp: 5 }, 5 + u64::from(number));
        let mut signature = [0; 64];
        signature[..2].copy_from_slice(&number.to_be_bytes());
        (change, Order { signature, ..order })
    };
    for number in 0..=MAX_ORDERS as u16 {
        carry_out(&store, &about_tokens(number), 0);
    }
    let kept = store.token_orders(&account(1), 0).unwrap();
    assert_eq!(kept.len() as u64, MAX_ORDERS);
    assert!(!kept.contains(&about_tokens(0).1) && kept.contains(&about_tokens(1).1), "the oldest has gone");
    for number in 0..3 {
        let (change, order) = about_tokens(10_000 + number);
        let request = vec![0; MAX_ORDER_BYTES as usize / 2];
        carry_out(&store, &(change, Order { request, ..order }), 0);
    }
    let kept = store.token_orders(&account(1), 0).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(store.allowance(&account(1)).unwrap().orders, 2 * RECORD_BYTES + 4 * MAX_ORDER_BYTES);
    let late = about_tokens(9_999);
    let late = (late.0, Order { request: vec![0; MAX_ORDER_BYTES as usize / 2], ..late.1 });
    let unkept = Changed::Unkept(Box::new(Changed::Tokens(0)));
    assert_eq!(carry_out(&store, &late, 0), unkept, "it is older than what it would displace");
    assert_eq!(store.token_orders(&account(1), 0).unwrap(), kept);
}

/// Message 1 was sent at 7.
pub(crate) fn what_was_deleted_does_not_come_back_by_a_member(store: impl Store) {
    let message = record(1, 0, 1, LATER);
    let replica = message.clone().handed_over();
    assert_eq!(put(&store, &replica, 0), Put::Stored { expiry: LATER, already: false });
    carry_out(&store, &delete(1, &[&message], 10), 10);
    assert_eq!(put(&store, &replica, 20), Put::Gone);
    assert_eq!(put(&store, &record(1, 5, 1, LATER).handed_over(), 20), Put::Stored { expiry: LATER, already: false });

    let sent_again = again(&message, 11, 2 * LATER);
    assert_eq!(put(&store, &sent_again.clone().handed_over(), 20), Put::Stored { expiry: 2 * LATER, already: false });
    carry_out(&store, &delete(1, &[&message], 10), 20);
    assert!(expiry_of(&store, &message, 20).is_some(), "the same order is not about what was stored later");
    let all = ordered(2, Action::DeleteAll { scope: Scope::One(Namespace(0)), timestamp: 30 }, 30);
    carry_out(&store, &all, 30);
    assert_eq!(put(&store, &sent_again.handed_over(), 40), Put::Gone);
    assert_eq!(
        put(&store, &again(&message, 31, LATER), 40),
        Put::Stored { expiry: LATER, already: false },
        "sent later"
    );
    let before = ordered(3, Action::DeleteBefore { scope: Scope::All, before: 31 }, 50);
    assert_eq!(
        carry_out(&store, &before, 50),
        Changed::Messages(vec![
            Touched { namespace: Namespace(0), hash: message.hash(), expiry: LATER, changed: true },
            Touched { namespace: Namespace(5), hash: record(1, 5, 1, 0).hash(), expiry: LATER, changed: true },
        ])
    );
    assert_eq!(put(&store, &record(1, 5, 1, LATER).handed_over(), 50), Put::Gone);
}

/// Whoever has the bytes, its sender or a member, may store them as if it were the first time.
pub(crate) fn what_was_deleted_does_not_come_back_by_a_deposit(store: impl Store) {
    let (message, other) = (record(1, 0, 1, LATER), record(1, 0, 2, LATER));
    put_all(&store, &[message.clone(), other.clone()], 0).unwrap();
    carry_out(&store, &delete(1, &[&message], 10), 10);
    assert_eq!(put(&store, &message, 20), Put::Gone);
    assert_eq!(put(&store, &again(&message, 10, 2 * LATER), 20), Put::Gone, "sent by then, for longer");
    assert_eq!(hashes(&store.retrieve(&query(1, 0), 20).unwrap()), [other.hash()]);
    assert_eq!(put(&store, &record(1, 5, 1, LATER), 20), Put::Stored { expiry: LATER, already: false }, "another one");
    let sent_again = again(&message, 11, LATER);
    let stored = Put::Stored { expiry: LATER, already: false };
    assert_eq!(put_all(&store, &[message.clone(), sent_again], 20).unwrap(), [Put::Gone, stored], "the same bytes");
    assert_eq!(put(&store, &message, 20), Put::Gone, "and the first deposit is gone nevertheless");
    assert_eq!(expiry_of(&store, &message, 20), Some(LATER));

    carry_out(&store, &expire(2, &other, ExpiryMode::Shorten, MINUTE, 30), 30);
    assert_eq!(
        put(&store, &other, 40),
        Put::Stored { expiry: MINUTE, already: true },
        "its owner has shortened its life"
    );
    assert_eq!(put(&store, &other, MINUTE), Put::Gone, "which is over");

    let published = again(&record(1, -1, 3, LATER), 50, LATER);
    put(&store, &again(&record(1, -1, 4, LATER), 40, LATER), 50);
    carry_out(&store, &delete(3, &[&published], 60), 60);
    assert_eq!(put(&store, &published, 70), Put::Gone);
    assert_eq!(store.retrieve(&query(1, -1), 70).unwrap().messages.len(), 1, "and takes no place in an outbox");
}

pub(crate) fn the_last_word_on_an_expiry_counts_whichever_is_heard_first(store: impl Store) {
    let message = record(1, 0, 1, LATER);
    let words = [
        expire(1, &message, ExpiryMode::Extend, 3 * LATER, 10),
        expire(2, &message, ExpiryMode::Set, 2 * LATER, 20),
        ordered(3, Action::ExpireAll { scope: Scope::All, expiry: LATER + 5 }, 30),
    ];
    put(&store, &message, 0);
    for number in [2, 0, 1] {
        carry_out(&store, &words[number], 40);
    }
    assert_eq!(expiry_of(&store, &message, 40), Some(LATER + 5));
    carry_out(&store, &delete(4, &[&message], 50), 50);
    let sent_again = again(&message, 60, LATER);
    assert_eq!(put(&store, &sent_again.clone().handed_over(), 60), Put::Stored { expiry: LATER, already: false });
    assert_eq!(expiry_of(&store, &message, 60), Some(LATER), "what was said before is not about it");

    let other = record(1, 0, 2, LATER);
    let shorten = expire(5, &other, ExpiryMode::Shorten, 100, 70);
    carry_out(&store, &shorten, 70);
    assert_eq!(
        put(&store, &other.clone().handed_over(), 80),
        Put::Stored { expiry: 100, already: false },
        "heard before"
    );
    assert_eq!(put(&store, &record(1, 0, 3, LATER).handed_over(), 80), Put::Stored { expiry: LATER, already: false });
    carry_out(&store, &expire(6, &record(1, 0, 4, 50), ExpiryMode::Extend, 2 * LATER, 40), 80);
    let outlasting = record(1, 0, 4, 50).handed_over();
    assert_eq!(
        put(&store, &outlasting, 80),
        Put::Stored { expiry: 2 * LATER, already: false },
        "its owner extended it"
    );
}

pub(crate) fn keeps_the_deposit_that_lasts(store: impl Store) {
    let message = record(1, 0, 1, LATER);
    put(&store, &message, 0);
    let longer = again(&message, 20, 2 * LATER);
    assert_eq!(put(&store, &longer, 20), Put::Stored { expiry: 2 * LATER, already: true });
    assert_eq!(store.names(&NameRange::ALL, 9).unwrap(), [longer.name()], "it proves how long the message lasts");
    let kept = Fetched::Message { record: longer.clone(), extension: None };
    assert_eq!(store.fetch(&longer.name(), 20).unwrap(), Some(kept));
    let shorter = again(&message, 30, LATER);
    assert_eq!(put(&store, &shorter.handed_over(), 30), Put::Stored { expiry: 2 * LATER, already: true });
    assert_eq!(store.names(&NameRange::ALL, 9).unwrap(), [longer.name()]);
    assert_eq!(store.usage().messages, 1);
    let page = store.retrieve(&query(1, 0), 30).unwrap();
    let shown: Vec<_> = page.messages.iter().map(|message| (message.timestamp, message.expiration)).collect();
    assert_eq!(shown, [(message.deposit().timestamp, 2 * LATER)], "sent when it was first sent");
    let named = store.message(&account(1), Namespace::DEFAULT, &message.hash(), 30).unwrap();
    assert_eq!(named.as_ref(), page.messages.first());
}

pub(crate) fn an_outbox_keeps_what_is_newest(store: impl Store) {
    let sent = |number, timestamp| again(&record(1, -1, number, LATER), timestamp, LATER);
    put(&store, &sent(1, 20), 20);
    assert_eq!(put(&store, &sent(2, 10).handed_over(), 20), Put::Gone, "a member that was away has an older one");
    assert_eq!(put(&store, &sent(3, 30).handed_over(), 30), Put::Stored { expiry: LATER, already: false });
    assert_eq!(hashes(&store.retrieve(&query(1, -1), 30).unwrap()), [sent(3, 30).hash()]);
}

pub(crate) fn knows_the_newest_message_an_order_is_about(store: impl Store) {
    let records = [again(&record(1, 0, 1, LATER), 10, LATER), again(&record(1, 5, 2, LATER), 20, LATER)];
    put_all(&store, &records, 0).unwrap();
    let newest = |(change, _): (Change, Order)| store.newest(&change, 0).unwrap();
    assert_eq!(newest(delete(1, &[&records[0]], 5)), Some(10));
    assert_eq!(newest(ordered(1, Action::DeleteAll { scope: Scope::All, timestamp: 5 }, 5)), Some(20));
    assert_eq!(newest(delete(1, &[], 5)), None);
}
