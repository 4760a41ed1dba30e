//! What noting a producer weighs at worst: it is the last of as many as there may be, and this is its first block.

use super::*;
use frame_benchmarking::v2::*;

#[benchmarks]
mod benchmarks {
    use super::*;

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
}
