//! The state of each space between two reconciles: the operator's own last write, the failures and their back-off, and
//! the waits that began.
//!
//! Makes no request and no decision.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::lock::IgnorePoison;

/// The state of each space between reconciles. It is lost with the process, which affects only when a space is
/// reconciled.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<String, Attempt>>);

#[derive(Debug, Default)]
struct Attempt {
    failures: u32,
    back_off: Option<BackOff>,
    written: Option<(u64, Instant)>,
    gone: Option<(String, Instant)>,
    waiting: Option<DateTime<Utc>>,
    /// A situation in which the quota leaves resources uncounted, as a hash, and its first observation.
    uncounted: Option<(u64, DateTime<Utc>)>,
    /// The time at which lost races were last logged.
    logged: Option<Instant>,
}

/// The back-off of a space after a failure.
#[derive(Clone, Copy, Debug)]
struct BackOff {
    /// The inputs of the failed attempt, as a hash. The back-off ends when they change.
    situation: u64,
    /// The next time at which the state changes without an event.
    wake: Option<Instant>,
    /// The time of the next attempt.
    until: Option<Instant>,
}

/// A store that is behind a write of the operator for longer than this is trusted nevertheless: the cluster may have
/// been restored from a backup with lower resourceVersions.
const STALE_STORE_LIMIT: Duration = Duration::from_secs(10);

/// The time for which the deletion of a space is kept: no reconcile waits or runs longer.
const DELETED_SPACE_TTL: Duration = Duration::from_secs(300);

/// The shortest time between two log lines about the lost races of one space.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Attempts {
    /// Records the resourceVersion of a write of the operator: the space is not reconciled again before the store has
    /// that version.
    pub fn record_write(&self, name: &str, version: u64) {
        self.with(name, |attempt| attempt.written = Some((version, Instant::now())));
    }

    /// Returns true if the store is behind the operator's last write of that space.
    pub(crate) fn is_stale(&self, name: &str, version: u64) -> bool {
        let map = self.0.lock().ignore_poison();
        let written = map.get(name).and_then(|attempt| attempt.written);
        written.is_some_and(|(written, at)| version < written && at.elapsed() < STALE_STORE_LIMIT)
    }

    /// Records that the space of that UID no longer exists. The store may still contain it for a while, and a reconcile
    /// that waits for a worker slot may already have it.
    pub fn record_deletion(&self, name: &str, uid: String) {
        self.with(name, |attempt| attempt.gone = Some((uid, Instant::now())));
    }

    /// Returns true if the space of that UID is known to no longer exist.
    pub fn is_deleted(&self, name: &str, uid: &str) -> bool {
        let map = self.0.lock().ignore_poison();
        map.get(name).and_then(|attempt| attempt.gone.as_ref()).is_some_and(|(gone, _)| gone == uid)
    }

    /// The resourceVersion of the operator's last write of that space, if there was one recently.
    pub(crate) fn last_write(&self, name: &str) -> Option<u64> {
        let map = self.0.lock().ignore_poison();
        map.get(name).and_then(|attempt| attempt.written).map(|(version, _)| version)
    }

    /// Records the inputs of a failed attempt, and the time until the state changes without an event.
    pub(crate) fn record_failed_inputs(&self, name: &str, situation: u64, wake: Option<Duration>) {
        let wake = wake.and_then(|wake| Instant::now().checked_add(wake));
        self.with(name, |attempt| attempt.back_off = Some(BackOff { situation, wake, until: None }));
    }

    /// Starts a back-off of `wait` for the space. Returns the time until the space has to be reconciled.
    pub fn begin_back_off(&self, name: &str, wait: Duration) -> Duration {
        let now = Instant::now();
        self.with(name, |attempt| {
            let Some(back_off) = &mut attempt.back_off else { return wait };
            back_off.until = now.checked_add(wait);
            back_off.remaining(now).unwrap_or(wait)
        })
    }

    /// The remaining back-off of the space, if its inputs have not changed.
    pub(crate) fn remaining_back_off(&self, name: &str, situation: impl FnOnce() -> u64) -> Option<Duration> {
        let back_off = self.0.lock().ignore_poison().get(name).and_then(|attempt| attempt.back_off)?;
        let remaining = back_off.remaining(Instant::now())?;
        (back_off.situation == situation()).then_some(remaining)
    }

    /// Returns the time since which subjects wait for access to that space. The wait begins at `now` if no subject
    /// waited before.
    pub(crate) fn waiting_since(&self, name: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(name, |attempt| *attempt.waiting.get_or_insert(now))
    }

    /// Records that no subject waits for access to that space.
    pub(crate) fn end_wait(&self, name: &str) {
        self.change(name, |attempt| attempt.waiting = None);
    }

    /// Records that the quota of that space leaves no resource uncounted.
    pub(crate) fn end_uncounted(&self, name: &str) {
        self.change(name, |attempt| attempt.uncounted = None);
    }

    /// Returns the time since which the quota of that space leaves resources uncounted in that situation. The time is
    /// `now` in another situation.
    pub(crate) fn uncounted_since(&self, name: &str, situation: u64, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(name, |attempt| match attempt.uncounted {
            Some((known, since)) if known == situation => since,
            _ => {
                attempt.uncounted = Some((situation, now));
                now
            }
        })
    }

    /// Returns true if the lost races of the space are to be logged, and records that they are.
    pub(crate) fn log_lost_races(&self, name: &str) -> bool {
        self.with(name, |attempt| {
            let is_due = !attempt.was_logged();
            if is_due {
                attempt.logged = Some(Instant::now());
            }
            is_due
        })
    }

    /// Counts a failure. Returns the number of consecutive failures before it.
    pub fn count_failure(&self, name: &str) -> u32 {
        self.with(name, |attempt| {
            attempt.failures = attempt.failures.saturating_add(1);
            attempt.failures - 1
        })
    }

    /// The number of consecutive failures.
    pub fn failures(&self, name: &str) -> u32 {
        self.0.lock().ignore_poison().get(name).map_or(0, |attempt| attempt.failures)
    }

    /// Resets the failures after a successful reconcile, and forgets the space if the store has caught up.
    pub fn clear(&self, name: &str, version: u64) {
        let mut map = self.0.lock().ignore_poison();
        if let Some(attempt) = map.get_mut(name) {
            attempt.failures = 0;
            attempt.back_off = None;
            let caught_up =
                attempt.written.is_none_or(|(written, at)| written <= version || at.elapsed() >= STALE_STORE_LIMIT);
            if caught_up
                && attempt.gone.is_none()
                && attempt.waiting.is_none()
                && attempt.uncounted.is_none()
                && !attempt.was_logged()
            {
                map.remove(name);
            }
        }
    }

    /// After a list: forgets the spaces that do not exist. Deleted spaces are kept for a while.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        let recent = |attempt: &Attempt| attempt.gone.as_ref().is_some_and(|(_, at)| at.elapsed() < DELETED_SPACE_TTL);
        self.0.lock().ignore_poison().retain(|name, attempt| exists(name) || recent(attempt));
    }

    /// Changes the entry of the space, if there is one.
    fn change(&self, name: &str, act: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.0.lock().ignore_poison().get_mut(name) {
            act(attempt);
        }
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Attempt) -> T) -> T {
        let mut map = self.0.lock().ignore_poison();
        match map.get_mut(name) {
            Some(attempt) => act(attempt),
            None => act(map.entry(name.to_owned()).or_default()),
        }
    }
}

impl Attempt {
    fn was_logged(&self) -> bool {
        self.logged.is_some_and(|at| at.elapsed() < LOG_INTERVAL)
    }
}

impl BackOff {
    fn remaining(&self, now: Instant) -> Option<Duration> {
        let until = self.until?;
        let next = self.wake.filter(|wake| *wake > now).map_or(until, |wake| wake.min(until));
        next.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lost_races_are_logged_once_a_minute_although_others_are_won() {
        let attempts = Attempts::default();
        let advance = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
        assert!(attempts.log_lost_races("orchid-lab") && attempts.log_lost_races("fern-lab"));
        advance(59).await;
        attempts.clear("orchid-lab", 1);
        assert!(!attempts.log_lost_races("orchid-lab"));
        advance(1).await;
        assert!(attempts.log_lost_races("orchid-lab") && !attempts.log_lost_races("orchid-lab"));
        advance(60).await;
        attempts.clear("orchid-lab", 1);
        assert!(!attempts.0.lock().ignore_poison().contains_key("orchid-lab"));
    }

    #[test]
    fn a_wait_for_uncounted_resources_begins_again_once_they_were_counted() {
        let attempts = Attempts::default();
        let [first, second, third] =
            [0, 1, 2].map(|minute| DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap());
        attempts.end_uncounted("orchid-lab");
        assert_eq!(attempts.uncounted_since("orchid-lab", 7, first), first);
        assert_eq!(attempts.uncounted_since("orchid-lab", 7, second), first);
        assert_eq!(attempts.uncounted_since("orchid-lab", 8, second), second, "another situation");
        attempts.end_uncounted("orchid-lab");
        assert_eq!(attempts.uncounted_since("orchid-lab", 8, third), third);
    }
}
