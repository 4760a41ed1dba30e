//! Random choices every machine makes alike.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use skep_primitives::BlockNumber;

/// The stream of choices of one change: ChaCha20 keyed by the seed, its nonce the block number.
pub(crate) struct Draw(ChaCha20Rng);

impl Draw {
    pub(crate) fn new(seed: [u8; 32], domain: BlockNumber) -> Self {
        let mut generator = ChaCha20Rng::from_seed(seed);
        generator.set_stream(domain.into());
        Self(generator)
    }

    /// A uniform number under `bound`; `None` if there is none. Own code rather than a library's sampler, whose results
    /// may change between releases: this one is consensus.
    pub(crate) fn below(&mut self, bound: u64) -> Option<u64> {
        // 2^64 modulo the bound: so many of the lowest values are one too many for an even spread.
        let surplus = bound.wrapping_neg().checked_rem(bound)?;
        loop {
            let value = self.0.next_u64();
            if value >= surplus {
                return Some(value % bound);
            }
        }
    }
}
