//! The strings that are signed: parts joined without separators, milliseconds in decimal (`protocol.md` section 4,
//! "What clients sign" and "What nodes sign").

use super::{Action, CommandEffect, Hashes, MessageHash, Namespace, SubaccountToken};
use crate::account::AccountAddress;
use std::fmt::Display;

fn joined(parts: impl IntoIterator<Item = impl Display>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect()
}

fn token_bytes(tokens: &[SubaccountToken]) -> Vec<u8> {
    tokens.iter().flat_map(|token| *token.as_bytes()).collect()
}

/// What the owner signs to store into a namespace of its own; `timestamp` in ms.
pub fn store(namespace: Namespace, timestamp: u64) -> Vec<u8> {
    format!("store{}{timestamp}", namespace.signed_form()).into_bytes()
}

/// What the owner signs to read its mailbox; `timestamp` in ms.
pub fn retrieve(namespace: Namespace, timestamp: u64) -> Vec<u8> {
    format!("retrieve{}{timestamp}", namespace.signed_form()).into_bytes()
}

/// What the owner signs to have something done.
pub fn command(action: &Action) -> Vec<u8> {
    match action {
        Action::Delete { messages, .. } => format!("delete{}", joined(messages)).into_bytes(),
        Action::DeleteAll { scope, timestamp } => format!("delete_all{}{timestamp}", scope.signed_form()).into_bytes(),
        Action::DeleteBefore { scope, before } => format!("delete_before{}{before}", scope.signed_form()).into_bytes(),
        Action::Expire { messages, expiry, mode } => {
            format!("expire{}{}{}", mode.signed_form(), joined(expiry), joined(messages)).into_bytes()
        }
        Action::ExpireAll { scope, expiry } => format!("expire_all{}{expiry}", scope.signed_form()).into_bytes(),
        Action::Revoke { tokens, timestamp } => {
            [format!("revoke_subaccount{timestamp}").as_bytes(), &token_bytes(tokens)].concat()
        }
        Action::Unrevoke { tokens, timestamp } => {
            [format!("unrevoke_subaccount{timestamp}").as_bytes(), &token_bytes(tokens)].concat()
        }
    }
}

/// What the owner signs to ask when messages expire; `timestamp` in ms.
pub fn get_expiries(timestamp: u64, messages: &[MessageHash]) -> Vec<u8> {
    format!("get_expiries{timestamp}{}", joined(messages)).into_bytes()
}

/// What the owner signs to ask which subaccounts are revoked; `timestamp` in ms.
pub fn revoked_subaccounts(timestamp: u64) -> Vec<u8> {
    format!("revoked_subaccounts{timestamp}").into_bytes()
}

/// What the owner signs to have new messages pushed; `timestamp` in ms.
pub fn monitor(namespace: Namespace, timestamp: u64) -> Vec<u8> {
    format!("monitor{}{timestamp}", namespace.signed_form()).into_bytes()
}

/// What a node signs to prove that it has a message at `time` and keeps it until `expiry` (ms). Unlike the other strings
/// this one is binary, of fixed length, and begins with a label; numbers are big endian.
pub fn receipt(
    genesis: &[u8; 32],
    account: &AccountAddress,
    namespace: Namespace,
    hash: &MessageHash,
    expiry: u64,
    time: u64,
) -> Vec<u8> {
    [
        &b"skep receipt v1"[..],
        genesis,
        account.as_bytes(),
        &namespace.0.to_be_bytes(),
        hash.as_bytes(),
        &expiry.to_be_bytes(),
        &time.to_be_bytes(),
    ]
    .concat()
}

/// What a member of the swarm signs when it has done `action` with `effect`. `None` if that is no effect of it.
pub fn done(account: &AccountAddress, action: &Action, effect: &CommandEffect) -> Option<Vec<u8>> {
    /// Texts sort otherwise than the hashes they stand for.
    fn sorted(hashes: &Hashes) -> String {
        let mut texts: Vec<_> = hashes.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.concat()
    }

    Some(match (action, effect) {
        (Action::Delete { messages, .. }, CommandEffect::Deleted { deleted: deleted @ Hashes::List(_) }) => {
            format!("{account}{}{}", joined(messages), sorted(deleted)).into_bytes()
        }
        (
            Action::DeleteAll { timestamp: time, .. } | Action::DeleteBefore { before: time, .. },
            CommandEffect::Deleted { deleted: changed },
        )
        | (Action::ExpireAll { expiry: time, .. }, CommandEffect::Updated { updated: changed }) => {
            format!("{account}{time}{}", sorted(changed)).into_bytes()
        }
        (Action::Expire { messages, .. }, CommandEffect::Expired { expiry, updated, unchanged }) => {
            let unchanged = unchanged.iter().flatten().map(|(hash, expiry)| (hash.to_string(), expiry));
            let mut unchanged: Vec<_> = unchanged.collect();
            unchanged.sort_unstable();
            let unchanged = joined(unchanged.iter().map(|(hash, expiry)| format!("{hash}{expiry}")));
            format!("{account}{}{}{}{unchanged}", joined(expiry.as_slice()), joined(messages), joined(updated))
                .into_bytes()
        }
        (Action::Revoke { tokens, timestamp }, CommandEffect::Revoked {})
        | (Action::Unrevoke { tokens, timestamp }, CommandEffect::Unrevoked { .. }) => {
            [format!("{account}{timestamp}").as_bytes(), &token_bytes(tokens)].concat()
        }
        _ => return None,
    })
}

/// What a member of the swarm signs when it has stored a message: the text of the hash.
pub fn stored(hash: &MessageHash) -> Vec<u8> {
    hash.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{ExpiryMode, Scope, Times};

    #[test]
    fn the_default_namespace_leaves_no_trace() {
        assert_eq!(store(Namespace::DEFAULT, 1_616_650_862_026), b"store1616650862026");
        assert_eq!(store(Namespace(-42), 1_616_650_862_026), b"store-421616650862026");
        assert_eq!(retrieve(Namespace::DEFAULT, 5), b"retrieve5");
        assert_eq!(retrieve(Namespace(11), 5), b"retrieve115");
    }

    #[test]
    fn commands_are_joined_in_the_documented_order() {
        let [a, b] = [[0xff; 32], [0; 32]].map(MessageHash::from);
        let text = |action| String::from_utf8(command(&action)).unwrap();
        assert_eq!(text(Action::Delete { messages: vec![a, b], required: true }), format!("delete{a}{b}"));
        assert_eq!(text(Action::DeleteAll { scope: Scope::All, timestamp: 5 }), "delete_allall5");
        assert_eq!(text(Action::DeleteBefore { scope: Scope::One(Namespace(-3)), before: 5 }), "delete_before-35");
        assert_eq!(text(Action::ExpireAll { scope: Scope::One(Namespace::DEFAULT), expiry: 5 }), "expire_all5");
        let expire = |mode| text(Action::Expire { messages: vec![a, b], expiry: vec![7, 8], mode });
        assert_eq!(expire(ExpiryMode::Set), format!("expire78{a}{b}"));
        assert_eq!(expire(ExpiryMode::Shorten), format!("expireshorten78{a}{b}"));
        assert_eq!(expire(ExpiryMode::Extend), format!("expireextend78{a}{b}"));
        let token = SubaccountToken::from([0xee; 36]);
        assert_eq!(
            command(&Action::Revoke { tokens: vec![token, token], timestamp: 9 }),
            [&b"revoke_subaccount9"[..], &[0xee; 72]].concat()
        );
        assert_eq!(get_expiries(5, &[b, a]), format!("get_expiries5{b}{a}").into_bytes());
    }

    #[test]
    fn effects_are_signed_sorted_by_text() {
        let account = AccountAddress::from_x25519([0xab; 32]);
        // In base64, 0xff.. begins with `/`, which sorts before `A`.
        let [a, b] = [[0xff; 32], [0; 32]].map(MessageHash::from);
        let delete = Action::Delete { messages: vec![b, a], required: false };
        let deleted = |hashes| CommandEffect::Deleted { deleted: Hashes::List(hashes) };
        assert_eq!(done(&account, &delete, &deleted(vec![b, a])), Some(format!("{account}{b}{a}{a}{b}").into_bytes()));

        let all = Action::DeleteAll { scope: Scope::All, timestamp: 5 };
        let by_namespace = Hashes::ByNamespace([(Namespace(7), vec![a]), (Namespace(-1), vec![b])].into());
        let effect = CommandEffect::Deleted { deleted: by_namespace };
        assert_eq!(done(&account, &all, &effect), Some(format!("{account}5{a}{b}").into_bytes()));

        let expire = Action::Expire { messages: vec![b, a], expiry: vec![9], mode: ExpiryMode::Extend };
        let unchanged = Some([(b, 3), (a, 4)].into());
        let effect = CommandEffect::Expired { expiry: Times::One(9), updated: vec![], unchanged };
        assert_eq!(done(&account, &expire, &effect), Some(format!("{account}9{b}{a}{a}4{b}3").into_bytes()));
        assert_eq!(done(&account, &expire, &deleted(vec![])), None, "not what expiring does");
    }

    #[test]
    fn receipts_are_bound_to_everything_they_say() {
        let account = AccountAddress::from_x25519([0xab; 32]);
        let signed = receipt(&[1; 32], &account, Namespace(-2), &[3; 32].into(), 4, 5);
        let numbers = [&[0xff, 0xfe][..], &[3; 32], &[0, 0, 0, 0, 0, 0, 0, 4], &[0, 0, 0, 0, 0, 0, 0, 5]].concat();
        let expected = [&b"skep receipt v1"[..], &[1; 32], &[5], &[0xab; 32], &numbers].concat();
        assert_eq!(signed, expected);
        assert_eq!(monitor(Namespace(3), 5), b"monitor35");
    }

    #[test]
    fn members_sign_the_text_of_the_hash() {
        let text = "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs";
        assert_eq!(stored(&text.parse().unwrap()), text.as_bytes());
    }
}
