//! How states are kept: JSON, in memory that is wiped.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Write};
use zeroize::Zeroizing;

/// The bytes are no state this version wrote.
#[derive(Debug, thiserror::Error)]
#[error("the kept {what} is damaged or from another version")]
pub struct UnpickleError {
    what: &'static str,
    source: serde_json::Error,
}

/// The bytes to keep. They hold secrets: store them encrypted.
pub(crate) fn pickle(state: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Measured first: growing would leave copies behind.
    let mut measure = Measure(0);
    let _ = serde_json::to_writer(&mut measure, state);
    let mut bytes = Zeroizing::new(Vec::with_capacity(measure.0));
    // Neither writing to memory nor serializing plain structures can fail.
    let _ = serde_json::to_writer(&mut *bytes, state);
    bytes
}

pub(crate) fn unpickle<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, UnpickleError> {
    serde_json::from_slice(bytes).map_err(|source| UnpickleError { what, source })
}

/// Accounts as their text.
pub(crate) mod account {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use skep_proto::account::AccountAddress;

    pub(crate) fn serialize<S: Serializer>(account: &AccountAddress, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(account)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountAddress, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

struct Measure(usize);

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
