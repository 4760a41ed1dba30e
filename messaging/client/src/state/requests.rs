//! Friend requests that are not looked at yet, and how many came and went lately.

use super::{State, StateError, Writer, rows};
use crate::requests::{HOUR, MOST_PUT_OFF};
use rusqlite::params;
use skep_primitives::Moment;
use skep_proto::storage::MessageHash;

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    We,
    Strangers,
}

impl State {
    /// How many requests there were in the hour up to `now`, and when the first of them was (ms).
    pub(crate) fn requests(&self, asker: Asker, now: Moment) -> Result<(u32, Option<Moment>), StateError> {
        let sql = "SELECT COUNT(*), MIN(at) FROM requests WHERE mine = ?1 AND at > ?2 AND at <= ?3";
        let mut query = self.database.prepare_cached(sql)?;
        let hour = params![asker == Asker::We, rows::time(now.saturating_sub(HOUR)), rows::time(now)];
        Ok(query.query_row(hour, |row| Ok((row.get(0)?, row.get::<_, Option<_>>(1)?.map(rows::moment))))?)
    }

    /// How many sealed requests wait.
    pub(crate) fn count_strangers(&self) -> Result<u32, StateError> {
        Ok(self.database.query_row("SELECT COUNT(*) FROM strangers", [], |row| row.get(0))?)
    }

    /// At most `limit` sealed requests that wait, drawn by chance; in the order in which they came.
    pub(crate) fn draw_strangers(&self, limit: u32) -> Result<Vec<(MessageHash, Vec<u8>)>, StateError> {
        let mut query = self.database.prepare_cached(concat!(
            "SELECT hash, data FROM strangers WHERE sequence IN ",
            "(SELECT sequence FROM strangers ORDER BY random() LIMIT ?1) ORDER BY sequence"
        ))?;
        let drawn = query.query_map([limit], |row| Ok((MessageHash::from(row.get::<_, [u8; 32]>(0)?), row.get(1)?)))?;
        Ok(drawn.collect::<Result<_, _>>()?)
    }
}

impl Writer<'_> {
    /// A request was made or shown now.
    pub(crate) fn count_request(&self, asker: Asker, now: Moment) -> Result<(), StateError> {
        // A clock that was set back leaves times to come, which would count for ever.
        let hour = [rows::time(now.saturating_sub(HOUR)), rows::time(now)];
        self.change("DELETE FROM requests WHERE at <= ?1 OR at > ?2", hour)?;
        self.change("INSERT INTO requests (mine, at) VALUES (?1, ?2)", params![asker == Asker::We, rows::time(now)])
    }

    /// Keeps a sealed request until somebody looks at it, or until this time. Where too many wait, it takes the place of one
    /// of them, drawn by chance.
    pub(crate) fn put_stranger(&self, hash: &MessageHash, data: &[u8], until: Moment) -> Result<(), StateError> {
        let sql = "INSERT OR IGNORE INTO strangers (hash, data, until) VALUES (?1, ?2, ?3)";
        self.change(
            concat!(
                "DELETE FROM strangers WHERE (SELECT COUNT(*) FROM strangers) >= ?1 ",
                "AND sequence = (SELECT sequence FROM strangers ORDER BY random() LIMIT 1)"
            ),
            [MOST_PUT_OFF],
        )?;
        self.change(sql, params![hash.as_bytes(), data, rows::time(until)])
    }

    /// A sealed request was looked at.
    pub(crate) fn drop_stranger(&self, hash: &MessageHash) -> Result<(), StateError> {
        self.change("DELETE FROM strangers WHERE hash = ?1", [hash.as_bytes()])
    }

    /// Forgets the sealed requests for whose answer nobody waits.
    pub(crate) fn forget_strangers(&self, now: Moment) -> Result<(), StateError> {
        self.change("DELETE FROM strangers WHERE until < ?1", [rows::time(now)])
    }
}
