//! What the hook weighs: nodes join a network of two thousand. Those that leave touch less, so it is not theirs to measure.

use super::*;
use frame_benchmarking::v2::*;

/// Batches of nodes that are placed before.
const BATCHES: u32 = 32;

fn node(number: u32) -> ServiceNodeId {
    ServiceNodeId(sp_io::hashing::blake2_256(&number.encode()))
}

/// Begins another epoch than the runtime's, with all that waits due in the next one that is seen.
fn turn<T: Config>() {
    let index = T::Randomness::epoch().wrapping_add(1);
    let count = Epoch::<T>::get().map_or(0, |seen| seen.count).saturating_add(PLACEMENT_DELAY);
    Epoch::<T>::put(SeenEpoch { index, count });
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn within_an_epoch() {
        Epoch::<T>::put(SeenEpoch { index: T::Randomness::epoch(), count: 0 });
        #[block]
        {
            Pallet::<T>::place_due(1u32.into());
        }
        assert!(Epoch::<T>::get().is_some_and(|seen| seen.count == 0));
    }

    #[benchmark]
    fn place_due(c: Linear<0, MAX_BATCH>) {
        for number in 0..BATCHES * MAX_BATCH {
            Pallet::<T>::started(node(number));
        }
        for _ in 0..BATCHES {
            turn::<T>();
            Pallet::<T>::place_due(1u32.into());
        }
        for number in 0..c {
            Pallet::<T>::started(node(BATCHES * MAX_BATCH + number));
        }
        turn::<T>();
        #[block]
        {
            Pallet::<T>::place_due(1u32.into());
        }
        let (start, end) = WaitingSpan::<T>::get();
        assert_eq!(start, end);
        assert_eq!(end, u64::from(BATCHES * MAX_BATCH + c));
    }
}
