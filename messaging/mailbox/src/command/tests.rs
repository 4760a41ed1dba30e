use super::*;
use crate::testing::{NOW, account, auth, owner};
use ed25519_dalek::{Signer, SigningKey};
use skep_proto::{
    account::AccountAddress,
    storage::{Delegation, MessageHash, Namespace, OwnerAuth, Scope, SubaccountToken},
};

const ALL: Access = Access::DELETE;

fn signed_by_owner(action: Action) -> Command {
    Command { account: account(), auth: auth(&signed::command(&action)), action }
}

fn signed_by_subaccount(action: Action, access: Access) -> Command {
    let user = SigningKey::from_bytes(&[9; 32]);
    let token = SubaccountToken::new(5, access, &user.verifying_key().to_bytes());
    let subaccount = Some(Delegation { token, signature: owner().sign(token.as_bytes()).to_bytes() });
    let signature = user.sign(&signed::command(&action)).to_bytes();
    let auth = OwnerAuth { signature, subaccount, ..signed_by_owner(action.clone()).auth };
    Command { account: account(), auth, action }
}

fn hash() -> MessageHash {
    [3; 32].into()
}

fn actions() -> Vec<Action> {
    let scope = Scope::All;
    let tokens = vec![SubaccountToken::new(5, Access::READ, &[1; 32])];
    vec![
        Action::Delete { messages: vec![hash()], required: false },
        Action::DeleteAll { scope, timestamp: NOW },
        Action::DeleteBefore { scope, before: NOW },
        Action::Expire { messages: vec![hash()], expiry: vec![NOW], mode: ExpiryMode::Set },
        Action::ExpireAll { scope, expiry: NOW },
        Action::Revoke { tokens: tokens.clone(), timestamp: NOW },
        Action::Unrevoke { tokens, timestamp: NOW },
    ]
}

fn judge(command: &Command) -> Result<Change, CommandRefusal> {
    judge_command(command, Origin::Client, NOW, false)
}

#[test]
fn owners_order_and_nobody_else() {
    for action in actions() {
        let good = signed_by_owner(action);
        assert!(judge(&good).is_ok(), "{good:?}");
        let mut forged = good.clone();
        forged.auth.signature[3] ^= 1;
        let refusal = judge(&forged).unwrap_err().to_string();
        assert!(refusal.ends_with(" signature verification failed"), "{refusal}");
        let foreign = Command { account: AccountAddress::from_x25519([1; 32]), ..good };
        assert!(judge(&foreign).is_err());
    }
}

#[test]
fn an_order_names_so_many_messages() {
    let named = |number: u64| {
        let hash = |number: u64| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            hash.into()
        };
        (0..number).map(hash).collect::<Vec<MessageHash>>()
    };
    for (number, expected) in [(1_000, true), (1_001, false)] {
        let delete = signed_by_owner(Action::Delete { messages: named(number), required: false });
        let mode = ExpiryMode::Extend;
        let expire = signed_by_owner(Action::Expire { messages: named(number), expiry: vec![NOW], mode });
        for command in [delete, expire] {
            assert_eq!(judge(&command) != Err(CommandRefusal::TooMany), expected, "{number}");
        }
    }
}

#[test]
fn subaccounts_order_within_their_rights() {
    for action in actions() {
        let name = signed_by_owner(action.clone()).name();
        let may = |access| judge(&signed_by_subaccount(action.clone(), access)).is_ok();
        let expected = match action {
            Action::Expire { .. } => (true, false),
            Action::Revoke { .. } | Action::Unrevoke { .. } => (false, false),
            Action::Delete { .. }
            | Action::DeleteAll { .. }
            | Action::DeleteBefore { .. }
            | Action::ExpireAll { .. } => (false, true),
        };
        assert_eq!((may(Access::WRITE), may(Access::DELETE)), expected, "{name}");
        let revoked = judge_command(&signed_by_subaccount(action, Access::WRITE | ALL), Origin::Client, NOW, true);
        assert!(matches!(revoked, Err(CommandRefusal::Signature(_))), "{name}");
    }
}

#[test]
fn who_may_not_delete_only_extends() {
    let expire = |mode| Action::Expire { messages: vec![hash()], expiry: vec![NOW], mode };
    let mode = |command: &Command| match judge(command) {
        Ok(Change::SetExpiry { mode, .. }) => Ok(mode),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    };
    let writer = |wanted| mode(&signed_by_subaccount(expire(wanted), Access::WRITE));
    assert_eq!(writer(ExpiryMode::Set), Ok(ExpiryMode::Extend));
    assert_eq!(writer(ExpiryMode::Extend), Ok(ExpiryMode::Extend));
    assert_eq!(writer(ExpiryMode::Shorten), Err(CommandRefusal::ShortenWithoutDelete));
    let moderator = |wanted| mode(&signed_by_subaccount(expire(wanted), Access::WRITE | Access::DELETE));
    assert_eq!(moderator(ExpiryMode::Set), Ok(ExpiryMode::Set));
    assert_eq!(moderator(ExpiryMode::Shorten), Ok(ExpiryMode::Shorten));
}

#[test]
fn orders_have_their_time() {
    let refused = |action, text: &str| {
        let refusal = judge(&signed_by_owner(action)).map(drop).map_err(|refusal| refusal.to_string());
        assert_eq!(refusal, if text.is_empty() { Ok(()) } else { Err(text.to_owned()) });
    };
    let (scope, messages) = (Scope::One(Namespace::DEFAULT), vec![hash()]);
    for (distance, text) in [(60_000, ""), (60_001, "delete_all timestamp too far from current time")] {
        refused(Action::DeleteAll { scope, timestamp: NOW - distance }, text);
        refused(Action::DeleteAll { scope, timestamp: NOW + distance }, text);
    }
    for (distance, text) in [(60_000, ""), (60_001, "revoke_subaccount timestamp too far from current time")] {
        refused(Action::Revoke { tokens: vec![], timestamp: NOW - distance }, text);
    }
    refused(Action::DeleteBefore { scope, before: 1 }, "");
    refused(Action::DeleteBefore { scope, before: NOW + 60_000 }, "");
    refused(Action::DeleteBefore { scope, before: NOW + 60_001 }, "delete_before timestamp too far in the future");
    let expire = |expiry| Action::Expire { messages: messages.clone(), expiry, mode: ExpiryMode::Set };
    refused(expire(vec![NOW - 60_000]), "");
    refused(expire(vec![NOW - 60_001]), "expire: timestamp should be >= current time");
    refused(Action::ExpireAll { scope, expiry: NOW - 60_001 }, "expire_all timestamp should be >= current time");
    let forwarded = signed_by_owner(Action::ExpireAll { scope, expiry: NOW - 70_000 });
    assert!(judge_command(&forwarded, Origin::Member, NOW, false).is_ok());

    let far = judge(&signed_by_owner(expire(vec![u64::MAX]))).unwrap();
    assert!(matches!(far, Change::SetExpiry { expiry, .. } if expiry == [NOW + MAX_TTL_PRIVATE]), "clamped");
}

#[test]
fn orders_reach_as_far_as_their_stamp() {
    let all = signed_by_owner(Action::DeleteAll { scope: Scope::All, timestamp: NOW });
    let until = |command: &Command, at| match give(command, Vec::new(), at, &[]) {
        Some((Change::DeleteSent { until, .. }, order)) if order.at == at => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&all, NOW + 5), NOW + 5);
    assert_eq!(until(&all, NOW + 10 * MAX_TTL_PRIVATE), NOW + STAMP_TOLERANCE, "handed in again later");
    let before = |before| signed_by_owner(Action::DeleteBefore { scope: Scope::All, before });
    assert_eq!(until(&before(5), NOW), 5);
    assert_eq!(until(&before(NOW + 60_000), NOW), NOW, "not what is sent from now on");

    let [a, b] = [[1; 32], [2; 32]].map(MessageHash::from);
    let expire = |expiry| Action::Expire { messages: vec![a, b, a], expiry, mode: ExpiryMode::Set };
    let told = |expiry| match give(&signed_by_owner(expire(expiry)), Vec::new(), NOW, &[]) {
        Some((Change::SetExpiry { messages, expiry, .. }, _)) => (messages, expiry),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(vec![NOW, NOW + 1, NOW + 2]), (vec![b, a], vec![NOW + 1, NOW + 2]), "the last word on each");
    assert_eq!(told(vec![NOW]), (vec![b, a], vec![NOW]));
}

#[test]
fn no_order_is_given_in_the_future() {
    use crate::{given_at, store::STAMP_TOLERANCE};
    assert_eq!(given_at(NOW + STAMP_TOLERANCE, NOW), Some(NOW + STAMP_TOLERANCE));
    assert_eq!(given_at(NOW + STAMP_TOLERANCE + 1, NOW), None);
    assert_eq!([given_at(1, NOW), given_at(0, NOW)], [Some(1), Some(NOW)]);
}

#[test]
fn questions_are_the_owners() {
    let timed = |message: &[u8], timestamp| TimedAuth { auth: auth(message), timestamp };
    let ask_about = |messages: Vec<_>, timestamp| {
        let auth = timed(&signed::get_expiries(timestamp, &messages), timestamp);
        ExpiriesRequest { account: account(), messages, auth }
    };
    let ask = |timestamp| ask_about(vec![hash()], timestamp);
    assert_eq!(may_ask_expiries(&ask(NOW), NOW, false), Ok(()));
    assert_eq!(may_ask_expiries(&ask_about(vec![hash(); MAX_NAMED], NOW), NOW, false), Ok(()));
    let too_many = ask_about(vec![hash(); MAX_NAMED + 1], NOW);
    assert_eq!(may_ask_expiries(&too_many, NOW, false), Err(CommandRefusal::TooMany));
    assert_eq!(may_ask_expiries(&ask(NOW - 60_001), NOW, false), Err(CommandRefusal::Clock("get_expiries")));
    let other = ExpiriesRequest { messages: vec![], ..ask(NOW) };
    assert_eq!(may_ask_expiries(&other, NOW, false), Err(CommandRefusal::Signature("get_expiries")));

    let revoked = |timestamp| {
        let auth = timed(&signed::revoked_subaccounts(timestamp), timestamp);
        RevokedRequest { account: account(), auth }
    };
    assert_eq!(may_ask_revoked(&revoked(NOW), NOW), Ok(()));
    assert_eq!(may_ask_revoked(&revoked(NOW + 60_001), NOW), Err(CommandRefusal::Clock("revoked_subaccounts")));
}
