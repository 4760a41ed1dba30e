//! Rows of the database as the types they stand for.

use super::{OutboxItem, Settings, StateError, StoredAccount};
use crate::{
    conversation::{Contact, ContactStatus, IncomingRequest, Session, Stamps, Standing},
    history::{Message, MessageState},
    paths::PathBook,
};
use rusqlite::Row;
use skep_chain_client::{Checkpoint, Memory};
use skep_envelope::{Identity, MessageId, PrekeyBundle, Prekeys, Ratchet};
use skep_primitives::{BlockHash, Moment};
use skep_proto::{account::AccountAddress, storage::MessageHash};
use zeroize::Zeroizing;

/// What a row holds: the database may fail to read it, and it may be damaged.
type Read<T> = rusqlite::Result<Result<T, StateError>>;

/// SQLite's integers end at 2^63 - 1, which is later than any time.
pub(super) fn time(time: Moment) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

pub(super) fn account(row: &Row<'_>) -> Read<StoredAccount> {
    let (phrase, name) = (Zeroizing::new(row.get::<_, String>(0)?), row.get::<_, String>(1)?);
    let prekeys = Zeroizing::new(row.get::<_, Vec<u8>>(2)?);
    let rotated: i64 = row.get(3)?;
    let settings = Settings { read_receipts: row.get(4)?, typing: row.get(5)?, presence: row.get(6)? };
    Ok((|| {
        Ok(StoredAccount {
            identity: Identity::from_phrase(&phrase).map_err(|_| StateError::Damaged("recovery phrase"))?,
            name: name.parse().map_err(|_| StateError::Damaged("display name"))?,
            prekeys: Prekeys::unpickle(&prekeys).map_err(|_| StateError::Damaged("ratchet identity"))?,
            rotated: moment(rotated),
            settings,
        })
    })())
}

/// Negative times are never written; one that was is long ago.
pub(super) fn moment(time: i64) -> Moment {
    Moment::try_from(time).unwrap_or_default()
}

/// A contact's columns that depend on where we stand.
#[derive(Default)]
pub(super) struct ContactRow<'a> {
    pub(super) since: i64,
    pub(super) introduction: Option<&'a str>,
    pub(super) bundle: Option<[u8; 96]>,
    pub(super) ratchet: Option<Zeroizing<Vec<u8>>>,
    pub(super) reset: i64,
    pub(super) told: i64,
    pub(super) welcomed: i64,
    pub(super) lost: bool,
    pub(super) stamps: [i64; 4],
}

impl<'a> ContactRow<'a> {
    pub(super) fn of(contact: &'a Contact) -> Self {
        match &contact.standing {
            Standing::Requested { introduction } => Self { introduction: Some(introduction), ..Self::default() },
            Standing::Asking(IncomingRequest { introduction, timestamp, told, prekeys }) => Self {
                since: time(*timestamp),
                told: time(*told),
                introduction: Some(introduction),
                bundle: Some(bundle_bytes(prekeys)),
                ..Self::default()
            },
            Standing::Declined { since } => Self { since: time(*since), ..Self::default() },
            Standing::Established(Session { ratchet, theirs, since, reset, told, welcomed, lost, stamps }) => Self {
                since: time(*since),
                introduction: None,
                bundle: theirs.as_ref().map(bundle_bytes),
                ratchet: Some(ratchet.pickle()),
                reset: time(*reset),
                told: time(*told),
                welcomed: time(*welcomed),
                lost: *lost,
                stamps: [stamps.last, stamps.mailed, stamps.confirmed, stamps.heard].map(time),
            },
        }
    }
}

/// What [`contact`] reads, in this order.
pub(super) const CONTACT: &str = "account, name, status, since, introduction, bundle, ratchet, reset, told, lost, blocked, verified, \
     disappear_after, stamp, mailed, confirmed, heard, welcomed";

pub(super) fn contact(row: &Row<'_>) -> Read<Contact> {
    let account: [u8; AccountAddress::LEN] = row.get(0)?;
    let name: Option<String> = row.get(1)?;
    let status: String = row.get(2)?;
    let since = moment(row.get(3)?);
    let introduction: Option<String> = row.get(4)?;
    let bundle: Option<[u8; 96]> = row.get(5)?;
    let ratchet: Option<Vec<u8>> = row.get(6)?;
    let (reset, told) = (moment(row.get(7)?), moment(row.get(8)?));
    let lost: bool = row.get(9)?;
    let (blocked, verified, disappear_after) = (row.get(10)?, row.get(11)?, row.get(12)?);
    let [last, mailed, confirmed, heard] = [row.get(13)?, row.get(14)?, row.get(15)?, row.get(16)?].map(moment);
    let stamps = Stamps { last, mailed, confirmed, heard };
    let welcomed = moment(row.get(17)?);
    let ratchet = ratchet.map(Zeroizing::new);
    Ok((|| {
        const DAMAGED: StateError = StateError::Damaged("contact");
        let bundle = bundle.as_ref().map(bundle_of);
        let standing = match (status.as_str(), introduction, bundle, ratchet) {
            (REQUESTED, Some(introduction), _, _) => Standing::Requested { introduction },
            (ASKING, Some(introduction), Some(prekeys), _) => {
                Standing::Asking(IncomingRequest { introduction, timestamp: since, told, prekeys })
            }
            (DECLINED, _, _, _) => Standing::Declined { since },
            (ESTABLISHED, _, theirs, Some(ratchet)) => {
                let ratchet = Ratchet::unpickle(&ratchet).map_err(|_| StateError::Damaged("conversation"))?;
                Standing::Established(Session { ratchet, theirs, since, reset, told, welcomed, lost, stamps })
            }
            _ => return Err(DAMAGED),
        };
        let name = name.map(|name| name.parse()).transpose().map_err(|_| DAMAGED)?;
        let account = AccountAddress::from_slice(&account).map_err(|_| DAMAGED)?;
        Ok(Contact { account, name, standing, blocked, verified, disappear_after })
    })())
}

const REQUESTED: &str = "requested";
const ASKING: &str = "asking";
const DECLINED: &str = "declined";
const ESTABLISHED: &str = "established";

pub(super) const fn status_text(status: ContactStatus) -> &'static str {
    match status {
        ContactStatus::Requested => REQUESTED,
        ContactStatus::Asking => ASKING,
        ContactStatus::Declined => DECLINED,
        ContactStatus::Established => ESTABLISHED,
    }
}

/// What [`message`] reads, in this order.
pub(super) const MESSAGE: &str = concat!(
    "contact, mine, id, text, timestamp, reply_to, disappear_after, gone_at, failed, delivered_at, read_at, sent_as, sequence, ",
    "EXISTS (SELECT 1 FROM outbox WHERE hash = sent_as), (SELECT COUNT(*) FROM receipts WHERE hash = sent_as), ",
    "EXISTS (SELECT 1 FROM direct WHERE direct.contact = messages.contact AND direct.id = messages.id)"
);

pub(super) fn message(row: &Row<'_>) -> Read<Message> {
    let contact: [u8; AccountAddress::LEN] = row.get(0)?;
    let mine: bool = row.get(1)?;
    let (id, reply_to): ([u8; 16], Option<[u8; 16]>) = (row.get(2)?, row.get(5)?);
    let (text, timestamp, disappear_after) = (row.get(3)?, moment(row.get(4)?), row.get(6)?);
    let gone_at = row.get::<_, Option<i64>>(7)?.map(moment);
    let failed: bool = row.get(8)?;
    let delivered_at = row.get::<_, Option<i64>>(9)?.map(moment);
    let read_at = row.get::<_, Option<i64>>(10)?.map(moment);
    let (sent, sequence) = (row.get::<_, Option<[u8; 32]>>(11)?.is_some(), row.get(12)?);
    let (queued, receipts, direct): (bool, u32, bool) = (row.get(13)?, row.get(14)?, row.get(15)?);
    let state = match (mine, read_at, delivered_at) {
        (false, None, _) => MessageState::Unread,
        (_, Some(at), _) => MessageState::Read { at },
        (true, None, Some(at)) => MessageState::Delivered { at },
        (true, None, None) if failed => MessageState::Failed,
        (true, None, None) if queued => MessageState::Queued,
        (true, None, None) if direct => MessageState::Direct,
        (true, None, None) if !sent => MessageState::Note,
        (true, None, None) => MessageState::OnSwarm { receipts },
    };
    let contact = AccountAddress::from_slice(&contact).map_err(|_| StateError::Damaged("message"));
    Ok(contact.map(|contact| Message {
        contact,
        mine,
        id: MessageId(id),
        text,
        timestamp,
        reply_to: reply_to.map(MessageId),
        disappear_after,
        gone_at,
        state,
        sequence,
    }))
}

fn bundle_bytes(bundle: &PrekeyBundle) -> [u8; 96] {
    let mut bytes = [0; 96];
    let keys = [bundle.identity_key, bundle.one_time_key, bundle.fallback_key];
    for (to, key) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(keys) {
        *to = key;
    }
    bytes
}

fn bundle_of(bytes: &[u8; 96]) -> PrekeyBundle {
    let mut keys = bytes.as_chunks::<32>().0.iter().copied();
    let mut next = || keys.next().unwrap_or_default();
    PrekeyBundle { identity_key: next(), one_time_key: next(), fallback_key: next() }
}

pub(super) fn outbox_item(row: &Row<'_>) -> Read<OutboxItem> {
    let hash = MessageHash::from(row.get::<_, [u8; 32]>(0)?);
    let recipient: [u8; AccountAddress::LEN] = row.get(1)?;
    let (data, timestamp, ttl) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let recipient = AccountAddress::from_slice(&recipient).map_err(|_| StateError::Damaged("outbox"));
    Ok(recipient.map(|recipient| OutboxItem { hash, recipient, data, timestamp, ttl }))
}

pub(super) fn paths(text: &str) -> Result<PathBook, StateError> {
    serde_json::from_str(text).map_err(|_| StateError::Damaged("paths"))
}

pub(super) fn paths_text(paths: &PathBook) -> Result<String, StateError> {
    serde_json::to_string(paths).map_err(|_| StateError::Damaged("paths"))
}

/// Of `checkpoint, boundary, roster`.
pub(super) fn roster_memory(row: &Row<'_>) -> Read<Memory> {
    let checkpoint: String = row.get(0)?;
    let (boundary, proof): (Option<BlockHash>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
    let roster = boundary.zip(proof).map(|(boundary, proof)| (boundary, proof.into()));
    let checkpoint = serde_json::from_str(&checkpoint).map_err(|_| StateError::Damaged("checkpoint"));
    Ok(checkpoint.map(|checkpoint| Memory { checkpoint, roster }))
}

pub(super) fn checkpoint_text(checkpoint: &Checkpoint) -> Result<String, StateError> {
    serde_json::to_string(checkpoint).map_err(|_| StateError::Damaged("checkpoint"))
}
