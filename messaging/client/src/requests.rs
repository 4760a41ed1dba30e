//! How many friend requests are made and shown; pure.
//!
//! Whoever knows an account can ask it, and each request is a contact kept and a person disturbed. So at most
//! [`AN_HOUR`] strangers an hour are shown. Those beyond wait as they came, sealed, and are drawn by chance once there is
//! room: a flood has no better odds than anybody, and what is not looked at costs a kilobyte and half an opening.

use skep_primitives::Moment;

pub(crate) const HOUR: Moment = 60 * 60 * 1000;
/// Requests of strangers that are shown, and requests of ours that are made, within any hour.
pub(crate) const AN_HOUR: u32 = 30;
/// Requests that wait for an answer at a time.
pub(crate) const MOST_ASKING: u32 = 200;
/// Requests that wait to be looked at.
pub(crate) const MOST_PUT_OFF: u32 = 500;

/// How many of the waiting requests may be shown, where `shown` were within the hour and `asking` have no answer yet.
pub(crate) const fn room(shown: u32, asking: u32) -> u32 {
    let (hourly, waiting) = (AN_HOUR.saturating_sub(shown), MOST_ASKING.saturating_sub(asking));
    if hourly < waiting { hourly } else { waiting }
}

/// How long to wait before asking one more (ms), where `made` were within the hour, the first of them at `first`. None: ask.
pub(crate) fn wait(made: u32, first: Option<Moment>, now: Moment) -> Option<Moment> {
    let first = first.filter(|_| made >= AN_HOUR)?;
    Some(first.saturating_add(HOUR).saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_bound_counts() {
        assert_eq!([room(0, 0), room(30, 0), room(31, 0), room(0, 190), room(0, 201)], [30, 0, 0, 10, 0]);
    }

    #[test]
    fn who_has_asked_too_often_waits_until_the_first_is_an_hour_old() {
        let now = 1_800_000_000_000;
        assert_eq!(wait(0, None, now), None);
        assert_eq!(wait(29, Some(now - 10), now), None);
        assert_eq!(wait(30, Some(now - 10), now), Some(HOUR - 10));
    }
}
