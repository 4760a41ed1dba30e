//! The wall clock, read here and nowhere else.

use skep_primitives::Moment;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time (ms); 0 for a clock before 1970, which every node will point out.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::try_from(since.as_millis()).unwrap_or(Moment::MAX)
}
