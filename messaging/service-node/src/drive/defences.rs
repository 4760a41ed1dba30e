//! What others are granted: connections and rates, by host, by network and by service node. All of it may change while the
//! node runs.

use super::{
    budget::Permits,
    rate::{AddressRates, Rate, RateLimits, TooOften, host_key, subnet_key},
};
use crate::config::Limits;
use skep_primitives::ServiceNodeId;
use skep_replication::MAX_REPLICAS;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Handshakes of supposed service nodes, which cost signatures before anybody is known: plenty for every node of a network
/// that comes back at once.
const HANDSHAKES: Rate = Rate { per_second: 32, burst: 256 };
const SUBNET_HANDSHAKES: Rate = Rate { per_second: 128, burst: 512 };

/// A replica that another service node hands over costs about as much as so many of them cost in work and signatures: what one
/// may hand over in a second takes the greater part of a second of one core at most.
const REPLICAS_FOR_A_REQUEST: u32 = 4;

/// Service nodes whose rate is followed: only those of the roster get this far, and no roster has more.
const MOST_NODES: usize = 100_000;

/// Bounds for everybody who asks something of the node.
#[derive(Debug)]
pub(crate) struct Defences {
    /// Client connections, in all.
    pub(crate) connections: Permits,
    open: Arc<Open>,
    requests: AddressRates,
    handshakes: AddressRates,
    peers: RateLimits<ServiceNodeId>,
    replicas: RateLimits<ServiceNodeId>,
}

impl Defences {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (host, subnet) = request_rates(limits);
        Self {
            connections: Permits::new(limits.connections),
            open: Arc::new(Open { counts: Mutex::new(Counts::new(limits)) }),
            requests: AddressRates::new(host, subnet, limits.tracked_addresses),
            handshakes: AddressRates::new(HANDSHAKES, SUBNET_HANDSHAKES, limits.tracked_addresses),
            peers: peer_rates(limits.peer_requests_per_second),
            replicas: RateLimits::new(replica_rate(limits.peer_requests_per_second), MOST_NODES),
        }
    }

    /// Grants what `limits` say from now on. Connections that are open stay open.
    pub(crate) fn change(&self, limits: &Limits) {
        let (host, subnet) = request_rates(limits);
        self.connections.resize(limits.connections);
        self.open.lock().bounds(limits);
        self.requests.change(host, subnet, limits.tracked_addresses);
        self.handshakes.change(HANDSHAKES, SUBNET_HANDSHAKES, limits.tracked_addresses);
        self.peers.change(peer_rate(limits.peer_requests_per_second), MOST_NODES);
        self.replicas.change(replica_rate(limits.peer_requests_per_second), MOST_NODES);
    }

    /// Counts a client's connection for as long as the answer lives, if it may have one more.
    pub(crate) fn connect(&self, address: IpAddr) -> Result<OpenConnection, TooOften> {
        let (host, subnet) = (host_key(address), subnet_key(address));
        let mut counts = self.open.lock();
        if counts.hosts.get(&host).is_some_and(|open| *open >= counts.most_of_host) {
            return Err(TooOften::Host);
        }
        if counts.subnets.get(&subnet).is_some_and(|open| *open >= counts.most_of_subnet) {
            return Err(TooOften::Subnet);
        }
        *counts.hosts.entry(host).or_default() += 1;
        *counts.subnets.entry(subnet).or_default() += 1;
        drop(counts);
        Ok(OpenConnection { open: Arc::clone(&self.open), host, subnet })
    }

    /// Whether a client may ask now.
    pub(crate) fn may_ask(&self, address: IpAddr) -> Result<(), TooOften> {
        self.requests.allow(address, Instant::now())
    }

    /// Whether a supposed service node may try to prove itself now.
    pub(crate) fn may_shake_hands(&self, address: IpAddr) -> Result<(), TooOften> {
        self.handshakes.allow(address, Instant::now())
    }

    /// Whether another service node may ask now.
    pub(crate) fn peer_may_ask(&self, peer: ServiceNodeId) -> bool {
        self.peers.allows(peer, Instant::now())
    }

    /// Whether another service node may hand over so many replicas now.
    pub(crate) fn peer_may_hand_over(&self, peer: ServiceNodeId, replicas: usize) -> bool {
        self.replicas.allows_many(peer, replicas, Instant::now())
    }
}

/// Buckets by service node.
pub(crate) fn peer_rates(per_second: u32) -> RateLimits<ServiceNodeId> {
    RateLimits::new(peer_rate(per_second), MOST_NODES)
}

const fn peer_rate(per_second: u32) -> Rate {
    Rate { per_second, burst: per_second.saturating_mul(2) }
}

/// At least two full requests at once, however low the rate.
fn replica_rate(requests_per_second: u32) -> Rate {
    let Rate { per_second, burst } = peer_rate(requests_per_second.saturating_mul(REPLICAS_FOR_A_REQUEST));
    Rate { per_second, burst: burst.max(2 * MAX_REPLICAS as u32) }
}

const fn request_rates(limits: &Limits) -> (Rate, Rate) {
    (
        Rate { per_second: limits.requests_per_second, burst: limits.request_burst },
        Rate { per_second: limits.subnet_requests_per_second, burst: limits.subnet_request_burst },
    )
}

#[derive(Debug)]
struct Open {
    counts: Mutex<Counts>,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open connections. Bounded, since there is an entry only where there is a connection.
#[derive(Debug)]
struct Counts {
    most_of_host: usize,
    most_of_subnet: usize,
    hosts: HashMap<IpAddr, usize>,
    subnets: HashMap<IpAddr, usize>,
}

impl Counts {
    fn new(limits: &Limits) -> Self {
        let mut counts = Self { most_of_host: 0, most_of_subnet: 0, hosts: HashMap::new(), subnets: HashMap::new() };
        counts.bounds(limits);
        counts
    }

    fn bounds(&mut self, limits: &Limits) {
        (self.most_of_host, self.most_of_subnet) = (limits.connections_per_address, limits.connections_per_subnet);
    }
}

/// One open connection of a client.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    open: Arc<Open>,
    host: IpAddr,
    subnet: IpAddr,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let counts = &mut *self.open.lock();
        for (open, key) in [(&mut counts.hosts, self.host), (&mut counts.subnets, self.subnet)] {
            if let Some(count) = open.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_counted_by_host_and_network() {
        let limits = Limits { connections_per_address: 2, connections_per_subnet: 3, ..Limits::default() };
        let defences = Defences::new(&limits);
        let connect = |host: u8| defences.connect([10, 0, 0, host].into());
        let (first, second) = (connect(1).unwrap(), connect(1).unwrap());
        assert_eq!(connect(1).unwrap_err(), TooOften::Host);
        let third = connect(2).unwrap();
        assert_eq!(connect(3).unwrap_err(), TooOften::Subnet);
        defences.connect([10, 0, 1, 1].into()).unwrap();
        drop(first);
        let fourth = connect(3).unwrap();
        defences.change(&Limits { connections_per_address: 1, ..limits });
        assert_eq!(connect(2).unwrap_err(), TooOften::Host, "a smaller bound holds at once");
        drop((second, third, fourth));
        assert!(defences.open.lock().hosts.is_empty() && defences.open.lock().subnets.is_empty());
    }

    #[test]
    fn replicas_count_one_by_one() {
        let peers = [1, 2].map(|number| ServiceNodeId([number; 32]));
        let handed = |limits: &Limits| {
            let defences = Defences::new(limits);
            let mut peer = std::iter::from_fn(|| defences.peer_may_hand_over(peers[0], MAX_REPLICAS).then_some(()));
            let handed = peer.by_ref().take(1_000).count();
            assert!(defences.peer_may_hand_over(peers[1], MAX_REPLICAS), "another one has its own");
            handed
        };
        let full = 2 * 4 * 600 / MAX_REPLICAS;
        assert!((full..full + 10).contains(&handed(&Limits::default())), "two seconds' worth at once");
        let slow = Limits { peer_requests_per_second: 1, ..Limits::default() };
        assert_eq!(handed(&slow), 2);
    }

    #[tokio::test]
    async fn rates_may_change() {
        let slow = Limits { requests_per_second: 1, request_burst: 1, ..Limits::default() };
        let defences = Defences::new(&slow);
        let address = IpAddr::from([10, 0, 0, 1]);
        assert_eq!([0; 2].map(|_| defences.may_ask(address)), [Ok(()), Err(TooOften::Host)]);
        defences.change(&Limits { request_burst: 2, ..slow });
        assert_eq!([0; 2].map(|_| defences.may_ask(address)), [Ok(()), Ok(())]);
    }
}
