//! The keys agreed with one hop, and layers sealed with them.

use super::{
    PathBroken,
    noise::{TAG_BYTES, broken},
};
use snow::{HandshakeState, StatelessTransportState};
use std::fmt;

/// Most plaintext of one record: a Noise message has at most 65,535 bytes.
const RECORD_TEXT: usize = 65_535 - TAG_BYTES;
const RECORD: usize = RECORD_TEXT + TAG_BYTES;
/// Records of one layer, at most: far more than the largest request has.
const MAX_RECORDS: usize = 1 << 15;
/// Numbers end here, so that none reaches a nonce twice.
pub(super) const MAX_NUMBER: u64 = 1 << 47;

/// Both directions of what a client and one hop say to each other.
pub(super) struct Channel(StatelessTransportState);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel(..)")
    }
}

impl Channel {
    pub(super) fn new(handshake: HandshakeState) -> Result<Self, PathBroken> {
        handshake.into_stateless_transport_mode().map(Self).map_err(broken)
    }

    /// Seals a layer into `out`, behind `head` bytes that are left for the caller to fill.
    pub(super) fn seal(&self, number: u64, plaintext: &[u8], out: &mut Vec<u8>, head: usize) -> Result<(), PathBroken> {
        let records = plaintext.len().div_ceil(RECORD_TEXT).max(1);
        let total = plaintext.len() + records * TAG_BYTES;
        let mut left = room(out, head, total)?;
        let mut texts = plaintext.chunks(RECORD_TEXT);
        for record in 0..records {
            let text = texts.next().unwrap_or_default();
            let (sealed, rest) = left.split_at_mut_checked(text.len() + TAG_BYTES).ok_or(PathBroken)?;
            let written = self.0.write_message(nonce(number, record, records)?, text, sealed).map_err(broken)?;
            if written != sealed.len() {
                return Err(PathBroken);
            }
            left = rest;
        }
        Ok(())
    }

    /// Opens a layer into `out`, behind `head` bytes that are left for the caller to fill.
    pub(super) fn open(&self, number: u64, sealed: &[u8], out: &mut Vec<u8>, head: usize) -> Result<(), PathBroken> {
        let records = sealed.len().div_ceil(RECORD).max(1);
        let total = sealed.len().checked_sub(records * TAG_BYTES).ok_or(PathBroken)?;
        let mut left = room(out, head, total)?;
        for (record, sealed) in sealed.chunks(RECORD).enumerate() {
            let length = sealed.len().checked_sub(TAG_BYTES).ok_or(PathBroken)?;
            let (text, rest) = left.split_at_mut_checked(length).ok_or(PathBroken)?;
            let read = self.0.read_message(nonce(number, record, records)?, sealed, text).map_err(broken)?;
            if read != length {
                return Err(PathBroken);
            }
            left = rest;
        }
        Ok(())
    }
}

/// `total` bytes of `out` behind `head`. What the buffer held before is overwritten, not wiped first.
fn room(out: &mut Vec<u8>, head: usize, total: usize) -> Result<&mut [u8], PathBroken> {
    out.resize(head + total, 0);
    out.get_mut(head..).ok_or(PathBroken)
}

/// Number, place of the record, and whether it is the last.
fn nonce(number: u64, record: usize, records: usize) -> Result<u64, PathBroken> {
    if number >= MAX_NUMBER || records > MAX_RECORDS {
        return Err(PathBroken);
    }
    let place = u64::try_from(record).map_err(|_| PathBroken)?;
    Ok(number << 16 | place << 1 | u64::from(record + 1 == records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        established::noise::{Initiator, Responder},
        hop::HopSecret,
    };
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    fn pair() -> (Channel, Channel) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let hop = HopSecret::from_x25519(&[5; 32]);
        let (initiator, message) = Initiator::start(&hop.public(), b"", &mut rng).unwrap();
        let (responder, _) = Responder::accept(&hop, &message, &mut rng).unwrap();
        let (hop, answer) = responder.finish(b"").unwrap();
        (initiator.finish(&answer).unwrap().0, hop)
    }

    fn sealed(channel: &Channel, number: u64, text: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 100];
        channel.seal(number, text, &mut out, 3).unwrap();
        out.split_off(3)
    }

    #[test]
    fn layers_of_any_size_open_in_both_directions() {
        let (client, hop) = pair();
        for size in [0, 1, RECORD_TEXT - 1, RECORD_TEXT, RECORD_TEXT + 1, 3 * RECORD_TEXT] {
            let text: Vec<u8> = (0..size).map(|at| at as u8).collect();
            for (from, to) in [(&client, &hop), (&hop, &client)] {
                let sealed = sealed(from, 7, &text);
                assert_eq!(sealed.len(), size + size.div_ceil(RECORD_TEXT).max(1) * TAG_BYTES);
                let mut opened = Vec::new();
                to.open(7, &sealed, &mut opened, 2).unwrap();
                assert_eq!(opened[2..], text);
                // Not for another number, and not in the other direction.
                assert_eq!(to.open(8, &sealed, &mut opened, 0), Err(PathBroken));
                assert_eq!(from.open(7, &sealed, &mut opened, 0), Err(PathBroken));
            }
        }
    }

    #[test]
    fn records_cannot_be_left_out_or_exchanged() {
        let (client, hop) = pair();
        let whole = sealed(&client, 1, &vec![1; 2 * RECORD_TEXT + 5]);
        let (first, rest) = whole.split_at(RECORD);
        let (second, last) = rest.split_at(RECORD);
        let mut out = Vec::new();
        for wrong in [
            [first, second].concat(),
            [first, last].concat(),
            [second, first, last].concat(),
            [first, second, second, last].concat(),
            [first, second, last, last].concat(),
            last.to_vec(),
            Vec::new(),
        ] {
            assert_eq!(hop.open(1, &wrong, &mut out, 0), Err(PathBroken));
        }
        hop.open(1, &whole, &mut out, 0).unwrap();
    }

    #[test]
    fn numbers_end_before_nonces_do() {
        let (client, _) = pair();
        let mut out = Vec::new();
        assert_eq!(client.seal(MAX_NUMBER - 1, b"", &mut out, 0), Ok(()));
        assert_eq!(client.seal(MAX_NUMBER, b"", &mut out, 0), Err(PathBroken));
        assert_eq!(client.seal(u64::MAX, b"", &mut out, 0), Err(PathBroken));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_changed_bit_is_noticed(text: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32) {
            let (client, hop) = pair();
            let mut sealed = sealed(&client, 3, &text);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(hop.open(3, &sealed, &mut Vec::new(), 0), Err(PathBroken));
            prop_assert_eq!(hop.open(3, &sealed[..at], &mut Vec::new(), 0), Err(PathBroken));
        }
    }
}
