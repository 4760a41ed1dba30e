use super::*;
use ed25519_dalek::{Signature, VerifyingKey};
use hex_literal::hex;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn of_seed(seed: [u8; 16]) -> Identity {
    Identity::from_seed(Zeroizing::new(seed))
}

/// Session's own vectors: the keys libsession's tests expect of a seed (`test_session_encrypt.cpp`), and those of
/// session-desktop (`SnodeSignatures_test.ts`).
#[test]
fn a_seed_makes_the_account_it_makes_in_session() {
    let identity = of_seed(hex!("0123456789abcdef0123456789abcdef"));
    assert_eq!(identity.ed25519_key(), hex!("4cb76fdc6d32278e3f83dbf608360ecc6b65727934b85d2fb86862ff98c46ab7"));
    let account = "05d2ad010eeb72d72e561d9de7bd7b6989af77dcabffa03a5111a6c859ae5c3a72";
    assert_eq!(identity.account().to_string(), account);

    let identity = of_seed(hex!("b0e12943e22e8f71774c2c4205fed598"));
    assert_eq!(identity.ed25519_key(), hex!("bdd5eaf00eaf965ca63b7e8b119d8122d4647ffd5bb58daa1f78dfc54dd53989"));
}

#[test]
fn different_randomness_makes_different_accounts() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (one, other) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
    assert_ne!(one.account(), other.account());
}

#[test]
fn secrets_are_not_shown() {
    let identity = of_seed([0xab; 16]);
    let shown = format!("{identity:?}");
    assert!(shown.contains(&identity.account().to_string()));
    let secrets: [&[u8]; 2] = [identity.seed.as_slice(), identity.agreement_key()];
    for secret in secrets {
        assert!(!shown.contains(&hex::encode(secret)) && !shown.contains(&format!("{secret:?}")));
    }
}

proptest! {
    #[test]
    fn a_phrase_restores_the_account(seed: [u8; 16]) {
        let identity = of_seed(seed);
        let restored = Identity::from_phrase(&identity.phrase()).unwrap();
        prop_assert_eq!(restored.account(), identity.account());
        prop_assert_eq!(restored.phrase(), identity.phrase());
    }

    #[test]
    fn requests_are_signed_by_the_key_that_converts_to_the_account(seed: [u8; 16], request: Vec<u8>) {
        let identity = of_seed(seed);
        let key = VerifyingKey::from_bytes(&identity.ed25519_key()).unwrap();
        prop_assert_eq!(key.to_montgomery().to_bytes(), identity.account().key());
        let signature = Signature::from_bytes(&identity.sign_request(&request));
        prop_assert!(key.verify_strict(&request, &signature).is_ok());
    }
}
