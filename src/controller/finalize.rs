//! Deletion of a space: its namespace is deleted with it, or is released.

use k8s_openapi::{api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{Api, ResourceExt, api::Patch};
use serde_json::json;

use super::{
    children::{patch_params, remove},
    context::Context,
    expire::{STAYS, delete_namespace},
    foreign_bindings::still_bound,
    namespace,
    observe::Observed,
    report::{Report, report},
    retry::{Failure, with_error},
};
use crate::{
    api::{DeveloperSpace, conditions::Reason, names},
    cache::watches::counts,
    desired::{
        ChildKind, Uid,
        child::is_operator_name,
        departure::{Departure, departure, hand_back, release},
        lifetime::inputs::{is_protected, is_sealed},
        namespace::SeenNamespace,
        ownership::because,
        resource_version::version,
        status::{Note, Readiness},
    },
    runtime::error::Error,
};

/// Takes the next step of the deletion. Returns the message about a deletion that waits or is under way. The namespace is read from the API server,
/// because these decisions cannot be undone.
pub async fn finalize(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    if !space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
        return held_by_others(ctx, space, observed).await;
    }
    let name = space.name_any();
    if crd_is_going(ctx).await? {
        ctx.creations.end(&Uid::from_metadata(&space.metadata));
        let note = note("Released", format!("the CustomResourceDefinition is being deleted, so namespace {name} stays unchanged"));
        return remove_finalizer(ctx, space, observed, note).await;
    }
    if is_protected(space, observed.rules.as_ref(), observed.is_accepted) && !is_sealed(space) {
        return Ok(Some("this DeveloperSpace is protected, so its deletion waits: set spec.protected to false to continue".to_owned()));
    }
    depart(ctx, space, observed).await
}

/// The message about a space that other finalizers hold and that lacks the finalizer of the operator, which cannot be added to an object that is
/// being deleted. The space still expires, after its warnings.
async fn held_by_others(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    let has_namespace = observed.own_namespace().is_some_and(|namespace| namespace.terminating.is_none());
    if !has_namespace || crd_is_going(ctx).await? {
        return Ok(None);
    }
    let name = space.name_any();
    Ok(Some(format!(
        "the deletion waits for the finalizers of other clients; another client has removed the finalizer of the operator, so namespace {name} is \
         deleted only if this DeveloperSpace expires before they are removed: delete the namespace if it is not needed"
    )))
}

async fn depart(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<Option<String>, Error> {
    let name = space.name_any();
    let Some(live) = read_namespace(ctx, &name).await? else {
        let fate = if ctx.protected.contains(&name) { STAYS } else { "no longer exists" };
        return complete(ctx, space, observed, fate).await;
    };
    let seen = SeenNamespace::from_namespace(&live);
    let allows_retain = observed.rules.as_ref().is_some_and(|rules| rules.allow_retain);
    let released = match departure(space, allows_retain, &seen) {
        Departure::Nothing => return complete(ctx, space, observed, "does not belong to this DeveloperSpace and is left unchanged").await,
        Departure::Wait => return Ok(Some(does_not_allow_retain(&name, observed))),
        Departure::Delete => return delete(ctx, space, &seen).await.map(Some),
        Departure::Release => {
            remove_bindings(ctx, &name).await?;
            let released = match release(space, &live.metadata, observed.now) {
                Some(patch) => namespace::patch(ctx, &name, patch).await?,
                None => seen,
            };
            // The released namespace takes over the place of the space under the owner limit, regardless of when the watch event arrives.
            ctx.admissions.set_released(&name, counts(&released));
            format!("namespace {name} was released with everything in it{}", still_bound(ctx, &name).await?)
        }
        Departure::HandBack => {
            remove_bindings(ctx, &name).await?;
            namespace::patch(ctx, &name, hand_back(&live.metadata)).await?;
            format!("namespace {name}, whose adoption was not complete, was returned with everything in it")
        }
    };
    remove_finalizer(ctx, space, observed, note("Released", released)).await
}

fn does_not_allow_retain(namespace: &str, observed: &Observed) -> String {
    let class = observed.class_name.as_deref().unwrap_or_default();
    format!(
        "the deletion waits: spec.deletionPolicy is Retain, so namespace {namespace} is not deleted, and SpaceClass {class} does not allow Retain, \
         so it is not released; set spec.deletionPolicy to Delete to delete the namespace, or have an administrator set allowRetain: true in the \
         class"
    )
}

/// Reads the namespace from the API server. Returns `None` for a protected name: a namespace of that name is never deleted.
pub async fn read_namespace(ctx: &Context, name: &str) -> Result<Option<Namespace>, Error> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let live = api.get_opt(name).await.map_err(Error::api(format!("read namespace {name}")))?;
    if let Some(live) = &live {
        ctx.store.put_namespace(live);
    }
    Ok(live.filter(|_| !ctx.protected.contains(name)))
}

/// Completes the deletion of a space that has no namespace to delete.
async fn complete(ctx: &Context, space: &DeveloperSpace, observed: &Observed, fate: &str) -> Result<Option<String>, Error> {
    remove_finalizer(ctx, space, observed, note("Deleted", format!("namespace {} {fate}", space.name_any()))).await
}

async fn delete(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<String, Error> {
    let name = space.name_any();
    if seen.terminating.is_none() {
        delete_namespace(ctx, space, seen).await?;
    }
    let blocked = seen.terminating.as_deref().unwrap_or_default();
    Ok(format!("namespace {name} is being deleted{}", because(blocked)))
}

/// Returns true if the CRD is being deleted or no longer exists: every space is deleted with it, although no user requested the deletion of the
/// namespaces.
pub async fn crd_is_going(ctx: &Context) -> Result<bool, Error> {
    let crds: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    let crd = crds.get_metadata_opt(names::SPACE_CRD).await;
    let crd = crd.map_err(Error::api(format!("read CustomResourceDefinition {}", names::SPACE_CRD)))?;
    Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
}

/// Removes the operator's bindings: a released namespace gives no access for its former space. Quota, limits and isolation stay unchanged.
async fn remove_bindings(ctx: &Context, namespace: &str) -> Result<(), Error> {
    for child in ctx.store.children(namespace) {
        if child.kind == ChildKind::Binding && is_operator_name(child.kind, &child.name) {
            remove(ctx, namespace, (child.kind, &child.name), &child.uid).await?;
        }
    }
    Ok(())
}

fn note(reason: &str, message: String) -> Note {
    Note { warning: false, reason: reason.to_owned(), message, in_namespace: false }
}

/// Reports a deletion that waits or is under way, and the result of the writes to a namespace that stays in the meantime. Returns that result.
pub async fn tell(
    ctx: &Context,
    space: &DeveloperSpace,
    observed: &Observed,
    message: String,
    written: Result<(), Error>,
) -> Result<(), Failure> {
    let verdict = with_error(ctx, space, Readiness::new(Reason::Terminating, message), written.as_ref().err());
    let namespace = space.status.as_ref().and_then(|status| status.namespace.clone()).or_else(|| observed.namespace_ref(&space.name_any()));
    let said = Report { verdict, namespace, sealed: is_sealed(space), notes: Vec::new() };
    report(ctx, space, observed, said).await?;
    Failure::after_report(written.err())
}

/// Returns no message: the deletion is complete.
async fn remove_finalizer(ctx: &Context, space: &DeveloperSpace, observed: &Observed, note: Note) -> Result<Option<String>, Error> {
    let name = space.name_any();
    let others: Vec<&String> = space.finalizers().iter().filter(|finalizer| *finalizer != names::FINALIZER).collect();
    let patch = json!({"metadata": {"uid": space.uid(), "resourceVersion": space.resource_version(), "finalizers": others}});
    match ctx.spaces().patch(&name, &patch_params(), &Patch::Merge(patch)).await {
        Ok(written) if !others.is_empty() => ctx.memory.wrote(&name, version(&written.metadata)),
        // Without finalizers the space is deleted. The store contains it until the event arrives, and by then another space may have its namespace.
        Ok(_) => ctx.memory.left(&name, space.uid().unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.is_not_found() => ctx.memory.left(&name, space.uid().unwrap_or_default()),
        Err(error) => return Err(Error::api(format!("remove the finalizer of DeveloperSpace {name}"))(error)),
    }
    ctx.recorder.publish(space, None, vec![note], observed.now);
    Ok(None)
}
