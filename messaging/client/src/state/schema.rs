//! The database's tables and how older ones become them.

use super::StateError;
use rusqlite::Connection;

/// One step a version; `user_version` counts the steps taken. A step that was released is never changed.
const MIGRATIONS: [&str; 6] = [
    V1,
    // Delivery states, replies, disappearing messages, notes to oneself; contacts that are declined, blocked or verified;
    // sessions that start anew; settings.
    "
    CREATE TABLE messages_2 (
        sequence INTEGER PRIMARY KEY,
        contact BLOB NOT NULL, -- the own account for a note to oneself
        mine INTEGER NOT NULL,
        id BLOB NOT NULL,
        text TEXT, -- null once it was unsent
        timestamp INTEGER NOT NULL,
        reply_to BLOB,
        disappear_after INTEGER NOT NULL DEFAULT 0, -- s; 0: it stays
        gone_at INTEGER, -- ms; when it disappears
        sent_as BLOB, -- mine: hash of the stored message
        failed INTEGER NOT NULL DEFAULT 0, -- mine: given up
        delivered_at INTEGER, -- mine; ms
        read_at INTEGER, -- ms
        acked INTEGER NOT NULL DEFAULT 0 -- theirs: 1 told that it was delivered, 2 that it was read
    ) STRICT;
    -- What was kept before is neither new nor to be acknowledged.
    INSERT INTO messages_2 (sequence, contact, mine, id, text, timestamp, sent_as, read_at, acked)
        SELECT sequence, contact, sent_as IS NOT NULL, id, text, timestamp, sent_as,
               CASE WHEN sent_as IS NULL THEN timestamp END, 2 FROM messages;
    DROP TABLE messages;
    ALTER TABLE messages_2 RENAME TO messages;
    CREATE UNIQUE INDEX messages_once ON messages (contact, id, mine);
    CREATE INDEX messages_sent ON messages (sent_as) WHERE sent_as IS NOT NULL;
    CREATE INDEX messages_gone ON messages (gone_at) WHERE gone_at IS NOT NULL;
    CREATE INDEX messages_unread ON messages (contact) WHERE mine = 0 AND (read_at IS NULL OR acked < 2);
    CREATE TABLE contacts_2 (
        account BLOB PRIMARY KEY,
        name TEXT,
        status TEXT NOT NULL CHECK (status IN ('requested', 'asking', 'declined', 'established')),
        since INTEGER NOT NULL, -- asking: when they asked; declined, established: since when; ms
        introduction TEXT,
        bundle BLOB,
        ratchet BLOB,
        reset INTEGER NOT NULL DEFAULT 0, -- when we last started the session anew; ms
        told INTEGER NOT NULL DEFAULT 0, -- when we last told them prekeys; ms
        lost INTEGER NOT NULL DEFAULT 0, -- the session is to be started anew
        blocked INTEGER NOT NULL DEFAULT 0,
        verified TEXT, -- the safety number that was compared
        disappear_after INTEGER NOT NULL DEFAULT 0 -- s
    ) STRICT, WITHOUT ROWID;
    INSERT INTO contacts_2 (account, name, status, since, introduction, bundle, ratchet)
        SELECT account, name, status, since, introduction, bundle, ratchet FROM contacts;
    DROP TABLE contacts;
    ALTER TABLE contacts_2 RENAME TO contacts;
    ALTER TABLE account ADD COLUMN rotated INTEGER NOT NULL DEFAULT 0; -- when the fallback key was last renewed; ms
    ALTER TABLE account ADD COLUMN read_receipts INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE account ADD COLUMN typing INTEGER NOT NULL DEFAULT 1;
    ",
    // What was proven last of the roster.
    "
    ALTER TABLE network ADD COLUMN checkpoint TEXT; -- JSON
    ALTER TABLE network ADD COLUMN boundary BLOB; -- hash of the epoch boundary that the roster is of
    ALTER TABLE network ADD COLUMN roster BLOB; -- its proof
    ",
    // Direct delivery, deletion of what was unsent, and the mark by which a state that was put back is noticed.
    "
    ALTER TABLE contacts ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0; -- of our newest message
    ALTER TABLE contacts ADD COLUMN mailed INTEGER NOT NULL DEFAULT 0; -- of our newest message by mail
    ALTER TABLE contacts ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0; -- the highest by mail they have read
    ALTER TABLE contacts ADD COLUMN heard INTEGER NOT NULL DEFAULT 0; -- the highest of theirs that came by mail
    ALTER TABLE account ADD COLUMN presence INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE account ADD COLUMN mark INTEGER NOT NULL DEFAULT 0; -- raised before something is sent
    ALTER TABLE account ADD COLUMN instance BLOB; -- names this state among others of the account; 16 bytes
    ALTER TABLE messages ADD COLUMN stored_as BLOB; -- theirs: hash in the own mailbox; null if it came directly
    CREATE TABLE direct ( -- given to a contact's listening node, not acknowledged yet
        sequence INTEGER PRIMARY KEY,
        contact BLOB NOT NULL,
        id BLOB NOT NULL,
        body BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        UNIQUE (contact, id)
    ) STRICT;
    CREATE TABLE trash ( -- in the own mailbox, to be deleted there
        hash BLOB PRIMARY KEY,
        until INTEGER NOT NULL -- ms; the swarm forgets it by itself then
    ) STRICT, WITHOUT ROWID;
    ",
    // How many friend requests come and go.
    "
    CREATE TABLE strangers ( -- sealed friend requests, not looked at yet
        sequence INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        data BLOB NOT NULL,
        until INTEGER NOT NULL -- ms; nobody waits for an answer then
    ) STRICT;
    CREATE TABLE requests ( -- of the last hour
        mine INTEGER NOT NULL,
        at INTEGER NOT NULL -- ms
    ) STRICT;
    ",
    // What is not shown once more, what is to be said once more, and how often contacts may start anew.
    "
    ALTER TABLE contacts ADD COLUMN welcomed INTEGER NOT NULL DEFAULT 0; -- when they last came with another identity; ms
    CREATE TABLE gone ( -- theirs: disappeared, or unsent before it came; not to be shown if it comes
        contact BLOB NOT NULL,
        id BLOB NOT NULL,
        until INTEGER NOT NULL, -- ms; it cannot come any more then
        acked INTEGER NOT NULL, -- 1: told that it was delivered
        PRIMARY KEY (contact, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX gone_until ON gone (until);
    CREATE TABLE resends ( -- to whom what they have not received is said once more
        contact BLOB PRIMARY KEY,
        after INTEGER, -- number of the last message that was; null: nothing is to be
        began INTEGER NOT NULL DEFAULT 0, -- when the count began; ms
        count INTEGER NOT NULL DEFAULT 0 -- how often it was done since
    ) STRICT, WITHOUT ROWID;
    ",
];

const V1: &str = "
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
";

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

/// Makes the database as the first version did.
#[cfg(test)]
pub(super) fn make_version_1(database: &Connection) {
    database.execute_batch(V1).unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
}
