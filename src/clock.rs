//! The only module that reads the wall clock. Decisions take `now` as an argument.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};

/// The largest difference between the local clock and the API server's for which the local clock is used.
///
/// The server's `Date` header has whole seconds, and its age is the latency of the response, so a smaller difference cannot be detected.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(5);

/// A source of `now`.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The local clock, checked against the API server's: a clock that was stepped must not cause an early deletion of a space.
#[derive(Debug, Default)]
pub struct ServerCheckedClock {
    last_response: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

impl ServerCheckedClock {
    /// Records the `Date` header of a response.
    pub fn record_server_time(&self, date: Option<DateTime<Utc>>) {
        if let Some(date) = date {
            *self.last_response.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, Instant::now()));
        }
    }
}

impl Clock for ServerCheckedClock {
    fn now(&self) -> DateTime<Utc> {
        #[allow(clippy::disallowed_methods, reason = "this is the one place")]
        let local = Utc::now();
        let last_response = *self.last_response.lock().unwrap_or_else(PoisonError::into_inner);
        let server = last_response.and_then(|(date, at)| date.checked_add_signed(TimeDelta::from_std(at.elapsed()).ok()?));
        choose(local, server)
    }
}

/// Returns the local time, unless it differs from the server's by more than the tolerance.
fn choose(local: DateTime<Utc>, server: Option<DateTime<Utc>>) -> DateTime<Utc> {
    match server {
        Some(server) if (local - server).abs() > MAX_DIFFERENCE => server,
        _ => local,
    }
}

/// A fixed clock, for tests and one-shot decisions.
impl Clock for DateTime<Utc> {
    fn now(&self) -> DateTime<Utc> {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_local_clock_is_not_used() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        assert_eq!(choose(at(1000), None), at(1000));
        assert_eq!(choose(at(1004), Some(at(1000))), at(1004));
        assert_eq!(choose(at(4600), Some(at(1000))), at(1000));
        assert_eq!(choose(at(1000), Some(at(4600))), at(4600));
    }
}
