//! `skep devnet up`: from nothing to a network of staked, placed, reachable service nodes.

use super::{
    layout::{CHAIN_NODES, ChainNode, Layout, LayoutError, SERVICE_NODES, ServiceNode, chain_urls, create_private_dir},
    process::{ProcessError, Processes},
    progress::Progress,
    stakes::{NodeStakes, plan},
};
use crate::{
    commands::stake::{NodeProof, own_version},
    context::Context,
    failure::Failure,
};
use clap::Args;
use serde::Serialize;
use skep_chain_client::{
    AskError, ChainClient, ChainUrls, Checkpoint, ConnectError, KeyError, ParseUrlsError, Registration, RosterView,
    StakerKey, SubmitError, Submitter, Wait,
};
use skep_primitives::{Endpoint, ServiceNodeId};
use std::{
    collections::HashMap,
    fmt, io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{process::Command, task::JoinSet};

/// How long chain nodes may take to finalize their first block. Nothing here is waited out in vain: a process that ends is
/// noticed at once, and 28 that start together keep a small machine busy.
const FINALITY_TIME: Duration = Duration::from_secs(600);
/// How long registered nodes may take to be placed in swarms: two epochs, of blocks that may come late.
const PLACEMENT_TIME: Duration = Duration::from_secs(1_200);
/// How long placed nodes may take to serve.
const READY_TIME: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(300);

#[derive(Debug, Default, Args)]
pub(super) struct UpArgs {
    /// Go on with the state of the last run instead of beginning a new network
    #[arg(long)]
    resume: bool,
    /// Directory of skep-node and skep-messaging [default: where this program is]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// A devnet that is up.
#[derive(Debug, Serialize)]
pub(super) struct Up {
    dir: PathBuf,
    chain: Vec<String>,
    checkpoint: PathBuf,
    front_doors: Vec<String>,
    service_nodes: usize,
    swarms: usize,
    finalized: u32,
    seconds: u64,
}

/// The devnet could not be started; everything that was started is stopped again.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Urls(#[from] ParseUrlsError),
    #[error("{} is missing: build it with `cargo build --workspace --all-targets`, or say with --programs where it is", .0.display())]
    ProgramMissing(PathBuf),
    #[error("cannot tell where this program is: say with --programs where skep-node is")]
    ProgramsUnknown(#[source] io::Error),
    #[error("{address} is in use ({protocol}): stop what uses it, perhaps another devnet")]
    PortTaken { address: String, protocol: &'static str },
    #[error("only a part of the devnet runs: stop it with `skep devnet down`, then start it again")]
    Partly,
    #[error("stopped by Ctrl-C")]
    Interrupted,
    #[error("{what} took longer than {seconds} s: read the logs in {logs}", logs = logs.display())]
    Late { what: &'static str, seconds: u64, logs: PathBuf },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{program} {command} failed: {message}", program = program.display())]
    Program { program: PathBuf, command: &'static str, message: String },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot ask the chain")]
    Ask(#[from] AskError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot stake in {node}")]
    Stake { node: String, source: SubmitError },
    #[error("cannot make an HTTPS client")]
    Http(#[from] reqwest::Error),
}

impl From<UpError> for Failure {
    fn from(error: UpError) -> Self {
        Self::failed(error)
    }
}

/// Starts the network.
pub(super) async fn run(args: UpArgs, layout: &Layout, context: &Context) -> Result<(), Failure> {
    let progress = Progress::new(context.output());
    let up = start(&args, layout, &progress).await?;
    drop(progress);
    context.output().answer(&up);
    Ok(())
}

/// Starts the network if it does not run, and waits until all of it serves. Leaves nothing running where that fails.
pub(super) async fn start(args: &UpArgs, layout: &Layout, progress: &Progress) -> Result<Up, UpError> {
    layout.claim()?;
    let mut processes = Processes::open(layout)?;
    match processes.running().count() {
        0 => {}
        all if all == CHAIN_NODES.len() + usize::from(SERVICE_NODES) => {
            return arrive(layout, &processes, progress).await;
        }
        _ => return Err(UpError::Partly),
    }
    processes.forget()?;
    if !args.resume {
        layout.clear()?;
    }
    let outcome = tokio::select! {
        outcome = bring_up(args, layout, &mut processes, progress) => outcome,
        _ = tokio::signal::ctrl_c() => Err(UpError::Interrupted),
    };
    if outcome.is_err() {
        progress.doing("stopping what was started");
        processes.stop_all().await?;
    }
    outcome
}

/// Whether any process of the network runs.
pub(super) fn is_up(layout: &Layout) -> Result<bool, ProcessError> {
    Ok(super::process::read(layout)?.iter().any(super::process::Recorded::is_running))
}

async fn bring_up(
    args: &UpArgs,
    layout: &Layout,
    processes: &mut Processes,
    progress: &Progress,
) -> Result<Up, UpError> {
    let programs = Programs::find(args.programs.as_deref())?;
    ports_are_free()?;

    progress.doing("making keys and the chain's first block");
    let (keys, spec) = tokio::try_join!(make_keys(layout, &programs), write_chain_spec(layout, &programs))?;
    progress.doing("starting 4 chain nodes");
    for node in CHAIN_NODES {
        let dir = layout.chain_node(node);
        create_private_dir(&dir).map_err(|source| UpError::Write { path: dir.clone(), source })?;
        processes.start(node.name, programs.chain.clone(), chain_arguments(node, &dir, &spec))?;
    }
    progress.doing("waiting for the chain to finalize blocks");
    until(layout, processes, "finalizing the first block", FINALITY_TIME, async || {
        for node in CHAIN_NODES {
            let chain = ChainClient::connect(ChainUrls::new([node.rpc_url()]).ok()?).await.ok()?;
            if chain.finalized().await.ok()?.height == 0 {
                return None;
            }
        }
        Some(())
    })
    .await?;
    progress.done("4 chain nodes finalize blocks");
    write_checkpoint(layout).await?;

    progress.doing(&format!("starting {SERVICE_NODES} messaging nodes"));
    for node in ServiceNode::all() {
        let config = write_config(layout, node)?;
        let arguments = vec!["run".into(), "--config".into(), config.display().to_string()];
        processes.start(&node.name(), programs.messaging.clone(), arguments)?;
    }
    progress.doing(&format!("locking stake behind {SERVICE_NODES} service nodes"));
    register_all(layout, &programs, &keys).await?;
    progress.done(&format!("{SERVICE_NODES} service nodes are registered, two of them by pools"));

    arrive(layout, processes, progress).await
}

/// Waits until every node is placed and serves.
async fn arrive(layout: &Layout, processes: &Processes, progress: &Progress) -> Result<Up, UpError> {
    let chain = ChainClient::connect(chain_urls()?).await?;
    progress.doing("waiting for the chain to place the nodes in swarms");
    let view = until(layout, processes, "placing the nodes in swarms", PLACEMENT_TIME, async || {
        let view = RosterView::new(chain.roster().await.ok()?);
        let placed = view.serving().filter(|entry| entry.swarm.is_assigned()).count();
        (placed == usize::from(SERVICE_NODES)).then_some(view)
    })
    .await?;
    progress.done(&format!("{SERVICE_NODES} service nodes are in swarms"));
    progress.doing("waiting for the messaging nodes to serve");
    let http = loopback_client()?;
    let mut awaited = ServiceNode::all().peekable();
    until(layout, processes, "serving", READY_TIME, async || {
        while let Some(&node) = awaited.peek() {
            http.get(health_url(node)).send().await.ok()?.error_for_status().ok()?;
            awaited.next();
        }
        Some(())
    })
    .await?;
    progress.done(&format!("{SERVICE_NODES} messaging nodes serve"));
    let finalized = chain.finalized().await?.height;
    Ok(Up {
        dir: layout.dir().into(),
        chain: CHAIN_NODES.map(ChainNode::rpc_url).into(),
        checkpoint: layout.checkpoint(),
        front_doors: CHAIN_NODES.map(|node| format!("http://{}", node.front_door())).into(),
        service_nodes: view.serving().count(),
        swarms: view.swarm_ids().len(),
        finalized,
        seconds: progress.seconds(),
    })
}

/// Asks until there is an answer, as long as every process runs.
async fn until<T>(
    layout: &Layout,
    processes: &Processes,
    what: &'static str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T, UpError> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        processes.check()?;
        if began.elapsed() > limit {
            let logs = layout.dir().join("logs");
            return Err(UpError::Late { what, seconds: limit.as_secs(), logs });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Where the programs are.
struct Programs {
    chain: PathBuf,
    messaging: PathBuf,
}

impl Programs {
    fn find(dir: Option<&Path>) -> Result<Self, UpError> {
        let own = std::env::current_exe().map_err(UpError::ProgramsUnknown)?;
        let dir = dir.or(own.parent()).unwrap_or(Path::new("."));
        let program = |name: &str| {
            let path = dir.join(name);
            if path.is_file() { Ok(path) } else { Err(UpError::ProgramMissing(path)) }
        };
        Ok(Self { chain: program("skep-node")?, messaging: program("skep-messaging")? })
    }
}

fn ports_are_free() -> Result<(), UpError> {
    let tcp = |ip: Ipv4Addr, port: u16| match TcpListener::bind((ip, port)) {
        Ok(_) => Ok(()),
        Err(_) => Err(UpError::PortTaken { address: format!("{ip}:{port}"), protocol: "TCP" }),
    };
    for node in CHAIN_NODES {
        for port in [node.rpc_port(), node.p2p_port(), node.prometheus_port(), node.front_door_port()] {
            tcp(Ipv4Addr::LOCALHOST, port)?;
        }
    }
    for node in ServiceNode::all() {
        tcp(node.ip(), ServiceNode::HTTPS_PORT)?;
        tcp(node.ip(), ServiceNode::METRICS_PORT)?;
        let address = (node.ip(), ServiceNode::QUIC_PORT);
        if UdpSocket::bind(address).is_err() {
            let address = format!("{}:{}", address.0, address.1);
            return Err(UpError::PortTaken { address, protocol: "UDP" });
        }
    }
    Ok(())
}

/// Writes the `local` network in the form a node starts from, so that its genesis is computed once and not by every
/// chain node.
async fn write_chain_spec(layout: &Layout, programs: &Programs) -> Result<PathBuf, UpError> {
    let path = layout.chain_spec();
    if !path.exists() {
        let spec = call(&programs.chain, "export-chain-spec", &["--chain", "local", "--raw"]).await?;
        let write = || {
            create_private_dir(path.parent().unwrap_or(Path::new(".")))?;
            std::fs::write(&path, spec)
        };
        write().map_err(|source| UpError::Write { path: path.clone(), source })?;
    }
    Ok(path)
}

/// Writes the checkpoint that clients prove the roster from: genesis, told by our own chain node. It is believed for ever,
/// since the authorities of this machine hold no stakes that unlock.
async fn write_checkpoint(layout: &Layout) -> Result<(), UpError> {
    let path = layout.checkpoint();
    if !path.exists() {
        let chain = ChainClient::connect(chain_urls()?).await?;
        let checkpoint = Checkpoint { believed_for: None, ..chain.checkpoint(&chain.genesis_hash()).await? };
        let text = serde_json::to_string_pretty(&checkpoint).map_err(io::Error::other);
        text.and_then(|text| std::fs::write(&path, text))
            .map_err(|source| UpError::Write { path: path.clone(), source })?;
    }
    Ok(())
}

/// How a chain node is started: everything on loopback, and a cache that fits a small state.
fn chain_arguments(node: ChainNode, dir: &Path, spec: &Path) -> Vec<String> {
    let mut arguments = vec![format!("--{}", node.name)];
    let options = [
        ("--chain", spec.display().to_string()),
        ("--base-path", dir.display().to_string()),
        ("--node-key", node.node_key()),
        ("--listen-addr", format!("/ip4/127.0.0.1/tcp/{}", node.p2p_port())),
        ("--rpc-port", node.rpc_port().to_string()),
        ("--rpc-max-connections", "200".into()),
        ("--prometheus-port", node.prometheus_port().to_string()),
        ("--front-door", node.front_door()),
        ("--trie-cache-size", (16 * 1024 * 1024).to_string()),
        ("--pool-limit", "512".into()),
    ];
    for (option, value) in options {
        arguments.push(option.into());
        arguments.push(value);
    }
    arguments.extend(["--allow-private-ip", "--no-mdns", "--no-telemetry"].map(Into::into));
    for other in CHAIN_NODES.iter().filter(|other| other.name != node.name) {
        arguments.push("--bootnodes".into());
        arguments.push(other.p2p_address());
    }
    arguments
}

/// Makes the node keys that are not there yet; tells the id of each.
async fn make_keys(layout: &Layout, programs: &Programs) -> Result<HashMap<u8, ServiceNodeId>, UpError> {
    let mut jobs = JoinSet::new();
    for node in ServiceNode::all() {
        let dir = layout.service_node(node);
        create_private_dir(&dir).map_err(|source| UpError::Write { path: dir.clone(), source })?;
        let (program, key, id) = (programs.messaging.clone(), dir.join("node.key"), dir.join("node.id"));
        jobs.spawn(async move {
            if !key.exists() {
                let printed = call(&program, "keygen", &["--out", &key.display().to_string()]).await?;
                std::fs::write(&id, printed).map_err(|source| UpError::Write { path: id.clone(), source })?;
            }
            let text = std::fs::read_to_string(&id).map_err(|source| UpError::Write { path: id.clone(), source })?;
            let id = text.trim().parse().map_err(|_| UpError::Program { program, command: "keygen", message: text })?;
            Ok((node.0, id))
        });
    }
    collect(jobs).await
}

/// Registers the nodes that are not registered yet, then fills the pools.
async fn register_all(layout: &Layout, programs: &Programs, ids: &HashMap<u8, ServiceNodeId>) -> Result<(), UpError> {
    let chain = ChainClient::connect(chain_urls()?).await?;
    let known = RosterView::new(chain.roster().await?);
    let plan = plan(chain.staking_terms().await?.requirement);
    let submitter = Submitter::connect(&chain_urls()?, "//Alice".parse()?)
        .await
        .map_err(|source| UpError::Stake { node: "any node".into(), source })?;

    let mut nodes = HashMap::<_, Vec<_>>::new();
    for stakes in &plan {
        if ids.get(&stakes.node.0).is_none_or(|id| known.node(id).is_none()) {
            nodes.entry(stakes.operator).or_default().push((layout.service_node(stakes.node), stakes.clone()));
        }
    }
    let mut jobs = JoinSet::new();
    for (operator, nodes) in nodes {
        let (program, submitter) = (programs.messaging.clone(), submitter.signing_with(operator.parse()?));
        // One after the other: transactions of one account are numbered.
        jobs.spawn(async move {
            for (dir, stakes) in nodes {
                register(&program, &dir, &stakes, &submitter).await?;
            }
            Ok(())
        });
    }
    collect::<Vec<()>, _>(jobs).await?;

    let mut jobs = JoinSet::new();
    for stakes in plan {
        let Some(&id) = ids.get(&stakes.node.0) else { continue };
        for (contributor, amount) in stakes.contributions {
            let key: StakerKey = contributor.parse()?;
            let given =
                known.node(&id).is_some_and(|entry| entry.contributions.iter().any(|c| c.staker == key.staker()));
            if given {
                continue;
            }
            let submitter = submitter.signing_with(key);
            let node = stakes.node.name();
            jobs.spawn(async move {
                let outcome = submitter.contribute(id, amount, Wait::InBlock).await;
                outcome.map(drop).map_err(|source| UpError::Stake { node, source })
            });
        }
    }
    collect::<Vec<()>, _>(jobs).await?;
    Ok(())
}

/// The way of any operator: the node proves its key, the operator registers it with the proof.
async fn register(program: &Path, dir: &Path, stakes: &NodeStakes, submitter: &Submitter) -> Result<(), UpError> {
    let operator = submitter.staker().to_string();
    let fee = stakes.fee.steps().to_string();
    let (key, chain) = (dir.join("node.key").display().to_string(), chain_urls()?.to_string());
    let arguments = ["--key", &key, "--operator", &operator, "--fee", &fee, "--chain", &chain];
    let printed = call(program, "prove", &arguments).await?;
    let path = dir.join("proof.json");
    std::fs::write(&path, &printed).map_err(|source| UpError::Write { path, source })?;
    let NodeProof { node, fee, proof, .. } = serde_json::from_str(&printed).map_err(|error| UpError::Program {
        program: program.into(),
        command: "prove",
        message: error.to_string(),
    })?;
    let registration = Registration {
        reserved: Vec::new(),
        node,
        proof,
        fee,
        endpoint: Endpoint {
            ipv4: stakes.node.ip().octets(),
            https_port: ServiceNode::HTTPS_PORT,
            quic_port: ServiceNode::QUIC_PORT,
        },
        version: own_version(),
        stake: stakes.operator_stake,
    };
    let outcome = submitter.register(&registration, Wait::InBlock).await;
    outcome.map(drop).map_err(|source| UpError::Stake { node: stakes.node.name(), source })
}

/// Runs a command of a program to its end; its standard output.
async fn call(program: &Path, command: &'static str, arguments: &[&str]) -> Result<String, UpError> {
    let failed = |message: String| UpError::Program { program: program.into(), command, message };
    let output = Command::new(program)
        .arg(command)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
}

/// Results of all jobs, or the first failure.
async fn collect<C, T>(mut jobs: JoinSet<Result<T, UpError>>) -> Result<C, UpError>
where
    C: Default + Extend<T>,
    T: Send + 'static,
{
    let mut results = C::default();
    while let Some(result) = jobs.join_next().await {
        match result {
            Ok(result) => results.extend([result?]),
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            // Nobody aborts a job before the set is dropped.
            Err(_) => {}
        }
    }
    Ok(results)
}

/// A messaging node's configuration as far as it differs from the defaults.
#[derive(Serialize)]
struct NodeConfig {
    data_dir: PathBuf,
    key_file: PathBuf,
    chain: [String; 4],
    listen: Listen,
    metrics: Metrics,
}

#[derive(Serialize)]
struct Listen {
    address: Ipv4Addr,
    https_port: u16,
    quic_port: u16,
}

#[derive(Serialize)]
struct Metrics {
    address: String,
}

fn write_config(layout: &Layout, node: ServiceNode) -> Result<PathBuf, UpError> {
    let dir = layout.service_node(node);
    let config = NodeConfig {
        data_dir: dir.join("data"),
        key_file: dir.join("node.key"),
        chain: CHAIN_NODES.map(ChainNode::rpc_url),
        listen: Listen { address: node.ip(), https_port: ServiceNode::HTTPS_PORT, quic_port: ServiceNode::QUIC_PORT },
        metrics: Metrics { address: format!("{}:{}", node.ip(), ServiceNode::METRICS_PORT) },
    };
    let path = dir.join("skep-messaging.toml");
    let text = toml::to_string(&config).map_err(io::Error::other);
    text.and_then(|text| std::fs::write(&path, text))
        .map_err(|source| UpError::Write { path: path.clone(), source })?;
    Ok(path)
}

/// Where a messaging node says whether it serves.
pub(super) fn health_url(node: ServiceNode) -> String {
    format!("https://{}:{}/health", node.ip(), ServiceNode::HTTPS_PORT)
}

/// For asking our own processes on loopback how they are: certificates do not matter there.
pub(super) fn loopback_client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().timeout(Duration::from_secs(5)).build()
}

impl fmt::Display for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "The devnet is up after {} s: {} service nodes in {}, block {} finalized.",
            self.seconds,
            self.service_nodes,
            if self.swarms == 1 { "one swarm".to_owned() } else { format!("{} swarms", self.swarms) },
            self.finalized
        )?;
        writeln!(f, "Its files are in {}.", self.dir.display())?;
        writeln!(f, "For `skep` and messaging nodes:  export SKEP_CHAIN={}", self.chain.join(","))?;
        writeln!(f, "For `skep`:                      export SKEP_CHECKPOINT={}", self.checkpoint.display())?;
        write!(f, "For existing clients:            {}/json_rpc", self.front_doors.first().map_or("", String::as_str))
    }
}
