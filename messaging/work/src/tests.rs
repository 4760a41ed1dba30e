use super::*;
use hex_literal::hex;
use proptest::prelude::*;

fn challenge(effort: u32) -> Challenge {
    Challenge {
        account: AccountAddress::from_x25519([1; 32]),
        namespace: Namespace(0),
        hash: MessageHash::from([2; 32]),
        timestamp: 1_790_000_000_000,
        ttl: 1_209_600_000,
        effort,
        block_hash: [3; 32],
    }
}

fn solved(challenge: &Challenge) -> Proof {
    solve(challenge, [0; 16], || true).unwrap()
}

/// Pins the wire format: a change here splits the network.
#[test]
fn pinned_vector() {
    let proof =
        Proof { nonce: hex!("00000000000000000000000000000000"), solution: hex!("895b025d377ed5ab607483918bed7ffb") };
    assert_eq!(solved(&challenge(20)), proof);
    assert_eq!(verify(&challenge(20), &proof), Ok(()));
}

#[test]
fn work_is_for_one_deposit_only() {
    let challenge = challenge(4);
    let proof = solved(&challenge);
    assert_eq!(verify(&challenge, &proof), Ok(()));
    let others = [
        Challenge { account: AccountAddress::from_x25519([9; 32]), ..challenge },
        Challenge { namespace: Namespace(10), ..challenge },
        Challenge { hash: MessageHash::from([9; 32]), ..challenge },
        Challenge { timestamp: challenge.timestamp + 1, ..challenge },
        Challenge { ttl: challenge.ttl + 1, ..challenge },
        Challenge { effort: challenge.effort - 1, ..challenge },
        Challenge { effort: challenge.effort + 1, ..challenge },
        Challenge { block_hash: [9; 32], ..challenge },
    ];
    for other in others {
        assert!(verify(&other, &proof).is_err(), "{other:?}");
    }
    for bit in 0..128 {
        let mut wrong = proof;
        wrong.nonce[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&challenge, &wrong).is_err());
        let mut wrong = proof;
        wrong.solution[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&challenge, &wrong).is_err());
    }
}

#[test]
fn an_unproven_effort_is_told_from_a_foreign_solution() {
    let cheap = challenge(0);
    let proof = solved(&cheap);
    assert_eq!(verify(&cheap, &proof), Ok(()));
    assert_eq!(verify(&challenge(u32::MAX), &proof), Err(WorkError::Effort));
    assert_eq!(verify(&Challenge { ttl: 0, ..cheap }, &proof), Err(WorkError::Unsolved));
    let mut disordered = proof;
    disordered.solution.rotate_left(8);
    assert_eq!(verify(&cheap, &disordered), Err(WorkError::NotASolution));
}

#[test]
fn solving_stops_when_told() {
    let mut asked = 0;
    let go_on = || {
        asked += 1;
        asked <= 3
    };
    assert_eq!(solve(&challenge(u32::MAX), [0xff; 16], go_on), None);
    assert_eq!(asked, 4);
}

#[test]
fn one_solution_in_effort_passes() {
    for effort in [1, 2, 10, 100] {
        let passing = (0..20_000_u128).filter(|n| shows_effort(&[7; 32], &n.to_be_bytes(), effort)).count() as f64;
        let expected = 20_000.0 / f64::from(effort);
        // Five standard deviations of a binomial; the inputs are fixed, so this either always holds or never.
        let deviation = (expected * (1.0 - 1.0 / f64::from(effort))).sqrt();
        assert!((passing - expected).abs() <= 5.0 * deviation, "{effort}: {passing} of {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn solved_work_verifies_after_the_wire(
        key: [u8; 32], namespace: i16, hash: [u8; 32], timestamp: u64, ttl: u64, effort in 0_u32..6, block_hash: [u8; 32],
        start: [u8; 16],
    ) {
        let account = AccountAddress::from_x25519(key);
        let (namespace, hash) = (Namespace(namespace), MessageHash::from(hash));
        let challenge = Challenge { account, namespace, hash, timestamp, ttl, effort, block_hash };
        let proof = solve(&challenge, start, || true).unwrap();
        let read = Challenge::from_wire(account, namespace, hash, &challenge.to_wire(&proof));
        prop_assert_eq!(read, Ok((challenge, proof)));
        prop_assert_eq!(verify(&challenge, &proof), Ok(()));
    }
}

proptest! {
    #[test]
    fn strangers_bytes_are_refused(solution: Vec<u8>, nonce: Vec<u8>, effort: u32, block_hash: Vec<u8>) {
        let Challenge { account, namespace, hash, timestamp, ttl, .. } = challenge(0);
        let lengths = (solution.len(), nonce.len(), block_hash.len());
        let work = peer::Work {
            solution: solution.into(), nonce: nonce.into(), effort, timestamp, ttl, block_hash: block_hash.into(),
        };
        match Challenge::from_wire(account, namespace, hash, &work) {
            Ok((challenge, proof)) => {
                prop_assert_eq!(lengths, (16, 16, 32));
                prop_assert!(verify(&challenge, &proof).is_err());
            }
            Err(error) => prop_assert!(matches!(error, WorkError::Malformed(..))),
        }
    }

    #[test]
    fn random_proofs_are_refused(nonce: [u8; 16], solution: [u8; 16], effort: u32) {
        let proof = Proof { nonce, solution };
        prop_assert!(verify(&challenge(effort), &proof).is_err());
    }
}
