//! Tests of when nodes are placed, with which randomness, and that the map stays sound.

use crate::{self as pallet_swarms, Change, Epoch, EpochRandomness, Event, MAX_BATCH, Sizes, Waiting, WaitingSpan};
use frame_support::{derive_impl, parameter_types};
use proptest::{collection::vec, prelude::*};
use skep_primitives::{ServiceNodeId, ServingNodes, SwarmId};
use skep_swarm_map::{Census, MemoryStore, SwarmMap};
use sp_runtime::BuildStorage;
use std::collections::BTreeSet;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Swarms: pallet_swarms,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlockU32<Self>;
}

parameter_types! {
    pub static CurrentEpoch: u64 = 0;
}

pub struct Randomness;

impl EpochRandomness for Randomness {
    fn epoch() -> u64 {
        CurrentEpoch::get()
    }

    fn fresh() -> [u8; 32] {
        seed(CurrentEpoch::get())
    }
}

fn seed(epoch: u64) -> [u8; 32] {
    [(epoch % 251) as u8; 32]
}

impl pallet_swarms::Config for Test {
    type Randomness = Randomness;
    type WeightInfo = pallet_swarms::weights::Measured<Self>;
}

fn externalities() -> sp_io::TestExternalities {
    let storage = RuntimeGenesisConfig::default().build_storage().expect("genesis builds");
    let mut externalities: sp_io::TestExternalities = storage.into();
    CurrentEpoch::set(0);
    externalities.execute_with(next_block);
    externalities
}

fn run(test: impl FnOnce()) {
    externalities().execute_with(|| {
        test();
        Swarms::check_state().expect("the state is sound");
    });
}

fn next_block() {
    System::run_to_block::<AllPalletsWithSystem>(System::block_number() + 1);
}

/// Begins the epoch of this index.
fn begin(epoch: u64) {
    CurrentEpoch::set(epoch);
    next_block();
}

fn next_epoch() {
    begin(CurrentEpoch::get() + 1);
}

fn node(number: u32) -> ServiceNodeId {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    ServiceNodeId(key)
}

fn nodes(numbers: impl IntoIterator<Item = u32>) -> Vec<ServiceNodeId> {
    numbers.into_iter().map(node).collect()
}

fn start(numbers: impl IntoIterator<Item = u32>) {
    nodes(numbers).into_iter().for_each(Swarms::started);
}

fn stop(numbers: impl IntoIterator<Item = u32>) {
    nodes(numbers).into_iter().for_each(Swarms::stopped);
}

fn placed() -> BTreeSet<ServiceNodeId> {
    Swarms::swarms().into_iter().flat_map(|swarm| swarm.nodes).collect()
}

fn last_event() -> Option<Event<Test>> {
    System::events().into_iter().rev().find_map(|record| match record.event {
        RuntimeEvent::Swarms(event) => Some(event),
        RuntimeEvent::System(_) => None,
    })
}

#[test]
fn a_node_is_placed_two_epochs_after_it_came() {
    run(|| {
        start(1..=3);
        next_epoch();
        assert_eq!(Swarms::swarm_of(node(1)), None);
        next_block();
        next_epoch();
        assert_eq!(Swarms::swarms().len(), 1);
        for number in 1..=3 {
            assert_eq!(Swarms::swarm_of(node(number)), Some(SwarmId::FIRST));
        }
        let Some(Event::Placed { epoch: 2, delta }) = last_event() else { panic!("{:?}", last_event()) };
        assert_eq!(delta.created, [SwarmId::FIRST]);
        assert_eq!(delta.moves.iter().map(|step| step.node).collect::<Vec<_>>(), nodes(1..=3));
        assert_eq!(Waiting::<Test>::iter().count(), 0);
    });
}

#[test]
fn the_randomness_is_that_of_the_epoch_of_placement() {
    run(|| {
        start(1..=40);
        next_epoch();
        next_epoch();
        let mut expected = SwarmMap::new(MemoryStore::default());
        let number = System::block_number();
        expected.apply(&nodes(1..=40), &[], seed(2), number).expect("consistent");
        let swarms: Vec<_> = Swarms::swarms().into_iter().map(|swarm| (swarm.id, swarm.nodes)).collect();
        assert_eq!(swarms, expected.store().swarms().map(|(id, nodes)| (id, nodes.to_vec())).collect::<Vec<_>>());
        assert!(swarms.len() > 1);
    });
}

#[test]
fn skipped_epochs_do_not_shorten_the_wait() {
    run(|| {
        start([1]);
        // The chain stood still: what this epoch's randomness is made of was revealed while the node came.
        begin(7);
        assert_eq!(Swarms::swarm_of(node(1)), None);
        begin(8);
        assert_eq!(Swarms::swarm_of(node(1)), Some(SwarmId::FIRST));
    });
}

#[test]
fn a_leaver_is_listed_until_it_is_placed_out() {
    run(|| {
        start(1..=6);
        next_epoch();
        next_epoch();
        stop([2]);
        next_epoch();
        assert!(placed().contains(&node(2)));
        next_epoch();
        assert_eq!(placed(), nodes([1, 3, 4, 5, 6]).into_iter().collect());
        assert_eq!(Swarms::swarm_of(node(2)), None);
    });
}

#[test]
fn who_came_and_went_meanwhile_is_not_placed() {
    run(|| {
        start(1..=6);
        stop([3]);
        next_epoch();
        next_epoch();
        assert_eq!(placed(), nodes([1, 2, 4, 5, 6]).into_iter().collect());
        // Who goes and comes again meanwhile stays placed.
        stop([1]);
        start([1]);
        next_epoch();
        next_epoch();
        assert!(placed().contains(&node(1)));
    });
}

#[test]
fn an_epoch_places_a_bounded_number() {
    run(|| {
        start(0..MAX_BATCH + 10);
        next_epoch();
        next_epoch();
        assert_eq!(placed().len(), MAX_BATCH as usize);
        assert_eq!(Waiting::<Test>::iter().count(), 10);
        next_block();
        assert_eq!(placed().len(), MAX_BATCH as usize);
        next_epoch();
        assert_eq!(placed().len(), MAX_BATCH as usize + 10);
    });
}

#[test]
fn a_map_that_contradicts_itself_keeps_what_waits() {
    externalities().execute_with(|| {
        start(1..=6);
        next_epoch();
        next_epoch();
        let sound = Sizes::<Test>::get();
        start([7]);
        Sizes::<Test>::put(Census::default());
        pallet_swarms::Members::<Test>::remove(SwarmId::FIRST);
        pallet_swarms::Places::<Test>::remove(SwarmId::FIRST);
        Sizes::<Test>::put(sound.clone());
        next_epoch();
        next_epoch();
        assert_eq!(last_event(), Some(Event::PlacementFailed { epoch: 4 }));
        assert_eq!(WaitingSpan::<Test>::get(), (6, 7));
        assert_eq!(Waiting::<Test>::get(6).map(|waiting| waiting.change), Some(Change::Join(node(7))));
        assert!(Swarms::check_state().is_err());
    });
}

#[test]
fn the_first_epoch_is_not_a_change() {
    run(|| assert_eq!(Epoch::<Test>::get().map(|seen| (seen.index, seen.count)), Some((0, 0))));
}

#[derive(Clone, Debug)]
enum Step {
    Start(u32),
    Stop(u32),
    Block,
    Epoch { skipped: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..60u32).prop_map(Step::Start),
        3 => (0..60u32).prop_map(Step::Stop),
        1 => Just(Step::Block),
        1 => (0..3u64).prop_map(|skipped| Step::Epoch { skipped }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_serving_node_is_in_one_swarm_once_all_is_placed(steps in vec(step(), 1..150)) {
        externalities().execute_with(|| {
            let mut serving = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Start(number) => {
                        if serving.insert(node(number)) {
                            start([number]);
                        }
                    }
                    Step::Stop(number) => {
                        if serving.remove(&node(number)) {
                            stop([number]);
                        }
                    }
                    Step::Block => next_block(),
                    Step::Epoch { skipped } => begin(CurrentEpoch::get() + 1 + skipped),
                }
                prop_assert_eq!(Swarms::check_state(), Ok(()));
            }
            while WaitingSpan::<Test>::get().0 < WaitingSpan::<Test>::get().1 {
                next_epoch();
            }
            prop_assert_eq!(Swarms::check_state(), Ok(()));
            prop_assert_eq!(placed(), serving);
            Ok(())
        })?;
    }
}
