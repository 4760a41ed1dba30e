//! The network as one client uses it: the roster, paths that work, questions asked through them.

mod direct;
mod established;
mod own;

use crate::{
    clock,
    delivery::{COPIES, Deposits, Receipt, Verdict},
    paths::{Blame, Path, PathBook, Purpose, RequestFailure},
    roster::RosterFeed,
    state::{OutboxItem, State, StateError},
    transport::{ANSWER, Door, Route, Transport},
};
pub(crate) use direct::{Listened, Waiting};
use established::{Established, Opening};
use futures::future::join_all;
use rand::seq::IteratorRandom;
use skep_chain_client::{AskError, ConnectError, RosterSource, RosterView, VerifyError};
use skep_envelope::{Identity, MessageId};
use skep_onion::{
    Answer, Candidate, Diversity, Hop, OpenError, PATH_HOPS, PathChoiceError, ReplyOpener, WrapError, WrapOptions,
    established::{AnswerReader, PathAnswer, ReadAnswerError, SealedRequest},
    wrap,
};
use skep_primitives::{BlockHash, Moment, ServiceNodeId, SwarmId};
use skep_proto::{
    account::AccountAddress,
    storage::{
        HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveRequest, RetrieveResponse, StoreRequest,
        TimedAuth, signed,
    },
};
use skep_work::{Challenge, FLOOR, MOST_EFFORT, solve};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

/// A roster older than this is asked for again before it is used.
const ROSTER_AGE: Duration = Duration::from_secs(30);
/// Nodes asked for their clock when ours seems wrong.
const CLOCKS_ASKED: usize = 5;
/// How long a hop may take to answer a test.
const TEST: Duration = Duration::from_secs(10);
/// How many paths are tried before giving up.
const MOST_PATHS: usize = 8;
/// How many times a message is brought anew, to another swarm or with more work, before giving up.
const MOST_ATTEMPTS: usize = 3;

/// How long to work on one message.
const LONGEST_WORK: Duration = Duration::from_secs(120);

/// A message is kept by its recipient's swarm, or was given to the node on which the recipient listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names the message within its conversation, if it is one that is kept there.
    pub id: Option<MessageId>,
    /// Names the stored message.
    pub hash: MessageHash,
    /// The hops it went through, guard first.
    pub path: [ServiceNodeId; PATH_HOPS],
    /// How different the hops are. Tell the user about anything but [`Diversity::Full`].
    pub diversity: Diversity,
    /// The swarm.
    pub swarm: SwarmId,
    /// The members that signed that they have it, ordered by key; every signature was verified. None if it went directly.
    pub receipts: Vec<Receipt>,
    /// It was given to the node on which the recipient listens, and is stored nowhere. An event tells when the recipient has
    /// it.
    pub direct: bool,
}

impl Delivery {
    /// The members that signed that they have it.
    pub fn stored_on(&self) -> impl ExactSizeIterator<Item = ServiceNodeId> {
        self.receipts.iter().map(|receipt| receipt.member)
    }
}

/// A path in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedPath {
    /// What for.
    pub purpose: Purpose,
    /// The hops, guard first.
    pub hops: [PathHop; PATH_HOPS],
    /// How different the hops are.
    pub diversity: Diversity,
    /// Whether the hops have agreed on keys for it; else every request is encrypted anew to their long-term keys.
    pub established: bool,
}

/// One hop of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathHop {
    /// The node.
    pub node: ServiceNodeId,
    /// Its address, if it is still in the roster.
    pub ip: Option<Ipv4Addr>,
}

/// The network is of no use now.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No chain node answers.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chain nodes do not tell.
    #[error("the roster of service nodes cannot be had")]
    Roster(#[from] AskError),
    /// The chain nodes prove no roster that can be believed.
    #[error("the roster of service nodes is not proven")]
    Unproven(#[from] VerifyError),
    /// Nothing is there to check the chain nodes against.
    #[error(
        "this version carries no checkpoint to check the roster against, since the main network has not begun: give the one \
         of your network (--checkpoint FILE; `skep devnet up` writes one), or, if the chain nodes are your own, trust them \
         (--trust-chain)"
    )]
    NoCheckpoint,
    /// Chain nodes contradict each other: at least one lies, or follows another chain.
    #[error("chain node {0} tells another {1} than the others: ask only chain nodes you trust (--chain-url)")]
    Contradiction(String, &'static str),
    /// There are no service nodes yet.
    #[error("there is no swarm yet: wait until service nodes have registered and been placed")]
    NoSwarm,
    /// Too few of them.
    #[error(transparent)]
    TooFewNodes(#[from] PathChoiceError),
    /// None of the paths tried works.
    #[error("no path works; the last one failed: {failure}. Check your connection, then try again")]
    NoPath {
        /// How the last one failed, and at whom.
        failure: String,
    },
    /// The state cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A message was not kept by enough members of the swarm.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The network is of no use now.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Too few members signed.
    #[error("only {receipts} of {needed} needed members of swarm {swarm} signed that they keep the message; {reason}")]
    TooFewReceipts {
        /// How many signed.
        receipts: usize,
        /// How many must.
        needed: usize,
        /// The swarm.
        swarm: SwarmId,
        /// What the others said.
        reason: String,
    },
    /// Nodes see another time.
    #[error("service nodes say that this clock is wrong: set it, then try again")]
    Clock,
    /// Nodes are under load and ask for more than is bearable.
    #[error("service nodes ask for too much work ({0}) at the moment: try again later")]
    TooMuchWork(u32),
    /// The work was not done in time.
    #[error("the proof of work took too long: try again when this machine is less busy")]
    SlowWork,
    /// The request cannot be wrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The session with the recipient starts anew, and it has to be said in the new one.
    #[error("the session starts anew, and it is said in the new one")]
    Withdrawn,
}

/// What one member of the swarm did with a request.
#[derive(Debug)]
enum Outcome {
    Answered(Answer),
    /// It failed.
    Failed(RequestFailure),
    /// The path to it failed, and is mended.
    NotReached(RequestFailure),
}

/// What a member answered to a request to read.
#[derive(Debug)]
pub(crate) enum Read {
    /// This.
    Page(RetrieveResponse),
    /// That the mailbox is another swarm's.
    WrongSwarm,
    /// That this clock is wrong.
    WrongClock,
    /// Nothing of use.
    Failed(String),
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    roster: RosterFeed,
    clocks: clock::Clocks,
    view: RosterView,
    asked: Instant,
    candidates: Vec<Candidate>,
    transport: Transport,
    paths: PathBook,
    established: Established,
}

impl Network {
    /// Asks chain nodes for the roster.
    pub(crate) async fn connect(source: RosterSource, state: &mut State) -> Result<Self, NetworkError> {
        let transport = Transport::new(source.urls.proxy().cloned());
        let mut roster = RosterFeed::open(source, state).await?;
        let view = roster.ask().await?;
        roster.keep(state)?;
        let candidates = candidates(&view);
        let (paths, clocks) = (state.paths()?, clock::Clocks::default());
        let (asked, established) = (Instant::now(), Established::default());
        Ok(Self { roster, clocks, view, asked, candidates, transport, paths, established })
    }

    /// The network's name.
    pub(crate) fn genesis(&self) -> BlockHash {
        self.roster.genesis()
    }

    /// Asks for the roster if it is too old.
    pub(crate) async fn refresh(&mut self) -> Result<(), NetworkError> {
        if self.asked.elapsed() > ROSTER_AGE { self.ask_roster().await } else { Ok(()) }
    }

    /// Asks for the roster.
    pub(crate) async fn ask_roster(&mut self) -> Result<(), NetworkError> {
        self.view = self.roster.ask().await?;
        self.asked = Instant::now();
        self.candidates = candidates(&self.view);
        Ok(())
    }

    /// Keeps what was proven of the roster, so that the next run begins there.
    pub(crate) fn keep_roster(&self, state: &mut State) -> Result<(), NetworkError> {
        self.roster.keep(state)
    }

    /// The swarm that keeps an account's mail, and its members.
    pub(crate) fn swarm_of(&self, account: &AccountAddress) -> Result<(SwarmId, Vec<ServiceNodeId>), NetworkError> {
        let swarm = self.view.swarm_of(&account.key()).ok_or(NetworkError::NoSwarm)?;
        Ok((swarm, self.view.members(swarm).map(|member| member.id).collect()))
    }

    /// The guard of the path for reading, if there is one yet.
    pub(crate) fn reading_guard(&self) -> Option<ServiceNodeId> {
        self.paths.guard(Purpose::Reading)
    }

    /// Brings a message into its recipient's swarm.
    pub(crate) async fn deliver(&mut self, state: &mut State, item: &OutboxItem) -> Result<Delivery, DeliverError> {
        let mut effort = FLOOR;
        self.refresh().await?;
        for _ in 1..MOST_ATTEMPTS {
            match self.attempt(state, item, effort).await? {
                Attempt::Kept(delivery) => return Ok(delivery),
                Attempt::MoreWork(asked) if asked > MOST_EFFORT => return Err(DeliverError::TooMuchWork(asked)),
                Attempt::MoreWork(asked) => effort = effort.max(asked),
                Attempt::WrongSwarm => {}
                Attempt::Failed(DeliverError::Clock)
                    if self.learn_clock(state, Purpose::Contact(item.recipient)).await? => {}
                Attempt::Failed(error) => return Err(error),
            }
            // The swarm may have changed, and the block the work was done over may be too old.
            self.ask_roster().await?;
        }
        match self.attempt(state, item, effort).await? {
            Attempt::Kept(delivery) => Ok(delivery),
            Attempt::Failed(error) => Err(error),
            Attempt::MoreWork(asked) => Err(DeliverError::TooMuchWork(asked)),
            Attempt::WrongSwarm => {
                let (swarm, _) = self.swarm_of(&item.recipient)?;
                let reason =
                    "they say that the mailbox is another swarm's: try again when the roster has settled".into();
                Err(DeliverError::TooFewReceipts { receipts: 0, needed: COPIES, swarm, reason })
            }
        }
    }

    /// Brings a message into the swarm the roster tells, with work of this effort.
    async fn attempt(&mut self, state: &mut State, item: &OutboxItem, effort: u32) -> Result<Attempt, DeliverError> {
        let (swarm, members) = self.swarm_of(&item.recipient)?;
        let timestamp = self.clocks.corrected(item.timestamp);
        let request = store_request(item, timestamp, effort, self.view.block_hash()).await?;
        let mut deposits = Deposits::new(item.hash, members, &mut rand::rng());
        let (mut reason, mut more_work, mut wrong_swarm, mut wrong_clock) = (String::new(), None, false, false);
        let (purpose, mut used) = (Purpose::Contact(item.recipient), None);
        for _ in 0..MOST_PATHS {
            if deposits.untried().is_empty() {
                break;
            }
            let path = self.working_path(state, purpose, deposits.untried()).await?;
            let next = deposits.next(&path.ids());
            used = Some(path);
            for (member, outcome) in self.round(state, purpose, &path, &next, &request).await? {
                match outcome {
                    Outcome::NotReached(_) => deposits.postpone(member),
                    Outcome::Failed(failure) => reason = format!("{member}: {failure}"),
                    Outcome::Answered(answer) => match deposits.answered(&answer) {
                        Verdict::Taken => {}
                        Verdict::MoreWork(effort) => more_work = more_work.max(Some(effort)),
                        Verdict::WrongSwarm => wrong_swarm = true,
                        Verdict::WrongClock => wrong_clock = true,
                        Verdict::Refused => reason = format!("{member} answered with status {}", answer.status),
                    },
                }
            }
            if !deposits.is_sent() && (more_work.is_some() || wrong_swarm) {
                break;
            }
        }
        if let (true, Some(path)) = (deposits.is_sent(), used) {
            let receipts = deposits.receipts().cloned().collect();
            let (hash, path, diversity) = (item.hash, path.ids(), path.diversity);
            return Ok(Attempt::Kept(Delivery { id: None, hash, path, diversity, swarm, receipts, direct: false }));
        }
        Ok(match more_work {
            Some(effort) => Attempt::MoreWork(effort),
            None if wrong_swarm => Attempt::WrongSwarm,
            None if wrong_clock => Attempt::Failed(DeliverError::Clock),
            None => {
                let (receipts, needed) = (deposits.receipts().count(), deposits.needed());
                Attempt::Failed(DeliverError::TooFewReceipts { receipts, needed, swarm, reason })
            }
        })
    }

    /// Asks one member of the own swarm for what came after `last_hash`.
    pub(crate) async fn read(
        &mut self,
        state: &mut State,
        identity: &Identity,
        member: ServiceNodeId,
        last_hash: Option<MessageHash>,
    ) -> Result<Read, NetworkError> {
        let (mut reason, mut learnt) = (String::new(), false);
        for _ in 0..MOST_PATHS {
            let path = self.working_path(state, Purpose::Reading, &[member]).await?;
            let request = retrieve_request(identity, last_hash, self.clocks.corrected(clock::now()));
            let outcome = self.round(state, Purpose::Reading, &path, &[member], &request).await?.pop();
            match outcome.map(|(_, outcome)| outcome) {
                Some(Outcome::Answered(answer)) => match read_answer(&answer) {
                    Read::WrongClock if !learnt && self.learn_clock(state, Purpose::Reading).await? => learnt = true,
                    read @ (Read::Page(_) | Read::WrongSwarm | Read::WrongClock | Read::Failed(_)) => return Ok(read),
                },
                Some(Outcome::Failed(failure)) => return Ok(Read::Failed(failure.to_string())),
                Some(Outcome::NotReached(failure)) => reason = failure.to_string(),
                None => break,
            }
        }
        Ok(Read::Failed(reason))
    }

    /// Asks some nodes what time it is, through the path. Whether ours is corrected otherwise than before.
    async fn learn_clock(&mut self, state: &mut State, purpose: Purpose) -> Result<bool, NetworkError> {
        let before = self.clocks.offset();
        let path = self.working_path(state, purpose, &[]).await?;
        self.ask_some(state, purpose, &path, CLOCKS_ASKED).await?;
        Ok(self.clocks.offset().abs_diff(before) > 1_000)
    }

    /// Asks some nodes outside the path for their version and clock, through it.
    async fn ask_some(
        &mut self,
        state: &mut State,
        purpose: Purpose,
        path: &Path,
        count: usize,
    ) -> Result<Vec<(ServiceNodeId, Outcome)>, NetworkError> {
        let others = self.candidates.iter().map(|candidate| candidate.hop.id).filter(|id| !path.ids().contains(id));
        let asked = others.choose_multiple(&mut rand::rng(), count);
        self.round(state, purpose, path, &asked, &body(Method::Info)).await
    }

    /// Keeps the time an answer tells.
    fn note_clock(&mut self, node: ServiceNodeId, answer: &Answer) {
        if let Ok(Told { t }) = serde_json::from_str(&answer.body) {
            self.clocks.told(node, t, clock::now());
        }
    }

    /// The path of each purpose, once it has answered just now.
    pub(crate) async fn used_paths(&mut self, state: &mut State) -> Result<Vec<UsedPath>, NetworkError> {
        self.refresh().await?;
        let mut used = Vec::new();
        for purpose in self.paths.purposes() {
            let Path { hops, diversity, .. } = self.answering_path(state, purpose).await?;
            let shown =
                hops.map(|hop| PathHop { node: hop.id, ip: self.view.node(&hop.id).map(|entry| entry.endpoint.ip()) });
            used.push(UsedPath { purpose, hops: shown, diversity, established: self.established.has(purpose, &hops) });
        }
        Ok(used)
    }

    /// A path that answers now, not only before: a hop may have restarted since.
    async fn answering_path(&mut self, state: &mut State, purpose: Purpose) -> Result<Path, NetworkError> {
        let mut last = String::new();
        for _ in 0..MOST_PATHS {
            let path = self.working_path(state, purpose, &[]).await?;
            match self.ask_some(state, purpose, &path, 1).await?.pop() {
                Some((_, Outcome::NotReached(failure))) => last = failure.to_string(),
                // Where the node that was asked failed, the path has told so.
                Some((_, Outcome::Answered(_) | Outcome::Failed(_))) | None => return Ok(path),
            }
        }
        Err(NetworkError::NoPath { failure: last })
    }

    /// A path that has answered, with at least one of `destinations` outside it.
    async fn working_path(
        &mut self,
        state: &mut State,
        purpose: Purpose,
        destinations: &[ServiceNodeId],
    ) -> Result<Path, NetworkError> {
        let mut last = String::new();
        for _ in 0..MOST_PATHS {
            let before = self.paths.clone();
            let path = self.paths.path(purpose, destinations, &self.candidates, clock::now(), &mut rand::rng())?;
            // A guard is on disk before it sees the client's address, so that it is the same after a crash.
            if self.paths != before {
                state.keep_paths(&self.paths)?;
            }
            let failing = match self.open(purpose, &path).await {
                Opening::Established | Opening::Version2 if path.tested => return Ok(path),
                Opening::Established => None,
                Opening::Version2 => self.failing_hop(&path).await,
                Opening::Failed(Some(hop), failure) => Some((hop, failure)),
                Opening::Failed(None, failure) => {
                    tracing::debug!(%failure, "a path was not established");
                    let failing = self.failing_hop(&path).await;
                    if failing.is_none() {
                        self.no_established(purpose, &path);
                    }
                    failing
                }
            };
            let Some((hop, failure)) = failing else {
                self.paths.worked(purpose);
                state.keep_paths(&self.paths)?;
                return Ok(Path { tested: true, ..path });
            };
            tracing::debug!(%hop, %failure, "path does not work, mending it");
            last = format!("{failure} (at {hop})");
            self.paths.failed(purpose, hop, clock::now());
            state.keep_paths(&self.paths)?;
        }
        Err(NetworkError::NoPath { failure: last })
    }

    /// The hop because of which a path does not work: the whole path is tested first, then, if that does not tell, every
    /// beginning of it.
    async fn failing_hop(&mut self, path: &Path) -> Option<(ServiceNodeId, RequestFailure)> {
        let last = path.hops.last()?.id;
        let failure = self.test(&path.hops).await.err()?;
        match failure.blame(&path.hops, &last) {
            Blame::Hop(hop) => return Some((hop, failure)),
            Blame::Destination => return Some((last, failure)),
            Blame::Unknown | Blame::Keys(_) => {}
        }
        for length in 1..path.hops.len() {
            let beginning = path.hops.get(..length)?;
            if let Err(failure) = self.test(beginning).await {
                return Some((beginning.last()?.id, failure));
            }
        }
        Some((last, failure))
    }

    /// Asks the last of these hops for its version, through the others.
    async fn test(&mut self, hops: &[Hop]) -> Result<(), RequestFailure> {
        let Some((last, before)) = hops.split_last() else { return Ok(()) };
        let prepared = self.prepare(None, before, last, &body(Method::Info)).map_err(|error| match error {
            PrepareError::Wrap(_) => RequestFailure::Undecryptable,
            PrepareError::Failed(failure) => failure,
        })?;
        let id = last.id;
        let answer = prepared.send(TEST).await?;
        self.note_clock(id, &answer);
        Ok(())
    }

    /// Sends one request to several members through a path; mends the path if it is to blame.
    async fn round(
        &mut self,
        state: &mut State,
        purpose: Purpose,
        path: &Path,
        members: &[ServiceNodeId],
        request: &[u8],
    ) -> Result<Vec<(ServiceNodeId, Outcome)>, NetworkError> {
        let mut prepared = Vec::with_capacity(members.len());
        for member in members {
            let Some(hop) = Hop::from_id(*member) else { continue };
            match self.prepare(Some(purpose), &path.hops, &hop, request) {
                Ok(request) => prepared.push(request),
                Err(PrepareError::Wrap(error)) => tracing::debug!(%member, %error, "cannot be asked"),
                Err(PrepareError::Failed(failure)) => {
                    return Err(NetworkError::NoPath { failure: failure.to_string() });
                }
            }
        }
        let asked: Vec<_> = prepared.iter().map(|prepared| prepared.destination).collect();
        let answers = join_all(prepared.into_iter().map(|prepared| prepared.send(ANSWER))).await;
        for (member, answer) in asked.iter().zip(&answers) {
            let Ok(answer) = answer else { continue };
            self.note_clock(*member, answer);
        }
        let works = answers.iter().any(Result::is_ok);
        let blames: Vec<_> = asked
            .iter()
            .zip(&answers)
            .filter_map(|(member, answer)| Some(answer.as_ref().err()?.blame(&path.hops, member)))
            .collect();
        let told = blames.iter().find_map(|blame| match blame {
            Blame::Hop(hop) => Some(*hop),
            Blame::Destination | Blame::Unknown | Blame::Keys(_) => None,
        });
        let lost = blames.iter().find_map(|blame| match blame {
            Blame::Keys(hop) => Some(*hop),
            Blame::Destination | Blame::Unknown | Blame::Hop(_) => None,
        });
        let hop = match told {
            _ if works => None,
            Some(hop) => Some(hop),
            None if blames.contains(&Blame::Unknown) => self.failing_hop(path).await.map(|(hop, _)| hop),
            None => None,
        };
        let hop = match (hop, lost) {
            (None, Some(suspect)) if !works => self.established.lost(purpose, &path.hops).then_some(suspect),
            _ => hop,
        };
        if works {
            self.established.worked(purpose, &path.hops);
        }
        if blames.iter().any(|blame| *blame != Blame::Destination) {
            self.established.forget(purpose, &path.hops);
        }
        match hop {
            Some(hop) => self.paths.failed(purpose, hop, clock::now()),
            None if works => self.paths.worked(purpose),
            None => {}
        }
        state.keep_paths(&self.paths)?;
        let outcomes = asked.into_iter().zip(answers).map(|(member, answer)| {
            let outcome = match answer {
                Ok(answer) => Outcome::Answered(answer),
                Err(failure) => match failure.blame(&path.hops, &member) {
                    Blame::Keys(_) => Outcome::NotReached(failure),
                    Blame::Hop(_) | Blame::Unknown if hop.is_some() => Outcome::NotReached(failure),
                    Blame::Hop(_) | Blame::Unknown | Blame::Destination => Outcome::Failed(failure),
                },
            };
            (member, outcome)
        });
        Ok(outcomes.collect())
    }

    /// Wraps a request and finds the guard (the destination itself, if there are no hops). Where the hops have agreed on
    /// keys for this purpose, those are used.
    fn prepare(
        &mut self,
        purpose: Option<Purpose>,
        hops: &[Hop],
        destination: &Hop,
        request: &[u8],
    ) -> Result<Prepared, PrepareError> {
        let options = WrapOptions { base64: false, ..WrapOptions::default() };
        let id = destination.id;
        if let Some(purpose) = purpose.filter(|purpose| self.established.has(*purpose, hops)) {
            // The destination sees the number it would see behind as many hops of version 2.
            let options = WrapOptions { first_hop_no: u8::try_from(hops.len()).unwrap_or_default(), ..options };
            let inner = wrap(&[], destination, request, options, &mut rand::rng()).map_err(PrepareError::Wrap)?;
            if let Some(SealedRequest { frame, reader }) = self.established.seal(purpose, hops, id, &inner.body) {
                let guard = hops.first().unwrap_or(destination).id;
                let door = self.door(guard, Route::Path).map_err(PrepareError::Failed)?;
                return Ok(Prepared { destination: id, door, body: frame, opener: inner.opener, reader: Some(reader) });
            }
        }
        let wrapped = wrap(hops, destination, request, options, &mut rand::rng()).map_err(PrepareError::Wrap)?;
        let first = hops.first().unwrap_or(destination).id;
        let door = self.door(first, Route::OnionRequest).map_err(PrepareError::Failed)?;
        Ok(Prepared { destination: id, door, body: wrapped.body, opener: wrapped.opener, reader: None })
    }

    /// Who posts to a node.
    fn door(&mut self, node: ServiceNodeId, route: Route) -> Result<Door, RequestFailure> {
        let entry = self.view.node(&node).ok_or(RequestFailure::Silence)?;
        self.transport.to(node, entry.endpoint, route).map_err(RequestFailure::Guard)
    }
}

/// What came of bringing a message into a swarm.
enum Attempt {
    Kept(Delivery),
    MoreWork(u32),
    WrongSwarm,
    Failed(DeliverError),
}

enum PrepareError {
    Wrap(WrapError),
    Failed(RequestFailure),
}

/// A wrapped request.
struct Prepared {
    destination: ServiceNodeId,
    door: Door,
    body: Vec<u8>,
    opener: ReplyOpener,
    /// On an established path.
    reader: Option<AnswerReader>,
}

impl Prepared {
    async fn send(self, timeout: Duration) -> Result<Answer, RequestFailure> {
        let Self { door, body, opener, reader, .. } = self;
        let sealed = match reader {
            None => door.post(body, timeout).await?,
            Some(reader) => {
                let answer = door.post(body, timeout).await.map_err(RequestFailure::of_established)?;
                let PathAnswer { status, body } = reader.read(&answer).map_err(|error| match error {
                    ReadAnswerError::Failed { at, failure } => RequestFailure::Hop { at, failure },
                    ReadAnswerError::Forged(at) => RequestFailure::Forged(at),
                })?;
                match status {
                    200 => body,
                    // As the last hop passes it on, in place of the destination's sealed words.
                    status => return Err(RequestFailure::Destination(status)),
                }
            }
        };
        opener.open(&sealed).map_err(|error| match error {
            OpenError::Undecryptable => RequestFailure::Undecryptable,
            OpenError::Malformed => RequestFailure::Malformed,
        })
    }
}

/// The time a node tells with any answer (ms).
#[derive(serde::Deserialize)]
struct Told {
    t: Moment,
}

fn candidates(view: &RosterView) -> Vec<Candidate> {
    view.serving().filter_map(Candidate::from_entry).collect()
}

/// The body of the deposit, with its proof of work.
async fn store_request(
    item: &OutboxItem,
    timestamp: Moment,
    effort: u32,
    block_hash: BlockHash,
) -> Result<Vec<u8>, DeliverError> {
    let OutboxItem { hash, recipient, ref data, timestamp: _, ttl } = *item;
    let namespace = Namespace::DEFAULT;
    let challenge = Challenge { account: recipient, namespace, hash, timestamp, ttl, effort, block_hash };
    let started = Instant::now();
    let start = rand::random();
    let proof = tokio::task::spawn_blocking(move || {
        solve(&challenge, start, || started.elapsed() < LONGEST_WORK).map(|proof| challenge.to_wire(&proof))
    });
    let work = proof.await.ok().flatten().ok_or(DeliverError::SlowWork)?;
    let expiry = timestamp.saturating_add(ttl);
    let (data, auth, account) = (data.clone(), None, recipient);
    let store = StoreRequest { account, namespace, timestamp, expiry, data, auth, work: Some(work) };
    Ok(body(Method::Store(store)))
}

/// The body of a request to read the own mailbox, signed at this time.
fn retrieve_request(identity: &Identity, last_hash: Option<MessageHash>, timestamp: Moment) -> Vec<u8> {
    let namespace = Namespace::DEFAULT;
    let signature = identity.sign_request(&signed::retrieve(namespace, timestamp));
    let ed25519_key = Some(HexKey(identity.ed25519_key()));
    let auth = TimedAuth { auth: OwnerAuth { signature, ed25519_key, subaccount: None }, timestamp };
    let (account, auth) = (identity.account(), Some(auth));
    body(Method::Retrieve(RetrieveRequest { account, namespace, last_hash, max_count: None, max_size: None, auth }))
}

/// The text of a request, padded with spaces, so that its length tells neither cursors nor how many contacts there are.
fn body(method: Method) -> Vec<u8> {
    // Plain structures with text keys always have a JSON form.
    padded(serde_json::to_vec(&Request::Single(method)).unwrap_or_default())
}

fn padded(mut body: Vec<u8>) -> Vec<u8> {
    /// Bodies have a multiple of this many bytes.
    const STEP: usize = 1024;
    body.resize(body.len().next_multiple_of(STEP), b' ');
    body
}

fn read_answer(answer: &Answer) -> Read {
    match answer.status {
        200 => match serde_json::from_str(&answer.body) {
            Ok(page) => Read::Page(page),
            Err(_) => Read::Failed("its answer is malformed".into()),
        },
        406 => Read::WrongClock,
        421 => Read::WrongSwarm,
        status => Read::Failed(format!("it answered with status {status}")),
    }
}

/// How diverse the paths of a network can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathSurvey {
    /// The rules the best path keeps.
    pub diversity: Diversity,
    /// How many nodes may stand beside the node that restricts the choice most, under the full rules.
    pub fewest_choices: usize,
}

/// How diverse the paths of the network in `view` can be.
///
/// # Errors
/// There are too few nodes for any path.
pub fn survey_paths(view: &RosterView) -> Result<PathSurvey, PathChoiceError> {
    let candidates = candidates(view);
    let wish = skep_onion::PathWish::default();
    let diversity = skep_onion::choose_path(&candidates, wish, &mut rand::rng())?.diversity;
    let beside = |node: &Candidate| candidates.iter().filter(|other| skep_onion::is_diverse(node, other)).count();
    let fewest_choices = candidates.iter().map(beside).min().unwrap_or_default();
    Ok(PathSurvey { diversity, fewest_choices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_into_the_mailbox_has_one_length() {
        let identity = Identity::generate(&mut rand::rng());
        let hash = MessageHash::of(&identity.account(), Namespace::DEFAULT, b"the last one");
        for (cursor, now) in [(None, 1), (Some(hash), 1_800_000_000_000)] {
            assert_eq!(retrieve_request(&identity, cursor, now).len(), 1024);
        }
        for len in [0, 1, 1023, 1024, 1025] {
            let padded = padded(vec![b'x'; len]);
            assert!(padded.len().is_multiple_of(1024) && padded.len() < len + 1024);
            assert!(padded.get(len..).is_some_and(|end| end.iter().all(|byte| *byte == b' ')));
        }
    }
}
