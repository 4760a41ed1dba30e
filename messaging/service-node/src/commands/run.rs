//! `skep-messaging run`

use super::{Outcome, runtime};
use skep_chain_client::{ChainClient, ChainUrls, FollowError, RosterReceiver};
use skep_mailbox::RocksStore;
use skep_messaging::{
    NodeKey,
    config::{Config, Log, LogFormat},
    drive::{MessagingNode, NodeParts},
};
use skep_primitives::BlockHash;
use std::{
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Serves until it is told to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The configuration file (`skep-messaging config` prints one)
    #[arg(long)]
    config: PathBuf,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let config = Config::load(&self.config)?;
        start_log(&config.log)?;
        let key = NodeKey::load(&config.key_file())?;
        let runtime = runtime()?;
        runtime.block_on(serve(config, key))
    }
}

async fn serve(config: Config, key: NodeKey) -> Outcome {
    // Heard from the beginning, so that a node that still waits for its chain can be stopped too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);

    fs::create_dir_all(&config.data_dir).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make the data directory {}: {error}", config.data_dir.display()))
    })?;
    let store = Arc::new(RocksStore::open(&config.data_dir.join("messages"), config.limits.quotas())?);
    let (genesis, roster) = tokio::select! {
        found = find_chain(config.chain_urls()?) => found,
        () = &mut stop => return Ok(()),
    };
    let node = MessagingNode::start(&config, NodeParts { key, genesis, roster, store }).await?;
    stop.await;
    tracing::info!("stopping");
    node.stop().await;
    Ok(())
}

/// Follows the roster. A chain node that starts together with this one may take its time.
async fn find_chain(urls: ChainUrls) -> (BlockHash, RosterReceiver) {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        match name_and_roster(urls.clone()).await {
            Ok(found) => return found,
            Err(error) => tracing::warn!(%error, "waiting for a chain node"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn name_and_roster(urls: ChainUrls) -> Result<(BlockHash, RosterReceiver), FollowError> {
    let chain = ChainClient::connect(urls).await?;
    Ok((chain.genesis_hash(), chain.follow().await?))
}

fn start_log(log: &Log) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| format!("`log.level` is not understood: {error}"))?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
