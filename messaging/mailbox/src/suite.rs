//! The suite every store passes.

pub(crate) mod mail;
pub(crate) mod orders;
pub(crate) mod quotas;
pub(crate) mod replicas;
pub(crate) mod walk;

use crate::{
    Allowance, Change, Changed, Fetched, ItemName, NameRange, Order, Page, Put, Query, Quota, Quotas, Record, Standing,
    Store, StoreError, Tallies, Tally, Touched, give,
    store::{MAX_ORDER_BYTES, MAX_ORDERS, RECORD_BYTES},
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

pub(crate) fn account(owner: u8) -> AccountAddress {
    AccountAddress::from_x25519([owner; 32])
}

/// What a change touched, sorted: box, message, expiry, changed.
fn touched(store: &impl Store, change: &Change, now: u64) -> Vec<(i16, MessageHash, u64, bool)> {
    let Changed::Messages(touched) = store.change(change, None, now).unwrap() else { panic!("about messages") };
    store.sync().unwrap();
    let mut touched: Vec<_> = touched
        .into_iter()
        .map(|Touched { namespace, hash, expiry, changed }| (namespace.0, hash, expiry, changed))
        .collect();
    touched.sort_unstable();
    touched
}

/// An order of owner 1, as it was given at a time.
fn ordered(number: u8, action: Action, at: u64) -> (Change, Order) {
    ordered_by(1, number, action, at)
}

fn ordered_by(owner: u8, number: u8, action: Action, at: u64) -> (Change, Order) {
    signed(owner, [number; 64], action, at)
}

/// An order that goes by this signature.
pub(crate) fn signed(owner: u8, signature: [u8; 64], action: Action, at: u64) -> (Change, Order) {
    let auth = OwnerAuth { signature, ed25519_key: None, subaccount: None };
    let command = Command { account: account(owner), action, auth };
    let request = serde_json::to_vec(&Request::Single(Method::Command(command.clone()))).unwrap();
    give(&command, request, at, &[]).unwrap()
}

fn carry_out(store: &impl Store, (change, order): &(Change, Order), now: u64) -> Changed {
    let changed = store.change(change, Some(order), now).unwrap();
    store.sync().unwrap();
    changed
}

/// Runs the suite against the stores `make(capacity)` gives (each with whatever must outlive it).
macro_rules! prove {
    ($make:expr) => {
        #[test]
        fn keeps_arrival_order_and_separates_boxes() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::keeps_arrival_order_and_separates_boxes(store);
        }
        #[test]
        fn continues_after_a_known_message_and_starts_over_otherwise() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::continues_after_a_known_message_and_starts_over_otherwise(store);
        }
        #[test]
        fn windows_close_by_count_and_size_but_never_before_one() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::windows_close_by_count_and_size_but_never_before_one(store);
        }
        #[test]
        fn knows_what_it_has_and_only_extends_it() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::knows_what_it_has_and_only_extends_it(store);
        }
        #[test]
        fn shows_what_has_been_synced() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::shows_what_has_been_synced(store);
        }
        #[test]
        fn promises_what_has_been_synced() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::promises_what_has_been_synced(store);
        }
        #[test]
        fn an_expired_message_may_come_again() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::an_expired_message_may_come_again(store);
        }
        #[test]
        fn expires_on_time_at_a_cost_of_what_expires() {
            let (store, _guard) = $make(u64::MAX);
            suite::mail::expires_on_time_at_a_cost_of_what_expires(store);
        }
        #[test]
        fn deletes_what_is_named_and_nothing_else() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::deletes_what_is_named_and_nothing_else(store);
        }
        #[test]
        fn deletes_by_box_and_time() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::deletes_by_box_and_time(store);
        }
        #[test]
        fn moves_expiries_as_wanted() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::moves_expiries_as_wanted(store);
        }
        #[test]
        fn an_outbox_holds_one_message() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::an_outbox_holds_one_message(store);
        }
        #[test]
        fn remembers_the_newest_revocations() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::remembers_the_newest_revocations(store);
        }
        #[test]
        fn a_message_lasts_while_its_owner_says_so() {
            let ((store, _guard), (other, _other)) = ($make(u64::MAX), $make(u64::MAX));
            suite::orders::a_message_lasts_while_its_owner_says_so(store, other);
        }
        #[test]
        fn looking_often_displaces_no_deletion() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::looking_often_displaces_no_deletion(store);
        }
        #[test]
        fn orders_go_with_the_last_of_their_words() {
            let (store, _guard) = $make(u64::MAX);
            suite::orders::orders_go_with_the_last_of_their_words(store);
        }
        #[test]
        fn tells_everything_others_should_have() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::tells_everything_others_should_have(store);
        }
        #[test]
        fn lets_go_of_what_is_anothers() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::lets_go_of_what_is_anothers(store);
        }
        #[test]
        fn keeps_orders_within_bounds() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::keeps_orders_within_bounds(store);
        }
        #[test]
        fn what_was_deleted_does_not_come_back_by_a_member() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::what_was_deleted_does_not_come_back_by_a_member(store);
        }
        #[test]
        fn what_was_deleted_does_not_come_back_by_a_deposit() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::what_was_deleted_does_not_come_back_by_a_deposit(store);
        }
        #[test]
        fn the_last_word_on_an_expiry_counts_whichever_is_heard_first() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::the_last_word_on_an_expiry_counts_whichever_is_heard_first(store);
        }
        #[test]
        fn keeps_the_deposit_that_lasts() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::keeps_the_deposit_that_lasts(store);
        }
        #[test]
        fn an_outbox_keeps_what_is_newest() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::an_outbox_keeps_what_is_newest(store);
        }
        #[test]
        fn knows_the_newest_message_an_order_is_about() {
            let (store, _guard) = $make(u64::MAX);
            suite::replicas::knows_the_newest_message_an_order_is_about(store);
        }
        #[test]
        fn refuses_beyond_its_capacity() {
            let (store, _guard) = $make(100 + 2 * crate::RECORD_BYTES);
            suite::quotas::refuses_beyond_its_capacity(store);
        }
        #[test]
        fn empty_messages_take_room() {
            let (store, _guard) = $make(3 * crate::RECORD_BYTES);
            suite::quotas::empty_messages_take_room(store);
        }
        #[test]
        fn orders_have_room_of_their_own() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::orders_have_room_of_their_own(store);
        }
        #[test]
        fn whoever_has_most_orders_makes_room_for_later_ones() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::whoever_has_most_orders_makes_room_for_later_ones(store);
        }
        #[test]
        fn revocations_have_room_of_their_own() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::revocations_have_room_of_their_own(store);
        }
        #[test]
        fn what_is_remembered_has_been_carried_out() {
            let (store, _guard) = $make(0);
            suite::quotas::what_is_remembered_has_been_carried_out(store);
        }
        #[test]
        fn keeps_unproven_mail_apart() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::keeps_unproven_mail_apart(store);
        }
        #[test]
        fn what_comes_again_with_work_is_proven() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::what_comes_again_with_work_is_proven(store);
        }
        #[test]
        fn a_full_mailbox_keeps_its_outbox() {
            let (store, _guard) = $make(suite::quotas::quotas());
            suite::quotas::a_full_mailbox_keeps_its_outbox(store);
        }
        proptest::proptest! {
            #![proptest_config(proptest::prelude::ProptestConfig { cases: 40, ..Default::default() })]
            #[test]
            fn quotas_hold(steps in suite::quotas::loads()) {
                let (store, _guard) = $make(suite::quotas::quotas());
                suite::quotas::quotas_hold(&store, steps);
            }
            #[test]
            fn behaves_like_a_list(steps in suite::walk::steps()) {
                let (store, _guard) = $make(u64::MAX);
                suite::walk::behaves_like_a_list(&store, steps);
            }
        }
    };
}
pub(crate) use prove;
