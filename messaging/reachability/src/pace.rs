//! How fast testing goes: every duration in one place, scaled with the network's rounds.

use rand::Rng;
use skep_primitives::TestingTerms;
use std::f64::consts::TAU;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// The durations below are those of rounds of this length (`protocol.md` section 2).
const STANDARD_ROUND: u64 = 2 * MINUTE;
/// However short the rounds, a node is not probed more often than this.
const SHORTEST_PAUSE: u64 = 200;

/// The durations of testing, in milliseconds. A network with shorter rounds does everything faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    terms: TestingTerms,
}

impl Pace {
    /// The pace of a network with these terms.
    pub const fn of(terms: &TestingTerms) -> Self {
        Self { terms: *terms }
    }

    /// Length of a round.
    pub const fn round(self) -> u64 {
        self.terms.round
    }

    const fn scaled(self, standard: u64) -> u64 {
        standard.saturating_mul(self.terms.round) / STANDARD_ROUND
    }

    /// Mean time between two probes of nodes drawn at random.
    pub fn draw_pause(self) -> u64 {
        self.scaled(10 * SECOND).max(SHORTEST_PAUSE)
    }

    /// Its standard deviation.
    pub fn draw_deviation(self) -> u64 {
        self.scaled(3 * SECOND)
    }

    /// Time until a node that failed `times` times in a row is probed again.
    pub fn retry_pause(self, times: u32) -> u64 {
        let step = self.scaled(10 * SECOND).max(SHORTEST_PAUSE);
        step.saturating_mul(times.max(1).into()).min(self.scaled(2 * MINUTE).max(step))
    }

    /// A node that fails for longer than this has failed the test.
    pub const fn unreachable(self) -> u64 {
        self.terms.unreachable
    }

    /// A tester votes against nobody until it has looked on for this long.
    pub const fn fresh(self) -> u64 {
        self.terms.tester_wait
    }

    /// A node that nobody has probed for this long is probably not reachable.
    pub fn unheard(self) -> u64 {
        self.scaled(2 * MINUTE).max(10 * SHORTEST_PAUSE)
    }

    /// Members are equal in what is older than this, and audit nothing that ends sooner.
    pub const fn settled(self) -> u64 {
        self.terms.round.saturating_mul(5)
    }

    /// Time a tester leaves the one before it for submitting a verdict: until it would see its effect finalized.
    pub fn submission_pause(self) -> u64 {
        self.scaled(30 * SECOND).max(6 * SECOND)
    }

    /// Time until votes are offered again to a tester that did not take them.
    pub fn exchange_pause(self) -> u64 {
        self.scaled(20 * SECOND).max(SECOND)
    }

    /// A time until the next draw: normally distributed, at least a tenth of its mean.
    pub(crate) fn next_draw(self, rng: &mut impl Rng) -> u64 {
        let mean = self.draw_pause() as f64;
        // Box-Muller; the first number must not be zero.
        let (radius, angle) = (1.0 - rng.random::<f64>(), TAU * rng.random::<f64>());
        let normal = (-2.0 * radius.ln()).sqrt() * angle.cos();
        (mean + normal * self.draw_deviation() as f64).max(mean / 10.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn the_main_networks_durations_are_the_protocols() {
        let pace = Pace::of(&TestingTerms::default());
        assert_eq!((pace.draw_pause(), pace.draw_deviation()), (10 * SECOND, 3 * SECOND));
        assert_eq!(
            [1, 2, 3, 12, 13, u32::MAX].map(|times| pace.retry_pause(times) / SECOND),
            [10, 20, 30, 120, 120, 120]
        );
        assert_eq!((pace.unreachable(), pace.fresh(), pace.unheard()), (65 * MINUTE, 125 * MINUTE, 2 * MINUTE));
    }

    #[test]
    fn short_rounds_shorten_everything_within_reason() {
        let of_rounds = |round| Pace::of(&TestingTerms { round, ..TestingTerms::default() });
        let pace = of_rounds(4 * SECOND);
        assert_eq!((pace.draw_pause(), pace.unheard()), (333, 4 * SECOND));
        assert_eq!((pace.retry_pause(1), pace.retry_pause(100)), (333, 4 * SECOND));
        let least = of_rounds(0);
        assert_eq!((least.draw_pause(), least.retry_pause(100)), (SHORTEST_PAUSE, SHORTEST_PAUSE));
    }

    #[test]
    fn draws_are_spread_as_they_should_be() {
        let (pace, mut rng) = (Pace::of(&TestingTerms::default()), ChaCha20Rng::seed_from_u64(1));
        let pauses: Vec<_> = (0..4_000).map(|_| pace.next_draw(&mut rng) as f64).collect();
        let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
        let variance = pauses.iter().map(|pause| (pause - mean).powi(2)).sum::<f64>() / pauses.len() as f64;
        assert!((9_700.0..10_300.0).contains(&mean), "{mean}");
        assert!((2_700.0..3_300.0).contains(&variance.sqrt()), "{}", variance.sqrt());
        assert!(pauses.iter().all(|pause| *pause >= 1_000.0));
    }
}
