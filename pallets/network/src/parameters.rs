//! The numbers and what makes them sound.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use skep_economics::{EmissionCurve, StakingRequirement};
use skep_primitives::{Balance, BlockNumber, InvalidTestingTerms, Moment, TestingTerms, UNIT};

const SECOND: Moment = 1_000;
const DAY: Moment = 24 * 60 * 60 * SECOND;

/// Block hashes a state keeps, for `frame_system::Config::BlockHashCount`: a state proves the first block of its epoch by them.
pub const BLOCK_HASHES: BlockNumber = 4_096;

/// The numbers of one network. The default is the main network's (`protocol.md` section 1).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameters {
    /// Milliseconds between two blocks.
    pub block_time: Moment,
    /// Blocks of a BABE epoch.
    pub epoch_blocks: BlockNumber,
    /// Sessions (epochs) of an era, in which the same nodes produce blocks.
    pub era_sessions: u32,
    /// What a node must hold.
    pub requirement: StakingRequirement,
    /// What a block creates.
    pub emission: EmissionCurve,
    /// Milliseconds from an unlock request until the node ends and its stakes are returned.
    pub unlock: Moment,
    /// Milliseconds in which a small stake cannot ask to unlock.
    pub small_stake_lock: Moment,
    /// Milliseconds after which a pool that did not fill returns every stake.
    pub pool_expiry: Moment,
    /// Milliseconds for which the stakes of a deregistered node stay locked; not less than `unlock`.
    pub deregistration_lock: Moment,
    /// How service nodes test each other.
    pub testing: TestingTerms,
    /// Milliseconds in which a proposal may gather approval, and then wait to be enacted.
    pub voting: Moment,
    /// Milliseconds from two thirds' approval until a proposal may be enacted; an upgrade waits for `unlock` on top, so that who
    /// sees it coming can have its stake back before.
    pub enactment_delay: Moment,
    /// Stake (in smallest units) that counts as serving at least: two thirds of it must approve, however little serves.
    #[serde(with = "skep_primitives::decimal")]
    pub least_electorate: Balance,
    /// Whether loopback and private addresses may be registered: only where everything runs on one machine.
    pub private_addresses: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            block_time: 6 * SECOND,
            epoch_blocks: 600,
            era_sessions: 24,
            requirement: StakingRequirement::Fixed { amount: 15_000 * UNIT },
            emission: EmissionCurve::LOKI_2018,
            unlock: 15 * DAY,
            small_stake_lock: 30 * DAY,
            pool_expiry: 14 * DAY,
            deregistration_lock: 30 * DAY,
            testing: TestingTerms::default(),
            voting: 14 * DAY,
            enactment_delay: 3 * DAY,
            // Seven nodes, as many as producers are drawn from at least.
            least_electorate: 7 * 15_000 * UNIT,
            private_addresses: false,
        }
    }
}

/// Why a genesis is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameters {
    /// Slots must be even, since the least distance of timestamps is half of one.
    #[error("blockTime must be an even number of milliseconds, at least 500")]
    BlockTime,
    /// BABE needs a few blocks an epoch to announce the next one; of a longer one the roster could not be proven.
    #[error("epochBlocks must be at least 4 and at most {BLOCK_HASHES}")]
    EpochBlocks,
    /// A set of producers is announced a session ahead, so it must last longer than one.
    #[error("eraSessions must be at least 2")]
    EraSessions,
    /// A node nobody has to pay for is no defence against Sybils.
    #[error("the staking requirement must be above zero")]
    Requirement,
    /// Locks of no length lock nothing.
    #[error("unlock, poolExpiry, deregistrationLock, voting and enactmentDelay must be above zero")]
    Duration,
    /// Who is deregistered would have its stake back before one who leaves.
    #[error("deregistrationLock must not be shorter than unlock")]
    DeregistrationLock,
    /// One node's operator would decide about everybody's stake. Those of one machine may.
    #[error(
        "leastElectorate must be at least three times the staking requirement, unless privateAddresses are allowed"
    )]
    LeastElectorate,
    /// Testing by these terms would not work.
    #[error(transparent)]
    Testing(#[from] InvalidTestingTerms),
}

impl Parameters {
    /// Whether a network could run on these.
    pub fn validate(&self) -> Result<(), InvalidParameters> {
        if self.block_time < 500 || !self.block_time.is_multiple_of(2) {
            return Err(InvalidParameters::BlockTime);
        }
        if !(4..=BLOCK_HASHES).contains(&self.epoch_blocks) {
            return Err(InvalidParameters::EpochBlocks);
        }
        if self.era_sessions < 2 {
            return Err(InvalidParameters::EraSessions);
        }
        if self.requirement.at(BlockNumber::MAX, self.block_time) == 0 {
            return Err(InvalidParameters::Requirement);
        }
        let durations = [self.unlock, self.pool_expiry, self.deregistration_lock, self.voting, self.enactment_delay];
        if durations.contains(&0) {
            return Err(InvalidParameters::Duration);
        }
        if self.deregistration_lock < self.unlock {
            return Err(InvalidParameters::DeregistrationLock);
        }
        let of_three_nodes = self.requirement.at(0, self.block_time).saturating_mul(3);
        if !self.private_addresses && self.least_electorate < of_three_nodes {
            return Err(InvalidParameters::LeastElectorate);
        }
        Ok(self.testing.validate(self.block_time)?)
    }
}
