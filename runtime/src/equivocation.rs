//! What follows a proven equivocation: the service node whose key the producer is known by is deregistered, and the
//! producer is disabled until the authority set changes.
//!
//! BABE then refuses its blocks. GRANDPA goes on to count its votes, since a set must not shrink below what finality
//! needs; for the same reason at most a third of the set is disabled. Genesis producers stand behind no service node: they
//! are disabled only. Who is to blame is who held the session's keys when it was done, as the proof of ownership says. Nobody is
//! punished twice for one session: who is disabled is let back with the next set, and the same report would do it again.

use crate::{AccountId, Authorities, Obligations, Runtime, Session, UncheckedExtrinsic};
use alloc::vec::Vec;
use frame_support::traits::DisabledValidators;
use pallet_session::disabling::{DisablingStrategy, UpToLimitDisablingStrategy};
use skep_primitives::ServiceNodeId;
use sp_staking::offence::{Offence, OffenceError, OffenceSeverity, ReportOffence};

/// A producer as equivocation proofs identify it.
type Offender = (AccountId, ());

/// How many may be disabled: a third of the set.
pub type DisableUpToAThird = UpToLimitDisablingStrategy<3>;

/// Takes proven equivocations.
pub struct PunishProducer;

/// The service node a producer stands for: its id is the node's key.
fn node_of(producer: &AccountId) -> ServiceNodeId {
    ServiceNodeId(producer.clone().into())
}

impl PunishProducer {
    /// Whether a report of `producer` would change anything.
    fn would_punish(producer: &AccountId) -> bool {
        Obligations::accountable(node_of(producer)).is_some() || Self::would_disable(producer)
    }

    fn would_disable(producer: &AccountId) -> bool {
        let Some(index) = Session::validator_id_to_index(producer) else { return false };
        let disabled = pallet_session::DisabledValidators::<Runtime>::get();
        let severity = OffenceSeverity::max_severity();
        let decision = <DisableUpToAThird as DisablingStrategy<Runtime>>::decision(producer, severity, &disabled);
        !Session::is_disabled(index) && decision.disable.is_some()
    }
}

impl<O: Offence<Offender>> ReportOffence<AccountId, Offender, O> for PunishProducer {
    fn report_offence(_: Vec<AccountId>, offence: O) -> Result<(), OffenceError> {
        let session = offence.session_index();
        let is_new = |producer: &AccountId| !Authorities::was_punished(session, producer);
        let producers = offence.offenders().into_iter().map(|(producer, ())| producer);
        let offenders: Vec<_> = producers.filter(|who| is_new(who) && Self::would_punish(who)).collect();
        // A report that changes nothing is no service to the chain: it fails, and so its sender pays for it.
        if offenders.is_empty() {
            return Err(OffenceError::DuplicateReport);
        }
        for producer in offenders {
            Authorities::note_punished(session, &producer);
            Obligations::equivocated(node_of(&producer));
            Session::report_offence(producer, OffenceSeverity::max_severity());
        }
        Ok(())
    }

    /// Of what session it is nobody says here: a report of one that was punished for is refused when it is carried out. Without a
    /// signature such a report costs nobody anything, but only who makes blocks can bring it in.
    fn is_known_offence(offenders: &[Offender], _: &O::Slot) -> bool {
        !offenders.iter().any(|(producer, ())| Self::would_punish(producer))
    }
}

impl<C> frame_system::offchain::CreateTransactionBase<C> for Runtime
where
    crate::RuntimeCall: From<C>,
{
    type Extrinsic = UncheckedExtrinsic;
    type RuntimeCall = crate::RuntimeCall;
}

impl<C> frame_system::offchain::CreateBare<C> for Runtime
where
    crate::RuntimeCall: From<C>,
{
    fn create_bare(call: crate::RuntimeCall) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_bare(call)
    }
}
