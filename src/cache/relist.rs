//! The schedule by which all objects are listed again.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::runtime::worker_slots::LOW_PRIORITY_MAX_WAIT;

/// The schedule by which all objects are listed again, so that a lost event has no lasting effect.
#[derive(Clone)]
pub struct Relist {
    period: Duration,
    is_busy: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Relist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relist").field("period", &self.period).finish_non_exhaustive()
    }
}

/// The interval at which a deferred list checks for more urgent work.
const LOAD_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Relist {
    /// Returns a schedule with that period.
    pub fn every(period: Duration) -> Self {
        Self { period, is_busy: Arc::new(|| false) }
    }

    /// Defers a list while there is more urgent work, for five minutes at most: for a list the API server has to encode
    /// all objects, and each space is reconciled.
    #[must_use]
    pub(crate) fn defer_while(self, is_busy: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_busy: Arc::new(is_busy), ..self }
    }

    /// Resolves when the next list of `kind` is due, after `number` earlier ones.
    pub(crate) async fn wait_until_due(self, kind: &str, number: u64) {
        sleep(self.wait(kind, number)).await;
        let due = Instant::now();
        while (self.is_busy)() && due.elapsed() < LOW_PRIORITY_MAX_WAIT {
            sleep(LOAD_POLL_INTERVAL).await;
        }
    }

    /// The time until the next list. The first one is up to a tenth shorter or longer, depending on the kind, so that
    /// no two kinds are listed at the same time. An event such as a restart of the API server can still restart several
    /// watches at once.
    fn wait(&self, kind: &str, number: u64) -> Duration {
        let place = kind.bytes().fold(0_u32, |sum, byte| sum + u32::from(byte)) % 20;
        if number == 0 { self.period.mul_f64(0.9 + f64::from(place) / 100.0) } else { self.period }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    const PERIOD: Duration = Duration::from_secs(600);

    #[test]
    fn no_two_kinds_are_listed_at_the_same_moment() {
        let kinds = [
            "DeveloperSpace",
            "SpaceClass",
            "Namespace",
            "ResourceQuota",
            "LimitRange",
            "NetworkPolicy",
            "RoleBinding",
        ];
        let mut listed: HashSet<Duration> = HashSet::new();
        for kind in kinds {
            let relist = Relist::every(PERIOD);
            let mut at = relist.wait(kind, 0);
            assert!(at >= PERIOD.mul_f64(0.9) && at <= PERIOD.mul_f64(1.1), "{kind}: {at:?}");
            for number in 1..40 {
                assert!(listed.insert(at), "{kind} is listed with another at {at:?}");
                at += relist.wait(kind, number);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_gives_way_for_five_minutes() {
        let busy = Arc::new(AtomicBool::new(false));
        let asked = busy.clone();
        let relist = Relist::every(PERIOD).defer_while(move || asked.load(Ordering::Relaxed));
        let due = async |number| {
            let begun = Instant::now();
            relist.clone().wait_until_due("Namespace", number).await;
            begun.elapsed().checked_sub(relist.wait("Namespace", number)).unwrap().as_secs()
        };
        assert_eq!(due(0).await, 0);
        busy.store(true, Ordering::Relaxed);
        assert_eq!(due(1).await, LOW_PRIORITY_MAX_WAIT.as_secs());
        let calm = async {
            sleep(relist.wait("Namespace", 2) + Duration::from_secs(30)).await;
            busy.store(false, Ordering::Relaxed);
        };
        let (waited, ()) = tokio::join!(due(2), calm);
        assert!((30..=31).contains(&waited), "{waited}");
    }
}
