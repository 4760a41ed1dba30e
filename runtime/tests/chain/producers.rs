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

/// It is let back with the next set. The report of what it was disabled for must not do so again.
#[test]
fn nobody_is_punished_twice_for_one_session() {
    use sp_runtime::traits::Dispatchable;
    let mut chain = Chain::begin(Engine::Native, presets::LOCAL);
    chain.make_block(&[]);
    let first = equivocation(&mut chain, 1);
    chain.make_block(std::slice::from_ref(&first));
    let disabled = |chain: &mut Chain| chain.state.execute_with(pallet_session::Pallet::<Runtime>::disabled_validators);
    // As when a session begins with another set.
    let let_back = |chain: &mut Chain| {
        chain.state.execute_with(pallet_session::DisabledValidators::<Runtime>::kill);
        chain.state.commit_all().expect("commits");
    };
    let again = |chain: &mut Chain, report: &UncheckedExtrinsic| {
        let call = report.function.clone();
        chain.state.execute_with(|| call.dispatch(skep_runtime::RuntimeOrigin::none()).map_err(|failed| failed.error))
    };
    let_back(&mut chain);
    let known = Err(pallet_babe::Error::<Runtime>::DuplicateOffenceReport.into());
    assert_eq!(again(&mut chain, &first).map(drop), known);
    let second = equivocation(&mut chain, 1);
    assert_eq!(again(&mut chain, &second).map(drop), known, "of the same session");
    assert_eq!(disabled(&mut chain), Vec::<u32>::new());
    while session(&mut chain) == 0 {
        chain.make_block(&[]);
    }
    let third = equivocation(&mut chain, 1);
    chain.make_block(std::slice::from_ref(&third));
    assert_eq!(disabled(&mut chain), [1], "it did so again");
    assert_eq!(chain.state.execute_with(skep_runtime::check_state), Ok(()));
    let_back(&mut chain);
    let provable =
        chain.state.execute_with(<pallet_network::ProvableSessions<Runtime> as frame_support::traits::Get<u32>>::get);
    let remembered = |chain: &mut Chain| {
        chain.state.execute_with(|| {
            pallet_authorities::Punished::<Runtime>::iter_keys().map(|(session, _)| session).collect::<Vec<_>>()
        })
    };
    while session(&mut chain) <= provable {
        chain.make_block(&[]);
    }
    assert_eq!(remembered(&mut chain), [1]);
    assert_eq!(chain.state.execute_with(skep_runtime::check_state), Ok(()));
}

/// A grown chain on which eight nodes are offered, with the BABE keys they are offered with.
fn offered() -> (Chain, BTreeMap<ServiceNodeId, sr25519::Pair>) {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    grow(std::slice::from_mut(&mut chain));
    let seeds = (100..108).map(|seed| [seed; 32]);
    let offered: Vec<_> = chain.roster().iter().map(|node| node.id).zip(seeds).collect();
    chain.state.execute_with(|| {
        for (node, seed) in &offered {
            let keys = skep_runtime::SessionKeys {
                babe: sr25519::Pair::from_seed(seed).public().into(),
                grandpa: ed25519::Pair::from_seed(seed).public().into(),
            };
            let keys = frame_support::BoundedVec::try_from(keys.encode()).expect("short");
            pallet_service_nodes::AuthorityCandidates::<Runtime>::insert(node, (keys, 1));
        }
    });
    chain.state.commit_all().expect("commits");
    (chain, offered.into_iter().map(|(node, seed)| (node, sr25519::Pair::from_seed(&seed))).collect())
}

fn session(chain: &mut Chain) -> u32 {
    chain.state.execute_with(pallet_session::Pallet::<Runtime>::current_index)
}

/// What the runtime says when asked for the next set, once enough nodes are offered.
#[test]
fn authorities_are_drawn_from_the_nodes_that_are_offered() {
    let (mut chain, offered) = offered();
    // The era ends; the nodes are to produce in the session after the next.
    while !(session(&mut chain) + 1).is_multiple_of(10) {
        chain.make_block(&[]);
    }
    let queued = chain.state.execute_with(pallet_session::Pallet::<Runtime>::queued_keys);
    let drawn: std::collections::BTreeSet<_> =
        queued.iter().map(|(who, _)| ServiceNodeId(who.clone().into())).collect();
    assert_eq!(drawn, offered.into_keys().collect());
    let next: Epoch = chain.call("BabeApi_next_epoch", &());
    assert_eq!(next.authorities.len(), 8, "BABE announces them one epoch ahead");
}

/// Whom the last block paid for having been made, and who got the fee of its one transaction.
fn paid(chain: &mut Chain) -> (StakerId, StakerId) {
    let staker = |who: skep_runtime::AccountId| StakerId(who.into());
    let (mut paid, mut fees, mut deposits) = (Vec::new(), Vec::new(), Vec::new());
    for event in chain.events() {
        if let RuntimeEvent::Rewards(pallet_rewards::Event::ProducerPaid { producer, amount }) = event {
            assert!(amount > 0);
            paid.push(staker(producer));
        } else if let RuntimeEvent::TransactionPayment(fee) = event {
            let pallet_transaction_payment::Event::TransactionFeePaid { actual_fee, .. } = fee;
            fees.push(actual_fee);
        } else if let RuntimeEvent::Balances(pallet_balances::Event::Deposit { who, amount }) = event {
            deposits.push((staker(who), amount));
        }
    }
    let ([producer], [fee]) = (&paid[..], &fees[..]) else { panic!("{paid:?}, {fees:?}") };
    assert!(*fee > 0);
    let (receiver, _) = deposits.iter().find(|(_, amount)| amount == fee).expect("somebody gets the fee");
    (*producer, *receiver)
}

#[test]
fn a_producers_reward_and_fees_are_its_operators_under_its_former_key_too() {
    let (mut chain, keys) = offered();
    let validators = |chain: &mut Chain| chain.state.execute_with(pallet_session::Pallet::<Runtime>::validators);
    while validators(&mut chain).len() < keys.len() {
        chain.make_block(&[]);
    }
    let node = ServiceNodeId(validators(&mut chain)[1].clone().into());
    let entry = chain.roster().into_iter().find(|entry| entry.id == node).expect("drawn from the roster");
    let operator = Sr25519Keyring::well_known().find(|who| who.to_raw_public() == entry.operator.0).expect("ours");
    let payer = Sr25519Keyring::well_known().find(|who| *who != operator).expect("many");
    let transfer = |chain: &mut Chain| {
        let dest = MultiAddress::Id(payer.to_account_id());
        let call = pallet_balances::Call::transfer_keep_alive { dest, value: UNIT };
        signed(payer, chain.nonce(payer), chain.genesis, call.into())
    };
    let produce = |chain: &mut Chain, transaction| {
        let claim = chain.claim_as(1, &keys[&node]);
        chain.carry_out(claim, &[transaction]);
    };

    let transaction = transfer(&mut chain);
    produce(&mut chain, transaction);
    assert_eq!(paid(&mut chain), (entry.operator, entry.operator));
    let key = ed25519::Pair::from_seed(&[200; 32]);
    let (to, message) =
        (ServiceNodeId(key.public().0), signing::registration(&chain.genesis.0, &entry.operator, entry.fee));
    let call = pallet_service_nodes::Call::hand_over { node, to, proof: key.sign(&message).0 };
    let transaction = signed(operator, chain.nonce(operator), chain.genesis, call.into());
    produce(&mut chain, transaction);
    assert!(!chain.roster().iter().any(|entry| entry.id == node), "its former key is off the roster");
    let transaction = transfer(&mut chain);
    produce(&mut chain, transaction);
    assert_eq!(paid(&mut chain), (entry.operator, entry.operator));
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
        let mut babe = sr25519::Pair::from_seed(&[seed; 32]);
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
