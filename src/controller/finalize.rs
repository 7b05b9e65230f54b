//! Deletion of a space: its namespace is deleted with it, or is released.

use std::{borrow::Cow, collections::BTreeSet};

use kube::{ResourceExt, api::Patch};
use serde_json::json;

use super::{
    child_api::{self, ChildRef},
    children::remove,
    context::Context,
    expire,
    failure::{Failure, with_error},
    foreign_bindings::still_bound,
    io::Io,
    namespace::{self, PROTECTED_STAYS},
    outcome::Outcome,
    owner_places::release_places,
    report::StatusReport,
    schedule::Next,
    space_write::write_space,
    withhold::withhold,
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, Reason, types},
        names,
    },
    cache::owner_limit::Released,
    desired::{
        ChildKind, SeenChild, Uid,
        child::is_operator_name,
        departure::{Departure, departure, is_older},
        expiry::Step,
        finalizers::distinct_finalizers,
        lifetime::inputs::{is_protected, is_sealed},
        namespace::{Ownership, SeenNamespace, ownership},
        ownership::because,
        plan::{Observed, recorded_namespace},
        resource_version::version,
        status::{Note, Readiness},
        waiting_limit::was_never_admitted,
    },
    installed::crd_is_going,
    runtime::{error::Error, write_params::patch_params},
};

/// Reconciles a space that is being deleted. If its deletion waits, it still expires: it is sealed and its namespace is
/// deleted.
pub(crate) async fn finalize_or_expire<'a>(
    ctx: &Context,
    space: &'a DeveloperSpace,
    observed: Observed,
    step: Step,
) -> Result<Outcome<'a>, Failure> {
    if (was_never_admitted(space) || !has_finalizer(space)) && observed.own_namespace().is_none() {
        // Other spaces do not wait for its place.
        release_places(space, ctx);
    }
    if matches!(step, Step::AwaitEnd(_)) {
        return Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::After(step)));
    }
    if precedes_the_deletion(space, &observed, &step) && !crd_is_going(&ctx.io.client).await? {
        expire::carry_out(&ctx.io, space, &observed, &step).await?;
        return Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::WhileTerminating));
    }
    let waits = finalize(ctx, space, &observed).await;
    let withheld = if waits_with_its_namespace(space, &ctx.io) {
        Box::pin(withhold(ctx, space, &observed, &BTreeSet::new())).await
    } else {
        Ok(())
    };
    let Some(message) = waits? else {
        withheld?;
        return Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::WhileTerminating));
    };
    let report = terminating(&ctx.io, space, &observed, message, withheld.as_ref().err());
    let outcome = Outcome::unreported(Cow::Borrowed(space), observed, Next::WhileTerminating);
    Ok(Outcome { report: Some(report), error: withheld.err(), ..outcome })
}

/// Returns true if that step of the expiry comes before the deletion of the space. Without the finalizer of the
/// operator, the deletion does not delete the namespace, so the expiry does.
fn precedes_the_deletion(space: &DeveloperSpace, observed: &Observed, step: &Step) -> bool {
    match step {
        Step::Seal => observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none()),
        Step::DeleteNamespace(_) => !has_finalizer(space),
        Step::Live | Step::AwaitEnd(_) | Step::AwaitNamespace(_) | Step::Retain(_) | Step::DeleteSpace => false,
    }
}

fn has_finalizer(space: &DeveloperSpace) -> bool {
    space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER)
}

/// Returns true if the deletion of `space` waits, and its namespace is not being deleted: the class and the spec still
/// apply to that namespace.
fn waits_with_its_namespace(space: &DeveloperSpace, io: &Io) -> bool {
    let is_own = |seen: &SeenNamespace| ownership(space, seen) == Ownership::Ours && seen.terminating.is_none();
    !io.attempts.is_deleted(&space.name_any(), &space.uid().unwrap_or_default())
        && io.store.namespace(&space.name_any()).is_some_and(|seen| is_own(&seen))
}

/// The report on a deletion that waits or is under way, and on the error of the writes to a namespace that stays in the
/// meantime.
fn terminating(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    message: String,
    error: Option<&Error>,
) -> StatusReport {
    let readiness = with_error(io, space, Readiness::new(Reason::Terminating, message), error);
    let sealed = is_sealed(space);
    let recorded = recorded_namespace(space).filter(|_| sealed);
    let namespace = observed.namespace_ref(space).or_else(|| recorded.cloned());
    StatusReport { readiness, namespace, sealed, notes: Vec::new() }
}

/// Takes the next step of the deletion. Returns the message about a deletion that waits or is under way. The namespace
/// is read from the API server, because these decisions cannot be undone.
async fn finalize(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    if !has_finalizer(space) {
        return held_by_others(&ctx.io, space, observed).await;
    }
    let name = space.name_any();
    if crd_is_going(&ctx.io.client).await? {
        ctx.io.creations.end(&Uid::from_metadata(&space.metadata));
        let note = note(
            "Released",
            format!("the CustomResourceDefinition is being deleted, so namespace {name} stays unchanged"),
        );
        return remove_finalizer(&ctx.io, space, observed, note).await;
    }
    if is_protected(space, observed.rules.as_ref(), observed.is_accepted) && !is_sealed(space) {
        return Ok(Some(
            "this DeveloperSpace is protected, so its deletion waits: set spec.protected to false to continue"
                .to_owned(),
        ));
    }
    depart(ctx, space, observed).await
}

/// The message about a space that other finalizers hold and that lacks the finalizer of the operator, which cannot be
/// added to an object that is being deleted. While it has a namespace, the space still expires, after its warnings.
/// Without one it needs no warning, so a message that the status contains is not reported again.
async fn held_by_others(io: &Io, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    let (name, waits) = (space.name_any(), "the deletion waits for the finalizers of other clients");
    let Some(namespace) = observed.own_namespace() else { return Ok(unless_reported(space, waits.to_owned())) };
    if let Some(blocked) = &namespace.terminating {
        return Ok(unless_reported(space, format!("{waits}; namespace {name} is being deleted{}", because(blocked))));
    }
    if crd_is_going(&io.client).await? {
        return Ok(None);
    }
    Ok(Some(format!(
        "{waits}; another client has removed the finalizer of the operator, so namespace {name} is deleted only if this DeveloperSpace expires \
         before they are removed: delete the namespace if it is not needed"
    )))
}

fn unless_reported(space: &DeveloperSpace, message: String) -> Option<String> {
    let ready = space.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::READY));
    let is_reported =
        ready.is_some_and(|ready| ready.reason == Reason::Terminating.as_str() && ready.message == message);
    (!is_reported).then_some(message)
}

async fn depart(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    let name = space.name_any();
    let Some(live) = namespace::read(&ctx.io, &name).await? else {
        let fate = if ctx.io.protected.contains(&name) { PROTECTED_STAYS } else { "no longer exists" };
        return complete(&ctx.io, space, observed, fate).await;
    };
    let seen = SeenNamespace::from_namespace(&live);
    let allows_retain = observed.rules.as_ref().is_some_and(|rules| rules.allow_retain);
    let released = match departure(space, allows_retain, &seen) {
        Departure::Nothing => {
            return complete(&ctx.io, space, observed, "does not belong to this DeveloperSpace and is left unchanged")
                .await;
        }
        Departure::Wait => return Ok(Some(does_not_allow_retain(&name, observed))),
        Departure::Delete => return delete(&ctx.io, space, &seen).await.map(Some),
        Departure::Release => {
            // A released namespace gives no access for its former space. Quota, limits and isolation stay unchanged.
            remove_children(&ctx.io, &name, ChildKind::Binding).await?;
            let released = namespace::release(&ctx.io, space, &live, observed.now).await?;
            // The released namespace takes over the place of the space under the owner limit, regardless of when the
            // watch event arrives.
            ctx.owner_limit.set_released(&name, Released::from_namespace(&released));
            format!("namespace {name} was released with everything in it{}", still_bound(&ctx.io, &name).await?)
        }
        Departure::HandBack => {
            // The objects are removed before the claim, without which the operator may not write to the namespace, and
            // access before the limits.
            remove_children(&ctx.io, &name, ChildKind::Binding).await?;
            let kept = Box::pin(remove_new_guards(&ctx.io, space)).await?;
            namespace::hand_back(&ctx.io, space, &live, kept.contains(&ChildKind::Network)).await?;
            format!(
                "namespace {name}, whose adoption was not complete, was returned without the operator's objects; a Pod Security level that the \
                 adoption raised stays{}",
                and_kept(&kept)
            )
        }
    };
    remove_finalizer(&ctx.io, space, observed, note("Released", released)).await
}

fn does_not_allow_retain(namespace: &str, observed: &Observed) -> String {
    let class = observed.class_name.as_deref().unwrap_or_default();
    format!(
        "the deletion waits: spec.deletionPolicy is Retain, so namespace {namespace} is not deleted, and SpaceClass {class} does not allow Retain, \
         so it is not released; set spec.deletionPolicy to Delete to delete the namespace, or have an administrator set allowRetain: true in the \
         class"
    )
}

/// Completes the deletion of a space that has no namespace to delete.
async fn complete(io: &Io, space: &DeveloperSpace, observed: &Observed, fate: &str) -> Result<Option<String>, Error> {
    remove_finalizer(io, space, observed, note("Deleted", format!("namespace {} {fate}", space.name_any()))).await
}

async fn delete(io: &Io, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<String, Error> {
    let name = space.name_any();
    if seen.terminating.is_none() {
        namespace::delete(io, space, seen, "its DeveloperSpace was deleted").await?;
    }
    let blocked = seen.terminating.as_deref().unwrap_or_default();
    Ok(format!("namespace {name} is being deleted{}", because(blocked)))
}

/// The operator's objects of that kind in the namespace.
fn children_of_kind(io: &Io, namespace: &str, kind: ChildKind) -> Vec<SeenChild> {
    let is_ours = |child: &SeenChild| child.kind == kind && is_operator_name(kind, &child.name);
    io.store.children(namespace).into_iter().filter(is_ours).collect()
}

/// Removes the operator's objects of that kind.
async fn remove_children(io: &Io, namespace: &str, kind: ChildKind) -> Result<(), Error> {
    for child in children_of_kind(io, namespace, kind) {
        remove(io, namespace, ChildRef { kind, name: &child.name }, &child.uid).await?;
    }
    Ok(())
}

/// Removes the limits and the isolation that the adoption by `space` created. Returns the kinds that stay, because they
/// are older than the space: they have protected the namespace since its release.
async fn remove_new_guards(io: &Io, space: &DeveloperSpace) -> Result<Vec<ChildKind>, Error> {
    let namespace = space.name_any();
    let mut kept = Vec::new();
    for kind in [ChildKind::Network, ChildKind::Limits, ChildKind::Quota] {
        for seen in children_of_kind(io, &namespace, kind) {
            let child = ChildRef { kind, name: &seen.name };
            let live = child_api::get(&io.client, &namespace, child).await;
            let live = live.map_err(Error::api(format!("read {}", child.in_namespace(&namespace))))?;
            match live {
                Some(live) if is_older(live.metadata(), space) => kept.push(kind),
                Some(live) => {
                    remove(io, &namespace, child, &Uid::from_metadata(live.metadata())).await?;
                }
                None => {
                    io.store.remove_child(&namespace, kind, &seen.name, &seen.uid);
                }
            }
        }
    }
    Ok(kept)
}

/// The end of a sentence about the kinds of objects that stay.
fn and_kept(kinds: &[ChildKind]) -> String {
    if kinds.is_empty() {
        return String::new();
    }
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    format!(", and so do the objects that are older than this DeveloperSpace: {}", kinds.join(", "))
}

fn note(reason: &str, message: String) -> Note {
    Note { warning: false, reason: reason.to_owned(), message, in_namespace: false }
}

/// Returns no message: the deletion is complete.
async fn remove_finalizer(
    io: &Io,
    space: &DeveloperSpace,
    observed: &Observed,
    note: Note,
) -> Result<Option<String>, Error> {
    let name = space.name_any();
    let mut others = distinct_finalizers(space.finalizers());
    others.retain(|finalizer| *finalizer != names::FINALIZER);
    let send = |resource_version: Option<String>| {
        let patch = Patch::Merge(
            json!({"metadata": {"uid": space.uid(), "resourceVersion": resource_version, "finalizers": others}}),
        );
        let (api, name) = (io.spaces(), name.clone());
        async move { api.patch(&name, &patch_params(), &patch).await }
    };
    match write_space(io, &space.metadata, send).await {
        Ok(written) if !others.is_empty() => io.attempts.record_write(&name, version(&written.metadata)),
        // Without finalizers the space is deleted. The store contains it until the event arrives, and by then another
        // space may have its namespace.
        Ok(_) => io.attempts.record_deletion(&name, space.uid().unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            io.attempts.record_deletion(&name, space.uid().unwrap_or_default());
        }
        Err(error) => return Err(Error::api(format!("remove the finalizer of DeveloperSpace {name}"))(error)),
    }
    io.recorder.publish(space, None, vec![note], observed.now);
    Ok(None)
}
