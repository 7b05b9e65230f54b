//! The time of the next reconcile of a space.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::runtime::controller::Action;

use crate::desired::{expiry::Step, plan::Observed};

/// The longest interval: the wall clock is read again at least this often, since it may be stepped and timers may not
/// follow.
const MAX_REQUEUE_INTERVAL: Duration = Duration::from_secs(600);

/// The requeue interval while an object is being deleted, for an event that is lost. It is long enough that thousands
/// of spaces that expire at once are not reconciled over and over.
pub(crate) const TERMINATING_REQUEUE_INTERVAL: Duration = Duration::from_secs(120);

/// The time of the next reconcile. An event of an object of the space triggers one earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next time at which the state changes without an event after that step.
    After(Step),
    /// The next time at which the state of a live space changes without an event, but not later than after that
    /// interval.
    Within(Duration),
    /// The same for a space that is being deleted.
    WhileTerminating,
    /// After that interval.
    In(Duration),
}

impl Next {
    /// Returns the action of kube's queue, for a space that was observed as `observed`.
    pub(crate) fn action(&self, observed: &Observed, now: DateTime<Utc>) -> Action {
        let until = |at: DateTime<Utc>| (at - now).to_std().ok();
        let wake = observed.outlook.wake;
        let at = match self {
            Self::In(interval) => return Action::requeue(*interval),
            Self::Within(interval) => {
                let wait = wake.map(|wake| until(wake).unwrap_or_default());
                return Action::requeue(wait.map_or(*interval, |wait| wait.min(*interval)));
            }
            Self::WhileTerminating => {
                let wait = wake.and_then(until);
                return Action::requeue(wait.unwrap_or(TERMINATING_REQUEUE_INTERVAL).min(TERMINATING_REQUEUE_INTERVAL));
            }
            Self::After(Step::DeleteNamespace(_) | Step::AwaitNamespace(_) | Step::DeleteSpace) => {
                return Action::requeue(TERMINATING_REQUEUE_INTERVAL);
            }
            Self::After(Step::Live) => wake,
            Self::After(Step::Retain(at) | Step::AwaitEnd(at)) => Some(*at),
            Self::After(Step::Seal) => {
                let end = observed.outlook.expires_at.filter(|end| *end > observed.now);
                end.or(Some(observed.now + TERMINATING_REQUEUE_INTERVAL))
            }
        };
        match at {
            None => Action::await_change(),
            Some(at) => Action::requeue(until(at).unwrap_or_default().min(MAX_REQUEUE_INTERVAL)),
        }
    }
}
