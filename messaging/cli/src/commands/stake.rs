//! `skep stake`: lock tokens behind service nodes, and take them back.

use crate::{
    context::Context,
    failure::Failure,
    output::count,
    signer::{Block, SignerArgs, SignerError},
    tokens::Tokens,
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use skep_chain_client::{
    AskError, ChainClient, ChainUrls, ConnectError, ContributionError, ParseAccountError, Pool, Registered,
    Registration, SessionKeys, StakerKey, SubmitError, Submitter, Wait, parse_account, ss58,
};
use skep_primitives::{
    Balance, Endpoint, NodeState, OpenPool, Permyriad, Reservation, RosterEntry, ServiceNodeId, SoftwareVersion, Spot,
    Stake, StakeLock, StakerId, StakingTerms,
};
use std::{
    fmt, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// Lock tokens behind service nodes, and take them back.
#[derive(Debug, Args)]
pub(crate) struct StakeArgs {
    #[command(flatten)]
    signer: SignerArgs,
    #[command(subcommand)]
    command: StakeCommand,
}

#[derive(Debug, Subcommand)]
enum StakeCommand {
    /// Register a service node and lock the operator's stake.
    Register(RegisterArgs),
    /// Show the nodes that take stake now, and what each asks for at least.
    Pools,
    /// Lock stake behind a node that gathers it or whose place is open again, or add to a stake in it.
    Contribute {
        /// The node, as `skep nodes list` shows it.
        node: ServiceNodeId,
        /// How much, in tokens.
        amount: Tokens,
    },
    /// Ask for the stake in a serving node back: it returns when the unlock time is over. Unless others fill its place by
    /// then, the node ends and every stake in it returns.
    Unlock {
        /// The node.
        node: ServiceNodeId,
    },
    /// Give a node another key: stakes and terms stay, the new key joins a swarm of its own.
    HandOver {
        /// The node as it is registered now.
        node: ServiceNodeId,
        /// What `skep-messaging prove` printed for the new key, this operator and the same fee.
        #[arg(long, value_name = "FILE")]
        proof: PathBuf,
    },
    /// Change where a node of yours is reached, at once; what is not given stays. (`skep-messaging announce` does it with the
    /// node's key.)
    Endpoint {
        /// The node.
        node: ServiceNodeId,
        /// Public IPv4 address.
        #[arg(long, required_unless_present_any = ["https_port", "quic_port"])]
        ip: Option<Ipv4Addr>,
        /// TCP port of the node's client API.
        #[arg(long)]
        https_port: Option<u16>,
        /// UDP port on which other nodes reach it.
        #[arg(long)]
        quic_port: Option<u16>,
    },
    /// Take the stake back from a node that has not gathered its whole stake yet.
    Withdraw {
        /// The node.
        node: ServiceNodeId,
    },
    /// Offer a node of yours as a block producer: it may be drawn once two epochs have passed.
    Offer {
        /// What `skep-messaging offer` printed for the node.
        #[arg(value_name = "FILE")]
        offer: PathBuf,
    },
    /// Offer a node as a block producer no longer: it leaves the set at the next era.
    Retract {
        /// The node.
        node: ServiceNodeId,
    },
    /// Show the stakes of an account, and what a registration must bring now.
    Status {
        /// The account (SS58 or hex); by default the one of the secret given.
        account: Option<String>,
    },
}

#[derive(Debug, Args)]
struct RegisterArgs {
    /// What `skep-messaging prove` printed for this operator and fee.
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Public IPv4 address of the node.
    #[arg(long)]
    ip: Ipv4Addr,
    /// TCP port of the node's client API.
    #[arg(long, default_value_t = 22021)]
    https_port: u16,
    /// UDP port on which other nodes reach it.
    #[arg(long, default_value_t = 22020)]
    quic_port: u16,
    /// What to lock, in tokens; with less than the whole requirement the node gathers contributions first.
    #[arg(long, value_name = "TOKENS")]
    stake: Option<Tokens>,
    /// Keeps a spot for an account (SS58 or hex) that brings at least so many tokens; up to nine times.
    #[arg(long, value_name = "ACCOUNT=TOKENS", value_parser = parse_reservation)]
    reserve: Vec<Reservation>,
}

fn parse_reservation(text: &str) -> Result<Reservation, String> {
    let (account, amount) = text.split_once('=').ok_or("write it as ACCOUNT=TOKENS")?;
    let staker = parse_account(account).map_err(|error| error.to_string())?;
    let Tokens(amount) = amount.parse().map_err(|error: crate::tokens::ParseTokensError| error.to_string())?;
    Ok(Reservation { staker, amount })
}

/// What `skep-messaging prove` prints: a node key's consent to one operator and fee.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeProof {
    pub(crate) node: ServiceNodeId,
    pub(crate) operator: StakerId,
    pub(crate) fee: Permyriad,
    #[serde(deserialize_with = "fixed_hex")]
    pub(crate) proof: [u8; 64],
}

/// What `skep-messaging offer` prints: session keys, and the consent of whoever holds them and of the node.
#[derive(Debug, Deserialize)]
struct NodeOffer {
    node: ServiceNodeId,
    #[serde(deserialize_with = "fixed_hex")]
    babe: [u8; 32],
    #[serde(deserialize_with = "fixed_hex")]
    grandpa: [u8; 32],
    #[serde(deserialize_with = "any_hex")]
    session_proof: Vec<u8>,
    #[serde(deserialize_with = "fixed_hex")]
    node_proof: [u8; 64],
}

/// A stake command had no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StakeError {
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Account(#[from] ParseAccountError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("cannot read the proof {path}", path = path.display())]
    ProofUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not what `skep-messaging prove` printed", path = path.display())]
    ProofMalformed { path: PathBuf, source: serde_json::Error },
    #[error("{path} is not what `skep-messaging offer` printed", path = path.display())]
    OfferMalformed { path: PathBuf, source: serde_json::Error },
    #[error(
        "the proof is for operator {proven}, but the secret given is that of {signer}: run \
         `skep-messaging prove --operator {signer}`, or give the secret of {proven}"
    )]
    OtherOperator { proven: StakerId, signer: StakerId },
    #[error("node {0} is not registered: `skep nodes list` shows those that are")]
    UnknownNode(ServiceNodeId),
    #[error("node {0} takes no stake now: `skep stake pools` shows those that do")]
    NotGathering(ServiceNodeId),
    #[error("node {0} does not serve yet: take the stake back with `skep stake withdraw`")]
    NotServing(ServiceNodeId),
    #[error("node {0} is not gathering any more: ask with `skep stake unlock`")]
    Serving(ServiceNodeId),
    #[error("{staker} has no stake in node {node}")]
    NoStake { staker: StakerId, node: ServiceNodeId },
    #[error("node {0} has as many contributors as it may have: choose another node")]
    NoFreeSpot(ServiceNodeId),
    #[error("{offered} is too little: bring at least {minimum}")]
    TooLittle { offered: Tokens, minimum: Tokens },
    #[error("{offered} is too much: the node has room for {room}, so bring at most {maximum}")]
    TooMuch { offered: Tokens, room: Tokens, maximum: Tokens },
}

impl From<StakeError> for Failure {
    fn from(error: StakeError) -> Self {
        match error {
            StakeError::Signer(_) | StakeError::OtherOperator { .. } => Self::account(error),
            StakeError::Connect(_) | StakeError::Ask(_) | StakeError::Submit(SubmitError::Connect(_)) => {
                Self::network(error)
            }
            StakeError::Submit(_) => Self::failed(error),
            StakeError::Account(_)
            | StakeError::ProofUnreadable { .. }
            | StakeError::ProofMalformed { .. }
            | StakeError::OfferMalformed { .. }
            | StakeError::UnknownNode(_)
            | StakeError::NotGathering(_)
            | StakeError::NotServing(_)
            | StakeError::Serving(_)
            | StakeError::NoStake { .. }
            | StakeError::NoFreeSpot(_)
            | StakeError::TooLittle { .. }
            | StakeError::TooMuch { .. } => Self::usage(error),
        }
    }
}

/// What a stake command did or found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(crate) enum StakeReport {
    /// A node was registered.
    Registered {
        node: ServiceNodeId,
        #[serde(with = "skep_primitives::decimal")]
        staked: Balance,
        #[serde(with = "skep_primitives::decimal")]
        requirement: Balance,
        #[serde(flatten)]
        block: Block,
    },
    /// A contribution was locked.
    Contributed {
        node: ServiceNodeId,
        /// What was sent to be locked.
        #[serde(skip)]
        offered: Balance,
        #[serde(with = "skep_primitives::decimal")]
        staked: Balance,
        #[serde(flatten)]
        block: Block,
    },
    /// Nodes that take stake.
    Pools { pools: Vec<OpenPool>, height: u32 },
    /// A node has another key.
    HandedOver {
        from: ServiceNodeId,
        to: ServiceNodeId,
        #[serde(flatten)]
        block: Block,
    },
    /// A node is reached elsewhere.
    Moved {
        node: ServiceNodeId,
        endpoint: Endpoint,
        #[serde(flatten)]
        block: Block,
    },
    /// A stake was asked back.
    UnlockRequested {
        node: ServiceNodeId,
        free_after_block: u32,
        #[serde(flatten)]
        block: Block,
    },
    /// A stake was returned.
    Withdrawn {
        node: ServiceNodeId,
        #[serde(flatten)]
        block: Block,
    },
    /// A node was offered as a block producer.
    Offered {
        node: ServiceNodeId,
        #[serde(flatten)]
        block: Block,
    },
    /// A node is offered no longer.
    Retracted {
        node: ServiceNodeId,
        #[serde(flatten)]
        block: Block,
    },
    /// The stakes of an account.
    Status { account: StakerId, address: String, stakes: Vec<Stake>, terms: StakingTerms, height: u32 },
}

/// Runs one stake command; a call counts when its block is finalized.
pub(crate) async fn run(args: StakeArgs, context: &Context) -> Result<(), Failure> {
    let report = act(args, context.chain_urls()?).await?;
    context.output().answer(&report);
    Ok(())
}

async fn act(StakeArgs { signer, command }: StakeArgs, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    match command {
        StakeCommand::Register(args) => register(args, signer.key()?, urls).await,
        StakeCommand::Contribute { node, amount } => contribute(node, amount, signer.key()?, urls).await,
        StakeCommand::Pools => {
            let chain = ChainClient::connect(urls).await?;
            // Who asks without a secret sees what is open to anybody.
            let staker = signer.key().map_or(StakerId([0; 32]), |key| key.staker());
            let (pools, finalized) = tokio::try_join!(chain.open_pools(staker), chain.finalized())?;
            Ok(StakeReport::Pools { pools, height: finalized.height })
        }
        StakeCommand::HandOver { node, proof } => {
            let key = signer.key()?;
            let NodeProof { node: to, proof, .. } = NodeProof::read(&proof)?.made_for(key.staker())?;
            let included = Submitter::connect(&urls, key).await?.hand_over(node, to, &proof, Wait::Finalized).await?;
            Ok(StakeReport::HandedOver { from: node, to, block: included.into() })
        }
        StakeCommand::Endpoint { node, ip, https_port, quic_port } => {
            let RosterEntry { endpoint: old, version, .. } = entry(node, &urls).await?;
            let endpoint = Endpoint {
                ipv4: ip.map_or(old.ipv4, |ip| ip.octets()),
                https_port: https_port.unwrap_or(old.https_port),
                quic_port: quic_port.unwrap_or(old.quic_port),
            };
            let submitter = Submitter::connect(&urls, signer.key()?).await?;
            let included = submitter.update_endpoint(node, &endpoint, version, Wait::Finalized).await?;
            Ok(StakeReport::Moved { node, endpoint, block: included.into() })
        }
        StakeCommand::Unlock { node } => unlock(node, signer.key()?, urls).await,
        StakeCommand::Withdraw { node } => withdraw(node, signer.key()?, urls).await,
        StakeCommand::Offer { offer: file } => offer(&file, signer.key()?, urls).await,
        StakeCommand::Retract { node } => {
            let included =
                Submitter::connect(&urls, signer.key()?).await?.retract_session_keys(node, Wait::Finalized).await?;
            Ok(StakeReport::Retracted { node, block: included.into() })
        }
        StakeCommand::Status { account: Some(account) } => status(parse_account(&account)?, urls).await,
        StakeCommand::Status { account: None } => status(signer.key()?.staker(), urls).await,
    }
}

impl NodeProof {
    pub(crate) fn read(path: &Path) -> Result<Self, StakeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| StakeError::ProofUnreadable { path: path.into(), source })?;
        serde_json::from_str(&text).map_err(|source| StakeError::ProofMalformed { path: path.into(), source })
    }

    /// The proof, if it was made for this account: the chain would refuse it from another, after the fee.
    fn made_for(self, signer: StakerId) -> Result<Self, StakeError> {
        let is_ones_own = self.operator == signer;
        if is_ones_own { Ok(self) } else { Err(StakeError::OtherOperator { proven: self.operator, signer }) }
    }
}

/// Version of the messaging software this command was built with.
pub(crate) fn own_version() -> SoftwareVersion {
    let part = |text: &str| text.parse().unwrap_or(u16::MAX);
    SoftwareVersion([
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    ])
}

async fn register(args: RegisterArgs, key: StakerKey, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    let NodeProof { node, fee, proof, .. } = NodeProof::read(&args.proof)?.made_for(key.staker())?;
    let requirement = ChainClient::connect(urls.clone()).await?.staking_terms().await?.requirement;
    let offered = args.stake.unwrap_or(Tokens(requirement));
    let kept = args.reserve.iter().fold(0, |sum: Balance, spot| sum.saturating_add(spot.amount));
    let stake = accepted(node, Pool { reserved: kept, ..Pool::new(requirement) }, Spot::Free, offered)?;
    let endpoint = Endpoint { ipv4: args.ip.octets(), https_port: args.https_port, quic_port: args.quic_port };
    let registration =
        Registration { node, proof, fee, endpoint, version: own_version(), stake, reserved: args.reserve };
    // What the chain says of the block it is in: the requirement may have changed since it was asked for.
    let Registered { requirement, locked } =
        Submitter::connect(&urls, key).await?.register(&registration, Wait::Finalized).await?;
    Ok(StakeReport::Registered { node, staked: locked.amount, requirement, block: locked.included.into() })
}

async fn contribute(
    node: ServiceNodeId,
    offered: Tokens,
    key: StakerKey,
    urls: ChainUrls,
) -> Result<StakeReport, StakeError> {
    let pools = ChainClient::connect(urls.clone()).await?.open_pools(key.staker()).await?;
    let Some(pool) = pools.into_iter().find(|pool| pool.node == node) else {
        entry(node, &urls).await?;
        return Err(StakeError::NotGathering(node));
    };
    let accepted = accepted(node, Pool::from(&pool), pool.spot, offered)?;
    // Others may have taken a part of the room meanwhile.
    let locked = Submitter::connect(&urls, key).await?.contribute(node, accepted, Wait::Finalized).await?;
    Ok(StakeReport::Contributed { node, offered: accepted, staked: locked.amount, block: locked.included.into() })
}

async fn unlock(node: ServiceNodeId, key: StakerKey, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    let chain = ChainClient::connect(urls.clone()).await?;
    let terms = chain.staking_terms().await?;
    let entry = own_entry(node, key.staker(), &urls).await?;
    if !entry.state.is_tested() {
        return Err(StakeError::NotServing(node));
    }
    let included = Submitter::connect(&urls, key).await?.request_unlock(node, Wait::Finalized).await?;
    let free_after_block = included.height.saturating_add(terms.unlock_blocks);
    Ok(StakeReport::UnlockRequested { node, free_after_block, block: included.into() })
}

async fn withdraw(node: ServiceNodeId, key: StakerKey, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    // A node that has ended may still owe a stake, so only what is known to be wrong is refused here.
    match own_entry(node, key.staker(), &urls).await {
        Ok(entry) if matches!(entry.state, NodeState::Active { .. }) => return Err(StakeError::Serving(node)),
        Ok(_) | Err(StakeError::UnknownNode(_)) => {}
        Err(error) => return Err(error),
    }
    let included = Submitter::connect(&urls, key).await?.withdraw(node, Wait::Finalized).await?;
    Ok(StakeReport::Withdrawn { node, block: included.into() })
}

async fn offer(file: &Path, key: StakerKey, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| StakeError::ProofUnreadable { path: file.into(), source })?;
    let NodeOffer { node, babe, grandpa, session_proof, node_proof } =
        serde_json::from_str(&text).map_err(|source| StakeError::OfferMalformed { path: file.into(), source })?;
    let keys = SessionKeys { babe, grandpa };
    let submitter = Submitter::connect(&urls, key).await?;
    let included = submitter.set_session_keys(node, keys, &session_proof, &node_proof, Wait::Finalized).await?;
    Ok(StakeReport::Offered { node, block: included.into() })
}

async fn status(account: StakerId, urls: ChainUrls) -> Result<StakeReport, StakeError> {
    let chain = ChainClient::connect(urls).await?;
    let (stakes, terms, finalized) = tokio::try_join!(chain.stakes(account), chain.staking_terms(), chain.finalized())?;
    Ok(StakeReport::Status { account, address: ss58(&account), stakes, terms, height: finalized.height })
}

async fn entry(node: ServiceNodeId, urls: &ChainUrls) -> Result<RosterEntry, StakeError> {
    let roster = ChainClient::connect(urls.clone()).await?.roster().await?;
    roster.nodes.into_iter().find(|entry| entry.id == node).ok_or(StakeError::UnknownNode(node))
}

async fn own_entry(node: ServiceNodeId, staker: StakerId, urls: &ChainUrls) -> Result<RosterEntry, StakeError> {
    let entry = entry(node, urls).await?;
    let contributes = entry.contributions.iter().any(|contribution| contribution.staker == staker);
    if contributes { Ok(entry) } else { Err(StakeError::NoStake { staker, node }) }
}

/// What of an offer for this spot is staked, by the chain's own rule.
fn accepted(node: ServiceNodeId, pool: Pool, spot: Spot, offered: Tokens) -> Result<Balance, StakeError> {
    pool.accept_for(spot, offered.0).map_err(|error| match error {
        ContributionError::StakeComplete => StakeError::NotGathering(node),
        ContributionError::NoFreeSpot => StakeError::NoFreeSpot(node),
        ContributionError::TooLittle { minimum, .. } => StakeError::TooLittle { offered, minimum: Tokens(minimum) },
        ContributionError::TooMuch { maximum, .. } => {
            StakeError::TooMuch { offered, room: Tokens(pool.open_room()), maximum: Tokens(maximum) }
        }
    })
}

fn fixed_hex<'de, const N: usize, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; N], D::Error> {
    let bytes = any_hex(deserializer)?;
    bytes.try_into().map_err(|_| serde::de::Error::custom(format_args!("expected {} hexadecimal digits", 2 * N)))
}

fn any_hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(text.strip_prefix("0x").unwrap_or(&text))
        .map_err(|_| serde::de::Error::custom("expected hexadecimal digits"))
}

impl fmt::Display for StakeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { node, staked, requirement, block } => {
                writeln!(f, "Registered {node} with {} in block {}.", Tokens(*staked), block.height)?;
                match requirement.saturating_sub(*staked) {
                    0 => write!(f, "Its stake is complete: it joins a swarm at the next epoch."),
                    missing => write!(f, "It gathers another {} before it serves.", Tokens(missing)),
                }
            }
            Self::Contributed { node, offered, staked, block } => {
                write!(f, "Locked {} in {node}, in block {}.", Tokens(*staked), block.height)?;
                match staked < offered {
                    true => write!(f, " There was no room for more: others were there first."),
                    false => Ok(()),
                }
            }
            Self::UnlockRequested { node, free_after_block, block } => write!(
                f,
                "Asked in block {} for the stake in {node}. It returns by itself at block {free_after_block} and earns until \
                 then. Unless others fill its place by then, the node ends and every stake in it returns.",
                block.height
            ),
            Self::Pools { pools, height } => {
                if pools.is_empty() {
                    return write!(f, "At block {height} no node takes stake.");
                }
                writeln!(f, "At block {height}, stake is taken by {}:", count(pools.len(), "node"))?;
                for pool in pools {
                    writeln!(
                        f,
                        "  {}: {} open, bring {} to {}; {}, fee {} %, until block {}{}",
                        pool.node,
                        Tokens(pool.room),
                        Tokens(pool.minimum),
                        Tokens(pool.maximum),
                        count(pool.free_spots.try_into().unwrap_or(usize::MAX), "free spot"),
                        f64::from(pool.fee.steps()) / 100.0,
                        pool.closes_at,
                        match pool.state {
                            NodeState::Gathering { .. } => "",
                            NodeState::Active { .. } | NodeState::Leaving { .. } => " (it serves already)",
                            NodeState::Decommissioned { .. } =>
                                " (decommissioned: it earns nothing until it passes again)",
                        },
                    )?;
                }
                write!(f, "Lock stake with `skep stake contribute NODE TOKENS`.")
            }
            Self::HandedOver { from, to, block } => {
                write!(f, "{from} goes on as {to} since block {}: start the server with the new key.", block.height)
            }
            Self::Moved { node, endpoint: Endpoint { ipv4, https_port, quic_port }, block } => write!(
                f,
                "{node} is reached at {}, ports {https_port} and {quic_port}, since block {}.",
                Ipv4Addr::from(*ipv4),
                block.height
            ),
            Self::Withdrawn { node, block } => {
                write!(f, "The stake in {node} was returned in block {}.", block.height)
            }
            Self::Offered { node, block } => write!(
                f,
                "{node} is offered as a block producer since block {}: it may be drawn once two epochs have passed.",
                block.height
            ),
            Self::Retracted { node, block } => {
                write!(
                    f,
                    "{node} is offered no longer since block {}: it leaves the set at the next era.",
                    block.height
                )
            }
            Self::Status { address, stakes, terms, height, .. } => {
                writeln!(f, "{address} at block {height}:")?;
                for Stake { node, amount, lock } in stakes {
                    let lock = match lock {
                        StakeLock::Gathering { block } => {
                            format!("which gathers stake; returns by itself at block {block}")
                        }
                        StakeLock::Bonded => "locked while the node serves".to_owned(),
                        StakeLock::Young { block } => {
                            format!("locked while the node serves, may be asked back from block {block} on")
                        }
                        StakeLock::Unreturned => "could not be returned when its node ended: withdraw it".to_owned(),
                        StakeLock::Until { block } => format!("returns at block {block}"),
                        StakeLock::Deregistered { block } => {
                            format!("which was deregistered (`skep nodes standing` says why); returns at block {block}")
                        }
                    };
                    writeln!(f, "  {} in {node}, {lock}", Tokens(*amount))?;
                }
                if stakes.is_empty() {
                    writeln!(f, "  no stake")?;
                }
                write!(
                    f,
                    "A new node must hold {}, of which its operator brings {} or more; a stake returns {} blocks after \
                     it is asked back.",
                    Tokens(terms.requirement),
                    Tokens(terms.operator_minimum),
                    terms.unlock_blocks
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::UNIT;

    const NODE: ServiceNodeId = ServiceNodeId([1; 32]);

    #[test]
    fn too_much_says_how_much_there_is_room_for() {
        let pool = Pool { requirement: 100 * UNIT, reserved: 60 * UNIT, contributors: 1 };
        let error =
            accepted(NODE, pool, Spot::Free, Tokens(41 * UNIT)).expect_err("more than 101 % of the room").to_string();
        assert_eq!(error, "41 SKEP is too much: the node has room for 40 SKEP, so bring at most 40.4 SKEP");
        let error =
            accepted(NODE, pool, Spot::Free, Tokens(UNIT)).expect_err("less than a ninth of the room").to_string();
        assert_eq!(error, "1 SKEP is too little: bring at least 4.444444444 SKEP");
        assert_eq!(accepted(NODE, pool, Spot::Free, Tokens(404 * UNIT / 10)).expect("101 %"), 40 * UNIT);
    }

    #[test]
    fn a_proof_is_read_as_the_messaging_node_prints_it() {
        let hex = "ab".repeat(64);
        let json = format!(r#"{{"node":"{NODE}","operator":"{}","fee":250,"proof":"{hex}"}}"#, StakerId([2; 32]));
        let proof: NodeProof = serde_json::from_str(&json).expect("parses");
        assert_eq!((proof.node, proof.fee.steps(), proof.proof), (NODE, 250, [0xab; 64]));
        assert!(serde_json::from_str::<NodeProof>(&json.replace(&hex, "ab")).is_err());
        assert!(serde_json::from_str::<NodeProof>(&json.replace("250", "10001")).is_err());
        assert!(proof.clone().made_for(StakerId([2; 32])).is_ok());
        let refused = proof.made_for(StakerId([3; 32])).expect_err("another's");
        assert!(matches!(refused, StakeError::OtherOperator { proven: StakerId([2, ..]), signer: StakerId([3, ..]) }));
    }
}
