//! Signed calls of those who govern.

use crate::{Included, SubmitError, Submitter, Wait};
use skep_primitives::{Motion, ProposalId};
use subxt::dynamic::{Value, transaction};

/// The runtime's name for the pallet in which operators decide.
const GOVERNANCE: &str = "Governance";

impl Submitter {
    /// Proposes something and approves of it; a deposit is held until the proposal is gone.
    pub async fn propose(&self, motion: &Motion, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&transaction(GOVERNANCE, "propose", (motion_value(motion),)), wait).await
    }

    /// Approves of a proposal, if it is this motion.
    pub async fn approve(&self, id: ProposalId, motion: &Motion, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&transaction(GOVERNANCE, "approve", named(id, motion)), wait).await
    }

    /// Takes an approval back, if the proposal is this motion.
    pub async fn withdraw_approval(
        &self,
        id: ProposalId,
        motion: &Motion,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        self.submit(&transaction(GOVERNANCE, "withdraw_approval", named(id, motion)), wait).await
    }

    /// Puts a carried proposal in force.
    pub async fn enact(&self, proposal: ProposalId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit_about("enact", proposal, wait).await
    }

    /// Gives up an own proposal, or clears away one that expired.
    pub async fn close(&self, proposal: ProposalId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit_about("close", proposal, wait).await
    }

    /// Puts an authorized runtime in force: its Wasm, compressed as it was built.
    pub async fn apply_upgrade(&self, code: &[u8], wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&transaction("System", "apply_authorized_upgrade", (Value::from_bytes(code),)), wait).await
    }

    async fn submit_about(&self, call: &str, proposal: ProposalId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&transaction(GOVERNANCE, call, (Value::u128(proposal.into()),)), wait).await
    }
}

/// A proposal by its number and what it must be.
fn named(id: ProposalId, motion: &Motion) -> (Value, Value) {
    (Value::u128(id.into()), motion_value(motion))
}

fn motion_value(motion: &Motion) -> Value {
    match motion {
        Motion::Upgrade { code_hash } => Value::named_variant("Upgrade", [("code_hash", Value::from_bytes(code_hash))]),
        Motion::Spend { beneficiary, amount } => Value::named_variant(
            "Spend",
            [("beneficiary", Value::from_bytes(beneficiary)), ("amount", Value::u128(*amount))],
        ),
        Motion::WorkFloor { effort } => Value::named_variant("WorkFloor", [("effort", Value::u128((*effort).into()))]),
    }
}
