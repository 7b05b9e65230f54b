//! Conversions between the timestamps of Kubernetes types (`jiff`) and those of the operator (`chrono`).

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// Converts a Kubernetes time to a `chrono` time; `None` outside the range of both types.
pub fn from_k8s(time: &Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.0.as_second(), time.0.subsec_nanosecond().unsigned_abs())
}

/// Converts a `chrono` time to a Kubernetes time, in whole seconds as the API stores it.
pub fn to_k8s(time: DateTime<Utc>) -> Time {
    Time(
        Timestamp::from_second(time.timestamp())
            .unwrap_or_else(|_| if time.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX }),
    )
}

/// RFC 3339 in whole seconds, `2026-12-01T09:00:00Z`.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first whole second at or after `time`, so that a written time is never earlier than the exact one.
pub fn ceil_second(time: DateTime<Utc>) -> DateTime<Utc> {
    let whole = DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time);
    if whole < time { whole.checked_add_signed(chrono::TimeDelta::seconds(1)).unwrap_or(whole) } else { whole }
}
