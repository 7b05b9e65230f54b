//! The time of the next reconcile.

use std::time::Duration;

use kube::runtime::controller::Action;

use super::{context::Context, observe::Observed};
use crate::desired::expiry::Step;

/// The longest sleep: the wall clock is read again at least this often, since it may be stepped and timers may not follow.
const MAX_REQUEUE_INTERVAL: Duration = Duration::from_secs(600);

/// The requeue interval while an object is being deleted, for an event that is lost. It is long enough that thousands of spaces that expire at
/// once are not reconciled over and over.
pub const TERMINATING_REQUEUE_INTERVAL: Duration = Duration::from_secs(120);

/// The action after a step: a requeue at the next time at which the state changes without an event.
pub fn after(step: &Step, observed: &Observed, ctx: &Context) -> Action {
    let wake = match step {
        Step::Live => observed.outlook.wake,
        Step::Keep(until) | Step::AwaitEnd(until) => Some(*until),
        Step::Seal => observed.outlook.expires_at.filter(|end| *end > observed.now).or(Some(observed.now + TERMINATING_REQUEUE_INTERVAL)),
        Step::DeleteNamespace(_) | Step::AwaitNamespace(_) | Step::Forget => return Action::requeue(TERMINATING_REQUEUE_INTERVAL),
    };
    match wake {
        None => Action::await_change(),
        Some(wake) => {
            let wait = (wake - ctx.clock.now()).to_std().unwrap_or_default();
            Action::requeue(wait.min(MAX_REQUEUE_INTERVAL))
        }
    }
}
