//! What a probe finds.

use skep_primitives::{Reason, Reasons};

/// Most that a clock may be off, in milliseconds (`protocol.md` section 2).
pub const CLOCK_TOLERANCE: u64 = 30_000;

/// What one probe of one node found: the reasons for which it fails, and those for which it certainly does not. Of the rest
/// nothing could be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    failed: Reasons,
    passed: Reasons,
}

impl Outcome {
    /// What every probe looks at. Other reasons are looked at now and then.
    pub const ALWAYS: Reasons = Reasons::NONE
        .with(Reason::HttpsUnreachable)
        .with(Reason::QuicUnreachable)
        .with(Reason::OnionRelay)
        .with(Reason::Clock)
        .with(Reason::Version);

    /// Passed in these, failed in those.
    pub fn new(passed: Reasons, failed: Reasons) -> Self {
        Self { passed: passed.without(failed), failed }
    }

    /// The same, with what was found of one more.
    #[must_use]
    pub fn with(self, reason: Reason, passed: bool) -> Self {
        let Self { failed, passed: others } = self.without(Reasons::NONE.with(reason));
        if passed {
            Self { failed, passed: others.with(reason) }
        } else {
            Self { failed: failed.with(reason), passed: others }
        }
    }

    /// The same, with nothing told of these.
    #[must_use]
    pub fn without(self, reasons: Reasons) -> Self {
        Self { failed: self.failed.without(reasons), passed: self.passed.without(reasons) }
    }

    /// What failed.
    pub const fn failed(&self) -> Reasons {
        self.failed
    }

    /// What passed.
    pub const fn passed(&self) -> Reasons {
        self.passed
    }

    /// Whether everything that every probe looks at is as it should be, and nothing else is wrong.
    pub fn is_pass(&self) -> bool {
        self.failed.is_empty() && self.passed.intersection(Self::ALWAYS) == Self::ALWAYS
    }
}

/// What a node answered to a ping, and when (ms, the asker's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// When it was asked.
    pub asked: u64,
    /// When the answer was there.
    pub answered: u64,
    /// What its clock said.
    pub timestamp: u64,
    /// What it runs, if it says three numbers.
    pub version: Option<[u16; 3]>,
}

impl Echo {
    /// How far its clock is at least from the asker's, in milliseconds: positive if it is ahead. It was read at some moment
    /// between question and answer.
    pub fn clock_offset(&self) -> i64 {
        let (asked, theirs) = (i128::from(self.asked), i128::from(self.timestamp));
        let answered = i128::from(self.answered.max(self.asked));
        let offset = (theirs - answered).max(0) + (theirs - asked).min(0);
        i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether its clock is near enough to the asker's.
    pub fn has_right_clock(&self) -> bool {
        self.clock_offset().unsigned_abs() <= CLOCK_TOLERANCE
    }
}

/// What the probes of one node brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whether it answered anything over QUIC.
    pub quic: bool,
    /// Its answer to a ping, if it gave one.
    pub echo: Option<Echo>,
    /// Whether it answered over HTTPS as itself.
    pub https: bool,
    /// Whether it relayed an onion request; none if there was nobody to send one to.
    pub onion: Option<bool>,
}

impl Sighting {
    /// What that says, where versions before `oldest` are no longer spoken with.
    pub fn judge(&self, oldest: [u16; 3]) -> Outcome {
        let outcome =
            Outcome::default().with(Reason::QuicUnreachable, self.quic).with(Reason::HttpsUnreachable, self.https);
        let outcome = self.onion.map_or(outcome, |onion| outcome.with(Reason::OnionRelay, onion));
        match self.echo {
            // Of clock and version nothing is known.
            None => outcome,
            Some(echo) => outcome
                .with(Reason::Clock, echo.has_right_clock())
                .with(Reason::Version, echo.version.is_some_and(|version| version >= oldest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ECHO: Echo = Echo { asked: 100_000, answered: 101_000, timestamp: 100_500, version: Some([0, 1, 0]) };

    fn judged(echo: Echo) -> Outcome {
        Sighting { quic: true, echo: Some(echo), https: true, onion: Some(true) }.judge([0, 1, 0])
    }

    fn only(reason: Reason) -> Reasons {
        Reasons::NONE.with(reason)
    }

    #[test]
    fn a_good_answer_passes_everywhere() {
        assert!(judged(ECHO).is_pass());
        assert!(!judged(ECHO).with(Reason::StorageAudit, false).is_pass());
        assert!(!judged(ECHO).without(only(Reason::Clock)).is_pass(), "what was not seen has not passed");
    }

    #[test]
    fn clocks_are_judged_by_what_is_certain() {
        for (timestamp, offset) in [(130_999, 29_999), (131_000, 30_000), (70_000, -30_000), (100_000, 0), (101_000, 0)]
        {
            let echo = Echo { timestamp, ..ECHO };
            assert_eq!(echo.clock_offset(), offset);
            assert!(judged(echo).is_pass(), "{timestamp}");
        }
        for timestamp in [131_001, 69_999, 0, u64::MAX] {
            assert_eq!(judged(Echo { timestamp, ..ECHO }).failed(), only(Reason::Clock));
        }
    }

    #[test]
    fn old_and_nameless_versions_fail() {
        for version in [None, Some([0, 0, 9])] {
            assert_eq!(judged(Echo { version, ..ECHO }).failed(), only(Reason::Version));
        }
        assert!(judged(Echo { version: Some([1, 0, 0]), ..ECHO }).is_pass());
    }

    #[test]
    fn of_a_silent_node_clock_and_version_are_unknown() {
        let outcome = Sighting { quic: false, echo: None, https: false, onion: Some(false) }.judge([0, 1, 0]);
        let silent = only(Reason::QuicUnreachable).with(Reason::HttpsUnreachable).with(Reason::OnionRelay);
        assert_eq!((outcome.failed(), outcome.passed()), (silent, Reasons::NONE));
    }

    proptest! {
        #[test]
        fn no_answer_panics(asked: u64, answered: u64, timestamp: u64) {
            let echo = Echo { asked, answered, timestamp, version: None };
            let _ = (echo.clock_offset(), echo.has_right_clock());
        }

        #[test]
        fn nothing_both_passes_and_fails(passed in 0_u16..128, failed in 0_u16..128, reason in 0_usize..7, pass: bool) {
            let set = |bits| Reasons::from_bits(bits).expect("known");
            let outcome = Outcome::new(set(passed), set(failed)).with(Reason::ALL[reason], pass);
            prop_assert_eq!(outcome.passed().intersection(outcome.failed()), Reasons::NONE);
            prop_assert_eq!(outcome.passed().contains(Reason::ALL[reason]), pass);
        }
    }
}
