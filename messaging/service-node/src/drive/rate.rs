//! Token buckets by who asks, of which a bounded number is kept.

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How fast one may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Sustained.
    pub(crate) per_second: u32,
    /// At once.
    pub(crate) burst: u32,
}

/// One token bucket a key.
///
/// When as many keys are followed as may be, those whose buckets are surely full again are forgotten (which changes nothing
/// for them); while there are none, all strangers share one bucket, so that a flood of keys shuts out no more than other
/// strangers, and those not entirely.
#[derive(Debug)]
pub(crate) struct RateLimits<K>(Mutex<Buckets<K>>);

#[derive(Debug)]
struct Buckets<K> {
    quota: Quota,
    most_keys: usize,
    by_key: HashMap<K, Bucket>,
    strangers: Limiter,
    clock: Told,
    /// When the clock was at zero: as long as it was never told, nothing was taken.
    began: Option<Instant>,
    last_sweep: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    limiter: Limiter,
    last_use: Instant,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Nanos>>;

/// The clock of all buckets, which says what it was told: they fill by the time of whoever takes tokens.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// Looking through all keys costs something, so not more often than this.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

impl<K: Eq + Hash> RateLimits<K> {
    pub(crate) fn new(rate: Rate, most_keys: usize) -> Self {
        Self(Mutex::new(Buckets::new(rate, most_keys)))
    }

    /// Sets another rate; everybody begins anew with a full bucket.
    pub(crate) fn change(&self, rate: Rate, most_keys: usize) {
        *self.lock() = Buckets::new(rate, most_keys);
    }

    /// Takes a token of `key`'s bucket at `now`. False if it has none left.
    pub(crate) fn allows(&self, key: K, now: Instant) -> bool {
        self.lock().allow(key, NonZeroU32::MIN, now)
    }

    /// The same for `number` tokens: all or none. False for more than a full bucket has.
    pub(crate) fn allows_many(&self, key: K, number: usize, now: Instant) -> bool {
        let Ok(number) = u32::try_from(number) else { return false };
        NonZeroU32::new(number).is_none_or(|number| self.lock().allow(key, number, now))
    }

    /// The same, where a full bucket is enough for any number.
    fn allows_up_to_all(&self, key: K, number: NonZeroU32, now: Instant) -> bool {
        let mut buckets = self.lock();
        let number = number.min(buckets.quota.burst_size());
        buckets.allow(key, number, now)
    }

    fn lock(&self) -> MutexGuard<'_, Buckets<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate, most_keys: usize) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(rate.per_second)).allow_burst(at_least_one(rate.burst));
        let clock = Told::default();
        let strangers = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { quota, most_keys, by_key: HashMap::new(), strangers, clock, began: None, last_sweep: None }
    }

    fn allow(&mut self, key: K, number: NonZeroU32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(*self.began.get_or_insert(now));
        self.clock.0.store(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let takes = |limiter: &Limiter| matches!(limiter.check_n(number), Ok(Ok(())));
        if let Some(bucket) = self.by_key.get_mut(&key) {
            bucket.last_use = now;
            return takes(&bucket.limiter);
        }
        if self.by_key.len() >= self.most_keys {
            self.forget_idle(now);
            if self.by_key.len() >= self.most_keys {
                return takes(&self.strangers);
            }
        }
        let limiter = RateLimiter::direct_with_clock(self.quota, self.clock.clone());
        let allowed = takes(&limiter);
        self.by_key.insert(key, Bucket { limiter, last_use: now });
        allowed
    }

    fn forget_idle(&mut self, now: Instant) {
        if self.last_sweep.is_some_and(|last| now.saturating_duration_since(last) < SWEEP_PAUSE) {
            return;
        }
        self.last_sweep = Some(now);
        let refill = self.quota.burst_size_replenished_in();
        self.by_key.retain(|_, bucket| now.saturating_duration_since(bucket.last_use) < refill);
    }
}

/// Rates of hosts, and of the networks they are in.
#[derive(Debug)]
pub(crate) struct AddressRates {
    hosts: RateLimits<IpAddr>,
    subnets: RateLimits<IpAddr>,
}

/// Who asked too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooOften {
    /// The host.
    Host,
    /// All hosts of its network together.
    Subnet,
}

impl AddressRates {
    /// At most `most_keys` of each are followed.
    pub(crate) fn new(host: Rate, subnet: Rate, most_keys: usize) -> Self {
        Self { hosts: RateLimits::new(host, most_keys), subnets: RateLimits::new(subnet, most_keys) }
    }

    pub(crate) fn change(&self, host: Rate, subnet: Rate, most_keys: usize) {
        self.hosts.change(host, most_keys);
        self.subnets.change(subnet, most_keys);
    }

    /// Takes a token for a request from `address`.
    pub(crate) fn allow(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        self.allow_many(address, 1, now)
    }

    /// Takes `number` tokens for requests from `address` at once, or all that a full bucket has if that is fewer.
    pub(crate) fn allow_many(&self, address: IpAddr, number: usize, now: Instant) -> Result<(), TooOften> {
        let Some(number) = NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)) else { return Ok(()) };
        // The host first: what it is refused must not use up its neighbours' tokens.
        if !self.hosts.allows_up_to_all(host_key(address), number, now) {
            return Err(TooOften::Host);
        }
        if !self.subnets.allows_up_to_all(subnet_key(address), number, now) {
            return Err(TooOften::Subnet);
        }
        Ok(())
    }
}

/// Whom an address belongs to: an IPv6 host has a whole /64.
pub(crate) fn host_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// The network somebody may well have to themselves: a /24, or an IPv6 site's /48.
pub(crate) fn subnet_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits<K: Eq + Hash>(per_second: u32, burst: u32, most_keys: usize) -> RateLimits<K> {
        RateLimits::new(Rate { per_second, burst }, most_keys)
    }

    #[test]
    fn each_key_has_its_own_burst() {
        let limits = limits(1, 3, 10);
        let now = Instant::now();
        assert_eq!([0; 4].map(|_| limits.allows("a", now)), [true, true, true, false]);
        assert!(limits.allows("b", now));
        let in_ms = |ms| limits.allows("a", now + Duration::from_millis(ms));
        assert_eq!([999, 1_000, 1_001, 9_000].map(in_ms), [false, true, false, true], "one comes back each second");
        limits.change(Rate { per_second: 1, burst: 1 }, 10);
        assert_eq!([0; 2].map(|_| limits.allows("a", now)), [true, false], "another rate from now on");
    }

    #[test]
    fn keys_are_bounded_idle_ones_make_room_and_strangers_share() {
        let limits = limits(1, 5, 3);
        let start = Instant::now();
        for key in 0..3 {
            assert!(limits.allows(key, start));
        }
        let strangers = (3..63).filter(|key| limits.allows(*key, start)).count();
        assert_eq!(strangers, 5, "no room and nobody idle: all strangers share a bucket");
        assert!(limits.allows(0, start), "who is known is served from its own");
        let later = start + Duration::from_secs(6);
        assert!(limits.allows(70, later), "idle ones have been forgotten");
        assert!(limits.lock().by_key.len() <= 3);
    }

    #[test]
    fn an_ipv6_host_cannot_be_many() {
        let key = |text: &str| host_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:127.0.0.1"), key("127.0.0.1"));
        let subnet = |text: &str| subnet_key(text.parse().unwrap());
        assert_eq!(subnet("2001:db8:7:1::1"), subnet("2001:db8:7:ffff::1"));
        assert_ne!(subnet("2001:db8:7::1"), subnet("2001:db8:8::1"));
        assert_eq!(subnet("::ffff:10.1.2.3"), subnet("10.1.2.200"));
        assert_ne!(subnet("10.1.2.3"), subnet("10.1.3.3"));
    }

    #[test]
    fn a_network_shares_what_its_hosts_may_ask_together() {
        let rates = AddressRates::new(Rate { per_second: 1, burst: 3 }, Rate { per_second: 1, burst: 5 }, 10);
        let now = Instant::now();
        let ask = |host: u8| rates.allow([10, 0, 0, host].into(), now);
        assert_eq!([0; 4].map(|_| ask(1)), [Ok(()), Ok(()), Ok(()), Err(TooOften::Host)]);
        assert_eq!([0; 3].map(|_| ask(2)), [Ok(()), Ok(()), Err(TooOften::Subnet)]);
        assert_eq!(rates.allow([10, 0, 1, 1].into(), now), Ok(()));
    }
}
