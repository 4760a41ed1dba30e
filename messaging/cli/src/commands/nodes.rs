//! The network's service nodes and swarms.

use crate::{context::Context, failure::Failure};
use clap::Subcommand;
use serde::Serialize;
use skep_chain_client::RosterView;
use skep_primitives::{BlockNumber, NodeState, RosterEntry, ServiceNodeId, SwarmId};
use std::fmt;

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every service node of the last finalized block
    List {
        /// Also nodes that still gather stake
        #[arg(long)]
        all: bool,
    },
}

/// Looks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let view = RosterView::new(context.chain().await?.roster().await.map_err(Failure::network)?);
    match command {
        Command::List { all } => {
            let nodes = view.nodes().filter(|node| all || node.state.is_serving()).map(Node::from).collect();
            context.output().answer(&List { height: view.height(), nodes });
        }
    }
    Ok(())
}

/// The answer of `nodes list`.
#[derive(Serialize)]
struct List {
    height: BlockNumber,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    id: ServiceNodeId,
    ip: String,
    https_port: u16,
    quic_port: u16,
    version: String,
    #[serde(flatten)]
    state: NodeState,
    #[serde(skip_serializing_if = "Option::is_none")]
    swarm: Option<SwarmId>,
}

impl From<&RosterEntry> for Node {
    fn from(entry: &RosterEntry) -> Self {
        Self {
            id: entry.id,
            ip: entry.endpoint.ip().to_string(),
            https_port: entry.endpoint.https_port,
            quic_port: entry.endpoint.quic_port,
            version: entry.version.to_string(),
            state: entry.state,
            swarm: Some(entry.swarm).filter(|swarm| swarm.is_assigned()),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} service nodes at block {}", self.nodes.len(), self.height)?;
        self.nodes.iter().try_for_each(|node| writeln!(f, "{node}"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, ip, https_port, version, state, swarm, .. } = self;
        write!(f, "{id}  {ip}:{https_port}  {version}  ")?;
        match state {
            NodeState::Gathering { expires_at } => write!(f, "gathers stake until block {expires_at}")?,
            NodeState::Active { since } => write!(f, "active since block {since}")?,
            NodeState::Leaving { leaves_at, .. } => write!(f, "leaves at block {leaves_at}")?,
        }
        match swarm {
            Some(swarm) => write!(f, ", swarm {swarm}"),
            None => write!(f, ", no swarm yet"),
        }
    }
}
