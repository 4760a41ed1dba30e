//! Where a client begins to believe: a finalized block, and who may say what is final after it.

use crate::{BlockHash, BlockNumber, Moment, roster::hash_hex};
use alloc::{collections::BTreeSet, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Most authorities of a set that a client accepts: ten times what a chain has.
pub const MAX_AUTHORITIES: usize = 1_000;

/// A block that a client takes for final without proof. Its release ships one; a client that verified a later block makes
/// its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The network's first block: the network's name.
    #[serde(with = "hash_hex")]
    pub genesis: BlockHash,
    /// Height of the block.
    pub number: BlockNumber,
    /// Hash of the block.
    #[serde(with = "hash_hex")]
    pub hash: BlockHash,
    /// Number of the GRANDPA set that finalizes the blocks after it.
    pub set_id: u64,
    /// That set.
    pub authorities: AuthoritySet,
    /// When the block was made (Unix time in ms).
    pub time: Moment,
    /// For how long after `time` the set is believed (ms): the unlock time of stakes less an era and a session, since authorities
    /// that have their stake back have nothing to lose by lying, and one may ask for it as soon as it is drawn. None: for ever, for a network of one's own machine.
    pub believed_for: Option<Moment>,
}

/// One authority of GRANDPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its Ed25519 key.
    #[serde(with = "hash_hex")]
    pub key: [u8; 32],
    /// What its vote weighs.
    pub weight: u64,
}

/// Authorities whose votes weigh the same, so that two thirds of the heads are two thirds of the weight. No key is named
/// twice, and there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Authority>", into = "Vec<Authority>")]
pub struct AuthoritySet(Vec<Authority>);

/// These authorities are no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthoritySetError {
    /// There is none.
    Empty,
    /// There are more than [`MAX_AUTHORITIES`].
    TooMany(usize),
    /// A key is named twice.
    Repeated,
    /// Their votes weigh differently, or nothing.
    Weights,
}

impl fmt::Display for AuthoritySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a set of authorities must not be empty"),
            Self::TooMany(count) => write!(f, "{count} authorities are more than {MAX_AUTHORITIES}"),
            Self::Repeated => f.write_str("an authority is named twice"),
            Self::Weights => f.write_str("authorities must all weigh the same, and something"),
        }
    }
}

impl core::error::Error for AuthoritySetError {}

impl AuthoritySet {
    /// Every authority.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Authority> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Authority>> for AuthoritySet {
    type Error = AuthoritySetError;

    fn try_from(authorities: Vec<Authority>) -> Result<Self, Self::Error> {
        let weight = authorities.first().ok_or(AuthoritySetError::Empty)?.weight;
        if authorities.len() > MAX_AUTHORITIES {
            return Err(AuthoritySetError::TooMany(authorities.len()));
        }
        if weight == 0 || authorities.iter().any(|authority| authority.weight != weight) {
            return Err(AuthoritySetError::Weights);
        }
        let keys: BTreeSet<_> = authorities.iter().map(|authority| authority.key).collect();
        if keys.len() != authorities.len() {
            return Err(AuthoritySetError::Repeated);
        }
        Ok(Self(authorities))
    }
}

impl From<AuthoritySet> for Vec<Authority> {
    fn from(set: AuthoritySet) -> Self {
        set.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn authority(key: u8, weight: u64) -> Authority {
        Authority { key: [key; 32], weight }
    }

    #[test]
    fn sets_that_cannot_be_counted_by_heads_are_refused() {
        let set = |authorities: Vec<Authority>| AuthoritySet::try_from(authorities).map(|set| set.iter().count());
        assert_eq!(set(vec![authority(1, 1), authority(2, 1)]), Ok(2));
        assert_eq!(set(Vec::new()), Err(AuthoritySetError::Empty));
        assert_eq!(set(vec![authority(1, 1), authority(2, 2)]), Err(AuthoritySetError::Weights));
        assert_eq!(set(vec![authority(1, 0)]), Err(AuthoritySetError::Weights));
        assert_eq!(set(vec![authority(1, 1), authority(1, 1)]), Err(AuthoritySetError::Repeated));
        let many = vec![authority(1, 1); MAX_AUTHORITIES + 1];
        assert_eq!(set(many), Err(AuthoritySetError::TooMany(MAX_AUTHORITIES + 1)));
    }

    #[test]
    fn a_checkpoint_survives_its_file() {
        let checkpoint = Checkpoint {
            genesis: [1; 32],
            number: 7,
            hash: [2; 32],
            set_id: 3,
            authorities: vec![authority(4, 1)].try_into().expect("a set"),
            time: 5,
            believed_for: None,
        };
        let json = serde_json::to_string(&checkpoint).expect("serializes");
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).expect("parses"), checkpoint);
        let empty = json.replace(&serde_json::to_string(&checkpoint.authorities).expect("serializes"), "[]");
        assert!(serde_json::from_str::<Checkpoint>(&empty).is_err());
    }
}
