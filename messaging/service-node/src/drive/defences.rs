//! What others are granted: connections and rates, by host, by network and by service node. All of it may change while the
//! node runs.

use super::{
    connections::Connections,
    rate::{AddressRates, Rate, RateLimits, TooOften},
};
use crate::config::Limits;
use skep_primitives::ServiceNodeId;
use skep_proto::storage::limits::MAX_BATCH;
use skep_replication::MAX_REPLICAS;
use std::{net::IpAddr, time::Instant};

/// Handshakes of supposed service nodes, which cost signatures before anybody is known: plenty for every node of a network
/// that comes back at once.
const HANDSHAKES: Rate = Rate { per_second: 32, burst: 256 };
const SUBNET_HANDSHAKES: Rate = Rate { per_second: 128, burst: 512 };

/// A replica that another service node hands over costs about as much as so many of them cost in work and signatures: what one
/// may hand over in a second takes the greater part of a second of one core at most.
const REPLICAS_FOR_A_REQUEST: u32 = 4;
/// Another member of the swarm passes on what all its clients store and order. By default this is twice what one network of
/// clients may ask for, so that members refuse no member for what one flood brings it.
const FOR_THE_SWARM: u32 = 4;
/// Several requests in one are counted one by one, also where another node passes them on.
const FURTHER_FOR_A_REQUEST: u32 = 4;

/// Service nodes whose rate is followed: only those of the roster get this far, and no roster has more.
const MOST_NODES: usize = 100_000;

/// What another service node asks for. Each kind has tokens of its own, so that none keeps the others waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerAsks {
    /// To pass a client's request on, or to answer it.
    Relay,
    /// To do as a client asked another member of the swarm.
    Swarm,
    /// Everything between nodes: comparing, handing over, probing, voting.
    Other,
}

/// Tokens of other service nodes.
#[derive(Debug)]
struct PeerRates {
    relay: RateLimits<ServiceNodeId>,
    /// Of what is relayed: requests in one beyond the first.
    further: RateLimits<ServiceNodeId>,
    swarm: RateLimits<ServiceNodeId>,
    other: RateLimits<ServiceNodeId>,
    replicas: RateLimits<ServiceNodeId>,
}

impl PeerRates {
    /// How fast each fills, in the order in which they stand here.
    fn rates(per_second: u32) -> [Rate; 5] {
        let times = |factor| peer_rate(per_second.saturating_mul(factor));
        [times(1), further_rate(per_second), times(FOR_THE_SWARM), times(1), replica_rate(per_second)]
    }

    fn new(per_second: u32) -> Self {
        let limits = Self::rates(per_second).map(|rate| RateLimits::new(rate, MOST_NODES));
        let [relay, further, swarm, other, replicas] = limits;
        Self { relay, further, swarm, other, replicas }
    }

    fn change(&self, per_second: u32) {
        let Self { relay, further, swarm, other, replicas } = self;
        for (limits, rate) in [relay, further, swarm, other, replicas].into_iter().zip(Self::rates(per_second)) {
            limits.change(rate, MOST_NODES);
        }
    }
}

/// Bounds for everybody who asks something of the node.
#[derive(Debug)]
pub(crate) struct Defences {
    /// Client connections.
    pub(crate) connections: Connections,
    requests: AddressRates,
    /// Of clients.
    client_handshakes: AddressRates,
    handshakes: AddressRates,
    peers: PeerRates,
}

impl Defences {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (host, subnet) = request_rates(limits);
        Self {
            connections: Connections::new(limits),
            requests: AddressRates::new(host, subnet, limits.tracked_addresses),
            client_handshakes: AddressRates::new(handshakes(host), handshakes(subnet), limits.tracked_addresses),
            handshakes: AddressRates::new(HANDSHAKES, SUBNET_HANDSHAKES, limits.tracked_addresses),
            peers: PeerRates::new(limits.peer_requests_per_second),
        }
    }

    /// Grants what `limits` say from now on. Connections that are open stay open until others come.
    pub(crate) fn change(&self, limits: &Limits) {
        let (host, subnet) = request_rates(limits);
        self.connections.change(limits);
        self.requests.change(host, subnet, limits.tracked_addresses);
        self.client_handshakes.change(handshakes(host), handshakes(subnet), limits.tracked_addresses);
        self.handshakes.change(HANDSHAKES, SUBNET_HANDSHAKES, limits.tracked_addresses);
        self.peers.change(limits.peer_requests_per_second);
    }

    /// Whether a client may ask now.
    pub(crate) fn may_ask(&self, address: IpAddr) -> Result<(), TooOften> {
        self.requests.allow(address, Instant::now())
    }

    /// Whether a client that asked several things in one may ask so many `further` ones now.
    pub(crate) fn may_ask_further(&self, address: IpAddr, further: usize) -> Result<(), TooOften> {
        self.requests.allow_many(address, further, Instant::now())
    }

    /// Whether a client may begin TLS now, which costs a signature before it has asked anything.
    pub(crate) fn client_may_shake_hands(&self, address: IpAddr) -> Result<(), TooOften> {
        self.client_handshakes.allow(address, Instant::now())
    }

    /// Whether a supposed service node may try to prove itself now.
    pub(crate) fn may_shake_hands(&self, address: IpAddr) -> Result<(), TooOften> {
        self.handshakes.allow(address, Instant::now())
    }

    /// Whether another service node may ask for that now.
    pub(crate) fn peer_may_ask(&self, peer: ServiceNodeId, asks: PeerAsks) -> bool {
        let rates = match asks {
            PeerAsks::Relay => &self.peers.relay,
            PeerAsks::Swarm => &self.peers.swarm,
            PeerAsks::Other => &self.peers.other,
        };
        rates.allows(peer, Instant::now())
    }

    /// Whether another service node that passed on several requests in one may ask so many `further` ones now.
    pub(crate) fn peer_may_ask_further(&self, peer: ServiceNodeId, further: usize) -> bool {
        self.peers.further.allows_many(peer, further, Instant::now())
    }

    /// Whether another service node may hand over so many replicas now.
    pub(crate) fn peer_may_hand_over(&self, peer: ServiceNodeId, replicas: usize) -> bool {
        self.peers.replicas.allows_many(peer, replicas, Instant::now())
    }
}

/// How often clients may connect who may ask so often: twice as often, so that who connects for each request is told that it
/// asks too often, instead of being cut off.
const fn handshakes(requests: Rate) -> Rate {
    Rate { per_second: requests.per_second.saturating_mul(2), burst: requests.burst.saturating_mul(2) }
}

/// Buckets by service node.
pub(crate) fn peer_rates(per_second: u32) -> RateLimits<ServiceNodeId> {
    RateLimits::new(peer_rate(per_second), MOST_NODES)
}

const fn peer_rate(per_second: u32) -> Rate {
    Rate { per_second, burst: per_second.saturating_mul(2) }
}

fn replica_rate(requests_per_second: u32) -> Rate {
    full_ones(peer_rate(requests_per_second.saturating_mul(REPLICAS_FOR_A_REQUEST)), MAX_REPLICAS)
}

fn further_rate(requests_per_second: u32) -> Rate {
    full_ones(peer_rate(requests_per_second.saturating_mul(FURTHER_FOR_A_REQUEST)), MAX_BATCH)
}

/// At least two full requests at once, however low the rate.
fn full_ones(rate: Rate, full: usize) -> Rate {
    Rate { burst: rate.burst.max(2 * full as u32), ..rate }
}

const fn request_rates(limits: &Limits) -> (Rate, Rate) {
    (
        Rate { per_second: limits.requests_per_second, burst: limits.request_burst },
        Rate { per_second: limits.subnet_requests_per_second, burst: limits.subnet_request_burst },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_count_one_by_one() {
        let peers = [1, 2].map(|number| ServiceNodeId([number; 32]));
        let now = Instant::now();
        let handed = |limits: &Limits| {
            let defences = Defences::new(limits);
            let allowed = |peer| defences.peers.replicas.allows_many(peer, MAX_REPLICAS, now);
            let handed = (0..1_000).take_while(|_| allowed(peers[0])).count();
            assert!(allowed(peers[1]), "another one has its own");
            handed
        };
        assert_eq!(handed(&Limits::default()), 2 * 4 * 600 / MAX_REPLICAS, "two seconds' worth at once");
        let slow = Limits { peer_requests_per_second: 1, ..Limits::default() };
        assert_eq!(handed(&slow), 2);
    }

    #[test]
    fn rates_may_change() {
        let slow = Limits { requests_per_second: 1, request_burst: 1, ..Limits::default() };
        let defences = Defences::new(&slow);
        let (address, now) = (IpAddr::from([10, 0, 0, 1]), Instant::now());
        let allowed = |rates: &AddressRates| (0..10).take_while(|_| rates.allow(address, now).is_ok()).count();
        assert_eq!([&defences.requests, &defences.client_handshakes].map(allowed), [1, 2]);
        defences.change(&Limits { request_burst: 2, ..slow });
        assert_eq!([&defences.requests, &defences.client_handshakes].map(allowed), [2, 4]);
    }

    #[test]
    fn no_kind_of_request_keeps_another_waiting() {
        let peer = ServiceNodeId([1; 32]);
        let defences = Defences::new(&Limits { peer_requests_per_second: 5, ..Limits::default() });
        let all_of = |asks| (0..1_000).take_while(|_| defences.peer_may_ask(peer, asks)).count();
        assert!(!defences.peer_may_ask_further(peer, 41), "more than there are at once");
        assert!(defences.peer_may_ask_further(peer, 40));
        assert!((10..20).contains(&all_of(PeerAsks::Relay)));
        assert!((40..60).contains(&all_of(PeerAsks::Swarm)), "what is relayed takes none of these");
        assert!((10..20).contains(&all_of(PeerAsks::Other)));
    }

    #[test]
    fn a_flood_from_one_network_is_refused_by_who_takes_it_not_by_its_swarm() {
        let limits = Limits::default();
        let Rate { per_second, burst } = peer_rate(limits.peer_requests_per_second * FOR_THE_SWARM);
        assert!(limits.subnet_requests_per_second <= per_second / 2 && limits.subnet_request_burst <= burst);
        // What an ordinary client asks at once: a few batches.
        let defences = Defences::new(&limits);
        let address = IpAddr::from([10, 0, 0, 1]);
        for batch in 0..50 {
            let allowed = defences.may_ask(address).and_then(|()| defences.may_ask_further(address, 19));
            assert_eq!(allowed, Ok(()), "{batch}");
        }
        let flood = (0..100).filter(|_| defences.may_ask_further(address, 19).is_ok()).count();
        assert!(flood < 20, "{flood} more");
    }
}
