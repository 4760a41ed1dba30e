//! The network's service nodes and swarms.

mod checkpoint;
mod rewards;
mod standing;
mod verify;

use crate::{commands::send::diversity_word, context::Context, failure::Failure};
use clap::Subcommand;
use serde::Serialize;
use skep_chain_client::RosterView;
use skep_client::{AccountAddress, Diversity, NetworkError, survey_paths};
use skep_primitives::{BlockNumber, NodeState, RosterEntry, ServiceNodeId, SwarmId};
use std::fmt;

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every service node of the last finalized block
    List {
        /// Also nodes that do not serve: they gather stake, or are decommissioned
        #[arg(long)]
        all: bool,
    },
    /// How nodes stand with the network: their state, how long they may fail, and why they were penalised
    Standing {
        /// One node, as `skep nodes list` shows it; every node if none is given
        node: Option<ServiceNodeId>,
    },
    /// What a node has earned and how many are paid before it; who is paid next if no node is given
    Rewards {
        /// The node, as `skep nodes list` shows it
        node: Option<ServiceNodeId>,
    },
    /// The swarm that keeps an account's mail
    Swarm {
        /// The account; yours if none is given
        account: Option<AccountAddress>,
    },
    /// Have every chain node prove the roster, down to the checkpoint, and name those that lie
    Verify,
    /// Write the checkpoint of the newest block that is proven, for clients to begin with; with --trust-chain what your own
    /// chain node says of it
    Checkpoint {
        /// Of the network's first block, which nothing proves: only with --trust-chain
        #[arg(long)]
        genesis: bool,
    },
}

/// Looks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Verify => return verify::run(context).await,
        Command::Checkpoint { genesis } => return checkpoint::run(genesis, context).await,
        Command::List { all } => {
            let view = plain_view(context).await?;
            let nodes = view.nodes().filter(|node| all || node.state.is_serving()).map(Node::from).collect();
            let paths = survey_paths(&view).ok();
            let paths = paths.map(|paths| Paths { diversity: paths.diversity, fewest_choices: paths.fewest_choices });
            context.output().answer(&List { height: view.height(), paths, nodes });
        }
        Command::Standing { node } => context.output().answer(&standing::look(node, context).await?),
        Command::Rewards { node } => context.output().answer(&rewards::look(node, context).await?),
        Command::Swarm { account } => {
            let view = plain_view(context).await?;
            let account = match account {
                Some(account) => account,
                None => context.client()?.account(),
            };
            let swarm = view.swarm_of(&account.key()).ok_or_else(|| Failure::from(NetworkError::NoSwarm))?;
            let members = view.members(swarm).map(Node::from).collect();
            context.output().answer(&Swarm { account: account.to_string(), swarm, members });
        }
    }
    Ok(())
}

/// The roster as a chain node tells it.
async fn plain_view(context: &Context) -> Result<RosterView, Failure> {
    Ok(RosterView::new(context.chain().await?.roster().await.map_err(Failure::network)?))
}

/// The answer of `nodes list`.
#[derive(Serialize)]
struct List {
    height: BlockNumber,
    /// None: too few nodes for a path.
    paths: Option<Paths>,
    nodes: Vec<Node>,
}

/// How diverse paths can be.
#[derive(Serialize)]
struct Paths {
    #[serde(serialize_with = "diversity_word")]
    diversity: Diversity,
    fewest_choices: usize,
}

/// The answer of `nodes swarm`.
#[derive(Serialize)]
struct Swarm {
    account: String,
    swarm: SwarmId,
    members: Vec<Node>,
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
        write!(f, "{} service nodes at block {}", self.nodes.len(), self.height)?;
        self.nodes.iter().try_for_each(|node| write!(f, "\n{node}"))?;
        match &self.paths {
            None => write!(f, "\ntoo few serve for a path of three hops"),
            Some(Paths { diversity, fewest_choices }) => {
                write!(f, "\npaths: {diversity}; beside each node at least {fewest_choices} others may stand")
            }
        }
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, swarm, members } = self;
        write!(f, "swarm {swarm} keeps the mail of {account}; its {} members:", members.len())?;
        members.iter().try_for_each(|node| write!(f, "\n{node}"))
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
            NodeState::Decommissioned { since, findings, .. } => {
                write!(f, "decommissioned since block {since} ({})", findings.any)?;
            }
        }
        match swarm {
            Some(swarm) => write!(f, ", swarm {swarm}"),
            None => write!(f, ", no swarm yet"),
        }
    }
}
