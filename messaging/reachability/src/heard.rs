//! Whether anybody probes this node. If nobody does, it is probably not reachable, and its operator should know first.

use crate::Pace;

/// When this node was last probed. Times are milliseconds of a clock that does not jump.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    last: u64,
    is_silent: bool,
}

/// What the operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Nobody has probed this node for that long (ms).
    Silence(u64),
    /// Somebody does again, after that long (ms).
    Again(u64),
}

impl Heard {
    /// Begins to listen at `now`.
    pub const fn new(now: u64) -> Self {
        Self { last: now, is_silent: false }
    }

    /// Takes that somebody probed this node. Tells if that ends a silence.
    pub fn handle_probe(&mut self, now: u64) -> Option<Hearing> {
        let silence = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        std::mem::take(&mut self.is_silent).then_some(Hearing::Again(silence))
    }

    /// Takes that nobody is there, or wants, to probe this node.
    pub fn handle_solitude(&mut self, now: u64) {
        *self = Self::new(now);
    }

    /// Tells once if nobody has probed this node for too long.
    pub fn handle_timeout(&mut self, now: u64, pace: Pace) -> Option<Hearing> {
        let silence = now.saturating_sub(self.last);
        if self.is_silent || silence <= pace.unheard() {
            return None;
        }
        self.is_silent = true;
        Some(Hearing::Silence(silence))
    }

    /// How long nobody has probed this node (ms).
    pub const fn silence(&self, now: u64) -> u64 {
        now.saturating_sub(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::TestingTerms;

    fn pace() -> Pace {
        Pace::of(&TestingTerms::default())
    }

    #[test]
    fn silence_is_told_once_and_so_is_its_end() {
        let mut heard = Heard::new(0);
        assert_eq!(heard.handle_timeout(120_000, pace()), None);
        assert_eq!(heard.handle_timeout(120_001, pace()), Some(Hearing::Silence(120_001)));
        assert_eq!(heard.handle_timeout(500_000, pace()), None);
        assert_eq!(heard.handle_probe(600_000), Some(Hearing::Again(600_000)));
        assert_eq!(heard.handle_probe(610_000), None);
        assert_eq!(heard.silence(611_000), 1_000);
        assert_eq!(heard.handle_timeout(730_001, pace()), Some(Hearing::Silence(120_001)));
    }

    #[test]
    fn who_is_alone_hears_nobody_and_need_not_worry() {
        let mut heard = Heard::new(0);
        heard.handle_solitude(1_000_000);
        assert_eq!(heard.handle_timeout(1_000_100, pace()), None);
    }
}
