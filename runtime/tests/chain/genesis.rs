//! How networks begin.

use super::*;

#[test]
fn every_preset_builds_its_genesis_natively_and_in_wasm() {
    let expected = [(presets::DEV, 1_000, 1), (presets::LOCAL, 2_000, 4), (presets::MAIN, 6_000, 0)];
    for engine in [|| Engine::Native, blob] {
        for (name, slot, authorities) in expected {
            let mut chain = Chain::begin(engine(), name);
            let config: BabeConfiguration = chain.call("BabeApi_configuration", &());
            assert_eq!((config.slot_duration, config.authorities.len()), (slot, authorities), "{name}");
        }
        let mut chain = Chain::begin(engine(), presets::DEV);
        let names: Vec<String> = chain.call("GenesisBuilder_preset_names", &());
        assert_eq!(names, expected.map(|(name, ..)| name));
        let unknown: Option<Vec<u8>> = chain.call("GenesisBuilder_get_preset", &Some("test".to_owned()));
        assert_eq!(unknown, None);
    }
}

#[test]
fn a_launch_genesis_is_the_main_preset_with_keys_and_tokens() {
    // What docs/economics.md tells a launch to fill in.
    let founders = [Sr25519Keyring::Alice, Sr25519Keyring::Bob, Sr25519Keyring::Charlie, Sr25519Keyring::Dave];
    let operator = Sr25519Keyring::Eve;
    let keys: Vec<_> = founders
        .iter()
        .map(|founder| {
            let account = founder.to_account_id();
            let grandpa: sp_consensus_grandpa::AuthorityId =
                ed25519::Pair::from_seed(&founder.to_raw_public()).public().into();
            let babe: AuthorityId = founder.public().into();
            serde_json::json!([account, account, { "babe": babe, "grandpa": grandpa }])
        })
        .collect();
    let mut chain = Chain::begin_as(Engine::Native, presets::MAIN, |genesis| {
        genesis["session"] = serde_json::json!({ "keys": keys });
        genesis["balances"] = serde_json::json!({ "balances": [[operator.to_account_id(), 105_100 * UNIT]] });
    });
    let genesis = chain.genesis;
    chain.make_block(&[]);
    assert_eq!(chain.call::<BabeConfiguration>("BabeApi_configuration", &()).authorities.len(), 4);
    let issued = chain.state.execute_with(Balances::total_issuance);
    assert!(issued - 105_100 * UNIT < 7 * UNIT, "besides, only the first block's reward: {issued}");
    // A stake of the main network, from a public address.
    let key = ed25519::Pair::from_seed(&[1; 32]);
    let (fee, staker) = (Permyriad::default(), StakerId(operator.to_raw_public()));
    let call = pallet_service_nodes::Call::register {
        node: ServiceNodeId(key.public().0),
        proof: key.sign(&signing::registration(&genesis.0, &staker, fee)).0,
        fee,
        endpoint: Endpoint { ipv4: [9, 9, 9, 9], https_port: 22021, quic_port: 22020 },
        version: SoftwareVersion([0, 1, 0]),
        stake: 15_000 * UNIT,
        reserved: Default::default(),
    };
    chain.make_block(&[signed(operator, 0, genesis, RuntimeCall::ServiceNodes(call))]);
    assert!(matches!(chain.roster()[0].state, NodeState::Active { .. }));
}
