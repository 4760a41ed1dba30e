//! Established paths of this client: opened before the first request on a path, renewed before its hops forget them.
//!
//! | what happened | what changes |
//! |---|---|
//! | a path was chosen, or has to answer again | it is opened; whoever answers has been tested by that |
//! | it is nearly as old, or as idle, as hops allow | it is opened anew before the next request |
//! | a hop says that it does not know the path (it restarted) | it is opened anew; the second time in a row that hop has failed |
//! | a hop serves no established paths | requests of version 2 go through it, until it would have been renewed |
//! | it is opened anew, gives way to another path, is of no more use, or the client ends | its guard is told, and tells the next hop: nobody waits for that |

use super::{Network, TEST};
use crate::{
    paths::{Blame, Path, Purpose, RequestFailure},
    transport::Route,
};
use futures::future::join_all;
use rand::Rng;
use skep_onion::{
    Hop, PATH_HOPS,
    established::{EstablishedPath, HopFailure, OpenPathError, PATH_IDLE, PATH_LIFE, PathOpening, SealedRequest},
};
use skep_primitives::ServiceNodeId;
use std::{
    mem::replace,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Paths remembered; the one unused for longest gives way.
const MOST_PATHS: usize = 64;
/// How long before its hops would forget a path it is opened anew: longer than a request takes, and by a further minute at
/// most that varies, so that renewals keep no rhythm.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a guard may take to hear that a path is over. Whether it hears or not, the path ends by itself.
const CLOSING: Duration = Duration::from_secs(5);
/// Times in a row a hop may say that it does not know the path.
const MOST_LOSSES: u8 = 2;

/// Whether requests can go through a path now.
pub(super) enum Opening {
    /// Its hops have agreed on keys.
    Established,
    /// Some hop serves no established paths.
    Version2,
    /// It failed; this hop is to blame, if that can be told.
    Failed(Option<ServiceNodeId>, RequestFailure),
}

/// What is known of the paths in use.
#[derive(Debug, Default)]
pub(super) struct Established {
    paths: Vec<Entry>,
    /// Paths whose keys are wiped: what their guards have not been told yet.
    over: Vec<Goodbye>,
}

/// What to tell a guard of a path that is over.
#[derive(Debug)]
struct Goodbye {
    guard: ServiceNodeId,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    purpose: Purpose,
    hops: [Hop; PATH_HOPS],
    keys: Keys,
    losses: u8,
    used: Instant,
    until: Instant,
}

#[derive(Debug)]
enum Keys {
    Agreed(EstablishedPath),
    Lost,
    Unsupported,
}

impl Entry {
    /// Wipes the keys there are. What to tell the guard, if there were any.
    fn end(&mut self) -> Option<Goodbye> {
        let Keys::Agreed(path) = replace(&mut self.keys, Keys::Lost) else { return None };
        let guard = self.hops.first()?.id;
        Some(Goodbye { guard, frame: path.close() })
    }
}

impl Established {
    /// Seals a request, if these hops have agreed on keys.
    pub(super) fn seal(
        &mut self,
        purpose: Purpose,
        hops: &[Hop],
        destination: ServiceNodeId,
        body: &[u8],
    ) -> Option<SealedRequest> {
        let entry = self.fresh(purpose, hops)?;
        let Keys::Agreed(path) = &mut entry.keys else { return None };
        entry.used = Instant::now();
        path.seal(destination, body).ok()
    }

    /// Whether these hops have agreed on keys.
    pub(super) fn has(&mut self, purpose: Purpose, hops: &[Hop]) -> bool {
        self.fresh(purpose, hops).is_some_and(|entry| matches!(entry.keys, Keys::Agreed(_)))
    }

    fn is_unsupported(&mut self, purpose: Purpose, hops: &[Hop]) -> bool {
        self.fresh(purpose, hops).is_some_and(|entry| matches!(entry.keys, Keys::Unsupported))
    }

    fn fresh(&mut self, purpose: Purpose, hops: &[Hop]) -> Option<&mut Entry> {
        let now = Instant::now();
        let idle = Duration::from_millis(PATH_IDLE).saturating_sub(MARGIN);
        self.find(purpose, hops).filter(|entry| now < entry.until && now < entry.used + idle)
    }

    fn find(&mut self, purpose: Purpose, hops: &[Hop]) -> Option<&mut Entry> {
        self.paths.iter_mut().find(|entry| entry.purpose == purpose && entry.hops == hops)
    }

    /// Its hops' keys must not be used any more, for whatever reason.
    pub(super) fn forget(&mut self, purpose: Purpose, hops: &[Hop]) {
        let over = self.find(purpose, hops).and_then(Entry::end);
        self.over.extend(over);
    }

    /// All paths are over.
    fn end(&mut self) {
        self.over.extend(self.paths.drain(..).filter_map(|mut entry| entry.end()));
    }

    /// A hop says that it does not know the path. Whether it has said so too often.
    pub(super) fn lost(&mut self, purpose: Purpose, hops: &[Hop]) -> bool {
        let Some(entry) = self.find(purpose, hops) else { return false };
        // The hops before that one may know it.
        let over = entry.end();
        entry.losses += 1;
        let too_often = entry.losses >= MOST_LOSSES;
        if too_often {
            entry.losses = 0;
        }
        self.over.extend(over);
        too_often
    }

    /// A request was answered.
    pub(super) fn worked(&mut self, purpose: Purpose, hops: &[Hop]) {
        if let Some(entry) = self.find(purpose, hops) {
            entry.losses = 0;
        }
    }

    fn keep(&mut self, purpose: Purpose, hops: [Hop; PATH_HOPS], keys: Keys, rng: &mut impl Rng) {
        let now = Instant::now();
        let margin = MARGIN + MARGIN.mul_f32(rng.random());
        let until = now + Duration::from_millis(PATH_LIFE).saturating_sub(margin);
        let losses = self.find(purpose, &hops).map_or(0, |entry| entry.losses);
        // A purpose has one path at a time.
        let former = self.paths.extract_if(.., |entry| entry.purpose == purpose);
        self.over.extend(former.filter_map(|mut entry| entry.end()));
        if self.paths.len() >= MOST_PATHS {
            let oldest = self.paths.iter().enumerate().min_by_key(|(_, entry)| entry.used);
            if let Some((at, _)) = oldest {
                self.over.extend(self.paths.swap_remove(at).end());
            }
        }
        self.paths.push(Entry { purpose, hops, keys, losses, used: now, until });
    }
}

impl Network {
    /// Tells the guards of paths that are over, as far as they are in the roster. Each goodbye ends by itself after a while.
    fn goodbyes(&mut self) -> impl Iterator<Item = impl Future<Output = ()> + Send + use<>> {
        let over = std::mem::take(&mut self.established.over);
        let doors = over.into_iter().map(|Goodbye { guard, frame }| Some((self.door(guard, Route::Path).ok()?, frame)));
        let doors: Vec<_> = doors.flatten().collect();
        doors.into_iter().map(|(door, frame)| async move {
            if let Err(failure) = door.post(frame, CLOSING).await {
                tracing::debug!(%failure, "a guard did not hear that a path is over");
            }
        })
    }

    /// Has guards told of paths that are over, without waiting for it.
    pub(super) fn tell_guards(&mut self) {
        // Without a runtime nobody can be told.
        let Ok(runtime) = Handle::try_current() else { return };
        for goodbye in self.goodbyes() {
            runtime.spawn(goodbye);
        }
    }

    /// Ends all paths and tells their guards.
    pub(crate) async fn close_paths(&mut self) {
        self.established.end();
        let goodbyes: Vec<_> = self.goodbyes().collect();
        join_all(goodbyes).await;
    }

    /// Opens a path, unless it is open.
    pub(super) async fn open(&mut self, purpose: Purpose, path: &Path) -> Opening {
        let opening = self.open_unless_open(purpose, path).await;
        self.tell_guards();
        opening
    }

    async fn open_unless_open(&mut self, purpose: Purpose, path: &Path) -> Opening {
        if !path.tested {
            self.established.forget(purpose, &path.hops);
        }
        if self.established.has(purpose, &path.hops) {
            return Opening::Established;
        }
        if self.established.is_unsupported(purpose, &path.hops) {
            return Opening::Version2;
        }
        let opened = self.agree(&path.hops).await;
        match opened {
            Ok(keys) => {
                self.established.keep(purpose, path.hops, Keys::Agreed(keys), &mut rand::rng());
                Opening::Established
            }
            Err(failure) if failure.is_unsupported() => {
                self.no_established(purpose, path);
                Opening::Version2
            }
            Err(failure) => {
                let hop = match failure.blame(&path.hops, &ServiceNodeId([0; 32])) {
                    Blame::Hop(hop) | Blame::Keys(hop) => Some(hop),
                    Blame::Destination | Blame::Unknown => None,
                };
                Opening::Failed(hop, failure)
            }
        }
    }

    /// The path works, but not as an established one.
    pub(super) fn no_established(&mut self, purpose: Purpose, path: &Path) {
        self.established.keep(purpose, path.hops, Keys::Unsupported, &mut rand::rng());
    }

    async fn agree(&mut self, hops: &[Hop]) -> Result<EstablishedPath, RequestFailure> {
        let guard = hops.first().ok_or(RequestFailure::Unsupported)?.id;
        let (opening, frame) = PathOpening::start(hops, &mut rand::rng()).map_err(|_| RequestFailure::Unsupported)?;
        let answer = self.door(guard, Route::Path)?.post(frame, TEST).await?;
        opening.finish(&answer).map_err(|error| match error {
            OpenPathError::Failed { failure: HopFailure::NextUnsupported, .. } | OpenPathError::NoPath => {
                RequestFailure::Unsupported
            }
            OpenPathError::Failed { at, failure } => RequestFailure::Hop { at, failure },
            OpenPathError::Forged(at) => RequestFailure::Forged(at),
        })
    }
}

/// Whoever ends without [`Network::close_paths`] tells the guards if the runtime goes on.
impl Drop for Network {
    fn drop(&mut self) {
        self.established.end();
        self.tell_guards();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::account::AccountAddress;

    fn hops(number: u8) -> [Hop; PATH_HOPS] {
        [0, 1, 2].map(|place| Hop { id: ServiceNodeId([number + place; 32]), x25519: [1; 32] })
    }

    #[test]
    fn a_path_lost_twice_in_a_row_has_failed() {
        let mut established = Established::default();
        assert!(!established.lost(Purpose::Sending, &hops(1)), "not known");
        established.keep(Purpose::Sending, hops(1), Keys::Unsupported, &mut rand::rng());
        assert!(established.is_unsupported(Purpose::Sending, &hops(1)) && !established.has(Purpose::Sending, &hops(1)));
        assert!(!established.lost(Purpose::Sending, &hops(1)));
        assert!(!established.is_unsupported(Purpose::Sending, &hops(1)));
        established.keep(Purpose::Sending, hops(1), Keys::Unsupported, &mut rand::rng());
        established.worked(Purpose::Sending, &hops(1));
        assert!(!established.lost(Purpose::Sending, &hops(1)), "an answer in between starts the count anew");
        established.keep(Purpose::Sending, hops(1), Keys::Unsupported, &mut rand::rng());
        assert!(established.lost(Purpose::Sending, &hops(1)), "opening it anew does not");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut established = Established::default();
        let contact = |number| Purpose::Contact(AccountAddress::from_x25519([number; 32]));
        for number in 0..=MOST_PATHS as u8 {
            established.keep(contact(number), hops(number), Keys::Unsupported, &mut rand::rng());
        }
        assert_eq!(established.paths.len(), MOST_PATHS);
        assert!(established.is_unsupported(contact(MOST_PATHS as u8), &hops(MOST_PATHS as u8)));
        assert!(!established.is_unsupported(contact(0), &hops(0)));
        established.forget(contact(1), &hops(1));
        assert!(!established.is_unsupported(contact(1), &hops(1)));
        established.keep(contact(2), hops(90), Keys::Unsupported, &mut rand::rng());
        assert_eq!(established.paths.len(), MOST_PATHS, "in place of the former one for this purpose");
        assert!(!established.is_unsupported(contact(2), &hops(2)));
    }
}
