//! The places clients' connections take, and who gives one up when they run short (decision 59).
//!
//! | when | who gives way |
//! |---|---|
//! | always | whoever would be one too many of its host or network: not let in |
//! | three quarters of the places are taken | as one comes, the one or two that have waited longest with no request under way |
//! | all are taken, and none waits | the one whose request has been under way longest, of those who hold many more than who comes |
//! | the same, and nobody holds many more | who comes |
//!
//! Of those who could give way, one of the network that holds most does, and in it one of the host that holds most.

use super::{
    metrics::Shed,
    rate::{TooOften, host_key, subnet_key},
};
use crate::config::Limits;
use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long somebody who comes waits for the place of one that is leaving.
const TURN: Duration = Duration::from_secs(1);
/// Most who wait so at a time.
const MOST_WAITING: usize = 64;
/// Most who are asked to leave for one who comes: two, so that a bound that was lowered is reached.
const MOST_FOR_ONE: usize = 2;
/// Hosts that hold fewer than this are alike: who opens two or three connections is no crowd.
const HOST_CROWD: usize = 8;
/// The same for networks.
const SUBNET_CROWD: usize = 32;

/// All places for connections of clients.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Places>);

#[derive(Debug)]
struct Places {
    register: Mutex<Register>,
    /// Somebody has left.
    left: Notify,
    /// Room for those who wait for that.
    waiting: Semaphore,
}

impl Connections {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Places {
            register: Mutex::new(Register::new(limits)),
            left: Notify::new(),
            waiting: Semaphore::new(MOST_WAITING),
        }))
    }

    /// Lets there be as many as `limits` say from now on. Connections that are open stay open until others come.
    pub(crate) fn change(&self, limits: &Limits) {
        self.0.lock().bounds = Bounds::of(limits);
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.0.lock().bounds.all
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// A place for a connection from `address`, or why there is none. May take a moment if others have to leave first.
    pub(crate) async fn enter(&self, address: IpAddr) -> Result<Place, Shed> {
        let source = Source { host: host_key(address), subnet: subnet_key(address) };
        let turn = async {
            let mut waiting = None;
            loop {
                let left = self.0.left.notified();
                tokio::pin!(left);
                // Whoever leaves from here on is heard of.
                left.as_mut().enable();
                let entering = self.0.lock().enter(source);
                match entering {
                    Entering::In { number, cut, evicted } => {
                        return Ok(Place { places: Arc::clone(&self.0), number, cut, evicted });
                    }
                    Entering::Out(why) => return Err(why),
                    Entering::Wait => {
                        if waiting.is_none() {
                            waiting = Some(self.0.waiting.try_acquire().map_err(|_| Shed::Full)?);
                        }
                        left.await;
                    }
                }
            }
        };
        timeout(TURN, turn).await.unwrap_or(Err(Shed::Full))
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    cut: CancellationToken,
    evicted: CancellationToken,
}

impl Place {
    /// A request is under way until the answer is dropped.
    pub(crate) fn ask(self: &Arc<Self>) -> UnderWay {
        self.places.lock().begin(self.number);
        UnderWay(Arc::clone(self))
    }

    /// Whether a request is under way.
    pub(crate) fn is_asking(&self) -> bool {
        self.places.lock().entries.get(&self.number).is_some_and(|entry| entry.under_way > 0)
    }

    /// Waits until the connection should end once no request is under way.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Waits until the connection must end at once.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().leave(self.number);
        self.places.left.notify_waiters();
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.places.lock().end(self.0.number);
    }
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
struct Source {
    host: IpAddr,
    subnet: IpAddr,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    all: usize,
    of_host: usize,
    of_subnet: usize,
}

impl Bounds {
    const fn of(limits: &Limits) -> Self {
        Self {
            all: limits.connections,
            of_host: limits.connections_per_address,
            of_subnet: limits.connections_per_subnet,
        }
    }

    /// Beyond so many, those that wait give way.
    const fn easy(self) -> usize {
        self.all - self.all / 4
    }
}

/// What comes of somebody who would enter.
enum Entering {
    In {
        number: u64,
        cut: CancellationToken,
        evicted: CancellationToken,
    },
    Out(Shed),
    /// Somebody is leaving.
    Wait,
}

/// Who is in. Bounded, since nobody is counted who has no entry.
#[derive(Debug)]
struct Register {
    bounds: Bounds,
    /// Counts whatever happens: what is older has a smaller number.
    clock: u64,
    entries: HashMap<u64, Entry>,
    hosts: HashMap<IpAddr, usize>,
    subnets: HashMap<IpAddr, usize>,
    /// Those of the entries that have been told to leave.
    leaving: usize,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    /// When it came, when its request began, or when its last one ended.
    since: u64,
    /// Its requests.
    under_way: usize,
    leaves: bool,
    cut: CancellationToken,
    evicted: CancellationToken,
}

/// How much of a crowd somebody belongs to: of its network, and of its host.
type Crowd = (usize, usize);

impl Register {
    fn new(limits: &Limits) -> Self {
        Self {
            bounds: Bounds::of(limits),
            clock: 0,
            entries: HashMap::new(),
            hosts: HashMap::new(),
            subnets: HashMap::new(),
            leaving: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn enter(&mut self, source: Source) -> Entering {
        let holds = |counts: &HashMap<IpAddr, usize>, key| counts.get(&key).copied().unwrap_or_default();
        if holds(&self.hosts, source.host) >= self.bounds.of_host {
            return Entering::Out(Shed::Connections(TooOften::Host));
        }
        if holds(&self.subnets, source.subnet) >= self.bounds.of_subnet {
            return Entering::Out(Shed::Connections(TooOften::Subnet));
        }
        for _ in 0..MOST_FOR_ONE {
            if self.entries.len() - self.leaving < self.bounds.easy() || !self.let_one_go() {
                break;
            }
        }
        if self.entries.len() >= self.bounds.all {
            let waits = self.leaving > 0 || self.evict_for(source);
            return if waits { Entering::Wait } else { Entering::Out(Shed::Full) };
        }
        let number = self.tick();
        let (cut, evicted) = (CancellationToken::new(), CancellationToken::new());
        let entry =
            Entry { source, since: number, under_way: 0, leaves: false, cut: cut.clone(), evicted: evicted.clone() };
        self.entries.insert(number, entry);
        *self.hosts.entry(source.host).or_default() += 1;
        *self.subnets.entry(source.subnet).or_default() += 1;
        Entering::In { number, cut, evicted }
    }

    fn begin(&mut self, number: u64) {
        let since = self.tick();
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.since = since;
        entry.under_way += 1;
        // Told too late: it is answered, and leaves then.
        if entry.leaves && !entry.evicted.is_cancelled() {
            entry.leaves = false;
            self.leaving -= 1;
        }
    }

    fn end(&mut self, number: u64) {
        let since = self.tick();
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.since = since;
        entry.under_way -= 1;
        if entry.under_way == 0 && entry.cut.is_cancelled() && !entry.leaves {
            entry.leaves = true;
            self.leaving += 1;
        }
    }

    fn leave(&mut self, number: u64) {
        let Some(Entry { source, leaves, .. }) = self.entries.remove(&number) else { return };
        self.leaving -= usize::from(leaves);
        for (counts, key) in [(&mut self.hosts, source.host), (&mut self.subnets, source.subnet)] {
            if let Some(count) = counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
    }

    fn crowd(&self, source: Source) -> Crowd {
        let size = |counts: &HashMap<IpAddr, usize>, key, alike| counts.get(&key).copied().unwrap_or_default() / alike;
        (size(&self.subnets, source.subnet, SUBNET_CROWD), size(&self.hosts, source.host, HOST_CROWD))
    }

    /// Who gives way first of those that stay and wait, or of those that ask.
    fn first_to_go(&self, asking: bool) -> Option<(Crowd, u64)> {
        let could = self.entries.iter().filter(|(_, entry)| !entry.leaves && (entry.under_way > 0) == asking);
        let first = could.max_by_key(|(_, entry)| (self.crowd(entry.source), Reverse(entry.since)));
        first.map(|(number, entry)| (self.crowd(entry.source), *number))
    }

    /// Tells one that waits to leave. False if none waits.
    fn let_one_go(&mut self) -> bool {
        let Some((_, number)) = self.first_to_go(false) else { return false };
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.leaves = true;
            self.leaving += 1;
            entry.cut.cancel();
        }
        true
    }

    /// Ends a connection of a greater crowd than `source` belongs to, whatever it does. False if there is none.
    fn evict_for(&mut self, source: Source) -> bool {
        let Some((crowd, number)) = self.first_to_go(true) else { return false };
        if crowd <= self.crowd(source) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.leaves = true;
            self.leaving += 1;
            entry.evicted.cancel();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn limits(all: usize, of_host: usize, of_subnet: usize) -> Limits {
        Limits {
            connections: all,
            connections_per_address: of_host,
            connections_per_subnet: of_subnet,
            ..Limits::default()
        }
    }

    /// What `address` is told at once; nothing if it waits.
    fn enter(connections: &Connections, address: [u8; 4]) -> Option<Result<Arc<Place>, Shed>> {
        connections.enter(address.into()).now_or_never().map(|entered| entered.map(Arc::new))
    }

    fn inside(connections: &Connections, address: [u8; 4]) -> Arc<Place> {
        enter(connections, address).expect("at once").expect("a place")
    }

    fn is_cut(place: &Place) -> bool {
        place.cut.is_cancelled()
    }

    #[tokio::test]
    async fn connections_are_counted_by_host_and_network() {
        let connections = Connections::new(&limits(100, 2, 3));
        let refused = |address| enter(&connections, address).expect("at once").expect_err("refused");
        let (first, second) = (inside(&connections, [10, 0, 0, 1]), inside(&connections, [10, 0, 0, 1]));
        assert_eq!(refused([10, 0, 0, 1]), Shed::Connections(TooOften::Host));
        let third = inside(&connections, [10, 0, 0, 2]);
        assert_eq!(refused([10, 0, 0, 3]), Shed::Connections(TooOften::Subnet));
        drop(inside(&connections, [10, 0, 1, 1]));
        drop(first);
        let fourth = inside(&connections, [10, 0, 0, 3]);
        connections.change(&limits(100, 1, 3));
        assert_eq!(refused([10, 0, 0, 2]), Shed::Connections(TooOften::Host), "a smaller bound holds at once");
        drop((second, third, fourth));
        let register = connections.0.lock();
        assert!(register.entries.is_empty() && register.hosts.is_empty() && register.subnets.is_empty());
    }

    #[tokio::test]
    async fn who_has_waited_longest_gives_way_and_who_asks_does_not() {
        let connections = Connections::new(&limits(8, 8, 8));
        let mut places: Vec<_> = (0..6).map(|subnet| inside(&connections, [10, 0, subnet, 1])).collect();
        assert!(!places.iter().any(|place| is_cut(place)), "six of eight are easy");
        let asking = places[0].ask();
        drop(places[1].ask());
        places.push(inside(&connections, [10, 0, 6, 1]));
        let cut: Vec<_> = (0..7).filter(|number| is_cut(&places[*number])).collect();
        assert_eq!(cut, [2], "the first asks, the second asked later than the third came");
        // It asks before it has heard; another one goes instead.
        let late = places[2].ask();
        places.push(inside(&connections, [10, 0, 7, 1]));
        assert!(is_cut(&places[3]) && is_cut(&places[4]) && !is_cut(&places[0]));
        assert!(enter(&connections, [10, 0, 8, 1]).is_none(), "waits for their places");
        places.remove(3);
        places.push(inside(&connections, [10, 0, 8, 1]));
        assert_eq!(connections.open(), 8);
        drop((asking, late, places));
        assert_eq!(connections.0.lock().leaving, 0);
    }

    #[tokio::test]
    async fn the_crowd_gives_way_before_others() {
        let connections = Connections::new(&limits(32, 32, 32));
        let patient = inside(&connections, [10, 0, 0, 1]);
        let crowd: Vec<_> = (0..23).map(|_| inside(&connections, [10, 0, 1, 1])).collect();
        let second = inside(&connections, [10, 0, 0, 1]);
        assert!(is_cut(&crowd[0]) && !is_cut(&patient) && !is_cut(&second));
    }

    #[tokio::test]
    async fn when_all_ask_the_crowd_gives_way_to_who_holds_little() {
        let connections = Connections::new(&limits(16, 16, 16));
        let honest = inside(&connections, [10, 0, 0, 1]);
        let crowd: Vec<_> = (0..15).map(|_| inside(&connections, [10, 0, 1, 1])).collect();
        let asking: Vec<_> = crowd.iter().chain([&honest]).map(Place::ask).collect();
        assert!(matches!(enter(&connections, [10, 0, 1, 1]), Some(Err(Shed::Full))), "one of the crowd");
        assert!(enter(&connections, [10, 0, 2, 1]).is_none(), "waits for its place");
        let evicted: Vec<_> = crowd.iter().filter(|place| place.evicted.is_cancelled()).collect();
        assert!(evicted.len() == 1 && crowd[0].evicted.is_cancelled() && !honest.evicted.is_cancelled());
        let entering = connections.enter([10, 0, 2, 1].into());
        tokio::pin!(entering);
        assert!(entering.as_mut().now_or_never().is_none());
        drop((asking, crowd));
        assert!(entering.await.is_ok());
    }

    #[tokio::test]
    async fn a_bound_that_was_lowered_is_reached() {
        let connections = Connections::new(&limits(16, 16, 16));
        let places: Vec<_> = (0..12).map(|subnet| inside(&connections, [10, 0, subnet, 1])).collect();
        connections.change(&limits(8, 16, 16));
        assert!(!places.iter().any(|place| is_cut(place)), "nobody is cut off for it");
        for _ in 0..3 {
            assert!(enter(&connections, [10, 1, 0, 1]).is_none());
        }
        assert_eq!(places.iter().filter(|place| is_cut(place)).count(), 6);
        drop(places);
        inside(&connections, [10, 1, 0, 1]);
    }
}
