//! Upgrades: who decides them, and what a migration does to the state of a grown chain.

use super::*;
use frame_support::traits::{OnRuntimeUpgrade, StorageVersion};
use skep_primitives::{CodeHash, Governance};
use skep_runtime::{
    Network, RuntimeOrigin, VERSION, WASM_BINARY_BLOATY, check_state,
    migrations::{LongerUnlock, Rehearsal},
};
use sp_core::{storage::well_known_keys::CODE, traits::ReadRuntimeVersionExt};
use sp_runtime::traits::Dispatchable;

/// Has every operator approve of this code, and anyone put it in force.
fn authorize(chain: &mut Chain, code: &[u8]) {
    let code_hash = CodeHash(sp_io::hashing::blake2_256(code));
    let operators: std::collections::BTreeSet<_> = chain.roster().iter().map(|node| node.operator).collect();
    let signers: Vec<_> =
        Sr25519Keyring::well_known().filter(|who| operators.contains(&StakerId(who.to_raw_public()))).collect();
    let call = |chain: &mut Chain, who: Sr25519Keyring, call| {
        let transaction = signed(who, chain.nonce(who), chain.genesis, RuntimeCall::Governance(call));
        chain.make_roomy_block(&[transaction]);
    };
    let motion = skep_primitives::Motion::Upgrade { code_hash };
    call(chain, signers[0], pallet_governance::Call::propose { motion });
    let governance: Governance = chain.call("SkepApi_governance", &());
    let proposal = governance.proposals[0].id;
    for who in &signers[1..] {
        call(chain, *who, pallet_governance::Call::approve { proposal, motion });
    }
    let governance: Governance = chain.call("SkepApi_governance", &());
    let enact_from = governance.proposals[0].enact_from.expect("carried");
    let unlock_blocks = chain.state.execute_with(pallet_service_nodes::Pallet::<Runtime>::staking_terms).unlock_blocks;
    assert!(enact_from > chain.head.number + unlock_blocks, "who asks for its stake now has it back before");
    while chain.head.number < enact_from {
        chain.make_block(&[]);
    }
    call(chain, Sr25519Keyring::Ferdie, pallet_governance::Call::enact { proposal });
    assert_eq!(authorized_upgrade(chain), Some(code_hash));
}

fn authorized_upgrade(chain: &mut Chain) -> Option<CodeHash> {
    chain.call::<Governance>("SkepApi_governance", &()).authorized_upgrade
}

/// The code that the next block is carried out by.
fn stored_code(chain: &mut Chain) -> Option<Vec<u8>> {
    chain.state.execute_with(|| sp_io::storage::get(CODE)).map(|code| code.to_vec())
}

/// This runtime as one of another spec version: nodes and the chain read it from the blob without running it.
fn versioned(spec_version: u32) -> Vec<u8> {
    let version = sp_version::RuntimeVersion { spec_version, ..VERSION };
    sp_version::embed::embed_runtime_version(WASM_BINARY_BLOATY.expect("built"), version).expect("Wasm")
}

#[test]
fn anyone_applies_what_operators_approved_and_nothing_else_nor_an_older_version() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    let reader = WasmExecutor::<SubstrateHostFunctions>::builder().build();
    chain.state.register_extension(ReadRuntimeVersionExt::new(reader));
    grow(std::slice::from_mut(&mut chain));
    let [same, next] = [0, 1].map(|more| versioned(VERSION.spec_version + more));
    let anyone = Sr25519Keyring::Ferdie;
    let apply = |chain: &mut Chain, code: &[u8]| {
        let call = frame_system::Call::apply_authorized_upgrade { code: code.to_vec() };
        let transaction = signed(anyone, chain.nonce(anyone), chain.genesis, call.into());
        chain.make_roomy_block(&[transaction]);
    };
    let refused = |chain: &mut Chain, code: &[u8]| {
        chain.state.execute_with(|| {
            let call = frame_system::Call::<Runtime>::apply_authorized_upgrade { code: code.to_vec() };
            let origin = RuntimeOrigin::signed(anyone.to_account_id());
            let call = || RuntimeCall::System(call).dispatch(origin);
            frame_support::storage::with_storage_layer(call).expect_err("refused").error
        })
    };
    let before = stored_code(&mut chain);
    assert_eq!(refused(&mut chain, &next), frame_system::Error::<Runtime>::NothingAuthorized.into());

    // It has the hash that operators approved of, but is no later version: it is given up.
    authorize(&mut chain, &same);
    assert_eq!(refused(&mut chain, &next), frame_system::Error::<Runtime>::Unauthorized.into());
    apply(&mut chain, &same);
    let error = frame_system::Error::<Runtime>::SpecVersionNeedsToIncrease.into();
    let code_hash = sp_io::hashing::blake2_256(&same).into();
    let rejected = frame_system::Event::RejectedInvalidAuthorizedUpgrade { code_hash, error };
    assert!(chain.events().contains(&rejected.into()));
    assert_eq!((stored_code(&mut chain), authorized_upgrade(&mut chain)), (before.clone(), None));

    authorize(&mut chain, &next);
    assert_eq!(refused(&mut chain, &same), frame_system::Error::<Runtime>::Unauthorized.into());
    assert_eq!(stored_code(&mut chain), before, "what is authorized is not applied yet");
    apply(&mut chain, &next);
    let hash = sp_io::hashing::blake2_256(&next).into();
    assert!(chain.events().contains(&frame_system::Event::CodeUpdated { hash }.into()));
    assert!(chain.head.digest.logs.contains(&DigestItem::RuntimeEnvironmentUpdated), "light clients are told");
    assert_eq!((stored_code(&mut chain).as_ref(), authorized_upgrade(&mut chain)), (Some(&next), None));
    assert_eq!(refused(&mut chain, &next), frame_system::Error::<Runtime>::NothingAuthorized.into());
}

/// A grown chain of which a stake is on its way out.
fn grown() -> Chain {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let leaving = chain.roster()[0].clone();
    let operator = Sr25519Keyring::well_known().find(|who| who.to_raw_public() == leaving.operator.0).expect("ours");
    let nonce = chain.nonce(operator);
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
