//! How often one space may have the operator write: a burst, and then so many a minute. Somebody who undoes our writes, or changes a spec, as
//! fast as we write takes no more than that from everybody else.
//!
//! The generic cell rate algorithm (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>), which keeps one time a space.

use std::time::Duration;

/// One write is worth so much time: six writes a minute.
const WORTH: Duration = Duration::from_secs(10);

/// So many writes may come at once: making a space takes eight, and people who try things out change it some times in a row.
const BURST: u32 = 40;

/// The longest that a space is left alone: everything has to be as it should within a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// What one space has had written. Times count from any moment, the same for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brake {
    /// When all that was written is paid for.
    paid: Duration,
}

impl Brake {
    /// Notes a write.
    pub fn write(&mut self, now: Duration) {
        // Beyond what is ever waited for nothing more is owed.
        let most = now + WORTH * BURST + LONGEST;
        self.paid = (self.paid.max(now) + WORTH).min(most);
    }

    /// How long the space is left alone.
    pub fn wait(&self, now: Duration) -> Duration {
        self.paid.saturating_sub(now).saturating_sub(WORTH * BURST).min(LONGEST)
    }

    /// Whether it is as if nothing had been written.
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
    fn nobody_waits_longer_than_half_a_minute_and_rest_releases() {
        let (begin, mut brake) = (Duration::from_secs(7), Brake::default());
        for _ in 0..10_000 {
            brake.write(begin);
        }
        assert_eq!(brake.wait(begin), LONGEST);
        assert!(brake.wait(begin + LONGEST).is_zero() && !brake.is_released(begin + LONGEST));
        assert!(brake.is_released(begin + LONGEST + WORTH * BURST));
    }
}
