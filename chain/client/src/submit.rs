//! Signed calls.

use crate::{Call, ChainUrls, ConnectError, StakerKey, connection::Connection};
use jsonrpsee::{
    core::client::{Client, ClientT},
    rpc_params,
};
use serde_json::value::RawValue;
use skep_primitives::{
    Balance, BlockHash, BlockNumber, Endpoint, Permyriad, Reservation, ServiceNodeId, SoftwareVersion, StakerId,
};
use std::{fmt, sync::Arc, time::Duration};
use subxt::{
    OnlineClient, SubstrateConfig,
    backend::LegacyBackend,
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    dynamic::At,
    error::{BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError},
    ext::scale_value::Composite,
    extrinsics::ExtrinsicEvents,
    transactions::{TransactionProgress, TransactionStatus},
    utils::AccountId32,
};

/// The runtime's name for the pallet that keeps registrations and stakes.
pub(crate) const SERVICE_NODES: &str = "ServiceNodes";

/// A call not in a block after this time is given up.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(180);

/// Signs calls with one staker's key and sends them to a chain node.
pub struct Submitter {
    chain: OnlineClient<SubstrateConfig>,
    rpc: Arc<Client>,
    key: StakerKey,
}

/// Which promise to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The call is in a block that may still be replaced.
    InBlock,
    /// The call is in a finalized block.
    Finalized,
}

/// Where a call took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    /// Height of the block.
    pub height: BlockNumber,
    /// Hash of the block.
    pub block_hash: BlockHash,
    /// Hash of the transaction, as explorers show it.
    pub transaction_hash: [u8; 32],
}

/// A stake that was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// What the chain took, in smallest units: less than was brought where the node had less room by then.
    pub amount: Balance,
    /// Where.
    pub included: Included,
}

/// A service node that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What it must hold, in smallest units.
    pub requirement: Balance,
    /// What its operator locked.
    pub locked: Locked,
}

/// What a new service node is registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The node's key.
    pub node: ServiceNodeId,
    /// The node key's signature over [`skep_primitives::signing::registration`].
    pub proof: [u8; 64],
    /// The operator's fee.
    pub fee: Permyriad,
    /// Where the node is reached.
    pub endpoint: Endpoint,
    /// What it runs.
    pub version: SoftwareVersion,
    /// What the operator locks, in smallest units.
    pub stake: Balance,
    /// Spots kept for others, at most nine.
    pub reserved: Vec<Reservation>,
}

/// A call had no effect, or its effect is not known.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No chain node answers; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The call could not be prepared; nothing was sent.
    #[error("cannot prepare the transaction: {0}")]
    Prepare(String),
    /// The chain node did not accept the transaction; nothing changed.
    #[error("the chain node refused the transaction: {0}")]
    Refused(String),
    /// The transaction was included and failed; only its fee was paid.
    #[error("the chain refused the call: {reason} ({pallet}::{name})")]
    Failed {
        /// Pallet that refused it.
        pallet: String,
        /// The error's name in that pallet.
        name: String,
        /// What the runtime's documentation says about it.
        reason: String,
    },
    /// The transaction was included and failed outside any pallet; only its fee was paid.
    #[error("the chain refused the call: {0}")]
    Dispatch(String),
    /// Sent, but what became of it is not known.
    #[error("the transaction was sent, but its fate is not known ({0}): look with `skep stake status` before retrying")]
    Lost(String),
}

impl Submitter {
    /// Connects to the first chain node that answers and reads what calls its runtime has.
    pub async fn connect(urls: &ChainUrls, key: StakerKey) -> Result<Self, SubmitError> {
        let (chain, rpc) = connect(urls).await?;
        Ok(Self { chain, rpc, key })
    }

    /// The same connection for another staker.
    #[must_use]
    pub fn signing_with(&self, key: StakerKey) -> Self {
        Self { chain: self.chain.clone(), rpc: self.rpc.clone(), key }
    }

    /// The account that signs.
    pub fn staker(&self) -> StakerId {
        self.key.staker()
    }

    /// Registers a service node and locks the operator's stake.
    pub async fn register(&self, registration: &Registration, wait: Wait) -> Result<Registered, SubmitError> {
        let effect = self.carry_out(&Call::register(registration), wait).await?;
        Ok(Registered { requirement: effect.told("Registered", "requirement")?, locked: effect.locked()? })
    }

    /// Locks stake behind a node that still gathers it.
    pub async fn contribute(&self, node: ServiceNodeId, amount: Balance, wait: Wait) -> Result<Locked, SubmitError> {
        self.carry_out(&Call::contribute(node, amount), wait).await?.locked()
    }

    /// Asks to unlock this account's stake in a node.
    pub async fn request_unlock(&self, node: ServiceNodeId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::request_unlock(node), wait).await
    }

    /// Takes back this account's stake in a node that has ended.
    pub async fn withdraw(&self, node: ServiceNodeId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::withdraw(node), wait).await
    }

    /// Gives a node another key. `proof` is the new key's signature over [`skep_primitives::signing::registration`].
    pub async fn hand_over(
        &self,
        node: ServiceNodeId,
        to: ServiceNodeId,
        proof: &[u8; 64],
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        self.submit(&Call::hand_over(node, to, proof), wait).await
    }

    /// Tells where a node is reached and what it runs.
    pub async fn update_endpoint(
        &self,
        node: ServiceNodeId,
        endpoint: &Endpoint,
        version: SoftwareVersion,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        self.submit(&Call::update_endpoint(node, endpoint, version), wait).await
    }

    /// Gives the BABE and GRANDPA keys a node's operator authors blocks with. `session_proof` proves that whoever holds
    /// them agrees, `node_proof` is the node key's signature over [`skep_primitives::signing::session_keys`].
    pub async fn set_session_keys(
        &self,
        node: ServiceNodeId,
        keys: SessionKeys,
        session_proof: &[u8],
        node_proof: &[u8; 64],
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        self.submit(&Call::set_session_keys(node, keys, session_proof, node_proof), wait).await
    }

    /// Offers a node as a block producer no longer.
    pub async fn retract_session_keys(&self, node: ServiceNodeId, wait: Wait) -> Result<Included, SubmitError> {
        self.submit(&Call::retract_session_keys(node), wait).await
    }

    pub(crate) async fn submit(&self, call: &Call, wait: Wait) -> Result<Included, SubmitError> {
        self.carry_out(call, wait).await.map(|effect| effect.included)
    }
}

pub(crate) type Sent = TransactionProgress<SubstrateConfig, OnlineClientAtBlockImpl<SubstrateConfig>>;

/// Where a call took effect, and what it did there.
pub(crate) struct Effect {
    pub(crate) included: Included,
    events: ExtrinsicEvents<SubstrateConfig>,
}

impl Effect {
    /// What an event of the stakes' pallet tells of an amount.
    fn told(&self, event: &str, field: &str) -> Result<Balance, SubmitError> {
        let named = self
            .events
            .iter()
            .filter_map(Result::ok)
            .find(|told| (told.pallet_name(), told.event_name()) == (SERVICE_NODES, event));
        named
            .and_then(|told| told.decode_fields_unchecked_as::<Composite<()>>().ok()?.at(field)?.as_u128())
            .ok_or_else(|| SubmitError::Lost(format!("it is in block {} without {event}", self.included.height)))
    }

    /// What was locked of the signer's.
    fn locked(&self) -> Result<Locked, SubmitError> {
        Ok(Locked { amount: self.told("Contributed", "amount")?, included: self.included })
    }
}

impl Submitter {
    async fn carry_out(&self, call: &Call, wait: Wait) -> Result<Effect, SubmitError> {
        within_time(async { outcome(self.send(call).await?, wait).await }).await
    }

    async fn send(&self, call: &Call) -> Result<Sent, SubmitError> {
        let account = AccountId32(self.staker().0);
        // The chain node counts calls of this account that wait in its pool, so that several may follow each other.
        let nonce: u64 =
            self.rpc.request("system_accountNextIndex", rpc_params![account.to_string()]).await.map_err(prepare)?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).build();
        let at = self.chain.at_current_block().await.map_err(prepare)?;
        call.hold_against(at.metadata_ref(), at.transaction_version())?;
        let signed = at.transactions().create_signed(call, self.key.pair(), params).await.map_err(prepare)?;
        signed.submit_and_watch().await.map_err(refused)
    }
}

/// A connection to the first chain node that answers, which knows what calls its runtime has.
pub(crate) async fn connect(urls: &ChainUrls) -> Result<(OnlineClient<SubstrateConfig>, Arc<Client>), SubmitError> {
    let rpc = Connection::open(urls, None, 0).await?.rpc;
    let backend = LegacyBackend::builder().build(subxt::rpcs::RpcClient::new(rpc.clone()));
    let chain = OnlineClient::from_backend(Arc::new(backend)).await.map_err(prepare)?;
    Ok((chain, rpc))
}

/// Gives up what takes longer than any call should.
pub(crate) async fn within_time<T>(work: impl Future<Output = Result<T, SubmitError>>) -> Result<T, SubmitError> {
    tokio::time::timeout(INCLUSION_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(SubmitError::Lost(format!("not included in {} s", INCLUSION_TIMEOUT.as_secs()))))
}

/// Waits for what was promised of a transaction that was sent.
pub(crate) async fn outcome(mut sent: Sent, wait: Wait) -> Result<Effect, SubmitError> {
    loop {
        let status = sent.next().await.ok_or_else(|| SubmitError::Lost("the chain node stopped watching".into()))?;
        let block = match status.map_err(|error| SubmitError::Lost(error.to_string()))? {
            TransactionStatus::InFinalizedBlock(block) => block,
            TransactionStatus::InBestBlock(block) if wait == Wait::InBlock => block,
            TransactionStatus::InBestBlock(_)
            | TransactionStatus::NoLongerInBestBlock
            | TransactionStatus::Validated
            | TransactionStatus::Broadcasted => continue,
            TransactionStatus::Error { message } => return Err(SubmitError::Lost(message)),
            TransactionStatus::Invalid { message } | TransactionStatus::Dropped { message } => {
                return Err(SubmitError::Refused(message));
            }
        };
        let events = block.wait_for_success().await.map_err(failure)?;
        let height = block.at().await.map_err(|error| SubmitError::Lost(error.to_string()))?.block_number();
        let included = Included {
            height: BlockNumber::try_from(height).unwrap_or(BlockNumber::MAX),
            block_hash: block.block_hash().0,
            transaction_hash: block.extrinsic_hash().0,
        };
        return Ok(Effect { included, events });
    }
}

/// Why a transaction did not enter the pool, or that nobody knows.
pub(crate) fn refused(error: ExtrinsicError) -> SubmitError {
    if let ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(
        subxt::rpcs::Error::User(answer),
    ))) = &error
    {
        return SubmitError::Refused(pool_refusal(&answer.message, answer.data.as_deref().map(RawValue::get)));
    }
    SubmitError::Lost(error.to_string())
}

pub(crate) fn prepare(error: impl fmt::Display) -> SubmitError {
    SubmitError::Prepare(error.to_string())
}

/// What the pool says, without the JSON quotes of its details.
fn pool_refusal(message: &str, details: Option<&str>) -> String {
    match details.map(|details| details.trim_matches('"')) {
        Some(details) if !details.is_empty() => format!("{message}: {details}"),
        _ => message.to_owned(),
    }
}

fn failure(error: TransactionEventsError) -> SubmitError {
    let TransactionEventsError::ExtrinsicFailed(error) = error else {
        return SubmitError::Lost(error.to_string());
    };
    let DispatchError::Module(module) = &error else {
        return SubmitError::Dispatch(error.to_string());
    };
    match module.details() {
        Ok(details) => SubmitError::Failed {
            pallet: details.pallet.name().to_owned(),
            name: details.variant.name.clone(),
            reason: details.variant.docs.join(" ").split_whitespace().collect::<Vec<_>>().join(" "),
        },
        Err(_) => SubmitError::Dispatch(error.to_string()),
    }
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("staker", &self.staker()).finish_non_exhaustive()
    }
}

impl SessionKeys {
    /// As the runtime encodes them (SCALE): one after the other.
    pub fn encoded(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let (babe, grandpa) = bytes.split_at_mut(32);
        babe.copy_from_slice(&self.babe);
        grandpa.copy_from_slice(&self.grandpa);
        bytes
    }
}

/// The keys a validator authors and finalizes blocks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKeys {
    /// BABE key (sr25519).
    pub babe: [u8; 32],
    /// GRANDPA key (Ed25519).
    pub grandpa: [u8; 32],
}
