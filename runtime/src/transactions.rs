//! Transactions as wallets make them: for tests and benches, which sign without a client of the chain.

use crate::{
    Address, Hash, Nonce, Runtime, RuntimeCall, Signature, SignedPayload, TxExtension, UncheckedExtrinsic, VERSION,
};
use codec::Encode;
use sp_runtime::generic::Era;

/// What a plain transaction carries beside its call: it lives for ever and gives no tip.
fn extension(nonce: Nonce) -> TxExtension {
    (
        frame_system::AuthorizeCall::<Runtime>::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    )
}

/// A call signed for the chain with this genesis, by whoever `sign` is the key of.
pub fn signed(
    call: RuntimeCall,
    nonce: Nonce,
    genesis: Hash,
    address: Address,
    sign: impl FnOnce(&[u8]) -> Signature,
) -> UncheckedExtrinsic {
    let extension = extension(nonce);
    let (spec, transactions) = (VERSION.spec_version, VERSION.transaction_version);
    let implicit = ((), (), spec, transactions, genesis, genesis, (), (), (), None, ());
    let payload = SignedPayload::from_raw(call.clone(), extension.clone(), implicit);
    let signature = payload.using_encoded(sign);
    UncheckedExtrinsic::new_signed(call, address, signature, extension)
}
