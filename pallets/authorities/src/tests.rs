//! Tests of who is drawn, who rests, and when the founders produce.

use crate::{self as pallet_authorities, *};
use frame_support::{derive_impl, parameter_types};
use pallet_network::Parameters;
use sp_runtime::BuildStorage;
use std::collections::{BTreeMap, BTreeSet};

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
        Authorities: pallet_authorities,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlockU32<Self>;
    type AccountId = AccountId32;
    type Lookup = sp_runtime::traits::IdentityLookup<AccountId32>;
}

impl pallet_network::Config for Test {}

parameter_types! {
    pub static Offered: BTreeMap<ServiceNodeId, (u8, BlockNumber)> = BTreeMap::new();
    /// Offered ones that do not serve.
    pub static Down: BTreeSet<ServiceNodeId> = BTreeSet::new();
    pub static Keys: BTreeMap<ServiceNodeId, u8> = BTreeMap::new();
    pub static Output: Option<[u8; 32]> = None;
}

impl Candidates for Offered {
    fn candidates() -> Vec<Candidate> {
        let down = Down::get();
        let candidate = |(node, (key, offered_at))| {
            let is_active = !down.contains(&node);
            Candidate { node, keys: vec![key], offered_at, is_active }
        };
        Self::get().into_iter().map(candidate).collect()
    }

    fn offered() -> u32 {
        Self::get().len() as u32
    }
}

impl SessionKeyBook for Keys {
    fn set(node: ServiceNodeId, keys: &[u8]) -> bool {
        let taken = Self::get().iter().any(|(other, key)| *other != node && [*key] == keys);
        if !taken {
            Self::mutate(|book| book.insert(node, keys[0]));
        }
        !taken
    }

    fn forget(node: ServiceNodeId) {
        Self::mutate(|book| book.remove(&node));
    }
}

impl pallet_authorities::Config for Test {
    type Candidates = Offered;
    type Keys = Keys;
    type Output = Output;
    type WeightInfo = pallet_authorities::weights::Measured<Self>;
}

const SESSIONS: SessionIndex = 4;
const EPOCH: BlockNumber = 6;

fn run(test: impl FnOnce()) {
    let parameters = Parameters { era_sessions: SESSIONS, epoch_blocks: EPOCH, ..Default::default() };
    let network = pallet_network::GenesisConfig { parameters, ..Default::default() };
    let mut externalities: sp_io::TestExternalities =
        RuntimeGenesisConfig { system: Default::default(), network }.build_storage().expect("genesis builds").into();
    Offered::take();
    Down::take();
    Keys::take();
    Output::take();
    externalities.execute_with(|| {
        System::set_block_number(1);
        Authorities::found(vec![founder()]);
        test();
        Authorities::check_state().expect("the state is sound");
    });
}

fn founder() -> AccountId32 {
    AccountId32::new([255; 32])
}

fn node(number: u8) -> ServiceNodeId {
    ServiceNodeId([number; 32])
}

fn account(number: u8) -> AccountId32 {
    AccountId32::new([number; 32])
}

fn offer(number: u8) {
    Offered::mutate(|offered| offered.insert(node(number), (number, System::block_number())));
}

fn retract(number: u8) {
    Offered::mutate(|offered| offered.remove(&node(number)));
}

/// A block ends whose producer revealed this.
fn end_block(output: Option<[u8; 32]>) {
    Output::set(output);
    Authorities::on_finalize(System::block_number());
}

/// The next era begins once what is offered counts, after everyone but `idle` produced.
fn next_era(era: u32, idle: &[u8]) -> Option<BTreeSet<AccountId32>> {
    for number in (1..250).filter(|number| !idle.contains(number)) {
        Authorities::note_produced(&account(number));
    }
    System::set_block_number(System::block_number() + RIPENING_EPOCHS * EPOCH);
    let set = Authorities::plan(era * SESSIONS);
    System::set_block_number(System::block_number() + 1);
    assert_eq!(Authorities::plan(era * SESSIONS + 1), None, "a set lasts an era");
    Authorities::check_state().expect("the state is sound");
    set.map(|set| set.into_iter().collect())
}

fn accounts(numbers: impl IntoIterator<Item = u8>) -> Option<BTreeSet<AccountId32>> {
    Some(numbers.into_iter().map(account).collect())
}

#[test]
fn founders_produce_until_enough_nodes_are_offered() {
    run(|| {
        (1..=6).for_each(offer);
        assert_eq!(next_era(1, &[]), None);
        assert!(Keys::get().is_empty());
        offer(7);
        assert_eq!(next_era(2, &[]), accounts(1..=7));
        assert_eq!(Keys::get().len(), 7);
    });
}

#[test]
fn a_set_goes_on_with_fewer_than_it_takes_to_begin() {
    run(|| {
        (1..=7).for_each(offer);
        next_era(1, &[]);
        retract(1);
        retract(2);
        assert_eq!(next_era(2, &[]), accounts(3..=7));
        retract(3);
        assert_eq!(next_era(3, &[]), Some([founder()].into()));
        assert!(Keys::get().is_empty(), "keys of those who left are forgotten");
        offer(3);
        assert_eq!(next_era(4, &[]), None, "five are not enough to begin again");
    });
}

#[test]
fn who_produces_nothing_rests_until_offered_anew() {
    run(|| {
        (1..=8).for_each(offer);
        assert_eq!(next_era(1, &[]), accounts(1..=8));
        assert_eq!(next_era(2, &[8]), accounts(1..=7));
        assert_eq!(next_era(3, &[8]), accounts(1..=7));
        offer(8);
        assert_eq!(next_era(4, &[8]), accounts(1..=8));
        assert_eq!(Resting::<Test>::iter().count(), 0);
        // One that is gone for good is not remembered.
        next_era(5, &[8]);
        retract(8);
        next_era(6, &[]);
        assert_eq!(Resting::<Test>::iter().count(), 0);
    });
}

#[test]
fn who_was_decommissioned_at_the_draw_rests_until_offered_anew() {
    run(|| {
        (1..=8).for_each(offer);
        assert_eq!(next_era(1, &[]), accounts(1..=8));
        // Its machine is dead for the whole era, and it is off the roster's serving nodes when the next is drawn.
        Down::mutate(|down| down.insert(node(8)));
        assert_eq!(next_era(2, &[8]), accounts(1..=7));
        Down::mutate(|down| down.remove(&node(8)));
        assert_eq!(next_era(3, &[]), accounts(1..=7), "to serve again is not to be offered again");
        offer(8);
        assert_eq!(next_era(4, &[]), accounts(1..=8));
    });
}

#[test]
fn who_does_not_serve_is_not_drawn() {
    run(|| {
        (1..=8).for_each(offer);
        Down::mutate(|down| down.insert(node(3)));
        assert_eq!(next_era(1, &[]), accounts((1..=8).filter(|number| *number != 3)));
        Down::take();
        assert_eq!(next_era(2, &[]), accounts(1..=8), "it has not been drawn, so it does not rest");
    });
}

#[test]
fn an_offer_in_the_block_of_the_draw_is_a_new_one() {
    run(|| {
        (1..=8).for_each(offer);
        next_era(1, &[]);
        assert_eq!(next_era(2, &[8]), accounts(1..=7));
        let drawn_at = Resting::<Test>::get(node(8)).expect("it rests");
        Offered::mutate(|offered| offered.insert(node(8), (8, drawn_at)));
        assert_eq!(next_era(3, &[]), accounts(1..=8));
    });
}

#[test]
fn an_offer_counts_once_two_epochs_worth_of_blocks_was_made() {
    run(|| {
        (1..=7).for_each(offer);
        System::set_block_number(System::block_number() + 1);
        // Whoever knows what is drawn with may choose among keys until it suits.
        offer(8);
        System::set_block_number(System::block_number() - 1);
        assert_eq!(next_era(1, &[]), accounts(1..=7), "one block short");
        assert_eq!(next_era(2, &[]), accounts(1..=8));
        // It is offered with other keys.
        System::set_block_number(System::block_number() + 1);
        offer(3);
        System::set_block_number(System::block_number() - 1);
        assert_eq!(next_era(3, &[]), accounts((1..=8).filter(|number| *number != 3)));
        assert_eq!(next_era(4, &[]), accounts(1..=8), "it does not rest");
    });
}

#[test]
fn a_set_is_bounded_and_drawn_by_chance() {
    run(|| {
        (1..=200).for_each(offer);
        let first = next_era(1, &[]).expect("enough");
        assert_eq!(first.len(), MAX_AUTHORITIES as usize);
        end_block(Some([1; 32]));
        let second = next_era(2, &[]).expect("enough");
        assert_eq!(second.len(), MAX_AUTHORITIES as usize);
        let both = first.intersection(&second).count();
        assert!((30..=70).contains(&both), "about half of 100 of 200 are drawn again, not {both}");
        assert_eq!(Keys::get().len(), MAX_AUTHORITIES as usize, "keys of those who left are forgotten");
    });
}

#[test]
fn randomness_is_made_of_all_that_was_revealed() {
    run(|| {
        let after = |outputs: &[u8]| {
            Revealed::<Test>::kill();
            outputs.iter().for_each(|output| end_block(Some([*output; 32])));
            Authorities::randomness(b"this")
        };
        let first = after(&[1, 2, 3]);
        assert_eq!(first, after(&[1, 2, 3]));
        for other in [&[1, 2, 4][..], &[4, 2, 3], &[1, 3], &[2, 1, 3], &[1, 2, 3, 3]] {
            assert_ne!(first, after(other), "{other:?}");
        }
        after(&[1, 2, 3]);
        assert_ne!(first, Authorities::randomness(b"that"));
        end_block(None);
        assert_ne!(first, Authorities::randomness(b"this"), "a block without an output moves it on, too");
    });
}

#[test]
fn a_block_is_charged_for_what_it_draws_and_forgets() {
    run(|| {
        let charged = || frame_system::BlockWeight::<Test>::get().get(DispatchClass::Mandatory).ref_time();
        let weight = |weight: Weight| weight.ref_time();
        type Weights = pallet_authorities::weights::Measured<Test>;
        (1..=8).for_each(offer);
        let before = charged();
        Authorities::plan(SESSIONS + 1);
        assert_eq!(charged() - before, weight(Weights::forget_departed(0)), "nothing is drawn within an era");
        let before = charged();
        Authorities::plan(2 * SESSIONS);
        assert_eq!(charged() - before, weight(Weights::forget_departed(0)) + weight(Weights::draw(8)));
        assert!(weight(Weights::draw(8)) < weight(Weights::draw(9)));
    });
}

#[test]
fn keys_of_two_nodes_are_drawn_once() {
    run(|| {
        (1..=8).for_each(offer);
        Offered::mutate(|offered| offered.insert(node(8), (1, 1)));
        let set = next_era(1, &[]).expect("enough");
        assert_eq!(set.len(), 7);
        assert!(set.contains(&account(1)) != set.contains(&account(8)));
    });
}
