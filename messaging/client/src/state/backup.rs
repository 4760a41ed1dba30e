//! A copy of the whole state in one file, and back.
//!
//! The copy is a database of its own, encrypted with the same passphrase. Its first 16 bytes are the salt, where SQLCipher
//! keeps one anyway, so that the file is all that is needed.

use super::{DATABASE, DRAFT, Passphrase, State, StateError, key, make_directory, make_file, publish};
use rusqlite::params;
use skep_envelope::Prekeys;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

impl State {
    /// Writes a copy to `path`, where nothing may be.
    pub(crate) fn backup(&self, path: &Path, passphrase: &Passphrase) -> Result<(), StateError> {
        if path.exists() {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "something is there already");
            return Err(open_at(path)(source));
        }
        let salt = key::random_salt().map_err(open_at(path))?;
        let key = passphrase.backup_key(&salt)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        make_file(&draft)?;
        let name = draft.to_str().ok_or(StateError::Damaged("the path is not UTF-8"))?;
        let copied =
            self.database.execute("ATTACH DATABASE ?1 AS backup KEY ?2", params![name, key.as_str()]).and_then(|_| {
                self.database.query_row("SELECT sqlcipher_export('backup')", [], |_| Ok(()))?;
                let version: i64 = self.database.query_row("PRAGMA main.user_version", [], |row| row.get(0))?;
                self.database.pragma_update(Some("backup"), "user_version", version)?;
                self.database.execute("DETACH DATABASE backup", [])
            });
        if let Err(error) = copied {
            // Nothing to do about a draft that cannot be removed; it is encrypted.
            let _ = self.database.execute("DETACH DATABASE backup", []);
            let _ = fs::remove_file(&draft);
            return Err(error.into());
        }
        publish(&draft, path).map_err(open_at(path))
    }

    /// Makes the state in `home` from the copy at `path`.
    ///
    /// The copy is older than what was last sent, and a ratchet that goes back would use keys twice. So the ratchet identity
    /// is made anew and every session is left to be started anew, with whoever still has a session with us.
    pub(crate) fn restore_backup(home: &Path, path: &Path, passphrase: &Passphrase) -> Result<Self, StateError> {
        let database = home.join(DATABASE);
        if database.exists() {
            return Err(StateError::Exists(home.to_owned()));
        }
        let mut salt = key::Salt::default();
        let mut copy = File::open(path).map_err(open_at(path))?;
        copy.read_exact(&mut salt).map_err(|_| StateError::NotABackup(path.to_owned()))?;
        make_directory(home)?;
        let draft = home.join(DRAFT);
        make_file(&draft)?;
        // Into the file of its owner alone: the copy may be anybody's.
        let mut write = || {
            let mut whole = OpenOptions::new().write(true).open(&draft)?;
            whole.write_all(&salt)?;
            io::copy(&mut copy, &mut whole)?;
            whole.sync_all()
        };
        write().map_err(open_at(&draft))?;
        let opened = Self::open_file(&draft, passphrase, &salt);
        if matches!(opened, Err(StateError::WrongPassphrase)) {
            return Err(StateError::NotABackup(path.to_owned()));
        }
        let mut state = opened?;
        let owner = state.account()?.identity.account();
        state.write(|writer| {
            writer.start_sessions_anew(&Prekeys::new(owner))?;
            // Another state of the account than the one that was copied.
            writer.change("UPDATE account SET instance = NULL, mark = 0", [])
        })?;
        state.database.close().map_err(|(_, error)| StateError::from(error))?;
        key::put_salt(home, &salt)?;
        publish(&draft, &database).map_err(|source| {
            let taken = source.kind() == io::ErrorKind::AlreadyExists;
            if taken { StateError::Exists(home.to_owned()) } else { open_at(&database)(source) }
        })?;
        Self::open_file(&database, passphrase, &salt)
    }
}

/// Says at which path the file system refused.
pub(super) fn open_at(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}
