//! Transactions that nobody signs, since what is in them authorizes them: verdicts, by the votes, and announcements, by the
//! node key's signature.

use crate::{
    Call, ChainUrls, Included, SubmitError, Wait,
    submit::{connect, outcome, prepare, refused, within_time},
};
use skep_primitives::{Announcement, BlockHash, Verdict};
use std::ops::Range;
use subxt::{
    OfflineClient, SubstrateConfig,
    client::OfflineClientAtBlockT,
    config::{
        DefaultExtrinsicParamsBuilder,
        substrate::{SpecVersionForRange, SubstrateConfigBuilder},
    },
    metadata::Metadata,
    transactions::{SubmittableTransaction, TransactionsClient},
    utils::{AccountId32, H256, MultiSignature},
};

/// A call that authorizes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorized {
    /// What enough testers agree on. The chain refuses it if it changes nothing, most often because somebody else's came first.
    Verdict(Verdict),
    /// Where a node says that it is reached.
    Announcement {
        /// What it says.
        announcement: Announcement,
        /// The node key's signature over [`skep_primitives::signing::announcement`].
        signature: [u8; 64],
    },
}

/// Sends such a call to the first chain node that answers and waits for it.
pub async fn submit_authorized(urls: &ChainUrls, call: &Authorized, wait: Wait) -> Result<Included, SubmitError> {
    let work = async {
        let (chain, _) = connect(urls).await?;
        let at = chain.at_current_block().await.map_err(prepare)?;
        let sent = compose(&at.transactions(), call)?.submit_and_watch().await.map_err(refused)?;
        outcome(sent, wait).await.map(|effect| effect.included)
    };
    within_time(work).await
}

/// The bytes of that transaction for a runtime of this metadata (as `Metadata_metadata_at_version` tells it).
pub fn authorized_transaction(metadata: &[u8], genesis: &BlockHash, call: &Authorized) -> Result<Vec<u8>, SubmitError> {
    const ANY_BLOCKS: Range<u64> = 0..1;
    // What is signed for a transaction names its runtime; of an unsigned one nothing does.
    const ANY_VERSION: u32 = 0;
    let metadata = Metadata::decode_from(metadata).map_err(prepare)?;
    let version =
        SpecVersionForRange { block_range: ANY_BLOCKS, spec_version: ANY_VERSION, transaction_version: ANY_VERSION };
    let config = SubstrateConfigBuilder::new()
        .set_genesis_hash(H256(*genesis))
        .set_metadata_for_spec_versions([(ANY_VERSION, metadata.arc())])
        .set_spec_version_for_block_ranges([version])
        .build();
    let at = OfflineClient::new_with_config(config).at_block(ANY_BLOCKS.start).map_err(prepare)?;
    Ok(compose(&at.transactions(), call)?.into_encoded())
}

fn compose<Client: OfflineClientAtBlockT<SubstrateConfig>>(
    transactions: &TransactionsClient<SubstrateConfig, Client>,
    call: &Authorized,
) -> Result<SubmittableTransaction<SubstrateConfig, Client>, SubmitError> {
    let call = match call {
        Authorized::Verdict(verdict) => Call::submit_verdict(verdict),
        Authorized::Announcement { announcement, signature } => Call::announce(announcement, signature),
    };
    // A general transaction carries a signature only in an extension made for it, and this runtime has none: account and
    // signature are asked for and left out.
    let (nobody, unsigned) = (AccountId32([0; 32]), MultiSignature::Ed25519([0; 64]));
    transactions
        .create_v5_signable_offline(&call, DefaultExtrinsicParamsBuilder::new().build())
        .and_then(|mut general| general.sign_with_account_and_signature(&nobody, &unsigned))
        .map_err(prepare)
}
