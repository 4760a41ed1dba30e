//! A hop's side of one path.

use super::{
    MAX_PATH_HOPS, PathBroken,
    channel::Channel,
    frame::{AnswerFrame, BACKWARD, FORWARD_HEAD, LinkFrame, PathId, write_forward_head},
    layer::{self, HopFailure, Instruction, RELAY_HEAD},
    noise::Responder,
    window::Window,
};
use crate::hop::HopSecret;
use rand::CryptoRng;
use skep_primitives::ServiceNodeId;
use std::{
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// What the opening says to a hop: that it is the last one, or who is next.
const LAST: u8 = 0;
const NEXT: u8 = 1;
/// What a hop answers in it: the next hop's answer, that there is none, or why it has none.
const OPENED: u8 = 1;
const FAILED: u8 = 4;

/// A client's opening, read; not answered yet.
pub struct Accepted {
    responder: Responder,
    next: Option<NextHop>,
    ephemeral: [u8; 32],
}

/// Whom an opening is to be passed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The node.
    pub node: ServiceNodeId,
    /// The Open frame for it.
    pub frame: Vec<u8>,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Accepted {
    /// Reads the handshake of an Open frame.
    ///
    /// # Errors
    /// [`PathBroken`]: it is not for this hop, or malformed.
    pub fn read(secret: &HopSecret, handshake: &[u8], rng: &mut impl CryptoRng) -> Result<Self, PathBroken> {
        let (responder, payload) = Responder::accept(secret, handshake, rng)?;
        let (ephemeral, _) = handshake.split_first_chunk().ok_or(PathBroken)?;
        let next = match payload.split_first() {
            Some((&LAST, [])) => None,
            Some((&NEXT, rest)) => {
                let (node, handshake) = rest.split_first_chunk().ok_or(PathBroken)?;
                Some(NextHop { node: ServiceNodeId(*node), frame: LinkFrame::open(handshake) })
            }
            _ => return Err(PathBroken),
        };
        Ok(Self { responder, next, ephemeral: *ephemeral })
    }

    /// The client's key for this handshake: a [`ReplayGuard`](crate::ReplayGuard) knows whether it was used before.
    pub const fn ephemeral_key(&self) -> &[u8; 32] {
        &self.ephemeral
    }

    /// Who is next, if this is not the last hop.
    pub const fn next(&self) -> Option<&NextHop> {
        self.next.as_ref()
    }

    /// Answers as the last hop. The path, and the message for [`PathTable::insert`](super::PathTable::insert).
    ///
    /// # Errors
    /// [`PathBroken`]: there is a next hop.
    pub fn end(self) -> Result<(HopPath, Vec<u8>), PathBroken> {
        if self.next.is_some() {
            return Err(PathBroken);
        }
        let (channel, handshake) = self.responder.finish(&[LAST])?;
        Ok((HopPath::new(channel, None), handshake))
    }

    /// Answers with the next hop's answer to its Open frame.
    ///
    /// # Errors
    /// [`PathBroken`]: that is no Opened frame, or there is no next hop.
    pub fn joined(self, next_answer: &[u8]) -> Result<(HopPath, Vec<u8>), PathBroken> {
        let next = self.next.ok_or(PathBroken)?;
        let Ok(AnswerFrame::Opened { path, handshake }) = AnswerFrame::parse(next_answer) else {
            return Err(PathBroken);
        };
        let (channel, handshake) = self.responder.finish(&[&[OPENED], handshake].concat())?;
        Ok((HopPath::new(channel, Some((next.node, path))), handshake))
    }

    /// Answers that the path goes no further. There is no path then; the answer to the Open frame.
    ///
    /// # Errors
    /// [`PathBroken`] if the library fails.
    pub fn failed(self, failure: HopFailure, rng: &mut impl CryptoRng) -> Result<Vec<u8>, PathBroken> {
        let (_, handshake) = self.responder.finish(&[FAILED, failure.code()])?;
        let mut path = [0; PathId::LEN];
        rng.fill_bytes(&mut path);
        Ok(AnswerFrame::opened(PathId(path), &handshake))
    }
}

/// What a hop says in its answer to an opening, as the client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Last,
    Next(Vec<u8>),
    Failed(HopFailure),
}

impl Joined {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, PathBroken> {
        match payload.split_first() {
            Some((&LAST, [])) => Ok(Self::Last),
            Some((&OPENED, handshake)) => Ok(Self::Next(handshake.to_vec())),
            Some((&FAILED, [code])) => HopFailure::from_code(*code).map(Self::Failed),
            _ => Err(PathBroken),
        }
    }
}

/// What the opening says to the last hop.
pub(super) fn opening_of_last() -> Vec<u8> {
    vec![LAST]
}

/// What the opening says to a hop with one behind it.
pub(super) fn opening_before(next: ServiceNodeId, handshake: &[u8]) -> Vec<u8> {
    const { assert!(MAX_PATH_HOPS * (1 + 32 + 48) + 1 < super::noise::MAX_HANDSHAKE_BYTES) };
    [&[NEXT], &next.0[..], handshake].concat()
}

/// One path, as a hop on it knows it: two neighbours and its own keys. Dropping it wipes the keys.
#[derive(Debug)]
pub struct HopPath {
    channel: Channel,
    next: Option<(ServiceNodeId, PathId)>,
    window: Mutex<Window>,
}

/// What a request on a path asks a hop to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Pass it on.
    Relay {
        /// To this node.
        next: ServiceNodeId,
        /// As this frame.
        frame: Vec<u8>,
    },
    /// Give it to its destination.
    Deliver {
        /// The node.
        destination: ServiceNodeId,
        /// The opened layer.
        layer: Vec<u8>,
        /// Which part of the layer is the body of an onion request.
        body: Range<usize>,
    },
}

impl HopPath {
    fn new(channel: Channel, next: Option<(ServiceNodeId, PathId)>) -> Self {
        Self { channel, next, window: Mutex::default() }
    }

    /// The next hop.
    pub fn next(&self) -> Option<ServiceNodeId> {
        self.next.map(|(node, _)| node)
    }

    /// The Close frame for the next hop.
    pub fn close_next(&self) -> Option<(ServiceNodeId, Vec<u8>)> {
        self.next.map(|(node, path)| (node, LinkFrame::close(path)))
    }

    /// Opens this hop's layer of a request into `buffer`, whose memory is used again: the frame to pass on is made in it.
    ///
    /// # Errors
    /// [`PathBroken`]: nothing of it was done, and nothing is to be.
    pub fn forward(&self, number: u64, sealed: &[u8], mut buffer: Vec<u8>) -> Result<Forwarded, PathBroken> {
        // The head of the next frame is longer than that of the layer: leave room for the difference, and nothing moves.
        const SPARE: usize = FORWARD_HEAD - RELAY_HEAD;
        self.channel.open(number, sealed, &mut buffer, SPARE)?;
        // Only now: a number nobody could have sealed must not use up one that somebody will.
        if !self.window.lock().unwrap_or_else(PoisonError::into_inner).accept(number) {
            return Err(PathBroken);
        }
        match (Instruction::parse(buffer.get(SPARE..).ok_or(PathBroken)?)?, self.next) {
            (Instruction::Relay { number }, Some((next, path))) => {
                write_forward_head(&mut buffer, path, number);
                Ok(Forwarded::Relay { next, frame: buffer })
            }
            (Instruction::Relay { .. }, None) => Err(PathBroken),
            (Instruction::Deliver { destination, body }, _) => {
                let body = body.start + SPARE..body.end + SPARE;
                Ok(Forwarded::Deliver { destination, layer: buffer, body })
            }
        }
    }

    /// Seals the next hop's Backward frame for the way back, into `buffer`.
    ///
    /// # Errors
    /// [`PathBroken`]: it is no Backward frame.
    pub fn relay_back(&self, number: u64, next_answer: &[u8], buffer: Vec<u8>) -> Result<Vec<u8>, PathBroken> {
        match AnswerFrame::parse(next_answer) {
            Ok(AnswerFrame::Backward { .. }) => self.seal_back(number, next_answer, buffer),
            Ok(AnswerFrame::Opened { .. }) | Err(_) => Err(PathBroken),
        }
    }

    /// Seals the destination's answer, into `buffer`.
    ///
    /// # Errors
    /// [`PathBroken`]: it is too large for any path.
    pub fn answer(&self, number: u64, status: u16, body: &[u8], buffer: Vec<u8>) -> Result<Vec<u8>, PathBroken> {
        self.seal_back(number, &layer::answer(status, body)?, buffer)
    }

    /// Seals why this hop cannot go on.
    ///
    /// # Errors
    /// [`PathBroken`] if the library fails.
    pub fn fail(&self, number: u64, failure: HopFailure) -> Result<Vec<u8>, PathBroken> {
        self.seal_back(number, &layer::failed(failure)?, Vec::new())
    }

    fn seal_back(&self, number: u64, layer: &[u8], mut buffer: Vec<u8>) -> Result<Vec<u8>, PathBroken> {
        self.channel.seal(number, layer, &mut buffer, 1)?;
        if let Some(kind) = buffer.first_mut() {
            *kind = BACKWARD;
        }
        Ok(buffer)
    }
}
