//! Whether the operator does its work: how long ago the API server answered, each watch began anew, a reconcile ended, and how long
//! the oldest expiry has been overdue. `/livez`, `/readyz` and the metrics say what stands here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A watch begins anew every 20 s. One that has not for so long is frozen or refused, and what it should tell is not known.
const FROZEN: Duration = Duration::from_secs(50);
/// A reconcile has a deadline of 60 s, so that one that takes longer hangs.
const STUCK: Duration = Duration::from_secs(120);
/// An expiry is acted on within a second; one that is overdue for so long is not.
const OVERDUE: Duration = Duration::from_secs(60);
/// A restart does not bring an API server back. After so long it may bring back whatever is wrong with this process.
const GIVE_UP: Duration = Duration::from_secs(600);

/// What was seen of the work.
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
    /// Ends that the API server refuses: overdue, and no work that others have to make way for.
    refused: HashMap<u64, DateTime<Utc>>,
    /// Spaces of which the last look failed, in a way that lasts.
    failing: HashSet<u64>,
}

/// The ages of what matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Since the API server answered; since the start, if it never did.
    pub silence: Duration,
    /// Whether it ever did.
    pub heard: bool,
    /// The watch that has not begun anew for longest.
    pub oldest_watch: Option<(String, Duration)>,
    /// Since a reconcile ended.
    pub last_reconcile: Option<Duration>,
    /// How long the oldest reconcile under way has been.
    pub oldest_reconcile: Option<Duration>,
    /// How long the oldest expiry has been overdue.
    pub overdue: Duration,
    /// Of how many spaces the last look failed, in a way that lasts.
    pub failing: usize,
    /// Since the start.
    pub process: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }
}

impl Watchdog {
    /// The API server answered; `watch` is the path of a watch that began.
    pub fn heard(&self, watch: Option<&str>) {
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

    /// A reconcile begins; it ends when the guard goes.
    pub fn begin(&self) -> Running<'_> {
        let mut inner = self.lock();
        inner.begun += 1;
        let number = inner.begun;
        inner.running.insert(number, Instant::now());
        Running { watchdog: self, number }
    }

    /// The space of that key is to be collected then; or has no end, or is collected.
    pub fn expects(&self, space: u64, expiry: Option<DateTime<Utc>>) {
        let mut inner = self.lock();
        inner.refused.remove(&space);
        inner.failing.remove(&space);
        let before = match expiry {
            Some(expiry) => inner.by_space.insert(space, expiry),
            None => inner.by_space.remove(&space),
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

    /// The space of that key was to be collected at `expiry`, and the API server refuses what that takes. This stands until the space is
    /// looked at again.
    pub fn refused(&self, space: u64, expiry: DateTime<Utc>) {
        self.expects(space, None);
        self.lock().refused.insert(space, expiry);
    }

    /// A look at the space of that key failed, in a way that lasts. This stands until it is looked at again.
    pub fn fails(&self, space: u64) {
        self.lock().failing.insert(space);
    }

    /// Whether the time of more than `some` spaces is up.
    pub fn is_behind(&self, now: DateTime<Utc>, some: usize) -> bool {
        self.lock().expiries.range(..=(now, u64::MAX)).nth(some).is_some()
    }

    /// After a list of spaces: those that were not in it have no end to come.
    pub fn retain(&self, listed: &HashSet<u64>) {
        let mut inner = self.lock();
        inner.by_space.retain(|space, _| listed.contains(space));
        inner.expiries.retain(|(_, space)| listed.contains(space));
        inner.refused.retain(|space, _| listed.contains(space));
        inner.failing.retain(|space| listed.contains(space));
    }

    /// How old everything is.
    pub fn ages(&self, now: DateTime<Utc>) -> Ages {
        let inner = self.lock();
        let oldest_watch = inner.watches.iter().min_by_key(|(_, begun)| **begun);
        let oldest = inner.expiries.first().map(|(expiry, _)| *expiry).into_iter().chain(inner.refused.values().copied()).min();
        let overdue = oldest.and_then(|expiry| (now - expiry).to_std().ok());
        Ages {
            silence: inner.heard.unwrap_or(self.started).elapsed(),
            heard: inner.heard.is_some(),
            oldest_watch: oldest_watch.map(|(path, begun)| (path.clone(), begun.elapsed())),
            last_reconcile: inner.finished.map(|at| at.elapsed()),
            oldest_reconcile: inner.running.values().min().map(Instant::elapsed),
            overdue: overdue.unwrap_or_default(),
            failing: inner.failing.len(),
            process: self.started.elapsed(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ages {
    /// Whether the process should go on; the error says why it should not.
    pub fn live(&self) -> Result<(), String> {
        if self.silence > GIVE_UP {
            return Err(format!("the API server has not answered for {} s", self.silence.as_secs()));
        }
        match self.oldest_reconcile.filter(|age| *age > STUCK) {
            Some(age) => Err(format!("a reconcile has been under way for {} s", age.as_secs())),
            None => Ok(()),
        }
    }

    /// Whether the work is being done; the error says what is not.
    pub fn working(&self) -> Result<(), String> {
        self.live()?;
        self.current()?;
        if self.overdue > OVERDUE {
            return Err(format!("an expiry has been overdue for {} s", self.overdue.as_secs()));
        }
        Ok(())
    }

    /// Whether the store is as current as the watches can make it; the error says what is not.
    pub fn current(&self) -> Result<(), String> {
        if !self.heard {
            return Err("the API server has not answered yet".to_owned());
        }
        if self.silence > FROZEN {
            return Err(format!("the API server has not answered for {} s", self.silence.as_secs()));
        }
        if let Some((path, age)) = self.oldest_watch.as_ref().filter(|(_, age)| *age > FROZEN) {
            return Err(format!("the watch of {path} has not begun anew for {} s", age.as_secs()));
        }
        Ok(())
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct Running<'a> {
    watchdog: &'a Watchdog,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut inner = self.watchdog.lock();
        inner.running.remove(&self.number);
        inner.finished = Some(Instant::now());
    }
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
        dog.expects(1, Some(at(100)));
        dog.expects(2, Some(at(50)));
        assert_eq!(dog.ages(at(120)).overdue, Duration::from_secs(70));
        dog.expects(2, Some(at(200)));
        assert_eq!(dog.ages(at(120)).overdue, Duration::from_secs(20));
        dog.retain(&[2].into());
        assert_eq!(dog.ages(at(300)).overdue, Duration::from_secs(100), "a space that was not listed is not waited for");
        dog.expects(2, None);
        dog.expects(2, None);
        assert_eq!(dog.ages(at(120)).overdue, Duration::ZERO);
    }

    #[test]
    fn a_refused_end_is_overdue_and_nothing_makes_way_for_it() {
        let dog = Watchdog::default();
        dog.expects(1, Some(at(100)));
        dog.refused(1, at(100));
        assert_eq!((dog.ages(at(170)).overdue, dog.is_behind(at(170), 0)), (Duration::from_secs(70), false));
        dog.retain(&[1].into());
        assert_eq!(dog.ages(at(170)).overdue, Duration::from_secs(70));
        dog.fails(1);
        assert_eq!(dog.ages(at(170)).failing, 1);
        dog.expects(1, None);
        assert_eq!((dog.ages(at(170)).overdue, dog.ages(at(170)).failing), (Duration::ZERO, 0));
    }

    #[test]
    fn it_is_behind_while_the_time_of_more_is_up() {
        let dog = Watchdog::default();
        for (space, expiry) in [(u64::MAX, 120), (2, 50), (3, 121)] {
            dog.expects(space, Some(at(expiry)));
        }
        assert!(dog.is_behind(at(120), 1) && !dog.is_behind(at(120), 2) && !dog.is_behind(at(119), 1));
        dog.expects(2, None);
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
            (Ages { oldest_watch: Some(("/api/v1/namespaces".into(), seconds(55))), ..fine.clone() }, true, "/api/v1/namespaces"),
            (Ages { oldest_reconcile: Some(seconds(121)), ..fine.clone() }, false, "under way for 121 s"),
            (Ages { overdue: seconds(61), ..fine.clone() }, true, "overdue for 61 s"),
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
