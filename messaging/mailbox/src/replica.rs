//! What another member hands over: judged by what admitted it, not by when it arrives.
#![expect(clippy::wildcard_enum_match_arm, reason = "orders of one kind are sought among all")]

use crate::{
    Change, CommandRefusal, Order, Record, Store, StoreError,
    admission::judge_proofs,
    command::{give, judge_at},
    store::{STAMP_TOLERANCE, is_possible_stamp},
};
use skep_proto::storage::{
    Action, Command, Method, Request, SubaccountToken,
    limits::{MIN_TTL, max_ttl},
};

/// Why a replica is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaRefusal {
    /// No deposit with such times was ever admitted, or no order given then.
    #[error("the replica's times are impossible")]
    Times,
    /// It is an order that need no longer be kept.
    #[error("the replica has expired")]
    Expired,
    /// Its signature or work does not verify.
    #[error("what should have admitted the replica does not verify")]
    Proof,
}

/// Judges a message that another member hands over at `now` (ms): whether it was ever admitted. Whether its owner has
/// deleted it since, or it has expired, is for the store to say, which knows the orders.
pub fn admit_replica(record: Record, now: u64) -> Result<Record, ReplicaRefusal> {
    let deposit = record.deposit();
    let ttl = deposit.expiry.checked_sub(deposit.timestamp).ok_or(ReplicaRefusal::Times)?;
    let possible = (MIN_TTL..=max_ttl(deposit.namespace)).contains(&ttl) && is_possible_stamp(deposit.timestamp, now);
    if !possible {
        return Err(ReplicaRefusal::Times);
    }
    judge_proofs(&record, now).map_err(|()| ReplicaRefusal::Proof)?;
    Ok(record.handed_over())
}

/// What an order given at a time amounts to that another member hands over at `now` (ms), and the order to keep.
/// `kept` are those of [`token_orders`].
pub fn admit_order(
    command: &Command,
    request: Vec<u8>,
    at: u64,
    kept: &[Order],
    now: u64,
) -> Result<(Change, Order), ReplicaRefusal> {
    if !is_possible_stamp(at, now) {
        return Err(ReplicaRefusal::Times);
    }
    judge_at(command, at, STAMP_TOLERANCE, false).map_err(|refusal| match refusal {
        CommandRefusal::Signature(_) | CommandRefusal::ShortenWithoutDelete | CommandRefusal::TooMany => {
            ReplicaRefusal::Proof
        }
        CommandRefusal::Clock(_)
        | CommandRefusal::BeforeFuture
        | CommandRefusal::ExpiryPassed
        | CommandRefusal::LimitPassed => ReplicaRefusal::Times,
    })?;
    let (change, order) = give(command, request, at, kept).ok_or(ReplicaRefusal::Proof)?;
    if order.expiry() <= now {
        return Err(ReplicaRefusal::Expired);
    }
    Ok((change, order))
}

/// The orders kept of the account that may say otherwise of subaccounts than `command`: none if it is not about any.
pub fn token_orders(store: &dyn Store, command: &Command, now: u64) -> Result<Vec<Order>, StoreError> {
    match command.action {
        Action::Revoke { .. } | Action::Unrevoke { .. } => store.token_orders(&command.account, now),
        _ => Ok(Vec::new()),
    }
}

/// Words on subaccounts that were signed less than this apart (ms) were said in the same moment: not the times signed decide
/// between them, but which was given later, as on nodes that keep no order of words at all.
pub const SAME_MOMENT: u64 = 1_000;

/// When (ms) a member that takes `command` from a client at `clock` says that it was given: not before what it is about was
/// sent (`newest`, of [`Store::newest`]), and after other words on subaccounts of the same moment ([`token_orders`]).
pub fn stamp(command: &Command, clock: u64, newest: Option<u64>, kept: &[Order]) -> u64 {
    let at = clock.max(newest.unwrap_or(0));
    let Some(word) = Word::of(&command.action, at) else { return at };
    let others = kept.iter().filter(|order| {
        command_of(&order.request).is_some_and(|other| {
            Word::of(&other.action, order.at).is_some_and(|other| other.is_of_the_moment_of(&word))
        })
    });
    let last = others.map(|order| order.at.saturating_add(1)).max().unwrap_or(0);
    // Another member's clock may be ahead, but nobody believes stamps far from the time signed.
    at.max(last.min(clock.saturating_add(SAME_MOMENT)))
}

/// What somebody said of subaccounts.
struct Word<'a> {
    revokes: bool,
    tokens: &'a [SubaccountToken],
    /// As its owner signed it.
    said: u64,
    /// As the member stamped it that took it.
    given: u64,
}

impl<'a> Word<'a> {
    fn of(action: &'a Action, given: u64) -> Option<Self> {
        match action {
            Action::Revoke { tokens, timestamp } => Some(Self { revokes: true, tokens, said: *timestamp, given }),
            Action::Unrevoke { tokens, timestamp } => Some(Self { revokes: false, tokens, said: *timestamp, given }),
            _ => None,
        }
    }

    const fn is_of_the_moment_of(&self, other: &Self) -> bool {
        self.said.abs_diff(other.said) < SAME_MOMENT
    }

    /// Whether this word, which does not revoke, counts against one that does. Of two given in the same millisecond it does
    /// not: who revokes has a reason that cannot wait.
    const fn takes_back(&self, revoking: &Self) -> bool {
        if self.is_of_the_moment_of(revoking) { self.given > revoking.given } else { self.said > revoking.said }
    }
}

/// What is left of a change given at a time by what is `kept`. Of subaccounts, the later word counts, whichever is heard first.
pub(crate) fn as_heard(command: &Command, at: u64, change: Change, kept: &[Order]) -> Change {
    let Some(word) = Word::of(&command.action, at) else { return change };
    let actions: Vec<_> =
        kept.iter().filter_map(|order| Some((command_of(&order.request)?.action, order.at))).collect();
    let words: Vec<_> = actions.iter().filter_map(|(action, at)| Word::of(action, *at)).collect();
    let on = |token: SubaccountToken| words.iter().filter(move |word| word.tokens.contains(&token));
    let is_taken_back = |token: SubaccountToken, revoking: &Word<'_>| {
        on(token).any(|other| !other.revokes && other.takes_back(revoking))
    };
    match change {
        Change::Revoke { account, tokens, at, given } => {
            let tokens = tokens.into_iter().filter(|token| !is_taken_back(*token, &word)).collect();
            Change::Revoke { account, tokens, at, given }
        }
        Change::Unrevoke { account, tokens } => {
            let stays = |token: SubaccountToken| {
                let still = |other: &Word<'_>| other.revokes && !word.takes_back(other) && !is_taken_back(token, other);
                on(token).any(still)
            };
            let tokens = tokens.into_iter().filter(|token| !stays(*token)).collect();
            Change::Unrevoke { account, tokens }
        }
        change => change,
    }
}

/// The command in an order's request.
pub fn command_of(request: &[u8]) -> Option<Command> {
    match Request::parse(request) {
        Ok(Request::Single(Method::Command(command))) => Some(command),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
