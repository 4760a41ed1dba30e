//! `skep devnet status`: processes, heights, swarms and memory.

use super::{
    layout::{CHAIN_NODES, Layout, SERVICE_NODES, ServiceNode},
    process::{self, Recorded},
    up::{health_url, loopback_client},
};
use crate::{context::Context, failure::Failure};
use serde::{Deserialize, Serialize};
use skep_chain_client::{ChainClient, ChainUrls, RosterView};
use skep_primitives::{BlockNumber, ServiceNodeId, SwarmId, SwarmMembers};
use std::fmt;

const MIB: u64 = 1024 * 1024;

/// What a devnet is doing.
#[derive(Debug, Serialize)]
struct Status {
    running: usize,
    processes: Vec<ProcessStatus>,
    swarms: Vec<SwarmMembers>,
    service_nodes: usize,
}

#[derive(Debug, Serialize)]
struct ProcessStatus {
    name: String,
    pid: i32,
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    /// Finalized height, as the process itself knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    finalized: Option<BlockNumber>,
    /// What a messaging node says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    log: String,
}

/// The answer of `GET /health`.
#[derive(Debug, Serialize, Deserialize)]
struct Health {
    status: String,
    node: ServiceNodeId,
    swarm: Option<SwarmId>,
    height: BlockNumber,
}

/// Shows the network.
pub(super) async fn run(layout: &Layout, context: &Context) -> Result<(), Failure> {
    let http = loopback_client().map_err(Failure::failed)?;
    let mut processes = Vec::new();
    let mut roster = None;
    for recorded in process::read(layout)? {
        let mut status = ProcessStatus::new(&recorded);
        if status.running {
            if let Some(node) = CHAIN_NODES.iter().find(|node| node.name == recorded.name) {
                let urls = ChainUrls::new([node.rpc_url()]).map_err(Failure::failed)?;
                if let Ok(chain) = ChainClient::connect(urls).await {
                    status.finalized = chain.finalized().await.ok().map(|block| block.height);
                    if roster.is_none() {
                        roster = chain.roster().await.ok().map(RosterView::new);
                    }
                }
            } else if let Some(node) = ServiceNode::all().find(|node| node.name() == recorded.name) {
                status.health = health(&http, node).await;
                status.finalized = status.health.as_ref().map(|health| health.height);
            }
        }
        processes.push(status);
    }
    let swarms = roster.as_ref().map(swarms).unwrap_or_default();
    let service_nodes = roster.as_ref().map_or(0, |view| view.serving().count());
    let running = processes.iter().filter(|process| process.running).count();
    context.output().answer(&Status { running, processes, swarms, service_nodes });
    Ok(())
}

async fn health(http: &reqwest::Client, node: ServiceNode) -> Option<Health> {
    let answer = http.get(health_url(node)).send().await.ok()?;
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

fn swarms(view: &RosterView) -> Vec<SwarmMembers> {
    view.swarm_ids()
        .iter()
        .map(|&id| SwarmMembers { id, nodes: view.members(id).map(|entry| entry.id).collect() })
        .collect()
}

impl ProcessStatus {
    fn new(recorded: &Recorded) -> Self {
        let running = recorded.is_running();
        Self {
            name: recorded.name.clone(),
            pid: recorded.pid,
            running,
            resident_bytes: if running { recorded.resident_bytes() } else { None },
            finalized: None,
            health: None,
            log: recorded.log.display().to_string(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.processes.is_empty() {
            return write!(f, "No devnet was started here: `skep devnet up` starts one.");
        }
        writeln!(f, "{:<8} {:>8} {:>9} {:>10}  state", "name", "pid", "memory", "finalized")?;
        for process in &self.processes {
            let memory = process.resident_bytes.map_or("-".into(), |bytes| format!("{} MiB", bytes / MIB));
            let finalized = process.finalized.map_or("-".into(), |height| height.to_string());
            let state = match (&process.health, process.running) {
                (_, false) => "stopped".into(),
                (Some(Health { status, node, .. }), true) => format!("{status}, {node}"),
                (None, true) if process.finalized.is_some() => "running".into(),
                (None, true) => "running, does not answer".into(),
            };
            writeln!(f, "{:<8} {:>8} {memory:>9} {finalized:>10}  {state}", process.name, process.pid)?;
        }
        for SwarmMembers { id, nodes } in &self.swarms {
            writeln!(f, "swarm {id}: {} nodes", nodes.len())?;
        }
        let all = CHAIN_NODES.len() + usize::from(SERVICE_NODES);
        write!(f, "{} of {all} processes run; {} service nodes serve.", self.running, self.service_nodes)
    }
}
