//! Upgrades: who decides them, and what a migration does to the state of a grown chain.

use super::*;
use frame_support::traits::{OnRuntimeUpgrade, StorageVersion};
use skep_runtime::{
    Network, check_state,
    migrations::{LongerUnlock, Rehearsal},
};

#[test]
fn an_upgrade_that_operators_approved_may_be_applied_by_anyone() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let code = b"\0asm a runtime".to_vec();
    let code_hash = skep_primitives::CodeHash(sp_io::hashing::blake2_256(&code));
    let operators: std::collections::BTreeSet<_> = chain.roster().iter().map(|node| node.operator).collect();
    let signers: Vec<_> =
        Sr25519Keyring::well_known().filter(|who| operators.contains(&StakerId(who.to_raw_public()))).collect();
    let genesis = chain.genesis;
    let call = |chain: &mut Chain, who: Sr25519Keyring, call| {
        let nonce = chain.state.execute_with(|| frame_system::Pallet::<Runtime>::account_nonce(who.to_account_id()));
        chain.make_roomy_block(&[signed(who, nonce, genesis, RuntimeCall::Governance(call))]);
    };
    let motion = skep_primitives::Motion::Upgrade { code_hash };
    call(&mut chain, signers[0], pallet_governance::Call::propose { motion });
    for who in &signers[1..] {
        call(&mut chain, *who, pallet_governance::Call::approve { proposal: 0 });
    }
    let governance: skep_primitives::Governance = chain.call("SkepApi_governance", &());
    assert!(governance.proposals[0].enact_from.is_some(), "{governance:?}");
    for _ in 0..10 {
        chain.make_block(&[]);
    }
    call(&mut chain, Sr25519Keyring::Ferdie, pallet_governance::Call::enact { proposal: 0 });
    let governance: skep_primitives::Governance = chain.call("SkepApi_governance", &());
    assert_eq!(governance.authorized_upgrade, Some(code_hash));
}

/// A grown chain of which a stake is on its way out.
fn grown() -> Chain {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let leaving = chain.roster()[0].clone();
    let operator = Sr25519Keyring::well_known().find(|who| who.to_raw_public() == leaving.operator.0).expect("ours");
    let nonce = chain.state.execute_with(|| frame_system::Pallet::<Runtime>::account_nonce(operator.to_account_id()));
    let call = RuntimeCall::ServiceNodes(pallet_service_nodes::Call::request_unlock { node: leaving.id });
    let genesis = chain.genesis;
    chain.make_roomy_block(&[signed(operator, nonce, genesis, call)]);
    chain
}

#[test]
fn the_rehearsed_migration_does_what_it_says_once_and_nothing_else() {
    let mut chain = grown();
    let (roster, swarms) = (chain.roster(), chain.swarms());
    assert!(roster.iter().any(|node| matches!(node.state, NodeState::Leaving { .. })), "{roster:?}");
    let unlock =
        |chain: &mut Chain| chain.call::<skep_primitives::StakingTerms>("SkepApi_staking_terms", &()).unlock_blocks;
    let before = unlock(&mut chain);

    chain.state.execute_with(|| {
        check_state().expect("sound before");
        let known = LongerUnlock::before().expect("sound before");
        assert!(LongerUnlock::after(&known).is_err(), "nothing has changed yet");
        Rehearsal::on_runtime_upgrade();
        LongerUnlock::after(&known).expect("migrated");
        assert_eq!(StorageVersion::get::<Network>(), 1);
        check_state().expect("sound after");

        Rehearsal::on_runtime_upgrade();
        LongerUnlock::after(&known).expect("it runs once");
    });
    chain.state.commit_all().expect("commits");

    assert_eq!(unlock(&mut chain), before + before / 2);
    assert_eq!((chain.roster(), chain.swarms()), (roster, swarms), "what is under way stays as it was said");
    for _ in 0..2 * BLOCKS_OF_AN_EPOCH {
        chain.make_block(&[]);
    }
    chain.state.execute_with(|| check_state().expect("sound later"));
}

/// `SKEP_STATE` is what `skep-node export-state` wrote of a chain that was upgraded as `scripts/upgrade` does it.
#[test]
#[ignore = "needs the state of an upgraded devnet: scripts/upgrade runs it"]
fn the_state_of_an_upgraded_devnet_is_sound() {
    let path = std::env::var("SKEP_STATE").expect("SKEP_STATE names an exported state");
    let spec = std::fs::read(path).expect("reads");
    let spec =
        sc_chain_spec::GenericChainSpec::<sc_chain_spec::NoExtension>::from_json_bytes(spec).expect("a chain spec");
    let storage = sp_runtime::BuildStorage::build_storage(&spec).expect("raw");
    TestExternalities::from(storage).execute_with(|| {
        assert_eq!(StorageVersion::get::<Network>(), 1, "it was migrated");
        check_state().expect("sound");
        let nodes = pallet_service_nodes::Pallet::<Runtime>::nodes().count();
        assert!(nodes > 0, "a devnet has nodes");
        let terms = pallet_service_nodes::Pallet::<Runtime>::staking_terms();
        println!("block {}: sound, {nodes} nodes, {terms:?}", frame_system::Pallet::<Runtime>::block_number());
    });
}
