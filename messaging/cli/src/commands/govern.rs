//! `skep govern`: decide with the other operators.

use crate::{
    context::Context,
    failure::Failure,
    signer::{Block, SignerArgs, SignerError},
    tokens::Tokens,
};
use blake2::{Blake2b, Digest, digest::consts::U32};
use clap::{Args, Subcommand};
use serde::Serialize;
use skep_chain_client::{
    AskError, ChainClient, ChainUrls, ConnectError, ParseAccountError, SubmitError, Submitter, Wait, parse_account,
    ss58,
};
use skep_primitives::{CodeHash, Governance, MAX_BLOCK_BYTES, Motion, ProposalId};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Decide with the other operators: runtimes, the treasury, the floor of work.
///
/// Operators of serving nodes propose and approve, each with all the stake its nodes serve with. What two thirds approve of
/// may be enacted by anyone once a delay is over.
#[derive(Debug, Args)]
pub(crate) struct GovernArgs {
    #[command(flatten)]
    signer: SignerArgs,
    #[command(subcommand)]
    command: GovernCommand,
}

#[derive(Debug, Subcommand)]
enum GovernCommand {
    /// Show what is proposed and what is in force.
    Status,
    /// Propose something; a deposit is held until the proposal is gone.
    #[command(subcommand)]
    Propose(ProposeCommand),
    /// Approve of a proposal. It is named to the chain with what it proposes, which is shown: the chain refuses if it is something
    /// else there.
    Approve {
        /// Its number, as `skep govern status` shows it.
        proposal: ProposalId,
        /// Only if it is an upgrade to this runtime: its Wasm, compressed as you built it.
        #[arg(long, value_name = "FILE")]
        code: Option<PathBuf>,
    },
    /// Take an approval back.
    Withdraw {
        /// Its number.
        proposal: ProposalId,
    },
    /// Put a proposal in force that two thirds approve of and whose delay is over; anyone may.
    Enact {
        /// Its number.
        proposal: ProposalId,
    },
    /// Give up a proposal of your own that nobody else approves of, or clear away one that expired.
    Close {
        /// Its number.
        proposal: ProposalId,
    },
    /// Put an authorized runtime in force; anyone may.
    Apply {
        /// The runtime's Wasm whose hash was approved.
        code: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ProposeCommand {
    /// A new runtime: its hash is decided about, the code follows with `skep govern apply`.
    Upgrade {
        /// The runtime's Wasm, compressed as it was built.
        code: PathBuf,
    },
    /// A payment from the treasury.
    Spend {
        /// Who is paid (SS58 or hex).
        account: String,
        /// How much, in tokens.
        amount: Tokens,
    },
    /// The least effort of work with which a stranger's message is taken.
    WorkFloor {
        /// Equi-X solutions to try on average.
        effort: u32,
    },
}

/// A governance command had no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GovernError {
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
    #[error("cannot read the runtime {path}", path = path.display())]
    CodeUnreadable { path: PathBuf, source: io::Error },
    #[error("{path} is more than {MAX_BLOCK_BYTES} bytes, which no block holds: give the compressed runtime, *.compact.compressed.wasm", path = path.display())]
    CodeTooLarge { path: PathBuf },
    #[error("the runtime {given} is not authorized: {allowed}", allowed = match allowed {
        Some(hash) => format!("the operators approved of {hash}"),
        None => "propose it first, or enact the proposal (`skep govern status`)".to_owned(),
    })]
    NotAuthorized { given: CodeHash, allowed: Option<CodeHash> },
    #[error("proposal {proposal} is no upgrade to the runtime {given}; it would {motion}", motion = Words(motion))]
    OtherMotion { proposal: ProposalId, given: CodeHash, motion: Motion },
    #[error("no proposal {0} is open: `skep govern status` shows those that are")]
    Unknown(ProposalId),
    #[error("too little stake approves of proposal {0} (`skep govern status`): it cannot be enacted")]
    NotCarried(ProposalId),
    #[error("proposal {proposal} may be enacted from block {from}; the chain is at block {now}")]
    TooEarly { proposal: ProposalId, from: u32, now: u32 },
}

impl From<GovernError> for Failure {
    fn from(error: GovernError) -> Self {
        match error {
            GovernError::Signer(_) => Self::account(error),
            GovernError::Connect(_) | GovernError::Ask(_) | GovernError::Submit(SubmitError::Connect(_)) => {
                Self::network(error)
            }
            GovernError::Submit(_) => Self::failed(error),
            GovernError::Account(_)
            | GovernError::CodeUnreadable { .. }
            | GovernError::CodeTooLarge { .. }
            | GovernError::NotAuthorized { .. }
            | GovernError::OtherMotion { .. }
            | GovernError::Unknown(_)
            | GovernError::NotCarried(_)
            | GovernError::TooEarly { .. } => Self::usage(error),
        }
    }
}

/// What a governance command did or found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(crate) enum GovernReport {
    /// What is being decided.
    Status {
        height: u32,
        #[serde(flatten)]
        governance: Governance,
    },
    /// Something was proposed.
    Proposed {
        proposal: Option<ProposalId>,
        #[serde(flatten)]
        motion: Motion,
        #[serde(flatten)]
        block: Block,
    },
    /// A call about a proposal took effect.
    Done {
        proposal: ProposalId,
        #[serde(flatten)]
        motion: Motion,
        action: Action,
        #[serde(flatten)]
        block: Block,
    },
    /// A runtime was put in force.
    Applied {
        code_hash: CodeHash,
        #[serde(flatten)]
        block: Block,
    },
}

/// What was done about a proposal.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Approved,
    Withdrawn,
    Enacted,
    Closed,
}

/// Runs one command; a call counts when its block is finalized.
pub(crate) async fn run(args: GovernArgs, context: &Context) -> Result<(), Failure> {
    let report = act(args, context.chain_urls()?).await?;
    context.output().answer(&report);
    Ok(())
}

async fn act(GovernArgs { signer, command }: GovernArgs, urls: ChainUrls) -> Result<GovernReport, GovernError> {
    let chain = ChainClient::connect(urls.clone()).await?;
    let (governance, height) = (chain.governance().await?, chain.finalized().await?.height);
    let known =
        |id: ProposalId| governance.proposals.iter().find(|proposal| proposal.id == id).ok_or(GovernError::Unknown(id));
    let submitter = || async { Ok::<_, GovernError>(Submitter::connect(&urls, signer.key()?).await?) };
    let (proposal, motion, action, included) = match command {
        GovernCommand::Status => return Ok(GovernReport::Status { height, governance }),
        GovernCommand::Propose(command) => {
            let motion = command.motion()?;
            let included = submitter().await?.propose(&motion, Wait::Finalized).await?;
            let proposals = chain.governance().await?.proposals;
            let proposal = proposals.iter().find(|proposal| proposal.motion == motion).map(|proposal| proposal.id);
            return Ok(GovernReport::Proposed { proposal, motion, block: included.into() });
        }
        GovernCommand::Apply { code } => {
            let (code, given) = read_code(&code)?;
            if governance.authorized_upgrade != Some(given) {
                return Err(GovernError::NotAuthorized { given, allowed: governance.authorized_upgrade });
            }
            let included = submitter().await?.apply_upgrade(&code, Wait::Finalized).await?;
            return Ok(GovernReport::Applied { code_hash: given, block: included.into() });
        }
        GovernCommand::Approve { proposal, code } => {
            let motion = known(proposal)?.motion;
            let given = code.map(|code| read_code(&code)).transpose()?.map(|(_, given)| given);
            if let Some(given) = given.filter(|given| motion != Motion::Upgrade { code_hash: *given }) {
                return Err(GovernError::OtherMotion { proposal, given, motion });
            }
            let included = submitter().await?.approve(proposal, &motion, Wait::Finalized).await?;
            (proposal, motion, Action::Approved, included)
        }
        GovernCommand::Withdraw { proposal } => {
            let motion = known(proposal)?.motion;
            let included = submitter().await?.withdraw_approval(proposal, &motion, Wait::Finalized).await?;
            (proposal, motion, Action::Withdrawn, included)
        }
        GovernCommand::Enact { proposal } => {
            let known = known(proposal)?;
            let from = known.enact_from.ok_or(GovernError::NotCarried(proposal))?;
            if height < from {
                return Err(GovernError::TooEarly { proposal, from, now: height });
            }
            (proposal, known.motion, Action::Enacted, submitter().await?.enact(proposal, Wait::Finalized).await?)
        }
        GovernCommand::Close { proposal } => {
            let motion = known(proposal)?.motion;
            (proposal, motion, Action::Closed, submitter().await?.close(proposal, Wait::Finalized).await?)
        }
    };
    Ok(GovernReport::Done { proposal, motion, action, block: included.into() })
}

impl ProposeCommand {
    fn motion(self) -> Result<Motion, GovernError> {
        Ok(match self {
            Self::Upgrade { code } => Motion::Upgrade { code_hash: read_code(&code)?.1 },
            Self::Spend { account, amount } => {
                Motion::Spend { beneficiary: parse_account(&account)?, amount: amount.0 }
            }
            Self::WorkFloor { effort } => Motion::WorkFloor { effort },
        })
    }
}

/// A runtime and its hash.
fn read_code(path: &Path) -> Result<(Vec<u8>, CodeHash), GovernError> {
    let unreadable = |source| GovernError::CodeUnreadable { path: path.into(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > u64::from(MAX_BLOCK_BYTES) {
        return Err(GovernError::CodeTooLarge { path: path.into() });
    }
    let code = std::fs::read(path).map_err(unreadable)?;
    let hash = CodeHash(Blake2b::<U32>::digest(&code).into());
    Ok((code, hash))
}

impl fmt::Display for GovernReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { height, governance } => show(f, *height, governance),
            Self::Proposed { proposal, motion, block } => {
                let number = proposal.map_or_else(String::new, |id| format!(" {id}"));
                write!(f, "Proposal{number}, {}, is open since block {}.", Words(motion), block.height)
            }
            Self::Done { proposal, motion, action, block } => {
                let done = match action {
                    Action::Approved => "You approve of proposal",
                    Action::Withdrawn => "You no longer approve of proposal",
                    Action::Enacted => "In force: proposal",
                    Action::Closed => "Gone: proposal",
                };
                write!(f, "{done} {proposal}, {}, since block {}.", Words(motion), block.height)
            }
            Self::Applied { code_hash, block } => {
                write!(f, "The runtime {code_hash} is in force after block {}.", block.height)
            }
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, height: u32, governance: &Governance) -> fmt::Result {
    let Governance { proposals, serving, quorum, work_floor, authorized_upgrade } = governance;
    writeln!(f, "At block {height}: {} serve, {} carry a proposal.", Tokens(*serving), Tokens(*quorum))?;
    for proposal in proposals {
        write!(f, "  {}: {}; {} approve; ", proposal.id, Words(&proposal.motion), Tokens(proposal.approving))?;
        match proposal.enact_from {
            Some(from) => writeln!(f, "may be enacted from block {from}")?,
            None => writeln!(f, "open until block {}", proposal.expires_at)?,
        }
    }
    if proposals.is_empty() {
        writeln!(f, "  nothing is proposed")?;
    }
    if let Some(hash) = authorized_upgrade {
        writeln!(f, "The runtime {hash} is authorized: put it in force with `skep govern apply`.")?;
    }
    write!(f, "Floor of work: {work_floor}.")
}

/// A motion in words.
struct Words<'a>(&'a Motion);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Motion::Upgrade { code_hash } => write!(f, "upgrade to runtime {code_hash}"),
            Motion::Spend { beneficiary, amount } => write!(f, "pay {} {}", ss58(beneficiary), Tokens(*amount)),
            Motion::WorkFloor { effort } => write!(f, "set the floor of work to {effort}"),
        }
    }
}
