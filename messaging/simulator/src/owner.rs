//! An account, and what its owner knows of its mailbox: a plain model of what members must show.

use ed25519_dalek::{Signer, SigningKey};
use skep_mailbox::{Record, SAME_MOMENT};
use skep_proto::{
    account::{AccountAddress, X25519_ACCOUNT},
    storage::{
        Access, Action, Command, Delegation, ExpiryMode, HexKey, MessageHash, Method, Namespace, OwnerAuth, Request,
        RetrieveRequest, Scope, StoreRequest, SubaccountToken, TimedAuth, signed,
    },
};
use skep_work::{Challenge, solve};
use std::{collections::BTreeMap, sync::Arc};

/// How many others an owner lets act on its mailbox.
pub(crate) const SUBACCOUNTS: usize = 3;

/// Somebody with a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Owner(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    key: SigningKey,
    account: AccountAddress,
    subaccounts: [Subaccount; SUBACCOUNTS],
}

/// Somebody else who may read and store for the owner.
#[derive(Debug)]
struct Subaccount {
    key: SigningKey,
    delegation: Delegation,
}

impl Owner {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let account = AccountAddress::from_x25519(key.verifying_key().to_montgomery().to_bytes());
        let subaccounts = std::array::from_fn(|number| {
            let sub = SigningKey::from_bytes(&seed.map(|byte| byte.wrapping_add(number as u8 + 1)));
            let access = Access::READ | Access::WRITE;
            let token = SubaccountToken::new(X25519_ACCOUNT, access, &sub.verifying_key().to_bytes());
            let signature = key.sign(token.as_bytes()).to_bytes();
            Subaccount { key: sub, delegation: Delegation { token, signature } }
        });
        Self(Arc::new(Keys { key, account, subaccounts }))
    }

    pub(crate) fn account(&self) -> AccountAddress {
        self.0.account
    }

    pub(crate) fn token(&self, subaccount: usize) -> SubaccountToken {
        self.0.subaccounts[subaccount].delegation.token
    }

    /// Signed by the owner, or by a subaccount.
    fn auth(&self, by: Option<usize>, message: &[u8]) -> OwnerAuth {
        let ed25519_key = Some(HexKey(self.0.key.verifying_key().to_bytes()));
        let by = by.map(|number| &self.0.subaccounts[number]);
        let signature = by.map_or(&self.0.key, |by| &by.key).sign(message).to_bytes();
        OwnerAuth { signature, ed25519_key, subaccount: by.map(|by| by.delegation.clone()) }
    }

    pub(crate) fn signed_store(&self, by: Option<usize>, namespace: Namespace, timestamp: u64) -> TimedAuth {
        TimedAuth { auth: self.auth(by, &signed::store(namespace, timestamp)), timestamp }
    }

    /// A deposit into a box of its own.
    pub(crate) fn deposit(
        &self,
        by: Option<usize>,
        namespace: Namespace,
        (timestamp, expiry): (u64, u64),
        data: Vec<u8>,
    ) -> Record {
        let auth = (!namespace.anyone_may_store()).then(|| self.signed_store(by, namespace, timestamp));
        Record::new(StoreRequest { account: self.account(), namespace, timestamp, expiry, data, auth, work: None })
    }

    /// Reads everything.
    pub(crate) fn retrieve(&self, by: Option<usize>, namespace: Namespace, timestamp: u64) -> RetrieveRequest {
        let auth = Some(TimedAuth { auth: self.auth(by, &signed::retrieve(namespace, timestamp)), timestamp });
        let account = self.account();
        RetrieveRequest { account, namespace, last_hash: None, max_count: None, max_size: None, auth }
    }

    pub(crate) fn command(&self, action: Action) -> Command {
        let auth = self.auth(None, &signed::command(&action));
        Command { account: self.account(), action, auth }
    }

    /// A request about somebody else's mailbox, in that one's name.
    pub(crate) fn forged(&self, victim: &Self, action: Action) -> Vec<u8> {
        write(Command { account: victim.account(), ..self.command(action) })
    }
}

/// The same deposit with work done for it, over a block.
pub(crate) fn pay(record: &Record, effort: u32, block_hash: [u8; 32], start: [u8; 16]) -> Record {
    let deposit = record.deposit();
    let StoreRequest { account, namespace, timestamp, expiry, .. } = *deposit;
    let (hash, ttl) = (record.hash(), expiry - timestamp);
    let challenge = Challenge { account, namespace, hash, timestamp, ttl, effort, block_hash };
    let work = solve(&challenge, start, || true).map(|proof| challenge.to_wire(&proof));
    Record::new(StoreRequest { work, ..deposit.clone() })
}

/// The request as it travels.
pub(crate) fn write(command: Command) -> Vec<u8> {
    serde_json::to_vec(&Request::Single(Method::Command(command))).unwrap_or_default()
}

/// What has happened to one message, as far as its owner knows.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) namespace: Namespace,
    pub(crate) data: Vec<u8>,
    /// It was paid for.
    pub(crate) is_paid: bool,
    /// When it was stored last (ms).
    pub(crate) stored: u64,
    /// Until when it must be there; `None` if it must not.
    pub(crate) expiry: Option<u64>,
    /// Some reliable member has said that it has it.
    pub(crate) is_acknowledged: bool,
    /// Something about it was asked for of which nobody knows whether it was heard: members must agree, but may show either.
    pub(crate) is_uncertain: bool,
    /// Something was ordered about the time when it was stored or was to end: clocks differ, so that members may take it for
    /// the other way round.
    pub(crate) is_close: bool,
}

/// Things closer together than this may be taken for the other way round: clocks differ (ms).
pub(crate) const APART: u64 = 15_000;

/// Within this time every member hears of an order, whatever is in its way (ms).
const HEARD: u64 = 10 * 60 * 1_000;

/// Whether messages may last longer by an action.
const fn lengthens(action: &Action) -> bool {
    matches!(action, Action::Expire { mode: ExpiryMode::Set | ExpiryMode::Extend, .. })
}

/// What has been said of subaccounts, and when.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) action: Action,
    /// Somebody reliable has done it.
    pub(crate) is_done: bool,
}

/// Whether an order revokes `token` or lets it act again, and when that was said; `None` if it is about something else.
#[expect(clippy::wildcard_enum_match_arm, reason = "words on one subaccount are sought among all")]
pub(crate) fn word_on(action: &Action, token: &SubaccountToken) -> Option<(u64, bool)> {
    match action {
        Action::Revoke { tokens, timestamp } if tokens.contains(token) => Some((*timestamp, true)),
        Action::Unrevoke { tokens, timestamp } if tokens.contains(token) => Some((*timestamp, false)),
        _ => None,
    }
}

/// What the owner knows of its messages and subaccounts.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) words: Vec<Word>,
    pub(crate) messages: BTreeMap<MessageHash, Known>,
    /// When the last order about messages was given (ms).
    pub(crate) ordered: u64,
}

impl Model {
    /// Whether a subaccount is revoked: the last word counts. `None` if nobody knows whether that was heard, or if the
    /// contrary was said in the same moment.
    pub(crate) fn is_revoked(&self, token: &SubaccountToken) -> Option<bool> {
        let said = self.words.iter().filter_map(|word| Some((word_on(&word.action, token)?, word.is_done)));
        match said.max_by_key(|(word, _)| *word) {
            None => Some(false),
            Some(((_, is_revoked), is_done)) => (is_done && self.is_clear(token)).then_some(is_revoked),
        }
    }

    /// Whether the last word on a subaccount was not contradicted in the same moment.
    pub(crate) fn is_clear(&self, token: &SubaccountToken) -> bool {
        let said = || self.words.iter().filter_map(|word| word_on(&word.action, token));
        said().max().is_none_or(|(last, is_revoked)| {
            said().all(|(then, other)| other == is_revoked || then.abs_diff(last) >= SAME_MOMENT)
        })
    }

    /// Which messages an action is about.
    pub(crate) fn concerned(&self, action: &Action) -> Vec<MessageHash> {
        let in_scope = |scope: &Scope| {
            let inside = |known: &Known| *scope == Scope::All || *scope == Scope::One(known.namespace);
            self.messages.iter().filter(|(_, known)| inside(known)).map(|(hash, _)| *hash).collect()
        };
        match action {
            Action::Delete { messages, .. } | Action::Expire { messages, .. } => messages.clone(),
            Action::DeleteAll { scope, .. } | Action::DeleteBefore { scope, .. } | Action::ExpireAll { scope, .. } => {
                in_scope(scope)
            }
            Action::Revoke { .. } | Action::Unrevoke { .. } => Vec::new(),
        }
    }

    /// An order was given at `now`; somebody reliable has done it, or nobody is known to have.
    pub(crate) fn apply(&mut self, action: &Action, now: u64, is_done: bool) {
        if let Action::Revoke { .. } | Action::Unrevoke { .. } = action {
            let words = self.words.iter_mut().filter(|word| word.action == *action);
            words.for_each(|word| word.is_done |= is_done);
            return;
        }
        for hash in self.concerned(action) {
            let Some(known) = self.messages.get_mut(&hash) else { continue };
            let ends_now = known.expiry.is_some_and(|expiry| expiry.abs_diff(now) < APART);
            known.is_close |= known.stored + APART > now || ends_now;
            // Those who carried it out may not have had the message, and those who have it may hear of it only after its end.
            // What has ended may come back if its owner says that it is to last: somebody may have it still.
            let is_late = known.expiry.is_some_and(|expiry| expiry < now + HEARD) && lengthens(action);
            known.is_uncertain |= !is_done || is_late;
            known.expiry = match (known.expiry, action) {
                (None, _) | (_, Action::Delete { .. } | Action::DeleteAll { .. }) => None,
                (expiry, Action::DeleteBefore { before, .. }) => expiry.filter(|_| known.stored > *before),
                (Some(_), Action::Expire { expiry, mode: ExpiryMode::Set, .. }) => expiry.first().copied(),
                (Some(from), Action::Expire { expiry, mode: ExpiryMode::Extend, .. }) => {
                    expiry.first().map(|to| from.max(*to))
                }
                (Some(from), Action::Expire { expiry, mode: ExpiryMode::Shorten, .. }) => {
                    expiry.first().map(|to| from.min(*to))
                }
                (Some(from), Action::ExpireAll { expiry, .. }) => Some(from.min(*expiry)),
                (expiry, Action::Revoke { .. } | Action::Unrevoke { .. }) => expiry,
            };
        }
        self.ordered = now;
    }
}
