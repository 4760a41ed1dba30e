//! Proof of work for deposits: Equi-X over everything a deposit says; pure.
//!
//! A sender who owns nothing pays for mailbox space with computing time (`protocol.md` section 8). The work names the
//! account, namespace, message, time stamp, lifetime, effort and a recent block, so that it pays for one message only (for what
//! deposits of it, see decision 36) and cannot be hoarded. It travels with the record, and every member of the swarm verifies it.
//!
//! ```text
//! puzzle  = BLAKE2b-256("skep work v1" | account | namespace | hash | timestamp | ttl | effort | block | nonce)
//! solved  : the 16-byte solution solves Equi-X for `puzzle`, and
//!           BLAKE2b-32("skep work effort v1" | puzzle | solution) * effort does not overflow 32 bits
//! ```
//!
//! Integers and the 32-bit hash are big endian. The effort rule is that of Tor's onion service proof of work (proposal 327):
//! the expected number of Equi-X solutions to try equals the effort.
//!
//! # Security
//!
//! **Requires.** A caller that knows the chain's recent blocks, demands a least effort ([`FLOOR`] or more), and compares time stamp and lifetime
//! with those of the deposit.
//!
//! **Provides.** Verification in bounded time and memory, cheapest checks first; no machine code is made from what strangers
//! send. A proof is worth nothing for any other message.
//!
//! **Does not provide.** A barrier to someone with much more computing power than a phone; effort is a price, not a wall.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use blake2::{
    Blake2b, Digest,
    digest::consts::{U4, U32},
};
use equix::{EquiXBuilder, RuntimeOption, Solution, SolverMemory};
use skep_proto::{
    account::AccountAddress,
    peer,
    storage::{MessageHash, Namespace},
};

/// The least effort that counts as work: about four Equi-X puzzles, a tenth of a second on a slow phone. Nodes ask for more
/// under load. Every member of a swarm judges what others hand over by it, so a network that raises it must go on taking
/// work of the lowest floor it had for as long as a message lives (decision 16).
pub const FLOOR: u32 = 8;
/// The most effort a node asks for under load, and a client does: some minutes on a phone.
pub const MOST_EFFORT: u32 = 4_000;

/// What is to be worked on: one deposit, as paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// The message.
    pub hash: MessageHash,
    /// The deposit's time stamp (ms).
    pub timestamp: u64,
    /// How long the message is to be kept (ms).
    pub ttl: u64,
    /// How many Equi-X solutions a solver has to try on average; 0 counts as 1.
    pub effort: u32,
    /// Hash of a recent block of the chain.
    pub block_hash: [u8; 32],
}

/// Work done for a [`Challenge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The solver's choice; it makes the puzzle.
    pub nonce: [u8; 16],
    /// The Equi-X solution.
    pub solution: [u8; 16],
}

/// The work proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// A part has the wrong length.
    #[error("the proof of work is malformed: {0} must have {1} bytes")]
    Malformed(&'static str, usize),
    /// The solution's items are out of order, whatever the puzzle.
    #[error("the proof of work is not an Equi-X solution")]
    NotASolution,
    /// A solution of some puzzle, perhaps this one, but not one that shows the effort.
    #[error("the proof of work does not show the effort it claims")]
    Effort,
    /// A solution of another puzzle.
    #[error("the proof of work was not done for this deposit")]
    Unsolved,
}

/// Looks for a proof, trying one nonce after another from `start`, which should be random: equal starts would repeat work
/// across attempts. Asks `go_on` before each (some milliseconds each, two solutions on average) and gives up with `None` when
/// it says no.
pub fn solve(challenge: &Challenge, start: [u8; 16], mut go_on: impl FnMut() -> bool) -> Option<Proof> {
    let prefix = challenge.absorbed();
    let mut memory = SolverMemory::new();
    let mut nonce = u128::from_be_bytes(start);
    while go_on() {
        let puzzle = puzzle(&prefix, &nonce.to_be_bytes());
        // A rare puzzle makes no valid hash function: it is skipped here, and verifiers refuse it.
        if let Ok(equix) = EquiXBuilder::new().build(&puzzle) {
            let solutions = equix.solve_with_memory(&mut memory);
            let solution =
                solutions.iter().map(Solution::to_bytes).find(|s| shows_effort(&puzzle, s, challenge.effort));
            if let Some(solution) = solution {
                return Some(Proof { nonce: nonce.to_be_bytes(), solution });
            }
        }
        nonce = nonce.wrapping_add(1);
    }
    None
}

/// Whether `proof` is work for `challenge`: some hashes, and only for what passes them about a tenth of a millisecond.
pub fn verify(challenge: &Challenge, proof: &Proof) -> Result<(), WorkError> {
    let solution = Solution::try_from_bytes(&proof.solution).map_err(|_| WorkError::NotASolution)?;
    let puzzle = puzzle(&challenge.absorbed(), &proof.nonce);
    if !shows_effort(&puzzle, &proof.solution, challenge.effort) {
        return Err(WorkError::Effort);
    }
    // Interpreted: strangers choose this program, and it runs too few times for compiling it to pay.
    EquiXBuilder::new()
        .runtime(RuntimeOption::InterpretOnly)
        .verify(&puzzle, &solution)
        .map_err(|_| WorkError::Unsolved)
}

impl Challenge {
    /// The wire form of work done for this challenge.
    pub fn to_wire(&self, proof: &Proof) -> peer::Work {
        peer::Work {
            solution: proof.solution.to_vec().into(),
            nonce: proof.nonce.to_vec().into(),
            effort: self.effort,
            timestamp: self.timestamp,
            ttl: self.ttl,
            block_hash: self.block_hash.to_vec().into(),
        }
    }

    /// What `work` claims to have been done for, given the message it came with, and the proof to [`verify`].
    pub fn from_wire(
        account: AccountAddress,
        namespace: Namespace,
        hash: MessageHash,
        work: &peer::Work,
    ) -> Result<(Self, Proof), WorkError> {
        let peer::Work { solution, nonce, effort, timestamp, ttl, block_hash } = work;
        let block_hash = exactly("block_hash", block_hash)?;
        let challenge =
            Self { account, namespace, hash, timestamp: *timestamp, ttl: *ttl, effort: *effort, block_hash };
        Ok((challenge, Proof { nonce: exactly("nonce", nonce)?, solution: exactly("solution", solution)? }))
    }

    fn absorbed(&self) -> Blake2b<U32> {
        Blake2b::<U32>::new()
            .chain_update(b"skep work v1")
            .chain_update(self.account.as_bytes())
            .chain_update(self.namespace.0.to_be_bytes())
            .chain_update(self.hash.as_bytes())
            .chain_update(self.timestamp.to_be_bytes())
            .chain_update(self.ttl.to_be_bytes())
            .chain_update(self.effort.to_be_bytes())
            .chain_update(self.block_hash)
    }
}

fn puzzle(prefix: &Blake2b<U32>, nonce: &[u8; 16]) -> [u8; 32] {
    prefix.clone().chain_update(nonce).finalize().into()
}

fn shows_effort(puzzle: &[u8; 32], solution: &[u8; 16], effort: u32) -> bool {
    let hash = Blake2b::<U4>::new().chain_update(b"skep work effort v1").chain_update(puzzle).chain_update(solution);
    u32::from_be_bytes(hash.finalize().into()).checked_mul(effort).is_some()
}

fn exactly<const N: usize>(part: &'static str, bytes: &[u8]) -> Result<[u8; N], WorkError> {
    bytes.try_into().map_err(|_| WorkError::Malformed(part, N))
}

#[cfg(test)]
mod tests;
