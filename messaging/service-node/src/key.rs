//! The node's key: one Ed25519 seed in a file only its owner may read.

use blake2::{Blake2b, Digest, digest::consts::U32};
use ed25519_dalek::{Signer, SigningKey};
use skep_onion::HopSecret;
use skep_primitives::ServiceNodeId;
use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Digits of a seed, and a line break.
const MAX_FILE_BYTES: u64 = 66;

/// The key a service node is known by. Zeroized when dropped, never printed.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the node key {path}: {source}. `skep-messaging keygen --out {path}` makes one", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the node key {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("others may read the node key {path}: run `chmod 600 {path}`", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("{path} is no node key: it must hold 64 hexadecimal digits on one line", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl NodeKey {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read { path: path.into(), source };
        let malformed = || KeyFileError::Malformed { path: path.into() };
        let file = fs::File::open(path).map_err(failed)?;
        if is_exposed(&file.metadata().map_err(failed)?) {
            return Err(KeyFileError::Exposed { path: path.into() });
        }
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize + 1));
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|_| malformed())?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), &mut *seed).map_err(|_| malformed())?;
        Ok(Self::from_seed(&seed))
    }

    /// Writes a new key file. An existing file is left alone.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let failed = |source| KeyFileError::Write { path: path.into(), source };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let digits = Zeroizing::new(hex::encode(self.0.as_bytes()));
        file.write_all(digits.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// The node this key belongs to.
    pub fn id(&self) -> ServiceNodeId {
        ServiceNodeId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The X25519 key with which onion layers are peeled.
    pub fn hop_secret(&self) -> HopSecret {
        HopSecret::from_ed25519_seed(self.0.as_bytes())
    }

    /// A secret for another purpose, named by `label`: knowing it tells nothing of the key.
    pub(crate) fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hasher = Blake2b::<U32>::new();
        hasher.update(label);
        hasher.update(self.0.as_bytes());
        Zeroizing::new(hasher.finalize().into())
    }

    /// PKCS #8 (RFC 8410, version 1), for TLS.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const HEAD: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32];
        let mut der = Zeroizing::new(Vec::with_capacity(HEAD.len() + 32));
        der.extend_from_slice(&HEAD);
        der.extend_from_slice(self.0.as_bytes());
        der
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_private_and_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        let key = NodeKey::from_seed(&[7; 32]);
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(NodeKey::load(&path).unwrap().id(), key.id());
        assert!(matches!(key.save(&path), Err(KeyFileError::Write { .. })), "never overwritten");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(NodeKey::load(&path), Err(KeyFileError::Exposed { .. })));
    }

    #[test]
    fn other_files_are_no_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        assert!(matches!(NodeKey::load(&path), Err(KeyFileError::Read { .. })));
        for content in ["", "07", &"g".repeat(64), &"0".repeat(65), &"0".repeat(200), "\u{fe}"] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(NodeKey::load(&path), Err(KeyFileError::Malformed { .. })), "{content}");
        }
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let shown = format!("{:?}", NodeKey::from_seed(&[7; 32]));
        assert!(!shown.contains(&hex::encode([7; 32])) && !shown.contains("7, 7"), "{shown}");
    }
}
