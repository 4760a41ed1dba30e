//! What owners order.

use super::*;

pub(crate) fn deletes_what_is_named_and_nothing_else(store: impl Store) {
    let [a, b, elsewhere, brief] = [(1, 0, 1, LATER), (1, 5, 2, LATER), (2, 0, 1, LATER), (1, 0, 4, MINUTE)]
        .map(|(o, n, i, e)| record(o, n, i, e));
    put_all(&store, &[a.clone(), b.clone(), elsewhere.clone(), brief.clone()], 0).unwrap();
    let named = [&b, &a, &b, &elsewhere, &brief].map(Record::hash).to_vec();
    let delete = Change::Delete { account: account(1), messages: named, until: u64::MAX };
    let mut expected = [(0, a.hash(), LATER, true), (5, b.hash(), LATER, true)];
    expected.sort_unstable();
    assert_eq!(touched(&store, &delete, 2 * MINUTE), expected, "once each; not another's; not what has expired");
    assert_eq!(touched(&store, &delete, 2 * MINUTE), []);
    assert_eq!(store.usage().messages, 2);
    store.expire(2 * MINUTE, 10).unwrap();
    assert_eq!(store.usage().messages, 1);
    assert_eq!(put(&store, &a, 2 * MINUTE), Put::Stored { expiry: LATER, already: false }, "it may come again");
}

pub(crate) fn deletes_by_box_and_time(store: impl Store) {
    let sent = |namespace, number, timestamp| {
        let deposit = record(1, namespace, number, LATER).deposit().clone();
        Record::new(StoreRequest { timestamp, ..deposit })
    };
    let records = [sent(0, 1, 10), sent(0, 2, 20), sent(5, 3, 10), sent(-10, 4, 30)];
    put_all(&store, &records, 0).unwrap();
    put_all(&store, &[record(2, 0, 1, LATER)], 0).unwrap();
    let delete = |scope, until| Change::DeleteSent { account: account(1), scope, until };
    let gone = |change| touched(&store, &change, 0).into_iter().map(|(namespace, ..)| namespace).collect::<Vec<_>>();
    assert!(gone(delete(Scope::One(Namespace(0)), 9)).is_empty());
    assert_eq!(gone(delete(Scope::One(Namespace(0)), 10)), [0]);
    assert_eq!(gone(delete(Scope::All, 20)), [0, 5]);
    assert_eq!(gone(delete(Scope::All, u64::MAX)), [-10]);
    assert_eq!(store.usage().messages, 1, "another's is left");
}

pub(crate) fn moves_expiries_as_wanted(store: impl Store) {
    let records: Vec<_> = (0..3).map(|number| record(1, 0, number, (number + 1) * 10 * MINUTE)).collect();
    let hashes: Vec<_> = records.iter().map(Record::hash).collect();
    put_all(&store, &records, 0).unwrap();
    let outcome = |number: u8, expiry: &[u64], mode| {
        let action = Action::Expire { messages: hashes.clone(), expiry: expiry.to_vec(), mode };
        let order = ordered(number, action, 100 + u64::from(number));
        let Changed::Messages(touched) = carry_out(&store, &order, 0) else { panic!("messages") };
        touched.into_iter().map(|touched| (touched.expiry / MINUTE, touched.changed)).collect::<Vec<_>>()
    };
    let at = |minutes: u64| minutes * MINUTE;
    assert_eq!(outcome(1, &[at(20)], ExpiryMode::Extend), [(20, true), (20, false), (30, false)]);
    assert_eq!(outcome(2, &[at(25)], ExpiryMode::Shorten), [(20, false), (20, false), (25, true)]);
    assert_eq!(outcome(3, &[at(40), at(50), at(5)], ExpiryMode::Set), [(40, true), (50, true), (5, true)]);
    let mut told = store.expiries(&account(1), &hashes, 0).unwrap();
    told.sort_unstable_by_key(|(_, expiry)| *expiry);
    assert_eq!(told, [(hashes[2], at(5)), (hashes[0], at(40)), (hashes[1], at(50))]);
    assert_eq!(store.expiries(&account(1), &hashes, at(45)).unwrap(), [(hashes[1], at(50))]);
    assert_eq!(store.expiries(&account(2), &hashes, 0).unwrap(), []);

    assert_eq!(store.expire(at(10), 10).unwrap().removed, 1, "at its new time");
    let limit = Change::LimitExpiry { account: account(1), scope: Scope::All, expiry: at(45), at: at(10) };
    assert_eq!(touched(&store, &limit, at(10)), [(0, hashes[1], at(45), true)]);
    assert_eq!(store.expire(at(45), 10).unwrap().removed, 2);
}

pub(crate) fn an_outbox_holds_one_message(store: impl Store) {
    let records = [record(1, -1, 1, LATER), record(1, -1, 2, LATER), record(1, 0, 3, LATER), record(1, -1, 4, LATER)];
    put_all(&store, &records[..1], 0).unwrap();
    assert_eq!(put(&store, &records[0], 0), Put::Stored { expiry: LATER, already: true }, "itself it leaves alone");
    put_all(&store, &records[1..], 0).unwrap();
    assert_eq!(hashes(&store.retrieve(&query(1, -1), 0).unwrap()), [records[3].hash()]);
    assert_eq!(store.usage().messages, 2);
    assert_eq!(store.usage().bytes, 16);
}

pub(crate) fn remembers_the_newest_revocations(store: impl Store) {
    let token = |number: u8| SubaccountToken::new(5, Access::READ, &[number; 32]);
    let change = |change| match store.change(&change, None, 0).unwrap() {
        Changed::Tokens(count) => count,
        other @ (Changed::Messages(_) | Changed::Unkept(_)) => panic!("about tokens: {other:?}"),
    };
    let revoke_at = |tokens, at, given| Change::Revoke { account: account(1), tokens, at, given };
    let revoke = |tokens: Vec<SubaccountToken>, at| revoke_at(tokens, at, 7);
    assert_eq!(change(revoke(vec![token(1), token(2), token(1)], 10)), 2);
    assert_eq!(change(revoke(vec![token(1)], 20)), 0, "known, but newer now");
    assert_eq!(store.revoked(&account(1)).unwrap(), [token(1), token(2)]);
    assert_eq!(store.revoked(&account(2)).unwrap(), []);
    change(revoke((100..149).map(token).collect(), 15));
    let kept = store.revoked(&account(1)).unwrap();
    assert_eq!((kept.len(), kept[0], kept.contains(&token(2))), (MAX_REVOCATIONS, token(1), false));
    assert_eq!(store.usage(), crate::Usage::default(), "they take no room from mail");
    let unrevoke = Change::Unrevoke { account: account(1), tokens: vec![token(1), token(2)] };
    assert_eq!(change(unrevoke), 1);
    assert!(!store.revoked(&account(1)).unwrap().contains(&token(1)));

    // Of one moment those count that were told last, whatever they are called.
    change(revoke_at(vec![token(200)], 30, 40));
    change(revoke_at((100..149).map(token).collect(), 30, 41));
    assert!(store.revoked(&account(1)).unwrap().contains(&token(200)));
    change(revoke_at(vec![token(50)], 30, 42));
    let kept = store.revoked(&account(1)).unwrap();
    assert_eq!((kept[0], kept.len(), kept.contains(&token(200))), (token(50), MAX_REVOCATIONS, false));
}

/// A number of owner 1's orders up to which none repeats.
fn numbered(number: u64, action: Action, at: u64) -> (Change, Order) {
    let mut signature = [0; 64];
    signature[..8].copy_from_slice(&number.to_be_bytes());
    signed(1, signature, action, at)
}

/// That these messages last for so long from then on, as clients say of what they want to keep whenever they look.
fn keep(number: u64, messages: &[&Record], life: u64, at: u64) -> (Change, Order) {
    let messages = messages.iter().map(|record| record.hash()).collect();
    numbered(number, Action::Expire { messages, expiry: vec![at + life], mode: ExpiryMode::Set }, at)
}

fn orders(store: &impl Store) -> usize {
    let names = store.names(&NameRange::ALL, usize::MAX).unwrap();
    names.into_iter().filter(|name| matches!(store.fetch(name, 0), Ok(Some(Fetched::Order(_))))).count()
}

pub(crate) fn a_message_lasts_while_its_owner_says_so(store: impl Store, other: impl Store) {
    const DAY: u64 = 24 * 60 * MINUTE;
    let message = record(1, 0, 1, 30 * DAY);
    put(&store, &message, 0);
    for day in 1..70 {
        let Changed::Messages(touched) = carry_out(&store, &keep(day, &[&message], 30 * DAY, day * DAY), day * DAY)
        else {
            panic!("about messages")
        };
        assert_eq!((touched.len(), touched[0].expiry), (1, (day + 30) * DAY), "on day {day}");
        store.expire(day * DAY, 100).unwrap();
        assert_eq!(orders(&store), 1, "the last word is enough");
    }
    let now = 69 * DAY;
    // A member that was not there gets the message and the order, and takes both.
    let Some(Fetched::Message { record, extension: Some(order) }) = store.fetch(&message.name(), now).unwrap() else {
        panic!("it outlives its deposit")
    };
    let change = keep(69, &[&message], 30 * DAY, now).0;
    carry_out(&other, &(change, order), now);
    assert_eq!(put(&other, &record.handed_over(), now), Put::Stored { expiry: 99 * DAY, already: false });
}

pub(crate) fn looking_often_displaces_no_deletion(store: impl Store) {
    let [kept, also, deleted] = [1, 2, 3].map(|number| record(1, 0, number, LATER));
    put_all(&store, &[kept.clone(), also.clone(), deleted.clone()], 0).unwrap();
    carry_out(&store, &ordered(1, Action::Delete { messages: vec![deleted.hash()], required: false }, 10), 10);
    for number in 0..MAX_ORDERS + 100 {
        let (change, order) = keep(1_000 + number, &[&kept, &also], LATER, 20 + number);
        store.change(&change, Some(&order), 20 + number).unwrap();
    }
    assert_eq!(orders(&store), 2);
    let now = 10_000;
    assert_eq!(put(&store, &deleted.handed_over(), now), Put::Gone, "by a member that was away");
    assert!(store.allowance(&account(1)).unwrap().orders < 10 * RECORD_BYTES);
}

pub(crate) fn orders_go_with_the_last_of_their_words(store: impl Store) {
    /// Requests name no time before this one.
    const START: u64 = 1_000_000_000;
    let [a, b, c] = [1, 2, 3].map(|number| record(1, 0, number, START + LATER));
    put_all(&store, &[a.clone(), b.clone(), c.clone()], 0).unwrap();
    let said = |number: u64, messages: &[&Record], at| {
        carry_out(&store, &keep(number, messages, LATER, START + at), START + at)
    };
    said(1, &[&a, &b], 10);
    said(2, &[&a, &c], 20);
    assert_eq!(orders(&store), 2, "the first still speaks of b");
    assert_eq!(store.expiries(&account(1), &[b.hash()], START).unwrap(), [(b.hash(), START + LATER + 10)]);
    let delete = ordered(3, Action::Delete { messages: vec![b.hash()], required: false }, START + 30);
    carry_out(&store, &delete, START + 30);
    assert_eq!(orders(&store), 2, "b is deleted, and nothing else is to be said of it");
    said(4, &[&a, &c], 25);
    assert_eq!(orders(&store), 2, "another takes the place of the second");
    said(5, &[&a], 15);
    assert_eq!(orders(&store), 2, "what comes late changes nothing, and is not kept");
    assert_eq!(store.expiries(&account(1), &[a.hash()], START).unwrap(), [(a.hash(), START + LATER + 25)]);

    let limit = |number, expiry, at| {
        let action = Action::ExpireAll { scope: Scope::All, expiry: START + expiry };
        carry_out(&store, &numbered(number, action, START + at), START + at)
    };
    limit(6, LATER, 40);
    limit(7, LATER - 5, 50);
    assert_eq!(orders(&store), 3, "the earlier end is enough");
    for number in 0..100 {
        limit(8 + number, LATER + number, 60 + number);
    }
    let most = orders(&store);
    assert!((4..40).contains(&most), "{most}: only so many are read for each message");
    for (number, timestamp) in [(500, START + 300), (501, START + 400)] {
        let delete = numbered(number, Action::DeleteAll { scope: Scope::All, timestamp }, timestamp);
        carry_out(&store, &delete, timestamp);
    }
    let left = most - orders(&store);
    assert!(left > 10, "all said of the scope before is of no use any more: {left}");
    assert_eq!(put(&store, &a, START + 410), Put::Gone);
}
