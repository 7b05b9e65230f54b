//! A space that is being deleted: its namespace goes with it, or is let go.

use k8s_openapi::{api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{Api, ResourceExt, api::Patch};
use serde_json::json;

use super::{
    apply::{patch_params, remove},
    context::Context,
    error::Error,
    expire::delete_namespace,
    observe::Observed,
    provision::because,
    report::{Report, report},
    store::see_namespace,
};
use crate::{
    api::{DeletionPolicy, DeveloperSpace, conditions::Reason, names},
    desired::{
        ChildKind,
        children::version,
        metadata::Metadata,
        namespace::{Ownership, ownership},
        status::{Note, Verdict},
        term::is_sealed,
    },
};

/// Takes one step. The namespace is read anew: what is decided here cannot be undone.
pub async fn finalize(ctx: &Context, space: &DeveloperSpace, observed: &Observed) -> Result<(), Error> {
    if !space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
        return Ok(());
    }
    let name = space.name_any();
    if crd_is_going(ctx).await? {
        let note = note("Released", format!("the CustomResourceDefinition is being removed, so namespace {name} is let go as it is"));
        return remove_finalizer(ctx, space, observed, note).await;
    }
    if space.spec.protected && !is_sealed(space) {
        let message = "this space is protected, so its deletion waits: set spec.protected to false to let it go on".to_owned();
        return tell(ctx, space, observed, message).await;
    }
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let live = api.get_opt(&name).await.map_err(Error::api(format!("read namespace {name}")))?;
    let ours = live.filter(|live| ownership(space, &see_namespace(live)) == Ownership::Ours && !ctx.protected.contains(&name));
    let Some(live) = ours else {
        return remove_finalizer(ctx, space, observed, note("Deleted", format!("namespace {name} is gone"))).await;
    };
    ctx.store.put_namespace(&live);
    if space.spec.deletion_policy == DeletionPolicy::Retain && !is_sealed(space) {
        release(ctx, space, &live).await?;
        return remove_finalizer(ctx, space, observed, note("Released", format!("namespace {name} was let go with everything in it")))
            .await;
    }
    let seen = see_namespace(&live);
    if seen.terminating.is_none() {
        delete_namespace(ctx, &name, &seen).await?;
    }
    let blocked = seen.terminating.unwrap_or_default();
    tell(ctx, space, observed, format!("namespace {name} is being deleted{}", because(&blocked))).await
}

/// While our kind itself goes away, every space is being deleted, and nobody asked for the namespaces to go.
async fn crd_is_going(ctx: &Context) -> Result<bool, Error> {
    let crds: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    let crd = crds.get_metadata_opt(names::SPACE_CRD).await;
    let crd = crd.map_err(Error::api(format!("read CustomResourceDefinition {}", names::SPACE_CRD)))?;
    Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
}

/// Bindings go first, then our labels and annotations; quota, limits and isolation stay as they are.
async fn release(ctx: &Context, space: &DeveloperSpace, live: &Namespace) -> Result<(), Error> {
    let name = space.name_any();
    for child in
        ctx.store.children(&name).iter().filter(|child| child.kind == ChildKind::Binding && child.name.starts_with(names::BINDING_PREFIX))
    {
        remove(ctx, &name, (child.kind, &child.name), &child.uid).await?;
    }
    let Some(patch) = Metadata::release(&live.metadata) else { return Ok(()) };
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let answer = api.patch(&name, &patch_params(), &Patch::Merge(patch)).await;
    let live = answer.map_err(Error::api(format!("take our labels and annotations off namespace {name}")))?;
    ctx.store.put_namespace(&live);
    Ok(())
}

fn note(reason: &str, message: String) -> Note {
    Note { warning: false, reason: reason.to_owned(), message, in_namespace: false }
}

async fn tell(ctx: &Context, space: &DeveloperSpace, observed: &Observed, message: String) -> Result<(), Error> {
    let verdict = Verdict::new(Reason::Terminating, message);
    let namespace = space.status.as_ref().and_then(|status| status.namespace.clone()).or_else(|| observed.namespace_ref(&space.name_any()));
    let said = Report { verdict, namespace, sealed: is_sealed(space), notes: Vec::new() };
    report(ctx, space, observed, said).await.map(|_| ())
}

async fn remove_finalizer(ctx: &Context, space: &DeveloperSpace, observed: &Observed, note: Note) -> Result<(), Error> {
    let name = space.name_any();
    let others: Vec<&String> = space.finalizers().iter().filter(|finalizer| *finalizer != names::FINALIZER).collect();
    let patch = json!({"metadata": {"uid": space.uid(), "resourceVersion": space.resource_version(), "finalizers": others}});
    match ctx.spaces().patch(&name, &patch_params(), &Patch::Merge(patch)).await {
        Ok(written) if !others.is_empty() => ctx.memory.wrote(&name, version(&written.metadata)),
        // The last finalizer takes the space with it. The store has it until its event comes, and its namespace may be another's by then.
        Ok(_) => ctx.memory.left(&name, space.uid().unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.is_not_found() => ctx.memory.left(&name, space.uid().unwrap_or_default()),
        Err(error) => return Err(Error::api(format!("remove the finalizer of DeveloperSpace {name}"))(error)),
    }
    ctx.recorder.publish(space, None, vec![note], observed.now);
    Ok(())
}
