//! What calls cost where no benchmark has measured them: storage items at the database's own weight, and the time of
//! signatures, rounded up.

use frame_support::{traits::Get, weights::Weight};

/// Picoseconds to verify one signature (about 50 µs measured on common servers, doubled).
const VERIFY: u64 = 100_000_000;

/// Picoseconds of a call's own work.
const BASE: u64 = 40_000_000;

/// Proof bytes of one storage item (no parachain proves them; it only keeps the weight honest).
const ITEM_PROOF: u64 = 1_024;

/// The weight of so many reads, writes and verified signatures.
pub fn counted<T: frame_system::Config>(reads: u64, writes: u64, signatures: u64) -> Weight {
    Weight::from_parts(BASE.saturating_add(signatures.saturating_mul(VERIFY)), reads.saturating_mul(ITEM_PROOF))
        .saturating_add(T::DbWeight::get().reads_writes(reads, writes))
}
