//! What a layer says, once it is open.

use super::{
    PathBroken,
    frame::{BACKWARD, FORWARD},
};
use skep_primitives::ServiceNodeId;
use std::ops::Range;

pub(super) const RELAY: u8 = FORWARD;
const DELIVER: u8 = 3;
const ANSWER: u8 = 3;
const FAILED: u8 = 4;

/// Bytes before the next hop's layer in a layer that is to be passed on.
pub(super) const RELAY_HEAD: usize = 1 + 8;
const DELIVER_HEAD: usize = 1 + 32 + 4;
const ANSWER_HEAD: usize = 1 + 2 + 4;

/// The smallest size class.
const LEAST_SIZE: usize = 1024;

/// The size class of `size` bytes: at least a kibibyte, and above that PADMÉ (Nikitin et al., "Reducing Metadata Leakage from
/// Encrypted Files and Communication with PURBs", 2019), which adds an eighth at most and leaves as few classes as a
/// floating-point number of that size has mantissa bits.
pub const fn padded_size(size: usize) -> usize {
    if size <= LEAST_SIZE {
        return LEAST_SIZE;
    }
    let exponent = size.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1 << (exponent - kept_bits)) - 1;
    match size.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => size,
    }
}

/// Why a hop cannot go on. Told under its own key: no other hop can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HopFailure {
    /// The next node is not in its roster.
    #[error("the next node is not in the roster")]
    NextNotFound,
    /// The next node does not answer.
    #[error("the next node does not answer")]
    NextSilent,
    /// The next node knows no established paths.
    #[error("the next node serves no established paths")]
    NextUnsupported,
    /// The next node does not know this path, or says so.
    #[error("the next node does not know the path any more")]
    NextBroken,
    /// The next node has no room.
    #[error("the next node is busy")]
    NextBusy,
    /// The next node answers something that is no answer.
    #[error("the next node answers nothing that makes sense")]
    NextInvalid,
}

impl HopFailure {
    const ALL: [Self; 6] = [
        Self::NextNotFound,
        Self::NextSilent,
        Self::NextUnsupported,
        Self::NextBroken,
        Self::NextBusy,
        Self::NextInvalid,
    ];

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::NextNotFound => 1,
            Self::NextSilent => 2,
            Self::NextUnsupported => 3,
            Self::NextBroken => 4,
            Self::NextBusy => 5,
            Self::NextInvalid => 6,
        }
    }

    pub(super) fn from_code(code: u8) -> Result<Self, PathBroken> {
        Self::ALL.into_iter().find(|failure| failure.code() == code).ok_or(PathBroken)
    }
}

/// What a layer tells a hop to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Pass the rest on to the next hop, under this number.
    Relay { number: u64 },
    /// Give these bytes of the layer to a node.
    Deliver { destination: ServiceNodeId, body: Range<usize> },
}

impl Instruction {
    pub(super) fn parse(layer: &[u8]) -> Result<Self, PathBroken> {
        let (kind, rest) = layer.split_first().ok_or(PathBroken)?;
        match *kind {
            RELAY => {
                let (number, _) = rest.split_first_chunk().ok_or(PathBroken)?;
                Ok(Self::Relay { number: u64::from_le_bytes(*number) })
            }
            DELIVER => {
                let (destination, rest) = rest.split_first_chunk().ok_or(PathBroken)?;
                let body = body_range(rest, DELIVER_HEAD)?;
                Ok(Self::Deliver { destination: ServiceNodeId(*destination), body })
            }
            _ => Err(PathBroken),
        }
    }
}

/// What a layer tells the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The next hop's layer is behind the first byte.
    Relayed,
    /// The destination's answer is these bytes of the layer.
    Answer { status: u16, body: Range<usize> },
    /// The hop cannot go on.
    Failed(HopFailure),
}

impl Report {
    pub(super) fn parse(layer: &[u8]) -> Result<Self, PathBroken> {
        let (kind, rest) = layer.split_first().ok_or(PathBroken)?;
        match *kind {
            BACKWARD => Ok(Self::Relayed),
            ANSWER => {
                let (status, rest) = rest.split_first_chunk().ok_or(PathBroken)?;
                let body = body_range(rest, ANSWER_HEAD)?;
                Ok(Self::Answer { status: u16::from_le_bytes(*status), body })
            }
            FAILED => Ok(Self::Failed(HopFailure::from_code(*rest.first().ok_or(PathBroken)?)?)),
            _ => Err(PathBroken),
        }
    }
}

/// Where the body is in a layer with `head` bytes before it; `rest` begins with its length. What is behind it is padding.
fn body_range(rest: &[u8], head: usize) -> Result<Range<usize>, PathBroken> {
    let (length, rest) = rest.split_first_chunk().ok_or(PathBroken)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| PathBroken)?;
    rest.get(..length).ok_or(PathBroken)?;
    Ok(head..head + length)
}

/// The layer of the last hop.
pub(super) fn deliver(destination: ServiceNodeId, body: &[u8]) -> Result<Vec<u8>, PathBroken> {
    padded(&[&[DELIVER], &destination.0, &length(body)?, body])
}

/// The layer with the destination's answer.
pub(super) fn answer(status: u16, body: &[u8]) -> Result<Vec<u8>, PathBroken> {
    padded(&[&[ANSWER], &status.to_le_bytes(), &length(body)?, body])
}

/// The layer that tells why a hop cannot go on.
pub(super) fn failed(failure: HopFailure) -> Result<Vec<u8>, PathBroken> {
    padded(&[&[FAILED, failure.code()]])
}

fn length(body: &[u8]) -> Result<[u8; 4], PathBroken> {
    u32::try_from(body.len()).map(u32::to_le_bytes).map_err(|_| PathBroken)
}

fn padded(parts: &[&[u8]]) -> Result<Vec<u8>, PathBroken> {
    let size = padded_size(parts.iter().map(|part| part.len()).sum());
    let mut layer = Vec::with_capacity(size);
    parts.iter().for_each(|part| layer.extend_from_slice(part));
    layer.resize(size, 0);
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn what_is_written_is_read_and_has_the_size_of_its_class(
            destination: [u8; 32],
            status: u16,
            body in vec(any::<u8>(), 0..3000),
        ) {
            let destination = ServiceNodeId(destination);
            let layer = deliver(destination, &body).unwrap();
            prop_assert_eq!(padded_size(layer.len()), layer.len());
            let Ok(Instruction::Deliver { destination: read, body: range }) = Instruction::parse(&layer) else {
                return Err(TestCaseError::fail("not read"));
            };
            prop_assert_eq!((read, &layer[range]), (destination, &body[..]));
            let layer = answer(status, &body).unwrap();
            prop_assert_eq!(padded_size(layer.len()), layer.len());
            let Ok(Report::Answer { status: read, body: range }) = Report::parse(&layer) else {
                return Err(TestCaseError::fail("not read"));
            };
            prop_assert_eq!((read, &layer[range]), (status, &body[..]));
        }

        #[test]
        fn classes_hold_what_they_are_for_and_little_more(size in 0_usize..20_000_000) {
            let class = padded_size(size);
            prop_assert!(class >= size.max(LEAST_SIZE));
            prop_assert!(class <= LEAST_SIZE || class - size <= size / 8);
            prop_assert_eq!(padded_size(class), class);
            prop_assert!(padded_size(size + 1) >= class);
        }

        #[test]
        fn any_bytes_are_read_or_refused(layer in vec(any::<u8>(), 0..80)) {
            let _ = (Instruction::parse(&layer), Report::parse(&layer));
        }
    }

    #[test]
    fn there_are_few_classes() {
        let mut classes: Vec<_> = (0..=1_000_000).map(padded_size).collect();
        classes.dedup();
        assert!(classes.len() < 256, "{}", classes.len());
        assert_eq!(padded_size(usize::MAX), usize::MAX);
    }

    #[test]
    fn lengths_beyond_the_layer_are_refused() {
        let mut layer = deliver(ServiceNodeId([1; 32]), b"body").unwrap();
        layer[33..37].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Instruction::parse(&layer), Err(PathBroken));
        let mut layer = answer(200, b"body").unwrap();
        layer[3..7].copy_from_slice(&2000_u32.to_le_bytes());
        assert_eq!(Report::parse(&layer), Err(PathBroken));
    }

    #[test]
    fn failures_survive_their_codes() {
        for failure in HopFailure::ALL {
            assert_eq!(Report::parse(&failed(failure).unwrap()), Ok(Report::Failed(failure)));
        }
        assert_eq!(Report::parse(&[FAILED, 0]), Err(PathBroken));
        assert_eq!(Report::parse(&[FAILED]), Err(PathBroken));
    }
}
