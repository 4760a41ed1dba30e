//! What contacts have not received and is to be said once more, in a session that was started anew.

use super::{State, StateError, Writer, rows};
use rusqlite::params;
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;

/// How long one count of [`MOST`] lasts (ms).
const WINDOW: Moment = 60 * 60 * 1000;
/// How often everything is said once more to one contact within a window: each time costs work for each message, and the contact
/// can ask for it with one. More than once, since two who have both lost their sessions may need several starts.
const MOST: u32 = 3;

impl State {
    /// Contacts to whom something is to be said once more now, and the last message that already was.
    pub(crate) fn resends_due(&self, now: Moment) -> Result<Vec<(AccountAddress, i64)>, StateError> {
        // Nothing can be said in a session that is lost; a clock that was set back makes nobody wait.
        let mut query = self.database.prepare_cached(concat!(
            "SELECT contact, after FROM resends JOIN contacts ON account = contact ",
            "WHERE after IS NOT NULL AND status = 'established' AND lost = 0 AND blocked = 0 ",
            "AND (count < ?1 OR began <= ?2 OR began > ?3)"
        ))?;
        let due = query.query_map(params![MOST, rows::time(now.saturating_sub(WINDOW)), rows::time(now)], |row| {
            Ok((row.get::<_, [u8; AccountAddress::LEN]>(0)?, row.get(1)?))
        })?;
        due.map(|row| {
            let (contact, after) = row?;
            Ok((AccountAddress::from_slice(&contact).map_err(|_| StateError::Damaged("contact"))?, after))
        })
        .collect()
    }
}

impl Writer<'_> {
    /// Everything a contact has not received is to be said once more.
    pub(crate) fn want_resent(&self, contact: &AccountAddress) -> Result<(), StateError> {
        self.change(
            "INSERT INTO resends (contact, after) VALUES (?1, 0) ON CONFLICT (contact) DO UPDATE SET after = 0",
            [contact.as_bytes()],
        )
    }

    /// It is begun now.
    pub(crate) fn count_resend(&self, contact: &AccountAddress, now: Moment) -> Result<(), StateError> {
        self.change(
            concat!(
                "UPDATE resends SET count = CASE WHEN began <= ?2 OR began > ?3 THEN 1 ELSE count + 1 END, ",
                "began = CASE WHEN began <= ?2 OR began > ?3 THEN ?3 ELSE began END WHERE contact = ?1"
            ),
            params![contact.as_bytes(), rows::time(now.saturating_sub(WINDOW)), rows::time(now)],
        )
    }

    /// It is done up to this message.
    pub(crate) fn put_resent(&self, contact: &AccountAddress, sequence: i64) -> Result<(), StateError> {
        self.change("UPDATE resends SET after = ?2 WHERE contact = ?1", params![contact.as_bytes(), sequence])
    }

    /// It is done.
    pub(crate) fn all_resent(&self, contact: &AccountAddress) -> Result<(), StateError> {
        self.change("UPDATE resends SET after = NULL WHERE contact = ?1", [contact.as_bytes()])
    }

    /// It was not the contacts who had it said so often.
    pub(super) fn forgive_resends(&self) -> Result<(), StateError> {
        self.change("UPDATE resends SET count = 0, began = 0", [])
    }
}
