//! What is drawn by chance, on the real consensus pallets: who can know it when, and who can vary it.

use super::*;
use skep_primitives::TestingRound;

fn rounds(chain: &mut Chain) -> Vec<TestingRound> {
    chain.call("SkepApi_testing_rounds", &0u32)
}

/// Two chains that are alike, before the last block of a testing round; its quorum has ten of twenty-four.
fn before_a_round() -> [Chain; 2] {
    let mut chains = [Engine::Native, Engine::Native].map(|engine| Chain::begin(engine, presets::LOCAL));
    grow(&mut chains);
    let blocks_of_a_round = chains[0].state.execute_with(|| {
        let round = pallet_network::Network::<Runtime>::get().testing.round;
        pallet_network::Pallet::<Runtime>::blocks(round)
    });
    while !(chains[0].head.number + 2).is_multiple_of(blocks_of_a_round) {
        let claim = chains[0].claim();
        chains.iter_mut().for_each(|chain| chain.carry_out(claim.clone(), &[]));
    }
    chains
}

/// The quorums both chains draw in the next block, which the first authority makes.
fn drawn(mut chains: [Chain; 2]) -> [TestingRound; 2] {
    let claim = chains[0].claim();
    chains.each_mut().map(|chain| {
        let before = rounds(chain).len();
        chain.carry_out(claim.clone(), &[]);
        let drawn = rounds(chain);
        assert_eq!((drawn.len(), chain.head.number), (before + 1, drawn[before].begins_at));
        drawn[before].clone()
    })
}

/// A seal is randomized: whoever made the block before a round could seal it again until it likes the quorum.
#[test]
fn a_quorum_does_not_depend_on_how_its_parent_block_is_sealed() {
    let mut chains = before_a_round();
    let claim = chains[0].claim();
    for (chain, seal) in chains.iter_mut().zip([1, 2]) {
        chain.carry_out(claim.clone(), &[]);
        chain.head.digest.push(DigestItem::Seal(BABE_ENGINE_ID, vec![seal; 64]));
    }
    let [one, other] = drawn(chains);
    assert_ne!(one.block, other.block, "the blocks before it are two");
    assert_eq!((one.testers.len(), one.testers), (10, other.testers));
    assert_eq!(one.targets, other.targets);
}

#[test]
fn a_quorum_depends_on_what_its_parent_block_revealed() {
    let mut chains = before_a_round();
    for (chain, author) in chains.iter_mut().zip([Sr25519Keyring::Alice, Sr25519Keyring::Bob]) {
        let authorities = chain.call::<BabeConfiguration>("BabeApi_configuration", &()).authorities;
        let index = authorities.iter().position(|(key, _)| *key == author.public().into()).expect("a founder");
        let claim = chain.claim_as(u32::try_from(index).expect("four"), &author.pair());
        chain.carry_out(claim, &[]);
    }
    let [one, other] = drawn(chains);
    assert_ne!(one.testers, other.testers);
}

/// Offers a node that serves, as its operator's call does.
fn offer(chain: &mut Chain, node: ServiceNodeId, seed: u8) {
    let keys = skep_runtime::SessionKeys {
        babe: sr25519::Pair::from_seed(&[seed; 32]).public().into(),
        grandpa: ed25519::Pair::from_seed(&[seed; 32]).public().into(),
    };
    let keys = frame_support::BoundedVec::try_from(keys.encode()).expect("short");
    let at = chain.head.number;
    chain.state.execute_with(|| {
        pallet_service_nodes::AuthorityCandidates::<Runtime>::insert(node, (keys, at));
    });
    chain.state.commit_all().expect("commits");
}

/// Goes on until the next era's set has been drawn; returns who is in it.
fn next_draw(chain: &mut Chain) -> Vec<ServiceNodeId> {
    let sessions = chain.state.execute_with(|| pallet_network::Network::<Runtime>::get().era_sessions);
    let session = |chain: &mut Chain| chain.state.execute_with(pallet_session::Pallet::<Runtime>::current_index);
    let before = session(chain);
    while session(chain) == before || !(session(chain) + 1).is_multiple_of(sessions) {
        chain.make_block(&[]);
    }
    chain.state.execute_with(pallet_authorities::Drawn::<Runtime>::get).into_inner()
}

/// Six nodes were offered long ago. The seventh is what it takes to begin.
#[test]
fn a_node_that_is_offered_within_two_epochs_of_a_draw_is_drawn_at_the_next() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let nodes: Vec<_> = chain.roster().iter().map(|node| node.id).take(7).collect();
    for (node, seed) in nodes.iter().zip(100..106) {
        offer(&mut chain, *node, seed);
    }
    next_draw(&mut chain);
    let sessions = 10;
    // The first block of the session before the one at whose end the next set is drawn.
    for _ in 0..(sessions - pallet_authorities::RIPENING_EPOCHS) * BLOCKS_OF_AN_EPOCH {
        chain.make_block(&[]);
    }
    chain.make_block(&[]);
    offer(&mut chain, nodes[6], 106);
    assert_eq!(next_draw(&mut chain), []);
    let mut drawn = next_draw(&mut chain);
    drawn.sort_unstable();
    assert_eq!(drawn, nodes);
}
