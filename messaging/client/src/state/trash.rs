//! What is to be deleted in the own mailbox.

use super::{State, StateError, Writer, rows};
use rusqlite::params;
use skep_envelope::MessageId;
use skep_primitives::Moment;
use skep_proto::{account::AccountAddress, storage::MessageHash};

impl State {
    /// What is to be deleted, at most `limit`.
    pub(crate) fn trash(&self, limit: u32) -> Result<Vec<MessageHash>, StateError> {
        let mut query = self.database.prepare_cached("SELECT hash FROM trash LIMIT ?1")?;
        let hashes = query.query_map([limit], |row| Ok(MessageHash::from(row.get::<_, [u8; 32]>(0)?)))?;
        Ok(hashes.collect::<Result<_, _>>()?)
    }
}

impl Writer<'_> {
    /// These are to be deleted; `until` then the swarm forgets them by itself.
    pub(crate) fn discard(&self, hashes: &[MessageHash], until: Moment) -> Result<(), StateError> {
        hashes.iter().try_for_each(|hash| {
            self.change(
                "INSERT OR IGNORE INTO trash (hash, until) VALUES (?1, ?2)",
                params![hash.as_bytes(), rows::time(until)],
            )
        })
    }

    /// The mailbox's copies of these messages of a contact are to be deleted.
    pub(crate) fn discard_messages(
        &self,
        contact: &AccountAddress,
        ids: &[MessageId],
        until: Moment,
    ) -> Result<(), StateError> {
        ids.iter().try_for_each(|id| {
            self.change(
                concat!(
                    "INSERT OR IGNORE INTO trash (hash, until) SELECT stored_as, ?3 FROM messages ",
                    "WHERE contact = ?1 AND id = ?2 AND mine = 0 AND stored_as IS NOT NULL"
                ),
                params![contact.as_bytes(), id.0, rows::time(until)],
            )
        })
    }

    /// These were deleted.
    pub(crate) fn discarded(&self, hashes: &[MessageHash]) -> Result<(), StateError> {
        hashes.iter().try_for_each(|hash| self.change("DELETE FROM trash WHERE hash = ?1", [hash.as_bytes()]))
    }

    /// Forgets what the swarm has forgotten.
    pub(crate) fn forget_trash(&self, now: Moment) -> Result<(), StateError> {
        self.change("DELETE FROM trash WHERE until < ?1", [rows::time(now)])
    }
}
