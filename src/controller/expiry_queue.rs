//! Reconciles expiring spaces ahead of all others. kube's queue takes due names in any order, so that in a burst of creations an end would wait
//! as long as any creation: spaces that end are reconciled outside that queue, at their time, in worker slots of their own.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{CachedSpace, context::Context, on_error, reconcile};
use crate::{api::DeveloperSpace, clock::Clock, desired::lifetime::stage::SEAL_LEAD};

/// Every space is reconciled at least this often, which is early enough to learn of an end that is further away.
const HORIZON: TimeDelta = TimeDelta::minutes(11);

/// The longest sleep: the wall clock may be stepped, and timers do not follow.
const GLANCE: Duration = Duration::from_secs(1);

/// The retry interval of an end while the queue reconciles the same space, or while the store is behind a write of the operator other than the seal.
const BREATH: Duration = Duration::from_millis(20);

/// The time before a seal or a deletion at which creations begin to wait: the API server answers the creations that are under way in the meantime.
const AHEAD: TimeDelta = TimeDelta::milliseconds(300);

/// The longest wait of one creation, so that ends that fail or hang stop no creation.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The ends that are near. If a space was renewed in the meantime, its reconcile does nothing.
#[derive(Debug, Default)]
pub struct Ends {
    near: Mutex<BTreeSet<(DateTime<Utc>, Box<str>)>>,
    sealed: Mutex<HashMap<String, DeveloperSpace>>,
    changed: Notify,
    under_way: AtomicUsize,
}

impl Ends {
    /// Waits while an end is near or under way: on a loaded API server the requests of creations would delay its own.
    pub async fn go_first(&self, clock: &dyn Clock) {
        if !self.is_near(clock.now()) {
            return;
        }
        let passed = async {
            while self.is_near(clock.now()) {
                tokio::time::sleep(BREATH).await;
            }
        };
        // Boxed, because the future of each reconcile reserves memory for all of its waits at once.
        let _ = Box::pin(tokio::time::timeout(LONGEST_WAIT, passed)).await;
    }

    fn is_near(&self, now: DateTime<Utc>) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0 || self.near().first().is_some_and(|(at, _)| *at <= now + AHEAD)
    }

    fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Registers the end of the space of that name.
    pub fn expects(&self, name: &str, at: DateTime<Utc>, now: DateTime<Utc>) {
        if at - now >= HORIZON {
            return;
        }
        for at in [at - SEAL_LEAD, at] {
            self.near().insert((at, name.into()));
        }
        self.changed.notify_one();
    }

    /// Keeps the space that the API server returned for its early seal, so that the deletion does not wait for the watch.
    pub fn sealed(&self, space: DeveloperSpace) {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).insert(space.name_any(), space);
    }

    /// Takes the space of that name as it was sealed.
    pub fn take_sealed(&self, name: &str) -> Option<DeveloperSpace> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// The time until the next end.
    fn wait(&self, now: DateTime<Utc>) -> Duration {
        let next = self.near().first().map(|(at, _)| *at);
        next.map_or(GLANCE, |at| (at - now).to_std().unwrap_or_default().min(GLANCE))
    }

    /// Takes the name of the space whose end has been due for longest.
    fn take(&self, now: DateTime<Utc>) -> Option<Box<str>> {
        let mut near = self.near();
        near.first().is_some_and(|(at, _)| *at <= now).then(|| near.pop_first())?.map(|(_, name)| name)
    }

    fn near(&self) -> MutexGuard<'_, BTreeSet<(DateTime<Utc>, Box<str>)>> {
        self.near.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end is under way until this is dropped.
struct UnderWay<'a>(&'a Ends);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reconciles the spaces that end, each at its time, until `stop` resolves; running reconciles are finished.
pub async fn run(ctx: Arc<Context>, spaces: Store<CachedSpace>, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(ctx.places.number().into()));
    let (mut under_way, mut stop) = (JoinSet::new(), pin!(stop));
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = under_way.join_next() => {}
            () = ctx.ends.changed.notified() => {}
            () = tokio::time::sleep(ctx.ends.wait(ctx.clock.now())), if places.available_permits() > 0 => {}
        }
        while let Ok(place) = places.clone().try_acquire_owned() {
            let Some(name) = ctx.ends.take(ctx.clock.now()) else { break };
            let (ctx, spaces) = (ctx.clone(), spaces.clone());
            under_way.spawn(async move {
                first_moment(&ctx.ends, end(&name, &spaces, ctx.clone())).await;
                drop(place);
            });
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Runs `work`. Creations wait only until `LONGEST_WAIT` has passed: a call that hangs must not delay each of them.
async fn first_moment(ends: &Ends, work: impl Future<Output = ()>) {
    let (under_way, mut work) = (ends.begin(), pin!(work));
    tokio::select! {
        () = &mut work => return,
        () = tokio::time::sleep(LONGEST_WAIT) => drop(under_way),
    }
    work.await;
}

async fn end(name: &str, spaces: &Store<CachedSpace>, ctx: Arc<Context>) {
    while let Some(space) = spaces.get(&ObjectRef::new(name)) {
        match reconcile::at_the_end(&space, &ctx).await {
            Ok(true) => return,
            Ok(false) => tokio::time::sleep(BREATH).await,
            Err(error) => {
                tracing::warn!(space = name, error = error.sentence(), "failed to expire a DeveloperSpace; retrying");
                on_error(space, &error, ctx.clone());
                return ctx.requeue.requeue(name.to_owned());
            }
        }
    }
    drop(ctx.ends.take_sealed(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn ends_come_in_their_order_and_not_before_their_time() {
        let ends = Ends::default();
        for (name, end) in [("moss-lab", 120), ("fern-lab", 110), ("fern-lab", 110), ("orchid-lab", 130), ("oak-lab", 2_000)] {
            ends.expects(name, at(end), at(100));
        }
        assert_eq!((ends.wait(at(100)), ends.take(at(109))), (GLANCE, None));
        assert_eq!(ends.wait(at(111)), Duration::ZERO);
        let taken = |now| std::iter::from_fn(|| ends.take(now)).map(String::from).collect::<Vec<_>>();
        assert_eq!(taken(at(110) - SEAL_LEAD), ["fern-lab"], "in time to be sealed");
        assert_eq!(taken(at(120)), ["fern-lab", "moss-lab", "moss-lab"]);
        assert_eq!(taken(at(1_000)), ["orchid-lab", "orchid-lab"]);
        assert_eq!(ends.take(at(3_000)), None, "one that is far away is registered again in time");
    }

    #[tokio::test(start_paused = true)]
    async fn creations_wait_for_an_end_that_is_near_and_for_one_under_way_but_not_for_long() {
        let (ends, waits) = (Ends::default(), async |ends: &Ends, now: DateTime<Utc>| {
            let begin = tokio::time::Instant::now();
            ends.go_first(&now).await;
            begin.elapsed() >= LONGEST_WAIT
        });
        assert!(!waits(&ends, at(100)).await, "there is none");
        ends.expects("fern-lab", at(110), at(100));
        let seal = at(110) - SEAL_LEAD;
        assert!(!waits(&ends, seal - AHEAD - TimeDelta::milliseconds(1)).await, "it is not near yet");
        assert!(waits(&ends, seal - AHEAD).await);
        while ends.take(at(110)).is_some() {}
        assert!(!waits(&ends, at(110)).await, "both steps were taken");
        let under_way = ends.begin();
        assert!(waits(&ends, at(110)).await);
        drop(under_way);
        assert!(!waits(&ends, at(110)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn creations_do_not_wait_for_an_end_that_hangs() {
        let (ends, now) = (Ends::default(), at(110));
        let mut hanging = pin!(first_moment(&ends, std::future::pending()));
        assert!(futures::poll!(&mut hanging).is_pending() && ends.is_near(now));
        assert!(tokio::time::timeout(LONGEST_WAIT * 2, &mut hanging).await.is_err());
        assert!(!ends.is_near(now));
    }
}
