//! What a command changed, in the words members sign.

use skep_mailbox::{Changed, Touched};
use skep_proto::storage::{Action, CommandEffect, ExpiryMode, Hashes, MemberFailure, Namespace, Scope, Times};
use std::collections::BTreeMap;

/// The effect of `action`, of which `applied` is the expiry where it sets one for all.
pub fn effect(action: &Action, applied: Option<u64>, changed: Changed) -> Result<CommandEffect, MemberFailure> {
    let failed = |reason: &str| MemberFailure::NotStored { reason: Some(reason.to_owned()) };
    match (action, changed) {
        // That it is not kept for others is no failure: it has been done.
        (_, Changed::Unkept(changed)) => effect(action, applied, *changed),
        (Action::Delete { .. }, Changed::Messages(touched)) => {
            let mut deleted = Scope::One(Namespace::DEFAULT).collect(touched);
            if let Hashes::List(hashes) = &mut deleted {
                hashes.dedup();
            }
            Ok(CommandEffect::Deleted { deleted })
        }
        (Action::DeleteAll { scope, .. } | Action::DeleteBefore { scope, .. }, Changed::Messages(touched)) => {
            Ok(CommandEffect::Deleted { deleted: scope.collect(touched) })
        }
        (Action::ExpireAll { scope, .. }, Changed::Messages(touched)) => {
            Ok(CommandEffect::Updated { updated: scope.collect(touched) })
        }
        (Action::Expire { expiry, mode, .. }, Changed::Messages(mut touched)) => {
            touched.sort_by_cached_key(|touched| touched.hash.to_string());
            let (updated, others): (Vec<_>, Vec<_>) = touched.into_iter().partition(|touched| touched.changed);
            let expiry = match (expiry.as_slice(), applied) {
                ([_], Some(applied)) => Times::One(applied),
                _ => Times::Each(updated.iter().map(|touched| touched.expiry).collect()),
            };
            let unchanged = (*mode != ExpiryMode::Set)
                .then(|| others.iter().map(|touched| (touched.hash, touched.expiry)).collect());
            let updated = updated.iter().map(|touched| touched.hash).collect();
            Ok(CommandEffect::Expired { expiry, updated, unchanged })
        }
        (Action::Revoke { .. }, Changed::Tokens(_)) => Ok(CommandEffect::Revoked {}),
        (Action::Unrevoke { .. }, Changed::Tokens(count)) => Ok(CommandEffect::Unrevoked { count }),
        (_, Changed::Messages(_) | Changed::Tokens(_)) => Err(failed("the message store did something else")),
    }
}

trait Collect {
    /// Messages as an answer about this scope lists them: sorted by text.
    fn collect(&self, touched: Vec<Touched>) -> Hashes;
}

impl Collect for Scope {
    fn collect(&self, mut touched: Vec<Touched>) -> Hashes {
        touched.sort_by_cached_key(|touched| touched.hash.to_string());
        match self {
            Self::One(_) => Hashes::List(touched.iter().map(|touched| touched.hash).collect()),
            Self::All => {
                let mut by_namespace = BTreeMap::<_, Vec<_>>::new();
                for Touched { namespace, hash, .. } in touched {
                    by_namespace.entry(namespace).or_default().push(hash);
                }
                Hashes::ByNamespace(by_namespace)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::storage::MessageHash;

    /// In base64, 0xff.. begins with `/`, which sorts before `A`.
    fn hashes() -> [MessageHash; 2] {
        [[0xff; 32].into(), [0; 32].into()]
    }

    fn touched(namespace: i16, hash: MessageHash, expiry: u64, changed: bool) -> Touched {
        Touched { namespace: Namespace(namespace), hash, expiry, changed }
    }

    #[test]
    fn lists_are_sorted_by_text() {
        let [a, b] = hashes();
        let deleted = Changed::Messages(vec![touched(5, b, 9, true), touched(0, a, 9, true), touched(7, a, 9, true)]);
        let delete = Action::Delete { messages: vec![a, b], required: false };
        let effect_of = |action: &Action| effect(action, None, deleted.clone()).unwrap();
        assert_eq!(effect_of(&delete), CommandEffect::Deleted { deleted: Hashes::List(vec![a, b]) });
        let all = Action::DeleteAll { scope: Scope::All, timestamp: 1 };
        let expected = [(Namespace(0), vec![a]), (Namespace(5), vec![b]), (Namespace(7), vec![a])].into();
        assert_eq!(effect_of(&all), CommandEffect::Deleted { deleted: Hashes::ByNamespace(expected) });
        let limit = Action::ExpireAll { scope: Scope::One(Namespace(0)), expiry: 1 };
        assert_eq!(effect_of(&limit), CommandEffect::Updated { updated: Hashes::List(vec![a, a, b]) });
        let unkept = Changed::Unkept(Box::new(deleted.clone()));
        assert_eq!(effect(&delete, None, unkept), Ok(effect_of(&delete)), "it has been done all the same");
    }

    #[test]
    fn expiries_are_told_as_they_were_asked() {
        let [a, b] = hashes();
        let changed = || Changed::Messages(vec![touched(0, b, 8, true), touched(0, a, 9, false)]);
        let expire = |expiry, mode| Action::Expire { messages: vec![a, b], expiry, mode };
        assert_eq!(
            effect(&expire(vec![10], ExpiryMode::Extend), Some(8), changed()),
            Ok(CommandEffect::Expired { expiry: Times::One(8), updated: vec![b], unchanged: Some([(a, 9)].into()) })
        );
        assert_eq!(
            effect(&expire(vec![10, 11], ExpiryMode::Set), Some(8), changed()),
            Ok(CommandEffect::Expired { expiry: Times::Each(vec![8]), updated: vec![b], unchanged: None })
        );
    }
}
