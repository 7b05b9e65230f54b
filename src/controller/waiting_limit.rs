//! Deletes a space that waits for a place under the owner limit beyond the oldest waiting spaces of its owner, once its
//! hour is over. The rule is in [`crate::desired::waiting_limit`]; only such a space is deleted here.

use chrono::{DateTime, Utc};

use super::{context::Context, expire::delete_space, io::Io};
use crate::{
    api::{DeveloperSpace, conditions::Reason},
    desired::{
        SpecRefusal, Uid,
        plan::{ClassVerdict, Observed, class_verdict},
        status::Note,
        waiting_limit::{Beyond, MAX_WAITING, deleted_at},
    },
    runtime::error::Error,
};

/// The state of the waiting `space`, if it is beyond the oldest waiting spaces. Its clock is stopped while its class is
/// not accepted, and while the watches are silent: the cached state of the other spaces may be out of date by then.
fn beyond(space: &DeveloperSpace, observed: &Observed, ctx: &Context) -> Option<Beyond> {
    let is_accepted = observed.wanted_class.as_ref().is_ok_and(|class| class_verdict(class) == ClassVerdict::Accepted);
    let runs = is_accepted && ctx.watchdog.ages(observed.now).current().is_ok();
    ctx.owner_limit.beyond(&Uid::from_metadata(&space.metadata), runs.then_some(observed.now))
}

/// The warning of the deletion in the condition of a space that waits beyond the oldest waiting spaces; empty for other
/// spaces.
pub fn warning(space: &DeveloperSpace, observed: &Observed, ctx: &Context) -> String {
    let Some(_) = beyond(space, observed, ctx) else { return String::new() };
    format!(
        "; {MAX_WAITING} older spaces of {} wait as well, which is the maximum, so this one is deleted after an hour",
        space.spec.owner
    )
}

/// The time at which the refused `space` is deleted; `None` if it is not deleted.
pub fn deletion(
    space: &DeveloperSpace,
    observed: &Observed,
    ctx: &Context,
    refusal: &SpecRefusal,
) -> Option<DateTime<Utc>> {
    let waits = refusal.reason == Reason::OwnerLimitExceeded && observed.own_namespace().is_none();
    deleted_at(space, beyond(space, observed, ctx).filter(|_| waits)?)
}

/// Deletes the space and publishes the Event.
pub async fn delete(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    if delete_space(io, space).await? {
        let message = format!(
            "this DeveloperSpace was deleted after an hour of waiting, since {MAX_WAITING} older spaces of {} wait for a place as well: \
             delete spaces that are not needed, and create it again",
            space.spec.owner
        );
        let note = Note { warning: true, reason: "TooManyWaiting".into(), message, in_namespace: false };
        io.recorder.publish(space, None, vec![note], observed.now);
    }
    Ok(())
}
