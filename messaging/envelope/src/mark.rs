//! Marks that a program leaves in its own mailbox to notice a state that was put back.

use crate::{
    Identity, SealError,
    encryption::{self, Context},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const LABEL: &[u8] = b"skep state mark v1";

/// How far the state of one installation has come. Its owner alone can make and read one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMark {
    /// Names the installation: random.
    pub instance: [u8; 16],
    /// Raised before anything is sent.
    pub count: u64,
}

impl StateMark {
    /// Encrypts the mark to the account itself, on the network with this genesis hash.
    pub fn seal(self, own: &Identity, genesis: &[u8; 32], rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        let plaintext = [self.instance.as_slice(), &self.count.to_le_bytes()].concat();
        let info = info(own, genesis);
        let context = Context { info: &info, aad: &[] };
        encryption::encrypt(Some(own.agreement_key()), &own.account().key(), context, &plaintext, rng)
            .map_err(|_| SealError::WeakKey(own.account()))
    }

    /// Reads a mark. `None`: it is none of this account's on this network.
    pub fn open(own: &Identity, genesis: &[u8; 32], sealed: &[u8]) -> Option<Self> {
        let info = info(own, genesis);
        let context = Context { info: &info, aad: &[] };
        let opened = encryption::decrypt(Some(&own.account().key()), own.agreement_key(), context, sealed).ok()?;
        let opened = Zeroizing::new(opened);
        let (instance, count) = opened.split_first_chunk()?;
        Some(Self { instance: *instance, count: u64::from_le_bytes(count.try_into().ok()?) })
    }
}

fn info(own: &Identity, genesis: &[u8; 32]) -> Vec<u8> {
    [LABEL, genesis, own.account().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn only_its_owner_makes_and_reads_a_mark() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (own, other) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
        let mark = StateMark { instance: [7; 16], count: 9 };
        let sealed = mark.seal(&own, &[1; 32], &mut rng).unwrap();
        assert_eq!(StateMark::open(&own, &[1; 32], &sealed), Some(mark));
        assert_eq!(StateMark::open(&own, &[2; 32], &sealed), None);
        assert_eq!(StateMark::open(&other, &[1; 32], &sealed), None);
        // Somebody else's seal to this account is not the owner's.
        let info = info(&own, &[1; 32]);
        let context = Context { info: &info, aad: &[] };
        let forged =
            encryption::encrypt(Some(other.agreement_key()), &own.account().key(), context, &[0; 24], &mut rng);
        assert_eq!(StateMark::open(&own, &[1; 32], &forged.unwrap()), None);
        for length in 0..sealed.len() {
            assert_eq!(StateMark::open(&own, &[1; 32], &sealed[..length]), None);
        }
    }
}
