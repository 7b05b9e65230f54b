//! The rate limit of the operator's writes for one space: a burst, and then a wait before each reconcile that grows with the number of writes before
//! it. It bounds the share that one space takes from the others when a client reverts the operator's writes, or changes the spec, as fast as the
//! operator writes.
//!
//! The generic cell rate algorithm (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>), which keeps one time for each space.

use std::time::Duration;

/// The time that one write costs: six reconciles a minute that write once.
const WORTH: Duration = Duration::from_secs(10);

/// The number of writes in a burst: creating a space takes eight, and a user who tries things out changes it several times in a row.
const BURST: u32 = 40;

/// The longest wait of a space: it has to converge within a minute, and a change takes up to three steps. Therefore four reconciles a minute
/// pass, regardless of the number of their writes.
const LONGEST: Duration = Duration::from_secs(15);

/// The writes of one space. Times count from one arbitrary moment that all spaces share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brake {
    /// The time at which all writes are paid for.
    paid: Duration,
}

impl Brake {
    /// Records a write.
    pub fn write(&mut self, now: Duration) {
        // A space never owes more than the longest wait.
        let most = now + WORTH * BURST + LONGEST;
        self.paid = (self.paid.max(now) + WORTH).min(most);
    }

    /// The time that the space has to wait.
    pub fn wait(&self, now: Duration) -> Duration {
        self.paid.saturating_sub(now).saturating_sub(WORTH * BURST).min(LONGEST)
    }

    /// Returns true if all writes are paid for, so that the record can be dropped.
    pub fn is_released(&self, now: Duration) -> bool {
        self.paid <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_is_six_writes_a_minute() {
        let (begin, mut brake) = (Duration::from_secs(7), Brake::default());
        let (mut now, mut writes) = (begin, 0);
        let hour = Duration::from_secs(3_600);
        while now < begin + hour {
            now += brake.wait(now).max(Duration::from_millis(100));
            if brake.wait(now).is_zero() {
                brake.write(now);
                writes += 1;
            }
        }
        assert_eq!(writes, 40 + 1 + 360, "the burst, the one that uses it up, and six a minute");
    }

    #[test]
    fn a_flood_of_many_writes_at_a_time_is_four_reconciles_a_minute() {
        let (begin, mut brake) = (Duration::from_secs(7), Brake::default());
        for _ in 0..BURST {
            brake.write(begin);
        }
        let (mut now, mut reconciles) = (begin, 0);
        while now < begin + Duration::from_secs(600) {
            now += brake.wait(now).max(Duration::from_millis(100));
            for _ in 0..8 {
                brake.write(now);
            }
            reconciles += 1;
        }
        assert_eq!(reconciles, 1 + 40, "the one after the burst, and four a minute");
    }

    #[test]
    fn nobody_waits_longer_than_the_longest_wait_and_rest_releases() {
        let (begin, mut brake) = (Duration::from_secs(7), Brake::default());
        for _ in 0..10_000 {
            brake.write(begin);
        }
        assert_eq!(brake.wait(begin), LONGEST);
        assert!(brake.wait(begin + LONGEST).is_zero() && !brake.is_released(begin + LONGEST));
        assert!(brake.is_released(begin + LONGEST + WORTH * BURST));
    }
}
