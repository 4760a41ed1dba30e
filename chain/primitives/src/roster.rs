//! The roster: the authoritative list of service nodes, as the chain publishes it.

use crate::{Balance, BlockHash, BlockNumber, Findings, Permyriad, ServiceNodeId, StakerId, SwarmId};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::{fmt, net::Ipv4Addr};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// Most contributors of one node, its operator included.
pub const MAX_CONTRIBUTORS: u32 = 10;

/// Most stakes held in one node: those of its contributors, and of others who are replaced and wait for their time to leave.
pub const MAX_STAKES: u32 = 2 * MAX_CONTRIBUTORS;

/// Where a service node is reached.
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
pub struct Endpoint {
    /// IPv4 address, in network order.
    pub ipv4: [u8; 4],
    /// TCP port of the client API (HTTPS).
    pub https_port: u16,
    /// UDP port for other service nodes (QUIC).
    pub quic_port: u16,
}

impl Endpoint {
    /// The address as the standard library's type.
    pub const fn ip(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.ipv4;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The address' /24 network: two nodes of one such network count as one place for path diversity.
    pub const fn network24(&self) -> [u8; 3] {
        let [a, b, c, _] = self.ipv4;
        [a, b, c]
    }
}

/// Version of the messaging software a node runs.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct SoftwareVersion(pub [u16; 3]);

impl fmt::Display for SoftwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What a node says of itself in its own name: where it is reached now and what it runs.
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
pub struct Announcement {
    /// The node.
    pub node: ServiceNodeId,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// What it runs.
    pub version: SoftwareVersion,
    /// Height of a block that was final when the node said so.
    pub after: BlockNumber,
}

/// One stake in a node.
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
pub struct Contribution {
    /// Who locked it.
    pub staker: StakerId,
    /// How much, in smallest units.
    #[serde(with = "crate::amount::decimal")]
    pub amount: Balance,
}

/// Where a registered node stands.
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
#[serde(rename_all = "snake_case", tag = "state")]
pub enum NodeState {
    /// Its stake is not complete yet; contributions may come until `expires_at`, when all is returned.
    Gathering {
        /// Block at which the unfilled pool returns every stake.
        expires_at: BlockNumber,
    },
    /// Fully staked and serving since `since`.
    Active {
        /// Block at which it (last) became active.
        since: BlockNumber,
    },
    /// Somebody asked to unlock at `requested_at`; it serves and earns until `leaves_at`.
    Leaving {
        /// Block of the first request.
        requested_at: BlockNumber,
        /// Block at which the node ends and its stakes become free, unless others fill what is missing.
        leaves_at: BlockNumber,
    },
    /// Its testers found it failing: it is in no swarm and unpaid, still tested, and serves again once it passes.
    Decommissioned {
        /// Block of the verdict.
        since: BlockNumber,
        /// Block from which on a failing verdict deregisters it.
        credit_ends_at: BlockNumber,
        /// Why.
        findings: Findings,
        /// Set if somebody asked to unlock: the node ends nonetheless.
        leave: Option<Leave>,
    },
}

/// When a node leaves.
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
pub struct Leave {
    /// Block of the first request to unlock.
    pub requested_at: BlockNumber,
    /// Block at which the node ends and its stakes become free.
    pub leaves_at: BlockNumber,
}

impl NodeState {
    /// Whether the node serves: it belongs in a swarm and in the reward queue.
    pub const fn is_serving(&self) -> bool {
        match self {
            Self::Active { .. } | Self::Leaving { .. } => true,
            Self::Gathering { .. } | Self::Decommissioned { .. } => false,
        }
    }

    /// Whether other service nodes speak to it: it serves, or is tested so that it may serve again.
    pub const fn is_tested(&self) -> bool {
        match self {
            Self::Active { .. } | Self::Leaving { .. } | Self::Decommissioned { .. } => true,
            Self::Gathering { .. } => false,
        }
    }

    /// The same after it was found that the node leaves: a serving node is leaving, a decommissioned one stays so until
    /// then; one that gathers stays as it is.
    #[must_use]
    pub const fn leaving(self, leave: Leave) -> Self {
        match self {
            Self::Gathering { .. } => self,
            Self::Active { .. } | Self::Leaving { .. } => {
                Self::Leaving { requested_at: leave.requested_at, leaves_at: leave.leaves_at }
            }
            Self::Decommissioned { since, credit_ends_at, findings, .. } => {
                Self::Decommissioned { since, credit_ends_at, findings, leave: Some(leave) }
            }
        }
    }

    /// When the node leaves, if somebody asked to unlock.
    pub const fn leave(&self) -> Option<Leave> {
        match *self {
            Self::Leaving { requested_at, leaves_at } => Some(Leave { requested_at, leaves_at }),
            Self::Decommissioned { leave, .. } => leave,
            Self::Gathering { .. } | Self::Active { .. } => None,
        }
    }

    /// Height at which the node ends since somebody asked to unlock, 0 when nobody did (the form existing clients read:
    /// they take a node for gone from this height on).
    pub const fn requested_unlock_height(&self) -> BlockNumber {
        match self.leave() {
            Some(leave) => leave.leaves_at,
            None => 0,
        }
    }
}

/// One node of the roster. Its X25519 key is the standard conversion of `id`, so it is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct RosterEntry {
    /// The node's Ed25519 key.
    pub id: ServiceNodeId,
    /// Who registered it.
    pub operator: StakerId,
    /// The operator's fee, taken before rewards are shared by stake.
    pub fee: Permyriad,
    /// Every stake, the operator's first.
    pub contributions: Vec<Contribution>,
    /// What the node must hold in all, fixed when it registered.
    #[serde(with = "crate::amount::decimal")]
    pub requirement: Balance,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// What it runs.
    pub version: SoftwareVersion,
    /// Where it stands.
    #[serde(flatten)]
    pub state: NodeState,
    /// Its swarm, or [`SwarmId::UNASSIGNED`] until it is placed.
    pub swarm: SwarmId,
    /// Block of its registration.
    pub registered_at: BlockNumber,
    /// Block of its last reward, or of its activation. 0 in a roster that was proven: proofs do not tell it.
    pub last_rewarded_at: BlockNumber,
}

impl RosterEntry {
    /// Sum of all stakes.
    pub fn staked(&self) -> Balance {
        self.contributions.iter().map(|contribution| contribution.amount).sum()
    }
}

/// The roster at one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterSnapshot {
    /// Height of the block.
    pub height: BlockNumber,
    /// Hash of the block.
    #[serde(with = "hash_hex")]
    pub block_hash: BlockHash,
    /// Every registered node, gathering ones included, ordered by id.
    pub nodes: Vec<RosterEntry>,
}

/// One swarm and who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, Serialize, Deserialize)]
pub struct SwarmMembers {
    /// The swarm.
    pub id: SwarmId,
    /// Its nodes, ordered by id.
    pub nodes: Vec<ServiceNodeId>,
}

/// Block hashes as `0x` and 64 hex digits, as Substrate's own RPC writes them.
pub(crate) mod hash_hex {
    use crate::BlockHash;
    use alloc::{format, string::String};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(hash: &BlockHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(hash)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut hash)
            .map_err(|_| de::Error::custom("expected a block hash: 0x and 64 hexadecimal digits"))?;
        Ok(hash)
    }
}
