//! Padding to a few sizes, so that the length of a stored message tells little.

use crate::encryption::OVERHEAD;
use skep_proto::storage::limits::MAX_MESSAGE_BYTES;

/// The sizes of everything [`seal`](crate::seal) returns. Friend requests, acceptances, receipts, typing notices and short
/// texts all have the first; the last is the most a node stores.
pub const SIZE_CLASSES: [usize; 8] = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, MAX_MESSAGE_BYTES];

/// Ends the plaintext; only zeros follow (ISO/IEC 7816-4).
const MARK: u8 = 0x80;

/// Pads `bytes` so that their encryption has a size of [`SIZE_CLASSES`]. `None` if they are too long for the largest.
pub(crate) fn pad(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let room = |class: &usize| class.saturating_sub(OVERHEAD);
    let padded = SIZE_CLASSES.iter().map(room).find(|room| bytes.len() < *room)?;
    bytes.push(MARK);
    bytes.resize(padded, 0);
    Some(bytes)
}

/// What was padded. `None` if this is no padding.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (bytes, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&MARK)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn padding_comes_off(mut bytes: Vec<u8>, zeros in 0_usize..5) {
            bytes.resize(bytes.len() + zeros, 0);
            let padded = pad(bytes.clone()).unwrap();
            prop_assert!(SIZE_CLASSES.contains(&(padded.len() + OVERHEAD)));
            prop_assert_eq!(unpad(&padded), Some(bytes.as_slice()));
        }

        #[test]
        fn the_smallest_size_that_fits_is_taken(len in 0_usize..80_000) {
            let fitting = SIZE_CLASSES.into_iter().find(|class| len < class - OVERHEAD);
            prop_assert_eq!(pad(vec![1; len]).map(|padded| padded.len() + OVERHEAD), fitting);
        }

        #[test]
        fn strangers_padding_never_panics(bytes: Vec<u8>) {
            if let Some(inner) = unpad(&bytes) {
                prop_assert!(inner.len() < bytes.len());
            }
        }
    }

    #[test]
    fn bytes_without_a_mark_are_not_padded() {
        for bytes in [&[][..], &[0], &[0; 976], &[1, 0, 0], &[0x80, 1]] {
            assert_eq!(unpad(bytes), None);
        }
    }
}
