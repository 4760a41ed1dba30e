//! From a checkpoint to a finalized block: GRANDPA's authorities sign each change of their set, then the block.

use super::state::blake2_256;
use skep_primitives::{Authority, AuthoritySet, AuthoritySetError, BlockHash, BlockNumber, Checkpoint};
use smoldot::{
    finality::{
        decode::decode_grandpa_justification,
        verify::{JustificationVerifyConfig, JustificationVerifyError, verify_justification},
    },
    header::{self, DigestItemRef, GrandpaConsensusLogRef, HeaderRef},
    network::codec::decode_grandpa_warp_sync_response,
};

/// Bytes of a block number as GRANDPA signs it.
pub(super) const NUMBER_BYTES: usize = size_of::<BlockNumber>();

/// Most bytes of one page of a warp proof: one of a chain node's pages, and a long step beyond.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// A block that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenBlock {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: BlockHash,
    /// Root of its state.
    pub state_root: [u8; 32],
}

/// How far a page of a warp proof leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The last block proven, and who finalizes what follows. Its time is still that of the checkpoint it began with.
    pub checkpoint: Checkpoint,
    /// The last block proven; none if the page proves nothing.
    pub block: Option<ProvenBlock>,
    /// Whether the chain node knew nothing newer.
    pub is_finished: bool,
}

/// Finality is not proven.
#[derive(Debug, thiserror::Error)]
pub enum FinalityError {
    /// More bytes than a page has.
    #[error("the warp proof's page has {0} bytes, more than {MAX_PAGE}")]
    TooLarge(usize),
    /// Not the bytes of a warp proof.
    #[error("the warp proof is malformed")]
    Malformed,
    /// A justification is for another block than the header beside it.
    #[error("the justification of block {0} is another block's")]
    OtherBlock(u64),
    /// Blocks must ascend.
    #[error("block {0} does not come after the one before it")]
    Order(u64),
    /// The authorities did not sign it.
    #[error("block {number} is not final: {reason}")]
    NotFinal {
        /// Its height.
        number: u64,
        /// What is wrong with the justification.
        reason: JustificationVerifyError,
    },
    /// A step changes no set of authorities, though more follows.
    #[error("block {0} proves nothing, though more follows")]
    NoChange(u64),
    /// A forced or delayed change of authorities, which breaks the chain of trust.
    #[error("the authorities were changed by force at block {0}: a newer checkpoint is needed, update")]
    Forced(u64),
    /// The next authorities are no set.
    #[error("the authorities after block {number} cannot be followed: {reason}")]
    Authorities {
        /// Height of the block that names them.
        number: u64,
        /// What is wrong with them.
        reason: AuthoritySetError,
    },
}

/// Follows one page of a warp proof, as the warp sync protocol encodes it, from `trusted`. `seed` must not be predictable:
/// it keeps signatures from being forged so that only all of them together seem right.
///
/// # Errors
/// The page proves something wrong; nothing of it is to be used.
pub fn follow(trusted: &Checkpoint, page: &[u8], seed: [u8; 32]) -> Result<Followed, FinalityError> {
    if page.len() > MAX_PAGE {
        return Err(FinalityError::TooLarge(page.len()));
    }
    let proof = decode_grandpa_warp_sync_response(page, NUMBER_BYTES).map_err(|_| FinalityError::Malformed)?;
    if !matches!(page.last(), Some(0 | 1)) {
        return Err(FinalityError::Malformed);
    }
    let mut followed = Followed { checkpoint: trusted.clone(), block: None, is_finished: proof.is_finished };
    let last = proof.fragments.len().saturating_sub(1);
    for (index, fragment) in proof.fragments.iter().enumerate() {
        let is_head = proof.is_finished && index == last;
        followed.step(fragment.scale_encoded_header, fragment.scale_encoded_justification, is_head, seed)?;
    }
    Ok(followed)
}

impl Followed {
    fn step(
        &mut self,
        encoded: &[u8],
        justification: &[u8],
        is_head: bool,
        seed: [u8; 32],
    ) -> Result<(), FinalityError> {
        let (header, hash) = read_header(encoded).ok_or(FinalityError::Malformed)?;
        let number = BlockNumber::try_from(header.number).map_err(|_| FinalityError::Malformed)?;
        let block = ProvenBlock { number, hash, state_root: *header.state_root };
        // Nothing is newer than the checkpoint: it is the head itself, and was proven before.
        if hash == self.checkpoint.hash {
            self.block = Some(block);
            return Ok(());
        }
        let decoded =
            decode_grandpa_justification(justification, NUMBER_BYTES).map_err(|_| FinalityError::Malformed)?;
        if *decoded.target_hash != hash || decoded.target_number != header.number {
            return Err(FinalityError::OtherBlock(header.number));
        }
        if number <= self.checkpoint.number {
            return Err(FinalityError::Order(header.number));
        }
        let config = JustificationVerifyConfig {
            justification,
            block_number_bytes: NUMBER_BYTES,
            authorities_set_id: self.checkpoint.set_id,
            authorities_list: self.checkpoint.authorities.iter().map(|authority| &authority.key[..]),
            randomness_seed: seed,
        };
        verify_justification(config).map_err(|reason| FinalityError::NotFinal { number: header.number, reason })?;
        match next_authorities(&header)? {
            Some(authorities) => {
                self.checkpoint.authorities = authorities;
                self.checkpoint.set_id = self.checkpoint.set_id.saturating_add(1);
            }
            None if !is_head => return Err(FinalityError::NoChange(header.number)),
            None => {}
        }
        (self.checkpoint.number, self.checkpoint.hash) = (number, hash);
        self.block = Some(block);
        Ok(())
    }
}

/// A header and its hash.
pub(super) fn read_header(encoded: &[u8]) -> Option<(HeaderRef<'_>, BlockHash)> {
    Some((header::decode(encoded, NUMBER_BYTES).ok()?, blake2_256(encoded)))
}

/// The authorities after this block, if it changes them.
fn next_authorities(header: &HeaderRef<'_>) -> Result<Option<AuthoritySet>, FinalityError> {
    let number = header.number;
    let mut next = None;
    for item in header.digest.logs() {
        let DigestItemRef::GrandpaConsensus(log) = item else { continue };
        match log {
            GrandpaConsensusLogRef::ScheduledChange(change) if change.delay == 0 => {
                let authorities: Vec<_> = change
                    .next_authorities
                    .map(|authority| Authority { key: *authority.public_key, weight: authority.weight.get() })
                    .collect();
                let set = authorities.try_into().map_err(|reason| FinalityError::Authorities { number, reason })?;
                // The chain itself respects the first one only.
                next.get_or_insert(set);
            }
            GrandpaConsensusLogRef::ScheduledChange(_) | GrandpaConsensusLogRef::ForcedChange { .. } => {
                return Err(FinalityError::Forced(number));
            }
            GrandpaConsensusLogRef::OnDisabled(_)
            | GrandpaConsensusLogRef::Pause(_)
            | GrandpaConsensusLogRef::Resume(_) => {}
        }
    }
    Ok(next)
}
