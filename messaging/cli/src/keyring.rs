//! The operating system's keyring: the Secret Service (GNOME Keyring, KWallet, KeePassXC).
//!
//! An account locked by the keyring has a random passphrase that only the keyring knows. A file in its home names the entry.

use keyring_core::{CredentialStore, Entry};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

/// What the keyring lists entries under.
const SERVICE: &str = "skep";
/// Names the entry, in the account's home.
const FILE: &str = "keyring";

/// The keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// There is none, or it is locked.
    #[error(
        "the keyring cannot be used ({0}): unlock it, or start one (gnome-keyring, kwallet, keepassxc); without one, lock the \
         account by a passphrase"
    )]
    Unusable(String),
    /// It does not have what it should.
    #[error("the keyring has lost this account's key: restore the account from its recovery phrase, or from a backup")]
    Lost,
    /// The file that names the entry.
    #[error("cannot use {0}")]
    File(PathBuf, #[source] io::Error),
}

/// One account's entry.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    entry: String,
}

impl Key {
    /// The entry of the account in `home`. None: the keyring does not lock it.
    pub(crate) fn of(home: &Path) -> Result<Option<Self>, KeyringError> {
        let path = home.join(FILE);
        match fs::read_to_string(&path) {
            Ok(entry) => Ok(Some(Self { entry: entry.trim().to_owned() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeyringError::File(path, error)),
        }
    }

    /// A new entry, with a new random passphrase. Nothing names it yet.
    pub(crate) fn make() -> Result<(Self, Zeroizing<String>), KeyringError> {
        let secret = Zeroizing::new(hex::encode(rand::random::<[u8; 32]>()));
        let key = Self { entry: hex::encode(rand::random::<[u8; 8]>()) };
        let kept = secret.clone();
        key.ask(move |entry| entry.set_password(&kept))?;
        Ok((key, secret))
    }

    /// The passphrase.
    pub(crate) fn secret(&self) -> Result<Zeroizing<String>, KeyringError> {
        self.ask(|entry| entry.get_password()).map(Zeroizing::new)
    }

    /// From now on the account in `home` is known to be locked by this entry.
    pub(crate) fn name_in(&self, home: &Path) -> Result<(), KeyringError> {
        let path = home.join(FILE);
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        written
            .and_then(|mut file| file.write_all(self.entry.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| KeyringError::File(path, error))
    }

    /// The account in `home` is not locked by the keyring any more.
    pub(crate) fn forget(self, home: &Path) -> Result<(), KeyringError> {
        let path = home.join(FILE);
        fs::remove_file(&path).map_err(|error| KeyringError::File(path, error))?;
        // An entry that stays opens nothing.
        let _ = self.ask(|entry| entry.delete_credential());
        Ok(())
    }

    /// Asks the keyring. It talks over a bus of its own and waits, so not on a thread of the runtime.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Entry) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let name = self.entry.clone();
        let asking = thread::spawn(move || {
            let store: Arc<CredentialStore> = Store::new()?;
            question(&Entry::new_in_store(&store, SERVICE, &name)?)
        });
        let asked = asking.join().map_err(|_| KeyringError::Unusable("it does not answer".into()))?;
        asked.map_err(|error| {
            let lost = matches!(error, keyring_core::Error::NoEntry);
            if lost { KeyringError::Lost } else { KeyringError::Unusable(error.to_string()) }
        })
    }
}
