//! Monitors the work of the operator: the time since the API server answered, since each watch restarted and since a
//! reconcile ended, and the time for which the oldest expiry has been overdue. `/livez`, `/readyz` and the metrics
//! report this state.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use kube::Resource;
use tokio::time::Instant;

use crate::{
    desired::{Uid, hash::hash},
    lock::IgnorePoison,
};

/// A watch restarts every 20 s. A watch that has not restarted for this time is frozen or refused, and its events are
/// unknown.
const WATCH_RESTART_LIMIT: Duration = Duration::from_secs(50);
/// A reconcile has a deadline of 60 s, so that one that takes longer than this time hangs.
const RECONCILE_DURATION_LIMIT: Duration = Duration::from_secs(120);
/// An expiry is processed within a second. An expiry that is overdue for this time is not being processed.
const EXPIRY_DELAY_LIMIT: Duration = Duration::from_secs(60);
/// A restart does not make an API server available again. After this time it may fix a failure of this process.
const API_SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// The observed state of the operator's work.
#[derive(Debug)]
pub struct Watchdog {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    heard: Option<Instant>,
    watches: HashMap<String, Instant>,
    running: BTreeMap<u64, Instant>,
    begun: u64,
    finished: Option<Instant>,
    /// Expiry and key of each space that has one, and by key to find it again.
    expiries: BTreeSet<(DateTime<Utc>, u64)>,
    by_space: HashMap<u64, DateTime<Utc>>,
    /// The expiries, of those above, whose writes the API server refuses, or that wait for the validation of a class,
    /// each with the time since which it is late. They are overdue, but other work does not yield to them, and the
    /// operator counts as working.
    blocked: HashMap<u64, DateTime<Utc>>,
    /// Spaces whose last reconcile failed with an error that lasts.
    failing: HashSet<u64>,
}

/// The ages of the monitored events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// The time since the last answer of the API server, or since the start if there was none.
    pub silence: Duration,
    /// True if the API server has ever answered.
    pub heard: bool,
    /// The path of the watch that has not restarted for the longest time, and that time.
    pub oldest_watch: Option<(String, Duration)>,
    /// The time since the end of the last reconcile.
    pub last_reconcile: Option<Duration>,
    /// The duration of the oldest reconcile under way.
    pub oldest_reconcile: Option<Duration>,
    /// The time for which the oldest expiry has been overdue.
    pub overdue: Duration,
    /// The same without the expiries that something else blocks.
    pub unprocessed: Duration,
    /// The number of spaces whose last reconcile failed with an error that lasts.
    pub failing: usize,
    /// The time since the start.
    pub process: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }
}

impl Watchdog {
    /// Records an answer of the API server. `watch` is the path of a watch that began.
    pub fn record_response(&self, watch: Option<&str>) {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.heard = Some(now);
        if let Some(path) = watch {
            match inner.watches.get_mut(path) {
                Some(begun) => *begun = now,
                None => {
                    inner.watches.insert(path.to_owned(), now);
                }
            }
        }
    }

    /// Records the start of a reconcile, which ends when the guard is dropped.
    pub fn begin(&self) -> RunningReconcile<'_> {
        let mut inner = self.lock();
        inner.begun += 1;
        let number = inner.begun;
        inner.running.insert(number, Instant::now());
        RunningReconcile { watchdog: self, number }
    }

    /// Records the expiry of the space of that key. `None` means that the space does not expire, or that its expiry was
    /// processed.
    pub fn set_expiry(&self, space: u64, expiry: Option<DateTime<Utc>>) {
        let mut inner = self.lock();
        inner.failing.remove(&space);
        let before = if let Some(expiry) = expiry {
            inner.by_space.insert(space, expiry)
        } else {
            inner.blocked.remove(&space);
            inner.by_space.remove(&space)
        };
        if before == expiry {
            return;
        }
        if let Some(before) = before {
            inner.expiries.remove(&(before, space));
        }
        if let Some(expiry) = expiry {
            inner.expiries.insert((expiry, space));
        }
    }

    /// Records that the API server refuses a write that the expiry of the space of that key requires, or that the
    /// expiry waits for the validation of a class. The record stays while the next reconcile of the space runs, since
    /// the API server may refuse the write again.
    pub(crate) fn set_blocked_expiry(&self, space: u64, expiry: DateTime<Utc>) {
        // In this order, so that the expiry does not count as unprocessed in between.
        self.lock().blocked.insert(space, expiry);
        self.set_expiry(space, Some(expiry));
    }

    /// Records that nothing blocks the expiry of the space of that key. The expiry is unprocessed again.
    pub fn clear_blocked_expiry(&self, space: u64) {
        self.lock().blocked.remove(&space);
    }

    /// Records that the reconcile of the space of that key failed with an error that lasts. The record stays until the
    /// expiry of the space is recorded again.
    pub(crate) fn set_failing(&self, space: u64) {
        self.lock().failing.insert(space);
    }

    /// Returns true if more than `some` spaces have expired.
    pub fn is_behind(&self, now: DateTime<Utc>, some: usize) -> bool {
        let inner = self.lock();
        inner
            .expiries
            .range(..=(now, u64::MAX))
            .filter(|(_, space)| !inner.blocked.contains_key(space))
            .nth(some)
            .is_some()
    }

    /// After a list of spaces: forgets the spaces that were not in it.
    pub fn retain(&self, listed: &HashSet<u64>) {
        let mut inner = self.lock();
        inner.by_space.retain(|space, _| listed.contains(space));
        inner.expiries.retain(|(_, space)| listed.contains(space));
        inner.blocked.retain(|space, _| listed.contains(space));
        inner.failing.retain(|space| listed.contains(space));
    }

    /// The current ages.
    pub fn ages(&self, now: DateTime<Utc>) -> Ages {
        let inner = self.lock();
        let oldest_watch = inner.watches.iter().min_by_key(|(_, begun)| **begun);
        let unprocessed =
            inner.expiries.iter().find(|(_, space)| !inner.blocked.contains_key(space)).map(|(expiry, _)| *expiry);
        let oldest = unprocessed.into_iter().chain(inner.blocked.values().copied()).min();
        let since =
            |expiry: Option<DateTime<Utc>>| expiry.and_then(|expiry| (now - expiry).to_std().ok()).unwrap_or_default();
        Ages {
            silence: inner.heard.unwrap_or(self.started).elapsed(),
            heard: inner.heard.is_some(),
            oldest_watch: oldest_watch.map(|(path, begun)| (path.clone(), begun.elapsed())),
            last_reconcile: inner.finished.map(|at| at.elapsed()),
            oldest_reconcile: inner.running.values().min().map(Instant::elapsed),
            overdue: since(oldest),
            unprocessed: since(unprocessed),
            failing: inner.failing.len(),
            process: self.started.elapsed(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().ignore_poison()
    }
}

impl Ages {
    /// Checks that the process should continue. The error is the reason why it should not.
    pub(crate) fn live(&self) -> Result<(), String> {
        if self.silence > API_SILENCE_LIMIT {
            return Err(format!("the API server has not answered for {} s", self.silence.as_secs()));
        }
        match self.oldest_reconcile.filter(|age| *age > RECONCILE_DURATION_LIMIT) {
            Some(age) => Err(format!("a reconcile has been running for {} s", age.as_secs())),
            None => Ok(()),
        }
    }

    /// Checks that the operator does its work. The error names the work that is not done. Another pod of the operator
    /// would not process an expiry that the API server refuses either, and one space must not make the operator
    /// unready.
    pub(crate) fn working(&self) -> Result<(), String> {
        self.live()?;
        self.current()?;
        if self.unprocessed > EXPIRY_DELAY_LIMIT {
            return Err(format!("an expiry has been overdue for {} s", self.unprocessed.as_secs()));
        }
        Ok(())
    }

    /// Checks that the store is as current as the watches can keep it. The error names the cause.
    pub(crate) fn current(&self) -> Result<(), String> {
        if !self.heard {
            return Err("the API server has not answered yet".to_owned());
        }
        if self.silence > WATCH_RESTART_LIMIT {
            return Err(format!("the API server has not answered for {} s", self.silence.as_secs()));
        }
        if let Some((path, age)) = self.oldest_watch.as_ref().filter(|(_, age)| *age > WATCH_RESTART_LIMIT) {
            return Err(format!("the watch of {path} has not restarted for {} s", age.as_secs()));
        }
        Ok(())
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct RunningReconcile<'a> {
    watchdog: &'a Watchdog,
    number: u64,
}

impl Drop for RunningReconcile<'_> {
    fn drop(&mut self) {
        let mut inner = self.watchdog.lock();
        inner.running.remove(&self.number);
        inner.finished = Some(Instant::now());
    }
}

/// The key of a space in the watchdog and in the metrics.
pub fn space_key(space: &impl Resource) -> u64 {
    hash(&Uid::from_metadata(space.meta()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_oldest_overdue_expiry_counts() {
        let dog = Watchdog::default();
        dog.set_expiry(1, Some(at(100)));
        dog.set_expiry(2, Some(at(50)));
        assert_eq!(dog.ages(at(120)).overdue, Duration::from_secs(70));
        dog.set_expiry(2, Some(at(200)));
        assert_eq!(dog.ages(at(120)).overdue, Duration::from_secs(20));
        dog.retain(&[2].into());
        assert_eq!(
            dog.ages(at(300)).overdue,
            Duration::from_secs(100),
            "a space that was not listed is not waited for"
        );
        dog.set_expiry(2, None);
        dog.set_expiry(2, None);
        assert_eq!(dog.ages(at(120)).overdue, Duration::ZERO);
    }

    #[test]
    fn a_blocked_end_is_overdue_and_no_work_yields_to_it() {
        let dog = Watchdog::default();
        dog.record_response(None);
        let is_blocked = || {
            let ages = dog.ages(at(170));
            assert_eq!(
                (ages.overdue, ages.unprocessed, ages.working()),
                (Duration::from_secs(70), Duration::ZERO, Ok(()))
            );
            assert!(!dog.is_behind(at(170), 0));
        };
        dog.set_expiry(1, Some(at(100)));
        assert!(dog.ages(at(170)).working().is_err() && dog.is_behind(at(170), 0));
        dog.set_blocked_expiry(1, at(100));
        is_blocked();
        dog.set_expiry(1, Some(at(100)));
        is_blocked();
        dog.clear_blocked_expiry(1);
        assert_eq!(
            dog.ages(at(170)).unprocessed,
            Duration::from_secs(70),
            "an expiry that is not processed although no write was blocked"
        );
        dog.set_blocked_expiry(1, at(100));
        dog.set_blocked_expiry(2, at(110));
        dog.clear_blocked_expiry(2);
        assert_eq!(
            dog.ages(at(170)).unprocessed,
            Duration::from_secs(60),
            "an expiry that was recorded only as blocked stays when nothing blocks it"
        );
        dog.retain(&[1].into());
        assert_eq!(dog.ages(at(170)).overdue, Duration::from_secs(70));
        dog.set_failing(1);
        assert_eq!(dog.ages(at(170)).failing, 1);
        dog.set_expiry(1, None);
        assert_eq!((dog.ages(at(170)).overdue, dog.ages(at(170)).failing), (Duration::ZERO, 0));
    }

    #[test]
    fn it_is_behind_while_the_time_of_more_is_up() {
        let dog = Watchdog::default();
        for (space, expiry) in [(u64::MAX, 120), (2, 50), (3, 121)] {
            dog.set_expiry(space, Some(at(expiry)));
        }
        assert!(dog.is_behind(at(120), 1) && !dog.is_behind(at(120), 2) && !dog.is_behind(at(119), 1));
        dog.set_expiry(2, None);
        assert!(!dog.is_behind(at(120), 1));
    }

    #[test]
    fn each_trouble_is_named() {
        let fine = Ages { heard: true, ..Ages::default() };
        assert_eq!(fine.working(), Ok(()));
        let seconds = Duration::from_secs;
        for (ages, live, says) in [
            (Ages { heard: false, ..fine.clone() }, true, "not answered yet"),
            (Ages { silence: seconds(55), ..fine.clone() }, true, "not answered for 55 s"),
            (Ages { silence: seconds(601), ..fine.clone() }, false, "not answered for 601 s"),
            (
                Ages { oldest_watch: Some(("/api/v1/namespaces".into(), seconds(55))), ..fine.clone() },
                true,
                "/api/v1/namespaces",
            ),
            (Ages { oldest_reconcile: Some(seconds(121)), ..fine.clone() }, false, "running for 121 s"),
            (Ages { unprocessed: seconds(61), ..fine.clone() }, true, "overdue for 61 s"),
        ] {
            assert_eq!(ages.live().is_ok(), live, "{ages:?}");
            let why = ages.working().unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn a_reconcile_is_under_way_until_its_guard_goes() {
        let dog = Watchdog::default();
        let running = dog.begin();
        assert!(dog.ages(at(0)).oldest_reconcile.is_some() && dog.ages(at(0)).last_reconcile.is_none());
        drop(running);
        assert!(dog.ages(at(0)).oldest_reconcile.is_none() && dog.ages(at(0)).last_reconcile.is_some());
    }
}
