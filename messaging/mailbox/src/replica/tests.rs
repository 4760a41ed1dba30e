use super::*;
use crate::Standing;
use crate::testing::{NOW, account, auth};
use proptest::prelude::*;
use skep_proto::{
    account::AccountAddress,
    storage::{Access, ExpiryMode, Namespace, Scope, StoreRequest, SubaccountToken, TimedAuth, signed},
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

fn word(action: Action, given: u64) -> Word {
    Word::of(action, given).expect("about subaccounts")
}

fn admit(action: Action, at: u64) -> Result<Change, ReplicaRefusal> {
    admit_order(&command(action), b"request".to_vec(), at, &[], NOW).map(|(change, _)| change)
}

#[test]
fn old_messages_are_taken_with_their_proofs() {
    let judged = |record| admit_replica(record, NOW).map(|record| assert!(record.is_replica()));
    assert_eq!(judged(record(0)), Ok(()));
    assert_eq!(judged(record(5)), Ok(()));
    let unsigned = Record::new(StoreRequest { auth: None, ..record(5).deposit().clone() });
    assert_eq!(judged(unsigned), Err(ReplicaRefusal::Proof));
    let foreign = StoreRequest { account: AccountAddress::from_x25519([1; 32]), ..record(5).deposit().clone() };
    assert_eq!(judged(Record::new(foreign)), Err(ReplicaRefusal::Proof));
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
        admit_replica(record, NOW).map(drop)
    };
    assert_eq!(judged(FLOOR), Ok(()), "whatever block it was done over");
    for cheap in [0, 1, FLOOR - 1] {
        assert_eq!(judged(cheap), Err(ReplicaRefusal::Proof), "{cheap}");
    }
}

#[test]
fn work_pays_for_other_deposits_of_its_message_while_its_time_lasts() {
    let deposit = record(0).deposit().clone();
    let StoreRequest { account, namespace, timestamp, .. } = deposit;
    let judged = |done: u64, ttl, made| {
        let (hash, block_hash) = (record(0).hash(), [9; 32]);
        let challenge = Challenge { account, namespace, hash, timestamp: done, ttl, effort: FLOOR, block_hash };
        let proof = solve(&challenge, [0; 16], || true).expect("never gives up");
        let work = Some(challenge.to_wire(&proof));
        let record = StoreRequest { timestamp: made, expiry: made + 14 * DAY, work, ..deposit.clone() };
        admit_replica(Record::new(record), NOW).map(|record| record.standing())
    };
    assert_eq!(judged(timestamp, DAY, timestamp + DAY), Ok(Standing::Proven));
    assert_eq!(judged(timestamp, DAY, timestamp + DAY + 1), Err(ReplicaRefusal::Proof));
    assert_eq!(judged(timestamp + DAY, DAY, timestamp), Ok(Standing::Proven), "done for a later deposit");
    assert_eq!(judged(NOW + DAY, DAY, timestamp), Err(ReplicaRefusal::Proof), "in the future");
    assert_eq!(judged(NOW - 30 * DAY, u64::MAX, timestamp), Err(ReplicaRefusal::Proof), "nothing lasts that long");
}

#[test]
fn times_must_be_possible() {
    assert_eq!(admit_replica(record(0), NOW - 11 * DAY), Err(ReplicaRefusal::Times), "from the future");
    let long = StoreRequest { expiry: NOW + 5 * DAY, ..record(0).deposit().clone() };
    assert_eq!(admit_replica(Record::new(long), NOW), Err(ReplicaRefusal::Times));
}

#[test]
fn orders_are_judged_as_of_their_stamp() {
    let messages = || vec![record(0).hash()];
    let shorten = |expiry| Action::Expire { messages: messages(), expiry: vec![expiry], mode: ExpiryMode::Shorten };
    assert!(matches!(admit(shorten(NOW - 9 * DAY), NOW - 10 * DAY), Ok(Change::SetExpiry { .. })));
    assert_eq!(admit(shorten(NOW - 9 * DAY), NOW), Err(ReplicaRefusal::Times), "nobody could have given it so late");
    let limit = |expiry| Action::ExpireAll { scope: Scope::All, expiry };
    assert!(matches!(admit(limit(NOW - 9 * DAY), NOW - 10 * DAY), Ok(Change::LimitExpiry { .. })));
    assert_eq!(admit(limit(NOW - 9 * DAY), NOW), Err(ReplicaRefusal::Times));
    let all = || Action::DeleteAll { scope: Scope::All, timestamp: NOW - DAY };
    let until = |at| match admit(all(), at) {
        Ok(Change::DeleteSent { until, .. }) => Ok(until),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    };
    assert_eq!(until(NOW - DAY + 1), Ok(NOW - DAY + 1), "not what came since");
    assert_eq!(until(NOW), Err(ReplicaRefusal::Times));
    assert_eq!(admit(Action::Delete { messages: messages(), required: false }, NOW + DAY), Err(ReplicaRefusal::Times));
    assert_eq!(
        admit(Action::Delete { messages: messages(), required: false }, NOW - 30 * DAY),
        Err(ReplicaRefusal::Expired)
    );
    let mut forged = command(all());
    forged.auth.signature[0] ^= 1;
    assert_eq!(admit_order(&forged, vec![], NOW - DAY, &[], NOW), Err(ReplicaRefusal::Proof));
}

#[test]
fn the_later_word_on_a_subaccount_counts() {
    let [a, b] = [1, 2].map(|number| SubaccountToken::new(5, Access::READ, &[number; 32]));
    let (tokens, timestamp) = (vec![a, b], NOW);
    let revoke = command(Action::Revoke { tokens: tokens.clone(), timestamp });
    let unrevoke = |timestamp| word(Action::Unrevoke { tokens: vec![b], timestamp }, NOW);
    let revoked = |kept: &[Word]| match admit_order(&revoke, vec![], NOW, kept, NOW) {
        Ok((Change::Revoke { tokens, .. }, _)) => tokens,
        other => panic!("{other:?}"),
    };
    assert_eq!(revoked(&[unrevoke(NOW - SAME_MOMENT)]), tokens);
    assert_eq!(revoked(&[unrevoke(NOW + SAME_MOMENT)]), [a]);
    let unrevoke = command(Action::Unrevoke { tokens: vec![a], timestamp: NOW - SAME_MOMENT });
    let later = word(Action::Revoke { tokens: vec![a], timestamp }, NOW);
    let change = admit_order(&unrevoke, vec![], NOW - 1, &[later], NOW).map(|(change, _)| change);
    assert_eq!(change, Ok(Change::Unrevoke { account: account(), tokens: vec![] }));
}

/// As a client that repeats itself, told by `(revokes, said, clock)`; whether the subaccount is revoked afterwards.
fn heard(words: &[(bool, u64, u64)]) -> Vec<bool> {
    let token = SubaccountToken::new(5, Access::READ, &[1; 32]);
    let (mut kept, mut is_revoked) = (Vec::<Word>::new(), false);
    let mut told = Vec::new();
    for (revokes, timestamp, clock) in words {
        let (tokens, timestamp) = (vec![token], *timestamp);
        let action =
            if *revokes { Action::Revoke { tokens, timestamp } } else { Action::Unrevoke { tokens, timestamp } };
        let command = command(action.clone());
        let (change, order) = give(&command, vec![], stamp(&command, *clock, None, &kept), &kept).unwrap();
        is_revoked = match change {
            Change::Revoke { tokens, .. } => is_revoked || !tokens.is_empty(),
            Change::Unrevoke { tokens, .. } => is_revoked && tokens.is_empty(),
            other => panic!("{other:?}"),
        };
        let said = word(action, order.at);
        kept.retain(|other| (other.revokes, other.time.said) != (said.revokes, said.time.said));
        kept.push(said);
        told.push(is_revoked);
    }
    told
}

#[test]
fn of_words_of_one_moment_the_one_given_last_counts() {
    let (revoke, unrevoke) = (true, false);
    let again = [(revoke, NOW, NOW), (unrevoke, NOW + 1, NOW + 50), (revoke, NOW, NOW + 90)];
    assert_eq!(heard(&again), [true, false, true]);
    let at_once = [(revoke, NOW, NOW), (unrevoke, NOW, NOW), (revoke, NOW, NOW), (unrevoke, NOW, NOW)];
    assert_eq!(heard(&at_once), [true, false, true, false], "though no clock tells them apart");
    let behind = [(revoke, NOW, NOW + 400), (unrevoke, NOW + 1, NOW + 50)];
    assert_eq!(heard(&behind), [true, false], "the member that hears the second has a clock that is behind");
    let late = [(unrevoke, NOW + SAME_MOMENT, NOW), (revoke, NOW, NOW + 50)];
    assert_eq!(heard(&late), [false, false], "an old word is no answer to a new one");
}

/// One of a few subaccounts.
fn token(number: u8) -> SubaccountToken {
    SubaccountToken::new(5, Access::READ, &[number; 32])
}

/// A word on some of few subaccounts, of moments that meet and that do not.
fn words_said() -> impl Strategy<Value = (bool, Vec<u8>, u64, u64)> {
    (any::<bool>(), prop::collection::vec(0..4_u8, 1..6), 0..8_u64, 0..4_u64)
}

fn action_of(revokes: bool, tokens: &[u8], said: u64) -> Action {
    let (tokens, timestamp) = (tokens.iter().copied().map(token).collect(), NOW + said * SAME_MOMENT / 3);
    if revokes { Action::Revoke { tokens, timestamp } } else { Action::Unrevoke { tokens, timestamp } }
}

proptest! {
    /// As the rule reads, word against word.
    #[test]
    fn words_are_weighed_as_if_each_were_held_against_all(
        (revokes, tokens, said, given) in words_said(),
        kept in prop::collection::vec(words_said(), 0..24),
    ) {
        let action = action_of(revokes, &tokens, said);
        let kept: Vec<_> =
            kept.iter().map(|(revokes, tokens, said, given)| word(action_of(*revokes, tokens, *said), *given)).collect();
        let new = word(action.clone(), given);
        let on = |token: SubaccountToken| kept.iter().filter(move |word| word.tokens.contains(&token));
        let is_taken_back =
            |token, revoking: &Word| on(token).any(|other| !other.revokes && other.time.takes_back(revoking.time));
        let counts = |token: &SubaccountToken| {
            if revokes {
                return !is_taken_back(*token, &new);
            }
            let stays = |other: &Word| {
                other.revokes && !new.time.takes_back(other.time) && !is_taken_back(*token, other)
            };
            !on(*token).any(stays)
        };
        let expected: Vec<_> = new.tokens.iter().copied().filter(counts).collect();
        let auth = auth(b"whatever");
        let (change, _) = give(&Command { account: account(), action, auth }, vec![], given, &kept).unwrap();
        let left = match change {
            Change::Revoke { tokens, .. } | Change::Unrevoke { tokens, .. } => tokens,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(left, expected);
    }
}
