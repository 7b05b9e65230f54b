//! Worker slots, which bound the work that is under way. Low-priority work yields to other work, but not indefinitely.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// A reconcile that runs longer releases its worker slot: a few calls that hang must not block all other reconciles.
const SLOT_HOLD_LIMIT: Duration = Duration::from_secs(2);

/// The longest time for which work yields to other work, so that nothing waits indefinitely on a cluster that is never
/// idle.
pub(crate) const LOW_PRIORITY_MAX_WAIT: Duration = Duration::from_secs(300);

/// The interval at which work that yields checks for a free worker slot.
const IDLE_SLOT_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// One in this number of worker slots is for work that has yielded for [`LOW_PRIORITY_MAX_WAIT`], so that it does not
/// occupy half of the slots of the work that it yielded to.
const LOW_PRIORITY_DIVISOR: usize = 4;

/// One in this number of worker slots is for spaces that fail repeatedly, regardless of the duration of their calls.
const FAILING_DIVISOR: usize = 4;

/// Worker slots, granted in the order of the requests.
#[derive(Clone, Debug)]
pub struct WorkerSlots {
    number: u16,
    all: Arc<Semaphore>,
    low_priority: Arc<Semaphore>,
    failing: Arc<Semaphore>,
}

impl WorkerSlots {
    /// Returns `number` worker slots.
    pub fn new(number: u16) -> Self {
        let slots = usize::from(number);
        let part = |of: usize| Arc::new(Semaphore::new(slots.div_ceil(of)));
        Self { number, all: part(1), low_priority: part(LOW_PRIORITY_DIVISOR), failing: part(FAILING_DIVISOR) }
    }

    /// Returns a permit for a space that failed before, or `None` while other failing spaces hold all of these permits.
    pub(crate) fn try_failing_slot(&self) -> Option<SemaphorePermit<'_>> {
        self.failing.try_acquire().ok()
    }

    /// The number of worker slots.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Runs `work` once a worker slot is free.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed. If it were, the work would run without a slot.
        let slot = self.all.acquire().await;
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(SLOT_HOLD_LIMIT) => drop(slot),
        }
        work.await
    }

    /// Runs `work` once a worker slot is idle, or, after five minutes, in one of the few slots for work that has waited
    /// that long.
    pub(crate) async fn run_low_priority<T>(&self, work: impl Future<Output = T>) -> T {
        let requested = Instant::now();
        // A free slot means that no other work waits: the semaphore passes a released slot on to the next waiting work.
        while self.all.available_permits() == 0 {
            if requested.elapsed() >= LOW_PRIORITY_MAX_WAIT {
                let _slot = self.low_priority.acquire().await;
                return self.run(work).await;
            }
            tokio::time::sleep(IDLE_SLOT_POLL_INTERVAL).await;
        }
        self.run(work).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn low_priority_work_yields_for_five_minutes() {
        let slots = WorkerSlots::new(1);
        let busy = tokio::spawn({
            let slots = slots.clone();
            // The worker slot is taken again and again, and each time released in time.
            async move {
                loop {
                    slots.run(tokio::time::sleep(Duration::from_millis(10))).await;
                }
            }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        slots.run_low_priority(std::future::ready(())).await;
        busy.abort();
        assert!(begun.elapsed() >= Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn low_priority_work_that_waited_long_takes_a_quarter_of_the_slots() {
        let slots = WorkerSlots::new(4);
        let hold = |slots: WorkerSlots| async move {
            loop {
                slots.run(tokio::time::sleep(Duration::from_secs(1))).await;
            }
        };
        let busy: Vec<_> = (0..8).map(|_| tokio::spawn(hold(slots.clone()))).collect();
        tokio::task::yield_now().await;
        let (under_way, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let record = (0..4).map(|_| {
            slots.run_low_priority(async {
                most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
            })
        });
        futures::future::join_all(record).await;
        busy.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(most.into_inner(), 1);
    }
}
