//! Reading one box: its entries in the order of arrival, and beside each its data. Both lie in that order, so both are read by
//! going on rather than by looking up each message.

use super::{
    failed,
    keys::{BoxId, Meta},
};
use crate::StoreError;
use prost::Message;
use rocksdb::{DB, DBRawIterator, ReadOptions, SnapshotWithThreadMode};
use std::ops::Range;

/// What `skep.peer.v1.Store` says of a message's data. Decoded alone, the rest of a record is passed over.
#[derive(Clone, PartialEq, Message)]
struct DataOnly {
    #[prost(bytes = "vec", tag = "5")]
    data: Vec<u8>,
}

/// The messages of one box at some positions.
pub(super) struct BoxReader<'a> {
    id: BoxId,
    entries: DBRawIterator<'a>,
    data: DBRawIterator<'a>,
}

impl<'a> BoxReader<'a> {
    pub(super) fn new(snapshot: &'a SnapshotWithThreadMode<'a, DB>, id: BoxId, positions: Range<u64>) -> Self {
        let within = |from: Vec<u8>, to: Vec<u8>| {
            let mut bounds = ReadOptions::default();
            bounds.set_iterate_range(from..to);
            snapshot.raw_iterator_opt(bounds)
        };
        let Range { start, end } = positions;
        let mut entries = within(id.meta(start), id.meta(end));
        entries.seek_to_first();
        Self { id, entries, data: within(id.data(start), id.data(end)) }
    }

    /// The next message's position and entry.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Meta)>, StoreError> {
        let Some((key, value)) = self.entries.item() else {
            self.entries.status().map_err(failed("read a mailbox"))?;
            return Ok(None);
        };
        let (_, position) = BoxId::read_meta(key).ok_or(StoreError::Damaged("a message's key"))?;
        let meta = Meta::read(value).ok_or(StoreError::Damaged("a message's entry"))?;
        self.entries.next();
        Ok(Some((position, meta)))
    }

    /// The data of a message that [`Self::next`] gave; of later ones only after that.
    pub(super) fn data(&mut self, position: u64) -> Result<Vec<u8>, StoreError> {
        let key = self.id.data(position);
        if self.data.valid() {
            self.data.next();
        }
        // It is the next one, unless some in between were not asked for.
        if self.data.key() != Some(key.as_slice()) {
            self.data.seek(&key);
        }
        let Some((_, value)) = self.data.item().filter(|(found, _)| *found == key.as_slice()) else {
            self.data.status().map_err(failed("read a message"))?;
            return Err(StoreError::Damaged("a message"));
        };
        Ok(DataOnly::decode(value).map_err(|_| StoreError::Damaged("a message"))?.data)
    }
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
