//! The expiries that are near, in the order of their times.
//!
//! Owns only the register. `expiry_worker.rs` reconciles the spaces, and creations wait while an expiry is near.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::pin,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use tokio::sync::Notify;

use crate::{api::DeveloperSpace, clock::Clock, desired::lifetime::stage::SEAL_LEAD, lock::IgnorePoison};

/// Every space is reconciled at least this often, which is early enough to learn of an end that is further away.
const REGISTRATION_HORIZON: TimeDelta = TimeDelta::minutes(11);

/// The longest sleep: the wall clock may be stepped, and timers do not follow.
const CLOCK_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which an expiry is retried while the queue reconciles the same space, or while the store is behind a
/// write of the operator other than the seal, and at which a creation checks for expiries that are near.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The time before a seal or a deletion at which creations begin to wait: the API server answers the creations that are
/// under way in the meantime.
const CREATION_PAUSE_LEAD: TimeDelta = TimeDelta::milliseconds(300);

/// The longest wait of one creation, so that ends that fail or hang stop no creation.
const MAX_CREATION_WAIT: Duration = Duration::from_secs(1);

/// The ends that are near. If a space was renewed in the meantime, its reconcile does nothing.
#[derive(Debug, Default)]
pub struct ExpiryQueue {
    near: Mutex<BTreeSet<(DateTime<Utc>, Box<str>)>>,
    sealed: Mutex<HashMap<String, DeveloperSpace>>,
    changed: Notify,
    under_way: AtomicUsize,
}

impl ExpiryQueue {
    /// Waits while an end is near or under way: on a loaded API server the requests of creations would delay its own.
    pub(crate) async fn yield_to_expiries(&self, clock: &dyn Clock) {
        if !self.is_near(clock.now()) {
            return;
        }
        let passed = async {
            while self.is_near(clock.now()) {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        // Boxed, because the future of each reconcile reserves memory for all of its waits at once.
        let _ = Box::pin(tokio::time::timeout(MAX_CREATION_WAIT, passed)).await;
    }

    fn is_near(&self, now: DateTime<Utc>) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
            || self.near().first().is_some_and(|(at, _)| *at <= now + CREATION_PAUSE_LEAD)
    }

    /// Runs `work` of an expiry. Creations wait only until `MAX_CREATION_WAIT` has passed: a call that hangs must not
    /// delay each of them.
    pub(crate) async fn run_ahead_of_creations(&self, work: impl Future<Output = ()>) {
        let (under_way, mut work) = (self.begin(), pin!(work));
        tokio::select! {
            () = &mut work => return,
            () = tokio::time::sleep(MAX_CREATION_WAIT) => drop(under_way),
        }
        work.await;
    }

    fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Registers the end of the space of that name.
    pub fn register(&self, name: &str, at: DateTime<Utc>, now: DateTime<Utc>) {
        if at - now >= REGISTRATION_HORIZON {
            return;
        }
        for at in [at - SEAL_LEAD, at] {
            self.near().insert((at, name.into()));
        }
        self.changed.notify_one();
    }

    /// Keeps the space that the API server returned for its early seal, so that the deletion does not wait for the
    /// watch.
    pub(crate) fn keep_sealed(&self, space: DeveloperSpace) {
        self.sealed.lock().ignore_poison().insert(space.name_any(), space);
    }

    /// Takes the space of that name as it was sealed.
    pub(crate) fn take_sealed(&self, name: &str) -> Option<DeveloperSpace> {
        self.sealed.lock().ignore_poison().remove(name)
    }

    /// Waits until an expiry is registered.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The time until the next end.
    pub(crate) fn until_next(&self, now: DateTime<Utc>) -> Duration {
        let next = self.near().first().map(|(at, _)| *at);
        next.map_or(CLOCK_POLL_INTERVAL, |at| (at - now).to_std().unwrap_or_default().min(CLOCK_POLL_INTERVAL))
    }

    /// Takes the name of the space whose end has been due for longest.
    pub fn pop_due(&self, now: DateTime<Utc>) -> Option<Box<str>> {
        let mut near = self.near();
        near.first().is_some_and(|(at, _)| *at <= now).then(|| near.pop_first())?.map(|(_, name)| name)
    }

    fn near(&self) -> MutexGuard<'_, BTreeSet<(DateTime<Utc>, Box<str>)>> {
        self.near.lock().ignore_poison()
    }
}

/// One end is under way until this is dropped.
struct UnderWay<'a>(&'a ExpiryQueue);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn ends_come_in_their_order_and_not_before_their_time() {
        let queue = ExpiryQueue::default();
        for (name, end) in
            [("moss-lab", 120), ("fern-lab", 110), ("fern-lab", 110), ("orchid-lab", 130), ("oak-lab", 2_000)]
        {
            queue.register(name, at(end), at(100));
        }
        assert_eq!((queue.until_next(at(100)), queue.pop_due(at(109))), (CLOCK_POLL_INTERVAL, None));
        assert_eq!(queue.until_next(at(111)), Duration::ZERO);
        let taken = |now| std::iter::from_fn(|| queue.pop_due(now)).map(String::from).collect::<Vec<_>>();
        assert_eq!(taken(at(110) - SEAL_LEAD), ["fern-lab"], "in time to be sealed");
        assert_eq!(taken(at(120)), ["fern-lab", "moss-lab", "moss-lab"]);
        assert_eq!(taken(at(1_000)), ["orchid-lab", "orchid-lab"]);
        assert_eq!(queue.pop_due(at(3_000)), None, "one that is far away is registered again in time");
    }

    #[tokio::test(start_paused = true)]
    async fn creations_wait_for_an_end_that_is_near_and_for_one_under_way_but_not_for_long() {
        let (queue, waits) = (ExpiryQueue::default(), async |queue: &ExpiryQueue, now: DateTime<Utc>| {
            let begin = tokio::time::Instant::now();
            queue.yield_to_expiries(&now).await;
            begin.elapsed() >= MAX_CREATION_WAIT
        });
        assert!(!waits(&queue, at(100)).await, "there is none");
        queue.register("fern-lab", at(110), at(100));
        let seal = at(110) - SEAL_LEAD;
        assert!(!waits(&queue, seal - CREATION_PAUSE_LEAD - TimeDelta::milliseconds(1)).await, "it is not near yet");
        assert!(waits(&queue, seal - CREATION_PAUSE_LEAD).await);
        while queue.pop_due(at(110)).is_some() {}
        assert!(!waits(&queue, at(110)).await, "both steps were taken");
        let under_way = queue.begin();
        assert!(waits(&queue, at(110)).await);
        drop(under_way);
        assert!(!waits(&queue, at(110)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn creations_do_not_wait_for_an_end_that_hangs() {
        let (queue, now) = (ExpiryQueue::default(), at(110));
        let mut hanging = pin!(queue.run_ahead_of_creations(std::future::pending()));
        assert!(futures::poll!(&mut hanging).is_pending() && queue.is_near(now));
        assert!(tokio::time::timeout(MAX_CREATION_WAIT * 2, &mut hanging).await.is_err());
        assert!(!queue.is_near(now));
    }
}
