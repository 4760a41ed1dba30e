//! Signed calls of those who govern.

use crate::{Call, Included, SubmitError, Submitter, Wait};
use skep_primitives::{Motion, ProposalId};

impl Submitter {
    /// Proposes something and approves of it; a deposit is held until the proposal is gone.
    pub async fn propose(&self, motion: &Motion, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::propose(motion), wait).await
    }

    /// Approves of a proposal, if it is this motion.
    pub async fn approve(&self, id: ProposalId, motion: &Motion, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::approve(id, motion), wait).await
    }

    /// Takes an approval back, if the proposal is this motion.
    pub async fn withdraw_approval(
        &self,
        id: ProposalId,
        motion: &Motion,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        self.submit(&Call::withdraw_approval(id, motion), wait).await
    }

    /// Puts a carried proposal in force.
    pub async fn enact(&self, proposal: ProposalId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::enact(proposal), wait).await
    }

    /// Gives up an own proposal, or clears away one that expired.
    pub async fn close(&self, proposal: ProposalId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::close(proposal), wait).await
    }

    /// Puts an authorized runtime in force: its Wasm, compressed as it was built.
    pub async fn apply_upgrade(&self, code: &[u8], wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::apply_upgrade(code), wait).await
    }
}
