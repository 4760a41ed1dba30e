//! `skep-messaging run`

use super::{Outcome, runtime};
use skep_chain_client::{ChainClient, ChainUrls, FollowError, RosterReceiver};
use skep_mailbox::RocksStore;
use skep_messaging::{
    NodeKey,
    config::{Config, Log, LogFormat},
    drive::{
        Doors, MessagingNode, NodeParts, find_terms,
        supervisor::{Sockets, Tell, tell},
    },
};
use std::{
    error::Error,
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
#[command(after_help = "\
Signals:
  SIGTERM, SIGINT  stop: requests under way get a second, then everything is written and closed
  SIGHUP           read the configuration again: [limits] and the log level apply at once; a bad file changes nothing

Under a service manager that passes sockets (LISTEN_FDS: one TCP listener, one UDP socket) the node serves on those, so that
nobody is refused while it restarts. It tells NOTIFY_SOCKET once its message store is open and its ports are its own;
until it has found a chain node it serves nobody, and those who connect wait.")]
pub(crate) struct Run {
    /// The configuration file (`skep-messaging config` prints one)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let config = Config::load(&self.config)?;
        let log_level = start_log(&config.log)?;
        let key = NodeKey::load(&config.key_file())?;
        let sockets = Sockets::from_environment()?;
        let runtime = runtime()?;
        runtime.block_on(serve(Settings { file: self.config, config, log_level }, key, sockets))
    }
}

async fn serve(mut settings: Settings, key: NodeKey, sockets: Sockets) -> Outcome {
    // Heard from the beginning, so that a node that still waits for its chain can be stopped too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);

    let config = &settings.config;
    fs::create_dir_all(&config.data_dir).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make the data directory {}: {error}", config.data_dir.display()))
    })?;
    let store = Arc::new(RocksStore::open(&config.message_store(), config.limits.quotas())?);
    let doors = Doors::open(sockets, config).await?;
    // Not only once a chain node is found: one that starts together with this node may take longer than the manager waits, and
    // starting anew would not help.
    tell(Tell::Ready);
    tell(Tell::Status("waiting for a chain node"));
    let (chain, roster) = tokio::select! {
        found = find_chain(config.chain_urls()?) => found,
        () = &mut stop => return Ok(()),
    };
    let (mut seeks_terms, terms) = (config.testing.enabled, find_terms(Arc::clone(&chain)));
    tokio::pin!(terms);
    let genesis = chain.genesis_hash();
    let node = MessagingNode::start_at(doors, config, NodeParts { key, genesis, roster, store })?;
    node.follow_work_floor(chain);
    tell(Tell::Status("serving"));
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = hangup.recv() => settings.reload(&node),
            found = &mut terms, if seeks_terms => {
                seeks_terms = false;
                node.test_others(found);
            }
        }
    }
    tracing::info!("stopping");
    tell(Tell::Stopping);
    node.stop().await;
    Ok(())
}

/// The configuration in force, and how to put another in its place.
struct Settings {
    file: PathBuf,
    config: Config,
    log_level: LogLevel,
}

type LogLevel = Box<dyn Fn(EnvFilter) -> Result<(), Box<dyn Error>>>;

impl Settings {
    /// Reads the file again and applies what can change while the node runs. If it is not good, nothing changes.
    fn reload(&mut self, node: &MessagingNode) {
        match self.read_again() {
            Ok(new) => {
                let waiting = self.config.needs_restart(&new);
                node.apply(&new.limits);
                if !waiting.is_empty() {
                    tracing::warn!(sections = waiting.join(", "), "changed in the configuration; needs a restart");
                }
                // What waits for a restart is told of again at the next reload, until then.
                (self.config.limits, self.config.log.level) = (new.limits, new.log.level);
                tracing::info!(file = %self.file.display(), "the configuration was read again; its limits apply");
            }
            Err(error) => {
                node.note_refused_reload();
                tracing::error!(%error, "the configuration was refused; the one before stays in force");
            }
        }
    }

    fn read_again(&self) -> Result<Config, Box<dyn Error>> {
        let new = Config::load(&self.file)?;
        (self.log_level)(filter(&new.log)?)?;
        Ok(new)
    }
}

/// Follows the roster; everything else is asked with the client that comes with it. A chain node that starts together with
/// this one may take its time.
async fn find_chain(urls: ChainUrls) -> (Arc<ChainClient>, RosterReceiver) {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        match chain_and_roster(urls.clone()).await {
            Ok(found) => return found,
            Err(error) => tracing::warn!(%error, "waiting for a chain node"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn chain_and_roster(urls: ChainUrls) -> Result<(Arc<ChainClient>, RosterReceiver), FollowError> {
    let chain = Arc::new(ChainClient::connect(urls).await?);
    let roster = chain.follow().await?;
    Ok((chain, roster))
}

/// What is logged, if the level is understood.
pub(super) fn filter(log: &Log) -> Result<EnvFilter, Box<dyn Error>> {
    Ok(EnvFilter::try_new(&log.level).map_err(|error| format!("`log.level` is not understood: {error}"))?)
}

/// Begins to log, and returns what changes the level from then on.
fn start_log(log: &Log) -> Result<LogLevel, Box<dyn Error>> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Ok(Box::new(move |level| Ok(handle.reload(level)?)))
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Ok(Box::new(move |level| Ok(handle.reload(level)?)))
        }
    }
}
