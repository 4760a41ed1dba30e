//! The calls that clients sign are the runtime's, byte for byte, and descriptions that differ are refused.

use codec::{DecodeAll, Encode};
use skep_chain_client::{Call, Registration, SessionKeys, SubmitError, describes_calls};
use skep_primitives::{
    Announcement, CodeHash, Endpoint, Motion, Permyriad, Reasons, Reservation, ServiceNodeId, SoftwareVersion,
    StakerId, Subject, Verdict, Vote,
};
use skep_runtime::{Runtime, RuntimeCall, VERSION};
use sp_state_machine::BasicExternalities;

const NODE: ServiceNodeId = ServiceNodeId([1; 32]);
const OTHER: ServiceNodeId = ServiceNodeId([2; 32]);
const ENDPOINT: Endpoint = Endpoint { ipv4: [192, 0, 2, 7], https_port: 22_021, quic_port: 22_020 };
const RUNS: SoftwareVersion = SoftwareVersion([0, 1, 300]);
const PROOF: [u8; 64] = [3; 64];

/// Every call as clients make it, and as the runtime has it.
fn calls() -> Vec<(Call, RuntimeCall)> {
    use pallet_governance::Call as Govern;
    use pallet_service_nodes::Call as Stakes;
    let stakes = RuntimeCall::ServiceNodes;
    let govern = RuntimeCall::Governance;
    let fee = Permyriad::new(1_050).expect("a share");
    let reserved = vec![Reservation { staker: StakerId([9; 32]), amount: 1 << 70 }];
    let registration = Registration {
        node: NODE,
        proof: PROOF,
        fee,
        endpoint: ENDPOINT,
        version: RUNS,
        stake: 1 << 40,
        reserved: reserved.clone(),
    };
    let register = Stakes::register {
        node: NODE,
        proof: PROOF,
        fee,
        endpoint: ENDPOINT,
        version: RUNS,
        stake: 1 << 40,
        reserved: reserved.try_into().expect("few"),
    };
    let keys = SessionKeys { babe: [4; 32], grandpa: [5; 32] };
    let set_session_keys = Stakes::set_session_keys {
        node: NODE,
        keys: skep_runtime::SessionKeys::decode_all(&mut &keys.encoded()[..]).expect("two keys"),
        session_proof: vec![6; 100].try_into().expect("short"),
        node_proof: PROOF,
    };
    let announcement = Announcement { node: NODE, endpoint: ENDPOINT, version: RUNS, after: 77 };
    let votes = vec![Vote { seat: 3, reasons: Reasons::NONE, signature: PROOF }];
    let verdict = Verdict { subject: Subject { round: 8, block: [7; 32], node: NODE }, votes: votes.clone() };
    let submit_verdict =
        pallet_obligations::Call::submit_verdict { subject: verdict.subject, votes: votes.try_into().expect("one") };
    let motions = [
        Motion::Upgrade { code_hash: CodeHash([1; 32]) },
        Motion::Spend { beneficiary: StakerId([2; 32]), amount: 1 << 90 },
        Motion::WorkFloor { effort: 50 },
    ];
    let mut calls = vec![
        (Call::register(&registration), stakes(register)),
        (Call::contribute(NODE, 1 << 65), stakes(Stakes::contribute { node: NODE, amount: 1 << 65 })),
        (Call::request_unlock(NODE), stakes(Stakes::request_unlock { node: NODE })),
        (Call::withdraw(NODE), stakes(Stakes::withdraw { node: NODE })),
        (
            Call::update_endpoint(NODE, &ENDPOINT, RUNS),
            stakes(Stakes::update_endpoint { node: NODE, endpoint: ENDPOINT, version: RUNS }),
        ),
        (Call::set_session_keys(NODE, keys, &[6; 100], &PROOF), stakes(set_session_keys)),
        (Call::retract_session_keys(NODE), stakes(Stakes::retract_session_keys { node: NODE })),
        (Call::hand_over(NODE, OTHER, &PROOF), stakes(Stakes::hand_over { node: NODE, to: OTHER, proof: PROOF })),
        (Call::announce(&announcement, &PROOF), stakes(Stakes::announce { announcement, signature: PROOF })),
        (Call::enact(7), govern(Govern::enact { proposal: 7 })),
        (Call::close(7), govern(Govern::close { proposal: 7 })),
        (
            Call::apply_upgrade(&[8; 70_000]),
            RuntimeCall::System(frame_system::Call::apply_authorized_upgrade { code: vec![8; 70_000] }),
        ),
        (Call::submit_verdict(&verdict), RuntimeCall::Obligations(submit_verdict)),
    ];
    for motion in motions {
        calls.push((Call::approve(7, &motion), govern(Govern::approve { proposal: 7, motion })));
        calls.push((Call::withdraw_approval(7, &motion), govern(Govern::withdraw_approval { proposal: 7, motion })));
        calls.push((Call::propose(&motion), govern(Govern::propose { motion })));
    }
    calls
}

#[test]
fn what_is_signed_is_what_the_runtime_reads() {
    for (call, runtimes) in calls() {
        assert_eq!(call.bytes(), runtimes.encode(), "{call:?}");
    }
}

#[test]
fn the_runtime_describes_its_calls_as_clients_know_them_and_others_are_refused() {
    let calls: Vec<_> = calls().into_iter().map(|(call, _)| call).collect();
    let transactions = VERSION.transaction_version;
    let versions: Vec<u32> = Runtime::metadata_versions().into_iter().filter(|version| *version < u32::MAX).collect();
    assert!(versions.contains(&14), "what clients of every age read");
    for version in versions {
        // Constants are read from an empty state.
        let described = BasicExternalities::default().execute_with(|| Runtime::metadata_at_version(version));
        let metadata = described.expect("it has that version");
        describes_calls(&metadata, transactions, &calls).expect("as this version knows them");
        let refused = describes_calls(&metadata, transactions + 1, &calls);
        assert!(
            matches!(&refused, Err(SubmitError::Prepare(reason)) if reason.contains("call register ")),
            "{refused:?}"
        );
        // Names are exchanged, as a chain node does it that wants another call signed.
        for (one, other) in [("request_unlock", "unlock_request"), ("CheckNonce", "CheckEcnon")] {
            let swapped = replaced(&metadata, one, other);
            let refused = describes_calls(&swapped, transactions, &calls);
            assert!(
                matches!(&refused, Err(SubmitError::Prepare(reason)) if reason.contains("otherwise")),
                "{one}: {refused:?}"
            );
        }
    }
}

/// The bytes with one text in place of another of the same length.
fn replaced(bytes: &[u8], text: &str, by: &str) -> Vec<u8> {
    assert_eq!(text.len(), by.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> =
        (0..bytes.len() - text.len()).filter(|&place| bytes[place..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty(), "{text} is in it");
    for place in places {
        bytes[place..place + text.len()].copy_from_slice(by.as_bytes());
    }
    bytes
}
