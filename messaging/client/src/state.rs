//! What a client keeps: account, contacts, conversations, messages, receipts, paths; encrypted at rest.
//!
//! One SQLCipher database (AES-256 and an HMAC for every page), whose key Argon2id derives from the passphrase and a salt
//! beside it, with a log of what was changed last while it is open. All files are their owner's alone. The database is locked
//! while it is open, so that two programs cannot use one ratchet key twice.
//!
//! # Security
//!
//! **Requires.** A passphrase nobody guesses in the time 64 MiB and three passes of Argon2id buy; a machine that is honest
//! while the state is open.
//!
//! **Provides.** Secrecy and integrity of every page to whoever reads or changes the files without the passphrase.
//!
//! **Does not provide.** Protection against putting back an older copy of the whole file, whose ratchet keys would then be used
//! twice: that is noticed from outside, with a mark in the own mailbox (`client/mark.rs`), not here. Nor concealment of the file's
//! size and times.

mod backup;
mod direct;
mod key;
mod messages;
mod requests;
mod resends;
mod rows;
mod schema;
mod trash;

use crate::{conversation::Contact, delivery::Receipt, paths::PathBook};
use backup::open_at;
pub(crate) use direct::DirectMessage;
pub use key::{Passphrase, PassphraseError};
pub(crate) use messages::{NewMessage, Origin};
pub(crate) use requests::Asker;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, TransactionBehavior, params};
use skep_chain_client::Memory;
use skep_envelope::{DisplayName, Identity, Prekeys};
use skep_primitives::{BlockHash, Moment, ServiceNodeId};
use skep_proto::{account::AccountAddress, storage::MessageHash};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

const DATABASE: &str = "state.db";
/// The database while it is made.
const DRAFT: &str = "state.db.new";

/// How long to wait for another program to let go of the state.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The open state.
#[derive(Debug)]
pub(crate) struct State {
    database: Connection,
}

/// The account whose state this is.
#[derive(Debug)]
pub(crate) struct StoredAccount {
    pub(crate) identity: Identity,
    pub(crate) name: DisplayName,
    pub(crate) prekeys: Prekeys,
    /// When the fallback key was last renewed (ms).
    pub(crate) rotated: Moment,
    pub(crate) settings: Settings,
}

/// What an account tells its contacts of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Settings {
    /// Tell contacts when their messages were read.
    pub read_receipts: bool,
    /// Tell contacts when a message to them is being written.
    pub typing: bool,
    /// Tell contacts when this account is online, and where it listens, so that messages can go directly.
    pub presence: bool,
}

/// A sealed message that waits to be kept by its recipient's swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboxItem {
    pub(crate) hash: MessageHash,
    pub(crate) recipient: AccountAddress,
    pub(crate) data: Vec<u8>,
    /// When it was written (ms).
    pub(crate) timestamp: Moment,
    /// For how long it is to be kept (ms).
    pub(crate) ttl: u64,
}

impl OutboxItem {
    /// Whether it has waited for too long.
    pub(crate) const fn is_over(&self, now: Moment) -> bool {
        self.timestamp.saturating_add(self.ttl) <= now
    }
}

/// The local state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Nothing is there.
    #[error("there is no account in {0}: make one (account new) or restore one (account restore)")]
    NoAccount(PathBuf),
    /// Something is there already.
    #[error("there is an account in {0} already: show it (account show), or choose another home")]
    Exists(PathBuf),
    /// The key does not open it.
    #[error("wrong passphrase (or the file is damaged); without the passphrase, restore from the recovery phrase")]
    WrongPassphrase,
    /// Another program has it open.
    #[error("another program uses this account: wait until it is done")]
    InUse,
    /// Written by a later version.
    #[error("the account was last used by a newer version (format {0}): update")]
    Newer(i64),
    /// Its mail is on another network.
    #[error("this account's state belongs to the network with genesis 0x{}: use another home for another network", hex::encode(.0))]
    OtherNetwork(BlockHash),
    /// What was read makes no sense.
    #[error("the account's state is damaged ({0}); restore the account from its recovery phrase into another home")]
    Damaged(&'static str),
    /// The backup is not there, or none.
    #[error("{0} is no backup, or its passphrase is another")]
    NotABackup(PathBuf),
    /// The key of the database cannot be derived.
    #[error("cannot derive a key from the passphrase: {0}")]
    KeyDerivation(argon2::Error),
    /// The file system refuses.
    #[error("cannot use {path}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The database fails.
    #[error("the account's state cannot be read or written")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::WrongPassphrase,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            _ => Self::Database(error),
        }
    }
}

impl State {
    /// Makes the state of `identity` in the directory `home`, which is made too. Nothing is there before it is complete.
    pub(crate) fn create(
        home: &Path,
        passphrase: &Passphrase,
        identity: &Identity,
        name: &DisplayName,
    ) -> Result<Self, StateError> {
        let database = home.join(DATABASE);
        if database.exists() {
            return Err(StateError::Exists(home.to_owned()));
        }
        make_directory(home)?;
        let salt = key::make_salt(home)?;
        let draft = home.join(DRAFT);
        make_file(&draft)?;
        let mut state = Self::open_file(&draft, passphrase, &salt)?;
        let prekeys = Prekeys::new(identity.account());
        state.write(|writer| {
            writer.change(
                "INSERT INTO account (id, phrase, name, prekeys) VALUES (1, ?1, ?2, ?3)",
                params![identity.phrase().as_str(), name.as_str(), prekeys.pickle().as_slice()],
            )
        })?;
        state.database.close().map_err(|(_, error)| StateError::from(error))?;
        publish(&draft, &database).map_err(|source| {
            let taken = source.kind() == io::ErrorKind::AlreadyExists;
            if taken { StateError::Exists(home.to_owned()) } else { open_at(&database)(source) }
        })?;
        Self::open_file(&database, passphrase, &salt)
    }

    /// Whether there is one in the directory `home`.
    pub(crate) fn exists(home: &Path) -> bool {
        home.join(DATABASE).exists()
    }

    /// Opens the state in the directory `home`.
    pub(crate) fn open(home: &Path, passphrase: &Passphrase) -> Result<Self, StateError> {
        let database = home.join(DATABASE);
        if !database.exists() {
            return Err(StateError::NoAccount(home.to_owned()));
        }
        Self::open_file(&database, passphrase, &key::read_salt(home)?)
    }

    fn open_file(path: &Path, passphrase: &Passphrase, salt: &key::Salt) -> Result<Self, StateError> {
        let key = passphrase.database_key(salt)?;
        let mut database = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database.pragma_update(None, "key", key.as_str())?;
        // SQLCipher, awake from here on, would write to standard error what is told as an error anyway.
        database.pragma_update(None, "cipher_log_level", "NONE")?;
        database.busy_timeout(LOCK_WAIT)?;
        database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        database.pragma_update(None, "foreign_keys", true)?;
        database.pragma_update(None, "secure_delete", true)?;
        schema::migrate(&mut database)?;
        // One flush to the disk for each change, in place of four; a change is on disk when it is done all the same.
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        Ok(Self { database })
    }

    /// Opens with this passphrase from now on, and with no other. All or nothing, whenever the program ends.
    pub(crate) fn set_passphrase(&mut self, home: &Path, passphrase: &Passphrase) -> Result<(), StateError> {
        let key = passphrase.database_key(&key::read_salt(home)?)?;
        Ok(self.database.pragma_update(None, "rekey", key.as_str())?)
    }

    /// Does all that `changes` writes, or nothing.
    pub(crate) fn write<T>(
        &mut self,
        changes: impl FnOnce(&Writer<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = changes(&Writer(&transaction))?;
        transaction.commit()?;
        Ok(done)
    }

    /// How many rows were written since it was opened.
    #[cfg(test)]
    pub(crate) fn changes(&self) -> u64 {
        self.database.total_changes()
    }

    /// The account.
    pub(crate) fn account(&self) -> Result<StoredAccount, StateError> {
        let sql = "SELECT phrase, name, prekeys, rotated, read_receipts, typing, presence FROM account";
        let row = self.database.query_row(sql, [], rows::account);
        row.optional()?.ok_or(StateError::Damaged("no account"))?
    }

    /// Binds the state to a network, or checks that it is bound to this one.
    pub(crate) fn bind_network(&mut self, genesis: &BlockHash) -> Result<(), StateError> {
        match self.genesis()? {
            Some(bound) if bound != *genesis => Err(StateError::OtherNetwork(bound)),
            Some(_) => Ok(()),
            None => self.write(|writer| {
                let paths = rows::paths_text(&PathBook::default())?;
                writer.change("INSERT INTO network (id, genesis, paths) VALUES (1, ?1, ?2)", params![genesis, paths])
            }),
        }
    }

    /// The name of the network the state is bound to; none before it was connected to.
    pub(crate) fn genesis(&self) -> Result<Option<BlockHash>, StateError> {
        Ok(self.database.query_row("SELECT genesis FROM network", [], |row| row.get(0)).optional()?)
    }

    /// The paths in use.
    pub(crate) fn paths(&self) -> Result<PathBook, StateError> {
        let text: Option<String> =
            self.database.query_row("SELECT paths FROM network", [], |row| row.get(0)).optional()?;
        text.map_or(Ok(PathBook::default()), |text| rows::paths(&text))
    }

    /// Keeps the paths in use. Writes only what is new.
    pub(crate) fn keep_paths(&mut self, paths: &PathBook) -> Result<(), StateError> {
        let text = rows::paths_text(paths)?;
        self.write(|writer| writer.change("UPDATE network SET paths = ?1 WHERE paths != ?1", [text]))
    }

    /// What was proven last of the roster.
    pub(crate) fn roster_memory(&self) -> Result<Option<Memory>, StateError> {
        let sql = "SELECT checkpoint, boundary, roster FROM network WHERE checkpoint IS NOT NULL";
        self.database.query_row(sql, [], rows::roster_memory).optional()?.transpose()
    }

    /// Keeps what was proven last of the roster. Writes only what is new.
    pub(crate) fn keep_roster_memory(&mut self, memory: &Memory) -> Result<(), StateError> {
        let sql = "SELECT checkpoint, boundary FROM network";
        let known = self.database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (checkpoint, boundary): (Option<String>, Option<BlockHash>) = known.unwrap_or_default();
        let text = rows::checkpoint_text(&memory.checkpoint)?;
        if checkpoint.as_ref() == Some(&text) {
            return Ok(());
        }
        self.write(|writer| {
            writer.change("UPDATE network SET checkpoint = ?1", [text])?;
            match &memory.roster {
                Some((new, proof)) if boundary != Some(*new) => {
                    writer.change("UPDATE network SET boundary = ?1, roster = ?2", params![new, &proof[..]])
                }
                Some(_) | None => Ok(()),
            }
        })
    }

    /// Everybody known, by name and account.
    pub(crate) fn contacts(&self) -> Result<Vec<Contact>, StateError> {
        let sql = format!("SELECT {} FROM contacts ORDER BY name IS NULL, name, account", rows::CONTACT);
        let mut query = self.database.prepare(&sql)?;
        let contacts = query.query_map([], rows::contact)?;
        contacts.map(|contact| contact?).collect()
    }

    /// One of them.
    pub(crate) fn contact(&self, account: &AccountAddress) -> Result<Option<Contact>, StateError> {
        let sql = format!("SELECT {} FROM contacts WHERE account = ?1", rows::CONTACT);
        let row = self.database.query_row(&sql, [account.as_bytes()], rows::contact);
        row.optional()?.transpose()
    }

    /// How many friend requests wait for our answer.
    pub(crate) fn count_asking(&self) -> Result<u32, StateError> {
        let sql = "SELECT COUNT(*) FROM contacts WHERE status = 'asking'";
        Ok(self.database.query_row(sql, [], |row| row.get(0))?)
    }

    /// What waits to be sent, oldest first.
    pub(crate) fn outbox(&self) -> Result<Vec<OutboxItem>, StateError> {
        let mut query =
            self.database.prepare("SELECT hash, recipient, data, timestamp, ttl FROM outbox ORDER BY sequence")?;
        let items = query.query_map([], rows::outbox_item)?;
        items.map(|item| item?).collect()
    }

    /// Whether a message waits to be sent.
    pub(crate) fn is_queued(&self, hash: &MessageHash) -> Result<bool, StateError> {
        let known = self.database.query_row("SELECT 1 FROM outbox WHERE hash = ?1", [hash.as_bytes()], |_| Ok(()));
        Ok(known.optional()?.is_some())
    }

    /// Contacts to whom our request was lost before it left.
    pub(crate) fn lost_requests(&self) -> Result<Vec<AccountAddress>, StateError> {
        let mut query =
            self.database.prepare_cached("SELECT account FROM contacts WHERE status = 'requested' AND lost = 1")?;
        let rows = query.query_map([], |row| row.get::<_, [u8; AccountAddress::LEN]>(0))?;
        rows.map(|contact| AccountAddress::from_slice(&contact?).map_err(|_| StateError::Damaged("contact"))).collect()
    }

    /// Whether a stored message was dealt with before.
    pub(crate) fn is_seen(&self, hash: &MessageHash) -> Result<bool, StateError> {
        let known = self.database.query_row("SELECT 1 FROM seen WHERE hash = ?1", [hash.as_bytes()], |_| Ok(()));
        Ok(known.optional()?.is_some())
    }

    /// How far each member was read.
    pub(crate) fn cursors(&self) -> Result<Vec<(ServiceNodeId, MessageHash)>, StateError> {
        let mut query = self.database.prepare("SELECT member, hash FROM cursors")?;
        let cursors = query
            .query_map([], |row| Ok((ServiceNodeId(row.get(0)?), MessageHash::from(row.get::<_, [u8; 32]>(1)?))))?;
        Ok(cursors.collect::<Result<_, _>>()?)
    }
}

/// Writes inside one transaction.
pub(crate) struct Writer<'a>(&'a Connection);

impl Writer<'_> {
    fn change(&self, sql: &str, values: impl Params) -> Result<(), StateError> {
        self.0.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Our prekeys from now on.
    pub(crate) fn put_prekeys(&self, prekeys: &Prekeys) -> Result<(), StateError> {
        self.change("UPDATE account SET prekeys = ?1", [prekeys.pickle().as_slice()])
    }

    /// Our prekeys with a new fallback key.
    pub(crate) fn put_rotated(&self, prekeys: &Prekeys, now: Moment) -> Result<(), StateError> {
        self.put_prekeys(prekeys)?;
        self.change("UPDATE account SET rotated = ?1", [rows::time(now)])
    }

    /// Forgets what was sealed with sessions that went back, and has all sessions started anew.
    pub(crate) fn start_sessions_anew(&self, prekeys: &Prekeys) -> Result<(), StateError> {
        self.put_prekeys(prekeys)?;
        // Cursors and what was sealed with the old sessions are of the past.
        self.change("DELETE FROM cursors", [])?;
        // Texts are in the history, and are said again in the new sessions; requests that wait are made again.
        self.change(
            "UPDATE contacts SET lost = 1 WHERE status = 'requested' AND account IN (SELECT recipient FROM outbox)",
            [],
        )?;
        self.change("DELETE FROM outbox", [])?;
        self.forgive_resends()?;
        self.change("UPDATE account SET rotated = 0", [])?;
        // Never told, never reset: the next contact with the network starts their sessions anew.
        self.change("UPDATE contacts SET told = 0, reset = 0, lost = 1 WHERE status = 'established'", [])
    }

    /// Raises the mark by one. The name of this state, `fresh` if it has none yet, and the mark before.
    pub(crate) fn raise_mark(&self, fresh: [u8; 16]) -> Result<([u8; 16], u64), StateError> {
        self.change("UPDATE account SET instance = COALESCE(instance, ?1)", [fresh])?;
        let before: (_, i64) =
            self.0.query_row("SELECT instance, mark FROM account", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.change("UPDATE account SET mark = mark + 1", [])?;
        Ok((before.0, u64::try_from(before.1).unwrap_or_default()))
    }

    /// The mark is at least this from now on.
    pub(crate) fn put_mark(&self, mark: u64) -> Result<(), StateError> {
        self.change("UPDATE account SET mark = MAX(mark, ?1)", [i64::try_from(mark).unwrap_or(i64::MAX)])
    }

    /// What contacts see as our name.
    pub(crate) fn put_name(&self, name: &DisplayName) -> Result<(), StateError> {
        self.change("UPDATE account SET name = ?1", [name.as_str()])
    }

    /// What contacts are told of our own accord.
    pub(crate) fn put_settings(&self, settings: Settings) -> Result<(), StateError> {
        let Settings { read_receipts, typing, presence } = settings;
        self.change(
            "UPDATE account SET read_receipts = ?1, typing = ?2, presence = ?3",
            [read_receipts, typing, presence],
        )
    }

    /// A contact from now on.
    pub(crate) fn put_contact(&self, contact: &Contact) -> Result<(), StateError> {
        let row = rows::ContactRow::of(contact);
        let [stamp, mailed, confirmed, heard] = row.stamps;
        let sql = format!(
            "INSERT OR REPLACE INTO contacts ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            rows::CONTACT
        );
        self.change(
            &sql,
            params![
                contact.account.as_bytes(),
                contact.name.as_ref().map(DisplayName::as_str),
                rows::status_text(contact.status()),
                row.since,
                row.introduction,
                row.bundle,
                row.ratchet.as_ref().map(|ratchet| ratchet.as_slice()),
                row.reset,
                row.told,
                row.lost,
                contact.blocked,
                contact.verified,
                contact.disappear_after,
                stamp,
                mailed,
                confirmed,
                heard,
                row.welcomed,
            ],
        )
    }

    /// Queues a sealed message.
    pub(crate) fn queue(&self, item: &OutboxItem) -> Result<(), StateError> {
        let OutboxItem { hash, recipient, data, timestamp, ttl } = item;
        self.change(
            "INSERT INTO outbox (hash, recipient, data, timestamp, ttl) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![hash.as_bytes(), recipient.as_bytes(), data, rows::time(*timestamp), rows::time(*ttl)],
        )
    }

    /// A queued message was sent, and these members signed that they have it.
    pub(crate) fn sent<'a>(
        &self,
        hash: &MessageHash,
        receipts: impl IntoIterator<Item = &'a Receipt>,
    ) -> Result<(), StateError> {
        self.unqueue(hash)?;
        for Receipt { member, signature, expiry } in receipts {
            self.change(
                "INSERT OR REPLACE INTO receipts (hash, member, signature, expiry) VALUES (?1, ?2, ?3, ?4)",
                params![hash.as_bytes(), member.0, signature, rows::time(*expiry)],
            )?;
        }
        Ok(())
    }

    /// A queued message is not to be sent any more.
    pub(crate) fn unqueue(&self, hash: &MessageHash) -> Result<(), StateError> {
        self.change("DELETE FROM outbox WHERE hash = ?1", [hash.as_bytes()])
    }

    /// A stored message was dealt with; no node has it after `until`.
    pub(crate) fn put_seen(&self, hash: &MessageHash, until: Moment) -> Result<(), StateError> {
        self.change(
            "INSERT OR REPLACE INTO seen (hash, until) VALUES (?1, ?2)",
            params![hash.as_bytes(), rows::time(until)],
        )
    }

    /// `member` was read up to this message.
    pub(crate) fn put_cursor(&self, member: &ServiceNodeId, hash: &MessageHash) -> Result<(), StateError> {
        self.change("INSERT OR REPLACE INTO cursors (member, hash) VALUES (?1, ?2)", params![member.0, hash.as_bytes()])
    }

    /// Forgets the seen messages no node has any more.
    pub(crate) fn forget_seen(&self, now: Moment) -> Result<(), StateError> {
        self.change("DELETE FROM seen WHERE until < ?1", [rows::time(now)])
    }
}

/// Makes a directory of its owner's alone.
fn make_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(open_at(path))
}

/// Makes an empty file of its owner's alone, in place of one that was left behind.
fn make_file(path: &Path) -> Result<(), StateError> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    for left in [Path::new(&journal), path] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(open_at(left)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(open_at(path))?;
    Ok(())
}

/// Gives a complete file its name. Unlike a renaming, this does not replace what another program may have made meanwhile.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => fs::remove_file(draft),
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(error),
        Err(_) => publish_without_links(draft, path),
    }
}

/// The same where a file cannot have two names, as on a stick: an empty file takes the name first.
fn publish_without_links(draft: &Path, path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fs::rename(draft, path).inspect_err(|_| {
        // Nothing is lost with an empty file, and nothing can be done about one that stays.
        let _ = fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests;
