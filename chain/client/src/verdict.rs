//! Verdicts: transactions that nobody signs, since the votes in them authorize them.

use crate::{
    ChainUrls, Included, SubmitError, Wait,
    submit::{connect, outcome, prepare, refused, within_time},
};
use skep_primitives::{BlockHash, Verdict, Vote};
use std::ops::Range;
use subxt::{
    OfflineClient, SubstrateConfig,
    client::OfflineClientAtBlockT,
    config::{
        DefaultExtrinsicParamsBuilder,
        substrate::{SpecVersionForRange, SubstrateConfigBuilder},
    },
    dynamic::{Value, transaction},
    metadata::Metadata,
    transactions::{SubmittableTransaction, TransactionsClient},
    utils::{AccountId32, H256, MultiSignature},
};

/// The runtime's name for the pallet that takes verdicts.
const OBLIGATIONS: &str = "Obligations";

/// Sends a verdict to the first chain node that answers and waits until it is in a block. The chain refuses it if it
/// changes nothing, most often because somebody else's came first.
pub async fn submit_verdict(urls: &ChainUrls, verdict: &Verdict) -> Result<Included, SubmitError> {
    let work = async {
        let (chain, _) = connect(urls).await?;
        let at = chain.at_current_block().await.map_err(prepare)?;
        let sent = compose(&at.transactions(), verdict)?.submit_and_watch().await.map_err(refused)?;
        outcome(sent, Wait::InBlock).await
    };
    within_time(work).await
}

/// The bytes of that transaction for a runtime of this metadata (as `Metadata_metadata_at_version` tells it).
pub fn verdict_transaction(metadata: &[u8], genesis: &BlockHash, verdict: &Verdict) -> Result<Vec<u8>, SubmitError> {
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
    Ok(compose(&at.transactions(), verdict)?.into_encoded())
}

fn compose<Client: OfflineClientAtBlockT<SubstrateConfig>>(
    transactions: &TransactionsClient<SubstrateConfig, Client>,
    verdict: &Verdict,
) -> Result<SubmittableTransaction<SubstrateConfig, Client>, SubmitError> {
    let Verdict { subject, votes } = verdict;
    let subject = Value::named_composite([
        ("round", Value::u128(subject.round.into())),
        ("block", Value::from_bytes(subject.block)),
        ("node", Value::from_bytes(subject.node)),
    ]);
    let votes = votes.iter().map(|Vote { seat, reasons, signature }| {
        Value::named_composite([
            ("seat", Value::u128((*seat).into())),
            ("reasons", Value::u128(reasons.bits().into())),
            ("signature", Value::from_bytes(signature)),
        ])
    });
    let call = transaction(OBLIGATIONS, "submit_verdict", (subject, Value::unnamed_composite(votes)));
    // A general transaction carries a signature only in an extension made for it, and this runtime has none: account and
    // signature are asked for and left out.
    let (nobody, unsigned) = (AccountId32([0; 32]), MultiSignature::Ed25519([0; 64]));
    transactions
        .create_v5_signable_offline(&call, DefaultExtrinsicParamsBuilder::new().build())
        .and_then(|mut general| general.sign_with_account_and_signature(&nobody, &unsigned))
        .map_err(prepare)
}
