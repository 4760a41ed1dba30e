//! Token buckets by who asks, of which a bounded number is kept.

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One token bucket a key.
///
/// When as many keys are followed as may be, those whose buckets are surely full again are forgotten (which changes nothing
/// for them); if there are none, strangers are refused until there are.
#[derive(Debug)]
pub(crate) struct RateLimits<K> {
    quota: Quota,
    most_keys: usize,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    by_key: HashMap<K, Bucket>,
    last_sweep: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    limiter: DefaultDirectRateLimiter,
    last_use: Instant,
}

/// Looking through all keys costs something, so not more often than this.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

impl<K: Eq + Hash> RateLimits<K> {
    pub(crate) fn new(per_second: u32, burst: u32, most_keys: usize) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self { quota, most_keys, buckets: Mutex::new(Buckets { by_key: HashMap::new(), last_sweep: None }) }
    }

    /// Takes a token of `key`'s bucket at `now`. False if it has none left.
    pub(crate) fn allows(&self, key: K, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.by_key.get_mut(&key) {
            bucket.last_use = now;
            return bucket.limiter.check().is_ok();
        }
        if buckets.by_key.len() >= self.most_keys {
            if buckets.last_sweep.is_some_and(|last| now.saturating_duration_since(last) < SWEEP_PAUSE) {
                return false;
            }
            buckets.last_sweep = Some(now);
            let refill = self.quota.burst_size_replenished_in();
            buckets.by_key.retain(|_, bucket| now.saturating_duration_since(bucket.last_use) < refill);
            if buckets.by_key.len() >= self.most_keys {
                return false;
            }
        }
        let limiter = RateLimiter::direct(self.quota);
        let allowed = limiter.check().is_ok();
        buckets.by_key.insert(key, Bucket { limiter, last_use: now });
        allowed
    }
}

/// Whom an address belongs to, as far as rates go: an IPv6 host has a whole /64.
pub(crate) fn rate_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_burst() {
        let limits = RateLimits::new(1, 3, 10);
        let now = Instant::now();
        assert_eq!([0; 4].map(|_| limits.allows("a", now)), [true, true, true, false]);
        assert!(limits.allows("b", now));
    }

    #[test]
    fn keys_are_bounded_and_idle_ones_make_room() {
        let limits = RateLimits::new(1_000_000, 10, 3);
        let start = Instant::now();
        for key in 0..3 {
            assert!(limits.allows(key, start));
        }
        assert!(!limits.allows(3, start), "no room, nobody idle");
        assert!(limits.allows(0, start), "who is known is served");
        let later = start + Duration::from_secs(1);
        assert!(limits.allows(3, later));
        assert!(limits.buckets.lock().unwrap().by_key.len() <= 3);
    }

    #[test]
    fn an_ipv6_host_cannot_be_many() {
        let key = |text: &str| rate_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:127.0.0.1"), key("127.0.0.1"));
    }
}
