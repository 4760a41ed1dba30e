//! The database's tables and how older ones become them.

use super::StateError;
use rusqlite::Connection;

/// One step a version; `user_version` counts the steps taken. A step that was released is never changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE account (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        phrase TEXT NOT NULL,
        name TEXT NOT NULL,
        prekeys BLOB NOT NULL
    ) STRICT;
    CREATE TABLE network (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        genesis BLOB NOT NULL,
        paths TEXT NOT NULL -- JSON
    ) STRICT;
    CREATE TABLE contacts (
        account BLOB PRIMARY KEY,
        name TEXT,
        status TEXT NOT NULL CHECK (status IN ('requested', 'asking', 'established')),
        since INTEGER NOT NULL, -- asking: when they asked; established: since when; ms
        introduction TEXT,
        bundle BLOB,
        ratchet BLOB
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY,
        contact BLOB NOT NULL REFERENCES contacts (account),
        sent_as BLOB, -- hash of the stored message; null for what the contact wrote
        id BLOB NOT NULL,
        text TEXT NOT NULL,
        timestamp INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX messages_once ON messages (contact, id, sent_as IS NULL);
    CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        recipient BLOB NOT NULL,
        data BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        ttl INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE receipts (
        hash BLOB NOT NULL,
        member BLOB NOT NULL,
        signature BLOB NOT NULL,
        expiry INTEGER NOT NULL,
        PRIMARY KEY (hash, member)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE cursors (
        member BLOB PRIMARY KEY,
        hash BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE seen (
        hash BLOB PRIMARY KEY,
        until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// Brings the database to the newest version. The first to touch it: finds out whether the key fits.
pub(super) fn migrate(database: &mut Connection) -> Result<(), StateError> {
    let transaction = database.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(missing) = usize::try_from(version).ok().and_then(|taken| MIGRATIONS.get(taken..)) else {
        return Err(StateError::Newer(version));
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    transaction.commit()?;
    Ok(())
}
