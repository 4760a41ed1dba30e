//! JSON-RPC: the standard methods and `skep_*`.

use crate::{
    doubled::Doubled,
    proofs::{Proof, ProveError, Prover},
    roster::{RosterError, RosterReader, changed},
    service::{FullBackend, FullClient},
    turns::Turns,
};
use futures::{FutureExt, StreamExt};
use jsonrpsee::{
    PendingSubscriptionSink, RpcModule, SubscriptionMessage,
    core::{RpcResult, SubscriptionResult, async_trait},
    types::{ErrorObjectOwned, error::INVALID_PARAMS_CODE},
};
use sc_client_api::BlockchainEvents;
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::SubscriptionTaskExecutor;
use sc_sync_state_rpc::{SyncState, SyncStateApiServer};
use skep_primitives::{
    Checkpoint, DoubledKeys, Governance, NodeRewards, OpenPool, RosterSnapshot, ServiceNodeId, Stake, StakerId,
    StakingTerms, Standing, SwarmMembers, TestingRound, TestingTerms,
};
use skep_rpc::{
    SkepRpcServer,
    producers::ProducersServer,
    proofs::{HexBytes, RosterProofsServer},
};
use skep_runtime::{BlockNumber, Hash, OpaqueBlock as Block};
use std::{sync::Arc, time::Duration};
use substrate_frame_rpc_system::{System, SystemApiServer};

/// How long a subscriber may take to accept a roster before it is dropped.
const SLOW_SUBSCRIBER: Duration = Duration::from_secs(10);

/// Proofs made at a time.
const PROOFS_AT_A_TIME: usize = 2;

/// Questions that are put to the runtime at a time.
const QUESTIONS_AT_A_TIME: usize = 4;

/// Questions, and as many requests for proofs, that wait for their turn.
const MOST_WAITING: usize = 256;

/// Rosters read for subscribers at a time; nearly all find the one that is kept.
const ROSTERS_AT_A_TIME: usize = 2;

type SelectChain = sc_consensus::LongestChain<FullBackend, Block>;

/// What the methods need.
#[expect(missing_debug_implementations, reason = "the SDK's handles have none")]
#[derive(Clone)]
pub struct Deps {
    /// The chain.
    pub client: Arc<FullClient>,
    /// Transactions that wait.
    pub pool: Arc<sc_transaction_pool::TransactionPoolHandle<Block, FullClient>>,
    /// Which fork is best.
    pub select_chain: SelectChain,
    /// Keys of this node.
    pub keystore: sp_keystore::KeystorePtr,
    /// BABE's state.
    pub babe: sc_consensus_babe::BabeWorkerHandle<Block>,
    /// GRANDPA's authorities.
    pub authorities: sc_consensus_grandpa::SharedAuthoritySet<Hash, BlockNumber>,
    /// GRANDPA's rounds.
    pub voter_state: sc_consensus_grandpa::SharedVoterState,
    /// GRANDPA's justifications as they come.
    pub justifications: sc_consensus_grandpa::GrandpaJustificationStream<Block>,
    /// GRANDPA's proofs.
    pub finality: Arc<sc_consensus_grandpa::FinalityProofProvider<FullBackend, Block>>,
    /// The roster.
    pub roster: Arc<RosterReader<FullClient>>,
    /// Proofs of it.
    pub prover: Arc<Prover>,
    /// Its keys where another machine has them, too.
    pub doubled: Arc<Doubled>,
}

/// All methods that `sc-service` does not bring itself.
pub fn module(
    deps: &Deps,
    spec: Box<dyn sc_service::ChainSpec>,
    executor: SubscriptionTaskExecutor,
) -> Result<RpcModule<()>, Box<dyn std::error::Error + Send + Sync>> {
    let Deps {
        client,
        pool,
        select_chain,
        keystore,
        babe,
        authorities,
        voter_state,
        justifications,
        finality,
        roster,
        prover,
        doubled,
    } = deps.clone();
    let mut module = RpcModule::new(());
    module.merge(System::new(client.clone(), pool).into_rpc())?;
    module.merge(pallet_transaction_payment_rpc::TransactionPaymentApiServer::into_rpc(
        pallet_transaction_payment_rpc::TransactionPayment::new(client.clone()),
    ))?;
    module.merge(Babe::new(client.clone(), babe.clone(), keystore, select_chain).into_rpc())?;
    let grandpa = Grandpa::new(executor, authorities.clone(), voter_state, justifications, finality);
    module.merge(grandpa.into_rpc())?;
    module.merge(SyncState::new(spec, client.clone(), authorities, babe)?.into_rpc())?;
    let turns = Turns::new(QUESTIONS_AT_A_TIME, MOST_WAITING);
    // As many wait as have subscribed: who is refused would lose the subscription.
    let subscribers = Turns::new(ROSTERS_AT_A_TIME, Turns::ALL_WAIT);
    module.merge(SkepRpc { client, roster, turns, subscribers }.into_rpc())?;
    let turns = || Turns::new(PROOFS_AT_A_TIME, MOST_WAITING);
    module.merge(RosterProofs { prover, turns: turns(), heads: turns() }.into_rpc())?;
    module.merge(Producers(doubled).into_rpc())?;
    Ok(module)
}

struct SkepRpc {
    client: Arc<FullClient>,
    roster: Arc<RosterReader<FullClient>>,
    turns: Turns,
    /// A lane of their own, so that questions about old blocks do not hold up who follows the newest.
    subscribers: Turns,
}

impl SkepRpc {
    /// Answers a question about block `at` (the last finalized one without it); it may have to run the runtime.
    async fn ask<A: Send + 'static>(
        &self,
        at: Option<String>,
        question: impl FnOnce(&RosterReader<FullClient>, Hash) -> Result<A, RosterError> + Send + 'static,
    ) -> RpcResult<A> {
        let block = match at {
            Some(text) => parse_hash(&text)?,
            None => self.roster.finalized(),
        };
        let roster = self.roster.clone();
        self.turns.take(move || question(&roster, block)).await
    }

    /// The roster at a final block, for a subscriber.
    async fn roster_for_subscriber(&self, block: Hash) -> RpcResult<Arc<RosterSnapshot>> {
        let roster = self.roster.clone();
        self.subscribers.take(move || roster.roster_at(block)).await
    }
}

fn parse_hash(text: &str) -> Result<Hash, ErrorObjectOwned> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| {
        let message = "a block is named by its hash: 0x and 64 hexadecimal digits";
        ErrorObjectOwned::owned(INVALID_PARAMS_CODE, message, None::<()>)
    })?;
    Ok(Hash::from(bytes))
}

#[async_trait]
impl SkepRpcServer for SkepRpc {
    async fn roster(&self, at: Option<String>) -> RpcResult<RosterSnapshot> {
        self.ask(at, |roster, block| roster.roster_at(block).map(|snapshot| (*snapshot).clone())).await
    }

    async fn swarms(&self, at: Option<String>) -> RpcResult<Vec<SwarmMembers>> {
        self.ask(at, RosterReader::swarms_at).await
    }

    async fn staking_requirement(&self, at: Option<String>) -> RpcResult<StakingTerms> {
        self.ask(at, RosterReader::terms_at).await
    }

    async fn stakes(&self, staker: StakerId, at: Option<String>) -> RpcResult<Vec<Stake>> {
        self.ask(at, move |roster, block| roster.stakes_at(block, staker)).await
    }

    async fn open_pools(&self, staker: StakerId, at: Option<String>) -> RpcResult<Vec<OpenPool>> {
        self.ask(at, move |roster, block| roster.open_pools_at(block, staker)).await
    }

    async fn governance(&self, at: Option<String>) -> RpcResult<Governance> {
        self.ask(at, RosterReader::governance_at).await
    }

    async fn reward_queue(&self, limit: u32, at: Option<String>) -> RpcResult<Vec<ServiceNodeId>> {
        self.ask(at, move |roster, block| roster.reward_queue_at(block, limit)).await
    }

    async fn rewards_of(&self, node: ServiceNodeId, at: Option<String>) -> RpcResult<NodeRewards> {
        self.ask(at, move |roster, block| roster.rewards_of_at(block, node)).await
    }

    async fn testing_terms(&self, at: Option<String>) -> RpcResult<TestingTerms> {
        self.ask(at, RosterReader::testing_terms_at).await
    }

    async fn testing_rounds(&self, since: Option<u32>, at: Option<String>) -> RpcResult<Vec<TestingRound>> {
        self.ask(at, move |roster, block| roster.testing_rounds_at(block, since.unwrap_or_default())).await
    }

    async fn standing(&self, node: ServiceNodeId, at: Option<String>) -> RpcResult<Option<Standing>> {
        self.ask(at, move |roster, block| roster.standing_at(block, node)).await
    }

    async fn standings(&self, at: Option<String>) -> RpcResult<Vec<Standing>> {
        self.ask(at, RosterReader::standings_at).await
    }

    async fn subscribe_roster(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        // Taken before the first answer, so that no block is missed between the two.
        let mut finalized = self.client.finality_notification_stream();
        let mut sent = self.roster_for_subscriber(self.roster.finalized()).await?;
        let sink = pending.accept().await?;
        sink.send_timeout(SubscriptionMessage::from_json(&*sent)?, SLOW_SUBSCRIBER).await?;
        loop {
            let block = tokio::select! {
                () = sink.closed() => return Ok(()),
                notification = finalized.next() => match notification {
                    Some(notification) => notification.hash,
                    None => return Ok(()),
                },
            };
            // A subscriber that took long gets the newest roster, not every one it missed.
            let block = std::iter::from_fn(|| finalized.next().now_or_never().flatten())
                .last()
                .map_or(block, |newest| newest.hash);
            let roster = self.roster_for_subscriber(block).await?;
            if changed(&sent.nodes, &roster.nodes) {
                sink.send_timeout(SubscriptionMessage::from_json(&*roster)?, SLOW_SUBSCRIBER).await?;
                sent = roster;
            }
        }
    }
}

struct Producers(Arc<Doubled>);

#[async_trait]
impl ProducersServer for Producers {
    async fn doubled_keys(&self) -> RpcResult<Option<DoubledKeys>> {
        Ok(self.0.found())
    }
}

struct RosterProofs {
    prover: Arc<Prover>,
    turns: Turns,
    /// A lane of their own: they are quick, and while a long proof is made others wait for that one in their turn.
    heads: Turns,
}

impl RosterProofs {
    async fn prove<A: Send + 'static>(
        &self,
        turns: &Turns,
        question: impl FnOnce(&Prover) -> Result<A, ProveError> + Send + 'static,
    ) -> RpcResult<A> {
        let prover = self.prover.clone();
        turns.take(move || question(&prover)).await
    }

    async fn prove_at(
        &self,
        turns: &Turns,
        block: &str,
        question: impl FnOnce(&Prover, Hash) -> Result<Proof, ProveError> + Send + 'static,
    ) -> RpcResult<HexBytes> {
        let block = parse_hash(block)?;
        self.prove(turns, move |prover| question(prover, block)).await.map(HexBytes)
    }
}

#[async_trait]
impl RosterProofsServer for RosterProofs {
    async fn warp_proof(&self, from: String) -> RpcResult<HexBytes> {
        self.prove_at(&self.turns, &from, Prover::warp_page).await
    }

    async fn head_proof(&self, at: String) -> RpcResult<HexBytes> {
        self.prove_at(&self.heads, &at, Prover::head).await
    }

    async fn roster_proof(&self, boundary: String) -> RpcResult<HexBytes> {
        self.prove_at(&self.turns, &boundary, Prover::roster).await
    }

    async fn checkpoint(&self, at: Option<String>) -> RpcResult<Checkpoint> {
        let at = at.as_deref().map(parse_hash).transpose()?;
        self.prove(&self.heads, move |prover| prover.checkpoint(at)).await
    }
}
