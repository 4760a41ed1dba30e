//! What goes over one link of a path, and back.

use std::fmt;

/// Names a path on one link; chosen at random by the hop at its far end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathId(pub(super) [u8; Self::LEN]);

impl PathId {
    /// Bytes of a name.
    pub const LEN: usize = 16;
}

impl fmt::Debug for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathId(..)")
    }
}

/// The bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of an established path")]
pub struct MalformedFrame;

const OPEN: u8 = 1;
pub(super) const FORWARD: u8 = 2;
const CLOSE: u8 = 3;
const OPENED: u8 = 1;
pub(super) const BACKWARD: u8 = 2;

/// Bytes of a Forward frame before its layer.
pub(super) const FORWARD_HEAD: usize = 1 + PathId::LEN + 8;

/// A frame as a hop receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFrame<'a> {
    /// Make a path.
    Open {
        /// The first message of the handshake.
        handshake: &'a [u8],
    },
    /// A request on a path.
    Forward {
        /// Which.
        path: PathId,
        /// The request's number at this hop.
        number: u64,
        /// This hop's layer.
        sealed: &'a [u8],
    },
    /// The path is not needed any more.
    Close {
        /// Which.
        path: PathId,
    },
}

impl<'a> LinkFrame<'a> {
    /// Reads a frame. It takes no memory, and nothing has been decrypted.
    ///
    /// # Errors
    /// [`MalformedFrame`].
    pub fn parse(frame: &'a [u8]) -> Result<Self, MalformedFrame> {
        let (kind, rest) = frame.split_first().ok_or(MalformedFrame)?;
        match *kind {
            OPEN => Ok(Self::Open { handshake: rest }),
            FORWARD => {
                let (path, rest) = rest.split_first_chunk().ok_or(MalformedFrame)?;
                let (number, sealed) = rest.split_first_chunk().ok_or(MalformedFrame)?;
                Ok(Self::Forward { path: PathId(*path), number: u64::from_le_bytes(*number), sealed })
            }
            CLOSE => Ok(Self::Close { path: PathId(rest.try_into().map_err(|_| MalformedFrame)?) }),
            _ => Err(MalformedFrame),
        }
    }

    /// An Open frame.
    pub(super) fn open(handshake: &[u8]) -> Vec<u8> {
        [&[OPEN], handshake].concat()
    }

    /// A Close frame.
    pub(super) fn close(path: PathId) -> Vec<u8> {
        [&[CLOSE], &path.0[..]].concat()
    }
}

/// Fills in what stands before the layer of a Forward frame: [`FORWARD_HEAD`] bytes.
pub(super) fn write_forward_head(frame: &mut [u8], path: PathId, number: u64) {
    let number = number.to_le_bytes();
    let head = [FORWARD].into_iter().chain(path.0).chain(number);
    frame.iter_mut().zip(head).for_each(|(to, from)| *to = from);
}

/// A frame as whoever asked receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFrame<'a> {
    /// The hop's answer to an Open frame.
    Opened {
        /// The path's name on this link.
        path: PathId,
        /// The second message of the handshake.
        handshake: &'a [u8],
    },
    /// The hop's answer to a Forward frame.
    Backward {
        /// Its layer.
        sealed: &'a [u8],
    },
}

impl<'a> AnswerFrame<'a> {
    /// Reads a frame. It takes no memory, and nothing has been decrypted.
    ///
    /// # Errors
    /// [`MalformedFrame`].
    pub fn parse(frame: &'a [u8]) -> Result<Self, MalformedFrame> {
        let (kind, rest) = frame.split_first().ok_or(MalformedFrame)?;
        match *kind {
            OPENED => {
                let (path, handshake) = rest.split_first_chunk().ok_or(MalformedFrame)?;
                Ok(Self::Opened { path: PathId(*path), handshake })
            }
            BACKWARD => Ok(Self::Backward { sealed: rest }),
            _ => Err(MalformedFrame),
        }
    }

    /// An Opened frame.
    pub(super) fn opened(path: PathId, handshake: &[u8]) -> Vec<u8> {
        [&[OPENED], &path.0[..], handshake].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn frames_read_as_they_were_written(path: [u8; 16], number: u64, body in vec(any::<u8>(), 0..100)) {
            let path = PathId(path);
            let mut forward = vec![0; FORWARD_HEAD];
            forward.extend_from_slice(&body);
            write_forward_head(&mut forward, path, number);
            prop_assert_eq!(LinkFrame::parse(&forward), Ok(LinkFrame::Forward { path, number, sealed: &body }));
            let open = LinkFrame::open(&body);
            prop_assert_eq!(LinkFrame::parse(&open), Ok(LinkFrame::Open { handshake: &body }));
            let close = LinkFrame::close(path);
            prop_assert_eq!(LinkFrame::parse(&close), Ok(LinkFrame::Close { path }));
            let opened = AnswerFrame::opened(path, &body);
            prop_assert_eq!(AnswerFrame::parse(&opened), Ok(AnswerFrame::Opened { path, handshake: &body }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(frame in vec(any::<u8>(), 0..60)) {
            let _ = (LinkFrame::parse(&frame), AnswerFrame::parse(&frame));
        }
    }

    #[test]
    fn short_and_unknown_frames_are_refused() {
        for frame in [&b""[..], &[0], &[9; 40], &[FORWARD; FORWARD_HEAD - 1], &[CLOSE; 16], &[CLOSE; 18]] {
            assert_eq!(LinkFrame::parse(frame), Err(MalformedFrame));
        }
        for frame in [&b""[..], &[0], &[3; 40], &[OPENED; 16]] {
            assert_eq!(AnswerFrame::parse(frame), Err(MalformedFrame));
        }
    }
}
