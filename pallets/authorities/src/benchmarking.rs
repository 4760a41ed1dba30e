//! What producers weigh at worst: there are as many as may be, and all of them change.

use super::*;
use frame_benchmarking::v2::*;
use pallet_network::CandidateFactory;

/// So many nodes that are offered, from number `first` on.
fn offered<T: Config>(first: u32, count: u32) -> Vec<ServiceNodeId> {
    (first..first.saturating_add(count)).map(T::BenchmarkHelper::offered).collect()
}

/// Gives nodes the keys they are offered with.
fn take_keys<T: Config>() {
    for Candidate { node, keys, .. } in T::Candidates::candidates() {
        T::Keys::set(node, &keys);
    }
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// It is the last of as many as there may be, and this is its first block.
    #[benchmark]
    fn note_produced() {
        let nodes: Vec<_> = (1..=MAX_AUTHORITIES).map(|number| ServiceNodeId([number as u8; 32])).collect();
        let producer = AccountId32::new([MAX_AUTHORITIES as u8; 32]);
        Drawn::<T>::put(BoundedVec::truncate_from(nodes));
        #[block]
        {
            Pallet::<T>::note_produced(&producer);
        }
        assert_eq!(Produced::<T>::iter().count(), 1);
    }

    #[benchmark]
    fn forget_departed(n: Linear<0, { 2 * MAX_AUTHORITIES }>) {
        let nodes = offered::<T>(0, n);
        take_keys::<T>();
        Departing::<T>::put(BoundedVec::truncate_from(nodes));
        #[block]
        {
            Pallet::<T>::forget_departed();
        }
        assert!(Departing::<T>::get().is_empty());
    }

    /// Nobody of the present set, which is as large as may be, has produced; others take its place, all of whom rested and were
    /// offered anew.
    #[benchmark]
    fn draw(c: Linear<{ 2 * MAX_AUTHORITIES }, MAX_OFFERED>) {
        let present = offered::<T>(0, MAX_AUTHORITIES);
        take_keys::<T>();
        for node in offered::<T>(MAX_AUTHORITIES, c.saturating_sub(MAX_AUTHORITIES)) {
            Resting::<T>::insert(node, 0);
        }
        Drawn::<T>::put(BoundedVec::truncate_from(present));
        // Long enough after the offers that they count.
        let wait = pallet_network::Network::<T>::get().epoch_blocks.saturating_mul(RIPENING_EPOCHS);
        frame_system::Pallet::<T>::set_block_number(wait.saturating_add(1).into());
        #[block]
        {
            Pallet::<T>::draw(1);
        }
        assert_eq!(Resting::<T>::iter().count() as u32, MAX_AUTHORITIES);
    }
}

/// Most that are offered while a draw is measured: what it costs grows evenly with them.
const MAX_OFFERED: u32 = 10 * MAX_AUTHORITIES;
