//! Whom owners let act for them, and whom no longer.

use super::{BOXES, World};
use crate::{
    Violation,
    owner::{SUBACCOUNTS, word_on},
};
use rand::{Rng, seq::IteratorRandom};
use skep_mailbox::{Origin, SAME_MOMENT, Store};
use skep_proto::storage::Action;
use std::collections::BTreeMap;

impl World {
    pub(super) fn any_subaccount(&mut self) -> usize {
        self.rng.random_range(0..SUBACCOUNTS)
    }

    /// Revokes subaccounts, or lets them act again; often both at once, so that the one overtakes the other, and the first
    /// of both again.
    pub(super) fn speak_of_subaccounts(&mut self, owner: usize) {
        let number = self.rng.random_range(1..=2);
        let some = (0..SUBACCOUNTS).choose_multiple(&mut self.rng, number);
        let tokens: Vec<_> = some.into_iter().map(|number| self.owners[owner].token(number)).collect();
        let revokes_first = self.rng.random_bool(0.5);
        let words = if self.rng.random_bool(0.4) { self.rng.random_range(2..=3) } else { 1 };
        let apart = if self.rng.random_bool(0.5) { 1 } else { SAME_MOMENT };
        for word in 0..words {
            let is_second = word == 1;
            let (tokens, timestamp) = (tokens.clone(), self.now + if is_second { apart } else { 0 });
            let action = match revokes_first != is_second {
                true => Action::Revoke { tokens, timestamp },
                false => Action::Unrevoke { tokens, timestamp },
            };
            self.order(owner, action);
        }
    }

    /// Whether anybody was ever told that this subaccount is revoked.
    pub(super) fn may_be_revoked(&self, owner: usize, subaccount: usize) -> bool {
        let token = self.owners[owner].token(subaccount);
        let words = self.models[owner].words.iter().filter_map(|word| word_on(&word.action, &token));
        words.into_iter().any(|(_, revokes)| revokes)
    }

    /// A subaccount asks a member for what it may, or may no longer.
    pub(super) fn ask_as_subaccount(&mut self, owner: usize) -> Result<(), Violation> {
        let Some(node) = self.door(owner) else { return Ok(()) };
        let (account, subaccount) = (self.owners[owner].account(), self.any_subaccount());
        if !self.members[node].is_honest() || self.members[node].peers(&account).is_none() {
            return Ok(());
        }
        let token = self.owners[owner].token(subaccount);
        if !self.models[owner].is_clear(&token) {
            return Ok(());
        }
        let on_disk = self.done.get(&node).into_iter().flatten().filter_map(|(signature, _)| self.given.get(signature));
        let heard = on_disk.filter_map(|(_, action)| word_on(action, &token)).max();
        let last = self.models[owner].words.iter().filter_map(|word| word_on(&word.action, &token)).max();
        match (heard, last) {
            // What is the last word has been heard here.
            (Some((_, true)), _) if heard == last => self.probe(node, owner, subaccount, true),
            (Some((_, false)), _) if heard == last => self.probe(node, owner, subaccount, false),
            _ if !self.may_be_revoked(owner, subaccount) => self.probe(node, owner, subaccount, false),
            _ => Ok(()),
        }
    }

    /// What a member lets a subaccount do is what it should.
    fn probe(&mut self, node: usize, owner: usize, subaccount: usize, is_revoked: bool) -> Result<(), Violation> {
        self.stats.probes += 1;
        let (who, now) = (&self.owners[owner], self.now);
        let (by, private) = (Some(subaccount), BOXES[1]);
        let deposit = who.deposit(by, private, (now, now + 3_600_000), b"probe".to_vec()).deposit().clone();
        let stores = self.members[node].admit(deposit, Origin::Client, now, u32::MAX).is_ok();
        let reads = self.members[node].lets_read(&who.retrieve(by, private, now), now);
        if stores == is_revoked || reads == is_revoked {
            let what =
                format!("subaccount {subaccount} of {owner}: revoked {is_revoked}, stores {stores}, reads {reads}");
            return Err(Violation::new(format!("node {node} and {what}; {:?}", self.models[owner].words)));
        }
        Ok(())
    }

    /// In the end all members say the same of subaccounts, and what the owner said last if that was heard.
    pub(super) fn check_subaccounts(&mut self, owner: usize) -> Result<(), Violation> {
        let account = self.owners[owner].account();
        let Some(swarm) = self.roster.swarm_of(&account) else { return Ok(()) };
        let members: Vec<_> = self.roster.members(swarm).map(|id| self.index[&id]).collect();
        // Also those with full disks: an owner's word is never refused.
        let honest: Vec<_> = members.into_iter().filter(|node| self.members[*node].is_honest()).collect();
        for subaccount in 0..SUBACCOUNTS {
            let token = self.owners[owner].token(subaccount);
            let revoked =
                |node: &usize| self.members[*node].disk.revoked(&account).unwrap_or_default().contains(&token);
            let all: BTreeMap<_, _> = honest.iter().map(|node| (*node, revoked(node))).collect();
            let expected = self.models[owner].is_revoked(&token);
            let words = || &self.models[owner].words;
            if all.values().any(|one| all.values().any(|other| one != other)) {
                return Err(Violation::new(format!(
                    "members disagree about subaccount {subaccount}: {all:?}; {:?}",
                    words()
                )));
            }
            let Some(expected) = expected else { continue };
            for node in &honest {
                self.probe(*node, owner, subaccount, expected)?;
            }
        }
        Ok(())
    }
}
