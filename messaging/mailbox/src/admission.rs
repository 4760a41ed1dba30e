//! What may be stored and read (`protocol.md` section 4).

use crate::{Query, Record, WorkRefusal, owner::verify_owner, work};
use skep_proto::{
    account::AccountAddress,
    storage::{
        Access, MonitorRequest, Namespace, RetrieveRequest, StoreRequest, TimedAuth,
        limits::{MIN_TTL, SIGNATURE_TOLERANCE, SIGNATURE_TOLERANCE_FORWARDED, STORE_TOLERANCE, max_ttl},
        signed,
    },
};
use std::fmt;

/// The circumstances of a deposit.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    /// The node's clock (ms).
    pub(crate) now: u64,
    /// Who brings it.
    pub(crate) origin: Origin,
    /// The least effort of proofs of work.
    pub(crate) least_effort: u32,
    /// Whether a block is recent enough to do work over.
    pub(crate) is_recent_block: &'a dyn Fn(&[u8; 32]) -> bool,
}

/// A deposit whose times and work are right, but whose signature has not been looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weighed(Record);

impl Weighed {
    /// The record it would be.
    pub(crate) const fn record(&self) -> &Record {
        &self.0
    }
}

/// Who brings a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client,
    /// Another member of the swarm, which took it from a client a moment ago.
    Member,
}

impl Origin {
    pub(crate) const fn signature_tolerance(self) -> u64 {
        match self {
            Self::Client => SIGNATURE_TOLERANCE,
            Self::Member => SIGNATURE_TOLERANCE_FORWARDED,
        }
    }

    /// What passing on may take away from the tolerance a client had.
    const fn forwarding(self) -> u64 {
        self.signature_tolerance() - SIGNATURE_TOLERANCE
    }
}

/// Why a deposit is not taken. The text is what clients are told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// Too short or too long a life.
    #[error("Provided expiry/TTL is not valid.")]
    Lifetime,
    /// Sent in the future, or expired already.
    #[error("Timestamp error: check your clock")]
    Clock,
    /// The namespace is its owner's, and the deposit is unsigned.
    #[error("store: signature required to store to namespace {0}")]
    SignatureRequired(Namespace),
    /// Signed too long ago or in the future.
    #[error("store signature timestamp too far from current time")]
    SignatureClock,
    /// Not signed by the owner.
    #[error("store signature verification failed")]
    Signature,
    /// Its proof of work is not what this node asks for.
    #[error("store: {0}")]
    Work(#[source] WorkRefusal),
}

/// Why somebody may not read. The text is what clients are told; it begins with the method's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetrieveRefusal {
    /// Unsigned.
    #[error("{0}: request signature required")]
    SignatureRequired(&'static str),
    /// Signed too long ago or in the future.
    #[error("{0} timestamp too far from current time")]
    SignatureClock(&'static str),
    /// Not signed by the owner.
    #[error("{0} signature verification failed")]
    Signature(&'static str),
}

/// Judges what costs neither a read nor a signature: times, and the work where there is any.
pub(crate) fn weigh(deposit: StoreRequest, admission: &Admission<'_>) -> Result<Weighed, StoreRefusal> {
    let &Admission { now, origin, .. } = admission;
    let namespace = deposit.namespace;
    let ttl = deposit.expiry.checked_sub(deposit.timestamp).ok_or(StoreRefusal::Lifetime)?;
    if !(MIN_TTL..=max_ttl(namespace)).contains(&ttl) {
        return Err(StoreRefusal::Lifetime);
    }
    let tolerance = STORE_TOLERANCE + origin.forwarding();
    if deposit.timestamp > now.saturating_add(tolerance) || deposit.expiry < now.saturating_sub(tolerance) {
        return Err(StoreRefusal::Clock);
    }
    if !namespace.anyone_may_store() {
        let auth = deposit.auth.as_ref().ok_or(StoreRefusal::SignatureRequired(namespace))?;
        if auth.timestamp.abs_diff(now) > origin.signature_tolerance() {
            return Err(StoreRefusal::SignatureClock);
        }
    }
    let record = Record::new(deposit);
    work::judge(&record, admission).map_err(StoreRefusal::Work)?;
    Ok(Weighed(record))
}

/// Judges the owner's signature, where the namespace needs one. `is_revoked` tells of the subaccount that signs, if any.
pub(crate) fn authorize(Weighed(record): Weighed, is_revoked: bool) -> Result<Record, StoreRefusal> {
    let deposit = record.deposit();
    let namespace = deposit.namespace;
    if !namespace.anyone_may_store() {
        let auth = deposit.auth.as_ref().ok_or(StoreRefusal::SignatureRequired(namespace))?;
        let message = signed::store(namespace, auth.timestamp);
        if is_revoked || verify_owner(&deposit.account, &auth.auth, write_access(namespace), &message).is_err() {
            return Err(StoreRefusal::Signature);
        }
    }
    Ok(record)
}

/// Whether what admitted `record` once verifies, whenever that was: the owner's signature where the namespace needs one,
/// and the work it carries, as known at `now` (ms).
pub(crate) fn judge_proofs(record: &Record, now: u64) -> Result<(), ()> {
    let deposit = record.deposit();
    let namespace = deposit.namespace;
    if !namespace.anyone_may_store() {
        let TimedAuth { auth, timestamp } = deposit.auth.as_ref().ok_or(())?;
        let message = signed::store(namespace, *timestamp);
        verify_owner(&deposit.account, auth, write_access(namespace), &message).map_err(|_| ())?;
    }
    work::judge_replica(record, now).map_err(|_| ())
}

/// The rights a subaccount needs to store. What is stored in an outbox replaces what was there.
fn write_access(namespace: Namespace) -> Access {
    if namespace.is_public_outbox() { Access::WRITE | Access::DELETE } else { Access::WRITE }
}

/// Judges a request to read; `is_revoked` tells of the subaccount that signs, if any.
pub fn may_retrieve(request: &RetrieveRequest, now: u64, is_revoked: bool) -> Result<Query, RetrieveRefusal> {
    let RetrieveRequest { account, namespace, last_hash, ref auth, .. } = *request;
    may_read("retrieve", (account, namespace), auth.as_ref(), signed::retrieve, now, is_revoked)?;
    Ok(Query { account, namespace, after: last_hash, window: request.window() })
}

/// Judges a request to have new messages pushed: who may read may. `is_revoked` tells of the subaccount that signs, if any.
pub fn may_monitor(request: &MonitorRequest, now: u64, is_revoked: bool) -> Result<(), RetrieveRefusal> {
    let MonitorRequest { account, namespace, ref auth } = *request;
    may_read("monitor", (account, namespace), auth.as_ref(), signed::monitor, now, is_revoked)
}

fn may_read(
    name: &'static str,
    (account, namespace): (AccountAddress, Namespace),
    auth: Option<&TimedAuth>,
    message: fn(Namespace, u64) -> Vec<u8>,
    now: u64,
    is_revoked: bool,
) -> Result<(), RetrieveRefusal> {
    match auth {
        None if namespace.anyone_may_read() => Ok(()),
        None => Err(RetrieveRefusal::SignatureRequired(name)),
        Some(TimedAuth { timestamp, .. }) if timestamp.abs_diff(now) > SIGNATURE_TOLERANCE => {
            Err(RetrieveRefusal::SignatureClock(name))
        }
        Some(auth) => {
            let message = message(namespace, auth.timestamp);
            let is_revoked = is_revoked && !namespace.outlives_revocation();
            if is_revoked || verify_owner(&account, &auth.auth, Access::READ, &message).is_err() {
                return Err(RetrieveRefusal::Signature(name));
            }
            Ok(())
        }
    }
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("now", &self.now).field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
