//! Consensus-based testing: what testers vote on, what becomes of a verdict, and how a node stands
//! (`protocol.md` section 2). The rules are in `chain/obligations`.

use crate::{BlockHash, BlockNumber, Moment, NodeState, ServiceNodeId, StakerId, roster::hash_hex};
use alloc::{borrow::Cow, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, Input, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most testers of a round.
pub const MAX_TESTERS: u32 = 10;

const MINUTE: Moment = 60_000;
const HOUR: Moment = 60 * MINUTE;

/// Why a node fails a test. The number is the reason's bit and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Reason {
    /// Its client API (HTTPS) was not reached, or not under its own key.
    HttpsUnreachable = 0,
    /// It was not reached by QUIC, or not under its own key.
    QuicUnreachable = 1,
    /// It did not pass an onion request on.
    OnionRelay = 2,
    /// It could not show a message its swarm keeps.
    StorageAudit = 3,
    /// Its clock is off.
    Clock = 4,
    /// Its software is older than the network allows.
    Version = 5,
    /// It did not vote when it was a tester.
    MissedVotes = 6,
}

impl Reason {
    /// Every reason, in the order of its bit.
    pub const ALL: [Self; 7] = [
        Self::HttpsUnreachable,
        Self::QuicUnreachable,
        Self::OnionRelay,
        Self::StorageAudit,
        Self::Clock,
        Self::Version,
        Self::MissedVotes,
    ];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpsUnreachable => "https_unreachable",
            Self::QuicUnreachable => "quic_unreachable",
            Self::OnionRelay => "onion_relay",
            Self::StorageAudit => "storage_audit",
            Self::Clock => "clock",
            Self::Version => "version",
            Self::MissedVotes => "missed_votes",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// For people.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HttpsUnreachable => "not reached over HTTPS",
            Self::QuicUnreachable => "not reached over QUIC",
            Self::OnionRelay => "did not pass an onion request on",
            Self::StorageAudit => "could not show a stored message",
            Self::Clock => "clock is off",
            Self::Version => "software is too old",
            Self::MissedVotes => "did not vote when it was a tester",
        })
    }
}

/// A set of [`Reason`]s; in JSON a list of their names. Decoding refuses reasons nobody knows.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Encode, MaxEncodedLen, TypeInfo)]
pub struct Reasons(u16);

impl Reasons {
    /// No reason: the test was passed.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(self, reason: Reason) -> Self {
        Self(self.0 | reason.bit())
    }

    /// Those in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each of them, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    /// The bit set; the form protocols of other encodings carry.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// A set from its bits; `None` if one of them means nothing.
    pub fn from_bits(bits: u16) -> Option<Self> {
        let known = Reason::ALL.into_iter().fold(0, |known, reason| known | reason.bit());
        (bits & !known == 0).then_some(Self(bits))
    }
}

impl FromIterator<Reason> for Reasons {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        reasons.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Decode for Reasons {
    fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
        Self::from_bits(u16::decode(input)?).ok_or_else(|| "a bit of these reasons has no meaning".into())
    }
}

impl DecodeWithMemTracking for Reasons {}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// For people: the reasons, separated by commas.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(index, reason)| {
            if index > 0 {
                f.write_str(", ")?;
            }
            reason.fmt(f)
        })
    }
}

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Reason::name))
    }
}

impl<'de> Deserialize<'de> for Reasons {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Cow<'_, str>>::deserialize(deserializer)?;
        let reason = |name: Cow<'_, str>| {
            let known = Reason::ALL.into_iter().find(|reason| reason.name() == name);
            known.ok_or_else(|| de::Error::custom("a reason no version of this list knows"))
        };
        names.into_iter().map(reason).collect()
    }
}

/// Why a node failed, as two sets.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Findings {
    /// What all who voted saw.
    pub all: Reasons,
    /// What any of them saw.
    pub any: Reasons,
}

/// What a vote and a verdict are about: one node in one testing round of one chain.
///
/// The block makes it name one history: after a reorganisation the round has another quorum, and a vote of the former
/// one counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Subject {
    /// The round.
    pub round: u32,
    /// Hash of the block before the round's first: its state and randomness drew the quorum.
    pub block: BlockHash,
    /// The node that was tested.
    pub node: ServiceNodeId,
}

/// One tester's vote on a [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Vote {
    /// Place of the tester in [`TestingRound::testers`].
    pub seat: u8,
    /// Why the node fails; none if it passes.
    pub reasons: Reasons,
    /// The tester's signature over [`crate::signing::vote`].
    pub signature: [u8; 64],
}

/// What enough testers of a round agree on: votes in the order of their seats, all passing or all failing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Verdict {
    /// What it is about.
    pub subject: Subject,
    /// The votes.
    pub votes: Vec<Vote>,
}

/// A testing round: who tests whom.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct TestingRound {
    /// Its number.
    pub round: u32,
    /// [`Subject::block`] of its votes.
    #[serde(with = "hash_hex")]
    pub block: BlockHash,
    /// Its first block.
    pub begins_at: BlockNumber,
    /// The last block at which a verdict of it counts.
    pub ends_at: BlockNumber,
    /// The quorum. Empty where the network is too small to test itself.
    pub testers: Vec<ServiceNodeId>,
    /// Who is tested.
    pub targets: Vec<ServiceNodeId>,
}

/// The durations of testing, all in wall-clock milliseconds. The default is the main network's (`protocol.md` section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestingTerms {
    /// From the start of one testing round to the next.
    pub round: Moment,
    /// Rounds for which a vote counts, its own included.
    pub vote_rounds: u32,
    /// From the moment a node begins to serve (or its software starts) until it may be a tester.
    pub tester_wait: Moment,
    /// For how long a node must not have been reached before it fails.
    pub unreachable: Moment,
    /// Credit a node begins with.
    pub initial_credit: Moment,
    /// With less credit than this, a failing node is deregistered, not decommissioned.
    pub least_credit: Moment,
    /// Credit never exceeds this.
    pub most_credit: Moment,
}

impl Default for TestingTerms {
    fn default() -> Self {
        Self {
            round: 2 * MINUTE,
            vote_rounds: 60,
            tester_wait: 2 * HOUR + 5 * MINUTE,
            unreachable: HOUR + 5 * MINUTE,
            initial_credit: 2 * HOUR,
            least_credit: 2 * HOUR,
            most_credit: 48 * HOUR,
        }
    }
}

/// Why terms of testing are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTestingTerms {
    /// A round lasts at least one block.
    Round,
    /// Too many rounds would have to be kept, or none.
    VoteRounds,
    /// A node would begin with more than it may ever have.
    Credit,
}

impl fmt::Display for InvalidTestingTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Round => "testing.round must be at least one block",
            Self::VoteRounds => "testing.vote_rounds must be 1 to 240",
            Self::Credit => "testing.initial_credit and least_credit must not exceed most_credit",
        })
    }
}

impl core::error::Error for InvalidTestingTerms {}

impl TestingTerms {
    /// Most rounds that are kept for late verdicts.
    pub const MAX_VOTE_ROUNDS: u32 = 240;

    /// Whether a network of this block time could run on these.
    pub const fn validate(&self, block_time: Moment) -> Result<(), InvalidTestingTerms> {
        if self.round < block_time || self.round == 0 {
            return Err(InvalidTestingTerms::Round);
        }
        if self.vote_rounds == 0 || self.vote_rounds > Self::MAX_VOTE_ROUNDS {
            return Err(InvalidTestingTerms::VoteRounds);
        }
        if self.initial_credit > self.most_credit || self.least_credit > self.most_credit {
            return Err(InvalidTestingTerms::Credit);
        }
        Ok(())
    }
}

/// What a change of a node's standing was.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StandingChange {
    /// It left its swarm and is not paid until it passes again.
    Decommissioned,
    /// It passed and serves again.
    Recommissioned,
    /// It was put off the roster; its stakes stay locked.
    Deregistered,
}

/// What a change of a node's standing was due to.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// A verdict of the testers of a round.
    Verdict {
        /// The round.
        round: u32,
        /// What the testers saw; nothing if the node passed.
        findings: Findings,
    },
    /// It signed two blocks of one slot, or two votes of one round of finality, as block producer.
    Equivocation,
}

/// One change of a node's standing.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct StandingEvent {
    /// The block that carried it out.
    pub at: BlockNumber,
    /// What it was.
    pub change: StandingChange,
    /// What it was due to.
    #[serde(flatten)]
    pub cause: Cause,
}

/// A node that was put off the roster and whose stakes are still locked.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Deregistration {
    /// Block of its deregistration.
    pub at: BlockNumber,
    /// Block at which its stakes return by themselves.
    pub stakes_return_at: BlockNumber,
}

/// Where a node is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// On the roster.
    Roster(NodeState),
    /// Off it.
    Deregistered(Deregistration),
}

/// How a node stands, and why.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct Standing {
    /// The node.
    pub node: ServiceNodeId,
    /// Who registered it.
    pub operator: StakerId,
    /// Where it is found.
    pub whereabouts: Whereabouts,
    /// Milliseconds of failing it has to its credit; none unless it serves or is decommissioned.
    pub credit: Option<Moment>,
    /// The last changes of its standing, oldest first.
    pub history: Vec<StandingEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing;
    use proptest::prelude::*;

    const SOME: Reasons = Reasons::NONE.with(Reason::QuicUnreachable).with(Reason::Clock);

    #[test]
    fn reasons_keep_their_bits_and_names() {
        let bits: Vec<_> = Reason::ALL.iter().map(|reason| Reasons::NONE.with(*reason).bits()).collect();
        assert_eq!(bits, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(serde_json::to_string(&SOME).expect("serializes"), r#"["quic_unreachable","clock"]"#);
        assert_eq!(alloc::format!("{SOME}"), "not reached over QUIC, clock is off");
        assert_eq!(alloc::format!("{SOME:?}"), "{QuicUnreachable, Clock}");
    }

    #[test]
    fn a_reason_nobody_knows_is_refused() {
        assert!(Reasons::decode(&mut &128u16.encode()[..]).is_err());
        assert!(serde_json::from_str::<Reasons>(r#"["weather"]"#).is_err());
    }

    proptest! {
        #[test]
        fn reasons_survive_their_encodings(bits in 0u16..128, others in 0u16..128) {
            let (reasons, others) = (Reasons::from_bits(bits).expect("known"), Reasons::from_bits(others).expect("known"));
            prop_assert_eq!(Reasons::decode(&mut &reasons.encode()[..]), Ok(reasons));
            let json = serde_json::to_string(&reasons).expect("serializes");
            prop_assert_eq!(serde_json::from_str::<Reasons>(&json).expect("parses"), reasons);
            prop_assert_eq!(reasons.iter().collect::<Reasons>(), reasons);
            for reason in Reason::ALL {
                let both = (reasons.contains(reason), others.contains(reason));
                prop_assert_eq!(reasons.intersection(others).contains(reason), both == (true, true));
                prop_assert_eq!(reasons.union(others).contains(reason), both != (false, false));
                prop_assert_eq!(reasons.without(others).contains(reason), both == (true, false));
            }
        }
    }

    #[test]
    fn what_a_tester_signs_is_pinned() {
        let subject = Subject { round: 0x0102_0304, block: [0xbb; 32], node: ServiceNodeId([0xcc; 32]) };
        let expected = [&b"skep/vote/1"[..], &[0xaa; 32], &[4, 3, 2, 1], &[0xbb; 32], &[0xcc; 32], &[0x12, 0]].concat();
        assert_eq!(signing::vote(&[0xaa; 32], &subject, SOME), expected);
    }

    #[test]
    fn unsound_terms_are_named() {
        let main = TestingTerms::default();
        assert_eq!(main.validate(6_000), Ok(()));
        let refused = [
            (TestingTerms { round: 5_999, ..main }, InvalidTestingTerms::Round),
            (TestingTerms { vote_rounds: 0, ..main }, InvalidTestingTerms::VoteRounds),
            (TestingTerms { vote_rounds: 241, ..main }, InvalidTestingTerms::VoteRounds),
            (TestingTerms { most_credit: HOUR, ..main }, InvalidTestingTerms::Credit),
        ];
        for (terms, error) in refused {
            assert_eq!(terms.validate(6_000), Err(error));
        }
    }

    #[test]
    fn a_standing_reads_the_same_after_its_json() {
        let standing = Standing {
            node: ServiceNodeId([1; 32]),
            operator: StakerId([2; 32]),
            whereabouts: Whereabouts::Roster(NodeState::Decommissioned {
                since: 5,
                credit_ends_at: 65,
                findings: Findings { all: SOME, any: SOME.with(Reason::OnionRelay) },
                leave: None,
            }),
            credit: Some(120_000),
            history: alloc::vec![StandingEvent {
                at: 5,
                change: StandingChange::Decommissioned,
                cause: Cause::Verdict { round: 3, findings: Findings { all: SOME, any: SOME } },
            }],
        };
        let json = serde_json::to_string(&standing).expect("serializes");
        assert_eq!(serde_json::from_str::<Standing>(&json).expect("parses"), standing);
        assert_eq!(Standing::decode(&mut &standing.encode()[..]), Ok(standing));
    }
}
