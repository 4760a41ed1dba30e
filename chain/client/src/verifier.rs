//! The roster, asked of several chain nodes and believed of none.
//!
//! Each is asked to prove its last finalized block from the newest checkpoint there is; the highest block proven says which
//! epoch it is, and any of them may give that epoch's roster, which is the same for every client of the network. What
//! was verified last is the next checkpoint, so that a program that is used now and then never depends on its release's.

use crate::{
    AskError, ChainClient, ChainUrls, ConnectError, RosterView,
    proof::{
        AgeError, FinalityError, Followed, Head, HeadProofError, ProvenBlock, RosterProofError, Span, follow,
        is_believable, is_young, read_head, read_roster,
    },
};
use futures::{StreamExt, stream::FuturesUnordered};
use skep_primitives::{BlockHash, BlockNumber, Checkpoint, Moment, RosterEntry, RosterSnapshot, ServiceNodeId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A head older than this (ms) is told as stale: the chain stands still, or a chain node keeps blocks back.
pub const STALE: Moment = 10 * 60 * 1_000;

/// How long chain nodes may take until the first has proven its head.
const HEARING: Duration = Duration::from_secs(30);
/// How long the others may take after it, where somebody waits for the roster and not for what each of them says.
const LATECOMERS: Duration = Duration::from_secs(3);
/// Most pages of a warp proof: more changes of authorities than any checkpoint is believed for.
const MOST_PAGES: usize = 64;

/// Asks chain nodes for the roster and checks what they say.
#[derive(Debug)]
pub struct RosterVerifier {
    servers: Vec<Server>,
    release: Checkpoint,
    memory: Memory,
}

/// What was verified last, for the next run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The newest block proven.
    pub checkpoint: Checkpoint,
    /// The epoch boundary whose roster was proven last, and the proof.
    pub roster: Option<(BlockHash, Arc<[u8]>)>,
}

/// A roster that was proven, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRoster {
    /// The newest block proven.
    pub head: Head,
    /// The roster at its epoch's boundary.
    pub snapshot: RosterSnapshot,
}

impl ProvenRoster {
    /// The roster, arranged for questions.
    pub fn view(&self) -> RosterView {
        RosterView::new(self.snapshot.clone()).with_blocks([(self.head.number, self.head.hash)])
    }

    /// How long ago the newest block proven was made (ms).
    pub fn age(&self, now: Moment) -> Moment {
        now.saturating_sub(self.head.time)
    }
}

/// What one chain node said.
#[derive(Debug)]
pub struct Testimony {
    /// Its address.
    pub url: String,
    /// The head it proved, or why it proved none.
    pub head: Result<Head, HearError>,
    /// Whether the roster it gives is the chain's; none if it was not asked.
    pub roster: Option<Result<usize, HearError>>,
}

impl Testimony {
    /// What it got wrong that an honest chain node cannot.
    pub fn lie(&self) -> Option<&Lie> {
        let ((Err(failure), _) | (Ok(_), Some(Err(failure)))) = (&self.head, &self.roster) else { return None };
        if let HearError::Lie(lie) = failure { Some(lie) } else { None }
    }
}

/// A chain node's word does not count.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// No connection to it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It did not answer, or refused.
    #[error(transparent)]
    Ask(AskError),
    /// It took too long.
    #[error("it took too long")]
    Late,
    /// It is older than these proofs.
    #[error("it cannot prove the roster: it must be updated")]
    NoProofs,
    /// It follows another chain.
    #[error("its genesis block is 0x{}, so it belongs to another network", hex::encode(.0))]
    OtherNetwork(BlockHash),
    /// Nothing after the checkpoint is final there.
    #[error("it knows of no final block yet")]
    NothingFinal,
    /// Its warp proof does not end.
    #[error("its proof goes on for too long")]
    Endless,
    /// What it proves is too old.
    #[error(transparent)]
    Age(#[from] AgeError),
    /// What it sent is beyond this version.
    #[error("{0}")]
    Newer(Lie),
    /// What it sent is wrong.
    #[error("it lies: {0}")]
    Lie(Lie),
}

/// What a chain node got wrong.
#[derive(Debug, thiserror::Error)]
pub enum Lie {
    /// Finality.
    #[error(transparent)]
    Finality(FinalityError),
    /// What a block says of itself.
    #[error(transparent)]
    Head(HeadProofError),
    /// The roster.
    #[error(transparent)]
    Roster(RosterProofError),
}

impl From<AskError> for HearError {
    fn from(error: AskError) -> Self {
        if error.is_unknown_question() { Self::NoProofs } else { Self::Ask(error) }
    }
}

impl From<FinalityError> for HearError {
    fn from(error: FinalityError) -> Self {
        match error {
            FinalityError::Forced(_) | FinalityError::Authorities { .. } => Self::Newer(Lie::Finality(error)),
            FinalityError::TooLarge(_)
            | FinalityError::Malformed
            | FinalityError::OtherBlock(_)
            | FinalityError::Order(_)
            | FinalityError::NotFinal { .. }
            | FinalityError::NoChange(_) => Self::Lie(Lie::Finality(error)),
        }
    }
}

impl From<HeadProofError> for HearError {
    fn from(error: HeadProofError) -> Self {
        match error {
            HeadProofError::Value(_) => Self::Newer(Lie::Head(error)),
            HeadProofError::Malformed | HeadProofError::State(_) => Self::Lie(Lie::Head(error)),
        }
    }
}

impl From<RosterProofError> for HearError {
    fn from(error: RosterProofError) -> Self {
        match error {
            RosterProofError::NotUnderstood(_) => Self::Newer(Lie::Roster(error)),
            RosterProofError::Malformed
            | RosterProofError::OtherBlock
            | RosterProofError::State(_)
            | RosterProofError::OtherRoster
            | RosterProofError::OtherSwarms => Self::Lie(Lie::Roster(error)),
        }
    }
}

/// No roster can be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No checkpoint is young enough.
    #[error(transparent)]
    Checkpoint(AgeError),
    /// No chain node proves anything.
    #[error("no chain node proves the roster:{}", listed(.0))]
    Nobody(Vec<(String, HearError)>),
    /// Two chains are final.
    #[error(
        "{one} and {other} both prove a block {number}, and not the same: the authorities finalized two chains. Do not use \
         this network until its operators say which one stands"
    )]
    Fork {
        /// One chain node.
        one: String,
        /// Another.
        other: String,
        /// Height of the block.
        number: BlockNumber,
    },
}

fn listed(failures: &[(String, HearError)]) -> String {
    failures.iter().fold(String::new(), |mut text, (url, failure)| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {url}: {failure}");
        text
    })
}

#[derive(Debug)]
struct Server {
    url: String,
    /// The same, with the way there.
    alone: ChainUrls,
    chain: Option<ChainClient>,
}

/// A head that was proven, and the checkpoint it makes.
struct Heard {
    url: String,
    head: Head,
    checkpoint: Checkpoint,
}

impl RosterVerifier {
    /// Asks the first `most` of these chain nodes, beginning with `release` or, if it is newer, with what was verified last.
    pub fn new(urls: &ChainUrls, most: usize, release: Checkpoint, memory: Option<Memory>) -> Self {
        let server = |alone: ChainUrls| Server { url: alone.to_string(), alone, chain: None };
        let servers = urls.each().take(most).map(server).collect();
        let memory = memory.filter(|memory| {
            memory.checkpoint.genesis == release.genesis && memory.checkpoint.number >= release.number
        });
        let memory = memory.unwrap_or_else(|| Memory { checkpoint: release.clone(), roster: None });
        Self { servers, release, memory }
    }

    /// Hash of the network's first block.
    pub const fn genesis(&self) -> BlockHash {
        self.release.genesis
    }

    /// What to keep for the next run.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The newest roster that can be proven at `now`.
    ///
    /// # Errors
    /// No checkpoint is young enough, no chain node proves anything, or two chains are final.
    pub async fn refresh(&mut self, now: Moment) -> Result<ProvenRoster, VerifyError> {
        let base = self.base(now)?;
        let (heard, mut failures) = hear_all(&mut self.servers, &base, now, LATECOMERS).await;
        for (url, failure) in &failures {
            tracing::warn!(url, %failure, "a chain node's word on the roster does not count");
        }
        one_chain(&heard)?;
        let Some((_, Heard { head, checkpoint, .. })) = heard.first() else {
            return Err(VerifyError::Nobody(failures));
        };
        let snapshot = match self.known(head).await {
            Some(snapshot) => snapshot,
            None => {
                let mut found = None;
                for (server, _) in &heard {
                    let Some(Server { url, chain: Some(chain), .. }) = self.servers.get(*server) else { continue };
                    match fetch_roster(chain, head).await {
                        Ok((snapshot, proof)) => {
                            self.memory.roster = Some((head.boundary_hash, proof));
                            found = Some(snapshot);
                            break;
                        }
                        Err(failure) => {
                            tracing::warn!(url, %failure, "a chain node gave no roster");
                            failures.push((url.clone(), failure));
                        }
                    }
                }
                found.ok_or(VerifyError::Nobody(failures))?
            }
        };
        let roster = ProvenRoster { head: *head, snapshot };
        if roster.age(now) > STALE {
            tracing::warn!(age = %Span(roster.age(now)), "the newest proven roster is old");
        }
        self.memory.checkpoint = checkpoint.clone();
        Ok(roster)
    }

    /// What every chain node says, each asked for head and roster; and the roster, if any proved it. A chain node that does
    /// not answer is waited for, half a minute.
    ///
    /// # Errors
    /// No checkpoint is young enough, or two chains are final.
    pub async fn examine(&mut self, now: Moment) -> Result<(Vec<Testimony>, Option<ProvenRoster>), VerifyError> {
        let base = self.base(now)?;
        let (heard, failures) = hear_all(&mut self.servers, &base, now, HEARING).await;
        one_chain(&heard)?;
        let mut proven: Option<ProvenRoster> = None;
        let mut testimonies: Vec<_> =
            failures.into_iter().map(|(url, failure)| Testimony { url, head: Err(failure), roster: None }).collect();
        for (server, Heard { head, .. }) in &heard {
            let Some(Server { url, chain: Some(chain), .. }) = self.servers.get(*server) else { continue };
            let roster = fetch_roster(chain, head).await.map(|(snapshot, _)| {
                let nodes = snapshot.nodes.len();
                proven.get_or_insert(ProvenRoster { head: *head, snapshot });
                nodes
            });
            testimonies.push(Testimony { url: url.clone(), head: Ok(*head), roster: Some(roster) });
        }
        let place = |testimony: &Testimony| self.servers.iter().position(|server| server.url == testimony.url);
        testimonies.sort_by_key(place);
        Ok((testimonies, proven))
    }

    /// How a chain node's plain roster differs from the proven one; none if it cannot be had.
    pub async fn plain_difference(&self, url: &str, proven: &ProvenRoster) -> Option<Difference> {
        let server = self.servers.iter().find(|server| server.url == url)?;
        let told = server.chain.as_ref()?.roster_at(&proven.snapshot.block_hash).await.ok()?;
        Some(difference(&proven.snapshot.nodes, &told.nodes))
    }

    /// The checkpoint used.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.memory.checkpoint
    }

    /// The newest checkpoint that may be believed.
    fn base(&self, now: Moment) -> Result<Checkpoint, VerifyError> {
        let own = is_believable(&self.memory.checkpoint, now).map(|()| self.memory.checkpoint.clone());
        own.or_else(|_| is_believable(&self.release, now).map(|()| self.release.clone()))
            .map_err(VerifyError::Checkpoint)
    }

    /// The roster of this head's epoch, if it was proven before.
    async fn known(&self, head: &Head) -> Option<RosterSnapshot> {
        let (boundary, proof) = self.memory.roster.clone()?;
        if boundary != head.boundary_hash {
            return None;
        }
        let head = *head;
        tokio::task::spawn_blocking(move || read_roster(&head, &proof).ok()).await.ok()?
    }
}

impl Server {
    async fn hear(&mut self, base: &Checkpoint, now: Moment) -> Result<Heard, HearError> {
        let chain = match self.chain.take() {
            Some(chain) => chain,
            None => ChainClient::connect(self.alone.clone()).await?,
        };
        let chain = self.chain.insert(chain);
        if chain.genesis_hash() != base.genesis {
            return Err(HearError::OtherNetwork(chain.genesis_hash()));
        }
        let (checkpoint, block) = follow_to_head(chain, base.clone()).await?;
        let head = read_head(&block, &chain.head_proof(&block.hash).await?)?;
        is_young(&head, base, now)?;
        let (url, checkpoint) = (self.url.clone(), Checkpoint { time: head.time, ..checkpoint });
        Ok(Heard { url, head, checkpoint })
    }
}

/// Asks all at once, and waits for those that are later than the first by this much; those that proved a head, the highest
/// first, and why the others did not.
async fn hear_all(
    servers: &mut [Server],
    base: &Checkpoint,
    now: Moment,
    latecomers: Duration,
) -> (Vec<(usize, Heard)>, Vec<(String, HearError)>) {
    let urls: Vec<_> = servers.iter().map(|server| server.url.clone()).collect();
    let mut hearings: FuturesUnordered<_> = servers
        .iter_mut()
        .enumerate()
        .map(|(number, server)| async move { (number, server.hear(base, now).await) })
        .collect();
    let (mut heard, mut failed) = (Vec::new(), BTreeMap::new());
    let mut until = Instant::now() + HEARING;
    while let Ok(Some((server, outcome))) = tokio::time::timeout_at(until, hearings.next()).await {
        match outcome {
            Ok(one) => {
                until = until.min(Instant::now() + latecomers);
                heard.push((server, one));
            }
            Err(failure) => {
                failed.insert(server, failure);
            }
        }
    }
    drop(hearings);
    heard.sort_by_key(|(_, heard)| std::cmp::Reverse(heard.head.number));
    let spoke: BTreeSet<_> = heard.iter().map(|(server, _)| *server).collect();
    let silent = urls.into_iter().enumerate().filter(|(server, _)| !spoke.contains(server));
    let failures = silent.map(|(server, url)| (url, failed.remove(&server).unwrap_or(HearError::Late))).collect();
    (heard, failures)
}

/// Heads and boundaries of one height must be the same block.
fn one_chain(heard: &[(usize, Heard)]) -> Result<(), VerifyError> {
    let mut blocks: BTreeMap<BlockNumber, (BlockHash, &str)> = BTreeMap::new();
    for (_, Heard { url, head, .. }) in heard {
        for (number, hash) in [(head.number, head.hash), (head.boundary, head.boundary_hash)] {
            let (known, first) = *blocks.entry(number).or_insert((hash, url));
            if known != hash {
                let (one, other) = (first.to_owned(), url.clone());
                return Err(VerifyError::Fork { one, other, number });
            }
        }
    }
    Ok(())
}

/// The chain node's last finalized block, proven page by page.
async fn follow_to_head(chain: &ChainClient, mut from: Checkpoint) -> Result<(Checkpoint, ProvenBlock), HearError> {
    for _ in 0..MOST_PAGES {
        let page = chain.warp_proof(&from.hash).await?;
        let followed = blocking(move || follow(&from, &page, rand::random())).await?;
        let Followed { checkpoint, block, is_finished } = followed?;
        match block {
            Some(block) if is_finished => return Ok((checkpoint, block)),
            Some(_) => from = checkpoint,
            None => return Err(HearError::NothingFinal),
        }
    }
    Err(HearError::Endless)
}

async fn fetch_roster(chain: &ChainClient, head: &Head) -> Result<(RosterSnapshot, Arc<[u8]>), HearError> {
    let proof = chain.roster_proof(&head.boundary_hash).await?;
    let (head, bytes) = (*head, proof.clone());
    let snapshot = blocking(move || read_roster(&head, &bytes)).await??;
    Ok((snapshot, proof))
}

/// Hashing and signatures take longer than a task may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HearError> {
    // Fails only while the program ends.
    tokio::task::spawn_blocking(work).await.map_err(|_| HearError::Late)
}

/// How a roster that was told differs from the proven one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Nodes that were left out.
    pub missing: Vec<ServiceNodeId>,
    /// Nodes that were added.
    pub added: Vec<ServiceNodeId>,
    /// Nodes of which other things are told.
    pub altered: Vec<ServiceNodeId>,
}

impl Difference {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.missing.is_empty() && self.added.is_empty() && self.altered.is_empty()
    }
}

/// How `told` differs from `proven`, except in who was rewarded when, which is not proven.
pub fn difference(proven: &[RosterEntry], told: &[RosterEntry]) -> Difference {
    let by_id = |nodes: &[RosterEntry]| -> BTreeMap<_, _> {
        nodes.iter().map(|node| (node.id, RosterEntry { last_rewarded_at: 0, ..node.clone() })).collect()
    };
    let (proven, told) = (by_id(proven), by_id(told));
    let without = |some: &BTreeMap<ServiceNodeId, _>, others: &BTreeMap<ServiceNodeId, RosterEntry>| {
        some.keys().filter(|id| !others.contains_key(*id)).copied().collect()
    };
    Difference {
        missing: without(&proven, &told),
        added: without(&told, &proven),
        altered: proven
            .iter()
            .filter(|(id, node)| told.get(*id).is_some_and(|told| told != *node))
            .map(|(id, _)| *id)
            .collect(),
    }
}
