//! An account, and what its owner knows of its mailbox: a plain model of what members must show.

use ed25519_dalek::{Signer, SigningKey};
use skep_mailbox::Record;
use skep_proto::{
    account::AccountAddress,
    storage::{
        Action, Command, ExpiryMode, HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, Scope, StoreRequest,
        TimedAuth, signed,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Somebody with a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    key: Arc<SigningKey>,
    account: AccountAddress,
}

impl Owner {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let account = AccountAddress::from_x25519(key.verifying_key().to_montgomery().to_bytes());
        Self { key: Arc::new(key), account }
    }

    pub(crate) fn account(&self) -> AccountAddress {
        self.account
    }

    fn auth(&self, message: &[u8]) -> OwnerAuth {
        let ed25519_key = Some(HexKey(self.key.verifying_key().to_bytes()));
        OwnerAuth { signature: self.key.sign(message).to_bytes(), ed25519_key, subaccount: None }
    }

    pub(crate) fn signed_store(&self, namespace: Namespace, timestamp: u64) -> TimedAuth {
        TimedAuth { auth: self.auth(&signed::store(namespace, timestamp)), timestamp }
    }

    /// A deposit into a box of its own.
    pub(crate) fn deposit(&self, namespace: Namespace, timestamp: u64, expiry: u64, data: Vec<u8>) -> Record {
        let auth = (!namespace.anyone_may_store()).then(|| self.signed_store(namespace, timestamp));
        Record::new(StoreRequest { account: self.account, namespace, timestamp, expiry, data, auth, work: None })
    }

    pub(crate) fn command(&self, action: Action) -> Command {
        let auth = self.auth(&signed::command(&action));
        Command { account: self.account, action, auth }
    }

    /// A request about somebody else's mailbox, in that one's name.
    pub(crate) fn forged(&self, victim: &Self, action: Action) -> Vec<u8> {
        write(Command { account: victim.account, ..self.command(action) })
    }
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
    /// When it was stored last, and until when (ms).
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

/// What the owner knows of its messages.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) messages: BTreeMap<MessageHash, Known>,
    /// When the last order was given (ms).
    pub(crate) ordered: u64,
}

impl Model {
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
        for hash in self.concerned(action) {
            let Some(known) = self.messages.get_mut(&hash) else { continue };
            let ends_now = known.expiry.is_some_and(|expiry| expiry.abs_diff(now) < APART);
            known.is_close |= known.stored + APART > now || ends_now;
            // Those who carried it out may not have had the message, and those who have it may hear of it only after its end.
            let is_late = known.expiry.is_some_and(|expiry| expiry < now + HEARD) && lengthens(action);
            known.is_uncertain |= !is_done || is_late;
            known.expiry = match (known.expiry.filter(|expiry| *expiry > now), action) {
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
