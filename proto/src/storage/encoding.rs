//! Base64 as existing clients write it: the standard alphabet, with or without padding.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Writes padding.
pub(super) const PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
/// Writes no padding.
pub(super) const UNPADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG.with_encode_padding(false));

/// Bytes from base64, padded or not. `None` if it is not base64.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    PADDED.decode(text).ok()
}

/// Exactly `N` bytes from base64.
pub(super) fn decode_exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Two more characters than the padded form would already be too long: refuse before allocating.
    (text.len() <= N.div_ceil(3) * 4).then(|| decode_base64(text)).flatten()?.try_into().ok()
}

/// Byte vectors as base64 in JSON.
pub(super) mod bytes {
    use super::{Engine, PADDED, decode_base64};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::storage) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&PADDED.encode(bytes))
    }

    pub(in crate::storage) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_base64(&text).ok_or_else(|| de::Error::custom("expected base64"))
    }
}

/// Ed25519 signatures as base64 in JSON.
pub(super) mod signature {
    use super::{Engine, PADDED, decode_exactly};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::storage) fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&PADDED.encode(bytes))
    }

    pub(in crate::storage) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_exactly(&text).ok_or_else(|| de::Error::custom("expected a signature: 64 bytes in base64"))
    }
}
