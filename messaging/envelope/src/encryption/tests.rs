use super::*;
use hex_literal::hex;
use proptest::prelude::*;
use rand_core::RngCore;

/// Randomness that is what a test vector used.
struct Fixed([u8; 32]);

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unreachable!("HPKE draws bytes")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("HPKE draws bytes")
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }
}

impl CryptoRng for Fixed {}

const CONTEXT: Context<'_> = Context { info: b"Ode on a Grecian Urn", aad: b"Count-0" };
const PLAINTEXT: &[u8] = b"Beauty is truth, truth beauty";

/// RFC 9180 appendix A.2.1.
#[test]
fn base_mode_vector() {
    let ephemeral = hex!("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
    let secret = hex!("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let public = hex!("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
    let ciphertext = hex!(
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    );
    let encrypted = encrypt(None, &public, CONTEXT, PLAINTEXT, &mut Fixed(ephemeral));
    assert_eq!(encrypted.as_deref(), Ok(ciphertext.as_slice()));
    assert_eq!(decrypt(None, &secret, CONTEXT, &ciphertext).as_deref(), Ok(PLAINTEXT));
    assert_eq!(ciphertext.len(), PLAINTEXT.len() + OVERHEAD);
}

/// RFC 9180 appendix A.2.3.
#[test]
fn authenticated_mode_vector() {
    let ephemeral = hex!("938d3daa5a8904540bc24f48ae90eed3f4f7f11839560597b55e7c9598c996c0");
    let secret = hex!("3ca22a6d1cda1bb9480949ec5329d3bf0b080ca4c45879c95eddb55c70b80b82");
    let public = hex!("1a478716d63cb2e16786ee93004486dc151e988b34b475043d3e0175bdb01c44");
    let sender_secret = hex!("2def0cb58ffcf83d1062dd085c8aceca7f4c0c3fd05912d847b61f3e54121f05");
    let sender_public = hex!("f0f4f9e96c54aeed3f323de8534fffd7e0577e4ce269896716bcb95643c8712b");
    let ciphertext = hex!(
        "f7674cc8cd7baa5872d1f33dbaffe3314239f6197ddf5ded1746760bfc847e0e"
        "ab1a13c9d4f01a87ec3440dbd756e2677bd2ecf9df0ce7ed73869b98e00c09be111cb9fdf077347aeb88e61bdf"
    );
    let encrypted = encrypt(Some(&sender_secret), &public, CONTEXT, PLAINTEXT, &mut Fixed(ephemeral));
    assert_eq!(encrypted.as_deref(), Ok(ciphertext.as_slice()));
    assert_eq!(decrypt(Some(&sender_public), &secret, CONTEXT, &ciphertext).as_deref(), Ok(PLAINTEXT));

    assert_eq!(decrypt(None, &secret, CONTEXT, &ciphertext), Err(NotAuthentic));
    assert_eq!(decrypt(Some(&public), &secret, CONTEXT, &ciphertext), Err(NotAuthentic));
    assert_eq!(decrypt(Some(&[0; 32]), &secret, CONTEXT, &ciphertext), Err(NotAuthentic));
}

#[test]
fn keys_of_small_order_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    for key in [[0; 32], one] {
        assert_eq!(encrypt(None, &key, CONTEXT, PLAINTEXT, &mut Fixed([7; 32])), Err(WeakKey));
    }
}

proptest! {
    #[test]
    fn strangers_bytes_are_refused(secret: [u8; 32], sender: Option<[u8; 32]>, ciphertext: Vec<u8>) {
        prop_assert_eq!(decrypt(sender.as_ref(), &secret, CONTEXT, &ciphertext), Err(NotAuthentic));
    }
}
