//! Limits Events to one in a minute for each reason and object. Further Events are held until the minute is over: then
//! the last one is published, with the number of occurrences.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// The time for which the same reason is not published again.
const MIN_REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The state of each reason of each object.
#[derive(Debug)]
pub(crate) struct Throttle<T> {
    by_reason: HashMap<u64, Window<T>>,
}

#[derive(Debug)]
struct Window<T> {
    since: Instant,
    held: Option<(T, i32)>,
}

impl<T> Default for Throttle<T> {
    fn default() -> Self {
        Self { by_reason: HashMap::new() }
    }
}

impl<T> Throttle<T> {
    /// Returns the Event if it may be published at once, and the number of its occurrences. Otherwise the Event is
    /// held.
    pub(crate) fn pass(&mut self, reason: u64, event: T, now: Instant) -> Option<(T, i32)> {
        match self.by_reason.get_mut(&reason) {
            Some(window) if now.duration_since(window.since) < MIN_REPEAT_INTERVAL => {
                let number = window.held.as_ref().map_or(0, |(_, number)| *number);
                window.held = Some((event, number.saturating_add(1)));
                None
            }
            _ => {
                self.by_reason.insert(reason, Window { since: now, held: None });
                Some((event, 1))
            }
        }
    }

    /// Returns the held Events of the reasons whose minute is over. Forgets the reasons that hold none.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(T, i32)> {
        let is_over = |window: &Window<T>| now.duration_since(window.since) >= MIN_REPEAT_INTERVAL;
        self.by_reason.retain(|_, window| window.held.is_some() || !is_over(window));
        let over = self.by_reason.values_mut().filter(|window| is_over(window));
        over.filter_map(|window| {
            window.since = now;
            window.held.take()
        })
        .collect()
    }

    /// Returns all held Events, because the process ends.
    pub(crate) fn all(&mut self) -> Vec<(T, i32)> {
        self.by_reason.drain().filter_map(|(_, window)| window.held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_a_minute_with_the_last_word_and_the_number() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(throttle.pass(1, "first", at(0)), Some(("first", 1)));
        assert_eq!(throttle.pass(2, "another reason", at(0)), Some(("another reason", 1)));
        assert_eq!((throttle.pass(1, "second", at(1)), throttle.pass(1, "third", at(59))), (None, None));
        assert_eq!(throttle.due(at(59)), []);
        assert_eq!(throttle.due(at(60)), [("third", 2)]);
        assert_eq!(throttle.pass(1, "fourth", at(61)), None, "an Event at the end of a minute begins one");
        assert_eq!(throttle.due(at(120)), [("fourth", 1)]);
        assert_eq!(
            (throttle.due(at(180)), throttle.by_reason.len()),
            (vec![], 0),
            "nothing is remembered of those that are quiet"
        );
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.pass(1, "event", now);
        throttle.pass(1, "kept", now);
        assert_eq!((throttle.all(), throttle.all()), (vec![("kept", 1)], vec![]));
    }
}
