//! Calls in the bytes that the runtime reads, as this version knows them.
//!
//! A chain node describes its runtime, and may lie: with other numbers or types in its description, what is signed as one call
//! would be another one, or for another amount. So nothing that is signed is taken from there, and where the description differs from
//! what this version knows nothing is signed at all.

use crate::{
    Registration, SessionKeys, SubmitError,
    submit::{SERVICE_NODES, prepare},
};
use codec::{Compact, Encode};
use skep_primitives::{Announcement, Balance, Endpoint, Motion, ProposalId, ServiceNodeId, SoftwareVersion, Verdict};
use subxt::{
    Metadata,
    ext::{
        scale_encode::{self, EncodeAsFields, FieldIter},
        scale_type_resolver::TypeResolver,
    },
    transactions::Payload,
};

/// The runtime's `transaction_version` whose calls these are. It is signed with each, so a runtime of another one refuses them.
pub(crate) const TRANSACTION_VERSION: u32 = 1;

/// What a signed transaction carries beside its call, in this order.
const EXTENSIONS: [&str; 11] = [
    "AuthorizeCall",
    "CheckNonZeroSender",
    "CheckSpecVersion",
    "CheckTxVersion",
    "CheckGenesis",
    "CheckMortality",
    "CheckNonce",
    "CheckWeight",
    "ChargeTransactionPayment",
    "CheckMetadataHash",
    "WeightReclaim",
];

/// A pallet of the runtime, by name and number.
#[derive(Clone, Copy, Debug)]
struct Pallet(&'static str, u8);

const SYSTEM: Pallet = Pallet("System", 0);
const STAKES: Pallet = Pallet(SERVICE_NODES, 11);
const GOVERNANCE: Pallet = Pallet("Governance", 13);
const OBLIGATIONS: Pallet = Pallet("Obligations", 15);

/// A call of the runtime.
#[derive(Debug)]
pub struct Call {
    pallet: Pallet,
    name: &'static str,
    number: u8,
    arguments: Arguments,
}

/// In SCALE, one after the other.
#[derive(Debug)]
pub struct Arguments(Vec<u8>);

impl Pallet {
    fn call(self, name: &'static str, number: u8, arguments: &impl Encode) -> Call {
        Call { pallet: self, name, number, arguments: Arguments(arguments.encode()) }
    }
}

impl Call {
    /// Registers a service node.
    pub fn register(registration: &Registration) -> Self {
        let Registration { node, proof, fee, endpoint, version, stake, reserved } = registration;
        STAKES.call("register", 0, &(node, proof, fee, endpoint, version, Compact(*stake), reserved))
    }

    /// Locks stake behind a node.
    pub fn contribute(node: ServiceNodeId, amount: Balance) -> Self {
        STAKES.call("contribute", 1, &(node, Compact(amount)))
    }

    /// Asks to unlock a stake.
    pub fn request_unlock(node: ServiceNodeId) -> Self {
        STAKES.call("request_unlock", 2, &node)
    }

    /// Takes a stake back from a node that does not serve yet.
    pub fn withdraw(node: ServiceNodeId) -> Self {
        STAKES.call("withdraw", 3, &node)
    }

    /// Tells where a node is reached and what it runs.
    pub fn update_endpoint(node: ServiceNodeId, endpoint: &Endpoint, version: SoftwareVersion) -> Self {
        STAKES.call("update_endpoint", 4, &(node, endpoint, version))
    }

    /// Gives the session keys a node produces with.
    pub fn set_session_keys(
        node: ServiceNodeId,
        keys: SessionKeys,
        session_proof: &[u8],
        node_proof: &[u8; 64],
    ) -> Self {
        STAKES.call("set_session_keys", 5, &(node, keys.encoded(), session_proof, node_proof))
    }

    /// Offers a node as a producer no longer.
    pub fn retract_session_keys(node: ServiceNodeId) -> Self {
        STAKES.call("retract_session_keys", 10, &node)
    }

    /// Gives a node another key.
    pub fn hand_over(node: ServiceNodeId, to: ServiceNodeId, proof: &[u8; 64]) -> Self {
        STAKES.call("hand_over", 11, &(node, to, proof))
    }

    /// Says in a node's name where it is reached.
    pub fn announce(announcement: &Announcement, signature: &[u8; 64]) -> Self {
        STAKES.call("announce", 12, &(announcement, signature))
    }

    /// Proposes something.
    pub fn propose(motion: &Motion) -> Self {
        GOVERNANCE.call("propose", 0, motion)
    }

    /// Approves of a proposal, if it is this motion.
    pub fn approve(proposal: ProposalId, motion: &Motion) -> Self {
        GOVERNANCE.call("approve", 1, &(proposal, motion))
    }

    /// Takes an approval back, if the proposal is this motion.
    pub fn withdraw_approval(proposal: ProposalId, motion: &Motion) -> Self {
        GOVERNANCE.call("withdraw_approval", 2, &(proposal, motion))
    }

    /// Puts a carried proposal in force.
    pub fn enact(proposal: ProposalId) -> Self {
        GOVERNANCE.call("enact", 3, &proposal)
    }

    /// Gives up a proposal.
    pub fn close(proposal: ProposalId) -> Self {
        GOVERNANCE.call("close", 4, &proposal)
    }

    /// Puts an authorized runtime in force.
    pub fn apply_upgrade(code: &[u8]) -> Self {
        SYSTEM.call("apply_authorized_upgrade", 11, &code)
    }

    /// Reports what testers agree on.
    pub fn submit_verdict(Verdict { subject, votes }: &Verdict) -> Self {
        OBLIGATIONS.call("submit_verdict", 0, &(subject, votes))
    }

    /// As the runtime reads it.
    pub fn bytes(&self) -> Vec<u8> {
        [&[self.pallet.1, self.number][..], &self.arguments.0].concat()
    }

    /// Refuses where a chain node describes this call, or what a transaction carries beside it, otherwise than this version
    /// knows it.
    pub(crate) fn hold_against(&self, metadata: &Metadata, transaction_version: u32) -> Result<(), SubmitError> {
        let described = metadata
            .pallet_by_name(self.pallet.0)
            .and_then(|pallet| Some([pallet.call_index(), pallet.call_variant_by_name(self.name)?.index]));
        let is_as_known = described == Some([self.pallet.1, self.number])
            && transaction_version == TRANSACTION_VERSION
            && (0..=u8::MAX)
                .filter_map(|version| metadata.extrinsic().transaction_extensions_by_version(version))
                .all(|carried| carried.map(|extension| extension.identifier()).eq(EXTENSIONS));
        if is_as_known {
            return Ok(());
        }
        Err(prepare(format_args!(
            "the chain node describes the call {} otherwise than this version of skep knows it: update skep, or ask another \
             chain node",
            self.name
        )))
    }
}

/// Whether a runtime of this metadata and `transaction_version` is one whose calls this version knows: the first call of these
/// that it describes otherwise is refused.
pub fn describes_calls<'call>(
    metadata: &[u8],
    transaction_version: u32,
    calls: impl IntoIterator<Item = &'call Call>,
) -> Result<(), SubmitError> {
    let metadata = Metadata::decode_from(metadata).map_err(prepare)?;
    calls.into_iter().try_for_each(|call| call.hold_against(&metadata, transaction_version))
}

impl Payload for Call {
    type CallData = Arguments;

    fn pallet_name(&self) -> &str {
        self.pallet.0
    }

    fn call_name(&self) -> &str {
        self.name
    }

    fn call_data(&self) -> &Arguments {
        &self.arguments
    }
}

impl EncodeAsFields for Arguments {
    fn encode_as_fields_to<R: TypeResolver>(
        &self,
        _described: &mut dyn FieldIter<'_, R::TypeId>,
        _types: &R,
        out: &mut Vec<u8>,
    ) -> Result<(), scale_encode::Error> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}
