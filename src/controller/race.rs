//! Races for the writes on which the end of a space depends: the seal, a due warning, and the record of a notice.
//!
//! Each of these writes has the resourceVersion of its decision as a precondition, so that no renewal is lost. Any
//! other write of the space makes it fail, and an owner may write the metadata of the space as often as the API server
//! allows. The decision is made again at once, so that such writes delay no end.

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    context::Context,
    failure::Failure,
    observe::observe,
    reconcile::reconcile,
    retry::{MAX_ATTEMPTS, read_later, report_failure},
};
use crate::{
    api::DeveloperSpace,
    desired::{lifetime::stage::Stage, status::end_counts_from_write},
    runtime::error::Error,
};

/// Reconciles `space`. After a lost race for a write on which its end depends, the reconcile is repeated with the
/// latest version of the space.
pub(crate) async fn reconcile_until_written(space: &DeveloperSpace, ctx: &Context) -> Result<Action, Error> {
    let (mut latest, mut attempts) = (None::<Box<DeveloperSpace>>, 0);
    loop {
        let current = latest.as_deref().unwrap_or(space);
        let failure = match reconcile(current, ctx).await {
            Ok(action) => return Ok(action),
            Err(failure) => failure,
        };
        attempts += 1;
        let again = read_after(ctx, current, failure, attempts).await;
        match again {
            Ok(read) => latest = Some(Box::new(read)),
            Err(failure) => return Err(report_failure(ctx, current, failure).await),
        }
    }
}

/// Returns the latest version of `space` if the failed step is to be decided again, and otherwise the failure.
async fn read_after(
    ctx: &Context,
    space: &DeveloperSpace,
    failure: Failure,
    attempts: u32,
) -> Result<DeveloperSpace, Failure> {
    if !failure.error.is_lost_race() || !is_for_the_end(space, ctx) {
        return Err(failure);
    }
    let name = space.name_any();
    if attempts >= MAX_ATTEMPTS {
        return Err(Failure { error: Error::Overtaken { name, times: attempts }, ..failure });
    }
    read_later(&ctx.io, space).await.ok_or(failure)
}

/// Returns true if the end of `space` waits for a write: it is due, or it counts from the write of the status.
fn is_for_the_end(space: &DeveloperSpace, ctx: &Context) -> bool {
    let outlook = observe(space, &ctx.io).outlook;
    outlook.stage == Stage::Due || end_counts_from_write(space, &outlook)
}
