//! What a reconcile works with.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use kube::{Api, Client};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{admissions::Admissions, ends::Ends, events::Recorder, store::Store, watch::Nudges, writes::Writes};
use crate::{
    api::{DeveloperSpace, names::ProtectedNamespaces, unmanaged::Unmanaged},
    clock::Clock,
    metrics::Metrics,
    watchdog::Watchdog,
};

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The cluster as it was seen.
    pub store: Arc<Store>,
    /// Who is in under the limit per owner.
    pub admissions: Arc<Admissions>,
    /// Names that nothing may touch.
    pub protected: ProtectedNamespaces,
    /// Events.
    pub recorder: Recorder,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Whether the work is done.
    pub watchdog: Arc<Watchdog>,
    /// What each space went through.
    pub memory: Arc<Memory>,
    /// Which spaces are looked at right now.
    pub turns: Turns,
    /// How much was written of each lately.
    pub writes: Arc<Writes>,
    /// The ends that are near.
    pub ends: Arc<Ends>,
    /// How many spaces are worked on side by side.
    pub places: Places,
    /// Asks for other spaces to be looked at.
    pub nudges: Nudges,
}

impl Context {
    /// A context that has seen nothing yet.
    pub fn new(client: Client, clock: Arc<dyn Clock>, protected: ProtectedNamespaces, recorder: Recorder, places: Places) -> Self {
        Self {
            client,
            clock,
            store: Arc::default(),
            admissions: Arc::default(),
            protected,
            recorder,
            metrics: Arc::default(),
            watchdog: Arc::default(),
            memory: Arc::default(),
            turns: Turns::default(),
            writes: Arc::default(),
            ends: Arc::default(),
            places,
            nudges: Nudges::new().0,
        }
    }

    /// The spaces.
    pub fn spaces(&self) -> Api<Unmanaged<DeveloperSpace>> {
        Api::all(self.client.clone())
    }

    /// Whether the time of more spaces is up than can be worked on at once.
    pub fn is_behind(&self, now: DateTime<Utc>) -> bool {
        self.watchdog.is_behind(now, self.places.number().into())
    }
}

/// Who takes longer gives up the place: a few calls that hang must not keep all the others waiting.
const LONG: Duration = Duration::from_secs(2);

/// Who gives way to others does so no longer, so that nothing waits for ever on a cluster that is never at rest.
pub const PATIENT: Duration = Duration::from_secs(300);

/// How often who gives way looks for a place.
const GLANCE: Duration = Duration::from_millis(100);

/// Of so many places one is for those whose patience ended, so that they do not halve the work that they gave way to.
const FOR_THE_PATIENT: usize = 4;

/// Places to work in; first come, first served.
#[derive(Clone, Debug)]
pub struct Places {
    number: u16,
    all: Arc<Semaphore>,
    for_the_patient: Arc<Semaphore>,
    for_the_failing: Arc<Semaphore>,
}

/// Of so many places one is for spaces that fail again and again, however long each of their calls takes.
const FOR_THE_FAILING: usize = 4;

impl Places {
    /// So many places.
    pub fn new(number: u16) -> Self {
        let places = usize::from(number);
        let part = |of: usize| Arc::new(Semaphore::new(places.div_ceil(of)));
        Self { number, all: part(1), for_the_patient: part(FOR_THE_PATIENT), for_the_failing: part(FOR_THE_FAILING) }
    }

    /// A turn for a space that failed before; none while as many others have one.
    pub fn turn_of_the_failing(&self) -> Option<SemaphorePermit<'_>> {
        self.for_the_failing.try_acquire().ok()
    }

    /// How many there are.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Does `work` when there is a place.
    pub async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed; were it, the work would be done all the same.
        let place = self.all.acquire().await;
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(LONG) => drop(place),
        }
        work.await
    }

    /// Does `work` when there is a place that nobody else wants, or after five minutes in one of the few for those who waited so long.
    pub async fn take_idle<T>(&self, work: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        // A free place is one for which nobody waits: the semaphore hands them on.
        while self.all.available_permits() == 0 {
            if asked.elapsed() >= PATIENT {
                let _turn = self.for_the_patient.acquire().await;
                return self.take(work).await;
            }
            tokio::time::sleep(GLANCE).await;
        }
        self.take(work).await
    }
}

/// Which spaces are looked at: the queue and the ends never look at the same one at once.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashSet<String>>);

/// One space is looked at until this goes.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    name: String,
}

impl Turns {
    /// The turn of that space, unless somebody has it.
    pub fn take(&self, name: String) -> Option<Turn<'_>> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        is_free.then(|| Turn { turns: self, name })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// What is remembered of a space between reconciles; lost with the process, and nothing depends on it but patience.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    rest: Option<Rest>,
    written: Option<(u64, Instant)>,
    gone: Option<(String, Instant)>,
    waiting: Option<DateTime<Utc>>,
}

/// How long a space is left alone after a failure.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// What the failed attempt was decided on: once that is different, the wait is over.
    situation: u64,
    /// When time alone changes something.
    wake: Option<Instant>,
    /// When it is tried again.
    until: Option<Instant>,
}

/// A store that is behind our own write for longer is believed after all: resourceVersions may have been restored from a backup.
const PATIENCE: Duration = Duration::from_secs(10);

/// A space that is no more is not given to anybody for longer: no reconcile waits or takes so long.
const GHOST: Duration = Duration::from_secs(300);

impl Memory {
    /// Notes the resourceVersion that a write of ours made: the space is not looked at again before the store has it.
    pub fn wrote(&self, name: &str, version: u64) {
        self.with(name, |remembered| remembered.written = Some((version, Instant::now())));
    }

    /// Whether the store is behind our own last write of that space.
    pub fn is_stale(&self, name: &str, version: u64) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = map.get(name).and_then(|remembered| remembered.written);
        written.is_some_and(|(written, at)| version < written && at.elapsed() < PATIENCE)
    }

    /// Notes that the space of that UID is no more. The store may have it for a while, and who waits for a place may have been given it.
    pub fn left(&self, name: &str, uid: String) {
        self.with(name, |remembered| remembered.gone = Some((uid, Instant::now())));
    }

    /// Whether the space of that UID is known to be no more.
    pub fn has_left(&self, name: &str, uid: &str) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(name).and_then(|remembered| remembered.gone.as_ref()).is_some_and(|(gone, _)| gone == uid)
    }

    /// The resourceVersion of our own last write of that space, if there was one lately.
    pub fn written(&self, name: &str) -> Option<u64> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(name).and_then(|remembered| remembered.written).map(|(version, _)| version)
    }

    /// Notes what an attempt that failed was decided on, and when time alone changes something.
    pub fn saw(&self, name: &str, situation: u64, wake: Option<Duration>) {
        let wake = wake.and_then(|wake| Instant::now().checked_add(wake));
        self.with(name, |remembered| remembered.rest = Some(Rest { situation, wake, until: None }));
    }

    /// Leaves the space alone for `wait`; how long before it is to be looked at.
    pub fn rests(&self, name: &str, wait: Duration) -> Duration {
        let now = Instant::now();
        self.with(name, |remembered| {
            let Some(rest) = &mut remembered.rest else { return wait };
            rest.until = now.checked_add(wait);
            rest.remaining(now).unwrap_or(wait)
        })
    }

    /// How long the space is still left alone in that situation.
    pub fn rest(&self, name: &str, situation: impl FnOnce() -> u64) -> Option<Duration> {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).and_then(|remembered| remembered.rest)?;
        let remaining = rest.remaining(Instant::now())?;
        (rest.situation == situation()).then_some(remaining)
    }

    /// Since when somebody waits to be let into that space; from `now` on, if nobody did before.
    pub fn waits(&self, name: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(name, |remembered| *remembered.waiting.get_or_insert(now))
    }

    /// Nobody waits to be let into that space.
    pub fn waits_no_more(&self, name: &str) {
        if let Some(remembered) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            remembered.waiting = None;
        }
    }

    /// Counts a failure; how many there were in a row before.
    pub fn failed(&self, name: &str) -> u32 {
        self.with(name, |remembered| {
            remembered.failures = remembered.failures.saturating_add(1);
            remembered.failures - 1
        })
    }

    /// How many failures there were in a row.
    pub fn failures(&self, name: &str) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map_or(0, |remembered| remembered.failures)
    }

    /// All went well and the store has caught up: nothing is left to remember.
    pub fn clear(&self, name: &str, version: u64) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = map.get_mut(name) {
            remembered.failures = 0;
            remembered.rest = None;
            let caught_up = remembered.written.is_none_or(|(written, at)| written <= version || at.elapsed() >= PATIENCE);
            if caught_up && remembered.gone.is_none() && remembered.waiting.is_none() {
                map.remove(name);
            }
        }
    }

    /// After a list: nothing is remembered of spaces that are not there, but for a while of those that went.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        let recent = |remembered: &Remembered| remembered.gone.as_ref().is_some_and(|(_, at)| at.elapsed() < GHOST);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, remembered| exists(name) || recent(remembered));
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get_mut(name) {
            Some(remembered) => act(remembered),
            None => act(map.entry(name.to_owned()).or_default()),
        }
    }
}

impl Rest {
    fn remaining(&self, now: Instant) -> Option<Duration> {
        let until = self.until?;
        let next = self.wake.filter(|wake| *wake > now).map_or(until, |wake| wake.min(until));
        next.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}
