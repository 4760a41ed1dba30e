//! What blocks may weigh, and what hooks leave of them.

use super::*;
use frame_support::traits::Get;

#[test]
fn a_block_may_take_a_third_of_its_slot() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    let weights = chain.state.execute_with(<Runtime as frame_system::Config>::BlockWeights::get);
    assert_eq!(weights.max_block.ref_time(), chain.slot_milliseconds / 3 * 1_000_000_000);
    weights.validate().expect("sound");
}

#[test]
fn hooks_leave_half_of_a_block_to_calls_even_if_all_is_due_at_once() {
    use pallet_authorities::WeightInfo as _;
    use pallet_obligations::WeightInfo as _;
    use pallet_rewards::WeightInfo as _;
    use pallet_service_nodes::WeightInfo as _;
    use pallet_swarms::WeightInfo as _;
    type Rounds = <Runtime as pallet_obligations::Config>::WeightInfo;
    let mut chain = Chain::begin(Engine::Native, presets::LOCAL);
    chain.state.execute_with(|| {
        let hooks = [
            <Runtime as pallet_authorities::Config>::WeightInfo::note_produced(),
            <Runtime as pallet_swarms::Config>::WeightInfo::place_due(pallet_swarms::MAX_BATCH),
            <Runtime as pallet_service_nodes::Config>::WeightInfo::work_off_agenda(
                pallet_service_nodes::MAX_ENDS_PER_BLOCK,
            ),
            Rounds::begin_round(skep_primitives::MAX_TESTERS + skep_obligations::MAX_TARGETS),
            Rounds::season(pallet_obligations::MAX_SEASONED_A_ROUND),
            Rounds::forget_round(skep_obligations::MAX_TARGETS),
            <Runtime as pallet_rewards::Config>::WeightInfo::pay(),
        ];
        let all: u64 = hooks.iter().map(|weight| weight.ref_time()).sum();
        let block = <Runtime as frame_system::Config>::BlockWeights::get().max_block.ref_time();
        assert!(all < block / 2, "{all} of {block}: {hooks:?}");
    });
}

#[test]
fn a_draw_from_all_who_may_be_offered_fits_into_a_block() {
    use pallet_authorities::WeightInfo as _;
    type Draw = <Runtime as pallet_authorities::Config>::WeightInfo;
    let mut chain = Chain::begin(Engine::Native, presets::MAIN);
    chain.state.execute_with(|| {
        let draw = Draw::draw(pallet_service_nodes::MAX_CANDIDATES)
            .saturating_add(Draw::forget_departed(2 * pallet_authorities::MAX_AUTHORITIES));
        let block = <Runtime as frame_system::Config>::BlockWeights::get().max_block;
        assert!(draw.ref_time() < block.ref_time(), "{draw:?} of {block:?}");
    });
}
