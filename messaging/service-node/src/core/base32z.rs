//! z-base-32, in which old clients expect a node's address.

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// Encodes most significant bits first, the last digit filled up with zero bits (Zooko's specification of z-base-32).
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u16, 0_u32);
    let mut push = |digit: u16| text.push(char::from(ALPHABET[usize::from(digit & 31)]));
    for byte in bytes {
        // At most four bits are left over from the bytes before.
        held = (held << 8 | u16::from(*byte)) & 0x0fff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(held >> bits);
        }
    }
    if bits > 0 {
        push(held << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::encode;

    // From the z-base-32 specification and its reference implementation's tests.
    #[test]
    fn known_vectors() {
        assert_eq!(encode(&[]), "");
        assert_eq!(encode(&[0xf0, 0xbf, 0xc7]), "6n9hq");
        assert_eq!(encode(&[0xd4, 0x7a, 0x04]), "4t7ye");
        assert_eq!(encode(b"hello"), "pb1sa5dx");
    }
}
