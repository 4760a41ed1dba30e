//! The chain's blocks, as far as proofs of work are done over them.

/// Between two blocks (ms).
pub(crate) const BLOCK_TIME: u64 = 6_000;
/// So many blocks back, work may still be done over one.
const RECENT: u64 = 100;

/// Names a block.
pub(crate) fn block_hash(number: u64) -> [u8; 32] {
    let mut hash = [0x5e; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

/// Whether a block is recent for a node that hears of blocks `lag` (ms) after they are made.
pub(crate) fn is_recent(hash: &[u8; 32], now: u64, lag: u64) -> bool {
    let newest = now.saturating_sub(lag) / BLOCK_TIME;
    (newest.saturating_sub(RECENT)..=newest).any(|number| block_hash(number) == *hash)
}
