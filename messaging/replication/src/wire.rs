//! What members ask and answer, read into what cannot be wrong.

use skep_mailbox::{ItemName, NameRange, StoreError, Tally};
use skep_proto::peer;

/// Version of the comparison: members with another one do not compare.
pub const VERSION: u32 = 1;
/// Most questions at once.
pub const MAX_QUESTIONS: usize = 16;
/// Most names in one question or answer.
pub const MAX_NAMES: usize = 64;
/// Most parts a range is answered in. Who has no more names than this in it lists them.
pub(crate) const PARTS: usize = 16;

/// A question or answer of a comparison cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Another version.
    #[error("comparisons have version {0} there and {VERSION} here")]
    Version(u32),
    /// More than anyone may ask or answer.
    #[error("there is more of it than may be")]
    TooMuch,
    /// Not what the protocol says.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// The own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) fn read_name(bytes: &[u8]) -> Result<ItemName, CompareError> {
    let bytes: [u8; ItemName::LEN] = bytes.try_into().map_err(|_| CompareError::Malformed("a name"))?;
    Ok(bytes.into())
}

/// Names in order.
pub(crate) fn read_names(wire: &peer::Names, most: usize) -> Result<Vec<ItemName>, CompareError> {
    if wire.names.len() > most {
        return Err(CompareError::TooMuch);
    }
    let names = wire.names.iter().map(|name| read_name(name)).collect::<Result<Vec<_>, _>>()?;
    if names.is_sorted_by(|a, b| a < b) { Ok(names) } else { Err(CompareError::Malformed("names out of order")) }
}

pub(crate) fn write_names(names: &[ItemName]) -> peer::Names {
    peer::Names { names: names.iter().map(|name| name.to_bytes().to_vec().into()).collect() }
}

pub(crate) fn read_range(wire: &peer::Range) -> Result<(NameRange, Tally), CompareError> {
    let range = NameRange { from: read_name(&wire.from)?, to: read_name(&wire.to)? };
    if range.is_empty() {
        return Err(CompareError::Malformed("an empty range"));
    }
    Ok((range, read_tally(wire.count, &wire.sum)?))
}

pub(crate) fn write_range(range: &NameRange, tally: &Tally) -> peer::Range {
    let [from, to] = [range.from, range.to].map(|name| name.to_bytes().to_vec().into());
    peer::Range { from, to, count: tally.count, sum: tally.sum().to_vec().into() }
}

fn read_tally(count: u64, sum: &[u8]) -> Result<Tally, CompareError> {
    let sum = sum.try_into().map_err(|_| CompareError::Malformed("a sum"))?;
    Ok(Tally::told(count, sum))
}

/// The parts of `range`: all of it, in order, two at least.
pub(crate) fn read_parts(wire: &peer::Parts, range: &NameRange) -> Result<Vec<(NameRange, Tally)>, CompareError> {
    if !(2..=PARTS).contains(&wire.parts.len()) {
        return Err(CompareError::Malformed("the number of parts"));
    }
    let mut from = range.from;
    let mut parts = Vec::with_capacity(wire.parts.len());
    for part in &wire.parts {
        let inner = NameRange { from, to: read_name(&part.to)? };
        if inner.is_empty() {
            return Err(CompareError::Malformed("parts out of order"));
        }
        parts.push((inner, read_tally(part.count, &part.sum)?));
        from = inner.to;
    }
    if from == range.to { Ok(parts) } else { Err(CompareError::Malformed("parts of another range")) }
}

pub(crate) fn write_part(to: &ItemName, tally: &Tally) -> peer::Part {
    peer::Part { to: to.to_bytes().to_vec().into(), count: tally.count, sum: tally.sum().to_vec().into() }
}
