//! What was given to contacts' listening nodes and is not acknowledged yet.

use super::{State, StateError, Writer, rows};
use rusqlite::params;
use skep_envelope::MessageId;
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// A message that went directly: kept until the contact acknowledges it, or it goes by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectMessage {
    pub(crate) id: MessageId,
    /// What it says, as [`Body::encode`](skep_envelope::Body::encode) gives it.
    pub(crate) body: Vec<u8>,
    /// When it was written (ms).
    pub(crate) timestamp: Moment,
}

impl State {
    /// What was given to this contact's listening node and is not acknowledged, oldest first.
    pub(crate) fn direct(&self, contact: &AccountAddress) -> Result<Vec<DirectMessage>, StateError> {
        let sql = "SELECT id, body, timestamp FROM direct WHERE contact = ?1 ORDER BY sequence";
        let mut query = self.database.prepare_cached(sql)?;
        let rows = query.query_map([contact.as_bytes()], |row| {
            Ok(DirectMessage { id: MessageId(row.get(0)?), body: row.get(1)?, timestamp: rows::moment(row.get(2)?) })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Contacts that have not acknowledged everything that was given to their listening nodes.
    pub(crate) fn direct_contacts(&self) -> Result<Vec<AccountAddress>, StateError> {
        let mut query = self.database.prepare_cached("SELECT DISTINCT contact FROM direct")?;
        let rows = query.query_map([], |row| row.get::<_, [u8; AccountAddress::LEN]>(0))?;
        rows.map(|contact| AccountAddress::from_slice(&contact?).map_err(|_| StateError::Damaged("direct message")))
            .collect()
    }

    /// Whether something waits to be sent to this contact by mail.
    pub(crate) fn has_outgoing(&self, contact: &AccountAddress) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE recipient = ?1)";
        Ok(self.database.query_row(sql, [contact.as_bytes()], |row| row.get(0))?)
    }

    /// At most `limit` established contacts, the one last talked with first.
    pub(crate) fn latest_contacts(&self, limit: usize) -> Result<Vec<AccountAddress>, StateError> {
        let mut query = self.database.prepare_cached(concat!(
            "SELECT account FROM contacts WHERE status = 'established' AND blocked = 0 AND lost = 0 ORDER BY ",
            "(SELECT MAX(sequence) FROM messages WHERE messages.contact = contacts.account) DESC LIMIT ?1"
        ))?;
        let rows = query.query_map([limit], |row| row.get::<_, [u8; AccountAddress::LEN]>(0))?;
        rows.map(|contact| AccountAddress::from_slice(&contact?).map_err(|_| StateError::Damaged("contact"))).collect()
    }
}

impl Writer<'_> {
    /// A message is given to the contact's listening node.
    pub(crate) fn put_direct(&self, contact: &AccountAddress, message: &DirectMessage) -> Result<(), StateError> {
        let DirectMessage { id, body, timestamp } = message;
        self.change(
            "INSERT OR REPLACE INTO direct (contact, id, body, timestamp) VALUES (?1, ?2, ?3, ?4)",
            params![contact.as_bytes(), id.0, body, rows::time(*timestamp)],
        )
    }

    /// The contact has these messages, or they go by mail.
    pub(crate) fn drop_direct(&self, contact: &AccountAddress, ids: &[MessageId]) -> Result<(), StateError> {
        ids.iter().try_for_each(|id| {
            self.change("DELETE FROM direct WHERE contact = ?1 AND id = ?2", params![contact.as_bytes(), id.0])
        })
    }
}
