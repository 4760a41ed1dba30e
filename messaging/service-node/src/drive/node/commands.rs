//! What owners order to be done with their mailboxes, and what they ask about them.

use super::Node;
use crate::{
    core::{Reply, effect, refuse_command},
    drive::now_ms,
};
use skep_mailbox::{
    Change, Order, Origin, Store, give, judge_command, may_ask_expiries, may_ask_revoked, stamp, words,
};
use skep_proto::{
    peer::{self, request::Request as PeerRequest},
    storage::{
        Action, Command, CommandDone, CommandEffect, CommandResponse, ExpiriesRequest, ExpiriesResponse, MemberFailure,
        MemberResult, Method, PROTOCOL_GENERATION, Request, RevokedRequest, RevokedResponse, signed,
    },
};
use skep_replication::{read_done, swarm_status};

/// What one message takes of one member's answer: its hash and when it expires, as they are and in JSON.
pub(super) const TOLD_OF_EACH: usize = 128;

impl Node {
    /// What one member's answer to an order takes, as far as can be told from what is here: as much as the messages that it
    /// names, or all of the account where it names none.
    pub(super) async fn told_of(&self, command: &Command) -> Result<usize, Reply> {
        /// A few kilobytes at each member are not counted, as those of a store are not.
        const FEW: usize = 64;
        let most = match &command.action {
            Action::Delete { messages, .. } | Action::Expire { messages, .. } => messages.len(),
            Action::DeleteAll { .. } | Action::DeleteBefore { .. } | Action::ExpireAll { .. } => usize::MAX,
            Action::Revoke { .. } | Action::Unrevoke { .. } => 0,
        };
        if most <= FEW {
            return Ok(0);
        }
        let account = command.account;
        let mail = self.read_store(move |store| store.allowance(&account)).await?.mailbox;
        let kept = mail.proven.messages.saturating_add(mail.unproven.messages);
        Ok(usize::try_from(kept).unwrap_or(usize::MAX).min(most).saturating_mul(TOLD_OF_EACH))
    }

    /// Takes an order from a client, passes it on to the swarm, and tells who has done it.
    pub(super) async fn command(&self, command: Command) -> Result<Reply, Reply> {
        let view = self.view();
        let peers = self.members(&view, &command.account)?;
        let change = self.judge(&command, Origin::Client).await?;
        let request = Request::Single(Method::Command(command.clone()));
        let request = serde_json::to_vec(&request).map_err(|_| Reply::text(500, "request failed"))?;
        // What it is about may have timestamps ahead of the clock here.
        let (asked, written) = (command.clone(), request.clone());
        let given = move |store: &dyn Store| {
            let now = now_ms();
            let (newest, kept) = (store.newest(&change, now)?, words(store, &asked, now)?);
            Ok(give(&asked, written, stamp(&asked, now_ms(), newest, &kept), &kept))
        };
        let Some((change, order)) = self.read_store(given).await? else {
            return Err(Reply::text(500, "request failed"));
        };
        let wire = PeerRequest::Command(peer::Command { request: request.into(), at: order.at });
        let read = |peer: &_, answer| read_done(peer, &command, answer);
        // What the members' answers take is given back once they are written down.
        let (swarm, _leases) = self.ask_swarm(peers, wire, self.carry_out(&command, change, order), read).await;
        let found_some = swarm.values().any(|result| match result {
            MemberResult::Done(CommandDone { effect: CommandEffect::Deleted { deleted }, .. }) => !deleted.is_empty(),
            MemberResult::Done(_) | MemberResult::Failed(_) => false,
        });
        let status = match (swarm_status(&swarm), &command.action) {
            (200, Action::Delete { required: true, .. }) if !found_some => 404,
            (status, _) => status,
        };
        Ok(Reply::json(status, &CommandResponse { swarm, t: now_ms(), hf: PROTOCOL_GENERATION }))
    }

    /// What an order amounts to, if it may be given.
    pub(super) async fn judge(&self, command: &Command, origin: Origin) -> Result<Change, Reply> {
        let is_revoked = self.is_revoked(&command.account, Some(&command.auth)).await?;
        judge_command(command, origin, now_ms(), is_revoked).map_err(|refusal| refuse_command(&refusal))
    }

    /// Does what an order amounts to, and signs for it. Returns once that is on disk.
    pub(super) async fn carry_out(
        &self,
        command: &Command,
        change: Change,
        order: Order,
    ) -> Result<CommandDone, MemberFailure> {
        let applied = if let Change::SetExpiry { expiry, .. } = &change { expiry.first().copied() } else { None };
        let effect = effect(&command.action, applied, self.change(change, Some(order)).await?)?;
        match signed::done(&command.account, &command.action, &effect) {
            Some(text) => Ok(CommandDone { effect, signature: self.key.sign(&text) }),
            None => Err(MemberFailure::NotStored { reason: None }),
        }
    }

    /// Tells when messages expire.
    pub(super) async fn expiries(&self, request: ExpiriesRequest) -> Result<Reply, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        let is_revoked = self.is_revoked(&request.account, Some(&request.auth.auth)).await?;
        may_ask_expiries(&request, now, is_revoked).map_err(|refusal| refuse_command(&refusal))?;
        let ExpiriesRequest { account, messages, .. } = request;
        let expiries = self.read_store(move |store| store.expiries(&account, &messages, now)).await?;
        let expiries = expiries.into_iter().collect();
        Ok(Reply::json(200, &ExpiriesResponse { expiries }))
    }

    /// Tells which subaccounts are revoked.
    pub(super) async fn revoked(&self, request: RevokedRequest) -> Result<Reply, Reply> {
        let now = now_ms();
        self.members(&self.view(), &request.account)?;
        may_ask_revoked(&request, now).map_err(|refusal| refuse_command(&refusal))?;
        let revoked = self.read_store(move |store| store.revoked(&request.account)).await?;
        let revoked_subaccounts = revoked.clone();
        Ok(Reply::json(200, &RevokedResponse { revoked, revoked_subaccounts, t: now, hf: PROTOCOL_GENERATION }))
    }
}
