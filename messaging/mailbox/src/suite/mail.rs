//! Messages: kept, read, expired.

use super::*;

pub(crate) fn keeps_arrival_order_and_separates_boxes(store: impl Store) {
    // Numbers fall while arrival rises: order can only come from arrival.
    let mine: Vec<_> = (0..20).rev().map(|number| record(1, 0, number, LATER + number)).collect();
    put_all(&store, &[record(1, -10, 5, LATER), record(2, 0, 5, LATER)], 0).unwrap();
    put_all(&store, &mine[..9], 0).unwrap();
    put_all(&store, &[record(1, 10, 6, LATER)], 0).unwrap();
    put_all(&store, &mine[9..], 0).unwrap();
    store.sync().unwrap();

    let page = store.retrieve(&query(1, 0), 0).unwrap();
    assert!(!page.more);
    assert_eq!(hashes(&page), mine.iter().map(Record::hash).collect::<Vec<_>>());
    let named = |namespace| store.message(&account(1), Namespace(namespace), &mine[0].hash(), 0).unwrap();
    assert_eq!((named(0).as_ref(), named(10)), (page.messages.first(), None), "one by its name");
    assert_eq!(store.message(&account(1), Namespace(0), &mine[0].hash(), 2 * LATER).unwrap(), None, "expired");
    let (message, sent) = (&page.messages[0], mine[0].deposit());
    assert_eq!((message.timestamp, message.expiration), (7, LATER + 19));
    assert_eq!(message.data, sent.data);
    assert_eq!(hashes(&store.retrieve(&query(1, -10), 0).unwrap()).len(), 1);
    assert_eq!(hashes(&store.retrieve(&query(2, 0), 0).unwrap()).len(), 1);
    assert_eq!(store.retrieve(&query(3, 0), 0).unwrap(), Page::default());
    assert_eq!(store.usage().messages, 23);
    assert_eq!(store.usage().bytes, 23 * 8);
}

pub(crate) fn continues_after_a_known_message_and_starts_over_otherwise(store: impl Store) {
    let records: Vec<_> = (0..10).map(|number| record(1, 0, number, LATER)).collect();
    let brief = record(1, 0, 99, MINUTE);
    put_all(&store, std::slice::from_ref(&brief), 0).unwrap();
    put_all(&store, &records, 0).unwrap();
    let after = |hash, now| {
        let query = Query { after: Some(hash), ..query(1, 0) };
        hashes(&store.retrieve(&query, now).unwrap())
    };
    assert_eq!(after(records[3].hash(), 0).len(), 6);
    assert_eq!(after(records[9].hash(), 0), []);
    assert_eq!(after([0; 32].into(), 0).len(), 11, "unknown: from the beginning");
    assert_eq!(after(record(2, 0, 1, 0).hash(), 0).len(), 11, "of another box: unknown");
    assert_eq!(after(brief.hash(), 0).len(), 10);
    assert_eq!(after(brief.hash(), MINUTE).len(), 10, "expired: from the beginning, which is after it");
    store.expire(10 * MINUTE, 10).unwrap();
    assert_eq!(after(brief.hash(), 10 * MINUTE).len(), 10);
}

pub(crate) fn windows_close_by_count_and_size_but_never_before_one(store: impl Store) {
    let records: Vec<_> = (0..5).map(|number| sized(1, 0, number, LATER, 1000)).collect();
    put_all(&store, &records, 0).unwrap();
    let page = |count, size| {
        let page = store.retrieve(&Query { window: RetrieveWindow { count, size }, ..query(1, 0) }, 0).unwrap();
        (page.messages.len(), page.more)
    };
    let each = retrieved_size(1000);
    assert_eq!(page(3, usize::MAX), (3, true));
    assert_eq!(page(5, usize::MAX), (5, false));
    assert_eq!(page(usize::MAX, 2 * each), (2, true));
    assert_eq!(page(usize::MAX, 3 * each - 1), (2, true));
    assert_eq!(page(usize::MAX, 5 * each), (5, false));
    assert_eq!(page(usize::MAX, 0), (1, true));
}

pub(crate) fn knows_what_it_has_and_only_extends_it(store: impl Store) {
    let stored = |expiry, already| Put::Stored { expiry, already };
    assert_eq!(put(&store, &record(1, 0, 1, 5 * MINUTE), 0), stored(5 * MINUTE, false));
    assert_eq!(put(&store, &record(1, 0, 2, LATER), 0), stored(LATER, false));
    assert_eq!(put(&store, &record(1, 0, 1, 9 * MINUTE), 0), stored(9 * MINUTE, true));
    assert_eq!(put(&store, &record(1, 0, 1, 3 * MINUTE), 0), stored(9 * MINUTE, true), "never shortened");
    assert_eq!(store.usage().messages, 2);
    let page = store.retrieve(&query(1, 0), 0).unwrap();
    assert_eq!(hashes(&page), [record(1, 0, 1, 0).hash(), record(1, 0, 2, 0).hash()], "its place stays");
    assert_eq!(page.messages[0].expiration, 9 * MINUTE);

    assert_eq!(store.expire(8 * MINUTE, 10).unwrap().removed, 0, "the old expiry counts no more");
    assert_eq!(store.expire(9 * MINUTE, 10).unwrap().removed, 1);

    let twice = [record(1, 0, 3, 50 * MINUTE), record(1, 0, 3, 60 * MINUTE)];
    assert_eq!(
        put_all(&store, &twice, 0).unwrap(),
        [stored(50 * MINUTE, false), stored(60 * MINUTE, true)],
        "in one batch too"
    );
    assert_eq!(store.usage().messages, 2);
}

pub(crate) fn shows_what_has_been_synced(store: impl Store) {
    let records: Vec<_> = (0..4).map(|number| record(1, 0, number, LATER)).collect();
    let shown = |after: Option<&Record>| {
        let query = Query { after: after.map(Record::hash), ..query(1, 0) };
        hashes(&store.retrieve(&query, 0).unwrap()).len()
    };
    put_all(&store, &records[..2], 0).unwrap();
    let outcomes = store.put(&records[2..], 0);
    assert!(outcomes.is_ok());
    assert_eq!([shown(None), shown(Some(&records[0])), shown(Some(&records[1]))], [2, 1, 0]);
    assert_eq!(shown(Some(&records[2])), 2, "nobody has been shown this one");
    store.sync().unwrap();
    assert_eq!([shown(None), shown(Some(&records[1])), shown(Some(&records[2]))], [4, 2, 1]);
}

/// Others let go of what they have on the word of [`Store::has`], and owners rely on when their mail expires.
pub(crate) fn promises_what_has_been_synced(store: impl Store) {
    let (message, brief) = (record(1, 0, 1, LATER), record(1, 0, 2, LATER));
    let told = || {
        let page = store.retrieve(&query(1, 0), 10).unwrap().messages;
        let read = |message: &Record| {
            let shown = page.iter().find(|shown| shown.hash == message.hash()).map(|shown| shown.expiration);
            let one = store.message(&account(1), Namespace::DEFAULT, &message.hash(), 10).unwrap();
            let asked = store.expiries(&account(1), &[message.hash()], 10).unwrap();
            assert_eq!(one.map(|one| one.expiration), shown, "all say the same");
            assert_eq!(asked.first().map(|(_, expiry)| *expiry), shown);
            shown
        };
        [read(&message), read(&brief)]
    };
    let has = |name: ItemName| store.has(&name).unwrap();
    store.put(&[message.clone(), brief.clone()], 10).unwrap();
    assert_eq!((has(message.name()), told()), (false, [None, None]));
    store.sync().unwrap();
    assert_eq!((has(message.name()), told()), (true, [Some(LATER), Some(LATER)]));

    let extend = |number, expiry| {
        let action = Action::Expire { messages: vec![message.hash()], expiry: vec![expiry], mode: ExpiryMode::Extend };
        ordered(number, action, 10 + u64::from(number))
    };
    let shorten = ordered(
        3,
        Action::Expire { messages: vec![brief.hash()], expiry: vec![MINUTE], mode: ExpiryMode::Shorten },
        13,
    );
    let orders = [extend(1, 2 * LATER), extend(2, 3 * LATER), shorten];
    for (change, order) in &orders {
        store.change(change, Some(order), 20).unwrap();
        assert!(!has(order.name()));
    }
    assert_eq!(told(), [Some(LATER), Some(MINUTE)], "the longer life may be lost, the shorter one promises no more");
    store.sync().unwrap();
    assert_eq!(told(), [Some(3 * LATER), Some(MINUTE)]);
    assert_eq!(orders.map(|(_, order)| has(order.name())), [false, true, true], "the longest life is enough");

    let again = Record::new(StoreRequest { timestamp: 30, expiry: 4 * LATER, ..message.deposit().clone() });
    store.put(std::slice::from_ref(&again), 30).unwrap();
    assert_eq!(
        (has(again.name()), told()[0]),
        (false, Some(3 * LATER)),
        "it is here, but not as it was deposited again"
    );
    store.sync().unwrap();
    assert_eq!((has(again.name()), told()[0]), (true, Some(4 * LATER)));
}

pub(crate) fn an_expired_message_may_come_again(store: impl Store) {
    let (first, second) = (record(1, 0, 1, MINUTE), record(1, 0, 2, LATER));
    put_all(&store, &[first.clone(), second.clone()], 0).unwrap();
    let again = record(1, 0, 1, LATER);
    assert_eq!(put(&store, &again, 2 * MINUTE), Put::Stored { expiry: LATER, already: false });
    let page = store.retrieve(&query(1, 0), 2 * MINUTE).unwrap();
    assert_eq!(hashes(&page), [second.hash(), first.hash()], "as a new arrival");
    assert_eq!(store.usage().messages, 2);
    store.expire(3 * MINUTE, 10).unwrap();
    assert_eq!(hashes(&store.retrieve(&query(1, 0), 3 * MINUTE).unwrap()).len(), 2);
}

pub(crate) fn expires_on_time_at_a_cost_of_what_expires(store: impl Store) {
    let lasting: Vec<_> = (0..500).map(|number| record(1, 0, number, LATER + number * MINUTE)).collect();
    let brief: Vec<_> = (500..520).map(|number| record(1, 0, number, (number - 499) * 1_000)).collect();
    put_all(&store, &lasting, 0).unwrap();
    put_all(&store, &brief, 0).unwrap();
    assert_eq!(store.retrieve(&query(1, 0), 10_000).unwrap().messages.len(), 510, "hidden at its time");

    let first = store.expire(MINUTE, 15).unwrap();
    assert_eq!((first.removed, first.more), (15, true), "no more than asked at once");
    let rest = store.expire(MINUTE, 100).unwrap();
    assert_eq!((rest.removed, rest.more), (5, false));
    for round in [first, rest] {
        assert!(round.examined <= round.removed + 1, "{round:?}");
    }
    assert_eq!(store.usage().messages, 500);

    // A message whose bucket has been swept already is swept by the next round.
    put(&store, &record(1, 0, 900, MINUTE - 1), MINUTE - 2);
    assert_eq!(store.expire(2 * MINUTE, 100).unwrap().removed, 1);
    // A clock that jumps back removes nothing and loses nothing.
    assert_eq!(store.expire(MINUTE, 100).unwrap().removed, 0);
    assert_eq!(store.expire(LATER + 600 * MINUTE, 1_000).unwrap().removed, 500);
    assert_eq!(store.usage(), crate::Usage::default());
}
