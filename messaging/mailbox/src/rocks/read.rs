//! Reading one box: first its entries in the order of arrival, as far as they are wanted, then the data of those. Both lie in
//! that order, so both are read by going on rather than by looking up each message; and how long the data is stands in the
//! entries, so it is fetched from the disk in one go.

use super::{
    failed,
    keys::{BoxId, Meta},
};
use crate::StoreError;
use prost::{Message, bytes::Bytes};
use rocksdb::{DB, DBRawIterator, ReadOptions, SnapshotWithThreadMode};
use skep_proto::storage::RetrievedMessage;
use std::ops::Range;

/// About what lies around the data of one message: its key, and the rest of the record.
const AROUND_DATA: usize = 128;
/// Less than this the database reads at once anyway.
const LEAST_AHEAD: usize = 8 * 1024;
/// No more than this is fetched in one go.
const MOST_AHEAD: usize = 1024 * 1024;

/// What `skep.peer.v1.Store` says of a message's data. Decoded alone, the rest of a record is passed over.
#[derive(Clone, PartialEq, Message)]
struct DataOnly {
    #[prost(bytes = "bytes", tag = "5")]
    data: Bytes,
}

fn within<'a>(
    snapshot: &'a SnapshotWithThreadMode<'a, DB>,
    range: Range<Vec<u8>>,
    mut options: ReadOptions,
) -> DBRawIterator<'a> {
    options.set_iterate_range(range);
    let mut found = snapshot.raw_iterator_opt(options);
    found.seek_to_first();
    found
}

/// The entries of one box at some positions.
pub(super) struct Entries<'a>(DBRawIterator<'a>);

impl<'a> Entries<'a> {
    pub(super) fn new(snapshot: &'a SnapshotWithThreadMode<'a, DB>, id: &BoxId, positions: Range<u64>) -> Self {
        Self(within(snapshot, id.meta(positions.start)..id.meta(positions.end), ReadOptions::default()))
    }

    /// The next message's position and entry.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Meta)>, StoreError> {
        let Some((key, value)) = self.0.item() else {
            self.0.status().map_err(failed("read a mailbox"))?;
            return Ok(None);
        };
        let (_, position) = BoxId::read_meta(key).ok_or(StoreError::Damaged("a message's key"))?;
        let meta = Meta::read(value).ok_or(StoreError::Damaged("a message's entry"))?;
        self.0.next();
        Ok(Some((position, meta)))
    }
}

/// The messages of one box that stand in `entries`, in the same order.
pub(super) fn messages(
    snapshot: &SnapshotWithThreadMode<'_, DB>,
    id: &BoxId,
    entries: &[(u64, Meta)],
) -> Result<Vec<RetrievedMessage>, StoreError> {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return Ok(Vec::new()) };
    let mut options = ReadOptions::default();
    // A mailbox is seldom read twice in a row: what helps to find the next one stays in the cache.
    options.fill_cache(false);
    let size: usize = entries.iter().map(|(_, meta)| meta.size as usize + AROUND_DATA).sum();
    if size > LEAST_AHEAD {
        options.set_readahead_size(size.min(MOST_AHEAD));
        // It would look up each block to come in the cache, where none is.
        options.set_auto_readahead_size(false);
    }
    let mut found = within(snapshot, id.data(*first)..id.data(last.saturating_add(1)), options);
    let mut messages = Vec::with_capacity(entries.len());
    for (number, (position, meta)) in entries.iter().enumerate() {
        if number > 0 {
            found.next();
        }
        // It is the next one, unless some in between are not wanted.
        if found.key().is_some_and(|key| !key.ends_with(&position.to_be_bytes())) {
            found.seek(id.data(*position));
        }
        let Some((_, value)) = found.item().filter(|(key, _)| key.ends_with(&position.to_be_bytes())) else {
            found.status().map_err(failed("read a message"))?;
            return Err(StoreError::Damaged("a message"));
        };
        let data = DataOnly::decode(value).map_err(|_| StoreError::Damaged("a message"))?.data.into();
        let Meta { hash, sent: timestamp, expiry: expiration, .. } = *meta;
        messages.push(RetrievedMessage { hash, timestamp, expiration, data });
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn data_is_found_in_a_whole_record() {
        let record = suite::record(1, 0, 7, 1_000_000);
        let read = DataOnly::decode(record.to_wire().encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.data, record.deposit().data);
    }
}
