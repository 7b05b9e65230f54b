//! The only module that reads the wall clock. Decisions take `now` as an argument.

use std::{sync::Mutex, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::lock::IgnorePoison;

/// The largest difference between the local clock and the API server's for which the local clock is used, and between
/// two responses that agree.
///
/// The server's `Date` header has whole seconds, and its age is the latency of the response, so a smaller difference
/// cannot be detected.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(5);

/// A source of `now`.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The local clock, checked against the API server's: a clock that was stepped must not cause an early deletion of a
/// space.
///
/// The server's time is used only if two consecutive responses agree on it. Until then, the earlier of the local time
/// and the last response's is used. Afterwards, a single response with another time changes nothing.
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

    /// The time for decisions at `now`, when the local time is `local`.
    fn time(self, local: DateTime<Utc>, now: Instant) -> DateTime<Utc> {
        let at_now = |reading: Option<Reading>| reading.and_then(|reading| reading.server_time(now));
        choose(local, at_now(self.confirmed), at_now(self.last))
    }
}

impl ServerCheckedClock {
    /// A clock for one command of a user. A command may have a single response, and the clock of a user's machine may
    /// be wrong, so the first response needs no confirmation.
    pub(crate) fn for_a_command() -> Self {
        Self { responses: Mutex::new(ServerTimes { trusts_first: true, ..ServerTimes::default() }) }
    }

    /// Records the `Date` header of a successful response.
    pub(crate) fn record_server_time(&self, date: Option<DateTime<Utc>>) {
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
        responses.time(local, Instant::now())
    }
}

/// Returns the local time, unless it differs from the confirmed server time by more than the tolerance. Without a
/// confirmed time, either the last response or the local clock may be wrong: the earlier time delays decisions and
/// deletes nothing early.
fn choose(local: DateTime<Utc>, confirmed: Option<DateTime<Utc>>, last: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let server = confirmed.or_else(|| last.map(|last| last.min(local)));
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
        for (local, confirmed, last, expected) in [
            (1000, None, None, 1000),
            (1004, Some(1000), Some(1000), 1004),
            (4600, Some(1000), Some(1000), 1000),
            (1000, Some(4600), Some(4600), 4600),
            // The last response counts only while no time is confirmed, and only if it is earlier.
            (4600, Some(4600), Some(1000), 4600),
            (1004, None, Some(1000), 1004),
            (4600, None, Some(1000), 1000),
            (1000, None, Some(4600), 1000),
        ] {
            assert_eq!(
                choose(at(local), confirmed.map(at), last.map(at)),
                at(expected),
                "{local} {confirmed:?} {last:?}"
            );
        }
    }

    /// The time for decisions at second 100 after these responses, each a second and its `Date`.
    fn time(mut times: ServerTimes, responses: &[(u64, i64)], local: i64) -> DateTime<Utc> {
        let start = Instant::now();
        let moment = |seconds| start + Duration::from_secs(seconds);
        for (seconds, date) in responses {
            times.record(Reading { date: at(*date), at: moment(*seconds) });
        }
        times.time(at(local), moment(100))
    }

    #[test]
    fn the_servers_time_needs_two_responses_that_agree() {
        // The expected times if the local time is 1100, and if it is 4700.
        for (responses, expected) in [
            (vec![], [1100, 4700]),
            (vec![(1, 4601)], [1100, 4700]),
            (vec![(1, 4601), (2, 4602)], [4700, 4700]),
            (vec![(1, 4621), (2, 4627)], [4725, 4725]),
            (vec![(1, 4621), (2, 4628)], [1100, 4700]),
            (vec![(1, 4626), (2, 4622)], [4720, 4720]),
            // Before any two agree, a response that is earlier than the local time counts.
            (vec![(1, 1001)], [1100, 1100]),
            (vec![(1, 1001), (2, 1010)], [1100, 1108]),
            // One response that differs changes nothing, whenever it comes.
            (vec![(1, 1001), (2, 1002), (3, 4603)], [1100, 1100]),
            (vec![(1, 1001), (2, 1002), (3, 4603), (4, 1004)], [1100, 1100]),
            (vec![(1, 4601), (2, 4602), (3, 1003)], [4700, 4700]),
            (vec![(1, 4601), (2, 1002), (3, 1003)], [1100, 1100]),
            // A step of the server's clock.
            (vec![(1, 1001), (2, 1002), (3, 4603), (4, 4604)], [4700, 4700]),
            (vec![(1, 4601), (2, 4602), (3, 1003), (60, 1060)], [1100, 1100]),
            // Two API servers whose clocks differ, in turns.
            (vec![(1, 1001), (2, 4602), (3, 1003), (4, 4604)], [1100, 4700]),
            (vec![(1, 4601), (2, 1002), (3, 4603), (4, 1004)], [1100, 1100]),
        ] {
            let found = [1100, 4700].map(|local| time(ServerTimes::default(), &responses, local));
            assert_eq!(found, expected.map(at), "{responses:?}");
        }
    }

    #[test]
    fn a_command_trusts_its_first_response() {
        let command = ServerTimes { trusts_first: true, ..ServerTimes::default() };
        for (responses, expected) in [
            (vec![], 2900),
            (vec![(1, 4601)], 4700),
            (vec![(1, 1001)], 1100),
            (vec![(1, 4601), (2, 1002)], 4700),
            (vec![(1, 4601), (2, 1002), (3, 1003)], 1100),
        ] {
            assert_eq!(time(command, &responses, 2900), at(expected), "{responses:?}");
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
