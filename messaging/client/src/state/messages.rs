//! The history of conversations.

use super::{State, StateError, Writer, rows};
use crate::history::Message;
use rusqlite::{Params, params};
use skep_envelope::{MessageId, ReceiptKind, Text, ttl};
use skep_primitives::Moment;
use skep_proto::{account::AccountAddress, storage::MessageHash};
use std::collections::BTreeMap;

/// A message to keep.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage<'a> {
    /// With whom.
    pub(crate) contact: AccountAddress,
    /// Whose.
    pub(crate) origin: Origin,
    pub(crate) id: MessageId,
    pub(crate) text: &'a Text,
    /// By its author's clock (ms).
    pub(crate) timestamp: Moment,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The contact.
    Theirs,
    /// We, to somebody: the hash under which it is stored.
    Sent(MessageHash),
    /// We, to ourselves.
    Note,
}

/// Messages of one contact, unsent before they came, that are remembered: nobody fills the disk with them.
const MOST_REFUSED: u32 = 1_000;

/// Messages of a contact that are to be acknowledged.
pub(crate) type Acknowledgements = BTreeMap<AccountAddress, Vec<MessageId>>;

impl State {
    /// The newest `limit` messages with `contact` before the one numbered `before`, oldest first.
    pub(crate) fn history(
        &self,
        contact: &AccountAddress,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Message>, StateError> {
        let condition = "contact = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3";
        let parameters = params![contact.as_bytes(), before.unwrap_or(i64::MAX), limit];
        let mut messages = self.messages_where(condition, parameters)?;
        messages.reverse();
        Ok(messages)
    }

    /// All messages after the one numbered `after`, oldest first, at most `limit`.
    pub(crate) fn all_messages(&self, after: i64, limit: u32) -> Result<Vec<Message>, StateError> {
        self.messages_where("sequence > ?1 ORDER BY sequence LIMIT ?2", params![after, limit])
    }

    /// One message; ours, if both sides have one of that name.
    pub(crate) fn message(&self, contact: &AccountAddress, id: &MessageId) -> Result<Option<Message>, StateError> {
        let condition = "contact = ?1 AND id = ?2 ORDER BY mine DESC LIMIT 1";
        Ok(self.messages_where(condition, params![contact.as_bytes(), id.0])?.pop())
    }

    /// At most two messages whose ids begin with these hexadecimal digits.
    pub(crate) fn messages_beginning(
        &self,
        contact: &AccountAddress,
        digits: &str,
    ) -> Result<Vec<Message>, StateError> {
        let condition = "contact = ?1 AND substr(lower(hex(id)), 1, length(?2)) = lower(?2) LIMIT 2";
        self.messages_where(condition, params![contact.as_bytes(), digits])
    }

    /// How many messages of each contact were not shown yet.
    pub(crate) fn unread(&self) -> Result<BTreeMap<AccountAddress, u32>, StateError> {
        let mut query = self.database.prepare_cached(
            "SELECT contact, COUNT(*) FROM messages WHERE mine = 0 AND read_at IS NULL GROUP BY contact",
        )?;
        let rows = query.query_map([], |row| Ok((row.get::<_, [u8; AccountAddress::LEN]>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (contact, count) = row?;
            Ok((AccountAddress::from_slice(&contact).map_err(|_| StateError::Damaged("message"))?, count))
        })
        .collect()
    }

    /// The oldest `limit` messages of a contact that were not shown yet, oldest first.
    pub(crate) fn unread_messages(&self, contact: &AccountAddress, limit: u32) -> Result<Vec<Message>, StateError> {
        let condition = "contact = ?1 AND mine = 0 AND read_at IS NULL AND text IS NOT NULL ORDER BY sequence LIMIT ?2";
        self.messages_where(condition, params![contact.as_bytes(), limit])
    }

    /// What contacts have not been told about their messages. At most `limit`.
    pub(crate) fn unacknowledged(&self, kind: ReceiptKind, limit: u32) -> Result<Acknowledgements, StateError> {
        let sql = match kind {
            ReceiptKind::Delivered => concat!(
                "SELECT contact, id FROM messages WHERE mine = 0 AND acked < 1 ",
                "UNION ALL SELECT contact, id FROM gone WHERE acked = 0 LIMIT ?1"
            ),
            ReceiptKind::Read => {
                "SELECT contact, id FROM messages WHERE mine = 0 AND acked < 2 AND read_at IS NOT NULL LIMIT ?1"
            }
        };
        let mut query = self.database.prepare_cached(sql)?;
        let rows = query.query_map([limit], |row| Ok((row.get::<_, [u8; AccountAddress::LEN]>(0)?, row.get(1)?)))?;
        let mut found = Acknowledgements::new();
        for row in rows {
            let (contact, id) = row?;
            let contact = AccountAddress::from_slice(&contact).map_err(|_| StateError::Damaged("message"))?;
            found.entry(contact).or_default().push(MessageId(id));
        }
        Ok(found)
    }

    /// Our messages to `contact` written after `since`, and after the one numbered `after`, that have not reached it, as far as we
    /// know; oldest first, at most `limit`.
    pub(crate) fn undelivered(
        &self,
        contact: &AccountAddress,
        since: Moment,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StateError> {
        let condition = concat!(
            "contact = ?1 AND mine = 1 AND delivered_at IS NULL AND read_at IS NULL AND failed = 0 ",
            "AND text IS NOT NULL AND timestamp > ?2 AND sequence > ?3 AND sent_as IS NOT NULL ORDER BY sequence LIMIT ?4"
        );
        self.messages_where(condition, params![contact.as_bytes(), rows::time(since), after, limit])
    }

    /// The messages of which this condition, with order and limit, holds.
    fn messages_where(&self, condition: &str, parameters: impl Params) -> Result<Vec<Message>, StateError> {
        let mut query =
            self.database.prepare_cached(&format!("SELECT {} FROM messages WHERE {condition}", rows::MESSAGE))?;
        let found = query.query_map(parameters, rows::message)?;
        found.map(|message| message?).collect()
    }
}

impl Writer<'_> {
    /// Keeps a message. False: it was kept before, or is not to be.
    pub(crate) fn put_message(&self, message: &NewMessage<'_>) -> Result<bool, StateError> {
        let NewMessage { contact, origin, id, text, timestamp } = message;
        if *origin == Origin::Theirs && self.is_gone(contact, id)? {
            return Ok(false);
        }
        let Text { text, reply_to, disappear_after } = text;
        let mine = *origin != Origin::Theirs;
        let gone_at = (mine && *disappear_after > 0).then(|| rows::time(gone_at(*timestamp, *disappear_after)));
        let sent_as = if let Origin::Sent(hash) = origin { Some(hash.as_bytes()) } else { None };
        let added = self.0.execute(
            concat!(
                "INSERT INTO messages ",
                "(contact, mine, id, text, timestamp, reply_to, disappear_after, gone_at, sent_as) ",
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING"
            ),
            params![
                contact.as_bytes(),
                mine,
                id.0,
                text,
                rows::time(*timestamp),
                reply_to.map(|id| id.0),
                disappear_after,
                gone_at,
                sent_as,
            ],
        )?;
        Ok(added == 1)
    }

    /// One of our messages is sent once more, as `hash`.
    pub(crate) fn sent_again(
        &self,
        contact: &AccountAddress,
        id: &MessageId,
        hash: &MessageHash,
    ) -> Result<(), StateError> {
        // What waits in the outbox was encrypted for a session the contact does not have any more.
        self.change(
            "DELETE FROM outbox WHERE hash = (SELECT sent_as FROM messages WHERE contact = ?1 AND id = ?2 AND mine = 1)",
            params![contact.as_bytes(), id.0],
        )?;
        self.drop_direct(contact, &[*id])?;
        self.change(
            "UPDATE messages SET sent_as = ?3 WHERE contact = ?1 AND id = ?2 AND mine = 1",
            params![contact.as_bytes(), id.0, hash.as_bytes()],
        )
    }

    /// The contact has said that our messages arrived, or were read. Those of which this is new.
    pub(crate) fn acknowledged(
        &self,
        contact: &AccountAddress,
        kind: ReceiptKind,
        ids: &[MessageId],
        now: Moment,
    ) -> Result<Vec<MessageId>, StateError> {
        let sql = match kind {
            ReceiptKind::Delivered => concat!(
                "UPDATE messages SET delivered_at = ?3 ",
                "WHERE contact = ?1 AND id = ?2 AND mine = 1 AND delivered_at IS NULL AND read_at IS NULL"
            ),
            ReceiptKind::Read => concat!(
                "UPDATE messages SET read_at = ?3 ",
                "WHERE contact = ?1 AND id = ?2 AND mine = 1 AND read_at IS NULL"
            ),
        };
        let mut new = Vec::new();
        for id in ids {
            let mut update = self.0.prepare_cached(sql)?;
            if update.execute(params![contact.as_bytes(), id.0, rows::time(now)])? > 0 {
                new.push(*id);
            }
        }
        Ok(new)
    }

    /// We have told the contact about these messages.
    pub(crate) fn put_acknowledged(
        &self,
        contact: &AccountAddress,
        kind: ReceiptKind,
        ids: &[MessageId],
    ) -> Result<(), StateError> {
        let level = match kind {
            ReceiptKind::Delivered => 1,
            ReceiptKind::Read => 2,
        };
        ids.iter().try_for_each(|id| {
            self.change(
                "UPDATE messages SET acked = MAX(acked, ?3) WHERE contact = ?1 AND id = ?2 AND mine = 0",
                params![contact.as_bytes(), id.0, level],
            )?;
            self.change("UPDATE gone SET acked = 1 WHERE contact = ?1 AND id = ?2", params![contact.as_bytes(), id.0])
        })
    }

    /// A message of the contact came once more: it has not heard that we have it.
    pub(crate) fn acknowledge_again(&self, contact: &AccountAddress, id: &MessageId) -> Result<(), StateError> {
        self.change(
            "UPDATE messages SET acked = 0 WHERE contact = ?1 AND id = ?2 AND mine = 0",
            params![contact.as_bytes(), id.0],
        )?;
        self.change("UPDATE gone SET acked = 0 WHERE contact = ?1 AND id = ?2", params![contact.as_bytes(), id.0])
    }

    /// One of our messages is not to be sent any more, by whichever way.
    pub(crate) fn withdraw(&self, contact: &AccountAddress, id: &MessageId) -> Result<(), StateError> {
        self.drop_direct(contact, &[*id])?;
        self.change(
            "DELETE FROM outbox WHERE hash = (SELECT sent_as FROM messages WHERE contact = ?1 AND id = ?2 AND mine = 1)",
            params![contact.as_bytes(), id.0],
        )
    }

    /// Messages of the contact up to this number were shown: those that disappear begin to. How many were new.
    pub(crate) fn put_read(&self, contact: &AccountAddress, up_to: i64, now: Moment) -> Result<usize, StateError> {
        let mut update = self.0.prepare_cached(concat!(
            "UPDATE messages SET read_at = ?3, ",
            "gone_at = CASE WHEN disappear_after > 0 THEN ?3 + 1000 * disappear_after END ",
            "WHERE contact = ?1 AND mine = 0 AND read_at IS NULL AND sequence <= ?2"
        ))?;
        Ok(update.execute(params![contact.as_bytes(), up_to, rows::time(now)])?)
    }

    /// These messages of the contact were shown: those that disappear begin to. How many were new.
    pub(crate) fn put_shown(
        &self,
        contact: &AccountAddress,
        ids: &[MessageId],
        now: Moment,
    ) -> Result<usize, StateError> {
        let mut new = 0;
        for id in ids {
            let mut update = self.0.prepare_cached(concat!(
                "UPDATE messages SET read_at = ?3, ",
                "gone_at = CASE WHEN disappear_after > 0 THEN ?3 + 1000 * disappear_after END ",
                "WHERE contact = ?1 AND id = ?2 AND mine = 0 AND read_at IS NULL"
            ))?;
            new += update.execute(params![contact.as_bytes(), id.0, rows::time(now)])?;
        }
        Ok(new)
    }

    /// Whether a message of the contact is not to be shown if it comes.
    fn is_gone(&self, contact: &AccountAddress, id: &MessageId) -> Result<bool, StateError> {
        let mut query = self.0.prepare_cached("SELECT 1 FROM gone WHERE contact = ?1 AND id = ?2")?;
        Ok(query.exists(params![contact.as_bytes(), id.0])?)
    }

    /// Of these messages, which the contact has unsent, those that are not here are not to be shown if they come. `until` then
    /// they may.
    pub(crate) fn refuse(&self, contact: &AccountAddress, ids: &[MessageId], until: Moment) -> Result<(), StateError> {
        ids.iter().try_for_each(|id| {
            self.change(
                concat!(
                    "INSERT OR IGNORE INTO gone (contact, id, until, acked) SELECT ?1, ?2, ?3, 1 ",
                    "WHERE NOT EXISTS (SELECT 1 FROM messages WHERE contact = ?1 AND id = ?2 AND mine = 0) ",
                    "AND (SELECT COUNT(*) FROM gone WHERE contact = ?1) < ?4"
                ),
                params![contact.as_bytes(), id.0, rows::time(until), MOST_REFUSED],
            )
        })
    }

    /// Forgets the messages that cannot come any more.
    pub(crate) fn forget_gone(&self, now: Moment) -> Result<(), StateError> {
        self.change("DELETE FROM gone WHERE until < ?1", [rows::time(now)])
    }

    /// Forgets what messages said that their author, we or the contact, unsent. Those that were there.
    pub(crate) fn unsend(
        &self,
        contact: &AccountAddress,
        mine: bool,
        ids: &[MessageId],
    ) -> Result<Vec<MessageId>, StateError> {
        let mut found = Vec::new();
        for id in ids {
            let mut update = self.0.prepare_cached(concat!(
                "UPDATE messages SET text = NULL, reply_to = NULL ",
                "WHERE contact = ?1 AND id = ?2 AND mine = ?3 AND text IS NOT NULL"
            ))?;
            if update.execute(params![contact.as_bytes(), id.0, mine])? > 0 {
                found.push(*id);
            }
        }
        Ok(found)
    }

    /// A message of the contact is in our mailbox under this hash; `until` then the swarm forgets it by itself.
    pub(crate) fn put_stored(
        &self,
        contact: &AccountAddress,
        id: &MessageId,
        hash: &MessageHash,
        until: Moment,
    ) -> Result<(), StateError> {
        if self.is_gone(contact, id)? {
            return self.discard(&[*hash], until);
        }
        self.change(
            "UPDATE messages SET stored_as = ?3 WHERE contact = ?1 AND id = ?2 AND mine = 0",
            params![contact.as_bytes(), id.0, hash.as_bytes()],
        )
    }

    /// Forgets messages whose time is over, in the mailbox, too. Of theirs the name is kept, so that a copy is not shown.
    pub(crate) fn forget_disappeared(&self, now: Moment) -> Result<usize, StateError> {
        let times = [rows::time(now), rows::time(now.saturating_add(ttl::MESSAGE))];
        self.change(
            concat!(
                "INSERT OR IGNORE INTO trash (hash, until) SELECT stored_as, ?2 FROM messages ",
                "WHERE gone_at <= ?1 AND stored_as IS NOT NULL"
            ),
            times,
        )?;
        self.change(
            concat!(
                "INSERT OR REPLACE INTO gone (contact, id, until, acked) SELECT contact, id, ?2, acked > 0 FROM messages ",
                "WHERE gone_at <= ?1 AND mine = 0"
            ),
            times,
        )?;
        Ok(self.0.prepare_cached("DELETE FROM messages WHERE gone_at <= ?1")?.execute([rows::time(now)])?)
    }

    /// A queued message was given up. False: it was none of the history.
    pub(crate) fn put_failed(&self, hash: &MessageHash) -> Result<bool, StateError> {
        let sql = "UPDATE messages SET failed = 1 WHERE sent_as = ?1";
        Ok(self.0.prepare_cached(sql)?.execute([hash.as_bytes()])? > 0)
    }
}

/// When a message that disappears `after` seconds from `start` does so (ms).
pub(crate) const fn gone_at(start: Moment, after: u32) -> Moment {
    start.saturating_add(1000 * after as u64)
}
