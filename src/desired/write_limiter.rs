//! The rate limit of the operator's writes for one space: a burst, and then a wait before each reconcile that grows
//! with the number of writes before it. It bounds the share that one space takes from the others when a client reverts
//! the operator's writes, or changes the spec, as fast as the operator writes.
//!
//! The generic cell rate algorithm (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>), which keeps one time
//! for each space.

use std::time::Duration;

/// The time that one write costs: six reconciles a minute that write once.
const COST_OF_WRITE: Duration = Duration::from_secs(10);

/// The number of writes in a burst: creating a space takes eight, and a user who tries things out changes it several
/// times in a row.
const BURST_WRITES: u32 = 40;

/// The longest wait of a space: it has to converge within a minute, and a change takes up to three steps. Therefore
/// four reconciles a minute pass, regardless of the number of their writes.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// The writes of one space. Times count from one arbitrary moment that all spaces share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteLimiter {
    /// The time at which all writes are paid for.
    paid: Duration,
}

impl WriteLimiter {
    /// Records a write.
    pub(crate) fn write(&mut self, now: Duration) {
        // A space never owes more than the longest wait.
        let most = now + COST_OF_WRITE * BURST_WRITES + MAX_WAIT;
        self.paid = (self.paid.max(now) + COST_OF_WRITE).min(most);
    }

    /// The time that the space has to wait.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        self.paid.saturating_sub(now).saturating_sub(COST_OF_WRITE * BURST_WRITES).min(MAX_WAIT)
    }

    /// Returns true if all writes are paid for, so that the record can be dropped.
    pub(crate) fn is_idle(&self, now: Duration) -> bool {
        self.paid <= now
    }
}

#[cfg(test)]
mod tests {
    use crate::desired::write_limiter::*;

    #[test]
    fn a_burst_does_not_wait_and_a_flood_is_limited_to_six_writes_a_minute() {
        let (begin, mut limiter) = (Duration::from_secs(7), WriteLimiter::default());
        let (mut now, mut writes) = (begin, 0);
        let hour = Duration::from_secs(3_600);
        while now < begin + hour {
            now += limiter.wait(now).max(Duration::from_millis(100));
            if limiter.wait(now).is_zero() {
                limiter.write(now);
                writes += 1;
            }
        }
        assert_eq!(writes, 40 + 1 + 360, "the burst, the one that uses it up, and six a minute");
    }

    #[test]
    fn a_flood_of_many_writes_is_limited_to_four_reconciles_a_minute() {
        let (begin, mut limiter) = (Duration::from_secs(7), WriteLimiter::default());
        for _ in 0..BURST_WRITES {
            limiter.write(begin);
        }
        let (mut now, mut reconciles) = (begin, 0);
        while now < begin + Duration::from_secs(600) {
            now += limiter.wait(now).max(Duration::from_millis(100));
            for _ in 0..8 {
                limiter.write(now);
            }
            reconciles += 1;
        }
        assert_eq!(reconciles, 1 + 40, "the one after the burst, and four a minute");
    }

    #[test]
    fn no_wait_exceeds_the_maximum_and_an_idle_space_is_released() {
        let (begin, mut limiter) = (Duration::from_secs(7), WriteLimiter::default());
        for _ in 0..10_000 {
            limiter.write(begin);
        }
        assert_eq!(limiter.wait(begin), MAX_WAIT);
        assert!(limiter.wait(begin + MAX_WAIT).is_zero() && !limiter.is_idle(begin + MAX_WAIT));
        assert!(limiter.is_idle(begin + MAX_WAIT + COST_OF_WRITE * BURST_WRITES));
    }
}
