//! Database, network, BABE, GRANDPA: wired and started.

use crate::{
    doubled::{self, Doubled},
    front_door,
    proofs::Prover,
    roster::RosterReader,
    rpc,
};
use futures::FutureExt;
use sc_client_api::BlockBackend;
use sc_consensus_babe::SlotProportion;
use sc_consensus_grandpa::{FinalityProofProvider, SharedVoterState};
use sc_network_sync::strategy::warp::{WarpSyncConfig, WarpSyncProvider};
use sc_service::{ChainType, Configuration, KeystoreContainer, TaskManager, error::Error as ServiceError};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use skep_runtime::{OpaqueBlock as Block, apis::RuntimeApi};
use sp_consensus_babe::inherents::InherentDataProvider as BabeSlot;
use sp_runtime::traits::Block as BlockT;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The chain as this node keeps it.
pub type FullClient =
    sc_service::TFullClient<Block, RuntimeApi, sc_executor::WasmExecutor<sp_io::SubstrateHostFunctions>>;
/// Its database.
pub type FullBackend = sc_service::TFullBackend<Block>;

type Parts = (FullClient, Arc<FullBackend>, KeystoreContainer, TaskManager);

/// Blocks between two justifications kept for light clients and warp sync.
const JUSTIFICATION_PERIOD: u32 = 512;

/// How long GRANDPA waits before it repeats what its peers may have missed.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(333);

/// Opens the chain's database, to read it and no more.
pub fn open(config: &Configuration) -> Result<(Arc<FullClient>, TaskManager), ServiceError> {
    let (client, _, _, task_manager) = parts(config, None)?;
    Ok((Arc::new(client), task_manager))
}

/// The database and what reads and writes it.
fn parts(config: &Configuration, telemetry: Option<TelemetryHandle>) -> Result<Parts, ServiceError> {
    sc_service::new_full_parts(
        config,
        telemetry,
        sc_service::new_wasm_executor(&config.executor),
        // Warp proofs are made of these justifications, so blocks that carry one are not pruned.
        vec![Arc::new(sc_consensus_grandpa::GrandpaPruningFilter)],
    )
}

/// Starts the node; it runs until the returned tasks end.
pub fn start(config: Configuration, front_door: SocketAddr) -> Result<TaskManager, ServiceError> {
    use sc_network::config::NetworkBackendType::{Libp2p, Litep2p};
    match config.network.network_backend {
        Libp2p => start_on::<sc_network::NetworkWorker<Block, <Block as BlockT>::Hash>>(config, front_door),
        Litep2p => start_on::<sc_network::Litep2pNetworkBackend>(config, front_door),
    }
}

fn start_on<N: sc_network::NetworkBackend<Block, <Block as BlockT>::Hash>>(
    config: Configuration,
    front_door: SocketAddr,
) -> Result<TaskManager, ServiceError> {
    // First of all, so that a taken address stops the start before anything runs.
    let listener = front_door::bind(front_door).map_err(|error| ServiceError::Application(Box::new(error)))?;
    let telemetry = config
        .telemetry_endpoints
        .clone()
        .filter(|endpoints| !endpoints.is_empty())
        .map(|endpoints| -> Result<_, sc_telemetry::Error> {
            let worker = TelemetryWorker::new(16)?;
            let telemetry = worker.handle().new_telemetry(endpoints);
            Ok((worker, telemetry))
        })
        .transpose()?;
    let (client, backend, keystore, mut task_manager) =
        parts(&config, telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()))?;
    let client = Arc::new(client);
    let mut telemetry = telemetry.map(|(worker, telemetry)| {
        task_manager.spawn_handle().spawn("telemetry", None, worker.run());
        telemetry
    });
    let telemetry_handle = telemetry.as_ref().map(Telemetry::handle);
    let registry = config.prometheus_registry().cloned();

    let select_chain = sc_consensus::LongestChain::new(backend.clone());
    let pool = Arc::new(
        sc_transaction_pool::Builder::new(
            task_manager.spawn_essential_handle(),
            client.clone(),
            config.role.is_authority().into(),
        )
        .with_options(config.transaction_pool.clone())
        .with_prometheus(registry.as_ref())
        .build(),
    );

    // Blocks pass BABE's checks, then GRANDPA's, then enter the database.
    let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
        client.clone(),
        JUSTIFICATION_PERIOD,
        &client,
        select_chain.clone(),
        telemetry_handle.clone(),
    )?;
    let babe_config = sc_consensus_babe::configuration(&*client)?;
    let slot_duration = babe_config.slot_duration();
    let inherents = move |_, ()| async move {
        let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
        let slot = BabeSlot::from_timestamp_and_slot_duration(*timestamp, slot_duration);
        Ok((slot, timestamp))
    };
    let (babe_import, babe_link) = sc_consensus_babe::block_import(
        babe_config,
        grandpa_import.clone(),
        client.clone(),
        inherents,
        select_chain.clone(),
        OffchainTransactionPoolFactory::new(pool.clone()),
    )?;
    let (import_queue, babe_worker) = sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
        link: babe_link.clone(),
        block_import: babe_import.clone(),
        justification_import: Some(Box::new(grandpa_import)),
        client: client.clone(),
        slot_duration,
        spawner: &task_manager.spawn_essential_handle(),
        registry: registry.as_ref(),
        telemetry: telemetry_handle.clone(),
    })?;

    let metrics = N::register_notification_metrics(registry.as_ref());
    let mut net_config =
        sc_network::config::FullNetworkConfiguration::<_, _, N>::new(&config.network, registry.clone());
    let genesis = client
        .block_hash(0)?
        .ok_or_else(|| ServiceError::Other("the database has no genesis block: run purge-chain".into()))?;
    let grandpa_protocol = sc_consensus_grandpa::protocol_standard_name(&genesis, &config.chain_spec);
    let (grandpa_peers, grandpa_notifications) = sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
        grandpa_protocol.clone(),
        metrics.clone(),
        net_config.peer_store_handle(),
    );
    net_config.add_notification_protocol(grandpa_peers);
    let authorities = grandpa_link.shared_authority_set().clone();
    let warp_sync =
        sc_consensus_grandpa::warp_proof::NetworkProvider::new(backend.clone(), authorities.clone(), vec![]);
    let warp_sync: Arc<dyn WarpSyncProvider<Block>> = Arc::new(warp_sync);
    let (network, system_rpc_tx, tx_handler_controller, sync, _) =
        sc_service::build_network(sc_service::BuildNetworkParams {
            config: &config,
            net_config,
            client: client.clone(),
            transaction_pool: pool.clone(),
            spawn_handle: task_manager.spawn_handle(),
            spawn_essential_handle: task_manager.spawn_essential_handle(),
            import_queue,
            block_announce_validator_builder: None,
            warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync.clone())),
            block_relay: None,
            metrics,
            gap_sync_body_policy: None,
        })?;

    let role = config.role;
    // A development chain has one producer and nobody to wait for.
    let force_authoring = config.force_authoring || config.chain_spec.chain_type() == ChainType::Development;
    let name = config.network.node_name.clone();
    let grandpa_enabled = !config.disable_grandpa;
    let voter_state = SharedVoterState::empty();
    let roster = Arc::new(RosterReader::new(client.clone()));
    let now = BabeSlot::from_timestamp_and_slot_duration(sp_timestamp::Timestamp::current(), slot_duration);
    let doubled = Arc::new(Doubled::new(*now, registry.as_ref()));
    let watching = doubled::watch(client.clone(), keystore.keystore(), doubled.clone());
    task_manager.spawn_handle().spawn("doubled-keys", None, watching);
    let deps = rpc::Deps {
        client: client.clone(),
        pool: pool.clone(),
        select_chain: select_chain.clone(),
        keystore: keystore.keystore(),
        babe: babe_worker,
        authorities: authorities.clone(),
        voter_state: voter_state.clone(),
        justifications: grandpa_link.justification_stream(),
        finality: FinalityProofProvider::new_for_service(backend.clone(), Some(authorities)),
        roster: roster.clone(),
        prover: Arc::new(Prover::new(client.clone(), warp_sync)),
        doubled,
    };
    let spec = config.chain_spec.cloned_box();
    sc_service::spawn_tasks(sc_service::SpawnTasksParams {
        config,
        backend,
        client: client.clone(),
        keystore: keystore.keystore(),
        network: network.clone(),
        rpc_builder: Box::new(move |executor| {
            rpc::module(&deps, spec.cloned_box(), executor).map_err(ServiceError::Application)
        }),
        transaction_pool: pool.clone(),
        task_manager: &mut task_manager,
        system_rpc_tx,
        tx_handler_controller,
        sync_service: sync.clone(),
        telemetry: telemetry.as_mut(),
        tracing_execute_block: None,
    })?;
    task_manager.spawn_handle().spawn("front-door", None, front_door::serve(listener, roster));

    if role.is_authority() {
        let proposer = sc_basic_authorship::ProposerFactory::new(
            task_manager.spawn_handle(),
            client.clone(),
            pool.clone(),
            registry.as_ref(),
            telemetry_handle.clone(),
        );
        let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
            keystore: keystore.keystore(),
            client,
            select_chain,
            env: proposer,
            block_import: babe_import,
            sync_oracle: sync.clone(),
            justification_sync_link: sync.clone(),
            create_inherent_data_providers: inherents,
            force_authoring,
            backoff_authoring_blocks: Some(sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging::default()),
            babe_link,
            block_proposal_slot_portion: SlotProportion::new(0.5),
            max_block_proposal_slot_portion: None,
            telemetry: telemetry_handle.clone(),
        })?;
        task_manager.spawn_essential_handle().spawn_blocking("babe", Some("block-authoring"), babe);
    }
    if grandpa_enabled {
        let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
            config: sc_consensus_grandpa::Config {
                gossip_duration: GOSSIP_INTERVAL,
                justification_generation_period: JUSTIFICATION_PERIOD,
                name: Some(name),
                observer_enabled: false,
                keystore: role.is_authority().then(|| keystore.keystore()),
                local_role: role,
                telemetry: telemetry_handle.clone(),
                protocol_name: grandpa_protocol,
            },
            link: grandpa_link,
            network,
            sync: Arc::new(sync),
            notification_service: grandpa_notifications,
            voting_rule: sc_consensus_grandpa::VotingRulesBuilder::default().build(),
            prometheus_registry: registry,
            shared_voter_state: voter_state,
            telemetry: telemetry_handle,
            offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(pool),
        })?;
        task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter.boxed());
    }
    Ok(task_manager)
}
