//! From a passphrase to the key of the database.

use super::StateError;
use argon2::{Algorithm, Argon2, Params, Version};
use rand::{TryRngCore, rngs::OsRng};
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zeroize::Zeroizing;

const SALT_FILE: &str = "state.salt";

pub(super) type Salt = [u8; 16];

/// Memory (KiB), passes and lanes: the second recommended choice of RFC 9106, on one lane.
const COST: (u32, u32, u32) = (64 * 1024, 3, 1);

/// What protects the local state. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// The text cannot be a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing.
    #[error("the passphrase is empty: choose one")]
    Empty,
}

impl Passphrase {
    /// Any text but none.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.is_empty() { Err(PassphraseError::Empty) } else { Ok(Self(text)) }
    }

    /// The key of the database, as SQLCipher takes a raw key: `x'` and 64 hexadecimal digits and `'`.
    pub(super) fn database_key(&self, salt: &Salt) -> Result<Zeroizing<String>, StateError> {
        self.raw_key(salt, None)
    }

    /// The key of a backup: the salt follows the key, and SQLCipher writes it in front of the file.
    pub(super) fn backup_key(&self, salt: &Salt) -> Result<Zeroizing<String>, StateError> {
        self.raw_key(salt, Some(salt))
    }

    fn raw_key(&self, salt: &Salt, written: Option<&Salt>) -> Result<Zeroizing<String>, StateError> {
        let (memory, passes, lanes) = COST;
        let mut key = Zeroizing::new([0; 32]);
        Params::new(memory, passes, lanes, Some(key.len()))
            .and_then(|params| {
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(self.0.as_bytes(), salt, key.as_mut())
            })
            .map_err(StateError::KeyDerivation)?;
        let mut digits = Zeroizing::new([0; 64]);
        let _ = hex::encode_to_slice(key.as_ref(), digits.as_mut());
        let mut text = Zeroizing::new(String::with_capacity(99));
        text.push_str("x'");
        text.extend(digits.iter().map(|digit| char::from(*digit)));
        text.push_str(&written.map(hex::encode).unwrap_or_default());
        text.push('\'');
        Ok(text)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// The salt in `home`; a new one if there is none.
pub(super) fn make_salt(home: &Path) -> Result<Salt, StateError> {
    let path = home.join(SALT_FILE);
    let at = |source| StateError::Io { path: path.clone(), source };
    let salt = random_salt().map_err(at)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file.write_all(&salt).and_then(|()| file.sync_all()).map(|()| salt).map_err(at),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_salt(home),
        Err(error) => Err(at(error)),
    }
}

/// The salt in `home`.
pub(super) fn read_salt(home: &Path) -> Result<Salt, StateError> {
    let path = home.join(SALT_FILE);
    let salt = fs::read(&path).map_err(|source| StateError::Io { path, source })?;
    salt.try_into().map_err(|_| StateError::Damaged("the salt has not 16 bytes"))
}

/// A new salt.
pub(super) fn random_salt() -> io::Result<Salt> {
    let mut salt = Salt::default();
    OsRng.try_fill_bytes(&mut salt).map_err(io::Error::other)?;
    Ok(salt)
}

/// Puts this salt into `home`, in place of one that belongs to nothing.
pub(super) fn put_salt(home: &Path, salt: &Salt) -> Result<(), StateError> {
    let path = home.join(SALT_FILE);
    super::make_file(&path)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(salt)?;
        file.sync_all()
    };
    write().map_err(|source| StateError::Io { path: path.clone(), source })
}
