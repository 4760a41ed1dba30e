//! Whether the proof of work a deposit carries is work for this very message (`protocol.md` section 8).

use crate::{Admission, Record, deposits::pays_until, store::STAMP_TOLERANCE};
use skep_proto::storage::StoreRequest;
use skep_work::{Challenge, FLOOR, Proof, WorkError, verify};

/// The attached work is not what this node asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkRefusal {
    /// It was done for another time or a shorter life.
    #[error("the proof of work was done for another timestamp or a shorter life")]
    OtherDeposit,
    /// Too little.
    #[error("the proof of work shows less effort than this node asks for")]
    TooLittle,
    /// Its block is unknown or too old.
    #[error("the proof of work was not done over one of the chain's recent blocks")]
    Block,
    /// It has been spent on this message already, which is gone since.
    #[error("the proof of work has been spent")]
    Spent,
    /// There is none, and the node or the mailbox has no room for mail nobody paid for.
    #[error("this node takes only messages with a proof of work at the moment")]
    Demanded,
    /// It proves nothing.
    #[error(transparent)]
    Invalid(#[from] WorkError),
}

/// Judges the record's work, if it carries any.
pub(crate) fn judge(record: &Record, admission: &Admission<'_>) -> Result<(), WorkRefusal> {
    let Some((challenge, proof)) = read(record)? else { return Ok(()) };
    let StoreRequest { timestamp, expiry, .. } = *record.deposit();
    if challenge.timestamp != timestamp || challenge.timestamp.saturating_add(challenge.ttl) < expiry {
        return Err(WorkRefusal::OtherDeposit);
    }
    if challenge.effort < admission.least_effort {
        return Err(WorkRefusal::TooLittle);
    }
    if !(admission.is_recent_block)(&challenge.block_hash) {
        return Err(WorkRefusal::Block);
    }
    Ok(verify(&challenge, &proof)?)
}

/// Judges the work of a record that was admitted some time ago: by the lowest floor there ever was, since what was asked
/// for then may have been less than now. Its block is not judged again: a member that came since cannot know it, and it only
/// kept the work from being hoarded (decision 16). It may have been done for another deposit of the message (decision 36).
pub(crate) fn judge_replica(record: &Record, now: u64) -> Result<(), WorkRefusal> {
    let Some((challenge, proof)) = read(record)? else { return Ok(()) };
    let StoreRequest { namespace, timestamp, work, .. } = record.deposit();
    let pays = work.as_ref().is_some_and(|work| *timestamp <= pays_until(work, *namespace));
    if !pays || challenge.timestamp > now.saturating_add(STAMP_TOLERANCE) {
        return Err(WorkRefusal::OtherDeposit);
    }
    if challenge.effort < FLOOR {
        return Err(WorkRefusal::TooLittle);
    }
    Ok(verify(&challenge, &proof)?)
}

/// The record's work, if it carries any, done for this very message.
fn read(record: &Record) -> Result<Option<(Challenge, Proof)>, WorkRefusal> {
    let deposit = record.deposit();
    let Some(work) = &deposit.work else { return Ok(None) };
    Ok(Some(Challenge::from_wire(deposit.account, deposit.namespace, record.hash(), work)?))
}
