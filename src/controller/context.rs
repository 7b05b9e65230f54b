//! The clients and the state that all reconciles share.

use std::{
    collections::HashMap,
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

use super::{expiry_queue::Ends, recent_writes::Writes, unrecorded::Creations};
use crate::{
    api::{DeveloperSpace, protected_namespaces::ProtectedNamespaces, without_managed_fields::WithoutManagedFields},
    cache::{owner_limit::OwnerLimit, store::Store, watches::RequeueSender},
    clock::Clock,
    installed::Installed,
    metrics::Metrics,
    runtime::{events::Recorder, turns::Turns, watchdog::Watchdog},
};

/// The clients and the state that all reconciles share.
pub struct Context {
    /// The client of the API server.
    pub client: Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The cached objects of the cluster.
    pub store: Arc<Store>,
    /// The register of the limit of spaces per owner.
    pub admissions: Arc<OwnerLimit>,
    /// The names of namespaces that the operator must not touch.
    pub protected: ProtectedNamespaces,
    /// The recorder of Events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The watchdog of the operator's work.
    pub watchdog: Arc<Watchdog>,
    /// The state of each space between reconciles.
    pub memory: Arc<Attempts>,
    /// The spaces whose namespace is being created.
    pub creations: Arc<Creations>,
    /// The spaces that are being reconciled.
    pub turns: Turns,
    /// The recent writes for each space.
    pub writes: Arc<Writes>,
    /// The ends of spaces that are near.
    pub ends: Arc<Ends>,
    /// The worker slots, which limit the number of spaces that are reconciled concurrently.
    pub places: WorkerSlots,
    /// Requeues other spaces.
    pub requeue: RequeueSender,
    /// The installed CRDs.
    pub installed: Arc<Installed>,
}

impl Context {
    /// Returns a context with an empty store.
    pub fn new(client: Client, clock: Arc<dyn Clock>, protected: ProtectedNamespaces, recorder: Recorder, places: WorkerSlots) -> Self {
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
            creations: Arc::default(),
            turns: Turns::default(),
            writes: Arc::default(),
            ends: Arc::default(),
            places,
            requeue: RequeueSender::new().0,
            installed: Arc::default(),
        }
    }

    /// The API of spaces.
    pub fn spaces(&self) -> Api<WithoutManagedFields<DeveloperSpace>> {
        Api::all(self.client.clone())
    }

    /// Returns true if more spaces have expired than can be reconciled at once.
    pub fn is_behind(&self, now: DateTime<Utc>) -> bool {
        self.watchdog.is_behind(now, self.places.number().into())
    }
}

/// A reconcile that runs longer releases its worker slot: a few calls that hang must not block all other reconciles.
const LONG: Duration = Duration::from_secs(2);

/// The longest time for which work yields to other work, so that nothing waits indefinitely on a cluster that is never idle.
pub const PATIENT: Duration = Duration::from_secs(300);

/// The interval at which work that yields checks for a free worker slot.
const GLANCE: Duration = Duration::from_millis(100);

/// One in this number of worker slots is for work that has yielded for [`PATIENT`], so that it does not take half of the slots from the work that
/// it yielded to.
const FOR_THE_PATIENT: usize = 4;

/// Worker slots, granted in the order of the requests.
#[derive(Clone, Debug)]
pub struct WorkerSlots {
    number: u16,
    all: Arc<Semaphore>,
    for_the_patient: Arc<Semaphore>,
    for_the_failing: Arc<Semaphore>,
}

/// One in this number of worker slots is for spaces that fail repeatedly, regardless of the duration of their calls.
const FOR_THE_FAILING: usize = 4;

impl WorkerSlots {
    /// Returns `number` worker slots.
    pub fn new(number: u16) -> Self {
        let places = usize::from(number);
        let part = |of: usize| Arc::new(Semaphore::new(places.div_ceil(of)));
        Self { number, all: part(1), for_the_patient: part(FOR_THE_PATIENT), for_the_failing: part(FOR_THE_FAILING) }
    }

    /// Returns a permit for a space that failed before, or `None` while other failing spaces hold all of these permits.
    pub fn turn_of_the_failing(&self) -> Option<SemaphorePermit<'_>> {
        self.for_the_failing.try_acquire().ok()
    }

    /// The number of worker slots.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Runs `work` once a worker slot is free.
    pub async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed. If it were, the work would run without a slot.
        let place = self.all.acquire().await;
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(LONG) => drop(place),
        }
        work.await
    }

    /// Runs `work` once a worker slot is idle, or, after five minutes, in one of the few slots for work that has waited that long.
    pub async fn take_idle<T>(&self, work: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        // A free slot means that no other work waits: the semaphore passes a released slot on to the next waiting work.
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

/// The state of each space between reconciles. It is lost with the process, which affects only when a space is reconciled.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<String, Attempt>>);

#[derive(Debug, Default)]
struct Attempt {
    failures: u32,
    rest: Option<Rest>,
    written: Option<(u64, Instant)>,
    gone: Option<(String, Instant)>,
    waiting: Option<DateTime<Utc>>,
    /// A situation in which the quota leaves resources uncounted, as a hash, and its first observation.
    uncounted: Option<(u64, DateTime<Utc>)>,
}

/// The back-off of a space after a failure.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// The inputs of the failed attempt, as a hash. The back-off ends when they change.
    situation: u64,
    /// The next time at which the state changes without an event.
    wake: Option<Instant>,
    /// The time of the next attempt.
    until: Option<Instant>,
}

/// A store that is behind a write of the operator for longer than this is trusted nevertheless: the cluster may have been restored from a backup
/// with lower resourceVersions.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time for which the deletion of a space is remembered: no reconcile waits or runs longer.
const GHOST: Duration = Duration::from_secs(300);

impl Attempts {
    /// Records the resourceVersion of a write of the operator: the space is not reconciled again before the store has that version.
    pub fn wrote(&self, name: &str, version: u64) {
        self.with(name, |remembered| remembered.written = Some((version, Instant::now())));
    }

    /// Returns true if the store is behind the operator's last write of that space.
    pub fn is_stale(&self, name: &str, version: u64) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = map.get(name).and_then(|remembered| remembered.written);
        written.is_some_and(|(written, at)| version < written && at.elapsed() < PATIENCE)
    }

    /// Records that the space of that UID no longer exists. The store may still contain it for a while, and a reconcile that waits for a
    /// worker slot may already have it.
    pub fn left(&self, name: &str, uid: String) {
        self.with(name, |remembered| remembered.gone = Some((uid, Instant::now())));
    }

    /// Returns true if the space of that UID is known to no longer exist.
    pub fn has_left(&self, name: &str, uid: &str) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(name).and_then(|remembered| remembered.gone.as_ref()).is_some_and(|(gone, _)| gone == uid)
    }

    /// The resourceVersion of the operator's last write of that space, if there was one recently.
    pub fn written(&self, name: &str) -> Option<u64> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(name).and_then(|remembered| remembered.written).map(|(version, _)| version)
    }

    /// Records the inputs of a failed attempt, and the time until the state changes without an event.
    pub fn saw(&self, name: &str, situation: u64, wake: Option<Duration>) {
        let wake = wake.and_then(|wake| Instant::now().checked_add(wake));
        self.with(name, |remembered| remembered.rest = Some(Rest { situation, wake, until: None }));
    }

    /// Starts a back-off of `wait` for the space. Returns the time until the space has to be reconciled.
    pub fn rests(&self, name: &str, wait: Duration) -> Duration {
        let now = Instant::now();
        self.with(name, |remembered| {
            let Some(rest) = &mut remembered.rest else { return wait };
            rest.until = now.checked_add(wait);
            rest.remaining(now).unwrap_or(wait)
        })
    }

    /// The remaining back-off of the space, if its inputs have not changed.
    pub fn rest(&self, name: &str, situation: impl FnOnce() -> u64) -> Option<Duration> {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).and_then(|remembered| remembered.rest)?;
        let remaining = rest.remaining(Instant::now())?;
        (rest.situation == situation()).then_some(remaining)
    }

    /// Returns the time since which subjects wait for access to that space. The wait begins at `now` if no subject waited before.
    pub fn waits(&self, name: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(name, |remembered| *remembered.waiting.get_or_insert(now))
    }

    /// Records that no subject waits for access to that space.
    pub fn waits_no_more(&self, name: &str) {
        self.change(name, |remembered| remembered.waiting = None);
    }

    /// Records that the quota of that space leaves no resource uncounted.
    pub fn is_counted(&self, name: &str) {
        self.change(name, |remembered| remembered.uncounted = None);
    }

    /// Returns the time since which the quota of that space leaves resources uncounted in that situation. The time is `now` in another situation.
    pub fn uncounted(&self, name: &str, situation: u64, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(name, |remembered| match remembered.uncounted {
            Some((known, since)) if known == situation => since,
            _ => {
                remembered.uncounted = Some((situation, now));
                now
            }
        })
    }

    /// Counts a failure. Returns the number of consecutive failures before it.
    pub fn failed(&self, name: &str) -> u32 {
        self.with(name, |remembered| {
            remembered.failures = remembered.failures.saturating_add(1);
            remembered.failures - 1
        })
    }

    /// The number of consecutive failures.
    pub fn failures(&self, name: &str) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map_or(0, |remembered| remembered.failures)
    }

    /// Resets the failures after a successful reconcile, and forgets the space if the store has caught up.
    pub fn clear(&self, name: &str, version: u64) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = map.get_mut(name) {
            remembered.failures = 0;
            remembered.rest = None;
            let caught_up = remembered.written.is_none_or(|(written, at)| written <= version || at.elapsed() >= PATIENCE);
            if caught_up && remembered.gone.is_none() && remembered.waiting.is_none() && remembered.uncounted.is_none() {
                map.remove(name);
            }
        }
    }

    /// After a list: forgets the spaces that do not exist. Deleted spaces are remembered for a while.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        let recent = |remembered: &Attempt| remembered.gone.as_ref().is_some_and(|(_, at)| at.elapsed() < GHOST);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, remembered| exists(name) || recent(remembered));
    }

    /// Changes what is remembered of the space, if anything is.
    fn change(&self, name: &str, act: impl FnOnce(&mut Attempt)) {
        if let Some(remembered) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            act(remembered);
        }
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Attempt) -> T) -> T {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_uncounted_resources_begins_again_once_they_were_counted() {
        let memory = Attempts::default();
        let [first, second, third] = [0, 1, 2].map(|minute| DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap());
        memory.is_counted("orchid-lab");
        assert_eq!(memory.uncounted("orchid-lab", 7, first), first);
        assert_eq!(memory.uncounted("orchid-lab", 7, second), first);
        assert_eq!(memory.uncounted("orchid-lab", 8, second), second, "another situation");
        memory.is_counted("orchid-lab");
        assert_eq!(memory.uncounted("orchid-lab", 8, third), third);
    }
}
