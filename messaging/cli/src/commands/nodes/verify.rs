//! `skep nodes verify`: what each chain node proves of the roster.

use crate::{context::Context, failure::Failure};
use serde::Serialize;
use skep_chain_client::{
    Checkpoint, Difference, RosterVerifier, STALE, Testimony,
    proof::{Head, Span},
};
use skep_client::NetworkError;
use skep_primitives::{BlockNumber, Moment};
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Most chain nodes asked.
pub(super) const MOST_ASKED: usize = 16;

/// Unix time in ms.
pub(super) fn now() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Moment::try_from(now).unwrap_or(Moment::MAX)
}

/// Asks every chain node, checks every answer, names liars.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let source = context.roster_source()?;
    let checkpoint = source.trust.checkpoint().ok_or(NetworkError::NoCheckpoint)?;
    let now = now();
    let mut verifier = RosterVerifier::new(&source.urls, MOST_ASKED, checkpoint, None);
    let (testimonies, proven) = verifier.examine(now).await.map_err(Failure::network)?;

    let mut chain_nodes = Vec::with_capacity(testimonies.len());
    for testimony in testimonies {
        let difference = match &proven {
            Some(proven) if testimony.head.is_ok() => verifier.plain_difference(&testimony.url, proven).await,
            _ => None,
        };
        chain_nodes.push(ChainNode::new(testimony, difference.filter(|difference| !difference.is_none()), now));
    }
    let roster = proven.map(|proven| Roster {
        nodes: proven.snapshot.nodes.len(),
        swarms: proven.view().swarm_ids().len(),
        finalized: proven.head.number,
        hash: hex_text(&proven.head.hash),
        boundary: proven.head.boundary,
        age_ms: proven.age(now),
        stale: proven.age(now) > STALE,
    });
    let found = Verification { checkpoint: Start::from(verifier.checkpoint()), chain_nodes, roster };
    context.output().answer(&found);
    let liars: Vec<_> = found.chain_nodes.iter().filter(|node| node.verdict == Verdict::Lies).collect();
    if let [first, ..] = liars[..] {
        let count = liars.len();
        return Err(Failure::failed(format!("{count} of the chain nodes asked lie, {} among them", first.url)));
    }
    match found.roster {
        Some(_) => Ok(()),
        None => Err(Failure::network("no chain node proves the roster")),
    }
}

/// The answer.
#[derive(Serialize)]
struct Verification {
    checkpoint: Start,
    chain_nodes: Vec<ChainNode>,
    /// None: nobody proved it.
    roster: Option<Roster>,
}

/// The block that was taken for final.
#[derive(Serialize)]
struct Start {
    genesis: String,
    number: BlockNumber,
    hash: String,
    set_id: u64,
    authorities: usize,
}

impl From<&Checkpoint> for Start {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            genesis: hex_text(&checkpoint.genesis),
            number: checkpoint.number,
            hash: hex_text(&checkpoint.hash),
            set_id: checkpoint.set_id,
            authorities: checkpoint.authorities.iter().len(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// It proved the roster.
    Proven,
    /// It proved nothing, which an honest one may have to.
    Silent,
    /// What it says is wrong.
    Lies,
}

/// What one chain node said.
#[derive(Serialize)]
struct ChainNode {
    url: String,
    verdict: Verdict,
    /// The head it proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    finalized: Option<BlockNumber>,
    /// Age of that head.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<Moment>,
    /// Nodes of the roster it proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
    /// How what it tells without a proof differs from what is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    tells_otherwise: Option<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ChainNode {
    fn new(testimony: Testimony, difference: Option<Difference>, now: Moment) -> Self {
        let lies = testimony.lie().is_some() || difference.is_some();
        let Testimony { url, head, roster } = testimony;
        let (head, failure): (Option<Head>, _) = match head {
            Ok(head) => (Some(head), None),
            Err(failure) => (None, Some(failure)),
        };
        let (nodes, failure) = match roster {
            Some(Ok(nodes)) => (Some(nodes), failure),
            Some(Err(failure)) => (None, Some(failure)),
            None => (None, failure),
        };
        let verdict = match (lies, nodes) {
            (true, _) => Verdict::Lies,
            (false, Some(_)) => Verdict::Proven,
            (false, None) => Verdict::Silent,
        };
        Self {
            url,
            verdict,
            finalized: head.map(|head| head.number),
            age_ms: head.map(|head| now.saturating_sub(head.time)),
            nodes,
            tells_otherwise: difference,
            reason: failure.map(|failure| failure.to_string()),
        }
    }
}

/// What is proven.
#[derive(Serialize)]
struct Roster {
    nodes: usize,
    swarms: usize,
    finalized: BlockNumber,
    hash: String,
    /// Height of the epoch boundary the roster is of.
    boundary: BlockNumber,
    age_ms: Moment,
    stale: bool,
}

fn hex_text(hash: &[u8; 32]) -> String {
    format!("0x{}", hex::encode(hash))
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Start { number, hash, set_id, authorities, .. } = &self.checkpoint;
        write!(f, "from block {number} ({hash}), finalized after it by {authorities} authorities (set {set_id}):")?;
        self.chain_nodes.iter().try_for_each(|node| write!(f, "\n{node}"))?;
        match &self.roster {
            None => write!(f, "\nnothing is proven"),
            Some(Roster { nodes, swarms, finalized, hash, boundary, age_ms, stale }) => {
                write!(
                    f,
                    "\nproven: {nodes} nodes in {swarms} swarms at block {boundary}, the start of the epoch of "
                )?;
                write!(f, "block {finalized} ({hash}), made {} ago", Span(*age_ms))?;
                if *stale { write!(f, ": old, the chain stands still or blocks are kept back") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for ChainNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, verdict, finalized, age_ms, nodes, tells_otherwise, reason } = self;
        let word = match verdict {
            Verdict::Proven => "proves",
            Verdict::Silent => "proves nothing",
            Verdict::Lies => "LIES",
        };
        write!(f, "  {url}: {word}")?;
        if let (Some(finalized), Some(age)) = (finalized, age_ms) {
            write!(f, ", block {finalized} is final, {} old", Span(*age))?;
        }
        if let Some(nodes) = nodes {
            write!(f, ", {nodes} nodes")?;
        }
        if let Some(Difference { missing, added, altered }) = tells_otherwise {
            let (missing, added, altered) = (missing.len(), added.len(), altered.len());
            write!(f, "; unproven it leaves out {missing} nodes, adds {added}, alters {altered}")?;
        }
        reason.iter().try_for_each(|reason| write!(f, "; {reason}"))
    }
}
