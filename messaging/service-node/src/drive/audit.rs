//! Audits of other members' stores, and asking members what theirs found.

use super::{node::Node, now_ms};
use crate::core::{own_swarm, proof, read_report};
use futures::future::join_all;
use rand::{
    RngCore,
    seq::{IndexedRandom, SliceRandom},
};
use skep_chain_client::RosterView;
use skep_mailbox::{Fetched, ItemName, NameRange, Order, Record, Store, StoreError};
use skep_primitives::{RosterEntry, ServiceNodeId};
use skep_proto::{
    peer::{self, replica::Item, request::Request, response::Response},
    storage::limits::PEER_TIMEOUT,
};
use skep_reachability::{Audited, Report, storage_finding};
use skep_replication::stretches;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(PEER_TIMEOUT);
/// Into how many parts what is kept is cut, to begin at one of them.
const PARTS: usize = 64;
/// Messages looked at for one that is neither too new nor too old.
const CANDIDATES: usize = 64;

/// A message this node keeps and every member of its swarm should.
struct Choice {
    name: ItemName,
    record: Record,
    extension: Option<Order>,
}

/// Asks a member to show a message. None if there is nothing to ask for, or nothing follows from the answer.
pub(super) async fn audit(node: &Node, testee: &RosterEntry, settled: u64) -> Option<Audited> {
    let Choice { name, record, extension } = choose(node, settled).await?;
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let request = Request::Audit(peer::Audit { name: name.to_bytes().to_vec().into(), nonce: nonce.to_vec().into() });
    let Response::Shown(shown) = ask(node, testee, request).await? else { return None };
    if shown.proof.as_ref() == proof(&nonce, &name, &record) {
        return Some(Audited::Shown);
    }
    // It may have expired there, or its owner deleted it, while this node has not heard of that.
    let replica = peer::Replica {
        item: Some(Item::Message(record.to_wire())),
        extension: extension.map(|order| peer::Command { request: order.request.into(), at: order.at }),
    };
    let handed = Request::HandOver(peer::HandOver { replicas: vec![replica] });
    let Response::Taken(taken) = ask(node, testee, handed).await? else { return None };
    // What it refuses to take says nothing.
    (taken.statuses == [200]).then_some(Audited::Lacking)
}

async fn ask(node: &Node, member: &RosterEntry, request: Request) -> Option<Response> {
    let request = peer::Request { request: Some(request) };
    match node.peers.ask(member, &request, PATIENCE).await {
        Ok((answer, _lease)) => answer.response,
        Err(error) => {
            tracing::debug!(member = %member.id, %error, "a member was not audited");
            None
        }
    }
}

async fn choose(node: &Node, settled: u64) -> Option<Choice> {
    let view = node.view();
    let swarm = own_swarm(&view, &node.id)?;
    let ranges = stretches(swarm, view.swarm_ids());
    node.read_store(move |store| choose_from(store, &ranges, settled)).await.ok().flatten()
}

/// Some message that has been there for long and will be for long, if one is found soon.
fn choose_from(store: &dyn Store, ranges: &[NameRange], settled: u64) -> Result<Option<Choice>, StoreError> {
    let counts = ranges.iter().map(|range| Ok((*range, store.tally(range)?.count))).collect::<Result<Vec<_>, _>>()?;
    // Nothing is kept: every weight is zero.
    let Ok((range, _)) = counts.choose_weighted(&mut rand::rng(), |(_, count)| *count) else { return Ok(None) };
    let cuts = store.cuts(range, PARTS)?;
    let start = cuts.choose(&mut rand::rng()).copied().unwrap_or(range.from);
    let mut names = store.names(&NameRange { from: start, to: range.to }, CANDIDATES)?;
    names.extend(store.names(&NameRange { from: range.from, to: start }, CANDIDATES)?);
    names.shuffle(&mut rand::rng());
    let now = now_ms();
    for name in names {
        if let Some(Fetched::Message { record, extension }) = store.fetch(&name, now)? {
            let deposit = record.deposit();
            let is_old = deposit.timestamp.saturating_add(settled) <= now;
            let is_lasting = deposit.expiry > now.saturating_add(settled);
            if is_old && is_lasting {
                return Ok(Some(Choice { name, record, extension }));
            }
        }
    }
    Ok(None)
}

/// Whether a node keeps what it should, as the members of its swarm say, if they say enough.
pub(super) async fn ask_members(node: &Node, view: &RosterView, about: &RosterEntry) -> Option<bool> {
    if !about.swarm.is_assigned() {
        return None;
    }
    let others: Vec<_> = view.members(about.swarm).filter(|entry| entry.id != about.id).collect();
    let reports = join_all(others.iter().map(|member| report(node, member, about.id))).await;
    storage_finding(others.len(), &reports)
}

async fn report(node: &Node, member: &RosterEntry, about: ServiceNodeId) -> Report {
    if member.id == node.id {
        return node.testing.report(&about);
    }
    let request = Request::AuditsOf(peer::AuditsOf { node: about.0.to_vec().into() });
    match ask(node, member, request).await {
        Some(Response::AuditsTold(told)) => read_report(told.report),
        Some(_) | None => Report::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, stop};
    use skep_mailbox::Change;
    use skep_proto::{
        account::AccountAddress,
        storage::{Namespace, StoreRequest},
    };
    use std::time::Instant;

    const HOUR: u64 = 3_600_000;

    fn record(timestamp: u64) -> (ItemName, Record) {
        let deposit = StoreRequest {
            account: AccountAddress::from_x25519([1; 32]),
            namespace: Namespace::DEFAULT,
            timestamp,
            expiry: timestamp + 24 * HOUR,
            data: timestamp.to_be_bytes().to_vec(),
            auth: None,
            work: None,
        };
        let record = Record::new(deposit);
        let StoreRequest { account, namespace, timestamp, expiry, .. } = record.deposit();
        let times = (*timestamp, *expiry);
        (ItemName::message(account, *namespace, &record.hash(), times, record.standing()), record)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_keeps_a_message_shows_it_and_who_lost_it_gets_it_back() {
        let (nodes, entries, _views) = network(2).await;
        let (auditor, store, others) = (&nodes[0].node, &nodes[0].node.store, &nodes[1].node.store);
        let now = now_ms();
        let (_, new) = record(now);
        store.put(&[new], now).expect("put");
        assert_eq!(audit(auditor, &entries[1], HOUR / 2).await, None, "members need not be equal in it yet");

        let (name, old) = record(now - HOUR);
        let old = [old];
        store.put(&old, now).expect("put");
        others.put(&old, now).expect("put");
        assert_eq!(audit(auditor, &entries[1], HOUR / 2).await, Some(Audited::Shown));
        assert_eq!(audit(auditor, &entries[1], 48 * HOUR).await, None, "it ends too soon");

        // The members may be comparing just now, and make it good before it is noticed.
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            others.change(&Change::Forget { names: vec![name] }, None, now).expect("forgotten");
            if audit(auditor, &entries[1], HOUR / 2).await == Some(Audited::Lacking) {
                break;
            }
            assert!(Instant::now() < until, "the loss is not noticed");
        }
        assert_eq!(audit(auditor, &entries[1], HOUR / 2).await, Some(Audited::Shown), "it was handed over");
        stop(nodes).await;
    }
}
