//! Rows of the database as the types they stand for.

use super::{OutboxItem, StateError, StoredAccount};
use crate::{
    conversation::{Contact, ContactStatus, IncomingRequest, Standing},
    paths::PathBook,
};
use rusqlite::Row;
use skep_envelope::{Identity, PrekeyBundle, Prekeys, Ratchet};
use skep_primitives::Moment;
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
    Ok((|| {
        Ok(StoredAccount {
            identity: Identity::from_phrase(&phrase).map_err(|_| StateError::Damaged("recovery phrase"))?,
            name: name.parse().map_err(|_| StateError::Damaged("display name"))?,
            prekeys: Prekeys::unpickle(&prekeys).map_err(|_| StateError::Damaged("ratchet identity"))?,
        })
    })())
}

/// A contact's columns that depend on where we stand.
pub(super) struct ContactRow<'a> {
    pub(super) status: &'static str,
    pub(super) since: i64,
    pub(super) introduction: Option<&'a str>,
    pub(super) bundle: Option<[u8; 96]>,
    pub(super) ratchet: Option<Zeroizing<Vec<u8>>>,
}

impl<'a> ContactRow<'a> {
    pub(super) fn of(contact: &'a Contact) -> Self {
        let status = status_text(contact.status());
        match &contact.standing {
            Standing::Requested { introduction } => {
                Self { status, since: 0, introduction: Some(introduction), bundle: None, ratchet: None }
            }
            Standing::Asking(IncomingRequest { introduction, timestamp, prekeys }) => Self {
                status,
                since: time(*timestamp),
                introduction: Some(introduction),
                bundle: Some(bundle_bytes(prekeys)),
                ratchet: None,
            },
            Standing::Established { ratchet, theirs, since } => Self {
                status,
                since: time(*since),
                introduction: None,
                bundle: theirs.as_ref().map(bundle_bytes),
                ratchet: Some(ratchet.pickle()),
            },
        }
    }
}

pub(super) fn contact(row: &Row<'_>) -> Read<Contact> {
    let account: [u8; AccountAddress::LEN] = row.get(0)?;
    let name: Option<String> = row.get(1)?;
    let status: String = row.get(2)?;
    let since: i64 = row.get(3)?;
    let introduction: Option<String> = row.get(4)?;
    let bundle: Option<[u8; 96]> = row.get(5)?;
    let ratchet: Option<Vec<u8>> = row.get(6)?;
    let ratchet = ratchet.map(Zeroizing::new);
    Ok((|| {
        const DAMAGED: StateError = StateError::Damaged("contact");
        let since = Moment::try_from(since).map_err(|_| DAMAGED)?;
        let bundle = bundle.as_ref().map(bundle_of);
        let standing = match (status.as_str(), introduction, bundle, ratchet) {
            (REQUESTED, Some(introduction), _, _) => Standing::Requested { introduction },
            (ASKING, Some(introduction), Some(prekeys), _) => {
                Standing::Asking(IncomingRequest { introduction, timestamp: since, prekeys })
            }
            (ESTABLISHED, _, theirs, Some(ratchet)) => {
                let ratchet = Ratchet::unpickle(&ratchet).map_err(|_| StateError::Damaged("conversation"))?;
                Standing::Established { ratchet, theirs, since }
            }
            _ => return Err(DAMAGED),
        };
        let name = name.map(|name| name.parse()).transpose().map_err(|_| DAMAGED)?;
        let account = AccountAddress::from_slice(&account).map_err(|_| DAMAGED)?;
        Ok(Contact { account, name, standing })
    })())
}

const REQUESTED: &str = "requested";
const ASKING: &str = "asking";
const ESTABLISHED: &str = "established";

const fn status_text(status: ContactStatus) -> &'static str {
    match status {
        ContactStatus::Requested => REQUESTED,
        ContactStatus::Asking => ASKING,
        ContactStatus::Established => ESTABLISHED,
    }
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
