//! Who produces: proofs of their keys, equivocations, and the era's draw.

use super::*;

/// A proof that the authority of this index made two blocks of one slot.
pub(crate) fn equivocation(chain: &mut Chain, index: u32) -> UncheckedExtrinsic {
    let authorities = chain.call::<BabeConfiguration>("BabeApi_configuration", &()).authorities;
    let offender = authorities[index as usize].0.clone();
    let signer = Sr25519Keyring::from_raw_public(offender.clone().into_inner().0).expect("well-known").pair();

    // Two blocks of one slot, both under the offender's seal.
    let slot = Slot::from(chain.slot);
    let vrf_signature = signer.vrf_sign(&make_vrf_sign_data(&[0; 32], slot, 0));
    let claim = PreDigest::SecondaryVRF(SecondaryVRFPreDigest { authority_index: index, slot, vrf_signature });
    let sealed = |extrinsics: u8| {
        let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
        let mut header = Header::new(1, [extrinsics; 32].into(), Hash::default(), chain.genesis, digest);
        let seal = signer.sign(header.hash().as_bytes());
        header.digest.push(DigestItem::Seal(BABE_ENGINE_ID, seal.0.to_vec()));
        header
    };
    let proof =
        EquivocationProof { slot, offender: offender.clone(), first_header: sealed(1), second_header: sealed(2) };
    let ownership: Option<OpaqueKeyOwnershipProof> =
        chain.call("BabeApi_generate_key_ownership_proof", &(slot, offender));
    let report = pallet_babe::Call::report_equivocation_unsigned {
        equivocation_proof: Box::new(proof),
        key_owner_proof: ownership.expect("a producer").decode().expect("a proof"),
    };
    UncheckedExtrinsic::new_bare(RuntimeCall::Babe(report))
}

#[test]
fn keys_of_producers_can_be_proven_from_the_first_session_on() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    for _ in 0..3 * BLOCKS_OF_AN_EPOCH {
        chain.make_block(&[]);
        let alice: AuthorityId = Sr25519Keyring::Alice.public().into();
        let slot = Slot::from(chain.slot);
        let proof: Option<OpaqueKeyOwnershipProof> = chain.call("BabeApi_generate_key_ownership_proof", &(slot, alice));
        let proof = proof.expect("Alice produces blocks").decode::<sp_session::MembershipProof>().expect("a proof");
        let session = chain.state.execute_with(pallet_session::Pallet::<Runtime>::current_index);
        assert_eq!(proof.session, session);
        let root = chain.state.execute_with(|| pallet_session::historical::HistoricalSessions::<Runtime>::get(session));
        assert!(root.is_some(), "a proof of session {session} has a root to be checked against");
    }
}

#[test]
fn a_producer_that_equivocates_is_disabled_once() {
    let mut chain = Chain::begin(Engine::Native, presets::LOCAL);
    chain.make_block(&[]);
    let report = equivocation(&mut chain, 1);
    chain.make_block(std::slice::from_ref(&report));
    let disabled = chain.state.execute_with(pallet_session::Pallet::<Runtime>::disabled_validators);
    assert_eq!(disabled, [1]);
    assert_eq!(validate(&mut chain, TransactionSource::Local, &report), Err(InvalidTransaction::Stale.into()));
}

/// What the runtime says when asked for the next set, once enough nodes are offered.
#[test]
fn authorities_are_drawn_from_the_nodes_that_are_offered() {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let offered: Vec<_> = chain.roster().iter().take(8).map(|node| node.id).collect();
    chain.state.execute_with(|| {
        for (number, node) in offered.iter().enumerate() {
            let seed = [u8::try_from(number).expect("few") + 100; 32];
            let keys = skep_runtime::SessionKeys {
                babe: sp_core::sr25519::Pair::from_seed(&seed).public().into(),
                grandpa: ed25519::Pair::from_seed(&seed).public().into(),
            };
            let keys = frame_support::BoundedVec::try_from(keys.encode()).expect("short");
            pallet_service_nodes::AuthorityCandidates::<Runtime>::insert(node, (keys, 1));
        }
    });
    chain.state.commit_all().expect("commits");
    // The era ends; the nodes are to produce in the session after the next.
    let session = |chain: &mut Chain| chain.state.execute_with(pallet_session::Pallet::<Runtime>::current_index);
    while (session(&mut chain) + 1) % 10 != 0 {
        chain.make_block(&[]);
    }
    let queued = chain.state.execute_with(pallet_session::Pallet::<Runtime>::queued_keys);
    let drawn: std::collections::BTreeSet<_> =
        queued.iter().map(|(who, _)| ServiceNodeId(who.clone().into())).collect();
    assert_eq!(drawn, offered.iter().copied().collect());
    let next: Epoch = chain.call("BabeApi_next_epoch", &());
    assert_eq!(next.authorities.len(), 8, "BABE announces them one epoch ahead");
    // What they earn is their operators'.
    let operator = chain.roster()[0].operator;
    let payee = chain.state.execute_with(|| pallet_service_nodes::Pallet::<Runtime>::operator_of(offered[0]));
    assert_eq!(payee, Some(operator));
}

/// A proof that the GRANDPA authority of this index voted for two blocks in one round.
fn double_vote(chain: &mut Chain, index: usize) -> UncheckedExtrinsic {
    let (set_id, round): (u64, u64) = (chain.call("GrandpaApi_current_set_id", &()), 1);
    let authorities: sp_consensus_grandpa::AuthorityList = chain.call("GrandpaApi_grandpa_authorities", &());
    let offender = authorities[index].0.clone();
    let raw = offender.clone().into_inner().0;
    let signer = sp_keyring::Ed25519Keyring::from_raw_public(raw).expect("well-known").pair();
    let vote = |block: u8| {
        const PREVOTE: u8 = 0;
        let vote = ([block; 32], 1u32);
        let payload = sp_consensus_grandpa::localized_payload(round, set_id, &(PREVOTE, vote));
        (vote, signer.sign(&payload).0)
    };
    // The set, which kind of vote, the round, whose, and both votes.
    let proof = (set_id, 0u8, round, &offender, vote(1), vote(2)).encode();
    let ownership: Option<sp_consensus_grandpa::OpaqueKeyOwnershipProof> =
        chain.call("GrandpaApi_generate_key_ownership_proof", &(set_id, offender));
    let report = pallet_grandpa::Call::report_equivocation_unsigned {
        equivocation_proof: Box::new(Decode::decode(&mut proof.as_slice()).expect("a proof")),
        key_owner_proof: ownership.expect("an authority").decode().expect("a proof"),
    };
    UncheckedExtrinsic::new_bare(RuntimeCall::Grandpa(report))
}

#[test]
fn a_producer_that_votes_twice_is_disabled_once() {
    let mut chain = Chain::begin(Engine::Native, presets::LOCAL);
    chain.make_block(&[]);
    let report = double_vote(&mut chain, 1);
    chain.make_block(std::slice::from_ref(&report));
    let disabled = chain.state.execute_with(pallet_session::Pallet::<Runtime>::disabled_validators);
    assert_eq!(disabled, [1]);
    assert_eq!(validate(&mut chain, TransactionSource::Local, &report), Err(InvalidTransaction::Stale.into()));
}

/// What a node changed itself would change the set of authorities in the middle of an era.
#[test]
fn only_founders_change_keys_in_the_session_pallet() {
    use skep_runtime::RuntimeOrigin;
    use sp_core::proof_of_possession::ProofOfPossessionGenerator;
    use sp_runtime::traits::Dispatchable;
    let mut chain = Chain::begin(Engine::Native, presets::LOCAL);
    let genesis = chain.genesis;
    let (eve, node) = (Sr25519Keyring::Eve, ServiceNodeId(ed25519::Pair::from_seed(&[9; 32]).public().0));
    chain.make_block(&[register(eve, 0, genesis, 9, 100 * UNIT)]);
    let keys = |owner: &skep_runtime::AccountId, seed: u8| {
        let mut babe = sp_core::sr25519::Pair::from_seed(&[seed; 32]);
        let mut grandpa = ed25519::Pair::from_seed(&[seed; 32]);
        let keys = skep_runtime::SessionKeys { babe: babe.public().into(), grandpa: grandpa.public().into() };
        let owner: &[u8] = owner.as_ref();
        (keys, (babe.generate_proof_of_possession(owner), grandpa.generate_proof_of_possession(owner)).encode())
    };
    chain.state.execute_with(|| {
        let set = |who: &skep_runtime::AccountId, seed| {
            let (keys, proof) = keys(who, seed);
            let call = pallet_session::Call::<Runtime>::set_keys { keys, proof };
            let call = || RuntimeCall::Session(call).dispatch(RuntimeOrigin::signed(who.clone()));
            frame_support::storage::with_storage_layer(call).map_err(|failed| failed.error)
        };
        let (founder, node) = (Sr25519Keyring::Dave.to_account_id(), skep_runtime::AccountId::new(node.0));
        set(&founder, 1).expect("a founder changes its keys");
        let stranger = pallet_session::Error::<Runtime>::NoAssociatedValidatorId.into();
        assert_eq!(set(&eve.to_account_id(), 2).expect_err("no producer"), stranger);

        // As a node that is drawn has them.
        pallet_balances::Pallet::<Runtime>::force_set_balance(RuntimeOrigin::root(), node.clone().into(), 1_000 * UNIT)
            .expect("endowed");
        set(&node, 3).expect_err("a node without keys");
        let drawn = keys(&node, 4).0;
        <pallet_session::Pallet<Runtime> as pallet_session::SessionInterface>::set_keys(&node, drawn.clone())
            .expect("drawn");
        set(&node, 5).expect_err("a node that produces");
        let purge = RuntimeCall::Session(pallet_session::Call::purge_keys {});
        let refused = purge.dispatch(RuntimeOrigin::signed(node.clone())).expect_err("nobody does").error;
        assert_eq!(refused, frame_system::Error::<Runtime>::CallFiltered.into());
        assert_eq!(pallet_session::NextKeys::<Runtime>::get(&node), Some(drawn));
    });
}
