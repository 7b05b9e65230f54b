//! Arithmetic of times: sums that do not overflow, and whole seconds that RFC 3339 can express.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::time::ceil_second;

/// The shortest of `thresholds`; zero if there are none.
pub(super) fn shortest(thresholds: &[TimeDelta]) -> TimeDelta {
    thresholds.iter().min().copied().unwrap_or_default()
}

/// `time` plus `span`, or the last representable time.
pub(super) fn saturating_add(time: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Rounds up to whole seconds, at most to the end of the year 9999, the last that RFC 3339 can express.
pub(super) fn representable(time: DateTime<Utc>) -> DateTime<Utc> {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    let last = DateTime::from_timestamp(LAST_SECOND_OF_9999, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    ceil_second(time.min(last)).min(last)
}
