use super::*;
use crate::testing::{NOW, account, auth};
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, StoreRequest, SubaccountToken, TimedAuth},
};
use skep_work::{Challenge, FLOOR, solve};

const DAY: u64 = 86_400_000;

/// Stored ten days ago.
fn record(namespace: i16) -> Record {
    let (namespace, timestamp) = (Namespace(namespace), NOW - 10 * DAY);
    let auth = TimedAuth { auth: auth(&signed::store(namespace, timestamp)), timestamp };
    Record::new(StoreRequest {
        account: account(),
        namespace,
        timestamp,
        expiry: timestamp + 14 * DAY,
        data: b"hello".to_vec(),
        auth: (!namespace.anyone_may_store()).then_some(auth),
        work: None,
    })
}

fn command(action: Action) -> Command {
    Command { account: account(), auth: auth(&signed::command(&action)), action }
}

fn order(action: Action) -> Order {
    let command = command(action);
    let request = serde_json::to_vec(&Request::Single(Method::Command(command.clone()))).unwrap();
    keep_order(&command, request, NOW).expect("one that is kept")
}

#[test]
fn old_messages_are_taken_with_their_proofs() {
    assert_eq!(admit_replica(&record(0), &[], NOW), Ok(()));
    assert_eq!(admit_replica(&record(5), &[], NOW), Ok(()));
    let unsigned = Record::new(StoreRequest { auth: None, ..record(5).deposit().clone() });
    assert_eq!(admit_replica(&unsigned, &[], NOW), Err(ReplicaRefusal::Proof));
    let foreign = StoreRequest { account: AccountAddress::from_x25519([1; 32]), ..record(5).deposit().clone() };
    assert_eq!(admit_replica(&Record::new(foreign), &[], NOW), Err(ReplicaRefusal::Proof));
}

#[test]
fn a_lying_member_pays_the_floor() {
    let judged = |effort| {
        let deposit = record(0).deposit().clone();
        let StoreRequest { account, namespace, timestamp, expiry, .. } = deposit;
        let (hash, ttl, block_hash) = (record(0).hash(), expiry - timestamp, [9; 32]);
        let challenge = Challenge { account, namespace, hash, timestamp, ttl, effort, block_hash };
        let proof = solve(&challenge, [0; 16], || true).expect("never gives up");
        let record = Record::new(StoreRequest { work: Some(challenge.to_wire(&proof)), ..deposit });
        admit_replica(&record, &[], NOW)
    };
    assert_eq!(judged(FLOOR), Ok(()), "whatever block it was done over");
    for cheap in [0, 1, FLOOR - 1] {
        assert_eq!(judged(cheap), Err(ReplicaRefusal::Proof), "{cheap}");
    }
}

#[test]
fn times_must_be_possible() {
    assert_eq!(admit_replica(&record(0), &[], NOW + 4 * DAY), Err(ReplicaRefusal::Expired));
    assert_eq!(admit_replica(&record(0).kept_until(NOW + 30 * DAY), &[], NOW + 4 * DAY), Ok(()), "extended");
    let forever = record(0).kept_until(NOW + 31 * DAY);
    assert_eq!(admit_replica(&forever, &[], NOW), Err(ReplicaRefusal::Times));
    assert_eq!(admit_replica(&record(0), &[], NOW - 11 * DAY), Err(ReplicaRefusal::Times), "from the future");
    let long = StoreRequest { expiry: NOW + 5 * DAY, ..record(0).deposit().clone() };
    assert_eq!(admit_replica(&Record::new(long), &[], NOW), Err(ReplicaRefusal::Times));
}

#[test]
fn what_was_deleted_does_not_come_back() {
    let (record, sent) = (record(0), NOW - 10 * DAY);
    let judged = |action| admit_replica(&record, &[order(action)], NOW);
    let (all, here, elsewhere) = (Scope::All, Scope::One(Namespace(0)), Scope::One(Namespace(1)));
    let deleted = Err(ReplicaRefusal::Deleted);
    assert_eq!(judged(Action::Delete { messages: vec![record.hash()], required: false }), deleted);
    assert_eq!(judged(Action::DeleteAll { scope: all, timestamp: sent }), deleted);
    assert_eq!(judged(Action::DeleteBefore { scope: here, before: NOW }), deleted);
    assert_eq!(judged(Action::Delete { messages: vec![[0; 32].into()], required: false }), Ok(()));
    assert_eq!(judged(Action::DeleteAll { scope: elsewhere, timestamp: NOW }), Ok(()));
    assert_eq!(judged(Action::DeleteAll { scope: all, timestamp: sent - 1 }), Ok(()), "sent after it");
}

#[test]
fn late_orders_reach_only_as_far_as_they_say() {
    let all = command(Action::DeleteAll { scope: Scope::All, timestamp: NOW - DAY });
    let until = |change| match change {
        Ok(Change::DeleteSent { until, .. }) => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(replicated_change(&all, &[], NOW)), NOW - DAY, "not what came since");
    let future = command(Action::DeleteBefore { scope: Scope::All, before: u64::MAX });
    assert_eq!(until(replicated_change(&future, &[], NOW)), NOW + STORE_TOLERANCE);
    let mut forged = all;
    forged.auth.signature[0] ^= 1;
    assert_eq!(replicated_change(&forged, &[], NOW), Err(ReplicaRefusal::Proof));
    let limit = command(Action::ExpireAll { scope: Scope::All, expiry: NOW });
    assert_eq!(replicated_change(&limit, &[], NOW), Err(ReplicaRefusal::Order));
}

#[test]
fn the_later_word_on_a_subaccount_counts() {
    let [a, b] = [1, 2].map(|number| SubaccountToken::new(5, Access::READ, &[number; 32]));
    let (tokens, timestamp) = (vec![a, b], NOW);
    let revoke = command(Action::Revoke { tokens: tokens.clone(), timestamp });
    let unrevoke = |timestamp| order(Action::Unrevoke { tokens: vec![b], timestamp });
    let revoked = |orders: &[Order]| match replicated_change(&revoke, orders, NOW) {
        Ok(Change::Revoke { tokens, .. }) => tokens,
        other => panic!("{other:?}"),
    };
    assert_eq!(revoked(&[unrevoke(NOW - 1)]), tokens);
    assert_eq!(revoked(&[unrevoke(NOW + 1)]), [a]);
    let unrevoke = command(Action::Unrevoke { tokens: vec![a], timestamp: NOW - 1 });
    let later = order(Action::Revoke { tokens: vec![a], timestamp });
    let change = replicated_change(&unrevoke, &[later], NOW);
    assert_eq!(change, Ok(Change::Unrevoke { account: account(), tokens: vec![] }));
}

#[test]
fn an_order_is_kept_no_longer_for_being_handed_on() {
    let all = command(Action::DeleteAll { scope: Scope::All, timestamp: NOW - DAY });
    let kept = |kept_until| admit_order(&all, b"request".to_vec(), kept_until, &[], NOW).map(|(_, order)| order.expiry);
    assert_eq!(kept(NOW + DAY), Ok(NOW + DAY));
    assert_eq!(kept(u64::MAX), Ok(NOW + MAX_TTL_PRIVATE), "a member cannot make it last");
    assert_eq!(kept(NOW), Err(ReplicaRefusal::Expired));
}
