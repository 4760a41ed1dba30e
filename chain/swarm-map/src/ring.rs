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
