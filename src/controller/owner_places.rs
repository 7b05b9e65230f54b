//! Releases places under the owner limit, and requeues the spaces that get them. The register is
//! [`crate::cache::owner_limit`].

use super::context::Context;
use crate::{
    api::{DeveloperSpace, conditions::Reason},
    desired::{SpecRefusal, Uid, plan::Observed},
};

/// Releases the previous place of a space whose status records its class and its owner, and requeues the space that
/// gets that place.
pub(crate) fn release_previous_place(space: &DeveloperSpace, ctx: &Context) {
    requeue_all(ctx, ctx.owner_limit.release_previous(&Uid::from_metadata(&space.metadata)).into_iter().collect());
}

/// Removes a space that is refused for another reason than the owner limit from the line in which it waits: a place
/// that it cannot take goes to the next space. A refused space keeps its own place, but one that was never admitted has
/// none.
pub(crate) fn leave(space: &DeveloperSpace, observed: &Observed, refusal: &SpecRefusal, ctx: &Context) {
    if refusal.reason == Reason::OwnerLimitExceeded {
        return;
    }
    if observed.standing.is_none() && observed.own_namespace().is_none() {
        release_places(space, ctx);
    }
    requeue_all(ctx, ctx.owner_limit.leave_line(&Uid::from_metadata(&space.metadata)).into_iter().collect());
}

/// Removes a space from the count of its owner and requeues the spaces that get its places.
pub(crate) fn release_places(space: &DeveloperSpace, ctx: &Context) {
    requeue_all(ctx, ctx.owner_limit.release(&Uid::from_metadata(&space.metadata)));
}

/// Requeues the spaces of these names.
pub(crate) fn requeue_all(ctx: &Context, names: Vec<String>) {
    for name in names {
        ctx.requeue.requeue(name);
    }
}
