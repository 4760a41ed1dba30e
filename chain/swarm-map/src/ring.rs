//! The ring of swarm ids: where accounts fall, and where new swarms go.

use skep_primitives::SwarmId;

/// Places a swarm can take: ids 0 ..= 2^64-2. The one left over says "unassigned".
const PLACES: u64 = SwarmId::UNASSIGNED.0;

/// Where an account falls on the ring: the XOR of the four big-endian words of its 32-byte public key (without the
/// type byte).
pub fn ring_position(account: &[u8; 32]) -> u64 {
    let (words, _) = account.as_chunks::<8>();
    words.iter().fold(0, |position, word| position ^ u64::from_be_bytes(*word))
}

/// The swarm that keeps this account's mailbox: the one nearest on the 64-bit ring, in either direction; half way
/// between two, the one below. `swarms` must be in ascending order; `None` if there is none.
pub fn swarm_of_account(account: &[u8; 32], swarms: &[SwarmId]) -> Option<SwarmId> {
    let position = ring_position(account);
    let (below, above) = swarms.split_at(swarms.partition_point(|swarm| swarm.0 < position));
    let lower = *below.last().or(swarms.last())?;
    let upper = *above.first().or(swarms.first())?;
    let nearer_above = upper.0.wrapping_sub(position) < position.wrapping_sub(lower.0);
    Some(if nearer_above { upper } else { lower })
}

/// The places whose accounts a swarm keeps: the first and the last, going round where the last is below the first. `swarms`
/// must be in ascending order; `None` if the swarm is none of them.
pub fn places_of_swarm(swarm: SwarmId, swarms: &[SwarmId]) -> Option<(u64, u64)> {
    let index = swarms.binary_search(&swarm).ok()?;
    let below = swarms.get(index.checked_sub(1).unwrap_or(swarms.len() - 1))?;
    let above = swarms.get(index + 1).or(swarms.first())?;
    if *below == swarm {
        return Some((0, u64::MAX));
    }
    let half_way = |from: SwarmId, to: SwarmId| from.0.wrapping_add(to.0.wrapping_sub(from.0) / 2);
    Some((half_way(*below, swarm).wrapping_add(1), half_way(swarm, *above)))
}

/// Places from one swarm up to the next, going round where `to` is not above `from`: the whole ring from a swarm to
/// itself.
pub(crate) const fn gap(from: SwarmId, to: SwarmId) -> u64 {
    if to.0 > from.0 { to.0 - from.0 } else { PLACES - from.0 + to.0 }
}

/// The id in the middle of the gap of this width above `from`; `None` if there is no place between.
pub(crate) const fn middle(from: SwarmId, gap: u64) -> Option<SwarmId> {
    let half = gap / 2;
    let to_the_top = PLACES - from.0;
    match half {
        0 => None,
        _ if half >= to_the_top => Some(SwarmId(half - to_the_top)),
        _ => Some(SwarmId(from.0 + half)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    /// A key that falls on this place.
    fn account_at(position: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[24..].copy_from_slice(&position.to_be_bytes());
        key
    }

    fn key(hex: &str) -> [u8; 32] {
        let id: skep_primitives::ServiceNodeId = hex.parse().expect("64 digits");
        id.0
    }

    #[test]
    fn accounts_fall_where_the_storage_server_puts_them() {
        // The vectors of oxen-storage-server, unit_test/swarm.cpp.
        let vectors = [
            ("3506f4a71324b7dd114eddbf4e311f39dde243e1f2cb97c40db1961f70ebaae8", 17_589_930_838_143_112_648),
            ("cf27da303a50ac8c4b2d43d27259505c9bcd73fc21cf2a57902c3d050730b604", 10_370_619_079_776_428_163),
            ("d3511706b8b34f6e8411bf07bd22ba6b2435ca56846fbccf6eb1e166a6cd15cc", 2_144_983_569_669_512_198),
            ("0f06693428fca9102a451e3f28d9cc743d8ea60a89ab6aa69eb119470c11cbd3", 9_690_840_703_409_570_833),
            ("ffba630924aa1224bb930dde21c0d11bf004608f2812217f8ac812d6c7e3ad48", 4_532_060_000_165_252_872),
            ("eeeeeeeeeeeeeeee777777777777777711111111111111118888888888888888", 0),
            ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 0),
            ("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe", 1),
            ("ffffffffffffffffffffffffffffffffffffffffffffffff7fffffffffffffff", 1 << 63),
            ("000000000000000000000000000000000000000000000000ffffffffffffffff", u64::MAX),
            ("0000000000000000000000000000000000000000000000000123456789abcdef", 0x0123_4567_89ab_cdef),
        ];
        for (hex, position) in vectors {
            assert_eq!(ring_position(&key(hex)), position, "{hex}");
        }
    }

    #[test]
    fn accounts_find_the_swarm_the_storage_server_finds() {
        // The vectors of oxen-storage-server, unit_test/swarm.cpp: position, swarm.
        let mut swarms: Vec<SwarmId> = [100, 200, 300, 399, 498, 596, 694].map(SwarmId).into();
        let check = |swarms: &[SwarmId], vectors: &[(u64, u64)]| {
            for (position, swarm) in vectors {
                let found = swarm_of_account(&account_at(*position), swarms);
                assert_eq!(found, Some(SwarmId(*swarm)), "position {position:x}");
            }
        };
        check(&swarms, &[(0x64, 100), (0xc8, 200), (0x1f2, 498)]);
        check(&swarms, &[(0, 100), (1, 100)]);
        check(&swarms, &[(1 << 63, 694), (0xa000_0000_0000_0000, 100), (u64::MAX, 100), (u64::MAX - 1, 100)]);
        check(&swarms, &[(0x95, 100), (0x96, 100), (0x97, 200), (0xf9, 200), (0xfa, 200), (0xfb, 300)]);
        check(&swarms, &[(0x15d, 300), (0x15e, 399), (0x1c0, 399), (0x1c1, 498)]);
        check(&swarms, &[(0x222, 498), (0x223, 498), (0x224, 596), (0x285, 596), (0x286, 694)]);
        let opposite = 0x8000_0000_0000_018d;
        check(&swarms, &[(opposite - 1, 694), (opposite, 694), (opposite + 1, 100)]);
        let high = 20u64.wrapping_neg();
        swarms.push(SwarmId(high));
        check(&swarms, &[(0x27, high), (0x28, high), (0x29, 100)]);
        swarms.insert(0, SwarmId(0));
        check(&swarms, &[(u64::MAX, 0), (u64::MAX - 1, 0)]);
        assert_eq!(swarm_of_account(&[7; 32], &[]), None);
    }

    #[test]
    fn new_ids_are_those_oxen_would_give() {
        // The vectors of oxen-core, tests/unit_tests/service_nodes_swarm.cpp; `TOP` is the highest id.
        const TOP: u64 = u64::MAX - 1;
        let vectors = [
            (0, 0, TOP / 2),
            (TOP / 2, 0, TOP / 2 + TOP / 4 + 1),
            (0, TOP / 2, TOP / 4),
            (TOP / 2, TOP / 2, TOP),
            (TOP / 4, TOP / 4, TOP / 2 + TOP / 4),
            (12_345_678_901_234_567_890, 12_345_678_901_234_567_890, 12_345_678_901_234_567_890 - TOP / 2 - 1),
            (TOP / 2 + 100, TOP / 2 - 100, TOP),
            (TOP / 2 + 101, TOP / 2 - 100, 0),
            (TOP / 2 + 101, TOP / 2 - 101, TOP),
            (TOP / 2 + 102, TOP / 2 - 101, 0),
        ];
        for (from, to, new) in vectors {
            let (from, to) = (SwarmId(from), SwarmId(to));
            assert_eq!(middle(from, gap(from, to)), Some(SwarmId(new)), "between {from} and {to}");
        }
        assert_eq!(middle(SwarmId(4), gap(SwarmId(4), SwarmId(5))), None);
        assert_eq!(middle(SwarmId(TOP), gap(SwarmId(TOP), SwarmId(0))), None);
    }

    proptest! {
        #[test]
        fn the_nearest_swarm_is_found(key: [u8; 32], swarms in btree_set(0..u64::MAX, 1..20)) {
            let swarms: Vec<SwarmId> = swarms.into_iter().map(SwarmId).collect();
            let position = ring_position(&key);
            let distance = |swarm: SwarmId| swarm.0.wrapping_sub(position).min(position.wrapping_sub(swarm.0));
            let found = swarm_of_account(&key, &swarms).expect("there is a swarm");
            prop_assert!(swarms.contains(&found));
            prop_assert!(swarms.iter().all(|swarm| distance(found) <= distance(*swarm)));
        }

        #[test]
        fn the_middle_lies_between_and_is_an_id(from in 0..u64::MAX, to in 0..u64::MAX) {
            let (from, to) = (SwarmId(from), SwarmId(to));
            let width = gap(from, to);
            if let Some(new) = middle(from, width) {
                prop_assert!(new.is_assigned() && new != from && new != to);
                prop_assert_eq!(u128::from(gap(from, new)) + u128::from(gap(new, to)), u128::from(width));
                prop_assert!(gap(new, to) - gap(from, new) <= 1);
            } else {
                prop_assert_eq!(width, 1);
            }
        }
    }
}
