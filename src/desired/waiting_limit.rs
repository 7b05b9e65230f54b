//! The limit on spaces of one owner that wait for a place under the owner limit, and the deletion of spaces beyond it.
//!
//! Only spaces that were never admitted are counted, and no other space is ever deleted by this rule.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    owner_limit::{Claim, rank},
    standing::standing,
    uid::Uid,
};
use crate::api::{
    DeveloperSpace,
    conditions::{self, Reason, types},
};

/// The number of spaces of one owner that may wait, over all classes: the oldest ones.
pub(crate) const MAX_WAITING: usize = 10;

/// The time for which a space beyond the oldest ones is kept.
const RETENTION: TimeDelta = TimeDelta::hours(1);

/// The spaces of one owner that wait for a place under the owner limit and were never admitted, in the order of their
/// ranks. Each has the start of its hour, if that has begun.
#[derive(Debug, Default)]
pub(crate) struct WaitingQueue(BTreeMap<(DateTime<Utc>, Uid), Option<DateTime<Utc>>>);

/// A space that waits beyond the oldest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The start of its hour; `None` while the clock is stopped.
    pub since: Option<DateTime<Utc>>,
}

impl WaitingQueue {
    /// Adds a space.
    pub(crate) fn join(&mut self, claim: &Claim) {
        self.0.entry(place(claim)).or_default();
    }

    /// Removes a space. The hour of a space that moves up among the oldest ones is cancelled.
    pub(crate) fn leave(&mut self, claim: &Claim) {
        self.0.remove(&place(claim));
        self.0.values_mut().take(MAX_WAITING).for_each(|since| *since = None);
    }

    /// Returns the state of a space that waits beyond the oldest ones; `None` for any other space. `now` is `None`
    /// while the clock is stopped. The hour begins at the first call while the clock runs, and begins again after the
    /// clock was stopped.
    pub(crate) fn look(&mut self, claim: &Claim, now: Option<DateTime<Utc>>) -> Option<Beyond> {
        let place = place(claim);
        let is_beyond = !self.0.keys().take(MAX_WAITING).any(|other| *other == place);
        let since = self.0.get_mut(&place)?;
        *since = now.filter(|_| is_beyond).map(|now| since.unwrap_or(now));
        is_beyond.then_some(Beyond { since: *since })
    }

    /// Returns true if no space waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn place(claim: &Claim) -> (DateTime<Utc>, Uid) {
    let (created, uid) = rank(claim);
    (created, uid.clone())
}

/// Returns true if `space` has no namespace, never had one, and was never admitted.
pub(crate) fn was_never_admitted(space: &DeveloperSpace) -> bool {
    standing(space).is_none() && space.status.as_ref().is_none_or(|status| status.namespace.is_none())
}

/// Returns true if the status of `space` reports that it waits. `ApplyFailed` counts as well: the deletion of the space
/// was refused.
pub fn waits(space: &DeveloperSpace) -> bool {
    waiting_since(space).is_some()
}

/// The time at which a space that waits beyond the oldest ones is deleted: an hour after the start of its hour, and at
/// least an hour after its condition first reported the wait. `None` if no deletion is due.
pub(crate) fn deleted_at(space: &DeveloperSpace, beyond: Beyond) -> Option<DateTime<Utc>> {
    if !was_never_admitted(space) {
        return None;
    }
    beyond.since?.max(waiting_since(space)?).checked_add_signed(RETENTION)
}

fn waiting_since(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    let ready = conditions::find(&space.status.as_ref()?.conditions, types::READY)?;
    let is_waiting =
        [Reason::OwnerLimitExceeded, Reason::ApplyFailed].iter().any(|reason| reason.as_str() == ready.reason);
    conditions::since(&ready.last_transition_time).filter(|_| is_waiting && ready.status == "False")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*};
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn claim(number: i64) -> Claim {
        let uid = format!("uid-{number:03}").as_str().into();
        Claim { uid, name: format!("space-{number}").into(), created: at(number), is_new: true }
    }

    fn line(numbers: impl Iterator<Item = i64>) -> WaitingQueue {
        let mut line = WaitingQueue::default();
        numbers.for_each(|number| line.join(&claim(number)));
        line
    }

    fn since(seconds: i64) -> Beyond {
        Beyond { since: Some(at(seconds)) }
    }

    const CLOCK_STOPPED: Option<Beyond> = Some(Beyond { since: None });

    #[test]
    fn the_eleventh_space_is_beyond_the_limit_until_one_of_the_ten_leaves() {
        let mut line = line((0..12).rev());
        assert_eq!(line.look(&claim(9), Some(at(100))), None);
        assert_eq!(line.look(&claim(10), Some(at(100))), Some(since(100)));
        assert_eq!(line.look(&claim(11), Some(at(150))), Some(since(150)));
        assert_eq!(line.look(&claim(10), Some(at(200))), Some(since(100)));
        line.leave(&claim(3));
        assert_eq!(line.look(&claim(10), Some(at(300))), None);
        assert_eq!(line.look(&claim(11), Some(at(300))), Some(since(150)));
        line.join(&claim(3));
        assert_eq!(line.look(&claim(10), Some(at(400))), Some(since(400)), "its hour was over");
        assert_eq!(line.look(&claim(77), Some(at(400))), None, "it does not wait");
    }

    #[test]
    fn a_space_that_was_among_the_ten_oldest_starts_a_new_hour() {
        let mut line = line(0..11);
        assert_eq!(line.look(&claim(10), Some(at(100))), Some(since(100)));
        line.leave(&claim(0));
        line.join(&claim(0));
        assert_eq!(line.look(&claim(10), Some(at(200))), Some(since(200)));
    }

    #[test]
    fn the_hour_restarts_after_the_clock_was_stopped() {
        let mut line = line(0..11);
        assert_eq!(line.look(&claim(10), Some(at(100))), Some(since(100)));
        assert_eq!(line.look(&claim(10), None), CLOCK_STOPPED);
        assert_eq!(line.look(&claim(10), Some(at(300))), Some(since(300)));
    }

    fn space(status: &Value) -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "uid-of-the-space"},
            "spec": {"className": "greenhouse", "owner": {"kind": "User", "name": "ada@example.com"}}, "status": status,
        }))
        .unwrap()
    }

    fn ready(status: &str, reason: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": at(1_000)}])
    }

    #[test]
    fn the_hour_counts_from_the_later_start_and_only_for_a_waiting_space() {
        let waits = ready("False", "OwnerLimitExceeded");
        let namespace = json!({"name": "orchid-lab", "uid": "uid-of-the-namespace"});
        let owner = json!({"kind": "User", "name": "ada@example.com"});
        for (status, since, expected) in [
            (json!({"conditions": waits}), Some(500), Some(4_600)),
            (json!({"conditions": waits}), Some(2_000), Some(5_600)),
            (json!({"conditions": ready("False", "ApplyFailed")}), Some(2_000), Some(5_600)),
            (json!({"conditions": waits}), None, None),
            (json!({"conditions": ready("False", "ClassNotFound")}), Some(2_000), None),
            (json!({"conditions": ready("False", "InvalidSpec")}), Some(2_000), None),
            (json!({"conditions": ready("Unknown", "Pending")}), Some(2_000), None),
            (json!({"conditions": ready("True", "Provisioned")}), Some(2_000), None),
            (json!({"conditions": []}), Some(2_000), None),
            (json!({"conditions": waits, "namespace": namespace}), Some(2_000), None),
            (json!({"conditions": waits, "className": "orchard", "owner": owner}), Some(2_000), None),
        ] {
            let beyond = Beyond { since: since.map(at) };
            assert_eq!(deleted_at(&space(&status), beyond), expected.map(at), "{status}, beyond since {since:?}");
        }
        assert_eq!(deleted_at(&space(&Value::Null), Beyond { since: Some(at(2_000)) }), None);
    }

    /// One event of a line: (kind, number of the space, true if the clock runs, seconds since the previous event). The
    /// space joins, leaves or is reconciled.
    fn any_event() -> impl Strategy<Value = (u8, i64, bool, i64)> {
        (0..4_u8, 0..16_i64, prop::bool::weighted(0.9), 0..900_i64)
    }

    proptest! {
        #[test]
        fn no_space_among_the_ten_oldest_and_no_space_before_an_hour_is_deleted(events in vec(any_event(), 1..300)) {
            let (mut line, mut now) = (WaitingQueue::default(), 10_000);
            let mut present: Vec<i64> = Vec::new();
            // The last time at which each space was among the oldest ones, had left the line, or had a stopped clock.
            let mut last_kept: HashMap<i64, i64> = HashMap::new();
            for (what, number, runs, seconds) in events {
                now += seconds;
                match what {
                    0 => {
                        line.join(&claim(number));
                        present.push(number);
                        present.sort_unstable();
                        present.dedup();
                    }
                    1 => {
                        line.leave(&claim(number));
                        present.retain(|other| *other != number);
                        last_kept.insert(number, now);
                    }
                    _ => {
                        let waiting = space(&json!({"conditions": ready("False", "OwnerLimitExceeded")}));
                        let beyond = line.look(&claim(number), runs.then(|| at(now)));
                        let due = beyond.and_then(|beyond| deleted_at(&waiting, beyond)).is_some_and(|due| due <= at(now));
                        let older = present.iter().filter(|other| **other < number).count();
                        let is_beyond = present.contains(&number) && older >= MAX_WAITING;
                        prop_assert_eq!(beyond.is_some(), is_beyond);
                        if due {
                            let kept = last_kept.get(&number).copied().unwrap_or(10_000);
                            prop_assert!(runs && is_beyond && now - kept >= 3_600, "{} deleted {} s after {}", number, now - kept, kept);
                        }
                        if !is_beyond || !runs {
                            last_kept.insert(number, now);
                        }
                    }
                }
                for kept in present.iter().take(MAX_WAITING) {
                    last_kept.insert(*kept, now);
                }
            }
        }
    }
}
