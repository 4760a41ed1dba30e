//! What must hold in the end.

use super::{SKEW, World};
use crate::{Violation, member::Member, owner::Known};
use skep_mailbox::{Standing, Store};
use skep_proto::storage::{Action, MessageHash, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// Whether an order removes a message stored before it was given.
pub(super) fn deletes(action: &Action, hash: &MessageHash, known: &Known) -> bool {
    let in_scope = |scope: &Scope| *scope == Scope::All || *scope == Scope::One(known.namespace);
    match action {
        Action::Delete { messages, .. } => messages.contains(hash),
        Action::DeleteAll { scope, .. } => in_scope(scope),
        Action::DeleteBefore { scope, before } => in_scope(scope) && known.stored <= *before,
        Action::Expire { .. } | Action::ExpireAll { .. } | Action::Revoke { .. } | Action::Unrevoke { .. } => false,
    }
}

impl World {
    pub(super) fn check_all(&mut self) -> Result<(), Violation> {
        for (node, member) in self.members.iter().enumerate().filter(|(_, member)| member.is_reliable()) {
            let paid = member.turned_away.iter().find(|(_, standing)| **standing == Standing::Proven);
            if let Some((hash, _)) = paid {
                return Err(Violation::new(format!("node {node} had no room for {hash}, which was paid for")));
            }
        }
        for number in 0..self.owners.len() {
            self.check_subaccounts(number)?;
        }
        for (owner, model) in self.owners.iter().zip(&self.models) {
            let account = owner.account();
            let Some(swarm) = self.roster.swarm_of(&account) else { continue };
            let members: Vec<_> = self.roster.members(swarm).map(|id| self.index[&id]).collect();
            let reliable: Vec<_> = members.into_iter().filter(|node| self.members[*node].is_reliable()).collect();
            for (hash, known) in &model.messages {
                // Each member has its own room for mail that nobody paid for.
                let had_no_room = |member: &Member| member.is_reliable() && member.turned_away.contains_key(hash);
                if known.is_close || self.members.iter().any(had_no_room) {
                    continue;
                }
                let shown = |node: &usize| {
                    let clock = self.members[*node].clock(self.now);
                    let found = self.members[*node].disk.expiries(&account, &[*hash], clock).unwrap_or_default();
                    found.first().map(|(_, expiry)| *expiry)
                };
                let shown: BTreeMap<_, _> = reliable.iter().map(|node| (*node, shown(node))).collect();
                // Clocks differ: what ends now has ended for some.
                let ends_now = |expiry: &u64| expiry.abs_diff(self.now) <= 2 * SKEW.unsigned_abs();
                if shown.values().flatten().chain(&known.expiry).any(ends_now) {
                    continue;
                }
                let all: BTreeSet<_> = shown.values().collect();
                if all.len() > 1 {
                    return Err(Violation::new(format!("members disagree about {hash}: {shown:?}; {known:?}")));
                }
                let expected = known.expiry.filter(|expiry| *expiry > self.now);
                let is_certain = known.is_acknowledged && !known.is_uncertain;
                if is_certain && all.iter().any(|shown| **shown != expected) {
                    return Err(Violation::new(format!("{hash} is to last until {expected:?}: {shown:?}; {known:?}")));
                }
                self.stats.checked += u64::from(is_certain);
            }
        }
        Ok(())
    }
}
