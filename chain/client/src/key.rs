//! The account key a staker signs with.

use skep_primitives::StakerId;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};
use subxt_signer::{ExposeSecret, SecretString, SecretUri, sr25519::Keypair};

/// A staker's sr25519 key. Never printed.
#[derive(Clone)]
pub struct StakerKey(Keypair);

/// A staker's key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not a secret URI. The text itself is a secret and is not repeated.
    #[error(
        "this is not a secret URI: give a BIP-39 phrase, a 0x seed of 64 hexadecimal digits, or //Name (development)"
    )]
    NotASecretUri,
    /// The file could not be read.
    #[error("cannot read the key file {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("others may read the key file {path}: run `chmod 600 {path}`", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any secret URI.
    #[error("{path} is not a key file: it must hold one line with a secret URI", path = path.display())]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
}

/// More bytes than any secret URI needs.
const MAX_KEY_FILE_BYTES: u64 = 4096;

impl StakerKey {
    /// Reads a file that holds a secret URI on one line and that only its owner may read.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.into(), source };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if is_exposed(&metadata) {
            return Err(KeyError::Exposed { path: path.into() });
        }
        if metadata.len() > MAX_KEY_FILE_BYTES {
            return Err(KeyError::NotAKeyFile { path: path.into() });
        }
        let secret = SecretString::from(std::fs::read_to_string(path).map_err(unreadable)?);
        secret.expose_secret().trim().parse().map_err(|_| KeyError::NotAKeyFile { path: path.into() })
    }

    /// The account this key signs for.
    pub fn staker(&self) -> StakerId {
        StakerId(self.0.public_key().0)
    }

    pub(crate) fn pair(&self) -> &Keypair {
        &self.0
    }
}

/// A secret URI: a BIP-39 phrase or a `0x` seed, then `/soft` and `//hard` derivations, then `///password`; `//Name`
/// alone derives from the well-known development phrase.
impl FromStr for StakerKey {
    type Err = KeyError;

    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        if secret.is_empty() {
            // The empty URI is the bare development phrase: surely a mistake.
            return Err(KeyError::NotASecretUri);
        }
        let uri: SecretUri = secret.parse().map_err(|_| KeyError::NotASecretUri)?;
        Keypair::from_uri(&uri).map(Self).map_err(|_| KeyError::NotASecretUri)
    }
}

impl fmt::Debug for StakerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StakerKey").field("staker", &self.staker()).finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn is_exposed(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

    #[test]
    fn development_names_and_seeds_give_the_well_known_accounts() {
        let by_name: StakerKey = "//Alice".parse().expect("valid");
        let seed = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
        let by_seed: StakerKey = seed.parse().expect("valid");
        assert_eq!(by_name.staker().to_string(), ALICE);
        assert_eq!(by_seed.staker(), by_name.staker());
    }

    #[test]
    fn nothing_secret_is_repeated_or_printed() {
        for bad in ["", "correct horse battery staple", "0x12"] {
            let error = bad.parse::<StakerKey>().expect_err("not a secret URI");
            assert!(matches!(error, KeyError::NotASecretUri));
        }
        let key: StakerKey = "//Alice".parse().expect("valid");
        assert_eq!(format!("{key:?}"), format!("StakerKey {{ staker: StakerId({ALICE}), .. }}"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_must_be_private() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().expect("creates");
        std::fs::write(file.path(), "//Alice\n").expect("writes");
        assert_eq!(StakerKey::from_file(file.path()).expect("0600").staker().to_string(), ALICE);
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o640)).expect("sets");
        assert!(matches!(StakerKey::from_file(file.path()), Err(KeyError::Exposed { .. })));
    }
}
