//! The only module that reads the wall clock. Decisions take `now` as an argument.

use std::{sync::Mutex, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::lock::IgnorePoison;

/// The largest difference between the local clock and the API server's for which the local clock is used, and between two responses that agree.
///
/// The server's `Date` header has whole seconds, and its age is the latency of the response, so a smaller difference cannot be detected.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(5);

/// A source of `now`.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The local clock, checked against the API server's: a clock that was stepped must not cause an early deletion of a space.
///
/// The server's time is used only if two consecutive responses agree on it. A single response with another time changes nothing.
#[derive(Debug, Default)]
pub struct ServerCheckedClock {
    responses: Mutex<ServerTimes>,
}

/// The times of the API server's responses.
#[derive(Clone, Copy, Debug, Default)]
struct ServerTimes {
    /// The last response.
    last: Option<Reading>,
    /// The last response that agreed with the one before it.
    confirmed: Option<Reading>,
    /// True if the first response needs no confirmation.
    trusts_first: bool,
}

/// The server's time in one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    date: DateTime<Utc>,
    at: Instant,
}

impl Reading {
    /// The server's time at `now`, according to this response.
    fn server_time(self, now: Instant) -> Option<DateTime<Utc>> {
        let elapsed = TimeDelta::from_std(now.saturating_duration_since(self.at)).ok()?;
        self.date.checked_add_signed(elapsed)
    }

    fn agrees_with(self, earlier: Self) -> bool {
        earlier.server_time(self.at).is_some_and(|expected| (self.date - expected).abs() <= MAX_DIFFERENCE)
    }
}

impl ServerTimes {
    fn record(&mut self, reading: Reading) {
        let is_confirmed = self.last.map_or(self.trusts_first, |last| reading.agrees_with(last));
        if is_confirmed {
            self.confirmed = Some(reading);
        }
        self.last = Some(reading);
    }

    fn server_time(self, now: Instant) -> Option<DateTime<Utc>> {
        self.confirmed.and_then(|reading| reading.server_time(now))
    }
}

impl ServerCheckedClock {
    /// A clock for one command of a user. A command may have a single response, and the clock of a user's machine may be wrong, so the first
    /// response needs no confirmation.
    pub fn for_a_command() -> Self {
        Self { responses: Mutex::new(ServerTimes { trusts_first: true, ..ServerTimes::default() }) }
    }

    /// Records the `Date` header of a successful response.
    pub fn record_server_time(&self, date: Option<DateTime<Utc>>) {
        if let Some(date) = date {
            self.responses.lock().ignore_poison().record(Reading { date, at: Instant::now() });
        }
    }
}

impl Clock for ServerCheckedClock {
    fn now(&self) -> DateTime<Utc> {
        #[allow(clippy::disallowed_methods, reason = "this is the one place")]
        let local = Utc::now();
        let responses = *self.responses.lock().ignore_poison();
        choose(local, responses.server_time(Instant::now()))
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
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_stepped_local_clock_is_not_used() {
        assert_eq!(choose(at(1000), None), at(1000));
        assert_eq!(choose(at(1004), Some(at(1000))), at(1004));
        assert_eq!(choose(at(4600), Some(at(1000))), at(1000));
        assert_eq!(choose(at(1000), Some(at(4600))), at(4600));
    }

    /// The server's time at second 100 after these responses, each a second and its `Date`.
    fn server_time(mut times: ServerTimes, responses: &[(u64, i64)]) -> Option<DateTime<Utc>> {
        let start = Instant::now();
        let moment = |seconds| start + Duration::from_secs(seconds);
        for (seconds, date) in responses {
            times.record(Reading { date: at(*date), at: moment(*seconds) });
        }
        times.server_time(moment(100))
    }

    #[test]
    fn the_servers_time_needs_two_responses_that_agree() {
        for (responses, expected) in [
            (vec![], None),
            (vec![(1, 4601)], None),
            (vec![(1, 4601), (2, 4602)], Some(4700)),
            (vec![(1, 4601), (2, 4607)], Some(4705)),
            (vec![(1, 4601), (2, 4608)], None),
            (vec![(1, 4606), (2, 4602)], Some(4700)),
            // One response that differs changes nothing, whenever it comes.
            (vec![(1, 1001), (2, 1002), (3, 4603)], Some(1100)),
            (vec![(1, 1001), (2, 1002), (3, 4603), (4, 1004)], Some(1100)),
            (vec![(1, 4601), (2, 1002), (3, 1003)], Some(1100)),
            // A step of the server's clock.
            (vec![(1, 1001), (2, 1002), (3, 4603), (4, 4604)], Some(4700)),
            (vec![(1, 4601), (2, 4602), (3, 1003), (60, 1060)], Some(1100)),
            // Two API servers whose clocks differ, in turns.
            (vec![(1, 1001), (2, 4602), (3, 1003), (4, 4604)], None),
        ] {
            assert_eq!(server_time(ServerTimes::default(), &responses), expected.map(at), "{responses:?}");
        }
    }

    #[test]
    fn a_command_trusts_its_first_response() {
        let command = ServerTimes { trusts_first: true, ..ServerTimes::default() };
        for (responses, expected) in [
            (vec![], None),
            (vec![(1, 4601)], Some(4700)),
            (vec![(1, 4601), (2, 1002)], Some(4700)),
            (vec![(1, 4601), (2, 1002), (3, 1003)], Some(1100)),
        ] {
            assert_eq!(server_time(command, &responses), expected.map(at), "{responses:?}");
        }
    }

    #[test]
    fn a_response_of_a_clock_that_is_ahead_moves_the_clock_only_if_another_agrees() {
        let hour = TimeDelta::hours(1);
        let (operator, command) = (ServerCheckedClock::default(), ServerCheckedClock::for_a_command());
        let started = operator.now();
        let is_ahead = |clock: &ServerCheckedClock| clock.now() - started > hour / 2;
        for clock in [&operator, &command] {
            clock.record_server_time(None);
            assert!(!is_ahead(clock));
            clock.record_server_time(Some(started + hour));
        }
        assert!(!is_ahead(&operator) && is_ahead(&command));
        operator.record_server_time(Some(started + hour));
        assert!(is_ahead(&operator));
    }
}
