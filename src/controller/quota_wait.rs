//! The wait for a quota to come into force, and its report.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::{children::Progress, io::Io};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
        names,
        time::rfc3339,
    },
    desired::status::Readiness,
};

/// A wait that ends within this time is not reported: kube-controller-manager needs moments, and each report is a write
/// for each space.
const REPORT_DELAY: Duration = Duration::from_secs(5);

/// The interval at which a space is reconciled again while it waits: the wait must end even if the event of the quota
/// reaches no reconcile.
pub(crate) const REQUEUE_INTERVAL: Duration = Duration::from_secs(10);

/// The time for which the wait need not be reported yet; `None` if no subject waits, or if the wait has lasted longer.
pub(crate) fn hold(io: &Io, namespace: &str, progress: Progress, now: DateTime<Utc>) -> Option<Duration> {
    if progress == Progress::Done {
        io.attempts.end_wait(namespace);
        return None;
    }
    let waited = (now - io.attempts.waiting_since(namespace, now)).to_std().unwrap_or_default();
    REPORT_DELAY.checked_sub(waited).filter(|left| !left.is_zero())
}

/// The result for a space while subjects wait for access. Its message contains the time of the condition, so that it is
/// written once.
pub(crate) fn readiness(space: &DeveloperSpace, now: DateTime<Utc>) -> Readiness {
    let name = space.name_any();
    let ready = space.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::READY));
    let since =
        ready.filter(|ready| ready.status == "False").and_then(|ready| conditions::since(&ready.last_transition_time));
    let message = format!(
        "the quota is not in force yet, and no new access to namespace {name} is granted before it is (not ready since {}): \
         kube-controller-manager sets the status of ResourceQuota {}; if this persists, check its log",
        rfc3339(since.unwrap_or(now)),
        names::CHILD
    );
    Readiness::new(Reason::Provisioning, message)
}
