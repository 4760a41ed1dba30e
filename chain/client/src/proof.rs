//! What a chain node says of the roster, checked without believing it; pure.
//!
//! ```text
//! Checkpoint --follow(warp proof)--> ProvenBlock            GRANDPA's authorities signed it
//! ProvenBlock --read_head(head proof)--> Head               its time, the last epoch boundary
//! Head --read_roster(roster proof)--> RosterSnapshot        both tries whole: their roots are in the boundary's state
//! ```
//!
//! # Security
//!
//! **Requires.** A checkpoint whose set of authorities is honest by two thirds while it is believed
//! ([`Checkpoint::believed_for`]); a clock that is right to some minutes; unpredictable randomness.
//!
//! **Provides.** A roster that passes is the chain's at an epoch boundary: no node is left out, added or altered, nor in
//! another swarm. Its age is known, and one that authorities may have outlived their stakes by is refused. Whatever a chain node sends
//! costs at most what its bytes cost to hash and what its signatures cost to verify, once each.
//!
//! **Does not provide.** Anything about blocks after the one told: a chain node can keep the newest ones back, which shows as
//! age. A justification in which an authority voted twice is refused, though the chain counts it: a chain node then has to
//! offer a later block.

mod finality;
mod keys;
mod roster;
mod state;
#[cfg(test)]
mod tests;

use codec::DecodeAll;
pub use finality::{FinalityError, Followed, ProvenBlock, follow};
pub use roster::{RosterProofError, read_roster};
use skep_primitives::{BlockHash, BlockNumber, Checkpoint, HeadProof, Moment};
pub use state::StateProofError;
use state::StateReader;

/// Most bytes of a head proof: the way to three values of the largest state.
const MAX_HEAD_PROOF: usize = 64 * 1024;

/// A finalized block, and what its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: BlockHash,
    /// When it was made (Unix time in ms), as its producer saw it.
    pub time: Moment,
    /// Height of the first block of its epoch.
    pub boundary: BlockNumber,
    /// Hash of that block.
    pub boundary_hash: BlockHash,
}

/// What a finalized block says of itself is not proven.
#[derive(Debug, thiserror::Error)]
pub enum HeadProofError {
    /// Not the bytes of a head proof.
    #[error("the proof of the head is malformed")]
    Malformed,
    /// Something is missing in the state proof, or too much.
    #[error("the proof of the head is wrong: {0}")]
    State(#[from] StateProofError),
    /// A value of the state is missing or is not what this version expects.
    #[error("{0} is not in the block's state as this version expects it: update")]
    Value(&'static str),
}

/// Reads what a proven block says of time and of the last epoch boundary. `proof` is a `HeadProof` in SCALE.
///
/// # Errors
/// The proof is not of this block's state, or proves other things.
pub fn read_head(block: &ProvenBlock, proof: &[u8]) -> Result<Head, HeadProofError> {
    let proof = Some(proof).filter(|proof| proof.len() <= MAX_HEAD_PROOF).ok_or(HeadProofError::Malformed)?;
    let HeadProof { state } = HeadProof::decode_all(&mut &*proof).map_err(|_| HeadProofError::Malformed)?;
    let mut state = StateReader::new(block.state_root, &state)?;
    let time = state.read(&keys::value("Timestamp", "Now"))?;
    let time = time.and_then(decoded::<Moment>).ok_or(HeadProofError::Value("the time"))?;
    // The first epoch begins with genesis, and nothing is written of it.
    let (_, boundary) = match state.read(&keys::value("Babe", "EpochStart"))? {
        None => (0, 0),
        Some(start) => {
            decoded::<(BlockNumber, BlockNumber)>(start).ok_or(HeadProofError::Value("the epoch's start"))?
        }
    };
    let boundary_hash = if boundary == block.number {
        block.hash
    } else {
        let hash = state.read(&keys::block_hash(boundary))?;
        hash.and_then(decoded::<BlockHash>).ok_or(HeadProofError::Value("the epoch boundary's hash"))?
    };
    state.finish()?;
    Ok(Head { number: block.number, hash: block.hash, time, boundary, boundary_hash })
}

fn decoded<T: DecodeAll>(value: &[u8]) -> Option<T> {
    T::decode_all(&mut &*value).ok()
}

/// A checkpoint or a head is too old to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// Those who may say what is final after the checkpoint may have their stakes back.
    #[error(
        "the checkpoint (block {number}) is {} old, and authorities are believed for {} only: update, or give a newer one",
        Span(*age), Span(*limit)
    )]
    Checkpoint {
        /// Height of the checkpoint.
        number: BlockNumber,
        /// Its age (ms).
        age: Moment,
        /// How old it may be (ms).
        limit: Moment,
    },
    /// Nothing younger than the stakes' unlock time is final.
    #[error("block {number} is {} old, and authorities are believed for {} only", Span(*age), Span(*limit))]
    Head {
        /// Height of the head.
        number: BlockNumber,
        /// Its age (ms).
        age: Moment,
        /// How old it may be (ms).
        limit: Moment,
    },
}

/// Whether a checkpoint may still be believed at `now`.
///
/// # Errors
/// It may not.
pub fn is_believable(checkpoint: &Checkpoint, now: Moment) -> Result<(), AgeError> {
    let age = now.saturating_sub(checkpoint.time);
    match checkpoint.believed_for {
        Some(limit) if age > limit => Err(AgeError::Checkpoint { number: checkpoint.number, age, limit }),
        _ => Ok(()),
    }
}

/// Whether a head, proven from a checkpoint, is young enough at `now`.
///
/// # Errors
/// It is not.
pub fn is_young(head: &Head, checkpoint: &Checkpoint, now: Moment) -> Result<(), AgeError> {
    let age = now.saturating_sub(head.time);
    match checkpoint.believed_for {
        Some(limit) if age > limit => Err(AgeError::Head { number: head.number, age, limit }),
        _ => Ok(()),
    }
}

/// Milliseconds as people read them: the largest unit that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Moment);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1_000;
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}
