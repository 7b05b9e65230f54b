//! The one place where Kubernetes' own timestamps (`jiff`) and ours (`chrono`) meet.

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// A Kubernetes time as one of ours; `None` outside the range that both can hold.
pub fn from_k8s(time: &Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.0.as_second(), time.0.subsec_nanosecond().unsigned_abs())
}

/// One of our times as a Kubernetes time, in whole seconds as the API stores it.
pub fn to_k8s(time: DateTime<Utc>) -> Time {
    Time(Timestamp::from_second(time.timestamp()).unwrap_or_else(|_| if time.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX }))
}

/// RFC 3339 in whole seconds, `2026-12-01T09:00:00Z`.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first whole second at or after `time`, so that what is written is never earlier than what was meant.
pub fn ceil_second(time: DateTime<Utc>) -> DateTime<Utc> {
    let whole = DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time);
    if whole < time { whole.checked_add_signed(chrono::TimeDelta::seconds(1)).unwrap_or(whole) } else { whole }
}
