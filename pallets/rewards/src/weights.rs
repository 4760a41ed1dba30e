//! What the pallet's work costs.
//!
//! Derived by hand from the storage each item touches, not yet measured: reads and writes at the runtime's `DbWeight`,
//! computation at [`BASE`].

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// Computation of a hook beside its storage: well above what arithmetic and encoding of a few hundred bytes take.
const BASE: Weight = Weight::from_parts(20_000_000, 0);

/// Bytes of proof an entry of storage brings: a value of a few hundred bytes and its way through the trie.
const PROOF: u64 = 2_048;

/// What the pallet's work costs.
pub trait WeightInfo {
    /// Rewarding a block whose service node has this many stakes.
    fn reward_block(payees: u32) -> Weight;
}

/// Costs derived by hand.
#[derive(Debug)]
pub struct HandDerived<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for HandDerived<T> {
    fn reward_block(payees: u32) -> Weight {
        // Read: parameters twice, producer, queue's first key and value, roster record, turn, last turn, carried,
        // created, issuance. Written: queue twice, turn, last turn, carried, created, issuance, events.
        // An account each for producer, treasury, operator's fee and every stake.
        let accounts = u64::from(payees).saturating_add(3);
        let (reads, writes) = (accounts.saturating_add(11), accounts.saturating_add(8));
        BASE.saturating_mul(accounts)
            .saturating_add(T::DbWeight::get().reads_writes(reads, writes))
            .saturating_add(Weight::from_parts(0, PROOF.saturating_mul(reads)))
    }
}

impl WeightInfo for () {
    fn reward_block(_: u32) -> Weight {
        Weight::zero()
    }
}
