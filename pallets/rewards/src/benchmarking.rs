//! What a block weighs at worst: it has a producer, and a node with as many stakes as one may have is paid, the last
//! that a block may look at.

use super::*;
use crate::queue::MAX_GAPS_PER_BLOCK;
use frame_benchmarking::v2::*;
use pallet_network::NodeFactory;
use sp_runtime::DigestItem;

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn pay() {
        frame_system::Pallet::<T>::deposit_log(<T::BenchmarkHelper as Get<DigestItem>>::get());
        let first = (1..MAX_GAPS_PER_BLOCK).map(|number| ServiceNodeId([number as u8; 32]));
        for node in first.clone() {
            RewardQueue::<T>::push(node, 0);
        }
        let node = T::BenchmarkHelper::serving(0);
        for node in first {
            RewardQueue::<T>::remove(node);
        }
        for at in 0..MAX_HISTORY {
            Earned::<T>::mutate(node, |earned| earned.add(Reward { at, amount: 1 }));
        }
        let now = 100;
        #[block]
        {
            Pallet::<T>::pay(now);
        }
        assert_eq!(Pallet::<T>::last_rewarded(node), Some(now));
    }
}
