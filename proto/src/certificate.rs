//! How a service node's HTTPS certificate says whose it is.
//!
//! Browsers and phones want an ECDSA certificate, nodes are known by an Ed25519 key. So the certificate is self-signed with a
//! key of its own and carries an extension in which the node key signs that key, as libp2p's TLS handshake does. Whoever
//! knows the node's Ed25519 key (from the roster) can so verify the connection without any authority.
//!
//! ```text
//! extension 2.25.7167297183480521297, not critical:
//!     SEQUENCE { OCTET STRING nodeKey (32 bytes), OCTET STRING signature (64 bytes) }
//! signature = Ed25519 by nodeKey over "skep/tls-certificate/1" | SubjectPublicKeyInfo of the certificate (DER)
//! ```
//!
//! Pure over bytes: finding the extension and the key in a certificate, and the Ed25519 check, are the caller's.
//! A verifier must also check the handshake's own signature against the certificate's key.

/// Object identifier of the extension: an arc under 2.25 needs no registration (ITU-T X.667).
pub const EXTENSION_OID: [u64; 3] = [2, 25, 7_167_297_183_480_521_297];

const LABEL: &[u8] = b"skep/tls-certificate/1";
/// SEQUENCE of 100 bytes; OCTET STRING of 32 bytes.
const HEAD: [u8; 4] = [0x30, 100, 0x04, 32];
/// OCTET STRING of 64 bytes.
const MIDDLE: [u8; 2] = [0x04, 64];

/// Who vouches for a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeBinding {
    /// The node's Ed25519 key.
    pub node: [u8; 32],
    /// Its signature over [`signed_message`].
    pub signature: [u8; 64],
}

/// The extension is not as this module writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate's node extension is malformed")]
pub struct ReadBindingError;

/// What the node key signs, given the DER of the certificate's `SubjectPublicKeyInfo`.
pub fn signed_message(subject_public_key_info: &[u8]) -> Vec<u8> {
    [LABEL, subject_public_key_info].concat()
}

impl NodeBinding {
    /// The extension's value.
    pub fn to_der(&self) -> Vec<u8> {
        [&HEAD[..], &self.node, &MIDDLE, &self.signature].concat()
    }

    /// Reads the extension's value. There is one encoding: any other bytes are refused.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadBindingError> {
        let node = der.strip_prefix(&HEAD).and_then(<[u8]>::split_first_chunk);
        let (node, rest) = node.ok_or(ReadBindingError)?;
        let signature = rest.strip_prefix(&MIDDLE).and_then(|signature| signature.try_into().ok());
        Ok(Self { node: *node, signature: signature.ok_or(ReadBindingError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_value_reads_back_and_has_one_encoding(node: [u8; 32], half: [u8; 32], at in 0_usize..102, bit in 0_u32..8) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&half);
            let binding = NodeBinding { node, signature };
            let mut der = binding.to_der();
            prop_assert_eq!(NodeBinding::from_der(&der), Ok(binding));
            der[at] ^= 1_u8 << bit;
            prop_assert_ne!(NodeBinding::from_der(&der), Ok(binding));
            der.push(0);
            prop_assert_eq!(NodeBinding::from_der(&der), Err(ReadBindingError));
        }

        #[test]
        fn other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..110)) {
            if let Ok(binding) = NodeBinding::from_der(&bytes) {
                prop_assert_eq!(binding.to_der(), bytes);
            }
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let der = NodeBinding { node: [0xaa; 32], signature: [0xbb; 64] }.to_der();
        assert_eq!(der.len(), 102);
        assert_eq!(der[..5], hex!("30640420aa"));
        assert_eq!(der[35..39], hex!("aa0440bb"));
        assert_eq!(signed_message(b"key"), b"skep/tls-certificate/1key");
    }
}
