//! A client's side of a path.

use super::{
    MAX_PATH_HOPS, PathBroken,
    channel::Channel,
    frame::{AnswerFrame, FORWARD_HEAD, LinkFrame, PathId, write_forward_head},
    hop::{Joined, opening_before, opening_of_last},
    layer::{self, HopFailure, RELAY, RELAY_HEAD, Report},
    noise::Initiator,
};
use crate::hop::Hop;
use rand::{CryptoRng, Rng};
use skep_primitives::ServiceNodeId;
use std::{fmt, sync::Arc};

/// A path that was asked for, and whose first hop has not answered yet.
pub struct PathOpening {
    /// Guard first.
    initiators: Vec<Initiator>,
    firsts: Vec<u64>,
}

impl fmt::Debug for PathOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathOpening").field("hops", &self.initiators.len()).finish_non_exhaustive()
    }
}

/// Why a path was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenPathError {
    /// There is no such path.
    #[error("a path has 1 to {MAX_PATH_HOPS} hops with usable keys")]
    NoPath,
    /// What came back is not an answer of the hop with this place in the path, guard 0.
    #[error("hop {0} gave no answer of its own: it or a hop before it is to blame")]
    Forged(usize),
    /// The hop with this place says that it cannot go on.
    #[error("hop {at}: {failure}")]
    Failed {
        /// The hop's place, guard 0.
        at: usize,
        /// Why.
        failure: HopFailure,
    },
}

impl PathOpening {
    /// The Open frame for the first of `hops`.
    ///
    /// # Errors
    /// [`OpenPathError::NoPath`].
    pub fn start(hops: &[Hop], rng: &mut impl CryptoRng) -> Result<(Self, Vec<u8>), OpenPathError> {
        let no_path = |_| OpenPathError::NoPath;
        if hops.len() > MAX_PATH_HOPS {
            return Err(OpenPathError::NoPath);
        }
        let (mut initiators, mut behind): (Vec<_>, Option<(ServiceNodeId, Vec<u8>)>) = (Vec::new(), None);
        for hop in hops.iter().rev() {
            let payload = match &behind {
                None => opening_of_last(),
                Some((next, handshake)) => opening_before(*next, handshake),
            };
            let (initiator, handshake) = Initiator::start(&hop.x25519, &payload, rng).map_err(no_path)?;
            initiators.push(initiator);
            behind = Some((hop.id, handshake));
        }
        initiators.reverse();
        let (_, handshake) = behind.ok_or(OpenPathError::NoPath)?;
        // Far from where numbers end, and of no use for telling paths or hops apart.
        let firsts = hops.iter().map(|_| rng.random::<u32>().into()).collect();
        Ok((Self { initiators, firsts }, LinkFrame::open(&handshake)))
    }

    /// Reads the guard's answer.
    ///
    /// # Errors
    /// [`OpenPathError`] says which hop is to blame, as far as that can be told.
    pub fn finish(self, answer: &[u8]) -> Result<EstablishedPath, OpenPathError> {
        let Ok(AnswerFrame::Opened { path, handshake }) = AnswerFrame::parse(answer) else {
            return Err(OpenPathError::Forged(0));
        };
        let count = self.initiators.len();
        let mut handshake = handshake.to_vec();
        let mut layers = Vec::with_capacity(count);
        for (at, (initiator, first)) in self.initiators.into_iter().zip(self.firsts).enumerate() {
            let forged = |PathBroken| OpenPathError::Forged(at);
            let (channel, payload) = initiator.finish(&handshake).map_err(forged)?;
            layers.push(Layer { channel, first });
            handshake = match Joined::parse(&payload).map_err(forged)? {
                Joined::Last if at + 1 == count => Vec::new(),
                Joined::Next(handshake) if at + 1 < count => handshake,
                Joined::Failed(failure) => return Err(OpenPathError::Failed { at, failure }),
                Joined::Last | Joined::Next(_) => return Err(OpenPathError::Forged(at)),
            };
        }
        Ok(EstablishedPath { path, layers: layers.into(), next: 0 })
    }
}

/// The keys agreed with one hop, and the number its requests begin with.
struct Layer {
    channel: Channel,
    first: u64,
}

/// A path all of whose hops have agreed. Dropping it, and every [`AnswerReader`] of it, wipes the keys.
pub struct EstablishedPath {
    path: PathId,
    /// Guard first.
    layers: Arc<[Layer]>,
    next: u64,
}

impl fmt::Debug for EstablishedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EstablishedPath").field("hops", &self.layers.len()).finish_non_exhaustive()
    }
}

/// A request, ready to be sent.
#[derive(Debug)]
pub struct SealedRequest {
    /// The Forward frame for the guard.
    pub frame: Vec<u8>,
    /// Reads the answer.
    pub reader: AnswerReader,
}

impl EstablishedPath {
    /// Seals the body of an onion request for `destination`.
    ///
    /// # Errors
    /// [`PathBroken`]: the body is too large for any request.
    pub fn seal(&mut self, destination: ServiceNodeId, body: &[u8]) -> Result<SealedRequest, PathBroken> {
        let number = self.next;
        self.next += 1;
        let mut plain = layer::deliver(destination, body)?;
        let (guard, others) = self.layers.split_first().ok_or(PathBroken)?;
        let mut sealed = Vec::new();
        for layer in others.iter().rev() {
            let number = layer.first + number;
            layer.channel.seal(number, &plain, &mut sealed, RELAY_HEAD)?;
            let head = [RELAY].into_iter().chain(number.to_le_bytes());
            sealed.iter_mut().zip(head).for_each(|(to, from)| *to = from);
            std::mem::swap(&mut plain, &mut sealed);
        }
        let guard_number = guard.first + number;
        guard.channel.seal(guard_number, &plain, &mut sealed, FORWARD_HEAD)?;
        write_forward_head(&mut sealed, self.path, guard_number);
        Ok(SealedRequest { frame: sealed, reader: AnswerReader { layers: Arc::clone(&self.layers), number } })
    }

    /// The Close frame for the guard.
    pub fn close(self) -> Vec<u8> {
        LinkFrame::close(self.path)
    }
}

/// Reads the answer to one request.
pub struct AnswerReader {
    layers: Arc<[Layer]>,
    number: u64,
}

impl fmt::Debug for AnswerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerReader").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What the destination answered, as the last hop tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathAnswer {
    /// Status of the onion request: 200, or that of a [`PathError`](crate::PathError) of the destination's.
    pub status: u16,
    /// Its body: sealed by the destination, if the status is 200.
    pub body: Vec<u8>,
}

/// There is no answer of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadAnswerError {
    /// What came back is no answer of the hop with this place, guard 0, to this request.
    #[error("hop {0} gave no answer of its own: it or a hop before it is to blame")]
    Forged(usize),
    /// The hop with this place says that it cannot go on.
    #[error("hop {at}: {failure}")]
    Failed {
        /// The hop's place, guard 0.
        at: usize,
        /// Why.
        failure: HopFailure,
    },
}

impl AnswerReader {
    /// Reads the guard's Backward frame.
    ///
    /// # Errors
    /// [`ReadAnswerError`] says which hop is to blame, as far as that can be told.
    pub fn read(&self, frame: &[u8]) -> Result<PathAnswer, ReadAnswerError> {
        let Ok(AnswerFrame::Backward { sealed }) = AnswerFrame::parse(frame) else {
            return Err(ReadAnswerError::Forged(0));
        };
        let (mut opened, mut sealed) = (Vec::new(), sealed.to_vec());
        let last = self.layers.len().saturating_sub(1);
        for (at, layer) in self.layers.iter().enumerate() {
            let forged = |PathBroken| ReadAnswerError::Forged(at);
            let head = usize::from(at > 0);
            let bytes = sealed.get(head..).unwrap_or_default();
            layer.channel.open(layer.first + self.number, bytes, &mut opened, 0).map_err(forged)?;
            match Report::parse(&opened).map_err(forged)? {
                Report::Relayed if at < last => std::mem::swap(&mut sealed, &mut opened),
                Report::Answer { status, body } => {
                    opened.truncate(body.end);
                    opened.drain(..body.start);
                    return Ok(PathAnswer { status, body: opened });
                }
                Report::Failed(failure) => return Err(ReadAnswerError::Failed { at, failure }),
                Report::Relayed => return Err(ReadAnswerError::Forged(at)),
            }
        }
        Err(ReadAnswerError::Forged(last))
    }
}
