//! Random choices every machine makes alike.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

/// A stream of choices: ChaCha20 keyed by a seed.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha20Rng);

impl Draw {
    /// The stream of a seed in one domain (its nonce), say a block number: streams of other domains share nothing with it.
    pub fn new(seed: [u8; 32], domain: u64) -> Self {
        let mut generator = ChaCha20Rng::from_seed(seed);
        generator.set_stream(domain);
        Self(generator)
    }

    /// A uniform number under `bound`; `None` if there is none. Own code rather than a library's sampler, whose results
    /// may change between releases: this one is consensus.
    pub fn below(&mut self, bound: u64) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::{Draw, RngCore};
    use proptest::prelude::*;

    #[test]
    fn the_stream_is_chacha20() {
        // RFC 8439 section 2.3.2 has a nonce of another form; with key, counter and nonce of zeros both forms agree:
        // appendix A.1, test vector 1, read as little-endian words.
        let mut draw = Draw::new([0; 32], 0);
        assert_eq!(draw.0.next_u64(), u64::from_le_bytes([0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]));
        assert_eq!(draw.0.next_u64(), u64::from_le_bytes([0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28]));
    }

    #[test]
    fn choices_depend_on_seed_and_domain() {
        let first = |seed, domain| Draw::new([seed; 32], domain).0.next_u64();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }

    #[test]
    fn choices_are_even() {
        let mut draw = Draw::new([3; 32], 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[draw.below(7).expect("bound above 0") as usize] += 1;
        }
        // Five standard deviations of a binomial of 70 000 and 1/7.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 463), "{counts:?}");
    }

    #[test]
    fn the_uneven_rest_is_drawn_again() {
        // With a bound of 2^63 + 1 almost half of all values would be favoured: they must be refused.
        let bound: u64 = (1 << 63) + 1;
        let mut raw = Draw::new([5; 32], 9);
        let mut draw = Draw::new([5; 32], 9);
        let mut refused = 0;
        for _ in 0..100 {
            let expected = loop {
                let value = raw.0.next_u64();
                if value >= bound.wrapping_neg() {
                    break value % bound;
                }
                refused += 1;
            };
            assert_eq!(draw.below(bound), Some(expected));
        }
        assert!(refused > 50);
    }

    proptest! {
        #[test]
        fn a_choice_is_under_its_bound(seed: [u8; 32], bound: u64) {
            let choice = Draw::new(seed, 0).below(bound);
            prop_assert_eq!(choice.is_none(), bound == 0);
            prop_assert!(choice.is_none_or(|choice| choice < bound));
        }
    }
}
