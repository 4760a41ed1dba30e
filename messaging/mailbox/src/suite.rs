//! The suite every store passes, and a random walk that compares each with a plain model.

use crate::{
    Allowance, Change, Changed, Fetched, ItemName, NameRange, Order, Page, Put, Query, Quota, Quotas, Record, Standing,
    Store, StoreError, Tallies, Tally, Touched, give,
    store::{MAX_ORDER_BYTES, MAX_ORDERS},
};
use proptest::prelude::*;
use skep_proto::{
    account::AccountAddress,
    peer::Work,
    storage::{
        Access, Action, Command, ExpiryMode, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveWindow, Scope,
        StoreRequest, SubaccountToken,
        limits::{MAX_REVOCATIONS, retrieved_size},
    },
};
use std::collections::BTreeSet;

/// Message `number` of `owner`, one minute old at time 0.
pub(crate) fn record(owner: u8, namespace: i16, number: u64, expiry: u64) -> Record {
    sized(owner, namespace, number, expiry, 8)
}

fn sized(owner: u8, namespace: i16, number: u64, expiry: u64, len: usize) -> Record {
    let mut data = number.to_be_bytes().to_vec();
    data.resize(len.max(8), 0xab);
    Record::new(StoreRequest {
        account: AccountAddress::from_x25519([owner; 32]),
        namespace: Namespace(namespace),
        timestamp: 7,
        expiry,
        data,
        auth: None,
        work: None,
    })
}

pub(crate) fn query(owner: u8, namespace: i16) -> Query {
    Query {
        account: AccountAddress::from_x25519([owner; 32]),
        namespace: Namespace(namespace),
        after: None,
        window: RetrieveWindow { count: usize::MAX, size: usize::MAX },
    }
}

fn hashes(page: &Page) -> Vec<MessageHash> {
    page.messages.iter().map(|message| message.hash).collect()
}

fn put_all(store: &impl Store, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
    let outcomes = store.put(records, now)?;
    store.sync()?;
    Ok(outcomes)
}

fn put(store: &impl Store, record: &Record, now: u64) -> Put {
    put_all(store, std::slice::from_ref(record), now).unwrap()[0]
}

const MINUTE: u64 = 60_000;
const LATER: u64 = 1_000 * MINUTE;

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

pub(crate) fn account(owner: u8) -> AccountAddress {
    AccountAddress::from_x25519([owner; 32])
}

/// What a change touched, sorted: box, message, expiry, changed.
fn touched(store: &impl Store, change: &Change, now: u64) -> Vec<(i16, MessageHash, u64, bool)> {
    let Changed::Messages(touched) = store.change(change, None, now).unwrap() else { panic!("about messages") };
    let mut touched: Vec<_> = touched
        .into_iter()
        .map(|Touched { namespace, hash, expiry, changed }| (namespace.0, hash, expiry, changed))
        .collect();
    touched.sort_unstable();
    touched
}

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
    let limit = Change::LimitExpiry { account: account(1), scope: Scope::All, expiry: at(45), at: u64::MAX };
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
        other @ (Changed::Messages(_) | Changed::Full) => panic!("about tokens: {other:?}"),
    };
    let revoke = |tokens: Vec<SubaccountToken>, at| Change::Revoke { account: account(1), tokens, at };
    assert_eq!(change(revoke(vec![token(1), token(2), token(1)], 10)), 2);
    assert_eq!(change(revoke(vec![token(1)], 20)), 0, "known, but newer now");
    assert_eq!(store.revoked(&account(1)).unwrap(), [token(1), token(2)]);
    assert_eq!(store.revoked(&account(2)).unwrap(), []);
    change(revoke((100..149).map(token).collect(), 15));
    let kept = store.revoked(&account(1)).unwrap();
    assert_eq!((kept.len(), kept[0], kept.contains(&token(2))), (MAX_REVOCATIONS, token(1), false));
    let bytes = store.usage().bytes;
    let unrevoke = Change::Unrevoke { account: account(1), tokens: vec![token(1), token(2)] };
    assert_eq!(change(unrevoke), 1);
    assert!(!store.revoked(&account(1)).unwrap().contains(&token(1)));
    assert!(store.usage().bytes < bytes);
}

/// An order of owner 1, as it was given at a time.
fn ordered(number: u8, action: Action, at: u64) -> (Change, Order) {
    let auth = OwnerAuth { signature: [number; 64], ed25519_key: None, subaccount: None };
    let command = Command { account: account(1), action, auth };
    let request = serde_json::to_vec(&Request::Single(Method::Command(command.clone()))).unwrap();
    give(&command, request, at).unwrap()
}

fn carry_out(store: &impl Store, (change, order): &(Change, Order), now: u64) -> Changed {
    store.change(change, Some(order), now).unwrap()
}

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
    let nothing = |number, at| delete(number, &[], at);
    for (number, at) in [(7, 5), (8, 0), (7, 5)] {
        carry_out(&store, &nothing(number, at), 0);
    }
    let (_, seven) = nothing(7, 5);
    let mut expected = vec![lasting.name(), brief.name(), seven.name(), nothing(8, 0).1.name()];
    expected.sort_unstable();
    assert_eq!(names(), expected, "each order once");
    let size = seven.request.len() as u64;
    assert_eq!(store.usage().bytes, 16 + 2 * size);
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
    let order = delete(1, &[], 5);
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
    assert_eq!(store.usage().bytes, MAX_ORDER_BYTES);
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
    assert_eq!(put(&store, &message, 40), Put::Stored { expiry: LATER, already: false }, "its sender may store it");
    let before = ordered(3, Action::DeleteBefore { scope: Scope::All, before: 7 }, 50);
    assert_eq!(
        carry_out(&store, &before, 50),
        Changed::Messages(vec![
            Touched { namespace: Namespace(0), hash: message.hash(), expiry: LATER, changed: true },
            Touched { namespace: Namespace(5), hash: record(1, 5, 1, 0).hash(), expiry: LATER, changed: true },
        ])
    );
    assert_eq!(put(&store, &record(1, 5, 1, LATER).handed_over(), 50), Put::Gone);
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

/// For a store of 100 bytes.
pub(crate) fn refuses_beyond_its_capacity(store: impl Store) {
    let outcomes =
        put_all(&store, &[sized(1, 0, 1, LATER, 60), sized(1, 0, 2, LATER, 41), sized(1, 0, 3, LATER, 40)], 0);
    let stored = |expiry, already| Put::Stored { expiry, already };
    assert_eq!(outcomes.unwrap(), [stored(LATER, false), Put::Full, stored(LATER, false)]);
    let known = sized(1, 0, 1, LATER + 1, 60);
    assert_eq!(put_all(&store, &[known], 0).unwrap(), [stored(LATER + 1, true)], "what is here may be extended");
    let tokens = vec![SubaccountToken::new(5, Access::READ, &[1; 32])];
    assert_eq!(store.change(&Change::Revoke { account: account(1), tokens, at: 0 }, None, 0).unwrap(), Changed::Full);
    store.set_quotas(141.into());
    assert_eq!(put(&store, &sized(1, 0, 2, LATER, 41), 0), stored(LATER, false), "there is more room now");
}

/// Small bounds, all of them different.
pub(crate) fn quotas() -> Quotas {
    let (proven, unproven) = (Quota { messages: 6, bytes: 300 }, Quota { messages: 4, bytes: 150 });
    Quotas { capacity: 800, unproven_capacity: 350, proven, unproven }
}

/// Message `number` of `owner`, longer the higher the number; with work or without.
fn weighed(owner: u8, number: u8, is_proven: bool, expiry: u64) -> Record {
    let deposit = sized(owner, 0, number.into(), expiry, 8 + 7 * usize::from(number)).deposit().clone();
    let (timestamp, ttl) = (deposit.timestamp, deposit.expiry.saturating_sub(deposit.timestamp));
    let work = is_proven.then(|| Work { timestamp, ttl, ..Work::default() });
    Record::new(StoreRequest { work, ..deposit })
}

/// For a store within [`quotas`].
pub(crate) fn keeps_unproven_mail_apart(store: impl Store) {
    let stored = Put::Stored { expiry: LATER, already: false };
    let fill = |owner, numbers: std::ops::Range<u8>, is_proven| {
        let records: Vec<_> = numbers.map(|number| weighed(owner, number, is_proven, LATER)).collect();
        put_all(&store, &records, 0).unwrap()
    };
    assert_eq!(fill(1, 0..5, false), [stored, stored, stored, stored, Put::Full], "four a mailbox");
    let outcomes = [stored, stored, stored, stored, stored, Put::Full, Put::Full];
    assert_eq!(fill(1, 5..12, true), outcomes, "300 bytes");
    let Allowance { mailbox, total, unproven_total, .. } = store.allowance(&account(1)).unwrap();
    assert_eq!((mailbox.unproven.messages, mailbox.unproven.bytes), (4, 74));
    assert_eq!((mailbox.proven.messages, mailbox.proven.bytes), (5, 285));
    assert_eq!((total, unproven_total), (359, 74));
    assert_eq!(store.retrieve(&query(1, 0), 0).unwrap().messages.len(), 9, "nothing made room for anything");

    assert_eq!(fill(2, 17..19, false), [stored, Put::Full], "150 bytes a mailbox");
    assert_eq!(fill(3, 17..18, false), [stored], "350 for all of them");
    assert_eq!(fill(4, 0..1, false), [stored]);
    assert_eq!(fill(4, 4..5, false), [Put::Full]);
    assert_eq!(fill(4, 5..6, true), [stored], "proven mail has the rest");
    store.expire(LATER, 100).unwrap();
    assert_eq!(store.allowance(&account(1)).unwrap().mailbox, Tallies::default());
    assert_eq!(store.usage(), crate::Usage::default());
}

/// For a store within [`quotas`].
pub(crate) fn what_comes_again_with_work_is_proven(store: impl Store) {
    let counts = || {
        let Tallies { proven, unproven } = store.allowance(&account(1)).unwrap().mailbox;
        (proven.messages, unproven.messages)
    };
    let standing = || {
        let names = store.names(&NameRange::ALL, 9).unwrap();
        let [name] = names[..] else { panic!("one message: {names:?}") };
        match store.fetch(&name, 0).unwrap() {
            Some(Fetched::Message { record, .. }) => record.standing(),
            other => panic!("a message: {other:?}"),
        }
    };
    put(&store, &weighed(1, 3, false, LATER), 0);
    assert_eq!((counts(), standing()), ((0, 1), Standing::Unproven));
    let again = Put::Stored { expiry: 2 * LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 3, true, 2 * LATER), 0), again);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "members get it with its work");
    assert_eq!(put(&store, &weighed(1, 3, false, LATER), 0), again);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "less than is kept changes nothing");
    let longer = Put::Stored { expiry: 3 * LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 3, false, 3 * LATER), 0), longer);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "work that paid for a message stays with it");
    let sent_later = |timestamp, expiry| {
        Record::new(StoreRequest { timestamp, expiry, ..weighed(1, 3, false, LATER).deposit().clone() })
    };
    let longest = Put::Stored { expiry: 4 * LATER, already: true };
    assert_eq!(put(&store, &sent_later(2 * LATER + 1, 4 * LATER), LATER), longest);
    assert_eq!((counts(), standing()), ((0, 1), Standing::Unproven), "what it paid for is over when this is sent");
    assert_eq!(
        put(&store, &weighed(1, 3, true, 3 * LATER), LATER),
        longest,
        "work takes nothing from a message's life"
    );
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven));

    let (short, long) = (weighed(1, 2, true, LATER), weighed(1, 2, false, 2 * LATER));
    let outcomes = put_all(&store, &[short, long], 0).unwrap();
    let [first, second] = [(LATER, false), (2 * LATER, true)].map(|(expiry, already)| Put::Stored { expiry, already });
    assert_eq!((outcomes, counts()), (vec![first, second], (2, 0)), "in one batch");
    let deletion = Change::Delete { account: account(1), messages: vec![weighed(1, 2, true, 0).hash()], until: LATER };
    store.change(&deletion, None, 0).unwrap();
    assert_eq!(store.usage().messages, 1);

    for number in 4..9 {
        put(&store, &weighed(1, number, true, LATER), 0);
    }
    put(&store, &weighed(1, 0, false, LATER), 0);
    let already = Put::Stored { expiry: LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 0, true, LATER), 0), already, "kept though there is no room for it as proven");
    assert_eq!(counts(), (6, 1));
}

/// An outbox whose owner has no room left keeps what it had.
pub(crate) fn a_full_mailbox_keeps_its_outbox(store: impl Store) {
    let published = sized(1, -1, 1, LATER, 200);
    put(&store, &published, 0);
    assert_eq!(put(&store, &sized(1, -1, 2, LATER, 200), 0), Put::Full);
    assert_eq!(hashes(&store.retrieve(&query(1, -1), 0).unwrap()), [published.hash()]);
}

/// One step of a random walk through a store within [`quotas`].
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Put { owner: u8, number: u8, is_proven: bool, minutes: u64 },
    Delete { owner: u8, number: u8 },
    Wait { minutes: u64 },
}

pub(crate) fn loads() -> impl Strategy<Value = Vec<Load>> {
    let step = prop_oneof![
        8 => (0..3_u8, 0..16_u8, any::<bool>(), 1..60_u64)
            .prop_map(|(owner, number, is_proven, minutes)| Load::Put { owner, number, is_proven, minutes }),
        1 => (0..3_u8, 0..16_u8).prop_map(|(owner, number)| Load::Delete { owner, number }),
        1 => (0..10_u64).prop_map(|minutes| Load::Wait { minutes }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the model knows of a message: owner, number, whether it is proven, expiry.
type Kept = (u8, u8, bool, u64);

/// Whatever comes in whatever order: the counts are those of what is kept, no quota is passed, nothing makes room for
/// anything, and proven mail is refused for want of its own room only.
pub(crate) fn quotas_hold(store: &impl Store, steps: Vec<Load>) {
    let bounds = quotas();
    let size = |number: u8| 8 + 7 * u64::from(number);
    let sum = |kept: &[Kept], wanted: &dyn Fn(&Kept) -> bool| {
        let sizes: Vec<_> = kept.iter().filter(|kept| wanted(kept)).map(|(_, number, ..)| size(*number)).collect();
        crate::Usage { messages: sizes.len() as u64, bytes: sizes.iter().sum() }
    };
    let mut kept: Vec<Kept> = Vec::new();
    let mut now = 0;
    for step in steps {
        match step {
            Load::Put { owner, number, is_proven, minutes } => {
                let expiry = now + minutes * MINUTE;
                let outcome = put(store, &weighed(owner, number, is_proven, expiry), now);
                let of_owner = |proven| sum(&kept, &|kept| kept.0 == owner && kept.2 == proven);
                let (paid, unpaid, total) = (of_owner(true), of_owner(false), sum(&kept, &|_| true).bytes);
                let (messages, bytes) = if is_proven {
                    (paid.messages < bounds.proven.messages, paid.bytes + size(number) <= bounds.proven.bytes)
                } else {
                    let all = sum(&kept, &|kept| !kept.2).bytes;
                    let bytes = unpaid.bytes + size(number) <= bounds.unproven.bytes
                        && all + size(number) <= bounds.unproven_capacity;
                    (unpaid.messages < bounds.unproven.messages, bytes)
                };
                if let Some(known) = kept.iter_mut().find(|kept| (kept.0, kept.1) == (owner, number)) {
                    // Each message is always sent at the same time here, so its work pays for all that comes.
                    if !is_proven || known.2 || (messages && bytes) {
                        (known.2, known.3) = (is_proven || known.2, expiry.max(known.3));
                    }
                    assert_eq!(outcome, Put::Stored { expiry: known.3, already: true });
                } else if messages && bytes && total + size(number) <= bounds.capacity {
                    kept.push((owner, number, is_proven, expiry));
                    assert_eq!(outcome, Put::Stored { expiry, already: false });
                } else {
                    assert_eq!(outcome, Put::Full);
                }
            }
            Load::Delete { owner, number } => {
                let messages = vec![weighed(owner, number, false, 0).hash()];
                store
                    .change(&Change::Delete { account: account(owner), messages, until: u64::MAX }, None, now)
                    .unwrap();
                kept.retain(|kept| (kept.0, kept.1) != (owner, number));
            }
            Load::Wait { minutes } => {
                now += minutes * MINUTE;
                store.expire(now, usize::MAX).unwrap();
                kept.retain(|kept| kept.3 > now);
            }
        }
        for owner in 0..3 {
            let Allowance { mailbox, total, unproven_total, .. } = store.allowance(&account(owner)).unwrap();
            assert_eq!(mailbox.proven, sum(&kept, &|kept| kept.0 == owner && kept.2));
            assert_eq!(mailbox.unproven, sum(&kept, &|kept| kept.0 == owner && !kept.2));
            assert_eq!(total, sum(&kept, &|_| true).bytes);
            assert_eq!(unproven_total, sum(&kept, &|kept| !kept.2).bytes);
            assert!(total <= bounds.capacity && unproven_total <= bounds.unproven_capacity);
            let shown: BTreeSet<_> = hashes(&store.retrieve(&query(owner, 0), now).unwrap()).into_iter().collect();
            let of_owner = kept.iter().filter(|kept| kept.0 == owner);
            let expected: BTreeSet<_> = of_owner.map(|kept| weighed(owner, kept.1, false, 0).hash()).collect();
            assert_eq!(shown, expected);
        }
    }
}

/// One step of a random walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(Vec<(u8, i16, u64, u64)>),
    Wait(u64),
    Expire(usize),
    Delete { owner: u8, numbers: Vec<u64> },
    Move { owner: u8, numbers: Vec<u64>, life: u64 },
    Read { owner: u8, namespace: i16, after: Option<u64>, count: usize },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = (0..3_u8, prop_oneof![Just(0_i16), Just(-10)], 0..12_u64, 1..6 * MINUTE);
    let step = prop_oneof![
        4 => proptest::collection::vec(message, 1..4).prop_map(Step::Put),
        1 => (0..2 * MINUTE).prop_map(Step::Wait),
        1 => (0..5_usize).prop_map(Step::Expire),
        1 => (0..3_u8, proptest::collection::vec(0..12_u64, 1..4))
            .prop_map(|(owner, numbers)| Step::Delete { owner, numbers }),
        1 => (0..3_u8, proptest::collection::vec(0..12_u64, 1..4), 1..6 * MINUTE)
            .prop_map(|(owner, numbers, life)| Step::Move { owner, numbers, life }),
        3 => (0..3_u8, prop_oneof![Just(0_i16), Just(-10)], proptest::option::of(0..12_u64), 1..6_usize)
            .prop_map(|(owner, namespace, after, count)| Step::Read { owner, namespace, after, count }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Messages of one owner in either box.
fn named(owner: u8, numbers: &[u64]) -> Vec<MessageHash> {
    let both = |number: &u64| [0, -10].map(|namespace| record(owner, namespace, *number, 0).hash());
    numbers.iter().flat_map(both).collect()
}

/// A store is a list: what was put last comes last, what expired is gone.
pub(crate) fn behaves_like_a_list(store: &impl Store, steps: Vec<Step>) {
    let mut model: Vec<(Record, u64)> = Vec::new();
    let mut now = 0;
    for step in steps {
        match step {
            Step::Put(messages) => {
                let records: Vec<_> = messages
                    .iter()
                    .map(|&(owner, namespace, number, life)| record(owner, namespace, number, now + life))
                    .collect();
                let outcomes = put_all(store, &records, now).unwrap();
                model.retain(|(_, expiry)| *expiry > now);
                for (record, outcome) in records.into_iter().zip(outcomes) {
                    let life = record.deposit().expiry;
                    let known = model.iter_mut().find(|(known, _)| known.hash() == record.hash());
                    let (expiry, already) = match known {
                        Some((_, expiry)) => {
                            *expiry = life.max(*expiry);
                            (*expiry, true)
                        }
                        None => {
                            model.push((record, life));
                            (life, false)
                        }
                    };
                    assert_eq!(outcome, Put::Stored { expiry, already });
                }
            }
            Step::Wait(time) => now += time,
            Step::Delete { owner, numbers } => {
                model.retain(|(_, expiry)| *expiry > now);
                let messages = named(owner, &numbers);
                let gone = touched(
                    store,
                    &Change::Delete { account: account(owner), messages: messages.clone(), until: u64::MAX },
                    now,
                );
                let before = model.len();
                model.retain(|(record, _)| !messages.contains(&record.hash()));
                assert_eq!(gone.len(), before - model.len());
            }
            Step::Move { owner, numbers, life } => {
                model.retain(|(_, expiry)| *expiry > now);
                let messages = named(owner, &numbers);
                let (expiry, mode) = (vec![now + life], ExpiryMode::Set);
                let set = Change::SetExpiry {
                    account: account(owner),
                    messages: messages.clone(),
                    expiry,
                    mode,
                    at: now.max(7),
                };
                touched(store, &set, now);
                let moved = model.iter_mut().filter(|(record, _)| messages.contains(&record.hash()));
                moved.for_each(|(_, expiry)| *expiry = now + life);
            }
            Step::Expire(limit) => assert!(store.expire(now, limit).unwrap().removed <= limit),
            Step::Read { owner, namespace, after, count } => {
                model.retain(|(_, expiry)| *expiry > now);
                let of_box: Vec<_> = model
                    .iter()
                    .filter(|(record, _)| {
                        let here = query(owner, namespace);
                        (record.deposit().account, record.deposit().namespace) == (here.account, here.namespace)
                    })
                    .collect();
                let after = after.map(|number| record(owner, namespace, number, 0).hash());
                let start = after
                    .and_then(|hash| of_box.iter().position(|(record, _)| record.hash() == hash))
                    .map_or(0, |at| at + 1);
                let expected: Vec<_> =
                    of_box[start..].iter().take(count).map(|(record, expiry)| (record.hash(), *expiry)).collect();
                let window = RetrieveWindow { count, size: usize::MAX };
                let page = store.retrieve(&Query { after, window, ..query(owner, namespace) }, now).unwrap();
                let read: Vec<_> = page.messages.iter().map(|message| (message.hash, message.expiration)).collect();
                assert_eq!(read, expected);
                assert_eq!(page.more, of_box.len() - start > count);
            }
        }
    }
    let names = store.names(&NameRange::ALL, usize::MAX).unwrap();
    assert_eq!(store.tally(&NameRange::ALL).unwrap(), names.iter().collect::<Tally>());
    store.expire(u64::MAX, usize::MAX).unwrap();
    assert_eq!(store.usage(), crate::Usage::default());
    assert_eq!(store.tally(&NameRange::ALL).unwrap(), Tally::default());
    let distinct: BTreeSet<_> = model.iter().map(|(record, _)| record.hash()).collect();
    assert_eq!(distinct.len(), model.len());
}

/// Runs the suite against the stores `make(capacity)` gives (each with whatever must outlive it).
macro_rules! prove {
    ($make:expr) => {
        #[test]
        fn keeps_arrival_order_and_separates_boxes() {
            let (store, _guard) = $make(u64::MAX);
            suite::keeps_arrival_order_and_separates_boxes(store);
        }
        #[test]
        fn continues_after_a_known_message_and_starts_over_otherwise() {
            let (store, _guard) = $make(u64::MAX);
            suite::continues_after_a_known_message_and_starts_over_otherwise(store);
        }
        #[test]
        fn windows_close_by_count_and_size_but_never_before_one() {
            let (store, _guard) = $make(u64::MAX);
            suite::windows_close_by_count_and_size_but_never_before_one(store);
        }
        #[test]
        fn knows_what_it_has_and_only_extends_it() {
            let (store, _guard) = $make(u64::MAX);
            suite::knows_what_it_has_and_only_extends_it(store);
        }
        #[test]
        fn shows_what_has_been_synced() {
            let (store, _guard) = $make(u64::MAX);
            suite::shows_what_has_been_synced(store);
        }
        #[test]
        fn an_expired_message_may_come_again() {
            let (store, _guard) = $make(u64::MAX);
            suite::an_expired_message_may_come_again(store);
        }
        #[test]
        fn expires_on_time_at_a_cost_of_what_expires() {
            let (store, _guard) = $make(u64::MAX);
            suite::expires_on_time_at_a_cost_of_what_expires(store);
        }
        #[test]
        fn deletes_what_is_named_and_nothing_else() {
            let (store, _guard) = $make(u64::MAX);
            suite::deletes_what_is_named_and_nothing_else(store);
        }
        #[test]
        fn deletes_by_box_and_time() {
            let (store, _guard) = $make(u64::MAX);
            suite::deletes_by_box_and_time(store);
        }
        #[test]
        fn moves_expiries_as_wanted() {
            let (store, _guard) = $make(u64::MAX);
            suite::moves_expiries_as_wanted(store);
        }
        #[test]
        fn an_outbox_holds_one_message() {
            let (store, _guard) = $make(u64::MAX);
            suite::an_outbox_holds_one_message(store);
        }
        #[test]
        fn remembers_the_newest_revocations() {
            let (store, _guard) = $make(u64::MAX);
            suite::remembers_the_newest_revocations(store);
        }
        #[test]
        fn tells_everything_others_should_have() {
            let (store, _guard) = $make(u64::MAX);
            suite::tells_everything_others_should_have(store);
        }
        #[test]
        fn lets_go_of_what_is_anothers() {
            let (store, _guard) = $make(u64::MAX);
            suite::lets_go_of_what_is_anothers(store);
        }
        #[test]
        fn keeps_orders_within_bounds() {
            let (store, _guard) = $make(u64::MAX);
            suite::keeps_orders_within_bounds(store);
        }
        #[test]
        fn what_was_deleted_does_not_come_back_by_a_member() {
            let (store, _guard) = $make(u64::MAX);
            suite::what_was_deleted_does_not_come_back_by_a_member(store);
        }
        #[test]
        fn the_last_word_on_an_expiry_counts_whichever_is_heard_first() {
            let (store, _guard) = $make(u64::MAX);
            suite::the_last_word_on_an_expiry_counts_whichever_is_heard_first(store);
        }
        #[test]
        fn keeps_the_deposit_that_lasts() {
            let (store, _guard) = $make(u64::MAX);
            suite::keeps_the_deposit_that_lasts(store);
        }
        #[test]
        fn an_outbox_keeps_what_is_newest() {
            let (store, _guard) = $make(u64::MAX);
            suite::an_outbox_keeps_what_is_newest(store);
        }
        #[test]
        fn knows_the_newest_message_an_order_is_about() {
            let (store, _guard) = $make(u64::MAX);
            suite::knows_the_newest_message_an_order_is_about(store);
        }
        #[test]
        fn refuses_beyond_its_capacity() {
            let (store, _guard) = $make(100);
            suite::refuses_beyond_its_capacity(store);
        }
        #[test]
        fn keeps_unproven_mail_apart() {
            let (store, _guard) = $make(suite::quotas());
            suite::keeps_unproven_mail_apart(store);
        }
        #[test]
        fn what_comes_again_with_work_is_proven() {
            let (store, _guard) = $make(suite::quotas());
            suite::what_comes_again_with_work_is_proven(store);
        }
        #[test]
        fn a_full_mailbox_keeps_its_outbox() {
            let (store, _guard) = $make(suite::quotas());
            suite::a_full_mailbox_keeps_its_outbox(store);
        }
        proptest::proptest! {
            #![proptest_config(proptest::prelude::ProptestConfig { cases: 40, ..Default::default() })]
            #[test]
            fn quotas_hold(steps in suite::loads()) {
                let (store, _guard) = $make(suite::quotas());
                suite::quotas_hold(&store, steps);
            }
            #[test]
            fn behaves_like_a_list(steps in suite::steps()) {
                let (store, _guard) = $make(u64::MAX);
                suite::behaves_like_a_list(&store, steps);
            }
        }
    };
}
pub(crate) use prove;
