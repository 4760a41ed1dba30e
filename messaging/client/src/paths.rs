//! The paths in use and how they are mended; pure.
//!
//! | what happened | what changes |
//! |---|---|
//! | a path answered | its hops' failures are forgotten |
//! | a hop after the guard failed | it alone is replaced, at once; it is never contacted directly, which would show it the client |
//! | the guard that contacts share is the only destination | the path to that contact gets a guard of its own, and keeps it: not another one each time |
//! | the guard failed | nothing; it is replaced after [`MOST_FAILURES`] in a row, since each new guard learns the client's address |
//! | a path failed [`MOST_FAILURES`] times in a row | all but its guard are replaced: perhaps one of them blames the others |
//! | a node failed [`MOST_FAILURES`] times in a row | it is in no path for [`REST_MS`] |
//! | a hop left the roster | it is replaced |
//!
//! There is one path for reading, one for listening and one for each contact, with different guards and, where the network is
//! large enough, no hop in common, so that no last hop sees both what an account sends and what it reads (`protocol.md` section
//! 5). The paths to contacts share the guard of the path for sending: each guard learns the client's address. They may share
//! further hops; which contacts belong to one client, a last hop cannot tell by the path.

use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skep_onion::{
    Candidate, Choice, Diversity, Hop, PATH_HOPS, PathChoiceError, PathError, PathWish, choose_path,
    established::{HopFailure, PathBroken},
};
use skep_primitives::{Moment, ServiceNodeId};
use skep_proto::account::AccountAddress;
use std::{collections::BTreeMap, fmt};

/// Failures in a row after which a node or a path is given up (`protocol.md` section 5).
const MOST_FAILURES: u8 = 3;

/// How long a node that was given up is left alone (ms): about what a restart or an outage takes.
const REST_MS: Moment = 60 * 60 * 1000;

/// Paths to contacts that are kept; the one unused for longest gives way.
const MOST_CONTACTS: usize = 32;

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Speaking to others' swarms in general; the paths to contacts share its guard.
    Sending,
    /// Reading one's own mailbox.
    Reading,
    /// Waiting for what contacts deliver directly.
    Listening,
    /// Writing to this account.
    Contact(AccountAddress),
}

impl Purpose {
    /// Whether their paths have the same guard, and may have further hops in common.
    const fn may_share(self, other: Self) -> bool {
        match (self, other) {
            (Self::Sending | Self::Contact(_), Self::Sending | Self::Contact(_))
            | (Self::Reading, Self::Reading)
            | (Self::Listening, Self::Listening) => true,
            (Self::Sending | Self::Contact(_), Self::Reading | Self::Listening)
            | (Self::Reading, Self::Sending | Self::Contact(_) | Self::Listening)
            | (Self::Listening, Self::Sending | Self::Contact(_) | Self::Reading) => false,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sending => f.write_str("sending"),
            Self::Reading => f.write_str("reading"),
            Self::Listening => f.write_str("listening"),
            Self::Contact(account) => write!(f, "{account}"),
        }
    }
}

/// Written as a word, or as the account.
impl Serialize for Purpose {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "sending" => Ok(Self::Sending),
            "reading" => Ok(Self::Reading),
            "listening" => Ok(Self::Listening),
            account => account.parse().map(Self::Contact).map_err(de::Error::custom),
        }
    }
}

/// A path to use now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Guard first.
    pub(crate) hops: [Hop; PATH_HOPS],
    /// How different the hops are.
    pub(crate) diversity: Diversity,
    /// Whether it has answered since this program started.
    pub(crate) tested: bool,
}

impl Path {
    /// The hops' names, guard first.
    pub(crate) fn ids(&self) -> [ServiceNodeId; PATH_HOPS] {
        self.hops.map(|hop| hop.id)
    }
}

/// How one onion request failed, before any answer of its destination could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    /// No connection to the guard, or not the guard's.
    #[error("no connection to its guard")]
    Guard(#[source] crate::transport::ConnectFailure),
    /// The guard does not want to: it is busy, or no messaging node.
    #[error("its guard refused with status {0}")]
    Refused(u16),
    /// No answer in time, or the connection broke.
    #[error("no answer in time")]
    Silence,
    /// A hop says that it could not go on.
    #[error("a hop answered: {0}")]
    Path(PathError),
    /// What came back is not the destination's.
    #[error("the answer was changed on the way")]
    Undecryptable,
    /// The hop with this place, guard 0, says under its own key that it could not go on.
    #[error("hop {at} answered: {failure}")]
    Hop {
        /// Its place.
        at: usize,
        /// Why.
        failure: HopFailure,
    },
    /// What came back is not sealed by the hop with this place, guard 0.
    #[error("the answer of hop {0} was changed on the way")]
    Forged(usize),
    /// The guard does not know the path any more.
    #[error("its guard has forgotten the path")]
    Lost,
    /// A hop serves no established paths.
    #[error("a hop serves no established paths")]
    Unsupported,
    /// The destination does not want to.
    #[error("the destination refused with status {0}")]
    Destination(u16),
    /// The destination answered, but nothing that makes sense.
    #[error("the destination's answer is malformed")]
    Malformed,
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// This hop.
    Hop(ServiceNodeId),
    /// The destination.
    Destination,
    /// It cannot be told: ask the hops one after the other.
    Unknown,
    /// Nobody yet: a hop has lost the keys of the path, which has to be opened anew. This hop, if that happens again.
    Keys(ServiceNodeId),
}

impl RequestFailure {
    /// Who is to blame, as far as the failure itself tells.
    pub(crate) fn blame(&self, hops: &[Hop], destination: &ServiceNodeId) -> Blame {
        match self {
            Self::Guard(_) | Self::Refused(_) => hops.first().map_or(Blame::Destination, |guard| Blame::Hop(guard.id)),
            Self::Path(PathError::NextNodeNotFound(id)) if id == destination => Blame::Destination,
            Self::Path(PathError::NextNodeNotFound(id)) if hops.iter().skip(1).any(|hop| hop.id == *id) => {
                Blame::Hop(*id)
            }
            Self::Malformed | Self::Destination(_) => Blame::Destination,
            Self::Lost => hops.first().map_or(Blame::Unknown, |guard| Blame::Keys(guard.id)),
            Self::Hop { at, failure } => match (hops.get(at + 1), failure) {
                (Some(next), HopFailure::NextBroken) => Blame::Keys(next.id),
                (
                    Some(next),
                    HopFailure::NextNotFound
                    | HopFailure::NextSilent
                    | HopFailure::NextUnsupported
                    | HopFailure::NextBusy
                    | HopFailure::NextInvalid,
                ) => Blame::Hop(next.id),
                (None, _) => Blame::Destination,
            },
            Self::Forged(0) => hops.first().map_or(Blame::Unknown, |guard| Blame::Hop(guard.id)),
            Self::Path(_) | Self::Silence | Self::Undecryptable | Self::Forged(_) | Self::Unsupported => Blame::Unknown,
        }
    }

    /// Whether it only means that requests of version 2 have to do.
    pub(crate) const fn is_unsupported(&self) -> bool {
        // A node of before knows no such door.
        matches!(self, Self::Unsupported | Self::Refused(404))
    }

    /// The same failure, where it happened to a frame of an established path.
    pub(crate) fn of_established(self) -> Self {
        if matches!(self, Self::Refused(PathBroken::STATUS | 404)) { Self::Lost } else { self }
    }
}

/// The paths of one client; kept across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathBook {
    paths: BTreeMap<Purpose, Kept>,
    failures: BTreeMap<ServiceNodeId, Failures>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Guard first; none where one is to be chosen.
    hops: [Option<ServiceNodeId>; PATH_HOPS],
    /// In a row.
    failures: u8,
    /// When it was last asked for.
    #[serde(default)]
    used: Moment,
    /// Not the shared guard, which has been the only destination.
    #[serde(default)]
    own_guard: bool,
    #[serde(skip)]
    tested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    /// In a row.
    count: u8,
    last: Moment,
}

impl PathBook {
    /// The path for `purpose` now: the kept one if it still stands, mended or chosen anew otherwise. One that has not
    /// answered since the program started gives way to a more diverse one. At least one of `destinations` is not in it, if
    /// any are given.
    ///
    /// # Errors
    /// The network has too few nodes.
    pub(crate) fn path(
        &mut self,
        purpose: Purpose,
        destinations: &[ServiceNodeId],
        candidates: &[Candidate],
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<Path, PathChoiceError> {
        self.failures.retain(|_, failures| failures.last.saturating_add(REST_MS) > now);
        let guard = match purpose {
            Purpose::Contact(_) => Some(self.shared_guard(candidates, now, rng)?),
            Purpose::Sending | Purpose::Reading | Purpose::Listening => None,
        };
        let kept = self.paths.get(&purpose).copied().unwrap_or_default();
        // Where it is the only destination, another one has to do, then and later.
        let is_in_the_way =
            |guard: &ServiceNodeId| !destinations.is_empty() && destinations.iter().all(|id| id == guard);
        let own_guard = kept.own_guard || guard.as_ref().is_some_and(is_in_the_way);
        let guard = guard.filter(|_| !own_guard);
        let keep = with_guard(guard, self.still_good(kept, candidates));
        let reserved = reserve(keep, destinations);
        let keep = keep.map(|hop| hop.filter(|id| Some(*id) != reserved));
        let choice = match choose_path(candidates, PathWish { keep, exclude: &[] }, rng) {
            Ok(choice) if kept.tested && keep.iter().all(Option::is_some) => choice,
            _ => self.choose(purpose, keep, reserved, candidates, rng)?,
        };
        let ids = choice.hops.map(|hop| Some(hop.id));
        // Where nobody else is left, those given up get a new chance.
        self.failures.retain(|node, failures| failures.count < MOST_FAILURES || !ids.contains(&Some(*node)));
        let unchanged = kept.hops == ids;
        let kept = Kept { hops: ids, tested: unchanged && kept.tested, used: now, own_guard, ..kept };
        self.paths.insert(purpose, kept);
        self.forget_contacts();
        Ok(Path { hops: choice.hops, diversity: choice.diversity, tested: kept.tested })
    }

    /// The guard of the paths to contacts.
    fn shared_guard(
        &mut self,
        candidates: &[Candidate],
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<ServiceNodeId, PathChoiceError> {
        let kept = self.paths.get(&Purpose::Sending).copied().unwrap_or_default();
        if let [Some(guard), ..] = self.still_good(kept, candidates) {
            return Ok(guard);
        }
        let [guard, ..] = self.path(Purpose::Sending, &[], candidates, now, rng)?.ids();
        Ok(guard)
    }

    /// The guard that is kept for a purpose, if there is one.
    pub(crate) fn guard(&self, purpose: Purpose) -> Option<ServiceNodeId> {
        let [guard, ..] = self.paths.get(&purpose)?.hops;
        guard
    }

    /// Every purpose there is a path for; those for sending, reading and listening always are.
    pub(crate) fn purposes(&self) -> Vec<Purpose> {
        let contacts = self.paths.keys().copied().filter(|purpose| matches!(purpose, Purpose::Contact(_)));
        [Purpose::Sending, Purpose::Reading, Purpose::Listening].into_iter().chain(contacts).collect()
    }

    /// Keeps the paths to the contacts written to last.
    fn forget_contacts(&mut self) {
        let contacts = || self.paths.iter().filter(|(purpose, _)| matches!(purpose, Purpose::Contact(_)));
        if contacts().count() > MOST_CONTACTS {
            let oldest = contacts().min_by_key(|(_, kept)| kept.used).map(|(purpose, _)| *purpose);
            if let Some(oldest) = oldest {
                self.paths.remove(&oldest);
            }
        }
    }

    /// The path answered.
    pub(crate) fn worked(&mut self, purpose: Purpose) {
        let Some(kept) = self.paths.get_mut(&purpose) else { return };
        kept.tested = true;
        kept.failures = 0;
        for hop in kept.hops.into_iter().flatten() {
            self.failures.remove(&hop);
        }
    }

    /// Something went wrong on the path: it has to answer again before it is used.
    pub(crate) fn doubt(&mut self, purpose: Purpose) {
        if let Some(kept) = self.paths.get_mut(&purpose) {
            kept.tested = false;
        }
    }

    /// The path failed, and `node` is to blame.
    pub(crate) fn failed(&mut self, purpose: Purpose, node: ServiceNodeId, now: Moment) {
        let failures = self.failures.entry(node).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if let Some(kept) = self.paths.get_mut(&purpose) {
            kept.failures = kept.failures.saturating_add(1);
            kept.tested = false;
            let renew = kept.failures >= MOST_FAILURES;
            if renew {
                kept.failures = 0;
            }
            for hop in kept.hops.iter_mut().skip(1) {
                if renew || *hop == Some(node) {
                    *hop = None;
                }
            }
        }
    }

    /// The hops to keep at their places.
    fn still_good(&self, kept: Kept, candidates: &[Candidate]) -> [Option<ServiceNodeId>; PATH_HOPS] {
        kept.hops.map(|hop| {
            hop.filter(|id| {
                let known = candidates.iter().any(|candidate| candidate.hop.id == *id);
                known && self.failures.get(id).is_none_or(|failures| failures.count < MOST_FAILURES)
            })
        })
    }

    /// The most diverse path, giving way in this order: share no hop with the other paths and avoid all nodes that
    /// failed lately; avoid these nodes; avoid those given up; avoid none. Kept hops other than the guard give way to
    /// diversity, too.
    fn choose(
        &self,
        purpose: Purpose,
        keep: [Option<ServiceNodeId>; PATH_HOPS],
        reserved: Option<ServiceNodeId>,
        candidates: &[Candidate],
        rng: &mut impl CryptoRng,
    ) -> Result<Choice, PathChoiceError> {
        let others = self.paths.iter().filter(|(other, _)| !other.may_share(purpose));
        let others: Vec<_> = others.flat_map(|(_, kept)| kept.hops.into_iter().flatten()).collect();
        let failing = |least: u8| {
            self.failures.iter().filter(move |(_, failures)| failures.count >= least).map(|(node, _)| *node)
        };
        let excluded: [Vec<ServiceNodeId>; 4] = [
            others.into_iter().chain(failing(1)).collect(),
            failing(1).collect(),
            failing(MOST_FAILURES).collect(),
            Vec::new(),
        ];
        let [guard, ..] = keep;
        let mut best: Result<Choice, PathChoiceError> = Err(PathChoiceError::TooFewNodes(candidates.len()));
        for mut exclude in excluded {
            exclude.retain(|id| !keep.contains(&Some(*id)));
            exclude.extend(reserved);
            for keep in [keep, [guard, None, None]] {
                let choice = choose_path(candidates, PathWish { keep, exclude: &exclude }, rng);
                match (&choice, &best) {
                    (Ok(Choice { diversity: Diversity::Full, .. }), _) => return choice,
                    (Ok(new), Ok(old)) if new.diversity >= old.diversity => {}
                    (Ok(_), _) => best = choice,
                    (Err(_), Err(_)) => best = choice,
                    (Err(_), Ok(_)) => {}
                }
            }
        }
        best
    }
}

/// The hops to keep, with this guard at their head if there is one.
fn with_guard(
    guard: Option<ServiceNodeId>,
    mut keep: [Option<ServiceNodeId>; PATH_HOPS],
) -> [Option<ServiceNodeId>; PATH_HOPS] {
    let [first, others @ ..] = &mut keep;
    if guard.is_some() {
        *first = guard;
        others.iter_mut().filter(|hop| **hop == guard).for_each(|hop| *hop = None);
    }
    keep
}

/// The destination that must not be a hop: one that is none already, else one that is not the guard.
fn reserve(hops: [Option<ServiceNodeId>; PATH_HOPS], destinations: &[ServiceNodeId]) -> Option<ServiceNodeId> {
    let [guard, ..] = hops;
    let outside = destinations.iter().find(|id| !hops.contains(&Some(**id)));
    outside.or_else(|| destinations.iter().find(|id| Some(**id) != guard)).or(destinations.first()).copied()
}

#[cfg(test)]
mod tests;
