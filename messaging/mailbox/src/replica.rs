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
use std::collections::HashMap;

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
/// `kept` is what [`words`] says.
pub fn admit_order(
    command: &Command,
    request: Vec<u8>,
    at: u64,
    kept: &[Word],
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

/// What is kept of the account's words on subaccounts that may say otherwise than `command`: nothing if it is about none.
/// Reads and parses all of them, up to megabytes: not for a thread that serves others meanwhile.
pub fn words(store: &dyn Store, command: &Command, now: u64) -> Result<Vec<Word>, StoreError> {
    match command.action {
        Action::Revoke { .. } | Action::Unrevoke { .. } => {
            let orders = store.token_orders(&command.account, now)?;
            Ok(orders.iter().filter_map(|order| Word::of(command_of(&order.request)?.action, order.at)).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Words on subaccounts that were signed less than this apart (ms) were said in the same moment: not the times signed decide
/// between them, but which was given later, as on nodes that keep no order of words at all.
pub const SAME_MOMENT: u64 = 1_000;

/// When (ms) a member that takes `command` from a client at `clock` says that it was given: not before what it is about was
/// sent (`newest`, of [`Store::newest`]), and after other words on subaccounts of the same moment ([`words`]).
pub fn stamp(command: &Command, clock: u64, newest: Option<u64>, kept: &[Word]) -> u64 {
    let at = clock.max(newest.unwrap_or(0));
    let (Action::Revoke { timestamp, .. } | Action::Unrevoke { timestamp, .. }) = command.action else { return at };
    let others = kept.iter().filter(|word| word.time.said.abs_diff(timestamp) < SAME_MOMENT);
    let last = others.map(|word| word.time.given.saturating_add(1)).max().unwrap_or(0);
    // Another member's clock may be ahead, but nobody believes stamps far from the time signed.
    at.max(last.min(clock.saturating_add(SAME_MOMENT)))
}

/// What somebody said of subaccounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    revokes: bool,
    tokens: Vec<SubaccountToken>,
    time: Time,
}

/// When a word was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    /// As its owner signed it.
    said: u64,
    /// As the member stamped it that took it.
    given: u64,
}

impl Word {
    fn of(action: Action, given: u64) -> Option<Self> {
        match action {
            Action::Revoke { tokens, timestamp: said } => {
                Some(Self { revokes: true, tokens, time: Time { said, given } })
            }
            Action::Unrevoke { tokens, timestamp: said } => {
                Some(Self { revokes: false, tokens, time: Time { said, given } })
            }
            _ => None,
        }
    }
}

impl Time {
    /// Whether a word of this time, which does not revoke, counts against one that does. Of two given in the same millisecond
    /// it does not: who revokes has a reason that cannot wait.
    const fn takes_back(self, revoking: Self) -> bool {
        let same_moment = self.said.abs_diff(revoking.said) < SAME_MOMENT;
        if same_moment { self.given > revoking.given } else { self.said > revoking.said }
    }
}

/// What is kept of the words on one subaccount.
#[derive(Default)]
struct Said {
    revoking: Vec<Time>,
    /// In the order in which they were signed; each with the latest stamp of it and of those after it.
    taking_back: Vec<Time>,
}

impl Said {
    /// The words on each of `tokens`, which are looked through once, however many name the same.
    fn of(tokens: &[SubaccountToken], kept: &[Word]) -> HashMap<SubaccountToken, Self> {
        let mut said: HashMap<_, Self> = tokens.iter().map(|token| (*token, Self::default())).collect();
        for word in kept {
            for token in &word.tokens {
                if let Some(said) = said.get_mut(token) {
                    let times = if word.revokes { &mut said.revoking } else { &mut said.taking_back };
                    times.push(word.time);
                }
            }
        }
        for said in said.values_mut() {
            said.taking_back.sort_unstable_by_key(|time| time.said);
            let mut latest = 0;
            for time in said.taking_back.iter_mut().rev() {
                latest = time.given.max(latest);
                time.given = latest;
            }
        }
        said
    }

    /// Whether any word takes back one that revokes ([`Time::takes_back`]).
    fn takes_back(&self, revoking: Time) -> bool {
        let since = revoking.said.saturating_sub(SAME_MOMENT - 1);
        let first = self.taking_back.partition_point(|time| time.said < since);
        let later = |last: &Time| last.said.checked_sub(revoking.said).is_some_and(|ahead| ahead >= SAME_MOMENT);
        // Where none was signed later, all from there on are of the same moment.
        self.taking_back.last().is_some_and(later)
            || self.taking_back.get(first).is_some_and(|time| time.given > revoking.given)
    }
}

/// What is left of a change given at a time by what is `kept`. Of subaccounts, the later word counts, whichever is heard first.
pub(crate) fn as_heard(command: &Command, at: u64, change: Change, kept: &[Word]) -> Change {
    let (Action::Revoke { tokens, timestamp } | Action::Unrevoke { tokens, timestamp }) = &command.action else {
        return change;
    };
    let (time, others) = (Time { said: *timestamp, given: at }, Said::of(tokens, kept));
    match change {
        Change::Revoke { account, mut tokens, at, given } => {
            tokens.retain(|token| others.get(token).is_none_or(|said| !said.takes_back(time)));
            Change::Revoke { account, tokens, at, given }
        }
        Change::Unrevoke { account, mut tokens } => {
            let stays =
                |said: &Said| said.revoking.iter().any(|other| !time.takes_back(*other) && !said.takes_back(*other));
            tokens.retain(|token| !others.get(token).is_some_and(stays));
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
