//! The start: fills the registers that follow from the lists, before any space is reconciled.

use std::{collections::HashSet, sync::Arc};

use kube::{ResourceExt, core::DeserializeGuard, runtime::reflector};

use super::{classes::look_up_roles, context::Context, observe::class_name};
use crate::{
    api::{DeveloperSpace, names},
    cache::{
        owner_limit::is_live,
        store::{SOURCES, Source},
        watches::CachedSpace,
    },
    desired::{
        namespace::{Ownership, ownership},
        standing::standing,
        waiting_limit::{waits, was_never_admitted},
    },
};

/// Waits until all sources but the owner limit are listed, and registers the spaces that hold a place under the owner
/// limit before any other space is admitted. Then reconciles may begin.
pub(crate) async fn restore_places(ctx: Arc<Context>, spaces: reflector::Store<CachedSpace>) {
    ctx.io
        .store
        .listed(&SOURCES.into_iter().filter(|source| *source != Source::OwnerLimit).collect::<HashSet<_>>())
        .await;
    look_up_roles(&ctx.io).await;
    for kept in spaces.state() {
        if let DeserializeGuard(Ok(space)) = kept.unpack() {
            if let Some(at) = space.status.as_ref().and_then(|status| status.expires_at) {
                ctx.expiry_queue.register(&space.name_any(), at, ctx.io.clock.now());
            }
            restore_place(&ctx, &space);
        }
    }
    ctx.io.store.set_listed(Source::OwnerLimit);
    tracing::info!(spaces = spaces.len(), "all objects are listed; starting to reconcile");
}

/// Registers a space under the owner and the class that it was admitted with, if it is alive or its namespace exists. A
/// space whose namespace was created and could not be recorded counts in the class that the namespace was created for:
/// its spec may name another class in the meantime, in which it has no place.
fn restore_place(ctx: &Context, space: &DeveloperSpace) {
    let namespace =
        ctx.io.store.namespace(&space.name_any()).filter(|namespace| ownership(space, namespace) == Ownership::Ours);
    let owner = space.spec.owner.to_string();
    // A status from before owners were recorded does not name the owner who was admitted; the namespace does.
    let is_known = space.status.as_ref().is_some_and(|status| status.owner.is_some());
    let is_owner = || {
        namespace
            .as_ref()
            .is_some_and(|namespace| namespace.metadata.has_annotation_value(names::ANNOTATION_OWNER, &owner))
    };
    let admitted = standing(space)
        .map(|standing| (standing.owner.to_string(), standing.class_name))
        .filter(|_| is_known || is_owner());
    let is_of = |class: &String| {
        namespace.as_ref().is_some_and(|namespace| namespace.metadata.has_label(names::LABEL_CLASS, class))
    };
    let claimed = || {
        ctx.io.store.class_names().into_iter().find(is_of).filter(|_| is_owner()).map(|class| (owner.clone(), class))
    };
    if let Some((owner, class)) = admitted.or_else(claimed).filter(|_| namespace.is_some() || is_live(space)) {
        ctx.owner_limit.restore(space, &owner, &class);
    } else if let Some(class) =
        class_name(space, &ctx.io.store).filter(|_| is_live(space) && was_never_admitted(space) && waits(space))
    {
        ctx.owner_limit.restore_waiting(space, &class);
    }
}
